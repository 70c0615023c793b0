//! A producer of a run: it sends one batch after the other, again until it knows what came of it, or gives up.

use std::sync::Arc;
use std::time::Duration;

use history::{Kind, Step};
use protocol::ErrorCode;
use protocol::records::BatchOptions;

use crate::client::{Client, Lost};
use crate::model::Bound;
use crate::plan::{Partition, TopicKind};
use crate::random::Random;
use crate::requests;
use crate::world::World;

/// Attempts after which a producer gives a batch up.
const ATTEMPTS_MAX: u32 = 40;

/// Who sends, and how.
#[derive(Debug)]
pub(crate) struct Producer {
    world: Arc<World>,
    client: Client,
    random: Random,
    /// Its number in the history.
    process: u32,
    partitions: Vec<Partition>,
    is_idempotent: bool,
    acks: i16,
    session: Option<Session>,
    next_value: u64,
}

/// A producer id and the next sequence of each partition.
#[derive(Debug)]
struct Session {
    id: i64,
    epoch: i16,
    sequences: Vec<i32>,
}

/// What came of a batch.
enum Outcome {
    /// It is in the log, from this offset on if that was told; and what was known when it was sent.
    Stored(Option<i64>, Bound),
    /// It is not, and never will be.
    Refused,
    Unknown,
}

impl Producer {
    pub(crate) fn new(world: Arc<World>, process: u32) -> Self {
        let mut random = world.fork();
        let is_idempotent = random.chance(700);
        Self {
            client: Client::new(Arc::clone(&world)),
            partitions: world.plan.partitions(TopicKind::is_common),
            // Idempotence needs acks=all.
            acks: if is_idempotent || random.chance(500) {
                -1
            } else {
                1
            },
            is_idempotent,
            random,
            process,
            session: None,
            next_value: u64::from(process) << 32,
            world,
        }
    }

    pub(crate) async fn run(mut self) {
        for _batch in 0..self.world.plan.operations {
            self.send().await;
            let rest = self.random.span(self.world.plan.faults.rest);
            self.world.sleep(rest).await;
        }
    }

    async fn send(&mut self) {
        if self.is_idempotent && self.session.is_none() && !self.begin_session().await {
            return;
        }
        let place = self.random.index(self.partitions.len());
        let partition = self.partitions[place].clone();
        let count = if self.world.plan.loads.even_batches {
            1
        } else {
            self.random.between(1, 5)
        };
        let values: Vec<_> = (self.next_value..self.next_value + count).collect();
        self.next_value += count;
        self.record(&partition, Kind::Invoke, &values, None);
        self.world.model.sent(&partition, &values);
        let outcome = self.deliver(place, &partition, &values).await;
        let is_sure = self.is_sure(&partition);
        let kind = match outcome {
            Outcome::Stored(..) if is_sure => Kind::Ok,
            Outcome::Refused => Kind::Fail,
            _ => Kind::Info,
        };
        let stored = match outcome {
            Outcome::Stored(Some(base), bound) if is_sure => Some((base, bound)),
            _ => None,
        };
        self.record(&partition, kind, &values, stored.map(|(base, _)| base));
        let model = &self.world.model;
        match stored {
            Some((base, bound)) if self.acks == -1 => {
                model.acknowledged(&partition, bound, base, &values);
            }
            Some((base, bound)) => model.stored(&partition, bound, base, &values),
            None => {}
        }
        let Some(session) = &mut self.session else {
            return;
        };
        if matches!(outcome, Outcome::Stored(..)) {
            session.sequences[place] += i32::try_from(values.len()).unwrap_or(0);
        } else {
            // Nobody knows where the sequences stand.
            self.session = None;
        }
    }

    /// Whether what is acknowledged stays: what only the page cache has may be lost with the power. With write caching
    /// everything is such, but that a loss of power begins a new era there is the model's affair.
    fn is_sure(&self, partition: &Partition) -> bool {
        let faults = self.world.plan.faults;
        match partition.kind {
            TopicKind::Cached => !faults.disk_errors,
            _ => self.acks == -1 || self.world.plan.keeps_page_cache(),
        }
    }

