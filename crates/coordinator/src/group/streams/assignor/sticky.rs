//! The `sticky` task assignor: tasks stay where their state is, as far as the load stays even.
//!
//! After `StickyTaskAssignor.java`, step by step. Active tasks go first to who had them, then to who followed them as a
//! standby, then to the least loaded process; standby tasks go to who had the task in any role, then to the least
//! loaded process that does not have it. Where Kafka's order is that of a Java hash map, this one goes by id, so that
//! the same group always gets the same assignment.

use std::collections::BTreeMap;

use types::MemberId;

use super::process::{Process, Role};
use super::queue::Queue;
use super::{GroupAssignment, MemberSpecs, ProcessId, SubtopologySpec, TaskId};
use crate::group::streams::tasks::{TaskSet, Tasks};

/// There is nobody to assign to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no process is available to run tasks")]
pub(crate) struct NoProcess;

/// Where a task was before.
#[derive(Clone, Debug)]
struct Previous {
    process: ProcessId,
    member: MemberId,
}

/// An even share, shrinking as members reach it: what is left is spread over who is left.
#[derive(Debug)]
struct Quota {
    tasks: usize,
    members: usize,
    per_member: usize,
}

impl Quota {
    fn new(tasks: usize, members: usize) -> Self {
        Self {
            tasks,
            members,
            per_member: tasks
                .checked_div(members)
                .map_or(0, |_| tasks.div_ceil(members)),
        }
    }

    /// A member now has `count` tasks.
    fn note(&mut self, count: usize) {
        if count == self.per_member {
            *self = Self::new(
                self.tasks.saturating_sub(count),
                self.members.saturating_sub(1),
            );
        }
    }
}

/// The state of one assignment.
#[derive(Debug)]
struct Assignor {
    standby_replicas: usize,
    active_quota: Quota,
    total_quota: Quota,
    processes: BTreeMap<ProcessId, Process>,
    previous_active: BTreeMap<TaskId, Previous>,
    previous_standby: BTreeMap<TaskId, Vec<Previous>>,
}

/// A target for every member.
///
/// # Errors
/// There are tasks but no members.
pub(crate) fn assign(
    members: &MemberSpecs<'_>,
    subtopologies: &[SubtopologySpec],
    standby_replicas: usize,
) -> Result<GroupAssignment, NoProcess> {
    let mut assignor = Assignor::new(members, subtopologies, standby_replicas);
    assignor.assign_active(tasks(subtopologies, |_| true))?;
    if standby_replicas > 0 {
        assignor.assign_standby(tasks(subtopologies, |subtopology| subtopology.is_stateful));
    }
    Ok(assignor.result(members))
}

fn tasks(
    subtopologies: &[SubtopologySpec],
    wanted: impl Fn(&SubtopologySpec) -> bool,
) -> Vec<TaskId> {
    let wanted = subtopologies.iter().filter(|one| wanted(one));
    wanted
        .flat_map(|subtopology| {
            (0..subtopology.tasks).map(|partition| TaskId {
                subtopology: subtopology.id.clone(),
                partition,
            })
        })
        .collect()
}

fn by_partition(one: &TaskId, other: &TaskId) -> std::cmp::Ordering {
    (one.partition, &one.subtopology).cmp(&(other.partition, &other.subtopology))
}

impl Assignor {
    fn new(
        members: &MemberSpecs<'_>,
        subtopologies: &[SubtopologySpec],
        standby_replicas: usize,
    ) -> Self {
        let mut active = 0;
        let mut standby = 0;
        for subtopology in subtopologies {
            let count = usize::try_from(subtopology.tasks).unwrap_or(0);
            active += count;
            if subtopology.is_stateful {
                standby += count.saturating_mul(standby_replicas);
            }
        }
        let mut assignor = Self {
            standby_replicas,
            active_quota: Quota::new(active, members.len()),
            total_quota: Quota::new(active + standby, members.len()),
            processes: BTreeMap::new(),
            previous_active: BTreeMap::new(),
            previous_standby: BTreeMap::new(),
        };
        for (member, spec) in members {
            let process = assignor.processes.entry(spec.process.clone()).or_default();
            process.add_member(member.clone());
            let previous = Previous {
                process: spec.process.clone(),
                member: member.clone(),
            };
            for task in task_ids(&spec.previous.active) {
                assignor.previous_active.insert(task, previous.clone());
            }
            for task in task_ids(&spec.previous.standby) {
                let members = assignor.previous_standby.entry(task).or_default();
                members.push(previous.clone());
            }
        }
        assignor
    }

    fn assign_active(&mut self, mut open: Vec<TaskId>) -> Result<(), NoProcess> {
        // An assignment is range-based, so it pairs equal partitions: those of one partition come together.
        open.sort_by(by_partition);
        open.retain(|task| {
            let previous = self.previous_active.get(task).cloned();
            !self.keep_active(previous, task)
        });
        open.retain(|task| {
            let previous = self.least_loaded_standby(task, false);
            !self.keep_active(previous, task)
        });
        open.sort();
        let mut queue = self.processes_by_load();
        for task in &open {
            let process = queue.pop(by_load).ok_or(NoProcess)?.1;
            let count = self.give_to_least_loaded(&process, task, Role::Active);
            let count = count.ok_or(NoProcess)?;
            self.active_quota.note(count);
            self.total_quota.note(count);
            self.requeue(&mut queue, process);
        }
        Ok(())
    }

    /// Gives an active task to who had it, unless that member has its share.
    fn keep_active(&mut self, previous: Option<Previous>, task: &TaskId) -> bool {
        let Some(previous) = previous else {
            return false;
        };
        let Some(process) = self.processes.get_mut(&previous.process) else {
            return false;
        };
        if process.tasks_of(&previous.member) >= self.active_quota.per_member {
            return false;
        }
        let count = process.add_task(&previous.member, task, Role::Active);
        self.active_quota.note(count);
        self.total_quota.note(count);
        true
    }

