//! AddPartitionsToTxn, key 24, versions 0 to 5: a transaction reaches further.
//!
//! * v2: PRODUCER_FENCED; before, INVALID_PRODUCER_EPOCH says it.
//! * v4: for brokers: several transactions at once, and questions that change nothing (`VerifyOnly`). A partition added by
//!   it was produced to with transactions of version 2.
//! * v5: TRANSACTION_ABORTABLE, as the answer to such a question.
//!
//! A transaction is taken as a whole: if one of its partitions does not exist, none is added.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use coordinator::{
    AddPartitionsRequest, ClaimedProducer, TransactionVersion, VerifyPartitionsRequest,
};
use futures_util::future::join_all;
use protocol::ErrorCode;
use protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use types::{PartitionIndex, TopicName, TopicPartition, TransactionalId};

use super::errors;
use crate::context::Context;
use crate::coordinators::TransactionCoordinator;
use crate::topics::Topics;

/// The first version with several transactions.
const BATCHES_SINCE: i16 = 4;

pub(crate) async fn handle(
    context: Context,
    request: AddPartitionsToTxnRequest,
    transactions: Arc<TransactionCoordinator>,
    topics: Arc<Topics>,
) -> AddPartitionsToTxnResponse {
    let version = context.version;
    if version >= BATCHES_SINCE {
        let add = |transaction| add(version, transaction, &transactions, &topics);
        return AddPartitionsToTxnResponse {
            results_by_transaction: join_all(request.transactions.into_iter().map(add)).await,
            ..Default::default()
        };
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        verify_only: false,
        topics: request.v3_and_below_topics,
    };
    let result = add(version, transaction, &transactions, &topics).await;
    AddPartitionsToTxnResponse {
        results_by_topic_v3_and_below: result.topic_results,
        ..Default::default()
    }
}

/// Adds, or asks about, the partitions of one transaction.
fn add(
    version: i16,
    transaction: AddPartitionsToTxnTransaction,
    transactions: &TransactionCoordinator,
    topics: &Topics,
) -> impl Future<Output = AddPartitionsToTxnResult> + Send + use<> {
    let begun = begin(version, &transaction, transactions, topics);
    async move {
        let code = match begun {
            Begun::Missing(known) => {
                // Those that exist are not to blame, but were not added either.
                let code = |topic: &str, index| match known.contains(topic, index) {
                    true => ErrorCode::OperationNotAttempted,
                    false => ErrorCode::UnknownTopicOrPartition,
                };
                return distinct_results(transaction, code);
            }
            Begun::Refused(error) => error,
            Begun::Adding(added) => match added.await {
                Ok(()) => ErrorCode::None,
                Err(error) => error,
            },
            Begun::Verifying(verified) => match verified.await {
                Ok(belonging) => {
                    let code = |topic: &str, index| match belonging.contains(topic, index) {
                        true => ErrorCode::None,
                        false => ErrorCode::TransactionAbortable,
                    };
                    return distinct_results(transaction, code);
                }
                Err(error) => error,
            },
        };
        results(transaction, |_, _| code)
    }
}

/// Partitions by name and number.
struct Partitions(HashMap<String, HashSet<i32>>);

impl Partitions {
    fn new(partitions: Vec<TopicPartition>) -> Self {
        let mut by_name: HashMap<String, HashSet<i32>> = HashMap::new();
        for TopicPartition { topic, partition } in partitions {
            let numbers = by_name.entry(topic.as_str().to_owned()).or_default();
            numbers.insert(partition.value());
        }
        Self(by_name)
    }

    fn contains(&self, topic: &str, index: i32) -> bool {
        let numbers = self.0.get(topic);
        numbers.is_some_and(|numbers| numbers.contains(&index))
    }
}

type Waiting<T> = env::BoxFuture<'static, Result<T, ErrorCode>>;

