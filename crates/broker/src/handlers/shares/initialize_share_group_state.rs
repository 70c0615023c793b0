//! InitializeShareGroupState, key 83, version 0: for brokers.

use std::sync::Arc;

use coordinator::share_state::InitializeShareState;
use protocol::messages::initialize_share_group_state_response::{
    InitializeStateResult, PartitionResult,
};
use protocol::messages::{InitializeShareGroupStateRequest, InitializeShareGroupStateResponse};

use super::wire;
use crate::context::Context;
use crate::handlers::refusal::{Refusal, fields};
use crate::shares::{Shares, state_refusal};

pub(crate) async fn handle(
    _context: Context,
    request: InitializeShareGroupStateRequest,
    shares: Arc<Shares>,
) -> InitializeShareGroupStateResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let key = wire::state_key(&request.group_id, topic.topic_id, asked.partition);
            let outcome: Result<(), Refusal> = match key {
                Err(refusal) => Err(refusal),
                Ok(key) => {
                    let initialize = InitializeShareState {
                        partition_exists: shares.partition_exists(key.topic, asked.partition),
                        key,
                        state_epoch: asked.state_epoch,
                        start_offset: asked.start_offset,
                    };
                    state_refusal(shares.coordinator.initialize(initialize).await)
                }
            };
            let (error_code, error_message) = fields(&outcome);
            partitions.push(PartitionResult {
                partition: asked.partition,
                error_code,
                error_message,
            });
        }
        results.push(InitializeStateResult {
            topic_id: topic.topic_id,
            partitions,
        });
    }
    InitializeShareGroupStateResponse { results }
}
