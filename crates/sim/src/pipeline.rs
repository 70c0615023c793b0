//! A producer with several requests in flight: it sends on before it has answers, and after a lost connection or a refusal
//! it sends again from the first batch without an answer on, in order, as idempotence wants it.
//!
//! Invariant: batches lie in the log in the order in which they were sent first, each once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use history::Kind;
use protocol::ErrorCode;
use protocol::messages::ProduceRequest;
use protocol::records::BatchOptions;

use crate::client::Client;
use crate::model::Bound;
use crate::plan::{Partition, TopicKind};
use crate::producer::steps;
use crate::random::Random;
use crate::requests;
use crate::world::World;

/// Batches whose outcome is open: as many as the broker remembers of a producer.
pub(crate) const IN_FLIGHT_MAX: usize = 5;
/// Rounds without any progress after which a producer gives up what is in flight.
const ROUNDS_MAX: u32 = 60;

/// A batch whose outcome is not known yet.
#[derive(Debug)]
struct Pending {
    /// Its process in the history, which knows only one operation of a process at a time.
    process: u32,
    values: Vec<u64>,
    sequence: i32,
    records: bytes::Bytes,
    bound: Bound,
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    world: Arc<World>,
    client: Client,
    random: Random,
    first_process: u32,
    partition: Partition,
    producer: (i64, i16),
    /// The log knows the producer: one of its batches was acknowledged.
    is_known: bool,
    next_sequence: i32,
    next_value: u64,
    batches: u64,
    pending: VecDeque<Pending>,
    /// Where the last batch ended whose place was told.
    end: i64,
}

/// How a round of sends and answers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Everything is answered.
    Done,
    /// From the first pending batch on everything is to be sent again.
    Again,
    /// Nobody knows where the sequences stand.
    Over,
}

impl Pipeline {
    /// A producer whose operations in the history are those of `first_process` and the ones behind it.
    pub(crate) fn new(world: Arc<World>, first_process: u32) -> Self {
        let partitions = world.plan.partitions(|kind| kind == TopicKind::Plain);
        let mut random = world.fork();
        Self {
            client: Client::new(Arc::clone(&world)),
            partition: partitions[random.index(partitions.len())].clone(),
            random,
            first_process,
            producer: (-1, -1),
            is_known: false,
            next_sequence: 0,
            next_value: u64::from(first_process) << 32,
            batches: 0,
            pending: VecDeque::new(),
            end: 0,
            world,
        }
    }

    pub(crate) async fn run(mut self) {
        while self.batches < self.world.plan.operations {
            if self.producer.0 < 0 && !self.begin_session().await {
                return;
            }
            let burst = self.random.between(1, 12);
            let mut fresh = burst.min(self.world.plan.operations - self.batches);
            let mut rounds = 0;
            while fresh > 0 || !self.pending.is_empty() {
                let before = self.pending.len();
                match self.round(&mut fresh).await {
                    Round::Done => {}
                    Round::Again => {
                        rounds = if self.pending.len() < before {
                            0
                        } else {
                            rounds + 1
                        };
                        self.pause().await;
                    }
                    Round::Over => rounds = ROUNDS_MAX,
                }
                if rounds >= ROUNDS_MAX {
                    self.give_up();
                    break;
                }
            }
            let rest = self.random.span(self.world.plan.faults.rest);
            self.world.sleep(rest).await;
        }
    }

    async fn begin_session(&mut self) -> bool {
        for _attempt in 0..ROUNDS_MAX {
            let request = requests::init_producer();
            let answer = self.client.call(&request, requests::INIT_PRODUCER).await;
            if let Ok(answer) = answer
                && answer.error_code == 0
            {
                self.producer = (answer.producer_id, answer.producer_epoch);
                self.next_sequence = 0;
                self.is_known = false;
                return true;
            }
            self.pause().await;
        }
        false
    }

