//! One step of a member from what it has to its target.
//!
//! After `CurrentAssignmentBuilder.java`. A member first gives up what it should not have, at its old epoch; then it
//! enters the target's epoch and gets what nobody else has. Invariant: an active task is handed out only when no process
//! has it, and a standby or warm-up task only when the member's own process has the task in no role.

use std::collections::{BTreeMap, BTreeSet};

use super::assignor::ProcessId;
use super::member::{Member, StreamsCurrentAssignment, StreamsMemberState};
use super::state::TaskOwners;
use super::tasks::{ActiveTasks, AssignedTasks, TaskSet, Tasks};
use super::topology::SubtopologyId;

/// The member is in a state that only a later version knows; it must give up everything and join again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "The streams group member is in a unknown state. The member must abandon all its tasks and rejoin."
)]
pub(crate) struct UnknownState;

/// Where a member is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) epoch: i32,
    pub(crate) tasks: &'a TaskSet,
}

/// The member after one step; `owned` is what it says it has, `None` if it did not say.
pub(crate) fn reconcile(
    member: &Member,
    target: Target<'_>,
    owners: &TaskOwners,
    owned: Option<&TaskSet>,
) -> Result<StreamsCurrentAssignment, UnknownState> {
    let step = Step {
        current: &member.current,
        process: &member.metadata.process,
        target,
        owners,
        owned,
    };
    let current = &member.current;
    match current.state {
        StreamsMemberState::Stable if current.member_epoch == target.epoch => Ok(current.clone()),
        StreamsMemberState::Stable | StreamsMemberState::UnreleasedTasks => {
            Ok(step.next_from(current.member_epoch))
        }
        StreamsMemberState::UnrevokedTasks => {
            let has_revoked =
                owned.is_some_and(|owned| !owned.contains_any(&current.pending_revocation));
            if has_revoked {
                Ok(step.next_from(current.member_epoch.saturating_add(1)))
            } else {
                Ok(current.clone())
            }
        }
        StreamsMemberState::Unknown => {
            if owned.is_some_and(TaskSet::is_empty) {
                Ok(step.next_from(target.epoch))
            } else {
                Err(UnknownState)
            }
        }
    }
}

struct Step<'a> {
    current: &'a StreamsCurrentAssignment,
    process: &'a ProcessId,
    target: Target<'a>,
    owners: &'a TaskOwners,
    owned: Option<&'a TaskSet>,
}

/// What becomes of the tasks of a member.
#[derive(Default)]
struct Difference {
    /// What it has and should have.
    kept: AssignedTasks,
    /// What it has and should not have.
    revoked: AssignedTasks,
    /// What it should have and can get now.
    gained: AssignedTasks,
    /// Whether it should have tasks that others still have.
    has_unreleased: bool,
}

impl Step<'_> {
    fn next_from(&self, member_epoch: i32) -> StreamsCurrentAssignment {
        let difference = self.difference();
        let must_revoke = !difference.revoked.is_empty()
            && self
                .owned
                .is_none_or(|owned| owned.contains_any(&difference.revoked));
        let previous_member_epoch = self.current.member_epoch;
        if must_revoke {
            return StreamsCurrentAssignment {
                member_epoch,
                previous_member_epoch,
                state: StreamsMemberState::UnrevokedTasks,
                assigned: difference.kept,
                pending_revocation: difference.revoked,
            };
        }
        StreamsCurrentAssignment {
            member_epoch: self.target.epoch,
            previous_member_epoch,
            state: if difference.has_unreleased {
                StreamsMemberState::UnreleasedTasks
            } else {
                StreamsMemberState::Stable
            },
            assigned: difference.kept.merge(difference.gained),
            pending_revocation: AssignedTasks::default(),
        }
    }

    fn difference(&self) -> Difference {
        let mut difference = Difference::default();
        self.split_active(&mut difference);
        let AssignedTasks {
            standby, warmup, ..
        } = &self.current.assigned;
        let standby = self.split(standby, &self.target.tasks.standby);
        let warmup = self.split(warmup, &self.target.tasks.warmup);
        difference.has_unreleased |= standby.has_unreleased || warmup.has_unreleased;
        (difference.kept.standby, difference.kept.warmup) = (standby.kept, warmup.kept);
        (difference.revoked.standby, difference.revoked.warmup) = (standby.revoked, warmup.revoked);
        (difference.gained.standby, difference.gained.warmup) = (standby.gained, warmup.gained);
        difference
    }

    fn split_active(&self, difference: &mut Difference) {
        let target = &self.target.tasks.active;
        for (subtopology, partitions) in &self.current.assigned.active {
            let wanted = target.get(subtopology);
            let is_wanted = |partition: &i32| wanted.is_some_and(|set| set.contains(partition));
            let (kept, revoked): (BTreeMap<_, _>, BTreeMap<_, _>) = partitions
                .iter()
                .map(|(partition, epoch)| (*partition, *epoch))
                .partition(|(partition, _)| is_wanted(partition));
            put_active(&mut difference.kept.active, subtopology, kept);
            put_active(&mut difference.revoked.active, subtopology, revoked);
        }
        for (subtopology, partitions) in target {
            let kept = difference.kept.active.get(subtopology);
            let missing = partitions
                .iter()
                .filter(|partition| kept.is_none_or(|kept| !kept.contains_key(partition)));
            let mut gained = BTreeMap::new();
            for partition in missing {
                if self.owners.active(subtopology, *partition).is_some()
                    || self.owners.follows(subtopology, *partition, self.process)
                {
                    difference.has_unreleased = true;
                } else {
                    gained.insert(*partition, self.target.epoch);
                }
            }
            put_active(&mut difference.gained.active, subtopology, gained);
        }
    }

    fn split(&self, current: &Tasks, target: &Tasks) -> Split {
        let mut split = Split::default();
        for (subtopology, partitions) in current {
            let wanted = target.get(subtopology);
            let is_wanted = |partition: &i32| wanted.is_some_and(|set| set.contains(partition));
            let (kept, revoked): (BTreeSet<i32>, BTreeSet<i32>) = partitions
                .iter()
                .partition(|partition| is_wanted(partition));
            put(&mut split.kept, subtopology, kept);
            put(&mut split.revoked, subtopology, revoked);
        }
        for (subtopology, partitions) in target {
            let kept = split.kept.get(subtopology);
            let missing = partitions
                .iter()
                .filter(|partition| kept.is_none_or(|kept| !kept.contains(partition)));
            let mut gained = BTreeSet::new();
            for partition in missing {
                if self.owners.active(subtopology, *partition) == Some(self.process)
                    || self.owners.follows(subtopology, *partition, self.process)
                {
                    split.has_unreleased = true;
                } else {
                    gained.insert(*partition);
                }
            }
            put(&mut split.gained, subtopology, gained);
        }
        split
    }
}

#[derive(Default)]
struct Split {
    kept: Tasks,
    revoked: Tasks,
    gained: Tasks,
    has_unreleased: bool,
}

fn put(tasks: &mut Tasks, subtopology: &SubtopologyId, partitions: BTreeSet<i32>) {
    if !partitions.is_empty() {
        tasks.insert(subtopology.clone(), partitions);
    }
}

fn put_active(
    tasks: &mut ActiveTasks,
    subtopology: &SubtopologyId,
    partitions: BTreeMap<i32, i32>,
) {
    if !partitions.is_empty() {
        tasks.insert(subtopology.clone(), partitions);
    }
}
