//! DeleteShareGroupOffsets, key 92, version 0.

use std::sync::Arc;

use coordinator::DeleteShareOffsetsRequest;
use protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use protocol::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};
use protocol::{ErrorCode, Uuid};
use types::TopicName;

use super::wire;
use crate::context::Context;
use crate::handlers::groups::errors;
use crate::handlers::refusal::Refusal;
use crate::shares::Shares;

pub(crate) async fn handle(
    _context: Context,
    request: DeleteShareGroupOffsetsRequest,
    shares: Arc<Shares>,
) -> DeleteShareGroupOffsetsResponse {
    match delete(&shares, request).await {
        Ok(responses) => DeleteShareGroupOffsetsResponse {
            responses,
            ..Default::default()
        },
        Err(refusal) => DeleteShareGroupOffsetsResponse {
            error_code: refusal.code.into(),
            error_message: Some(refusal.message),
            ..Default::default()
        },
    }
}

async fn delete(
    shares: &Arc<Shares>,
    request: DeleteShareGroupOffsetsRequest,
) -> Result<Vec<DeleteShareGroupOffsetsResponseTopic>, Refusal> {
    let group = wire::group_with_offsets(shares, &request.group_id)?;
    let names = request.topics.iter();
    let deleted = shares.delete_offsets(DeleteShareOffsetsRequest {
        group,
        topics: names
            .map(|topic| TopicName::new(&topic.topic_name))
            .collect(),
    });
    let deleted = deleted
        .await
        .map_err(|error| Refusal::new(errors::coordinator(error), error.to_string()))?;
    let results = request
        .topics
        .into_iter()
        .zip(deleted.map_err(wire::offsets)?);
    let answer = |(topic, (id, code, message)): (
        protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic,
        (Option<types::TopicId>, ErrorCode, String),
    )| DeleteShareGroupOffsetsResponseTopic {
        topic_name: topic.topic_name,
        topic_id: id.map_or(Uuid::ZERO, |id| Uuid(id.bytes())),
        error_code: code.into(),
        error_message: (code != ErrorCode::None).then_some(message),
    };
    Ok(results.map(answer).collect())
}
