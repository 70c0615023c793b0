//! Conversations between group coordinator and share coordinator: partitions of a group get a state before members read
//! them, offsets of a group are altered and deleted, and a group goes with its states (`GroupCoordinatorService.java`).
//!
//! Invariants: the group records what it is about to do before the share coordinator is asked, and how it went after; so a
//! crash between leaves work that the next heartbeat or request takes up. Of a group there is one such conversation at a
//! time ([`super::turns`]), and a state that was begun is not begun again by one that was planned before that.

use std::sync::Arc;

use coordinator::share_state::{InitializeShareState, ShareStateError, ShareStateSummary};
use coordinator::{
    AlterShareOffsets, AlterShareOffsetsRequest, DeleteShareOffsets, DeleteShareOffsetsRequest,
    DeletedGroup, DescribedShareGroup, Epoch, InitializeShareStates, ShareGroupReply,
    ShareGroupRequest, ShareHeartbeatError, ShareHeartbeatReply, ShareHeartbeatRequest,
    ShareOffsetsError, TopicPartitions,
};
use futures_util::future::join_all;
use metadata::Topic;
use protocol::ErrorCode;
use types::{GroupId, Offset, PartitionIndex, TopicId};

use super::{Shares, partition_key};
use crate::coordinators::CoordinatorError;
use crate::handlers::groups::errors;
use crate::handlers::refusal::Refusal;
use crate::topics::PartitionError;

/// How many states are begun at once: enough to share a group commit, few enough to leave room for others.
const STATES_AT_ONCE: usize = 128;

/// A start offset for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlterOffset {
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionIndex,
    pub(crate) start_offset: i64,
}

/// An offset or a count that the share coordinator does not know.
const UNKNOWN: i64 = -1;

/// Where a share group stands in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareStanding {
    /// Offsets below are done; -1 if nothing was handed out yet.
    pub(crate) start_offset: i64,
    /// The leader epoch of the last reader.
    pub(crate) leader_epoch: i32,
    /// Unless nothing was handed out yet.
    pub(crate) progress: Option<ShareProgress>,
}

/// What is left for a share group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareProgress {
    /// The end of what readers may see.
    pub(crate) high_watermark: Offset,
    /// Records below it that are not done.
    pub(crate) lag: i64,
}

/// How the share coordinator answered about partitions.
pub(crate) type PartitionCodes = Vec<((TopicId, PartitionIndex), ErrorCode)>;

impl Shares {
    /// ShareGroupHeartbeat. Partitions without a state get one in the background: the member hears of them with a later
    /// heartbeat.
    pub(crate) async fn heartbeat(
        self: &Arc<Self>,
        request: ShareHeartbeatRequest,
    ) -> Result<Result<ShareHeartbeatReply, ShareHeartbeatError>, CoordinatorError> {
        let group = request.group.clone();
        let reply = self
            .ask(&group, ShareGroupRequest::Heartbeat(request))
            .await?;
        let ShareGroupReply::Heartbeat(reply) = reply else {
            unreachable!("the machine answered {reply:?}");
        };
        if let Ok(reply) = &reply
            && let Some(initialize) = reply.initialize.clone()
        {
            let shares = Arc::clone(self);
            let work = async move { shares.initialize(group, initialize).await };
            self.topics.env.spawner.spawn(Box::pin(work));
        }
        Ok(reply)
    }

    /// ShareGroupDescribe; `None` where there is no such group.
    pub(crate) async fn describe(
        &self,
        group: &GroupId,
    ) -> Result<Option<DescribedShareGroup>, CoordinatorError> {
        let request = ShareGroupRequest::Describe(vec![group.clone()]);
        match self.ask(group, request).await? {
            ShareGroupReply::Describe(mut described) => Ok(described.pop().flatten()),
            other => unreachable!("the machine answered {other:?}"),
        }
    }