    /// Sends what is pending, in order, and `fresh` new batches as there is room; takes the answers as they come.
    async fn round(&mut self, fresh: &mut u64) -> Round {
        let mut sent = 0;
        loop {
            while sent < self.pending.len() || (*fresh > 0 && self.pending.len() < IN_FLIGHT_MAX) {
                if sent == self.pending.len() {
                    *fresh -= 1;
                    self.add();
                }
                let bound = self.world.model.bound(&self.partition);
                let batch = &mut self.pending[sent];
                batch.bound = bound;
                let request = requests::produce(&self.partition, -1, batch.records.clone());
                if self.client.send(&request, requests::PRODUCE).await.is_err() {
                    return Round::Again;
                }
                sent += 1;
                if self.random.chance(400) {
                    break;
                }
            }
            if sent == 0 {
                return Round::Done;
            }
            let Ok(answer) = self
                .client
                .receive::<ProduceRequest>(requests::PRODUCE)
                .await
            else {
                return Round::Again;
            };
            let told = &answer.responses[0].partition_responses[0];
            match self.take(told.error_code, told.base_offset) {
                Round::Done => sent -= 1,
                other => {
                    // What was sent behind it is refused, too, or is not: the broker knows it by its sequences.
                    self.client.close();
                    return other;
                }
            }
        }
    }

    /// A new batch.
    fn add(&mut self) {
        let count = self.random.between(1, 4);
        let values: Vec<_> = (self.next_value..self.next_value + count).collect();
        self.next_value += count;
        let options = BatchOptions {
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            base_sequence: self.next_sequence,
            ..BatchOptions::default()
        };
        let padding = self.random.index(100);
        let records = requests::batch(options, self.world.wall_ms(), &values, padding);
        let lane = u32::try_from(self.batches % IN_FLIGHT_MAX as u64).unwrap_or(0);
        let process = self.first_process + lane;
        self.batches += 1;
        let invoked = steps(&self.partition, &values, None);
        self.world.recorder.run(process, Kind::Invoke, invoked);
        self.pending.push_back(Pending {
            process,
            sequence: self.next_sequence,
            records,
            values,
            bound: Bound::default(),
        });
        self.next_sequence += i32::try_from(count).unwrap_or(0);
    }

    /// Takes the answer to the first pending batch.
    fn take(&mut self, code: i16, base: i64) -> Round {
        let partition = &self.partition;
        let model = &self.world.model;
        let Some(batch) = self.pending.front() else {
            return Round::Over;
        };
        let base = match ErrorCode::from_i16(code) {
            // As in Kafka, a log takes any sequence from a producer that it does not know. If the first batch was refused,
            // and the disk had room for one behind it, the first one has lost its place.
            Some(ErrorCode::OutOfOrderSequenceNumber) if !self.is_known => return Round::Over,
            Some(ErrorCode::None) => Some(base),
            Some(ErrorCode::DuplicateSequenceNumber) => None,
            Some(
                code @ (ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::UnknownProducerId
                | ErrorCode::InvalidProducerEpoch
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::CorruptMessage
                | ErrorCode::UnknownServerError),
            ) => {
                let (process, sequence) = (batch.process, batch.sequence);
                model.fail(|| {
                    format!("producer {process} {partition}: {code:?} for sequence {sequence}, though everything before it was acknowledged")
                });
                return Round::Over;
            }
            _ => return Round::Again,
        };
        let ended = steps(partition, &batch.values, base);
        self.world.recorder.run(batch.process, Kind::Ok, ended);
        if let Some(base) = base {
            let end = self.end;
            model.check(base >= end, || {
                format!(
                    "{partition}: a batch lies at {base}, one that was sent before it ends at {end}"
                )
            });
            self.end = base + i64::try_from(batch.values.len()).unwrap_or(0);
            model.acknowledged(partition, batch.bound, base, &batch.values);
        }
        self.pending.pop_front();
        self.is_known = true;
        Round::Done
    }

    /// Begins anew under another producer id.
    fn give_up(&mut self) {
        self.client.close();
        for batch in self.pending.drain(..) {
            let ended = steps(&self.partition, &batch.values, None);
            self.world.recorder.run(batch.process, Kind::Info, ended);
        }
        self.producer = (-1, -1);
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.random.between(1, 200));
        self.world.sleep(pause).await;
    }
}
