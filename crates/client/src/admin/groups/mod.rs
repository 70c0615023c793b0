//! Groups of every kind: listing, describing, deleting, and the offsets they keep.

mod describe;
mod offsets;

use std::collections::BTreeMap;

use protocol::messages::{DeleteGroupsRequest, ListGroupsRequest};

pub use describe::{
    GroupDescription, GroupKind, MemberDescription, StreamsTask, TaskRole, describe_group,
};
pub use offsets::{
    ShareOffset, alter_share_group_offsets, delete_offsets, delete_share_group_offsets,
    share_group_offsets,
};

use super::AdminError;
use crate::cluster::{Cluster, Lane, Target, TopicSelection};
use crate::connection::CallError;
use crate::group::GroupCoordinator;
use crate::refusal::{self, Refusal};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its name.
    pub group_id: String,
    /// What its members speak, such as `consumer`; empty for groups that only have offsets.
    pub protocol_type: String,
    /// Its state, such as `Stable`; empty if the broker is too old to say.
    pub state: String,
    /// `Classic`, `Consumer`, `Share`, `Streams`; empty if the broker is too old to say.
    pub group_type: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

/// The versions that brought the filters.
const FIRST_LIST_WITH_STATES: i16 = 4;
const FIRST_LIST_WITH_TYPES: i16 = 5;

/// All groups of all brokers; the filters let everything through when they are empty.
pub async fn list_groups(
    cluster: &Cluster,
    states: &[String],
    types: &[String],
) -> Result<Vec<GroupListing>, AdminError> {
    let metadata = cluster.metadata(TopicSelection::None).await?;
    let mut groups = Vec::new();
    for id in metadata.brokers.into_keys() {
        let connection = cluster.connection(Target::Broker(id), Lane::Control).await;
        let connection = connection.map_err(CallError::from)?;
        let version = connection.version_of::<ListGroupsRequest>(i16::MAX)?;
        let request = ListGroupsRequest {
            states_filter: if version >= FIRST_LIST_WITH_STATES {
                states.to_vec()
            } else {
                Vec::new()
            },
            types_filter: if version >= FIRST_LIST_WITH_TYPES {
                types.to_vec()
            } else {
                Vec::new()
            },
        };
        let limit = cluster.config().request_timeout;
        let response = connection.call_version(&request, version, limit).await?;
        refusal::check(response.error_code, None).map_err(|source| AdminError::Refused {
            attempted: format!("list the groups of broker {id}"),
            source,
        })?;
        groups.extend(response.groups.into_iter().map(|group| GroupListing {
            group_id: group.group_id,
            protocol_type: group.protocol_type,
            state: group.group_state,
            group_type: group.group_type,
            coordinator: id,
        }));
    }
    groups.sort();
    Ok(groups)
}

/// Deletes groups that have no members, each at its coordinator.
pub async fn delete_groups(
    cluster: &Cluster,
    group_ids: &[String],
) -> Result<BTreeMap<String, Result<(), Refusal>>, AdminError> {
    let mut results = BTreeMap::new();
    for group_id in group_ids {
        let coordinator = GroupCoordinator::new(cluster.clone(), group_id.as_str());
        let request = DeleteGroupsRequest {
            groups_names: vec![group_id.clone()],
        };
        let response = coordinator
            .call(&request, |response| {
                response.results.first().map_or(0, |group| group.error_code)
            })
            .await?;
        let result = response.results.into_iter().next();
        let result = result.ok_or_else(|| AdminError::Missing {
            subject: format!("group '{group_id}'"),
        })?;
        results.insert(group_id.clone(), refusal::check(result.error_code, None));
    }
    Ok(results)
}
