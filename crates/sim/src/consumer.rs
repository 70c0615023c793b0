//! A consumer of a run: it reads all partitions from the beginning on, commits how far it came, and is now and then
//! replaced by another that goes on from there.

use std::sync::Arc;
use std::time::Duration;

use history::{Action, Kind, Step};

use crate::client::Client;
use crate::compacted;
use crate::offsets;
use crate::plan::{Partition, TopicKind};
use crate::random::Random;
use crate::reader::{Poll, Reader};
use crate::requests::Committer;
use crate::world::World;

/// Reads in a row without an answer after which the last reader gives up: longer than any transaction may last.
const FAILURES_MAX: u32 = 2_000;

#[derive(Debug)]
pub(crate) struct Consumer {
    world: Arc<World>,
    client: Client,
    random: Random,
    process: u32,
    group: String,
    reader: Reader,
}

impl Consumer {
    pub(crate) fn new(world: Arc<World>, process: u32) -> Self {
        let partitions = world.plan.partitions(|_| true);
        let mut random = world.fork();
        let reads_committed = random.chance(500);
        Self::over(world, process, random, partitions, reads_committed)
    }

    /// Who reads everything at the end.
    pub(crate) fn last(world: Arc<World>, process: u32) -> Self {
        let partitions = world.plan.partitions(|kind| kind != TopicKind::Damaged);
        let random = world.fork();
        let mut consumer = Self::over(world, process, random, partitions, true);
        consumer.reader.keep_everything();
        consumer
    }

    fn over(
        world: Arc<World>,
        process: u32,
        random: Random,
        partitions: Vec<Partition>,
        reads_committed: bool,
    ) -> Self {
        Self {
            client: Client::new(Arc::clone(&world)),
            random,
            reader: Reader::new(Arc::clone(&world), partitions, reads_committed),
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

    /// Reads everything to its end, on a broker and a disk that work.
    pub(crate) async fn read_all(mut self) {
        self.assign();
        let mut failures = 0;
        loop {
            match self.poll().await {
                Some(Poll { is_whole: true, .. }) => break,
                Some(Poll { count: 0, .. }) | None => failures += 1,
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
        self.check_everything();
        self.check_commits().await;
        self.pass_damage().await;
    }

    /// A topic that was damaged is read to its end all the same: what is damaged is an error, and the rest goes on.
    async fn pass_damage(&mut self) {
        let partitions = self
            .world
            .plan
            .partitions(|kind| kind == TopicKind::Damaged);
        let mut reader = Reader::new(Arc::clone(&self.world), partitions, false);
        for _attempt in 0..FAILURES_MAX {
            match reader.poll(&mut self.client).await {
                Some(poll) if poll.is_whole => return,
                _ => self.world.sleep(Duration::from_millis(10)).await,
            }
        }
        self.world
            .model
            .fail(|| "a damaged topic cannot be read to its end".to_owned());
    }

    fn check_everything(&self) {
        for (partition, _) in &self.reader.positions {
            let (start, records) = self.reader.kept(partition);
            let values: Vec<_> = records
                .iter()
                .map(|(offset, _, value)| (*offset, *value))
                .collect();
            self.world.model.read_whole(partition, start, &values);
            if partition.kind == TopicKind::Compacted {
                compacted::check(&self.world, records);
            }
        }
    }

    fn assign(&self) {
        for kind in [Kind::Invoke, Kind::Ok] {
            let keys = self.reader.history_keys();
            self.world
                .recorder
                .note(self.process, kind, Action::Assign { keys });
        }
    }

    /// One fetch.
    async fn poll(&mut self) -> Option<Poll> {
        self.world
            .recorder
            .run(self.process, Kind::Invoke, Vec::new());
        let mut poll = self.reader.poll(&mut self.client).await;
        let (kind, steps) = match &mut poll {
            Some(poll) => (Kind::Ok, vec![Step::Poll(std::mem::take(&mut poll.polled))]),
            None => (Kind::Fail, Vec::new()),
        };
        self.world.recorder.run(self.process, kind, steps);
        poll
    }

    async fn commit(&mut self) {
        let positions = &self.reader.positions;
        let anybody = Committer::ANYBODY;
        offsets::commit(
            &self.world,
            &mut self.client,
            &self.group,
            &anybody,
            positions,
        )
        .await;
    }

    /// Another consumer of the group goes on from what is committed.
    async fn resume(&mut self) {
        self.client.close();
        if let Some(committed) = self.fetch_commits().await {
            self.assign();
            for ((_, position), committed) in self.reader.positions.iter_mut().zip(committed) {
                *position = committed.unwrap_or(0);
            }
        }
    }

    async fn check_commits(&mut self) {
        let plan = &self.world.plan;
        let consumers =
            (0..plan.consumers).map(|number| format!("g{}", crate::run::CONSUMERS_FROM + number));
        let sessions = (0..plan.loads.transactional_ids).map(crate::transactions::group_of);
        let shared = [crate::member::GROUP.to_owned()];
        let groups: Vec<_> = consumers.chain(sessions).chain(shared).collect();
        for group in groups {
            self.group = group;
            let mut failures = 0;
            while self.fetch_commits().await.is_none() {
                failures += 1;
                if failures > FAILURES_MAX {
                    let group = &self.group;
                    self.world.model.fail(|| {
                        format!("nobody says what {group} committed, though all faults are mended")
                    });
                    return;
                }
                self.world.sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// What the group committed, by partition.
    async fn fetch_commits(&mut self) -> Option<Vec<Option<i64>>> {
        let partitions = self.reader.positions.iter();
        let partitions: Vec<_> = partitions.map(|(partition, _)| partition.clone()).collect();
        offsets::committed(&self.world, &mut self.client, &self.group, &partitions).await
    }
}
