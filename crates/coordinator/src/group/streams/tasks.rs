//! Sets of tasks: a task is a subtopology and a partition of its input.
//!
//! After `TasksTuple.java` and `TasksTupleWithEpochs.java`. Invariant: no subtopology has an empty set, so that equal
//! assignments are equal values.

use std::collections::{BTreeMap, BTreeSet};

use super::topology::SubtopologyId;

/// Partitions by subtopology. Partitions are bare numbers because members report whatever they like to own.
pub type Tasks = BTreeMap<SubtopologyId, BTreeSet<i32>>;

/// Active tasks with the epoch in which each was assigned: commits are taken from that epoch on.
pub type ActiveTasks = BTreeMap<SubtopologyId, BTreeMap<i32, i32>>;

/// The tasks a member should have, or says it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSet {
    /// Tasks that process records.
    pub active: Tasks,
    /// Tasks that follow the state of an active one.
    pub standby: Tasks,
    /// Tasks that catch up with the state of an active one before they take over.
    pub warmup: Tasks,
}

/// The tasks a member was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignedTasks {
    /// Tasks that process records.
    pub active: ActiveTasks,
    /// Tasks that follow the state of an active one.
    pub standby: Tasks,
    /// Tasks that catch up with the state of an active one before they take over.
    pub warmup: Tasks,
}

impl TaskSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// Whether any of `other` is among these, in the same role.
    pub(crate) fn contains_any(&self, other: &AssignedTasks) -> bool {
        let active = other.active.iter().any(|(subtopology, partitions)| {
            let owned = self.active.get(subtopology);
            owned.is_some_and(|owned| partitions.keys().any(|partition| owned.contains(partition)))
        });
        active
            || intersects(&self.standby, &other.standby)
            || intersects(&self.warmup, &other.warmup)
    }
}

impl AssignedTasks {
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// These and `other`; for a task in both, `other`'s epoch.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        for (subtopology, partitions) in other.active {
            self.active
                .entry(subtopology)
                .or_default()
                .extend(partitions);
        }
        merge(&mut self.standby, other.standby);
        merge(&mut self.warmup, other.warmup);
        self
    }

    /// Whether every task of `owned` is among these, in the same role.
    pub(crate) fn contains_all(&self, owned: &TaskSet) -> bool {
        let active = owned.active.iter().all(|(subtopology, partitions)| {
            let assigned = self.active.get(subtopology);
            assigned.is_some_and(|assigned| {
                partitions
                    .iter()
                    .all(|partition| assigned.contains_key(partition))
            })
        });
        active
            && contains_all(&self.standby, &owned.standby)
            && contains_all(&self.warmup, &owned.warmup)
    }

    /// The epoch in which an active task was assigned.
    pub(crate) fn active_epoch(&self, subtopology: &SubtopologyId, partition: i32) -> Option<i32> {
        self.active.get(subtopology)?.get(&partition).copied()
    }
}

fn intersects(one: &Tasks, other: &Tasks) -> bool {
    other.iter().any(|(subtopology, partitions)| {
        let owned = one.get(subtopology);
        owned.is_some_and(|owned| !owned.is_disjoint(partitions))
    })
}

fn contains_all(all: &Tasks, some: &Tasks) -> bool {
    some.iter().all(|(subtopology, partitions)| {
        let all = all.get(subtopology);
        all.is_some_and(|all| partitions.is_subset(all))
    })
}

fn merge(tasks: &mut Tasks, other: Tasks) {
    for (subtopology, partitions) in other {
        tasks.entry(subtopology).or_default().extend(partitions);
    }
}
