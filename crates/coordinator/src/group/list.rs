//! ListGroups.
//!
//! After `GroupMetadataManager.listGroups`: filters are compared without regard to case, and a filter of names that do
//! not exist matches nothing.

use std::fmt;
use std::sync::Arc;

use types::GroupId;

use super::kind::Group;

/// ListGroups, for one shard.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Names of states; none means all (version 4).
    pub states: Vec<String>,
    /// Names of group types; none means all (version 5).
    pub types: Vec<String>,
}

/// The protocol a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupType {
    /// JoinGroup and SyncGroup, or only commits.
    Classic,
    /// KIP-1071.
    Streams,
    /// Members share partitions (KIP-932).
    Share,
    /// ConsumerGroupHeartbeat.
    Consumer,
}

impl GroupType {
    /// The name as Kafka's tools print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Streams => "streams",
            Self::Share => "share",
            Self::Consumer => "consumer",
        }
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group: GroupId,
    /// `consumer`, `connect`, ...; `None` if nobody ever joined.
    pub protocol_type: Option<Arc<str>>,
    /// Its state, as Kafka's tools print it.
    pub state: &'static str,
    /// Its type.
    pub group_type: GroupType,
}

pub(crate) fn list<'a>(
    groups: impl Iterator<Item = (&'a GroupId, &'a Group)>,
    request: &ListRequest,
) -> Vec<ListedGroup> {
    let state_matches = |state: &str| {
        let names = |wanted: &String| wanted.trim().eq_ignore_ascii_case(state);
        request.states.is_empty() || request.states.iter().any(names)
    };
    let type_matches = |group_type: GroupType| {
        let names = |wanted: &String| wanted.eq_ignore_ascii_case(group_type.name());
        request.types.is_empty() || request.types.iter().any(names)
    };
    groups
        .filter(|(_, group)| state_matches(group.state_filter_name()))
        .map(|(id, group)| ListedGroup {
            group: id.clone(),
            protocol_type: group.protocol_type(),
            state: group.state_name(),
            group_type: group.group_type(),
        })
        .filter(|group| type_matches(group.group_type))
        .collect()
}
