//! [`Statuses`]: how the pipelines of this worker stand, for metrics and SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::progress::Progress;
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
    /// What became of records in runs that have ended.
    pub ended: Tally,
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
        for (_, progress) in &self.tasks {
            all.add(&progress.seen().tally);
        }
        all
    }
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
