//! DeleteShareGroupState, key 86, version 0: for brokers.

use std::sync::Arc;

use protocol::messages::delete_share_group_state_response::{DeleteStateResult, PartitionResult};
use protocol::messages::{DeleteShareGroupStateRequest, DeleteShareGroupStateResponse};

use super::wire;
use crate::context::Context;
use crate::handlers::refusal::{Refusal, fields};
use crate::shares::{Shares, state_refusal};

pub(crate) async fn handle(
    _context: Context,
    request: DeleteShareGroupStateRequest,
    shares: Arc<Shares>,
) -> DeleteShareGroupStateResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let key = wire::state_key(&request.group_id, topic.topic_id, asked.partition);
            let outcome: Result<(), Refusal> = match key {
                Err(refusal) => Err(refusal),
                Ok(key) => {
                    let exists = shares.partition_exists(key.topic, asked.partition);
                    state_refusal(shares.coordinator.delete(key, exists).await)
                }
            };
            let (error_code, error_message) = fields(&outcome);
            partitions.push(PartitionResult {
                partition: asked.partition,
                error_code,
                error_message,
            });
        }
        results.push(DeleteStateResult {
            topic_id: topic.topic_id,
            partitions,
        });
    }
    DeleteShareGroupStateResponse { results }
}
