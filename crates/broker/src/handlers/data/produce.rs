//! Produce, key 0, versions 3 to 13 (0 to 2 are advertised for librdkafka's sake and refused, KAFKA-18659).
//!
//! * v7: zstd is allowed.
//! * v8: errors per record and a message.
//! * v10: leader and endpoints come with NOT_LEADER_OR_FOLLOWER.
//! * v11: TRANSACTION_ABORTABLE for a partition that is not part of the transaction.
//! * v12: partitions are added to the transaction by the way (transactions v2).
//! * v13: topics by id.
//!
//! All appends of the request happen before the first wait; `acks=all` then waits for the commits. With `acks=0` there is
//! no response, and an error closes the connection (`KafkaApis.handleProduceRequest`).

mod repeated;
mod single_batch;
mod transaction;

use std::sync::Arc;

use metadata::{ClusterImage, Topic};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use protocol::messages::{ProduceRequest, ProduceResponse};
use protocol::{ErrorCode, Uuid};
use storage::{AppendContext, AppendError, AppendTicket, VerificationGuard};

use self::repeated::keep_last;
use self::single_batch::single_batch;
use self::transaction::{Admissions, has_transactional_records};
use crate::context::Context;
use crate::coordinators::TransactionCoordinator;
use crate::handlers::errors;
use crate::ownership::Owner;
use crate::reply::Reply;
use crate::topics::{PartitionError, Topics};

/// The first version that tells the new leader.
const LEADER_SINCE: i16 = 10;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 13;
/// Clients that may write to internal topics: Kafka's own tools say so in their client id (`ReplicaManager`).
const ADMIN_CLIENT: &str = "__admin_client";

/// What became of one partition's batch.
enum Appended {
    /// It is in the log; the ticket tells when it is durable, and the answer may have to wait for that.
    Ticket(AppendTicket, AckAt),
    /// It is not.
    Refused(Refused),
}

/// When a batch is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AckAt {
    /// At once: it is in the page cache.
    Append,
    /// When it is durable for its topic's class.
    Commit,
}

/// Why a batch was not appended.
enum Refused {
    Partition(PartitionError),
    Append(AppendError),
    Code(ErrorCode, &'static str),
}

pub(crate) async fn handle(
    context: Context,
    mut request: ProduceRequest,
    topics: Arc<Topics>,
    transactions: Arc<TransactionCoordinator>,
) -> Reply<ProduceResponse> {
    let is_transactional = has_transactional_records(&request);
    if is_transactional && request.transactional_id.is_none() {
        return refuse_all(&request, ErrorCode::TransactionalIdAuthorizationFailed);
    }
    keep_last(&mut request);
    let mut admissions = Admissions::default();
    // Until the batches are appended, nothing of the connection may overtake them.
    let held = is_transactional.then(|| context.hold_others());
    if is_transactional && let Some(id) = &request.transactional_id {
        let asked = transaction::admit(&context, &request, id, &topics, &transactions);
        match asked.await {
            Ok(answers) => admissions = answers,
            Err(code) => return refuse_all(&request, code),
        }
    }
    let image = topics.image();
    let acks = request.acks;
    let append = |(position, data)| {
        append_topic(
            &context,
            &topics,
            &image,
            acks,
            (position, data),
            &admissions,
        )
    };
    let topic_data = request.topic_data.into_iter().enumerate();
    let appended: Vec<_> = topic_data.map(append).collect();
    drop(held);
    if acks == 0 {
        return silence(&appended);
    }
    let mut response = ProduceResponse::default();
    let mut moved = Vec::new();
    for (name, topic_id, partitions) in appended {
        let mut answers = Vec::with_capacity(partitions.len());
        for (index, outcome) in partitions {
            answers.push(answer(index, outcome, &mut moved).await);
        }
        let topic = TopicProduceResponse {
            name,
            topic_id,
            partition_responses: answers,
        };
        response.responses.push(topic);
    }
    if context.version >= LEADER_SINCE && !moved.is_empty() {
        response.node_endpoints = endpoints(&topics);
    }
    response.into()
}

type TopicOutcome = (String, Uuid, Vec<(i32, Appended)>);

fn append_topic(
    context: &Context,
    topics: &Topics,
    image: &ClusterImage,
    acks: i16,
    (position, data): (usize, TopicProduceData),
    admissions: &Admissions,
) -> TopicOutcome {
    let topic = find_topic(context, image, &data);
    let append = |(index, partition): (usize, PartitionProduceData)| {
        let number = partition.index;
        let outcome = match &topic {
            Ok(topic) => admissions.of((position, index)).and_then(|guard| {
                append_partition(context, topics, topic, (partition, acks), guard)
                    .map(|ticket| Appended::Ticket(ticket, ack_at(acks, topic)))
            }),
            Err(error) => Err(Refused::Partition(*error)),
        };
        (number, outcome.unwrap_or_else(Appended::Refused))
    };
    let partitions = data.partition_data.into_iter().enumerate();
    (data.name, data.topic_id, partitions.map(append).collect())
}

fn find_topic<'a>(
    context: &Context,
    image: &'a ClusterImage,
    data: &TopicProduceData,
) -> Result<&'a Arc<Topic>, PartitionError> {
    if context.version >= TOPIC_ID_SINCE {
        Topics::by_id(image, data.topic_id)
    } else {
        Topics::by_name(image, &data.name)
    }
}

