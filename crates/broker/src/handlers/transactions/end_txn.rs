//! EndTxn, key 26, versions 0 to 5: a transaction commits or aborts.
//!
//! * v2: PRODUCER_FENCED; before, INVALID_PRODUCER_EPOCH says it.
//! * v4: TRANSACTION_ABORTABLE, which this API never answers itself.
//! * v5: transactions of version 2 (KIP-890): the epoch is bumped, and the answer has the producer's new id and epoch.

use std::sync::Arc;

use coordinator::{ClaimedProducer, EndRequest, TransactionVersion};
use protocol::ErrorCode;
use protocol::messages::{EndTxnRequest, EndTxnResponse};
use types::TransactionalId;

use super::errors;
use crate::context::Context;
use crate::coordinators::TransactionCoordinator;

/// The first version that bumps the epoch.
const BUMPS_SINCE: i16 = 5;

pub(crate) async fn handle(
    context: Context,
    request: EndTxnRequest,
    transactions: Arc<TransactionCoordinator>,
) -> EndTxnResponse {
    if request.transactional_id.is_empty() {
        return refuse(ErrorCode::InvalidRequest);
    }
    let bumps = context.version >= BUMPS_SINCE;
    let version = match bumps {
        true => TransactionVersion::V2,
        false => TransactionVersion::V0,
    };
    let ended = transactions.end(EndRequest {
        id: TransactionalId::new(&request.transactional_id),
        producer: ClaimedProducer::from_wire(request.producer_id, request.producer_epoch),
        commit: request.committed,
        version,
        fresh: None,
    });
    match ended.await {
        Ok(Ok(next)) if bumps => EndTxnResponse {
            producer_id: next.id.value(),
            producer_epoch: next.epoch.value(),
            ..Default::default()
        },
        Ok(Ok(_same)) => refuse(ErrorCode::None),
        Ok(Err(error)) => refuse(errors::end(error, context.version)),
        Err(error) => refuse(errors::coordinator(error)),
    }
}

fn refuse(error: ErrorCode) -> EndTxnResponse {
    EndTxnResponse {
        error_code: error.into(),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}
