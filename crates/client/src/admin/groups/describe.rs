//! What a group is and who is in it, for all four kinds.
//!
//! Each kind has an API of its own, and the coordinator alone knows the kind of a group: the newer ones are asked first,
//! because the oldest also has an answer for groups it does not know.

use std::fmt;
use std::sync::Arc;

use protocol::messages::consumer_group_describe_response as consumer_groups;
use protocol::messages::describe_groups_response as classic_groups;
use protocol::messages::share_group_describe_response as share_groups;
use protocol::messages::streams_group_describe_response as streams_groups;
use protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, ShareGroupDescribeRequest,
    StreamsGroupDescribeRequest,
};
use protocol::{ErrorCode, Request};

use super::super::AdminError;
use crate::assignor::TopicPartition;
use crate::cluster::Cluster;
use crate::connection::CallError;
use crate::group::{CoordinatorError, GroupCoordinator, decode_assignment};
use crate::refusal::{self, Refusal};

/// How the members of a group are coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// JoinGroup and SyncGroup; the members assign.
    Classic,
    /// KIP-848: the broker assigns.
    Consumer,
    /// KIP-932: the members share partitions record by record.
    Share,
    /// KIP-1071: tasks of a Kafka Streams topology.
    Streams,
}

impl fmt::Display for GroupKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
        })
    }
}

/// What a member of a streams group does with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskRole {
    /// It processes the task.
    Active,
    /// It keeps a copy of the task's state.
    Standby,
    /// It builds up the task's state, to take it over.
    Warmup,
}

impl fmt::Display for TaskRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Warmup => "warmup",
        })
    }
}

/// A task of a Kafka Streams topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsTask {
    /// The part of the topology it runs.
    pub subtopology: String,
    /// The partition of the part's source topics.
    pub partition: i32,
    /// What the member does with it.
    pub role: TaskRole,
}

impl fmt::Display for StreamsTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subtopology,
            partition,
            role,
        } = self;
        match role {
            TaskRole::Active => write!(formatter, "{subtopology}_{partition}"),
            _ => write!(formatter, "{subtopology}_{partition} ({role})"),
        }
    }
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
    /// What it reads; members of a share group may read the same.
    pub partitions: Vec<TopicPartition>,
    /// What it runs, in a streams group.
    pub tasks: Vec<StreamsTask>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group_id: String,
    /// How its members are coordinated.
    pub kind: GroupKind,
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

/// Describes a group of any kind. A group that does not exist is refused with `GROUP_ID_NOT_FOUND`.
pub async fn describe_group(
    cluster: &Cluster,
    group_id: &str,
) -> Result<GroupDescription, AdminError> {
    let coordinator = GroupCoordinator::new(cluster.clone(), group_id);
    if let Some(described) = ask::<ConsumerGroupDescribeRequest>(&coordinator).await? {
        return Ok(described);
    }
    if let Some(described) = ask::<ShareGroupDescribeRequest>(&coordinator).await? {
        return Ok(described);
    }
    if let Some(described) = ask::<StreamsGroupDescribeRequest>(&coordinator).await? {
        return Ok(described);
    }
    classic_group(&coordinator).await
}

/// An API that describes groups of one kind.
trait DescribesKind: Request {
    /// What it tells of a group.
    type Group;

    fn about(group: &str) -> Self;
    fn groups(response: &Self::Response) -> &[Self::Group];
    fn into_groups(response: Self::Response) -> Vec<Self::Group>;
    fn error(group: &Self::Group) -> (i16, Option<&str>);
    fn read(group: Self::Group, coordinator: i32) -> GroupDescription;
}

/// The messages of these APIs differ only in what they tell of a group.
macro_rules! describes_kind {
    ($request:ident, $group:ty, $read:ident) => {
        impl DescribesKind for $request {
            type Group = $group;

            fn about(group: &str) -> Self {
                Self {
                    group_ids: vec![group.to_owned()],
                    include_authorized_operations: false,
                }
            }

            fn groups(response: &Self::Response) -> &[Self::Group] {
                &response.groups
            }

            fn into_groups(response: Self::Response) -> Vec<Self::Group> {
                response.groups
            }

            fn error(group: &Self::Group) -> (i16, Option<&str>) {
                (group.error_code, group.error_message.as_deref())
            }

            fn read(group: Self::Group, coordinator: i32) -> GroupDescription {
                $read(group, coordinator)
            }
        }
    };
}

describes_kind!(
    ConsumerGroupDescribeRequest,
    consumer_groups::DescribedGroup,
    read_consumer
);
describes_kind!(
    ShareGroupDescribeRequest,
    share_groups::DescribedGroup,
    read_share
);
describes_kind!(
    StreamsGroupDescribeRequest,
    streams_groups::DescribedGroup,
    read_streams
);

