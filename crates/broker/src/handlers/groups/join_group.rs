//! JoinGroup, key 11, versions 0 to 9.
//!
//! * v1: rebalance timeout. v4: a new member must come back with its id (KIP-394). v5: static members. v7: protocol type
//!   in the answer, protocol name may be null. v9: the leader can be told not to assign (KIP-814).

use std::sync::Arc;
use std::time::Duration;

use coordinator::{Client, JoinReply, JoinRequest, JoinedGroup, JoinedMember, MemberProtocol};
use protocol::ErrorCode;
use protocol::messages::join_group_response::JoinGroupResponseMember;
use protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use types::GroupId;

use super::{errors, wire};
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::topics::Topics;

/// The first version with a rebalance timeout.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// The first version in which a new member must come back with its id.
const KNOWN_MEMBER_SINCE: i16 = 4;
/// The first version in which a missing protocol is null.
const NULL_PROTOCOL_SINCE: i16 = 7;
/// The first version in which the leader can be told not to assign.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub(crate) async fn handle(
    context: Context,
    request: JoinGroupRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
) -> JoinGroupResponse {
    let version = context.version;
    let member_id = request.member_id.clone();
    match groups
        .join(join(&context, request, topics.env.random.uuid()))
        .await
    {
        Ok(reply) => answer(reply, version),
        Err(error) => refused(errors::coordinator(error), member_id, version),
    }
}

fn join(context: &Context, request: JoinGroupRequest, randomness: [u8; 16]) -> JoinRequest {
    let session_timeout = milliseconds(request.session_timeout_ms);
    let has_rebalance_timeout = context.version >= REBALANCE_TIMEOUT_SINCE;
    let protocol = |protocol: protocol::messages::join_group_request::JoinGroupRequestProtocol| {
        MemberProtocol {
            name: Arc::from(protocol.name),
            metadata: Arc::from(&*protocol.metadata),
        }
    };
    JoinRequest {
        group: GroupId::new(&request.group_id),
        member: wire::member(&request.member_id),
        instance: wire::instance(request.group_instance_id.as_deref()),
        client: Client {
            id: Arc::from(context.client_id()),
            host: Arc::from(context.client_host()),
        },
        session_timeout,
        rebalance_timeout: if has_rebalance_timeout {
            milliseconds(request.rebalance_timeout_ms)
        } else {
            session_timeout
        },
        protocol_type: Arc::from(request.protocol_type),
        protocols: request.protocols.into_iter().map(protocol).collect(),
        requires_known_member: context.version >= KNOWN_MEMBER_SINCE,
        supports_skip_assignment: context.version >= SKIP_ASSIGNMENT_SINCE,
        randomness,
    }
}

fn answer(reply: JoinReply, version: i16) -> JoinGroupResponse {
    let member_id = wire::member_text(reply.member.as_ref());
    match reply.result {
        Ok(joined) => joined_group(joined, member_id, version),
        Err(error) => refused(errors::join(&error), member_id, version),
    }
}

fn joined_group(joined: JoinedGroup, member_id: String, version: i16) -> JoinGroupResponse {
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: member.member.as_str().to_owned(),
        group_instance_id: member.instance.map(|instance| instance.as_str().to_owned()),
        metadata: wire::bytes(&member.metadata),
    };
    JoinGroupResponse {
        error_code: ErrorCode::None.into(),
        generation_id: joined.generation.value(),
        protocol_type: wire::text(joined.protocol_type.as_ref()),
        protocol_name: protocol_name(wire::text(joined.protocol.as_ref()), version),
        leader: wire::member_text(joined.leader.as_ref()),
        skip_assignment: joined.skip_assignment,
        member_id,
        members: joined.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn refused(code: ErrorCode, member_id: String, version: i16) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: code.into(),
        generation_id: -1,
        protocol_name: protocol_name(None, version),
        member_id,
        ..Default::default()
    }
}

fn protocol_name(name: Option<String>, version: i16) -> Option<String> {
    if version >= NULL_PROTOCOL_SINCE {
        name
    } else {
        Some(name.unwrap_or_default())
    }
}

/// A time on the wire; the coordinator refuses what is too short.
fn milliseconds(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}
