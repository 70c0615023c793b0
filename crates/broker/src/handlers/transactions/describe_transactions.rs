//! DescribeTransactions, key 65, version 0: what transactional ids are doing.

use std::sync::Arc;

use coordinator::DescribedTransaction;
use protocol::ErrorCode;
use protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use types::{Timestamp, TransactionalId};

use super::errors;
use crate::context::Context;
use crate::coordinators::TransactionCoordinator;

/// What the wire says of a transaction that has not begun.
const NEVER_BEGAN_MS: i64 = -1;

pub(crate) async fn handle(
    _context: Context,
    request: DescribeTransactionsRequest,
    transactions: Arc<TransactionCoordinator>,
) -> DescribeTransactionsResponse {
    let ids = request.transactional_ids.iter();
    let ids = ids.map(|id| TransactionalId::new(id)).collect();
    let state = |(id, described): (TransactionalId, Result<Option<_>, _>)| {
        let refuse = |error: ErrorCode| TransactionState {
            error_code: error.into(),
            transactional_id: id.as_str().to_owned(),
            ..Default::default()
        };
        match described {
            _ if id.as_str().is_empty() => refuse(ErrorCode::InvalidRequest),
            Ok(Some(described)) => describe(&id, described),
            Ok(None) => refuse(ErrorCode::TransactionalIdNotFound),
            Err(error) => refuse(errors::coordinator(error)),
        }
    };
    let described = transactions.describe(ids).await;
    DescribeTransactionsResponse {
        transaction_states: described.into_iter().map(state).collect(),
        ..Default::default()
    }
}

fn describe(id: &TransactionalId, described: DescribedTransaction) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in &described.partitions {
        let index = partition.partition.value();
        match topics.last_mut() {
            Some(last) if last.topic == partition.topic.as_str() => last.partitions.push(index),
            _ => topics.push(TopicData {
                topic: partition.topic.as_str().to_owned(),
                partitions: vec![index],
            }),
        }
    }
    TransactionState {
        error_code: ErrorCode::None.into(),
        transactional_id: id.as_str().to_owned(),
        transaction_state: described.state.name().to_owned(),
        transaction_timeout_ms: described.timeout_ms,
        transaction_start_time_ms: described.started.map_or(NEVER_BEGAN_MS, Timestamp::ms),
        producer_id: described.producer.id.value(),
        producer_epoch: described.producer.epoch.value(),
        topics,
    }
}