/// Asks the coordinator about a group; `None` if the group is of another kind, or the API is not known.
async fn ask<R: DescribesKind>(
    coordinator: &GroupCoordinator,
) -> Result<Option<GroupDescription>, AdminError> {
    let request = R::about(coordinator.group_id());
    let error_code = |response: &R::Response| {
        R::groups(response)
            .first()
            .map_or(0, |group| R::error(group).0)
    };
    let response = match coordinator.call(&request, error_code).await {
        Ok(response) => response,
        Err(CoordinatorError::Call(CallError::Unsupported { .. })) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let broker = coordinator.broker().await?;
    let Some(group) = R::into_groups(response).into_iter().next() else {
        return Ok(None);
    };
    let (error_code, message) = R::error(&group);
    let is_there = found(coordinator, error_code, message)?;
    Ok(is_there.then(|| R::read(group, broker)))
}

async fn classic_group(coordinator: &GroupCoordinator) -> Result<GroupDescription, AdminError> {
    let request = DescribeGroupsRequest {
        groups: vec![coordinator.group_id().as_ref().to_owned()],
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
        subject: format!("group '{}'", coordinator.group_id()),
    })?;
    let message = group.error_message.as_deref();
    let checked = refusal::check(group.error_code, message);
    // Before version 6 a group that does not exist is described as dead.
    let checked = match checked {
        Ok(()) if group.group_state == "Dead" => Err(Refusal::new(ErrorCode::GroupIdNotFound)),
        other => other,
    };
    checked.map_err(|source| refused(coordinator, source))?;
    read_classic(group, broker)
}

fn read_classic(
    group: classic_groups::DescribedGroup,
    coordinator: i32,
) -> Result<GroupDescription, AdminError> {
    let is_consumer = group.protocol_type == "consumer";
    let members = group.members.into_iter().map(|member| {
        // Groups of other protocol types (Connect) put something else there.
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
            tasks: Vec::new(),
        })
    });
    let members = members.collect::<Result<Vec<_>, AdminError>>()?;
    Ok(GroupDescription {
        kind: GroupKind::Classic,
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        assignor: group.protocol_data,
        coordinator,
        members,
    })
}

fn read_consumer(group: consumer_groups::DescribedGroup, coordinator: i32) -> GroupDescription {
    let members = group.members.into_iter().map(|member| {
        let assigned = member.assignment.topic_partitions.into_iter();
        MemberDescription {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.client_host,
            partitions: assigned
                .flat_map(|topic| partitions(topic.topic_name, topic.partitions))
                .collect(),
            tasks: Vec::new(),
        }
    });
    GroupDescription {
        kind: GroupKind::Consumer,
        members: members.collect(),
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: "consumer".to_owned(),
        assignor: group.assignor_name,
        coordinator,
    }
}

fn read_share(group: share_groups::DescribedGroup, coordinator: i32) -> GroupDescription {
    let members = group.members.into_iter().map(|member| {
        let assigned = member.assignment.topic_partitions.into_iter();
        MemberDescription {
            member_id: member.member_id,
            group_instance_id: None,
            client_id: member.client_id,
            host: member.client_host,
            partitions: assigned
                .flat_map(|topic| partitions(topic.topic_name, topic.partitions))
                .collect(),
            tasks: Vec::new(),
        }
    });
    GroupDescription {
        kind: GroupKind::Share,
        members: members.collect(),
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: "share".to_owned(),
        assignor: group.assignor_name,
        coordinator,
    }
}

fn read_streams(group: streams_groups::DescribedGroup, coordinator: i32) -> GroupDescription {
    let members = group.members.into_iter().map(|member| {
        let assigned = member.assignment;
        let roles = [
            (TaskRole::Active, assigned.active_tasks),
            (TaskRole::Standby, assigned.standby_tasks),
            (TaskRole::Warmup, assigned.warmup_tasks),
        ];
        MemberDescription {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.client_host,
            partitions: Vec::new(),
            tasks: roles
                .into_iter()
                .flat_map(|(role, tasks)| {
                    tasks.into_iter().flat_map(move |ids| tasks_of(role, ids))
                })
                .collect(),
        }
    });
    GroupDescription {
        kind: GroupKind::Streams,
        members: members.collect(),
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: "streams".to_owned(),
        assignor: String::new(),
        coordinator,
    }
}

fn tasks_of(role: TaskRole, ids: streams_groups::TaskIds) -> impl Iterator<Item = StreamsTask> {
    let subtopology = ids.subtopology_id;
    ids.partitions
        .into_iter()
        .map(move |partition| StreamsTask {
            subtopology: subtopology.clone(),
            partition,
            role,
        })
}

fn partitions(topic: String, partitions: Vec<i32>) -> impl Iterator<Item = TopicPartition> {
    let name: Arc<str> = topic.into();
    partitions
        .into_iter()
        .map(move |partition| TopicPartition::new(Arc::clone(&name), partition))
}

/// Whether the group is of the kind that was asked for.
fn found(
    coordinator: &GroupCoordinator,
    error_code: i16,
    message: Option<&str>,
) -> Result<bool, AdminError> {
    match refusal::check(error_code, message) {
        Ok(()) => Ok(true),
        Err(refusal)
            if refusal.is(ErrorCode::GroupIdNotFound)
                || refusal.is(ErrorCode::UnsupportedVersion) =>
        {
            Ok(false)
        }
        Err(source) => Err(refused(coordinator, source)),
    }
}

fn refused(coordinator: &GroupCoordinator, source: Refusal) -> AdminError {
    AdminError::Refused {
        attempted: format!("describe group '{}'", coordinator.group_id()),
        source,
    }
}