/// With `flush.messages=1` Kafka syncs within the append, so that `acks=1` waits for it too.
fn ack_at(acks: i16, topic: &Topic) -> AckAt {
    if acks == -1 || topic.resolved.flush_messages <= 1 {
        AckAt::Commit
    } else {
        AckAt::Append
    }
}

fn append_partition(
    context: &Context,
    topics: &Topics,
    topic: &Topic,
    (data, acks): (PartitionProduceData, i16),
    guard: Option<VerificationGuard>,
) -> Result<AppendTicket, Refused> {
    let led = topics
        .leading(topic, data.index, -1)
        .map_err(Refused::Partition)?;
    let batch = single_batch(data.records, context.version)?;
    if !matches!(acks, -1..=1) {
        let reason = "acks must be -1, 0 or 1";
        return Err(Refused::Code(ErrorCode::InvalidRequiredAcks, reason));
    }
    if topic.internal && context.client_id() != ADMIN_CLIENT {
        return Err(Refused::Code(
            ErrorCode::InvalidTopicException,
            "internal topics are written by the broker only",
        ));
    }
    let append = AppendContext::client(led.epoch).with_guard(guard);
    led.log.append(batch, append).map_err(Refused::Append)
}

async fn answer(index: i32, outcome: Appended, moved: &mut Vec<Owner>) -> PartitionProduceResponse {
    let (ticket, ack_at) = match outcome {
        Appended::Ticket(ticket, ack_at) => (ticket, ack_at),
        Appended::Refused(refused) => return refusal(index, refused, moved),
    };
    let outcome = ticket.outcome;
    if ack_at == AckAt::Commit && ticket.committed().await.is_err() {
        return failed(index, ErrorCode::KafkaStorageError, None);
    }
    PartitionProduceResponse {
        index,
        error_code: ErrorCode::None.into(),
        base_offset: outcome.base_offset.value(),
        log_append_time_ms: outcome.log_append_time.map_or(-1, types::Timestamp::ms),
        log_start_offset: outcome.log_start_offset.value(),
        ..Default::default()
    }
}

fn refusal(index: i32, refused: Refused, moved: &mut Vec<Owner>) -> PartitionProduceResponse {
    match refused {
        Refused::Partition(error) => {
            let mut answer = failed(index, errors::partition(error), None);
            if let PartitionError::NotLeader(owner) = error {
                answer.current_leader = LeaderIdAndEpoch {
                    leader_id: owner.leader.map_or(-1, |leader| leader.0),
                    leader_epoch: owner.epoch.value(),
                };
                moved.push(owner);
            }
            answer
        }
        Refused::Append(error) => {
            tracing::debug!(%error, partition = index, "refused a batch");
            let mut answer = failed(index, errors::append(&error), Some(error.to_string()));
            answer.record_errors = record_errors(&error);
            answer
        }
        Refused::Code(code, reason) => failed(index, code, Some(reason.to_owned())),
    }
}

fn record_errors(error: &AppendError) -> Vec<BatchIndexAndErrorMessage> {
    let (indexes, reason): (&[i32], &str) = match error {
        AppendError::InvalidRecords { indexes, reason } => (indexes, reason),
        AppendError::InvalidTimestamp { indexes, .. } => (indexes, "timestamp is out of range"),
        _ => return Vec::new(),
    };
    let record = |index: &i32| BatchIndexAndErrorMessage {
        batch_index: *index,
        batch_index_error_message: Some(reason.to_owned()),
    };
    indexes.iter().map(record).collect()
}

fn failed(index: i32, code: ErrorCode, message: Option<String>) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: code.into(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        error_message: message,
        ..Default::default()
    }
}

fn refuse_all(request: &ProduceRequest, code: ErrorCode) -> Reply<ProduceResponse> {
    if request.acks == 0 {
        return Reply::Close("a produce request with acks=0 was refused");
    }
    let topic = |data: &TopicProduceData| TopicProduceResponse {
        name: data.name.clone(),
        topic_id: data.topic_id,
        partition_responses: data
            .partition_data
            .iter()
            .map(|data| failed(data.index, code, None))
            .collect(),
    };
    let responses = request.topic_data.iter().map(topic).collect();
    ProduceResponse {
        responses,
        ..Default::default()
    }
    .into()
}

/// The answer to `acks=0`: none, or the end of the connection, the only way to tell a client that something failed.
fn silence(appended: &[TopicOutcome]) -> Reply<ProduceResponse> {
    let mut partitions = appended.iter().flat_map(|(_, _, partitions)| partitions);
    if partitions.any(|(_, outcome)| matches!(outcome, Appended::Refused(_))) {
        return Reply::Close("a produce request with acks=0 failed");
    }
    Reply::Silence
}

fn endpoints(topics: &Topics) -> Vec<NodeEndpoint> {
    topics
        .config
        .endpoints()
        .map(|endpoint| NodeEndpoint {
            node_id: endpoint.broker.0,
            host: endpoint.host.to_owned(),
            port: endpoint.port,
            rack: endpoint.rack.map(str::to_owned),
        })
        .collect()
}
