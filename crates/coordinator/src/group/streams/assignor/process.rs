//! A client process while tasks are handed out: its members, and what each has so far.
//!
//! After `ProcessState.java`.

use std::collections::{BTreeMap, BTreeSet};

use types::MemberId;

use super::TaskId;
use super::queue::Queue;

/// The role of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Active,
    Standby,
}

/// One process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    task_counts: BTreeMap<MemberId, usize>,
    active: BTreeMap<MemberId, BTreeSet<TaskId>>,
    standby: BTreeMap<MemberId, BTreeSet<TaskId>>,
    tasks: BTreeSet<TaskId>,
    task_count: usize,
    /// Members by load; built when first needed, dropped when a member got a task past it.
    members_by_load: Option<Queue<(MemberId, usize)>>,
}

impl Process {
    pub(crate) fn add_member(&mut self, member: MemberId) {
        self.task_counts.insert(member, 0);
    }

    /// Tasks per member.
    pub(crate) fn load(&self) -> f64 {
        #[allow(
            clippy::cast_precision_loss,
            reason = "counts are far below 2^52, so they are exact"
        )]
        let load = self.task_count as f64 / self.task_counts.len() as f64;
        load
    }

    pub(crate) fn has_task(&self, task: &TaskId) -> bool {
        self.tasks.contains(task)
    }

    /// How many tasks a member has.
    pub(crate) fn tasks_of(&self, member: &MemberId) -> usize {
        self.task_counts.get(member).copied().unwrap_or(0)
    }

    /// Gives a task to a member; its number of tasks then.
    pub(crate) fn add_task(&mut self, member: &MemberId, task: &TaskId, role: Role) -> usize {
        self.members_by_load = None;
        self.add(member, task, role)
    }

    /// Gives a task to the member that has the fewest; its number of tasks then.
    pub(crate) fn add_task_to_least_loaded(&mut self, task: &TaskId, role: Role) -> Option<usize> {
        let is_less = |one: &(MemberId, usize), other: &(MemberId, usize)| one.1 < other.1;
        let mut queue = self.members_by_load.take().unwrap_or_else(|| {
            let mut queue = Queue::new();
            for (member, count) in &self.task_counts {
                queue.push((member.clone(), *count), is_less);
            }
            queue
        });
        let (member, _) = queue.pop(is_less)?;
        let count = self.add(&member, task, role);
        queue.push((member, count), is_less);
        self.members_by_load = Some(queue);
        Some(count)
    }

    fn add(&mut self, member: &MemberId, task: &TaskId, role: Role) -> usize {
        self.task_count += 1;
        self.tasks.insert(task.clone());
        let by_member = match role {
            Role::Active => &mut self.active,
            Role::Standby => &mut self.standby,
        };
        let tasks = by_member.entry(member.clone()).or_default();
        tasks.insert(task.clone());
        let count = self.task_counts.entry(member.clone()).or_default();
        *count += 1;
        *count
    }

    /// The tasks of each member that has any in this role.
    pub(crate) fn tasks_by_member(&self, role: Role) -> &BTreeMap<MemberId, BTreeSet<TaskId>> {
        match role {
            Role::Active => &self.active,
            Role::Standby => &self.standby,
        }
    }
}
