//! TxnOffsetCommit, key 28, versions 0 to 5.
//!
//! * v3: member, generation and instance, which are checked if they are given. v4: TRANSACTION_ABORTABLE. v5: the
//!   partition of the group is added to the transaction by the way (transactions v2).
//!
//! Partitions that do not exist are refused one by one; the others are committed together
//! (`KafkaApis.handleTxnOffsetCommitRequest`, `CoordinatorRuntime.scheduleTransactionalWriteOperation`).

use std::sync::Arc;

use coordinator::{CommitPartition, CommitRequest, CommitTopic, Producer, TxnCommitRequest};
use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use storage::VerificationGuard;
use types::{
    GroupId, LeaderEpoch, PartitionIndex, ProducerEpoch, ProducerId, TopicName, TransactionalId,
};

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::{GroupCoordinator, TransactionCoordinator};
use crate::handlers::transactions::participation::{Participant, Support};
use crate::topics::Topics;

/// Older clients crash on COORDINATOR_LOAD_IN_PROGRESS (KAFKA-7296).
const LOAD_IN_PROGRESS_SINCE: i16 = 2;

pub(crate) async fn handle(
    context: Context,
    request: TxnOffsetCommitRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
    transactions: Arc<TransactionCoordinator>,
) -> TxnOffsetCommitResponse {
    let image = topics.image();
    let commits: Vec<_> = request
        .topics
        .iter()
        .filter_map(|topic| existing(topic, &image))
        .collect();
    if commits.is_empty() {
        return respond(&request, &image, Ok(Vec::new()));
    }
    let mut outcome = commit(&context, &request, commits, &groups, &topics, &transactions).await;
    if context.version < LOAD_IN_PROGRESS_SINCE
        && outcome == Err(ErrorCode::CoordinatorLoadInProgress)
    {
        outcome = Err(ErrorCode::CoordinatorNotAvailable);
    }
    respond(&request, &image, outcome)
}

/// Commits what exists; gives the result of each partition, in order, or one for all.
async fn commit(
    context: &Context,
    request: &TxnOffsetCommitRequest,
    commits: Vec<CommitTopic>,
    groups: &GroupCoordinator,
    topics: &Topics,
    transactions: &TransactionCoordinator,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let id = ProducerId::new(request.producer_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
    let epoch =
        ProducerEpoch::new(request.producer_epoch).ok_or(ErrorCode::InvalidProducerEpoch)?;
    let producer = Producer { id, epoch };
    let participant = Participant {
        id: TransactionalId::new(&request.transactional_id),
        producer: producer.into(),
        support: Support::of_offset_commit(context.version),
    };
    let group = GroupId::new(&request.group_id);
    // Until the commit is made, nothing of the connection may overtake it.
    let held = context.hold_others();
    let guard = admit(&participant, producer, &group, groups, topics, transactions).await?;
    let commit = CommitRequest {
        group,
        member: wire::member(&request.member_id),
        instance: wire::instance(request.group_instance_id.as_deref()),
        generation: wire::generation(request.generation_id),
        retention_ms: None,
        takes_member_epochs: true,
        topics: commits,
    };
    let committed = groups.txn_commit(TxnCommitRequest { producer, commit }, guard);
    drop(held);
    match committed.await {
        Ok(Ok(committed)) => Ok(committed
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| match &partition.result {
                Ok(()) => ErrorCode::None,
                Err(error) => errors::commit_partition(error),
            })
            .collect()),
        // A member with an old epoch is told what a member with an old generation is.
        Ok(Err(error)) => match errors::commit(&error, 0) {
            ErrorCode::StaleMemberEpoch => Err(ErrorCode::IllegalGeneration),
            code => Err(code),
        },
        Err(error) => Err(errors::coordinator(error)),
    }
}

/// Sees to it that the group's partition belongs to the transaction.
async fn admit(
    participant: &Participant,
    producer: Producer,
    group: &GroupId,
    groups: &GroupCoordinator,
    topics: &Topics,
    transactions: &TransactionCoordinator,
) -> Result<Option<VerificationGuard>, ErrorCode> {
    if !participant.is_verified(topics) {
        return Ok(None);
    }
    let partition = groups
        .offsets_partition(group)
        .map_err(errors::coordinator)?;
    let begin = || {
        let begun = groups.begin_txn_commit(
            partition.partition,
            producer,
            participant.support.has_own_epochs(),
        );
        vec![(partition.clone(), begun.map_err(errors::coordinator))]
    };
    let clock = &*topics.env.clock;
    let mut admissions = participant.admit(transactions, clock, None, begin).await;
    admissions
        .pop()
        .unwrap_or(Err(ErrorCode::UnknownServerError))
}

fn exists(image: &ClusterImage, topic: &str, partition: i32) -> bool {
    image
        .topic(topic)
        .is_some_and(|topic| (0..topic.partitions).contains(&partition))
}

/// The partitions of a topic that exist.
fn existing(topic: &TxnOffsetCommitRequestTopic, image: &ClusterImage) -> Option<CommitTopic> {
    let partitions: Vec<_> = topic
        .partitions
        .iter()
        .filter(|partition| exists(image, &topic.name, partition.partition_index))
        .filter_map(commit_partition)
        .collect();
    (!partitions.is_empty()).then(|| CommitTopic {
        topic: TopicName::new(&topic.name),
        topic_id: None,
        partitions,
    })
}

fn commit_partition(partition: &TxnOffsetCommitRequestPartition) -> Option<CommitPartition> {
    Some(CommitPartition {
        partition: PartitionIndex::new(partition.partition_index)?,
        offset: partition.committed_offset,
        leader_epoch: LeaderEpoch::new(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.as_deref().map(Arc::from),
    })
}

fn respond(
    request: &TxnOffsetCommitRequest,
    image: &ClusterImage,
    outcome: Result<Vec<ErrorCode>, ErrorCode>,
) -> TxnOffsetCommitResponse {
    let (results, for_all) = match outcome {
        Ok(results) => (results, ErrorCode::UnknownServerError),
        Err(code) => (Vec::new(), code),
    };
    let mut results = results.into_iter();
    let mut topic = |topic: &TxnOffsetCommitRequestTopic| {
        let partition = |partition: &TxnOffsetCommitRequestPartition| {
            let code = if exists(image, &topic.name, partition.partition_index) {
                results.next().unwrap_or(for_all)
            } else {
                ErrorCode::UnknownTopicOrPartition
            };
            TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.into(),
            }
        };
        TxnOffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(partition).collect(),
        }
    };
    TxnOffsetCommitResponse {
        topics: request.topics.iter().map(&mut topic).collect(),
        ..Default::default()
    }
}
