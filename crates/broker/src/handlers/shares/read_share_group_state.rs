//! ReadShareGroupState, key 84, version 0: for brokers.

use std::sync::Arc;

use coordinator::share_state::ReadShareState;
use protocol::messages::read_share_group_state_response::{
    PartitionResult, ReadStateResult, StateBatch,
};
use protocol::messages::{ReadShareGroupStateRequest, ReadShareGroupStateResponse};
use types::LeaderEpoch;

use super::wire;
use crate::context::Context;
use crate::handlers::refusal::fields;
use crate::shares::{Shares, state_refusal};

pub(crate) async fn handle(
    _context: Context,
    request: ReadShareGroupStateRequest,
    shares: Arc<Shares>,
) -> ReadShareGroupStateResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let key = wire::state_key(&request.group_id, topic.topic_id, asked.partition);
            let outcome = match key {
                Err(refusal) => Err(refusal),
                Ok(key) => {
                    let read = ReadShareState {
                        partition_exists: shares.partition_exists(key.topic, asked.partition),
                        key,
                        leader_epoch: LeaderEpoch::new(asked.leader_epoch),
                    };
                    state_refusal(shares.coordinator.read(read).await)
                }
            };
            let (error_code, error_message) = fields(&outcome);
            let (state_epoch, start_offset, batches) = outcome.unwrap_or_default();
            let batches = batches.into_iter().map(|batch| StateBatch {
                first_offset: batch.first,
                last_offset: batch.last,
                delivery_state: batch.state.id(),
                delivery_count: batch.delivery_count,
            });
            partitions.push(PartitionResult {
                partition: asked.partition,
                error_code,
                error_message,
                state_epoch,
                start_offset,
                state_batches: batches.collect(),
            });
        }
        results.push(ReadStateResult {
            topic_id: topic.topic_id,
            partitions,
        });
    }
    ReadShareGroupStateResponse { results }
}