    /// The partitions of a group that have a state.
    pub(crate) async fn initialized_partitions(
        &self,
        group: &GroupId,
    ) -> Result<TopicPartitions, CoordinatorError> {
        let request = ShareGroupRequest::InitializedPartitions(group.clone());
        match self.ask(group, request).await? {
            ShareGroupReply::InitializedPartitions(partitions) => Ok(partitions),
            other => unreachable!("the machine answered {other:?}"),
        }
    }

    /// What the share coordinator knows of a partition.
    pub(crate) async fn summary(
        &self,
        group: &GroupId,
        topic: TopicId,
        partition: i32,
    ) -> Result<ShareStateSummary, ErrorCode> {
        let key = partition_key(group, topic, partition).ok_or(ErrorCode::InvalidRequest)?;
        let exists = self.partition_exists(topic, partition);
        let summary = self.coordinator.summary(key, exists).await;
        summary.map_err(errors::coordinator)?.map_err(state_code)
    }

    /// Where a group stands in a partition; `None` if the share coordinator does not know.
    ///
    /// # Errors
    /// The log of the partition cannot be asked.
    pub(crate) async fn standing(
        &self,
        group: &GroupId,
        topic: &Topic,
        partition: i32,
    ) -> Result<Option<ShareStanding>, PartitionError> {
        let Ok(summary) = self.summary(group, topic.id, partition).await else {
            return Ok(None);
        };
        let mut standing = ShareStanding {
            start_offset: summary.start_offset,
            leader_epoch: summary.leader_epoch,
            progress: None,
        };
        if summary.start_offset == UNKNOWN || summary.delivery_complete_count == -1 {
            return Ok(Some(standing));
        }
        let led = self.topics.leading(topic, partition, -1)?;
        let high_watermark = led.log.offsets().high_watermark;
        let done = i64::from(summary.delivery_complete_count);
        let ahead = high_watermark.value().saturating_sub(summary.start_offset);
        standing.progress = Some(ShareProgress {
            high_watermark,
            lag: ahead.saturating_sub(done),
        });
        Ok(Some(standing))
    }

    /// AlterShareGroupOffsets: the ids of the topics asked for, and how each partition went that exists.
    pub(crate) async fn alter_offsets(
        &self,
        request: AlterShareOffsetsRequest,
        offsets: impl Fn(TopicId, PartitionIndex) -> i64,
    ) -> Result<Result<(AlterShareOffsets, PartitionCodes), ShareOffsetsError>, CoordinatorError>
    {
        let group = request.group.clone();
        let _turn = self.turns.take(&group).await;
        let reply = self
            .ask(&group, ShareGroupRequest::AlterOffsets(request))
            .await?;
        let plan = match reply {
            ShareGroupReply::AlterOffsets(Ok(plan)) => plan,
            ShareGroupReply::AlterOffsets(Err(error)) => return Ok(Err(error)),
            other => unreachable!("the machine answered {other:?}"),
        };
        let wanted = plan.initialize.partitions.iter();
        let wanted: Vec<_> = wanted
            .map(|(topic, partition)| AlterOffset {
                topic,
                partition,
                start_offset: offsets(topic, partition),
            })
            .collect();
        let codes = self
            .begin_states(&group, plan.initialize.epoch, &wanted)
            .await;
        let has_failed = codes.iter().any(|(_, code)| *code != ErrorCode::None);
        if !has_failed && !codes.is_empty() {
            // As in Kafka all or none is noted; what failed is initializing until somebody tries again.
            let partitions = plan.initialize.partitions.clone();
            self.note_initialized(&group, partitions, true).await?;
        }
        Ok(Ok((plan, codes)))
    }

