//! AddOffsetsToTxn, key 25, versions 0 to 4: a transaction will commit offsets of a group.
//!
//! * v2: PRODUCER_FENCED; before, INVALID_PRODUCER_EPOCH says it.
//! * v4: TRANSACTION_ABORTABLE, which this API never answers itself.
//!
//! Only clients that do not speak transactions of version 2 send it: with these, TxnOffsetCommit adds the group.

use std::sync::Arc;

use coordinator::{AddPartitionsRequest, ClaimedProducer, TransactionVersion};
use metadata::CONSUMER_OFFSETS;
use protocol::ErrorCode;
use protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use types::{TopicName, TopicPartition, TransactionalId};

use super::errors;
use crate::context::Context;
use crate::coordinators::{GroupCoordinator, TransactionCoordinator};

pub(crate) async fn handle(
    context: Context,
    request: AddOffsetsToTxnRequest,
    transactions: Arc<TransactionCoordinator>,
    groups: Arc<GroupCoordinator>,
) -> AddOffsetsToTxnResponse {
    let error = match add(&context, request, &transactions, &groups).await {
        Ok(()) => ErrorCode::None,
        Err(error) => error,
    };
    AddOffsetsToTxnResponse {
        error_code: error.into(),
        ..Default::default()
    }
}

async fn add(
    context: &Context,
    request: AddOffsetsToTxnRequest,
    transactions: &TransactionCoordinator,
    groups: &GroupCoordinator,
) -> Result<(), ErrorCode> {
    if request.transactional_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    // The client looks for the group's coordinator only after this.
    groups.ensure_topic().await.map_err(errors::coordinator)?;
    let partition = groups
        .partition_of(&request.group_id)
        .ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let added = transactions.add_partitions(AddPartitionsRequest {
        id: TransactionalId::new(&request.transactional_id),
        producer: ClaimedProducer::from_wire(request.producer_id, request.producer_epoch),
        version: TransactionVersion::V0,
        partitions: vec![TopicPartition {
            topic: TopicName::new(CONSUMER_OFFSETS),
            partition,
        }],
    });
    added
        .await
        .map_err(errors::coordinator)?
        .map_err(|error| errors::add_partitions(error, context.version))
}
