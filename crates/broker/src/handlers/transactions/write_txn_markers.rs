//! WriteTxnMarkers, key 27, versions 1 and 2: partitions learn how a transaction ended. Between brokers, and from
//! administrators who end a transaction that its coordinator has lost (`kafka-transactions.sh abort`).
//!
//! * v2: the protocol of the transaction, which says by which rule the epoch is judged (KIP-1228).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::{EndMarker, TransactionVersion};
use futures_util::future::join_all;
use protocol::ErrorCode;
use protocol::messages::write_txn_markers_request::WritableTxnMarker;
use protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use types::{PartitionIndex, TopicName, TopicPartition};

use super::errors;
use crate::context::Context;
use crate::coordinators::{CoordinatorError, GroupCoordinator, MarkerError, MarkerWriter};
use crate::handlers::errors as partition_errors;
use crate::topics::Topics;

/// Results by producer, topic and partition: a producer that is named twice is answered once.
type Results = BTreeMap<i64, BTreeMap<String, BTreeMap<i32, ErrorCode>>>;

pub(crate) async fn handle(
    _context: Context,
    request: WriteTxnMarkersRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
) -> WriteTxnMarkersResponse {
    let writer = MarkerWriter::new(topics, groups);
    let mut writes = Vec::new();
    for marker in request.markers {
        let end = end_marker(&marker);
        // One marker ends a transaction; those that repeat it would only cost the disk.
        let mut topics: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for topic in marker.topics {
            let indexes = topics.entry(topic.name).or_default();
            indexes.extend(topic.partition_indexes);
        }
        for (name, indexes) in topics {
            for index in indexes {
                let place = (marker.producer_id, name.clone(), index);
                // The marker is in the log when this returns, so the order of the request is that of the log.
                let written = write(&writer, end, &name, index);
                writes.push(async move { (place, written.await) });
            }
        }
    }
    let mut results = Results::new();
    for ((producer, topic, index), code) in join_all(writes).await {
        let topics = results.entry(producer).or_default();
        topics.entry(topic).or_default().insert(index, code);
    }
    respond(results)
}

fn write(
    writer: &MarkerWriter,
    marker: Option<EndMarker>,
    topic: &str,
    index: i32,
) -> env::BoxFuture<'static, ErrorCode> {
    let code = |code| Box::pin(std::future::ready(code));
    let Some(partition) = PartitionIndex::new(index) else {
        return code(ErrorCode::UnknownTopicOrPartition);
    };
    // Kafka cannot build such a marker either.
    let Some(marker) = marker else {
        return code(ErrorCode::UnknownServerError);
    };
    let topic = TopicName::new(topic);
    let written = writer.write(&TopicPartition { topic, partition }, marker);
    Box::pin(async move {
        match written.await {
            Ok(()) => ErrorCode::None,
            Err(error) => error_code(&error),
        }
    })
}

fn end_marker(marker: &WritableTxnMarker) -> Option<EndMarker> {
    let producer = errors::producer(marker.producer_id, marker.producer_epoch)?;
    let version = match marker.transaction_version {
        2.. => TransactionVersion::V2,
        _ => TransactionVersion::V0,
    };
    Some(EndMarker {
        producer,
        coordinator_epoch: marker.coordinator_epoch,
        committed: marker.transaction_result,
        version,
    })
}

fn error_code(error: &MarkerError) -> ErrorCode {
    match error {
        MarkerError::Partition(error) => partition_errors::partition(*error),
        MarkerError::Append(error) => partition_errors::append(error),
        // A transaction coordinator does not expect to hear of group coordinators: it is to try again.
        MarkerError::Group(
            CoordinatorError::LoadInProgress
            | CoordinatorError::NotAvailable
            | CoordinatorError::NotCoordinator,
        ) => ErrorCode::NotLeaderOrFollower,
        MarkerError::Group(error) => errors::coordinator(*error),
        MarkerError::NotDurable(_) => ErrorCode::KafkaStorageError,
        MarkerError::Build(_) => ErrorCode::UnknownServerError,
    }
}

fn respond(results: Results) -> WriteTxnMarkersResponse {
    let partition = |(partition_index, code): (i32, ErrorCode)| WritableTxnMarkerPartitionResult {
        partition_index,
        error_code: code.into(),
    };
    let topic = |(name, partitions): (String, BTreeMap<i32, ErrorCode>)| {
        let partitions = partitions.into_iter().map(partition).collect();
        WritableTxnMarkerTopicResult { name, partitions }
    };
    let marker = |(producer_id, topics): (i64, BTreeMap<_, _>)| WritableTxnMarkerResult {
        producer_id,
        topics: topics.into_iter().map(topic).collect(),
    };
    WriteTxnMarkersResponse {
        markers: results.into_iter().map(marker).collect(),
    }
}
