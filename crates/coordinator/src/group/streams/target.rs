//! The target assignment of a group.
//!
//! After `TargetAssignmentBuilder.java`. Only members whose target changes get a record; the epoch's record comes last,
//! so that a log that ends early still has the group assign anew.

use std::collections::BTreeMap;

use types::MemberId;

use super::assignor::sticky::{self, NoProcess};
use super::assignor::{GroupAssignment, MemberSpec, MemberSpecs, SubtopologySpec};
use super::member::Member;
use super::tasks::TaskSet;
use super::topics::ConfiguredTopology;

/// The target of every member, where the topology cannot run: nothing.
static NOTHING: TaskSet = TaskSet {
    active: BTreeMap::new(),
    standby: BTreeMap::new(),
    warmup: BTreeMap::new(),
};

/// Computes a target for every member.
///
/// # Errors
/// There are tasks and nobody to run them.
pub(crate) fn assign<'a>(
    members: impl IntoIterator<Item = &'a Member>,
    previous: &'a BTreeMap<MemberId, TaskSet>,
    topology: &ConfiguredTopology,
    standby_replicas: usize,
) -> Result<GroupAssignment, NoProcess> {
    let specs: MemberSpecs<'_> = members
        .into_iter()
        .map(|member| {
            let spec = MemberSpec {
                process: member.metadata.process.clone(),
                previous: previous.get(&member.id).unwrap_or(&NOTHING),
            };
            (member.id.clone(), spec)
        })
        .collect();
    match &topology.subtopologies {
        Some(subtopologies) if topology.is_ready() => {
            let subtopologies: Vec<SubtopologySpec> = subtopologies
                .iter()
                .map(|(id, subtopology)| SubtopologySpec {
                    id: id.clone(),
                    tasks: subtopology.tasks,
                    is_stateful: subtopology.is_stateful(),
                })
                .collect();
            sticky::assign(&specs, &subtopologies, standby_replicas)
        }
        _ => Ok(specs
            .into_keys()
            .map(|member| (member, TaskSet::default()))
            .collect()),
    }
}
