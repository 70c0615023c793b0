//! ShareGroupHeartbeat, key 76, version 1.

use std::sync::Arc;
use std::time::Duration;

use coordinator::{
    Client, Epoch, ShareHeartbeatError, ShareHeartbeatReply, ShareHeartbeatRequest, SharePurpose,
    TopicPartitions,
};
use protocol::messages::share_group_heartbeat_response::{
    Assignment, TopicPartitions as TopicPartitionsMessage,
};
use protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use protocol::{ErrorCode, Uuid};
use types::{GroupId, MemberId, TopicName};

use super::wire;
use crate::context::Context;
use crate::handlers::groups::errors;
use crate::handlers::refusal::Refusal;
use crate::shares::Shares;

/// The epoch of a member that leaves.
const LEAVES: i32 = -1;

pub(crate) async fn handle(
    context: Context,
    request: ShareGroupHeartbeatRequest,
    shares: Arc<Shares>,
) -> ShareGroupHeartbeatResponse {
    let settings = shares.topics.image().group_settings(&request.group_id);
    let member_id = request.member_id.clone();
    let session_timeout_ms = settings.share_session_timeout_ms;
    let heartbeat = match heartbeat(&context, request, session_timeout_ms, shares.is_enabled()) {
        Ok(heartbeat) => heartbeat,
        Err(refusal) => return refused(&refusal),
    };
    match shares.heartbeat(heartbeat).await {
        Ok(Ok(reply)) => respond(member_id, reply, settings.share_heartbeat_interval_ms),
        Ok(Err(error)) => refused(&Refusal::new(code(error), error.to_string())),
        Err(error) => ShareGroupHeartbeatResponse {
            error_code: errors::coordinator(error).into(),
            ..Default::default()
        },
    }
}

fn heartbeat(
    context: &Context,
    request: ShareGroupHeartbeatRequest,
    session_timeout_ms: i32,
    is_enabled: bool,
) -> Result<ShareHeartbeatRequest, Refusal> {
    if !is_enabled {
        return Err(wire::disabled());
    }
    wire::check_member(&request.member_id)?;
    let purpose = match request.member_epoch {
        LEAVES => SharePurpose::Leave,
        epoch => match Epoch::new(epoch) {
            Some(epoch) => SharePurpose::Stay(epoch),
            None => {
                let message = "the member epoch is neither -1 nor an epoch";
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        },
    };
    let topics = request.subscribed_topic_names;
    let session_timeout_ms = u64::try_from(session_timeout_ms).unwrap_or(0);
    Ok(ShareHeartbeatRequest {
        group: GroupId::new(&request.group_id),
        member: MemberId::new(&request.member_id),
        purpose,
        rack: request.rack_id.map(Arc::from),
        client: Client {
            id: Arc::from(context.client_id()),
            host: Arc::from(context.client_host()),
        },
        topics: topics.map(|topics| topics.iter().map(|name| TopicName::new(name)).collect()),
        session_timeout: Duration::from_millis(session_timeout_ms),
    })
}

fn respond(
    member_id: String,
    reply: ShareHeartbeatReply,
    heartbeat_interval_ms: i32,
) -> ShareGroupHeartbeatResponse {
    let Some(epoch) = reply.epoch else {
        return ShareGroupHeartbeatResponse {
            member_id: Some(member_id),
            member_epoch: LEAVES,
            ..Default::default()
        };
    };
    ShareGroupHeartbeatResponse {
        member_id: Some(member_id),
        member_epoch: epoch.value(),
        heartbeat_interval_ms,
        assignment: reply.assignment.as_ref().map(assignment),
        ..Default::default()
    }
}

fn assignment(partitions: &TopicPartitions) -> Assignment {
    let topics = partitions.topics();
    Assignment {
        topic_partitions: topics
            .map(|(topic, partitions)| TopicPartitionsMessage {
                topic_id: Uuid(topic.bytes()),
                partitions: partitions.iter().map(|index| index.value()).collect(),
            })
            .collect(),
    }
}

fn refused(refusal: &Refusal) -> ShareGroupHeartbeatResponse {
    ShareGroupHeartbeatResponse {
        error_code: refusal.code.into(),
        error_message: Some(refusal.message.clone()),
        ..Default::default()
    }
}

fn code(error: ShareHeartbeatError) -> ErrorCode {
    match error {
        ShareHeartbeatError::NoMember
        | ShareHeartbeatError::NoGroup
        | ShareHeartbeatError::EmptyRack
        | ShareHeartbeatError::NoTopics => ErrorCode::InvalidRequest,
        ShareHeartbeatError::UnknownGroup => ErrorCode::GroupIdNotFound,
        ShareHeartbeatError::UnknownMember => ErrorCode::UnknownMemberId,
        ShareHeartbeatError::FencedMemberEpoch => ErrorCode::FencedMemberEpoch,
        ShareHeartbeatError::GroupFull => ErrorCode::GroupMaxSizeReached,
    }
}
