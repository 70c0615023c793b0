//! A producer of a run: it sends one batch after the other, again until it knows what came of it, or gives up.

use std::sync::Arc;
use std::time::Duration;

use history::{Kind, Step};
use protocol::ErrorCode;
use protocol::records::BatchOptions;

use crate::client::{Client, Lost};
use crate::plan::Partition;
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
    /// It is in the log, from this offset on if that was told.
    Stored(Option<i64>),
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
            partitions: world.plan.partitions(),
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
        let count = self.random.between(1, 5);
        let values: Vec<_> = (self.next_value..self.next_value + count).collect();
        self.next_value += count;
        let invoked = steps(&partition, &values, None);
        self.world.recorder.run(self.process, Kind::Invoke, invoked);
        let outcome = self.deliver(place, &partition, &values).await;
        let base = match outcome {
            Outcome::Stored(base) => base,
            _ => None,
        };
        // What only the page cache had may be lost with the power.
        let is_sure = self.acks == -1 || self.world.plan.keeps_page_cache();
        let kind = match outcome {
            Outcome::Stored(_) if is_sure => Kind::Ok,
            Outcome::Refused => Kind::Fail,
            _ => Kind::Info,
        };
        let base = base.filter(|_| is_sure);
        let ended = steps(&partition, &values, base);
        self.world.recorder.run(self.process, kind, ended);
        if let (Some(base), -1) = (base, self.acks) {
            let end = base + i64::try_from(values.len()).unwrap_or(0);
            self.world.model.acknowledged(&partition, end);
        }
        let Some(session) = &mut self.session else {
            return;
        };
        if matches!(outcome, Outcome::Stored(_)) {
            session.sequences[place] += i32::try_from(values.len()).unwrap_or(0);
        } else {
            // Nobody knows where the sequences stand.
            self.session = None;
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
        let padding = self.random.index(300);
        let time_ms = self.world.wall_ms();
        let batch = requests::batch(options, time_ms, values, padding);
        let mut is_unknown = false;
        for _attempt in 0..ATTEMPTS_MAX {
            let request = requests::produce(partition, self.acks, batch.clone());
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
                Some(ErrorCode::None) => return Outcome::Stored(Some(told.base_offset)),
                Some(ErrorCode::DuplicateSequenceNumber) => return Outcome::Stored(None),
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

fn steps(partition: &Partition, values: &[u64], base: Option<i64>) -> Vec<Step> {
    let key = partition.to_string();
    let step = |(delta, value): (i64, &u64)| Step::Send {
        key: key.clone(),
        value: *value,
        offset: base.map(|base| base + delta),
    };
    (0..).zip(values).map(step).collect()
}