    /// DeleteShareGroupOffsets: for each topic asked for, in order, how it went.
    pub(crate) async fn delete_offsets(
        &self,
        request: DeleteShareOffsetsRequest,
    ) -> Result<
        Result<Vec<(Option<TopicId>, ErrorCode, String)>, ShareOffsetsError>,
        CoordinatorError,
    > {
        let group = request.group.clone();
        let _turn = self.turns.take(&group).await;
        let reply = self
            .ask(&group, ShareGroupRequest::DeleteOffsets(request))
            .await?;
        let plan: DeleteShareOffsets = match reply {
            ShareGroupReply::DeleteOffsets(Ok(plan)) => plan,
            ShareGroupReply::DeleteOffsets(Err(error)) => return Ok(Err(error)),
            other => unreachable!("the machine answered {other:?}"),
        };
        let mut results = Vec::with_capacity(plan.topics.len());
        let mut deleted = Vec::new();
        for topic in plan.topics {
            match topic {
                Err(error) => {
                    let code = ErrorCode::UnknownTopicOrPartition;
                    results.push((None, code, error.to_string()));
                }
                Ok((topic, partitions)) => {
                    let code = self.delete_states(&group, &partitions).await;
                    if code == ErrorCode::None {
                        deleted.push(topic);
                    }
                    let message = "the share coordinator could not forget the topic's state";
                    results.push((Some(topic), code, message.to_owned()));
                }
            }
        }
        if !deleted.is_empty() {
            let topics = deleted;
            let request = ShareGroupRequest::OffsetsDeleted {
                group: group.clone(),
                topics,
            };
            self.ask(&group, request).await?;
        }
        Ok(Ok(results))
    }

    /// DeleteGroups, for groups of every kind: the states of a share group go first, and the group only if they are gone.
    pub(crate) async fn delete_groups(
        &self,
        groups: Vec<GroupId>,
    ) -> Vec<(GroupId, Result<DeletedGroup, ErrorCode>)> {
        let mut results = Vec::with_capacity(groups.len());
        for group in groups {
            let result = self.delete_group(&group).await;
            results.push((group, result));
        }
        results
    }

    async fn delete_group(&self, group: &GroupId) -> Result<DeletedGroup, ErrorCode> {
        let _turn = self.turns.take(group).await;
        let prepare = ShareGroupRequest::PrepareDelete(vec![group.clone()]);
        let reply = self
            .ask(group, prepare)
            .await
            .map_err(errors::coordinator)?;
        let ShareGroupReply::PrepareDelete(mut prepared) = reply else {
            unreachable!("the machine answered {reply:?}");
        };
        match prepared.pop() {
            Some(Err(ShareOffsetsError::NonEmptyGroup)) => return Err(ErrorCode::NonEmptyGroup),
            Some(Err(ShareOffsetsError::UnknownGroup)) | None => {}
            Some(Ok(states)) => match self.delete_states(group, &states).await {
                ErrorCode::None => {}
                code => return Err(code),
            },
        }
        let mut deleted = self.groups.delete_groups(vec![group.clone()]).await;
        let deleted = deleted.pop().map(|(_, deleted)| deleted);
        deleted
            .unwrap_or(Err(CoordinatorError::NotAvailable))
            .map_err(errors::coordinator)
    }

    /// Begins the states that a heartbeat asked for, and tells the group how it went.
    pub(super) async fn initialize(&self, group: GroupId, initialize: InitializeShareStates) {
        let _turn = self.turns.take(&group).await;
        // It may have been a while: what another conversation began meanwhile, and what is no longer wanted, stays as it is.
        let asked = ShareGroupRequest::StillInitializing {
            group: group.clone(),
            partitions: initialize.partitions,
        };
        let partitions = match self.ask(&group, asked).await {
            Ok(ShareGroupReply::StillInitializing(partitions)) => partitions,
            Ok(other) => unreachable!("the machine answered {other:?}"),
            Err(error) => {
                tracing::warn!(%group, %error, "could not begin the state of share partitions");
                return;
            }
        };
        if partitions.is_empty() {
            return;
        }
        let wanted: Vec<_> = partitions
            .iter()
            .map(|(topic, partition)| AlterOffset {
                topic,
                partition,
                start_offset: -1,
            })
            .collect();
        let codes = self.begin_states(&group, initialize.epoch, &wanted).await;
        let failed = codes.iter().find(|(_, code)| *code != ErrorCode::None);
        if let Some((_, code)) = failed {
            tracing::warn!(%group, ?code, "could not begin the state of share partitions");
        }
        let noted = self
            .note_initialized(&group, partitions, failed.is_none())
            .await;
        if let Err(error) = noted {
            tracing::warn!(%group, %error, "could not note that share partitions have a state");
        }
    }

