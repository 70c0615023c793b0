//! Joining, sharing the partitions if this member leads, and leaving.
//!
//! The steps of a join, any of which may send us back to the first: find the coordinator; JoinGroup, which waits until
//! all members are there; if this member leads, assign; SyncGroup, which brings the assignment to everybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use protocol::{ErrorCode, Request};

use super::coordinator::{CoordinatorError, GroupCoordinator};
use super::subscription::{
    decode_assignment, decode_subscription, encode_assignment, encode_subscription,
};
use super::{GroupConfig, GroupError};
use crate::assignor::{Assignor, PartitionCounts, TopicPartition};
use crate::cluster::{Cluster, Lane, Retry, TopicSelection};
use crate::refusal::{self, Refusal};

/// What the coordinator knows a member by.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) generation_id: i32,
    pub(super) member_id: String,
    pub(super) group_instance_id: Option<String>,
}

/// The outcome of a join.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) assignor: Assignor,
    pub(super) partitions: Vec<TopicPartition>,
}

/// A coordinator answers a join when the rebalance is over, and then needs a moment more.
const JOIN_SLACK: Duration = Duration::from_secs(5);

/// Kafka's protocol type of consumers.
const PROTOCOL_TYPE: &str = "consumer";

/// The first version of LeaveGroup with static members, and so with a list.
const FIRST_LEAVE_WITH_MEMBERS: i16 = 3;

/// Our side of a membership.
#[derive(Debug)]
pub(super) struct Membership {
    cluster: Cluster,
    config: GroupConfig,
    topics: Vec<Arc<str>>,
    coordinator: GroupCoordinator,
    identity: Identity,
    is_leader: bool,
    /// What the leader shared in the last round.
    counts: PartitionCounts,
}

/// What to do after a refusal.
enum Next {
    Again,
    AgainAfterWait,
}

impl Membership {
    pub(super) fn new(cluster: Cluster, config: GroupConfig, topics: Vec<Arc<str>>) -> Self {
        let coordinator = GroupCoordinator::new(cluster.clone(), Arc::clone(&config.group_id));
        let identity = Identity {
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: config.group_instance_id.clone(),
        };
        Self {
            cluster,
            config,
            topics,
            coordinator,
            identity,
            is_leader: false,
            counts: PartitionCounts::new(),
        }
    }

