//! ShareGroupDescribe.

use std::collections::BTreeSet;
use std::sync::Arc;

use types::{GroupId, MemberId, TopicName};

use super::state::ShareGroup;
use crate::group::classic::member::Client;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;

/// A share group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedShareGroup {
    /// The group.
    pub group: GroupId,
    /// Its state, as Kafka's tools print it.
    pub state: &'static str,
    /// Counts changes of the group.
    pub epoch: Epoch,
    /// The epoch the target was computed for.
    pub target_epoch: Epoch,
    /// Its members, by id.
    pub members: Vec<DescribedShareMember>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedShareMember {
    /// The member.
    pub member: MemberId,
    /// Where it is.
    pub rack: Option<Arc<str>>,
    /// Who it said it is.
    pub client: Client,
    /// Its epoch.
    pub epoch: Epoch,
    /// What it wants to read.
    pub topics: BTreeSet<TopicName>,
    /// What it reads.
    pub assigned: TopicPartitions,
}

pub(crate) fn describe(group: &ShareGroup) -> DescribedShareGroup {
    DescribedShareGroup {
        group: group.id.clone(),
        state: group.state_name(),
        epoch: group.epoch,
        target_epoch: group.target.epoch,
        members: group
            .members
            .iter()
            .map(|(id, member)| DescribedShareMember {
                member: id.clone(),
                rack: member.rack.clone(),
                client: member.client.clone(),
                epoch: member.epoch,
                topics: member.topics.clone(),
                assigned: member.assigned.clone(),
            })
            .collect(),
    }
}
