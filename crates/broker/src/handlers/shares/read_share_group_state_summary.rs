//! ReadShareGroupStateSummary, key 87, versions 0 and 1: for brokers.
//!
//! * v1: delivery complete count.

use std::sync::Arc;

use protocol::messages::read_share_group_state_summary_response::{
    PartitionResult, ReadStateSummaryResult,
};
use protocol::messages::{ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse};

use super::wire;
use crate::context::Context;
use crate::handlers::refusal::fields;
use crate::shares::{Shares, state_refusal};

pub(crate) async fn handle(
    _context: Context,
    request: ReadShareGroupStateSummaryRequest,
    shares: Arc<Shares>,
) -> ReadShareGroupStateSummaryResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let key = wire::state_key(&request.group_id, topic.topic_id, asked.partition);
            let outcome = match key {
                Err(refusal) => Err(refusal),
                Ok(key) => {
                    let exists = shares.partition_exists(key.topic, asked.partition);
                    state_refusal(shares.coordinator.summary(key, exists).await)
                }
            };
            let (error_code, error_message) = fields(&outcome);
            let mut result = PartitionResult {
                partition: asked.partition,
                error_code,
                error_message,
                ..Default::default()
            };
            if let Ok(summary) = outcome {
                result.state_epoch = summary.state_epoch;
                result.leader_epoch = summary.leader_epoch;
                result.start_offset = summary.start_offset;
                result.delivery_complete_count = summary.delivery_complete_count;
            }
            partitions.push(result);
        }
        results.push(ReadStateSummaryResult {
            topic_id: topic.topic_id,
            partitions,
        });
    }
    ReadShareGroupStateSummaryResponse { results }
}
