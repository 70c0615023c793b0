//! GroupMetadata of classic groups: written in version 3, every version is read
//! (`GroupCoordinatorRecordHelpers.java`).

use std::sync::Arc;

use bytes::Bytes;
use coordinator::{Client, Generation, GroupMetadata, GroupRecord, MemberMetadata};
use protocol::messages::group_metadata_value::MemberMetadata as MemberMetadataMessage;
use protocol::messages::{GroupMetadataKey, GroupMetadataValue};
use protocol::{
    EncodeError, decode_coordinator_key, decode_versioned, encode_coordinator_key, encode_versioned,
};
use types::{GroupId, InstanceId, MemberId, Timestamp};

use super::{DecodeRecordError, NO_TIMESTAMP, timeout, timeout_ms, timestamp};

const GROUP_METADATA_VERSION: i16 = 3;
const NO_TIMEOUT: i32 = -1;

pub(super) fn encode_group_metadata(
    group: &GroupId,
    value: Option<&GroupMetadata>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let key = encode_coordinator_key(&GroupMetadataKey {
        group: group.as_str().to_owned(),
    })?;
    let value = value.map(group_metadata_message);
    let encode = |value| encode_versioned(&value, GROUP_METADATA_VERSION);
    Ok((key, value.map(encode).transpose()?))
}

fn group_metadata_message(value: &GroupMetadata) -> GroupMetadataValue {
    let member = |member: &MemberMetadata| MemberMetadataMessage {
        member_id: member.member.as_str().to_owned(),
        group_instance_id: member
            .instance
            .as_ref()
            .map(|instance| instance.as_str().to_owned()),
        client_id: member.client.id.as_ref().to_owned(),
        client_host: member.client.host.as_ref().to_owned(),
        rebalance_timeout: timeout_ms(member.rebalance_timeout),
        session_timeout: timeout_ms(member.session_timeout),
        subscription: Bytes::copy_from_slice(&member.subscription),
        assignment: Bytes::copy_from_slice(&member.assignment),
    };
    GroupMetadataValue {
        protocol_type: value
            .protocol_type
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        generation: value.generation.value(),
        protocol: value.protocol.as_deref().map(str::to_owned),
        leader: value
            .leader
            .as_ref()
            .map(|leader| leader.as_str().to_owned()),
        current_state_timestamp: value.state_timestamp.map_or(NO_TIMESTAMP, Timestamp::ms),
        members: value.members.iter().map(member).collect(),
    }
}

pub(super) fn decode_group_metadata(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<GroupRecord, DecodeRecordError> {
    let key: GroupMetadataKey = decode_coordinator_key(key)?;
    let value = match value {
        Some(value) => {
            let (_, value) = decode_versioned::<GroupMetadataValue>(value)?;
            Some(group_metadata(value)?)
        }
        None => None,
    };
    let group = GroupId::new(&key.group);
    Ok(GroupRecord::GroupMetadata { group, value })
}

fn group_metadata(value: GroupMetadataValue) -> Result<GroupMetadata, DecodeRecordError> {
    let members: Result<_, _> = value.members.into_iter().map(member_metadata).collect();
    let generation =
        Generation::new(value.generation).ok_or_else(|| DecodeRecordError::Impossible {
            field: "generation",
            value: value.generation.into(),
        })?;
    Ok(GroupMetadata {
        protocol_type: Some(value.protocol_type)
            .filter(|protocol_type| !protocol_type.is_empty())
            .map(Arc::from),
        generation,
        protocol: value.protocol.map(Arc::from),
        leader: value.leader.as_deref().map(MemberId::new),
        state_timestamp: timestamp(value.current_state_timestamp),
        members: members?,
    })
}

fn member_metadata(member: MemberMetadataMessage) -> Result<MemberMetadata, DecodeRecordError> {
    let session_timeout = timeout("session timeout", member.session_timeout)?;
    let rebalance_timeout = match member.rebalance_timeout {
        NO_TIMEOUT => session_timeout,
        given => timeout("rebalance timeout", given)?,
    };
    Ok(MemberMetadata {
        member: MemberId::new(&member.member_id),
        instance: member.group_instance_id.as_deref().map(InstanceId::new),
        client: Client {
            id: Arc::from(member.client_id),
            host: Arc::from(member.client_host),
        },
        rebalance_timeout,
        session_timeout,
        subscription: Arc::from(&member.subscription[..]),
        assignment: Arc::from(&member.assignment[..]),
    })
}