    /// Begins states, many at once: each waits for the disk.
    async fn begin_states(
        &self,
        group: &GroupId,
        epoch: Epoch,
        wanted: &[AlterOffset],
    ) -> PartitionCodes {
        let mut codes = Vec::with_capacity(wanted.len());
        for wanted in wanted.chunks(STATES_AT_ONCE) {
            let begun = wanted
                .iter()
                .map(|alter| self.begin_state(group, epoch, *alter));
            codes.extend(join_all(begun).await);
        }
        codes
    }

    async fn begin_state(
        &self,
        group: &GroupId,
        epoch: Epoch,
        alter: AlterOffset,
    ) -> ((TopicId, PartitionIndex), ErrorCode) {
        let index = alter.partition.value();
        let code = match partition_key(group, alter.topic, index) {
            None => ErrorCode::InvalidRequest,
            Some(key) => {
                let request = InitializeShareState {
                    key,
                    partition_exists: self.partition_exists(alter.topic, index),
                    state_epoch: epoch.value(),
                    start_offset: alter.start_offset,
                };
                match self.coordinator.initialize(request).await {
                    Ok(Ok(())) => ErrorCode::None,
                    Ok(Err(error)) => state_code(error),
                    Err(error) => errors::coordinator(error),
                }
            }
        };
        ((alter.topic, alter.partition), code)
    }

    async fn delete_states(&self, group: &GroupId, partitions: &TopicPartitions) -> ErrorCode {
        for (topic, partition) in partitions.iter() {
            let Some(key) = partition_key(group, topic, partition.value()) else {
                continue;
            };
            let exists = self.partition_exists(topic, partition.value());
            let code = match self.coordinator.delete(key, exists).await {
                Ok(Ok(())) => ErrorCode::None,
                Ok(Err(error)) => state_code(error),
                Err(error) => errors::coordinator(error),
            };
            if code != ErrorCode::None {
                return code;
            }
        }
        ErrorCode::None
    }

    async fn note_initialized(
        &self,
        group: &GroupId,
        partitions: TopicPartitions,
        accepted: bool,
    ) -> Result<(), CoordinatorError> {
        let request = ShareGroupRequest::Initialized {
            group: group.clone(),
            partitions,
            accepted,
        };
        self.ask(group, request).await.map(drop)
    }

    fn ask(
        &self,
        group: &GroupId,
        request: ShareGroupRequest,
    ) -> impl Future<Output = Result<ShareGroupReply, CoordinatorError>> + Send + use<> {
        self.groups.share(group, request, self.topics_image())
    }

    pub(crate) fn partition_exists(&self, topic: TopicId, partition: i32) -> bool {
        let image = self.topics.image();
        let topic = image.topic_by_id(topic);
        topic.is_some_and(|topic| (0..topic.partitions).contains(&partition))
    }
}

/// The code of what the share coordinator refuses, as the APIs 83 to 87 tell it.
pub(crate) fn state_code(error: ShareStateError) -> ErrorCode {
    match error {
        ShareStateError::Uninitialized => ErrorCode::InvalidRequest,
        ShareStateError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        ShareStateError::FencedStateEpoch => ErrorCode::FencedStateEpoch,
        ShareStateError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
    }
}

/// The outcome of a request to the share coordinator, as the APIs 83 to 87 tell it.
pub(crate) fn state_refusal<T>(
    outcome: Result<Result<T, ShareStateError>, CoordinatorError>,
) -> Result<T, Refusal> {
    match outcome {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Refusal::new(state_code(error), error.to_string())),
        Err(error) => Err(Refusal::new(errors::coordinator(error), error.to_string())),
    }
}
