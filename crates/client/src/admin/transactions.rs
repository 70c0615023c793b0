//! Transactions: which there are, what they do, who writes to a partition, and ending one that its coordinator has lost.

use protocol::ErrorCode;
use protocol::messages::describe_producers_request::TopicRequest;
use protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest,
    WriteTxnMarkersRequest,
};

use super::AdminError;
use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, Lane, Target, TopicSelection};
use crate::connection::CallError;
use crate::group::Coordinator;
use crate::refusal::{self, Refusal};

/// Which transactions to list; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Only in these states; empty: in any.
    pub states: Vec<String>,
    /// Only of these producers; empty: of any.
    pub producer_ids: Vec<i64>,
    /// Only those open for longer, in milliseconds (KIP-994).
    pub longer_than_ms: Option<i64>,
    /// Only transactional ids that match this regular expression as a whole (KIP-1152).
    pub id_pattern: Option<String>,
}

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionListing {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its producer id.
    pub producer_id: i64,
    /// Its state, such as `Ongoing`.
    pub state: String,
}

/// What a transactional id is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its producer id.
    pub producer_id: i64,
    /// The epoch of its producer.
    pub producer_epoch: i16,
    /// Its state, such as `Ongoing`.
    pub state: String,
    /// How long a transaction may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// When the transaction began, in milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// Where the transaction's records are.
    pub partitions: Vec<TopicPartition>,
}

/// What a partition knows of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Who.
    pub producer_id: i64,
    /// The last epoch seen.
    pub producer_epoch: i16,
    /// The last sequence seen, if any in this epoch.
    pub last_sequence: Option<i32>,
    /// The timestamp of its last batch, in milliseconds since 1970.
    pub last_timestamp_ms: i64,
    /// The epoch of the coordinator that last ended a transaction of it.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins.
    pub transaction_start_offset: Option<i64>,
}

/// The end of a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionMarker {
    /// Whose transaction.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch of the coordinator, at least the last that the partition has seen.
    pub coordinator_epoch: i32,
}

/// The versions that brought the filters.
const FIRST_LIST_WITH_DURATION: i16 = 1;
const FIRST_LIST_WITH_PATTERN: i16 = 2;
/// No duration.
const ANY_DURATION: i64 = -1;

/// All transactional ids of all brokers that pass the filter. A filter that a broker is too old for is an error: more
/// than was asked for could be taken for what was asked for.
pub async fn list_transactions(
    cluster: &Cluster,
    filter: &TransactionFilter,
) -> Result<Vec<TransactionListing>, AdminError> {
    let needed = match filter {
        TransactionFilter {
            id_pattern: Some(_),
            ..
        } => FIRST_LIST_WITH_PATTERN,
        TransactionFilter {
            longer_than_ms: Some(_),
            ..
        } => FIRST_LIST_WITH_DURATION,
        _ => 0,
    };
    let metadata = cluster.metadata(TopicSelection::None).await?;
    let mut listed = Vec::new();
    for id in metadata.brokers.into_keys() {
        let attempted = || format!("list the transactions of broker {id}");
        let connection = cluster.connection(Target::Broker(id), Lane::Control).await;
        let connection = connection.map_err(CallError::from)?;
        let version = connection.version_of::<ListTransactionsRequest>(i16::MAX)?;
        if version < needed {
            return Err(AdminError::Refused {
                attempted: attempted(),
                source: Refusal::new(ErrorCode::UnsupportedVersion),
            });
        }
        let request = ListTransactionsRequest {
            state_filters: filter.states.clone(),
            producer_id_filters: filter.producer_ids.clone(),
            duration_filter: filter.longer_than_ms.unwrap_or(ANY_DURATION),
            transactional_id_pattern: filter.id_pattern.clone(),
        };
        let limit = cluster.config().request_timeout;
        let response = connection.call_version(&request, version, limit).await?;
        refusal::check(response.error_code, None).map_err(|source| AdminError::Refused {
            attempted: attempted(),
            source,
        })?;
        let states = response.transaction_states.into_iter();
        listed.extend(states.map(|state| TransactionListing {
            transactional_id: state.transactional_id,
            coordinator: id,
            producer_id: state.producer_id,
            state: state.transaction_state,
        }));
    }
    listed.sort();
    Ok(listed)
}

