//! WriteShareGroupState, key 85, versions 0 and 1: for brokers.
//!
//! * v1: delivery complete count.

use std::sync::Arc;

use coordinator::share_partition::StateBatch;
use coordinator::share_state::WriteShareState;
use protocol::ErrorCode;
use protocol::messages::write_share_group_state_request::{
    PartitionData, StateBatch as StateBatchMessage,
};
use protocol::messages::write_share_group_state_response::{PartitionResult, WriteStateResult};
use protocol::messages::{WriteShareGroupStateRequest, WriteShareGroupStateResponse};
use types::LeaderEpoch;

use super::wire;
use crate::context::Context;
use crate::handlers::refusal::{Refusal, fields};
use crate::shares::{Shares, record_state, state_refusal};

pub(crate) async fn handle(
    _context: Context,
    request: WriteShareGroupStateRequest,
    shares: Arc<Shares>,
) -> WriteShareGroupStateResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let partition = asked.partition;
            let key = wire::state_key(&request.group_id, topic.topic_id, partition);
            let outcome = match key.and_then(|key| write(&shares, key, asked)) {
                Err(refusal) => Err(refusal),
                Ok(write) => state_refusal(shares.coordinator.write(write).await),
            };
            let (error_code, error_message) = fields(&outcome);
            partitions.push(PartitionResult {
                partition,
                error_code,
                error_message,
            });
        }
        results.push(WriteStateResult {
            topic_id: topic.topic_id,
            partitions,
        });
    }
    WriteShareGroupStateResponse { results }
}

fn write(
    shares: &Shares,
    key: coordinator::share_state::SharePartitionKey,
    asked: PartitionData,
) -> Result<WriteShareState, Refusal> {
    let batch = |batch: StateBatchMessage| {
        let state = record_state(batch.delivery_state)
            .filter(|_| 0 <= batch.first_offset && batch.first_offset <= batch.last_offset);
        let state = state.ok_or_else(|| {
            Refusal::new(ErrorCode::InvalidRequest, "a state batch is impossible")
        })?;
        Ok(StateBatch {
            first: batch.first_offset,
            last: batch.last_offset,
            state,
            delivery_count: batch.delivery_count,
        })
    };
    let batches: Result<Vec<_>, Refusal> = asked.state_batches.into_iter().map(batch).collect();
    Ok(WriteShareState {
        partition_exists: shares.partition_exists(key.topic, asked.partition),
        key,
        state_epoch: asked.state_epoch,
        leader_epoch: LeaderEpoch::new(asked.leader_epoch),
        start_offset: asked.start_offset,
        delivery_complete_count: asked.delivery_complete_count,
        batches: batches?,
    })
}
