//! Who deletes a topic and makes it anew under its name, again and again, with records in each.
//!
//! Invariant: what was acknowledged in one of these topics is in no other, and each begins empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::DeleteTopicsRequest;
use protocol::records::BatchOptions;

use crate::client::{Client, LATE, Lost};
use crate::plan::{Partition, TopicKind, TopicPlan};
use crate::random::Random;
use crate::requests::{self, Aborted};
use crate::world::World;

const NAME: &str = "again";
const DELETE: i16 = 5;
/// Attempts until the disk and the network work again: more than any fault lasts.
const ATTEMPTS_MAX: u32 = 5_000;
/// Topics that one run has of the name.
const LIVES_MAX: u64 = 6;

#[derive(Debug)]
pub(crate) struct Recreator {
    world: Arc<World>,
    client: Client,
    random: Random,
    topic: TopicPlan,
    partition: Partition,
    next_value: u64,
    /// Values that nobody knows the outcome of: their requests may still be on their way.
    wandering: Vec<u64>,
    /// What was acknowledged in this life of the topic, by offset.
    stored: BTreeMap<i64, u64>,
}

impl Recreator {
    pub(crate) fn new(world: Arc<World>, process: u32) -> Self {
        let mut random = world.fork();
        let topic = TopicPlan::new(NAME.to_owned(), TopicKind::Plain, &mut random);
        Self {
            client: Client::new(Arc::clone(&world)),
            random,
            topic: TopicPlan {
                partitions: 1,
                ..topic
            },
            partition: Partition {
                topic: NAME.to_owned(),
                kind: TopicKind::Plain,
                index: 0,
            },
            next_value: u64::from(process) << 32,
            wandering: Vec::new(),
            stored: BTreeMap::new(),
            world,
        }
    }

    pub(crate) async fn run(mut self) {
        let lives = self.random.between(2, LIVES_MAX);
        for _life in 0..lives {
            if !self.create().await {
                return;
            }
            self.stored.clear();
            self.check().await;
            for _batch in 0..self.random.below(8) {
                self.send().await;
                let rest = self.random.span(self.world.plan.faults.rest);
                self.world.sleep(rest).await;
            }
            self.check().await;
            if !self.delete().await {
                return;
            }
        }
    }

    async fn create(&mut self) -> bool {
        let mut is_unknown = false;
        for _attempt in 0..ATTEMPTS_MAX {
            let request = requests::create(&self.topic);
            match self.client.call(&request, requests::CREATE).await {
                Ok(answer) => match ErrorCode::from_i16(answer.topics[0].error_code) {
                    Some(ErrorCode::None) => {
                        self.settle(is_unknown).await;
                        return true;
                    }
                    Some(ErrorCode::TopicAlreadyExists) => {
                        self.world
                            .model
                            .check(is_unknown, || format!("{NAME} was deleted, but exists"));
                        self.settle(is_unknown).await;
                        return true;
                    }
                    // Its outcome may not be known to the broker itself.
                    _ => is_unknown = true,
                },
                Err(lost) => is_unknown |= lost == Lost::Unknown,
            }
            self.pause().await;
        }
        false
    }

    async fn delete(&mut self) -> bool {
        let request = DeleteTopicsRequest {
            topic_names: vec![NAME.to_owned()],
            timeout_ms: 5_000,
            ..Default::default()
        };
        let mut is_unknown = false;
        for _attempt in 0..ATTEMPTS_MAX {
            match self.client.call(&request, DELETE).await {
                Ok(answer) => match ErrorCode::from_i16(answer.responses[0].error_code) {
                    Some(ErrorCode::None) => {
                        self.settle(is_unknown).await;
                        return true;
                    }
                    Some(ErrorCode::UnknownTopicOrPartition) => {
                        self.world.model.check(is_unknown, || {
                            format!("{NAME} was created, but does not exist")
                        });
                        self.settle(is_unknown).await;
                        return true;
                    }
                    _ => is_unknown = true,
                },
                Err(lost) => is_unknown |= lost == Lost::Unknown,
            }
            self.pause().await;
        }
        false
    }

    async fn send(&mut self) {
        let count = self.random.between(1, 3);
        let values: Vec<_> = (self.next_value..self.next_value + count).collect();
        self.next_value += count;
        let time_ms = self.world.wall_ms();
        let padding = self.random.index(200);
        let batch = requests::batch(BatchOptions::default(), time_ms, &values, padding);
        let request = requests::produce(&self.partition, -1, batch);
        let answer = self.client.call(&request, requests::PRODUCE).await;
        let told = answer
            .as_ref()
            .map(|answer| &answer.responses[0].partition_responses[0]);
        match told {
            Ok(told) if told.error_code == 0 => {
                self.stored.extend((told.base_offset..).zip(values));
            }
            Err(Lost::NotSent) => {}
            _ => self.wandering.extend(values),
        }
    }

    /// Reads all of it: what is there is of this life.
    async fn check(&mut self) {
        let mut position = 0;
        let mut found = BTreeMap::new();
        for _attempt in 0..ATTEMPTS_MAX {
            let positions = [(self.partition.clone(), position)];
            let request = requests::fetch(&positions, 100_000, 0, false);
            let answer = self.client.call(&request, requests::FETCH).await;
            let part = answer.ok().and_then(|answer| {
                let topic = answer.responses.into_iter().next();
                topic.and_then(|topic| topic.partitions.into_iter().next())
            });
            if let Some(part) = part.filter(|part| part.error_code == 0) {
                let end = part.high_watermark;
                match requests::read(part.records, Aborted::default()) {
                    Ok(fetched) => {
                        position = fetched.batches.last().map_or(position, |last| last.end);
                        found.extend(fetched.all);
                    }
                    Err(error) => self.world.model.fail(|| format!("{NAME}: {error}")),
                }
                if position >= end {
                    break;
                }
            } else {
                self.pause().await;
            }
            if self.world.is_over() {
                return;
            }
        }
        let is_known = |offset: &i64, value: &u64| {
            self.stored.get(offset) == Some(value) || self.wandering.contains(value)
        };
        let strange: Vec<_> = found
            .iter()
            .filter(|(offset, value)| !is_known(offset, value))
            .collect();
        self.world.model.check(strange.is_empty(), || {
            format!("{NAME}: {strange:?} are read, which nobody sent since it was made")
        });
        let missing: Vec<_> = self
            .stored
            .iter()
            .filter(|(offset, value)| found.get(offset) != Some(value))
            .collect();
        self.world.model.check(missing.is_empty(), || {
            format!("{NAME}: {missing:?} were acknowledged and are not read")
        });
    }

    /// Waits until a request whose outcome nobody knows has arrived or never will: a delete that is still on its way would
    /// delete the topic that is made next, at any broker.
    async fn settle(&self, is_unknown: bool) {
        if is_unknown {
            self.world.sleep(LATE).await;
        }
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.random.between(1, 200));
        self.world.sleep(pause).await;
    }
}
