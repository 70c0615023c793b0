//! The target assignment of a group.
//!
//! After `TargetAssignmentBuilder.java`. Only members whose target changes get a record; the epoch's record comes last,
//! so that a log that ends early still has the group assign anew.

use std::collections::BTreeMap;

use types::MemberId;

use super::assignor::sticky::{self, NoProcess};
use super::assignor::{GroupAssignment, MemberSpec, MemberSpecs, SubtopologySpec};
use super::member::Member;
use super::record::StreamsRecord;
use super::state::StreamsGroup;
use super::tasks::TaskSet;
use super::topics::ConfiguredTopology;

/// The target of every member, where the topology cannot run: nothing.
static NOTHING: TaskSet = TaskSet {
    active: BTreeMap::new(),
    standby: BTreeMap::new(),
    warmup: BTreeMap::new(),
};

/// A new target assignment and its records.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) records: Vec<StreamsRecord>,
    by_member: BTreeMap<MemberId, TaskSet>,
}

impl Targets {
    pub(super) fn of(&self, member: &MemberId) -> TaskSet {
        self.by_member.get(member).cloned().unwrap_or_default()
    }
}

/// Assigns all tasks anew, for the members of the group and `updated`.
///
/// # Errors
/// There are tasks and nobody to run them.
pub(crate) fn assign(
    group: &StreamsGroup,
    updated: Option<&Member>,
    configured: &ConfiguredTopology,
    standby_replicas: usize,
    epoch: i32,
) -> Result<Targets, NoProcess> {
    let others = group.members().values();
    let others = others.filter(|member| updated.is_none_or(|updated| updated.id != member.id));
    let members = others.chain(updated);
    let by_member = targets_of(members, group.targets(), configured, standby_replicas)?;
    let mut records = Vec::new();
    for (member, tasks) in &by_member {
        if group.targets().get(member) != Some(tasks) {
            records.push(StreamsRecord::TargetMember {
                member: member.clone(),
                value: Some(tasks.clone()),
            });
        }
    }
    records.push(StreamsRecord::TargetEpoch(Some(epoch)));
    Ok(Targets { records, by_member })
}

/// A target for every member.
///
/// # Errors
/// There are tasks and nobody to run them.
fn targets_of<'a>(
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
