//! DescribeGroups.
//!
//! After `GroupMetadataManager.describeGroups`.

use std::sync::Arc;

use types::{GroupId, InstanceId, MemberId};

use super::classic::generation::GroupState;
use super::classic::member::{Client, Member};
use super::kind::Group;

/// DescribeGroups, for the groups of one shard.
#[derive(Clone, Debug)]
pub struct DescribeRequest {
    /// The groups.
    pub groups: Vec<GroupId>,
}

/// One group; `None` in [`Self::state`] for a group nobody knows (`Dead`, and an error from version 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// The group.
    pub group: GroupId,
    /// Its state.
    pub state: Option<GroupState>,
    /// `consumer`, `connect`, ...; `None` if nobody ever joined.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen protocol, in Stable only.
    pub protocol: Option<Arc<str>>,
    /// The members, in the order of their ids.
    pub members: Vec<DescribedMember>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// The member.
    pub member: MemberId,
    /// Its static name, if it has one.
    pub instance: Option<InstanceId>,
    /// Who it said it is.
    pub client: Client,
    /// Its metadata for the chosen protocol, in Stable only; else empty.
    pub metadata: Arc<[u8]>,
    /// Its assignment; may be empty.
    pub assignment: Arc<[u8]>,
}

/// A group of another protocol is as unknown to DescribeGroups as one that does not exist.
pub(crate) fn describe(id: GroupId, group: Option<&Group>) -> DescribedGroup {
    let Some(group) = group.and_then(Group::classic) else {
        return DescribedGroup {
            group: id,
            state: None,
            protocol_type: None,
            protocol: None,
            members: Vec::new(),
        };
    };
    let is_stable = group.state() == GroupState::Stable;
    let protocol = group.protocol().filter(|_| is_stable);
    let described = |member: &Member| DescribedMember {
        member: member.id.clone(),
        instance: member.instance.clone(),
        client: member.client.clone(),
        metadata: protocol
            .and_then(|protocol| member.metadata(protocol))
            .map_or_else(|| Arc::from([]), Arc::clone),
        assignment: member.assignment.clone(),
    };
    DescribedGroup {
        group: id,
        state: Some(group.state()),
        protocol_type: group.protocol_type().cloned(),
        protocol: protocol.cloned(),
        members: group.members().map(described).collect(),
    }
}
