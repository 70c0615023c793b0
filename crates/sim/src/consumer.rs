//! A consumer of a run: it reads all partitions from the beginning on, commits how far it came, and is now and then
//! replaced by another that goes on from there.

use std::sync::Arc;
use std::time::Duration;

use history::{Action, Kind, Step};
use protocol::ErrorCode;

use crate::client::Client;
use crate::plan::Partition;
use crate::random::Random;
use crate::requests;
use crate::world::World;

/// Reads in a row without an answer after which the last reader gives up.
const FAILURES_MAX: u32 = 200;

#[derive(Debug)]
pub(crate) struct Consumer {
    world: Arc<World>,
    client: Client,
    random: Random,
    process: u32,
    group: String,
    positions: Vec<(Partition, i64)>,
}

impl Consumer {
    pub(crate) fn new(world: Arc<World>, process: u32) -> Self {
        let partitions = world.plan.partitions().into_iter();
        Self {
            client: Client::new(Arc::clone(&world)),
            random: world.fork(),
            positions: partitions.map(|partition| (partition, 0)).collect(),
            process,
            group: format!("g{process}"),
            world,
        }
    }

    pub(crate) async fn run(mut self) {
        self.assign();
        for _poll in 0..self.world.plan.operations {
            match self.random.below(10) {
                0..=6 => {
                    self.poll().await;
                }
                7 | 8 => self.commit().await,
                _ => self.resume().await,
            }
            let rest = self.random.span(self.world.plan.faults.rest);
            self.world.sleep(rest).await;
        }
    }

    /// Reads everything to its end, on a broker and a disk that work. Says how many records there are.
    pub(crate) async fn read_all(mut self) {
        self.assign();
        let mut failures = 0;
        loop {
            match self.poll().await {
                Some((_, true)) => break,
                Some((0, false)) | None => failures += 1,
                Some(_) => failures = 0,
            }
            if failures > FAILURES_MAX {
                self.world
                    .model
                    .fail(|| "not everything can be read, though all faults are mended".to_owned());
                return;
            }
            if failures > 0 {
                self.world.sleep(Duration::from_millis(50)).await;
            }
        }
        self.check_commits().await;
    }

    fn assign(&self) {
        let keys = || {
            self.positions
                .iter()
                .map(|(partition, _)| partition.to_string())
        };
        for kind in [Kind::Invoke, Kind::Ok] {
            let keys = keys().collect();
            self.world
                .recorder
                .note(self.process, kind, Action::Assign { keys });
        }
    }

    /// One fetch. How many records came, and whether all partitions were read to their high watermarks.
    async fn poll(&mut self) -> Option<(usize, bool)> {
        let max_bytes = i32::try_from(self.random.between(1, 5_000)).unwrap_or(1);
        let max_wait_ms = i32::try_from(self.random.below(200)).unwrap_or(0);
        let request = requests::fetch(&self.positions, max_bytes, max_wait_ms);
        let bounds: Vec<_> = self
            .positions
            .iter()
            .map(|(partition, _)| self.world.model.bound(partition))
            .collect();
        self.world
            .recorder
            .run(self.process, Kind::Invoke, Vec::new());
        let answer = self.client.call(&request, requests::FETCH).await;
        let Ok(answer) = answer else {
            self.world
                .recorder
                .run(self.process, Kind::Fail, Vec::new());
            return None;
        };
        let mut polled = std::collections::BTreeMap::new();
        let mut count = 0;
        let mut ends = 0;
        let mut told = 0;
        for topic in answer.responses {
            for part in topic.partitions {
                let place = self.positions.iter().position(|(partition, _)| {
                    partition.topic == topic.topic && partition.index == part.partition_index
                });
                let Some(place) = place else {
                    self.world
                        .model
                        .fail(|| "an answer names a partition that was not asked for".to_owned());
                    continue;
                };
                told += 1;
                let (partition, position) = self.positions[place].clone();
                if part.error_code != 0 {
                    self.check_refusal(&partition, position, part.error_code);
                    continue;
                }
                let fetched = match requests::read(part.records) {
                    Ok(fetched) => fetched,
                    Err(error) => {
                        self.world
                            .model
                            .fail(|| format!("{partition} at {position}: {error}"));
                        continue;
                    }
                };
                self.world.model.fetched(
                    &partition,
                    bounds[place],
                    part.high_watermark,
                    part.log_start_offset,
                    &fetched.batches,
                );
                let records: Vec<_> = fetched
                    .records
                    .into_iter()
                    .filter(|(offset, _)| *offset >= position)
                    .collect();
                if let Some(last) = fetched.batches.last() {
                    self.positions[place].1 = last.end.max(position);
                }
                ends += usize::from(self.positions[place].1 == part.high_watermark);
                count += records.len();
                if !records.is_empty() {
                    polled.insert(partition.to_string(), records);
                }
            }
        }
        let is_whole = told == self.positions.len() && ends == told;
        self.world
            .recorder
            .run(self.process, Kind::Ok, vec![Step::Poll(polled)]);
        Some((count, is_whole))
    }

