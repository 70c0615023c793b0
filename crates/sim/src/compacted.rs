//! A producer of records with keys, for a topic of which only the newest record of each key stays, and what must be left of
//! them at the end.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::ErrorCode;
use protocol::records::BatchOptions;

use crate::client::Client;
use crate::plan::{Partition, TopicKind};
use crate::random::Random;
use crate::reader::KeptRecord;
use crate::requests::{self, TOMBSTONE};
use crate::world::World;

const KEYS: u64 = 5;
const ATTEMPTS_MAX: u32 = 40;

/// What was sent of a key, in its order.
#[derive(Clone, Copy, Debug)]
struct Sent {
    value: u64,
    is_acknowledged: bool,
}

/// By key what was sent.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<Vec<Vec<Sent>>>);

#[derive(Debug)]
pub(crate) struct KeyedProducer {
    world: Arc<World>,
    client: Client,
    random: Random,
    partition: Partition,
    next_value: u64,
}

impl KeyedProducer {
    /// The producer, if the run has such a topic.
    pub(crate) fn new(world: &Arc<World>, process: u32) -> Option<Self> {
        let partitions = world.plan.partitions(|kind| kind == TopicKind::Compacted);
        let partition = partitions.into_iter().next()?;
        *world.keys.0.lock() = vec![Vec::new(); usize::try_from(KEYS).unwrap_or(0)];
        Some(Self {
            client: Client::new(Arc::clone(world)),
            random: world.fork(),
            partition,
            next_value: u64::from(process) << 32,
            world: Arc::clone(world),
        })
    }

    pub(crate) async fn run(mut self) {
        for _batch in 0..self.world.plan.operations {
            if !self.send().await {
                // What nobody answered may still be on its way: another producer would overtake it.
                return;
            }
            let rest = self.random.span(self.world.plan.faults.rest);
            self.world.sleep(rest).await;
        }
    }

    /// Sends a batch. False if nobody knows what came of it.
    async fn send(&mut self) -> bool {
        let mut records = Vec::new();
        for _record in 0..self.random.between(1, 4) {
            let key = self.random.below(KEYS);
            let value = if self.random.chance(200) {
                TOMBSTONE
            } else {
                self.next_value += 1;
                self.next_value
            };
            records.push((Some(key), value));
        }
        let places = self.note(&records);
        let time_ms = self.world.wall_ms();
        let padding = self.random.index(200);
        let batch = requests::keyed_batch(BatchOptions::default(), time_ms, &records, padding);
        for _attempt in 0..ATTEMPTS_MAX {
            let request = requests::produce(&self.partition, -1, batch.clone());
            let bound = self.world.model.bound(&self.partition);
            let answer = self.client.call(&request, requests::PRODUCE).await;
            let told = match &answer {
                Ok(answer) => &answer.responses[0].partition_responses[0],
                Err(crate::client::Lost::NotSent) => {
                    self.pause().await;
                    continue;
                }
                Err(crate::client::Lost::Unknown) => return false,
            };
            match ErrorCode::from_i16(told.error_code) {
                Some(ErrorCode::None) => {
                    self.acknowledge(&places);
                    let values: Vec<_> = records.iter().map(|(_, value)| *value).collect();
                    let model = &self.world.model;
                    model.acknowledged(&self.partition, bound, told.base_offset, &values);
                    return true;
                }
                Some(ErrorCode::NotLeaderOrFollower) => {}
                _ => return false,
            }
            self.pause().await;
        }
        false
    }

    /// Notes what is sent; where it is noted.
    fn note(&self, records: &[(Option<u64>, u64)]) -> Vec<(usize, usize)> {
        let mut keys = self.world.keys.0.lock();
        let note = |(key, value): &(Option<u64>, u64)| {
            let key = usize::try_from(key.unwrap_or_default()).unwrap_or(0);
            keys[key].push(Sent {
                value: *value,
                is_acknowledged: false,
            });
            (key, keys[key].len() - 1)
        };
        records.iter().map(note).collect()
    }

    fn acknowledge(&self, places: &[(usize, usize)]) {
        let mut keys = self.world.keys.0.lock();
        for (key, place) in places {
            keys[*key][*place].is_acknowledged = true;
        }
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.random.between(1, 200));
        self.world.sleep(pause).await;
    }
}

/// What is left at the end: the last that is read of each key is the last that was acknowledged, or came later.
pub(crate) fn check(world: &World, records: &[KeptRecord]) {
    let keys = world.keys.0.lock();
    for (key, sent) in (0..).zip(keys.iter()) {
        let last = records
            .iter()
            .rev()
            .find(|(_, found, _)| *found == Some(key));
        // A tombstone may be gone, too.
        let last = last.map_or(TOMBSTONE, |(_, _, value)| *value);
        let newest = sent.iter().rposition(|one| one.is_acknowledged);
        let allowed = &sent[newest.unwrap_or_default()..];
        let is_new = newest.is_none() && last == TOMBSTONE;
        let is_allowed = is_new || allowed.iter().any(|one| one.value == last);
        world.model.check(is_allowed, || {
            format!("key {key} of the compacted topic: {last} is the last that is read, since the last acknowledged one were sent {allowed:?}")
        });
    }
}