    fn record(&self, partition: &Partition, kind: Kind, values: &[u64], base: Option<i64>) {
        if partition.kind.is_kept() {
            let steps = steps(partition, values, base);
            self.world.recorder.run(self.process, kind, steps);
        }
    }

    async fn begin_session(&mut self) -> bool {
        for _attempt in 0..ATTEMPTS_MAX {
            let request = requests::init_producer();
            let answer = self.client.call(&request, requests::INIT_PRODUCER).await;
            if let Ok(answer) = answer
                && answer.error_code == 0
            {
                self.session = Some(Session {
                    id: answer.producer_id,
                    epoch: answer.producer_epoch,
                    sequences: vec![0; self.partitions.len()],
                });
                return true;
            }
            self.pause().await;
        }
        false
    }

    async fn deliver(&mut self, place: usize, partition: &Partition, values: &[u64]) -> Outcome {
        let mut options = BatchOptions::default();
        if let Some(session) = &self.session {
            options.producer_id = session.id;
            options.producer_epoch = session.epoch;
            options.base_sequence = session.sequences[place];
        }
        let padding = if self.world.plan.loads.even_batches {
            40
        } else {
            self.random.index(300)
        };
        let time_ms = self.world.wall_ms();
        let batch = requests::batch(options, time_ms, values, padding);
        let mut is_unknown = false;
        for _attempt in 0..ATTEMPTS_MAX {
            let request = requests::produce(partition, self.acks, batch.clone());
            let bound = self.world.model.bound(partition);
            let answer = match self.client.call(&request, requests::PRODUCE).await {
                Ok(answer) => answer,
                Err(lost) => {
                    is_unknown |= lost == Lost::Unknown;
                    if is_unknown && !self.is_idempotent {
                        return Outcome::Unknown;
                    }
                    self.pause().await;
                    continue;
                }
            };
            let told = &answer.responses[0].partition_responses[0];
            match ErrorCode::from_i16(told.error_code) {
                Some(ErrorCode::None) => return Outcome::Stored(Some(told.base_offset), bound),
                Some(ErrorCode::DuplicateSequenceNumber) => return Outcome::Stored(None, bound),
                // What the session had sent before went with the power, or was damaged.
                Some(ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId)
                    if partition.kind == TopicKind::Damaged
                        || partition.kind == TopicKind::Cached
                            && !self.world.plan.keeps_page_cache() =>
                {
                    return Outcome::Unknown;
                }
                Some(
                    code @ (ErrorCode::OutOfOrderSequenceNumber
                    | ErrorCode::UnknownProducerId
                    | ErrorCode::InvalidProducerEpoch
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::CorruptMessage
                    | ErrorCode::UnknownServerError),
                ) => {
                    let process = self.process;
                    self.world.model.fail(|| {
                        format!("producer {process} {partition}: {code:?} for values {values:?}, {options:?}: what was acknowledged before was forgotten")
                    });
                    return Outcome::Unknown;
                }
                // The batch may be in the log all the same.
                Some(ErrorCode::KafkaStorageError | ErrorCode::RequestTimedOut) => {
                    is_unknown = true;
                }
                _ => {}
            }
            if is_unknown && !self.is_idempotent {
                return Outcome::Unknown;
            }
            self.pause().await;
        }
        if is_unknown {
            Outcome::Unknown
        } else {
            Outcome::Refused
        }
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.random.between(1, 200));
        self.world.sleep(pause).await;
    }
}

/// Sends of the history.
pub(crate) fn steps(partition: &Partition, values: &[u64], base: Option<i64>) -> Vec<Step> {
    let key = partition.to_string();
    let step = |(delta, value): (i64, &u64)| Step::Send {
        key: key.clone(),
        value: *value,
        offset: base.map(|base| base + delta),
    };
    (0..).zip(values).map(step).collect()
}