    fn check_refusal(&self, partition: &Partition, position: i64, code: i16) {
        match ErrorCode::from_i16(code) {
            Some(ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower) => {}
            code => self.world.model.fail(|| {
                format!("{partition}: a fetch at {position}, where records were seen or the log begins, is refused with {code:?}")
            }),
        }
    }

    async fn commit(&mut self) {
        let model = &self.world.model;
        let process = self.world.starts();
        for (partition, offset) in &self.positions {
            model.commit_sent(&self.group, partition, *offset, process);
        }
        let request = requests::commit(&self.group, &self.positions);
        let Ok(answer) = self.client.call(&request, requests::COMMIT).await else {
            return;
        };
        for topic in &answer.topics {
            for part in topic.partitions.iter().filter(|part| part.error_code == 0) {
                let place = self.positions.iter().find(|(partition, _)| {
                    partition.topic == topic.name && partition.index == part.partition_index
                });
                if let Some((partition, offset)) = place {
                    let model = &self.world.model;
                    model.commit_acknowledged(&self.group, partition, *offset, process);
                }
            }
        }
    }

    /// Another consumer of the group goes on from what is committed.
    async fn resume(&mut self) {
        self.client.close();
        if let Some(committed) = self.fetch_commits().await {
            self.assign();
            for ((_, position), committed) in self.positions.iter_mut().zip(committed) {
                *position = committed.unwrap_or(0);
            }
        }
    }

    async fn check_commits(&mut self) {
        for group in 0..self.world.plan.consumers {
            self.group = format!("g{}", crate::run::CONSUMERS_FROM + group);
            for _attempt in 0..FAILURES_MAX {
                if self.fetch_commits().await.is_some() {
                    break;
                }
                self.world.sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// What the group committed, by partition.
    async fn fetch_commits(&mut self) -> Option<Vec<Option<i64>>> {
        let partitions = self
            .positions
            .iter()
            .map(|(partition, _)| partition.clone());
        let partitions: Vec<_> = partitions.collect();
        let request = requests::committed(&self.group, &partitions);
        let answer = self.client.call(&request, requests::COMMITTED).await.ok()?;
        let group = answer
            .groups
            .first()
            .filter(|group| group.error_code == 0)?;
        let mut committed = vec![None; partitions.len()];
        for topic in &group.topics {
            for part in &topic.partitions {
                let place = partitions.iter().position(|partition| {
                    partition.topic == topic.name && partition.index == part.partition_index
                });
                if part.error_code != 0 {
                    return None;
                }
                if let Some(place) = place {
                    committed[place] = Some(part.committed_offset).filter(|offset| *offset >= 0);
                }
            }
        }
        for (partition, offset) in partitions.iter().zip(&committed) {
            self.world
                .model
                .commit_fetched(&self.group, partition, *offset);
        }
        Some(committed)
    }
}