/// Asks the coordinator of a transactional id.
pub async fn describe_transaction(
    cluster: &Cluster,
    transactional_id: &str,
) -> Result<TransactionDescription, AdminError> {
    let coordinator = Coordinator::of_transactional_id(cluster.clone(), transactional_id);
    let request = DescribeTransactionsRequest {
        transactional_ids: vec![transactional_id.to_owned()],
    };
    let response = coordinator.call(&request, |response| {
        let state = response.transaction_states.first();
        state.map_or(0, |state| state.error_code)
    });
    let state = response.await?.transaction_states.into_iter().next();
    let state = state.ok_or_else(|| AdminError::Missing {
        subject: format!("transactional id '{transactional_id}'"),
    })?;
    refusal::check(state.error_code, None).map_err(|source| AdminError::Refused {
        attempted: format!("describe transactional id '{transactional_id}'"),
        source,
    })?;
    let partitions = state.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|index| TopicPartition::new(topic.topic.as_str(), *index))
    });
    Ok(TransactionDescription {
        partitions: partitions.collect(),
        transactional_id: state.transactional_id,
        coordinator: coordinator.broker().await?,
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch,
        state: state.transaction_state,
        timeout_ms: state.transaction_timeout_ms,
        started_ms: Some(state.transaction_start_time_ms).filter(|ms| *ms >= 0),
    })
}

/// Asks the leader of a partition who writes to it.
pub async fn describe_producers(
    cluster: &Cluster,
    partition: &TopicPartition,
) -> Result<Vec<ProducerState>, AdminError> {
    let leader = cluster
        .leader_of(&partition.topic, partition.partition)
        .await?;
    let request = DescribeProducersRequest {
        topics: vec![TopicRequest {
            name: partition.topic.as_ref().to_owned(),
            partition_indexes: vec![partition.partition],
        }],
    };
    let response = cluster
        .call_retrying(Target::Broker(leader), Lane::Control, &request)
        .await?;
    let topic = response.topics.into_iter().next();
    let described = topic.and_then(|topic| topic.partitions.into_iter().next());
    let described = described.ok_or_else(|| AdminError::Missing {
        subject: format!("the producers of {partition}"),
    })?;
    let message = described.error_message.as_deref();
    refusal::check(described.error_code, message).map_err(|source| AdminError::Refused {
        attempted: format!("describe the producers of {partition}"),
        source,
    })?;
    let producers = described.active_producers.into_iter();
    let producers = producers.map(|producer| ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i16::try_from(producer.producer_epoch).unwrap_or(i16::MAX),
        last_sequence: Some(producer.last_sequence).filter(|sequence| *sequence >= 0),
        last_timestamp_ms: producer.last_timestamp,
        coordinator_epoch: Some(producer.coordinator_epoch).filter(|epoch| *epoch >= 0),
        transaction_start_offset: Some(producer.current_txn_start_offset)
            .filter(|offset| *offset >= 0),
    });
    Ok(producers.collect())
}

/// Aborts a transaction in one partition, behind the back of its coordinator. Only for one that its coordinator knows
/// nothing of any more: another would end in one partition only.
pub async fn abort_transaction(
    cluster: &Cluster,
    partition: &TopicPartition,
    marker: TransactionMarker,
) -> Result<(), AdminError> {
    let leader = cluster
        .leader_of(&partition.topic, partition.partition)
        .await?;
    let request = WriteTxnMarkersRequest {
        markers: vec![WritableTxnMarker {
            producer_id: marker.producer_id,
            producer_epoch: marker.producer_epoch,
            transaction_result: false,
            topics: vec![WritableTxnMarkerTopic {
                name: partition.topic.as_ref().to_owned(),
                partition_indexes: vec![partition.partition],
            }],
            coordinator_epoch: marker.coordinator_epoch,
            // By the rule that takes the epoch as it is.
            transaction_version: 0,
        }],
    };
    // A second marker ends nothing.
    let response = cluster
        .call_retrying(Target::Broker(leader), Lane::Control, &request)
        .await?;
    let results = response.markers.into_iter();
    let results = results.flat_map(|marker| marker.topics);
    let mut results = results.flat_map(|topic| topic.partitions);
    let result = results.next().ok_or_else(|| AdminError::Missing {
        subject: format!("the marker in {partition}"),
    })?;
    refusal::check(result.error_code, None).map_err(|source| AdminError::Refused {
        attempted: format!("abort the transaction in {partition}"),
        source,
    })
}
