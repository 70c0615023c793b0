//! [`Commits`]: what groups committed, and what may therefore be told of them.
//!
//! A commit that was acknowledged counts until a later one does. One that nobody answered may count, as long as the
//! process that may have heard it lives; one of a transaction, until its end is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::plan::Partition;
use crate::scheduler::Scheduler;

/// The process of a commit that any process may complete: one in a transaction.
pub(crate) const ANY_PROCESS: u32 = u32::MAX;

/// A moment in the order of commits and looks.
pub(crate) type Moment = u64;

#[derive(Clone, Copy, Debug)]
struct Commit {
    offset: i64,
    sent: Moment,
    acknowledged: Option<Moment>,
    /// The broker's process that it was sent to.
    process: u32,
}

impl Commit {
    /// Whether it certainly was written before `other` was.
    fn is_before(&self, other: &Self) -> bool {
        let was_answered = self.acknowledged.is_some_and(|at| at < other.sent);
        let is_dead = self.process < other.process && other.process != ANY_PROCESS;
        was_answered || is_dead
    }
}

#[derive(Debug, Default)]
struct State {
    now: Moment,
    /// By group and partition.
    commits: BTreeMap<(String, String), Vec<Commit>>,
}

/// All commits of a run.
#[derive(Debug)]
pub(crate) struct Commits {
    scheduler: Arc<Scheduler>,
    state: Mutex<State>,
}

impl Commits {
    pub(crate) fn new(scheduler: Arc<Scheduler>) -> Self {
        Self {
            scheduler,
            state: Mutex::default(),
        }
    }

    /// The next moment.
    pub(crate) fn moment(&self) -> Moment {
        let mut state = self.state.lock();
        state.now += 1;
        state.now
    }

    /// A commit of `offset` is sent to the broker's process `process`. Gives its name.
    pub(crate) fn sent(
        &self,
        group: &str,
        partition: &Partition,
        offset: i64,
        process: u32,
    ) -> Moment {
        let sent = self.moment();
        let mut state = self.state.lock();
        let key = (group.to_owned(), partition.key());
        state.commits.entry(key).or_default().push(Commit {
            offset,
            sent,
            acknowledged: None,
            process,
        });
        sent
    }

    /// A commit was acknowledged.
    pub(crate) fn acknowledged(&self, group: &str, partition: &Partition, name: Moment) {
        let now = self.moment();
        self.with(group, partition, |commits| {
            let named = commits.iter_mut().find(|commit| commit.sent == name);
            if let Some(commit) = named {
                commit.acknowledged = Some(now);
            }
        });
    }

    /// A commit will never count.
    pub(crate) fn dropped(&self, group: &str, partition: &Partition, name: Moment) {
        self.with(group, partition, |commits| {
            commits.retain(|commit| commit.sent != name);
        });
    }

    fn with(&self, group: &str, partition: &Partition, change: impl FnOnce(&mut Vec<Commit>)) {
        let mut state = self.state.lock();
        if let Some(commits) = state.commits.get_mut(&(group.to_owned(), partition.key())) {
            change(commits);
        }
    }

    /// What the broker says is committed, to a request that was sent at `asked`; `None` if nothing is.
    pub(crate) fn told(
        &self,
        group: &str,
        partition: &Partition,
        asked: Moment,
        offset: Option<i64>,
    ) {
        let state = self.state.lock();
        let none = Vec::new();
        let commits = state
            .commits
            .get(&(group.to_owned(), partition.key()))
            .unwrap_or(&none);
        let counted: Vec<_> = commits
            .iter()
            .filter(|commit| commit.acknowledged.is_some_and(|at| at < asked))
            .collect();
        let is_over = |commit: &Commit| counted.iter().any(|later| commit.is_before(later));
        let is_possible = match offset {
            Some(offset) => commits
                .iter()
                .any(|commit| commit.offset == offset && !is_over(commit)),
            None => counted.is_empty(),
        };
        if !is_possible {
            self.scheduler.fail(|| {
                format!("{group} {partition}: {offset:?} is committed, known are {commits:?}")
            });
        }
    }
}