    fn assign_standby(&mut self, mut stateful: Vec<TaskId>) {
        stateful.sort_by(|one, other| by_partition(other, one));
        let mut open: Vec<(TaskId, usize)> = Vec::new();
        for task in stateful {
            let kept = (0..self.standby_replicas)
                .take_while(|_| self.keep_standby(&task))
                .count();
            if kept < self.standby_replicas {
                open.push((task, self.standby_replicas - kept));
            }
        }
        open.sort_by(|one, other| other.0.cmp(&one.0));
        let mut queue = self.processes_by_load();
        for (task, replicas) in &open {
            for _ in 0..*replicas {
                // Too few processes for so many replicas: the rest is not made.
                if !self.assign_standby_to_least_loaded(&mut queue, task) {
                    break;
                }
            }
        }
    }

    /// Gives a standby task to a member that had it in any role, unless that process has it now or the member has its
    /// share.
    fn keep_standby(&mut self, task: &TaskId) -> bool {
        if let Some(previous) = self.previous_active.get(task).cloned() {
            let has_task = self
                .processes
                .get(&previous.process)
                .is_some_and(|process| process.has_task(task));
            if !has_task && self.keep_standby_at(&previous, task) {
                return true;
            }
        }
        match self.least_loaded_standby(task, true) {
            Some(previous) => self.keep_standby_at(&previous, task),
            None => false,
        }
    }

    fn keep_standby_at(&mut self, previous: &Previous, task: &TaskId) -> bool {
        let Some(process) = self.processes.get_mut(&previous.process) else {
            return false;
        };
        if process.tasks_of(&previous.member) >= self.total_quota.per_member {
            return false;
        }
        let count = process.add_task(&previous.member, task, Role::Standby);
        self.total_quota.note(count);
        true
    }

    /// Of those that followed the task, who has the least to do. With `without_task`, only processes without the task
    /// count; Kafka asks the first of them once more at the end, whoever was found.
    fn least_loaded_standby(&self, task: &TaskId, without_task: bool) -> Option<Previous> {
        let members = self.previous_standby.get(task)?;
        let mut candidate = members.first()?;
        let first = self.processes.get(&candidate.process)?;
        let mut process_load = first.load();
        let mut member_load = first.tasks_of(&candidate.member);
        for member in members.iter().skip(1) {
            let Some(process) = self.processes.get(&member.process) else {
                continue;
            };
            let load = process.load();
            let tasks = process.tasks_of(&member.member);
            let is_free = !without_task || !process.has_task(task);
            if load < process_load && is_free && tasks < member_load {
                process_load = load;
                member_load = tasks;
                candidate = member;
            }
        }
        (!without_task || !first.has_task(task)).then(|| candidate.clone())
    }

    fn assign_standby_to_least_loaded(
        &mut self,
        queue: &mut Queue<(f64, ProcessId)>,
        task: &TaskId,
    ) -> bool {
        let mut passed = Vec::new();
        let mut found = false;
        while let Some((_, process)) = queue.pop(by_load) {
            let has_task = self
                .processes
                .get(&process)
                .is_some_and(|process| process.has_task(task));
            passed.push(process.clone());
            if !has_task {
                if let Some(count) = self.give_to_least_loaded(&process, task, Role::Standby) {
                    self.total_quota.note(count);
                    found = true;
                }
                break;
            }
        }
        for process in passed.into_iter().rev() {
            self.requeue(queue, process);
        }
        found
    }

    fn give_to_least_loaded(
        &mut self,
        process: &ProcessId,
        task: &TaskId,
        role: Role,
    ) -> Option<usize> {
        let process = self.processes.get_mut(process)?;
        process.add_task_to_least_loaded(task, role)
    }

    fn processes_by_load(&self) -> Queue<(f64, ProcessId)> {
        let mut queue = Queue::new();
        for process in self.processes.keys() {
            self.requeue(&mut queue, process.clone());
        }
        queue
    }

    fn requeue(&self, queue: &mut Queue<(f64, ProcessId)>, process: ProcessId) {
        let load = self.processes.get(&process).map_or(0.0, Process::load);
        queue.push((load, process), by_load);
    }

    fn result(&self, members: &MemberSpecs<'_>) -> GroupAssignment {
        let mut assignment: GroupAssignment = members
            .keys()
            .map(|member| (member.clone(), TaskSet::default()))
            .collect();
        for process in self.processes.values() {
            for (member, tasks) in process.tasks_by_member(Role::Active) {
                let target = assignment.entry(member.clone()).or_default();
                add_all(&mut target.active, tasks);
            }
            for (member, tasks) in process.tasks_by_member(Role::Standby) {
                let target = assignment.entry(member.clone()).or_default();
                add_all(&mut target.standby, tasks);
            }
        }
        assignment
    }
}

fn by_load(one: &(f64, ProcessId), other: &(f64, ProcessId)) -> bool {
    one.0 < other.0
}

fn add_all<'a>(target: &mut Tasks, tasks: impl IntoIterator<Item = &'a TaskId>) {
    for task in tasks {
        let partitions = target.entry(task.subtopology.clone()).or_default();
        partitions.insert(task.partition);
    }
}

fn task_ids(tasks: &Tasks) -> impl Iterator<Item = TaskId> {
    tasks.iter().flat_map(|(subtopology, partitions)| {
        partitions.iter().map(|partition| TaskId {
            subtopology: subtopology.clone(),
            partition: *partition,
        })
    })
}