    pub(super) fn coordinator(&self) -> &GroupCoordinator {
        &self.coordinator
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    pub(super) fn member_id(&self) -> &str {
        &self.identity.member_id
    }

    pub(super) fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// The coordinator does not know us any more.
    pub(super) fn forget_member(&mut self) {
        self.identity.member_id.clear();
        self.identity.generation_id = -1;
        self.is_leader = false;
    }

    /// Joins until it is done or cannot be. There is no deadline: a group may rebalance for as long as its slowest
    /// member takes, and its coordinator may be away for long.
    pub(super) async fn join(&mut self, owned: &[TopicPartition]) -> Result<Joined, GroupError> {
        loop {
            let mut retry = Retry::new(self.cluster.deadline());
            let refusal = match self.join_once(owned).await? {
                Ok(joined) => return Ok(joined),
                Err(refusal) => refusal,
            };
            tracing::debug!(group = %self.config.group_id, %refusal, "joining again");
            if let Next::AgainAfterWait = self.after(refusal)? {
                retry.wait().await;
            }
        }
    }

    async fn join_once(
        &mut self,
        owned: &[TopicPartition],
    ) -> Result<Result<Joined, Refusal>, GroupError> {
        let response = match self.send_join(owned).await? {
            Ok(response) => response,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = refusal::check(response.error_code, None) {
            if refusal.is(ErrorCode::MemberIdRequired) {
                self.identity.member_id = response.member_id;
            }
            return Ok(Err(refusal));
        }
        let assignor = self.assignor_of(&response)?;
        self.identity.member_id.clone_from(&response.member_id);
        self.identity.generation_id = response.generation_id;
        self.is_leader = response.leader == response.member_id;
        let assignments = if self.is_leader && !response.skip_assignment {
            self.share(assignor, &response).await?
        } else {
            Vec::new()
        };
        self.sync(assignor, assignments).await
    }

    fn assignor_of(&self, response: &JoinGroupResponse) -> Result<Assignor, GroupError> {
        let name = response.protocol_name.as_deref().unwrap_or_default();
        let offered = self.config.assignors.iter().copied();
        let chosen = offered.into_iter().find(|assignor| assignor.name() == name);
        chosen.ok_or_else(|| GroupError::Assignor {
            group: Arc::clone(&self.config.group_id),
            assignor: name.to_owned(),
        })
    }

    /// The inner error is retriable.
    async fn send_join(
        &self,
        owned: &[TopicPartition],
    ) -> Result<Result<JoinGroupResponse, Refusal>, GroupError> {
        let generation_id = self.identity.generation_id;
        let metadata = encode_subscription(&self.topics, owned, generation_id);
        let metadata = metadata.map_err(|source| self.unreadable(source))?;
        let protocols = self.config.assignors.iter();
        let request = JoinGroupRequest {
            group_id: self.config.group_id.as_ref().to_owned(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.identity.member_id.clone(),
            group_instance_id: self.identity.group_instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: protocols
                .map(|assignor| JoinGroupRequestProtocol {
                    name: assignor.name().to_owned(),
                    metadata: metadata.clone(),
                })
                .collect(),
            reason: None,
        };
        let limit = self.config.rebalance_timeout + JOIN_SLACK;
        self.call(&request, limit).await
    }

    async fn share(
        &mut self,
        assignor: Assignor,
        response: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, GroupError> {
        let members = response.members.iter().map(|member| {
            let instance = member.group_instance_id.as_deref();
            decode_subscription(&member.member_id, instance, member.metadata.clone())
        });
        let members = members
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| self.unreadable(source))?;
        let wanted: BTreeSet<Arc<str>> = members
            .iter()
            .flat_map(|member| member.topics.iter().cloned())
            .collect();
        self.counts = self.counts_of(&wanted).await?;
        let assignments = assignor.assign(&members, &self.counts);
        let encoded = assignments.into_iter().map(|(member_id, partitions)| {
            let assignment = encode_assignment(&partitions)?;
            Ok(SyncGroupRequestAssignment {
                member_id,
                assignment,
            })
        });
        encoded
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| self.unreadable(source))
    }

    async fn sync(
        &self,
        assignor: Assignor,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<Result<Joined, Refusal>, GroupError> {
        let request = SyncGroupRequest {
            group_id: self.config.group_id.as_ref().to_owned(),
            generation_id: self.identity.generation_id,
            member_id: self.identity.member_id.clone(),
            group_instance_id: self.identity.group_instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(assignor.name().to_owned()),
            assignments,
        };
        let limit = self.config.rebalance_timeout + JOIN_SLACK;
        let response = match self.call(&request, limit).await? {
            Ok(response) => response,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = refusal::check(response.error_code, None) {
            return Ok(Err(refusal));
        }
        let partitions =
            decode_assignment(response.assignment).map_err(|source| self.unreadable(source))?;
        Ok(Ok(Joined {
            assignor,
            partitions,
        }))
    }

    /// Sends to the coordinator; a lost connection counts as a coordinator that moved.
    async fn call<R: Request>(
        &self,
        request: &R,
        limit: Duration,
    ) -> Result<Result<R::Response, Refusal>, GroupError> {
        let connection = match self.coordinator.connection(Lane::Group).await {
            Ok(connection) => connection,
            Err(CoordinatorError::Call(error)) if error.is_retriable() => {
                return Ok(Err(Refusal::new(ErrorCode::CoordinatorNotAvailable)));
            }
            Err(error) => return Err(error.into()),
        };
        let version = connection.version_of::<R>(i16::MAX)?;
        match connection.call_version(request, version, limit).await {
            Ok(response) => Ok(Ok(response)),
            Err(error) if error.is_retriable() => {
                tracing::debug!(%error, "the coordinator did not answer");
                Ok(Err(Refusal::new(ErrorCode::NotCoordinator)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn after(&mut self, refusal: Refusal) -> Result<Next, GroupError> {
        use ErrorCode as E;
        match refusal.code() {
            Some(E::MemberIdRequired | E::RebalanceInProgress) => Ok(Next::Again),
            Some(E::UnknownMemberId | E::IllegalGeneration) => {
                self.forget_member();
                Ok(Next::AgainAfterWait)
            }
            Some(E::FencedInstanceId) => Err(GroupError::Fenced {
                group: Arc::clone(&self.config.group_id),
            }),
            _ if GroupCoordinator::is_moving(&refusal) => {
                self.coordinator.forget();
                Ok(Next::AgainAfterWait)
            }
            _ => Err(GroupError::Join {
                group: Arc::clone(&self.config.group_id),
                source: refusal,
            }),
        }
    }

    /// How many partitions the topics of the last round have now.
    pub(super) async fn partition_counts(&self) -> Result<PartitionCounts, GroupError> {
        let mut topics: BTreeSet<Arc<str>> = self.counts.keys().cloned().collect();
        topics.extend(self.topics.iter().cloned());
        self.counts_of(&topics).await
    }

    pub(super) fn has_other_counts(&self, counts: &PartitionCounts) -> bool {
        self.counts != *counts
    }

    async fn counts_of(&self, topics: &BTreeSet<Arc<str>>) -> Result<PartitionCounts, GroupError> {
        let names: Vec<Arc<str>> = topics.iter().cloned().collect();
        let metadata = self.cluster.metadata(TopicSelection::Named(&names)).await?;
        // Topics that do not exist are nobody's to read; they may appear later.
        let counts = metadata.topics.into_iter().filter_map(|(name, topic)| {
            let count = topic.ok()?.partition_count();
            Some((name, count))
        });
        Ok(counts.collect())
    }

    /// Leaves for good. A static member stays, as in Kafka: it may come back within its session.
    pub(super) async fn leave(&mut self) -> Result<(), GroupError> {
        if self.identity.member_id.is_empty() || self.identity.group_instance_id.is_some() {
            return Ok(());
        }
        let connection = self.coordinator.connection(Lane::Group).await?;
        let version = connection.version_of::<LeaveGroupRequest>(i16::MAX)?;
        let group_id = self.config.group_id.as_ref().to_owned();
        let member_id = std::mem::take(&mut self.identity.member_id);
        let request = if version >= FIRST_LEAVE_WITH_MEMBERS {
            LeaveGroupRequest {
                group_id,
                members: vec![MemberIdentity {
                    member_id,
                    ..MemberIdentity::default()
                }],
                ..LeaveGroupRequest::default()
            }
        } else {
            LeaveGroupRequest {
                group_id,
                member_id,
                ..LeaveGroupRequest::default()
            }
        };
        let limit = self.cluster.config().request_timeout;
        let response = connection.call_version(&request, version, limit).await?;
        match refusal::check(response.error_code, None) {
            // The group has forgotten us already, which is what we want.
            Err(refusal) if refusal.is(ErrorCode::UnknownMemberId) => Ok(()),
            Err(source) => Err(GroupError::Join {
                group: Arc::clone(&self.config.group_id),
                source,
            }),
            Ok(()) => Ok(()),
        }
    }

    fn unreadable(&self, source: super::SubscriptionError) -> GroupError {
        GroupError::Subscription {
            group: Arc::clone(&self.config.group_id),
            source,
        }
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
