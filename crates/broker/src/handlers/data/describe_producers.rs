//! DescribeProducers, key 61, version 0: the producers that partitions know, for administrators who look for hanging
//! transactions (KIP-664, `KafkaApis.handleDescribeProducersRequest`).

use std::sync::Arc;

use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::describe_producers_request::TopicRequest;
use protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use storage::ActiveProducer;
use types::Offset;

use crate::context::Context;
use crate::handlers::errors;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: DescribeProducersRequest,
    topics: Arc<Topics>,
) -> DescribeProducersResponse {
    let image = topics.image();
    let describe = |topic: &TopicRequest| TopicResponse {
        name: topic.name.clone(),
        partitions: topic
            .partition_indexes
            .iter()
            .map(|index| describe_partition(&topics, &image, &topic.name, *index))
            .collect(),
    };
    DescribeProducersResponse {
        topics: request.topics.iter().map(describe).collect(),
        ..Default::default()
    }
}

fn describe_partition(
    topics: &Topics,
    image: &ClusterImage,
    topic: &str,
    index: i32,
) -> PartitionResponse {
    let mut response = PartitionResponse {
        partition_index: index,
        ..Default::default()
    };
    if let Err(error) = metadata::check_topic_name(topic) {
        response.error_code = ErrorCode::InvalidTopicException.into();
        response.error_message = Some(error.to_string());
        return response;
    }
    match topics.leading_by_name(image, topic, index) {
        Ok(led) => response.active_producers = led.log.producers().iter().map(state).collect(),
        Err(error) => response.error_code = errors::partition(error).into(),
    }
    response
}

fn state(known: &ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: known.producer.value(),
        producer_epoch: known.epoch.into(),
        last_sequence: known.last_sequence.unwrap_or(-1),
        last_timestamp: known.last_timestamp,
        coordinator_epoch: known.coordinator_epoch,
        current_txn_start_offset: known.transaction_start.map_or(-1, Offset::value),
    }
}
