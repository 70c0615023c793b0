//! Who should run which task: a function of the members, their previous tasks and the topology.

pub(crate) mod process;
pub(crate) mod queue;
pub(crate) mod sticky;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use types::MemberId;

use super::tasks::TaskSet;
use super::topology::SubtopologyId;

/// Names a client process; its members share a state directory.
pub type ProcessId = Arc<str>;

/// One task: a partition of a subtopology.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId {
    pub(crate) subtopology: SubtopologyId,
    pub(crate) partition: i32,
}

/// What the assignor knows of a member.
#[derive(Clone, Debug)]
pub(crate) struct MemberSpec<'a> {
    pub(crate) process: ProcessId,
    /// Its previous target.
    pub(crate) previous: &'a TaskSet,
}

/// What the assignor knows of a subtopology.
#[derive(Clone, Debug)]
pub(crate) struct SubtopologySpec {
    pub(crate) id: SubtopologyId,
    /// The number of its tasks.
    pub(crate) tasks: i32,
    /// Whether it has state that standby tasks could follow.
    pub(crate) is_stateful: bool,
}

/// The members to assign to, by id.
pub(crate) type MemberSpecs<'a> = BTreeMap<MemberId, MemberSpec<'a>>;

/// A target for every member.
pub(crate) type GroupAssignment = BTreeMap<MemberId, TaskSet>;
