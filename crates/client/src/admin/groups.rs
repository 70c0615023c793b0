//! Listing, describing and deleting groups, classic ones and those of the newer consumer protocol (KIP-848).

use std::collections::BTreeMap;

use protocol::ErrorCode;
use protocol::messages::consumer_group_describe_response as consumer_groups;
use protocol::messages::describe_groups_response as classic_groups;
use protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest,
};

use super::AdminError;
use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, Lane, Target, TopicSelection};
use crate::connection::CallError;
use crate::group::{GroupCoordinator, decode_assignment};
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
    /// `Classic`, `Consumer`, `Share`; empty if the broker is too old to say.
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

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads.
    pub partitions: Vec<TopicPartition>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group_id: String,
    /// Its state, such as `Stable` or `Empty`.
    pub state: String,
    /// What its members speak, such as `consumer`.
    pub protocol_type: String,
    /// How partitions are shared.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// Describes a group, of whichever protocol. A group that does not exist is refused with `GROUP_ID_NOT_FOUND`.
pub async fn describe_group(
    cluster: &Cluster,
    group_id: &str,
) -> Result<GroupDescription, AdminError> {
    if let Some(described) = describe_consumer_group(cluster, group_id).await? {
        return Ok(described);
    }
    let coordinator = GroupCoordinator::new(cluster.clone(), group_id);
    let request = DescribeGroupsRequest {
        groups: vec![group_id.to_owned()],
        include_authorized_operations: false,
    };
    let response = coordinator
        .call(&request, |response| {
            response.groups.first().map_or(0, |group| group.error_code)
        })
        .await?;
    let broker = coordinator.broker().await?;
    let group = response.groups.into_iter().next();
    let group = group.ok_or_else(|| AdminError::Missing {
        subject: format!("group '{group_id}'"),
    })?;
    let message = group.error_message.as_deref();
    let checked = refusal::check(group.error_code, message);
    // Before version 6 a group that does not exist is described as dead.
    let checked = match checked {
        Ok(()) if group.group_state == "Dead" => Err(Refusal::new(ErrorCode::GroupIdNotFound)),
        other => other,
    };
    checked.map_err(|source| AdminError::Refused {
        attempted: format!("describe group '{group_id}'"),
        source,
    })?;
    read_classic(group, broker)
}

fn read_classic(
    group: classic_groups::DescribedGroup,
    coordinator: i32,
) -> Result<GroupDescription, AdminError> {
    let is_consumer = group.protocol_type == "consumer";
    let members = group.members.into_iter().map(|member| {
        // Groups of other kinds (Connect) put something else there.
        let partitions = if is_consumer {
            decode_assignment(member.member_assignment).map_err(|source| AdminError::Members {
                group: group.group_id.clone(),
                source,
            })?
        } else {
            Vec::new()
        };
        Ok(MemberDescription {
            member_id: member.member_id,
            group_instance_id: member.group_instance_id,
            client_id: member.client_id,
            host: member.client_host,
            partitions,
        })
    });
    let members = members.collect::<Result<Vec<_>, AdminError>>()?;
    Ok(GroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        assignor: group.protocol_data,
        coordinator,
        members,
    })
}

/// `None` if the group is not one of the newer protocol, or the broker does not know it.
async fn describe_consumer_group(
    cluster: &Cluster,
    group_id: &str,
) -> Result<Option<GroupDescription>, AdminError> {
    let coordinator = GroupCoordinator::new(cluster.clone(), group_id);
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group_id.to_owned()],
        include_authorized_operations: false,
    };
    let asked = coordinator
        .call(&request, |response| {
            response.groups.first().map_or(0, |group| group.error_code)
        })
        .await;
    let response = match asked {
        Ok(response) => response,
        Err(crate::group::CoordinatorError::Call(CallError::Unsupported { .. })) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let broker = coordinator.broker().await?;
    let Some(group) = response.groups.into_iter().next() else {
        return Ok(None);
    };
    let refusal = refusal::check(group.error_code, group.error_message.as_deref());
    match refusal {
        Ok(()) => Ok(Some(read_consumer(group, broker))),
        Err(refusal)
            if refusal.is(ErrorCode::GroupIdNotFound)
                || refusal.is(ErrorCode::UnsupportedVersion) =>
        {
            Ok(None)
        }
        Err(source) => Err(AdminError::Refused {
            attempted: format!("describe group '{group_id}'"),
            source,
        }),
    }
}

fn read_consumer(group: consumer_groups::DescribedGroup, coordinator: i32) -> GroupDescription {
    let members = group.members.into_iter().map(|member| {
        let assigned = member.assignment.topic_partitions.into_iter();
        let partitions = assigned.flat_map(|topic| {
            let name: std::sync::Arc<str> = topic.topic_name.into();
            topic
                .partitions
                .into_iter()
                .map(move |partition| TopicPartition::new(std::sync::Arc::clone(&name), partition))
        });
        MemberDescription {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.client_host,
            partitions: partitions.collect(),
        }
    });
    GroupDescription {
        members: members.collect(),
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: "consumer".to_owned(),
        assignor: group.assignor_name,
        coordinator,
    }
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
