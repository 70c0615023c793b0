//! [`Statuses`]: how the pipelines of this worker stand, for metrics and SQL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::progress::{Progress, Stage};
use super::tally::Tally;
use crate::tasks::Role;

/// How the pipelines of a worker stand; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Mutex<BTreeMap<(String, String), Status>>>);

/// How a pipeline stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// The environment.
    pub env: String,
    /// The pipeline.
    pub pipeline: String,
    /// The version.
    pub version: u32,
    /// What it does.
    pub phase: Phase,
    /// What ended its last attempt, if that failed.
    pub error: Option<String>,
    /// What became of records in runs that have ended, how long their stages took, and how often they committed.
    pub ended: Tally,
    /// See there.
    pub ended_stages: BTreeMap<Stage, Duration>,
    /// See there.
    pub ended_batches: u64,
    /// The tasks that run, or ran last.
    pub tasks: Vec<(Role, Arc<Progress>)>,
    /// The names of its checks with their severities, in the order of the file.
    pub checks: Arc<[(String, &'static str)]>,
    /// Attempts that failed.
    pub failures: u64,
    /// When a run ended well last, or a continuous one committed, in milliseconds since 1970.
    pub succeeded_ms: Option<i64>,
}

/// What a pipeline does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It runs.
    Running,
    /// It waits for its time.
    Waiting,
    /// It waits to try again.
    Retrying,
    /// It waits for somebody to do something.
    Held,
    /// It is done.
    Done,
}

impl Phase {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Waiting,
        Self::Retrying,
        Self::Held,
        Self::Done,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Done => "done",
        }
    }
}

impl Status {
    /// What became of records since the worker began.
    pub fn tally(&self) -> Tally {
        let mut all = self.ended.clone();
        all.add(&tally_of(&self.tasks));
        all
    }

    /// How long each stage took since the worker began.
    pub fn stages(&self) -> BTreeMap<Stage, Duration> {
        let mut all = self.ended_stages.clone();
        for (_, progress) in &self.tasks {
            for (stage, time) in progress.seen().stages {
                *all.entry(stage).or_default() += time;
            }
        }
        all
    }

    /// How often something was committed since the worker began.
    pub fn batches(&self) -> u64 {
        let running = self.tasks.iter();
        let running = running.map(|(_, progress)| progress.seen().batches);
        self.ended_batches + running.sum::<u64>()
    }

    /// When a run ended well last or something was committed, in milliseconds since 1970.
    pub fn last_success_ms(&self) -> Option<i64> {
        let running = self.tasks.iter();
        let running = running.filter_map(|(_, progress)| progress.seen().committed_ms);
        running.chain(self.succeeded_ms).max()
    }

    /// Keeps what the tasks that ran have told, and forgets them.
    pub(crate) fn end_tasks(&mut self) {
        self.ended_stages = self.stages();
        self.ended_batches = self.batches();
        self.ended = self.tally();
        self.succeeded_ms = self.last_success_ms();
        self.tasks = Vec::new();
    }
}

/// What became of records; of two tasks what went in at the front and came out at the end.
pub(crate) fn tally_of(tasks: &[(Role, Arc<Progress>)]) -> Tally {
    let tallies: Vec<Tally> = tasks.iter().map(|(_, task)| task.seen().tally).collect();
    let mut all = Tally::default();
    for tally in &tallies {
        all.add(tally);
    }
    if let (Some(front), Some(end)) = (tallies.first(), tallies.last()) {
        all.rows_in = front.rows_in;
        all.rows_out = end.rows_out;
    }
    all
}

impl Statuses {
    /// All of them, by environment and name.
    pub fn all(&self) -> Vec<Status> {
        self.0.lock().values().cloned().collect()
    }

    /// Begins, or changes, that of a pipeline.
    pub(crate) fn set(&self, env: &str, pipeline: &str, change: impl FnOnce(&mut Status)) {
        let mut all = self.0.lock();
        let status = all
            .entry((env.to_owned(), pipeline.to_owned()))
            .or_insert_with(|| Status {
                env: env.to_owned(),
                pipeline: pipeline.to_owned(),
                version: 0,
                phase: Phase::Waiting,
                error: None,
                ended: Tally::default(),
                ended_stages: BTreeMap::new(),
                ended_batches: 0,
                tasks: Vec::new(),
                checks: Arc::from([]),
                failures: 0,
                succeeded_ms: None,
            });
        change(status);
    }

    /// Forgets one that does not run any more.
    pub(crate) fn remove(&self, env: &str, pipeline: &str) {
        self.0.lock().remove(&(env.to_owned(), pipeline.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_on_when_a_run_ends_and_no_record_counts_twice() {
        let statuses = Statuses::default();
        let (land, load) = (Arc::<Progress>::default(), Arc::<Progress>::default());
        let tally = |rows_in, rows_out| Tally {
            rows_in,
            rows_out,
            ..Tally::default()
        };
        land.committed(&tally(10, 10), 1_000);
        land.took(Stage::Sql, Duration::from_secs(1));
        load.committed(&tally(10, 9), 2_000);
        load.took(Stage::Sql, Duration::from_secs(2));
        statuses.set("dev", "a", |status| {
            status.tasks = vec![(Role::Land, land), (Role::Load, load)];
        });
        let check = |status: &Status| {
            assert_eq!(status.tally(), tally(10, 9));
            assert_eq!(status.stages()[&Stage::Sql], Duration::from_secs(3));
            assert_eq!(status.batches(), 2);
            assert_eq!(status.last_success_ms(), Some(2_000));
        };
        check(&statuses.all()[0]);
        statuses.set("dev", "a", Status::end_tasks);
        check(&statuses.all()[0]);
        assert!(statuses.all()[0].tasks.is_empty());
    }
}