/// What became of a transaction's request before anything is waited for.
enum Begun {
    /// Some partitions do not exist; these do.
    Missing(Partitions),
    Refused(ErrorCode),
    Adding(Waiting<()>),
    /// Gives the partitions that belong to the transaction.
    Verifying(Waiting<Partitions>),
}

fn begin(
    version: i16,
    transaction: &AddPartitionsToTxnTransaction,
    transactions: &TransactionCoordinator,
    topics: &Topics,
) -> Begun {
    let asked: usize = transaction
        .topics
        .iter()
        .map(|topic| topic.partitions.len())
        .sum();
    let partitions = existing(topics, &transaction.topics);
    if partitions.len() < asked {
        return Begun::Missing(Partitions::new(partitions));
    }
    if transaction.transactional_id.is_empty() {
        return Begun::Refused(ErrorCode::InvalidRequest);
    }
    let id = TransactionalId::new(&transaction.transactional_id);
    let producer = ClaimedProducer::from_wire(transaction.producer_id, transaction.producer_epoch);
    if transaction.verify_only {
        let verified = transactions.verify_partitions(VerifyPartitionsRequest {
            id,
            producer,
            partitions,
        });
        return Begun::Verifying(Box::pin(async move {
            let verified = verified.await.map_err(errors::coordinator)?;
            let verified = verified.map_err(errors::verify_partitions)?;
            let belonging = verified.into_iter().filter(|verified| verified.belongs);
            let belonging = belonging.map(|verified| verified.partition);
            Ok(Partitions::new(belonging.collect()))
        }));
    }
    let added = transactions.add_partitions(AddPartitionsRequest {
        id,
        producer,
        version: match version >= BATCHES_SINCE {
            true => TransactionVersion::V2,
            false => TransactionVersion::V0,
        },
        partitions,
    });
    Begun::Adding(Box::pin(async move {
        let added = added.await.map_err(errors::coordinator)?;
        added.map_err(|error| errors::add_partitions(error, version))
    }))
}

/// Those of the partitions that there are.
fn existing(topics: &Topics, asked: &[AddPartitionsToTxnTopic]) -> Vec<TopicPartition> {
    let image = topics.image();
    let of_topic = |asked: &AddPartitionsToTxnTopic| {
        let count = image.topic(&asked.name).map_or(0, |topic| topic.partitions);
        let name = TopicName::new(&asked.name);
        let partition = |index: &i32| {
            PartitionIndex::new(*index)
                .filter(|index| index.value() < count)
                .map(|partition| TopicPartition {
                    topic: name.clone(),
                    partition,
                })
        };
        asked
            .partitions
            .iter()
            .filter_map(partition)
            .collect::<Vec<_>>()
    };
    asked.iter().flat_map(of_topic).collect()
}

/// As [`results`], once for each partition, however often it is named: what differs by partition is a map in Kafka.
fn distinct_results(
    mut transaction: AddPartitionsToTxnTransaction,
    code: impl Fn(&str, i32) -> ErrorCode,
) -> AddPartitionsToTxnResult {
    let mut seen: HashMap<String, HashSet<i32>> = HashMap::new();
    for topic in &mut transaction.topics {
        let seen = seen.entry(topic.name.clone()).or_default();
        topic.partitions.retain(|index| seen.insert(*index));
    }
    transaction
        .topics
        .retain(|topic| !topic.partitions.is_empty());
    results(transaction, code)
}

/// The answer about one transaction, in the order of its request.
fn results(
    transaction: AddPartitionsToTxnTransaction,
    code: impl Fn(&str, i32) -> ErrorCode,
) -> AddPartitionsToTxnResult {
    let of_topic = |topic: AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        results_by_partition: topic
            .partitions
            .into_iter()
            .map(|index| AddPartitionsToTxnPartitionResult {
                partition_index: index,
                partition_error_code: code(&topic.name, index).into(),
            })
            .collect(),
        name: topic.name,
    };
    AddPartitionsToTxnResult {
        transactional_id: transaction.transactional_id,
        topic_results: transaction.topics.into_iter().map(of_topic).collect(),
    }
}
