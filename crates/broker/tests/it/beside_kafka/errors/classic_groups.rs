//! Classic groups: members that are unknown, stale, fenced or do not fit, in every version of the group APIs.

use bytes::Bytes;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::*;

use super::Side;

const JOIN_MAX: i16 = 9;
const SYNC_MAX: i16 = 5;
const HEARTBEAT_MAX: i16 = 4;
const LEAVE_MAX: i16 = 5;
/// Members say in advance who they are from here on.
const JOIN_NEEDS_ID: i16 = 4;
const JOIN_STATIC_MIN: i16 = 5;

pub(super) async fn errors(side: &mut Side) {
    joins_that_are_wrong(side).await;
    strangers(side).await;
    for version in 0..=JOIN_MAX {
        one_member(side, version).await;
    }
    for version in JOIN_STATIC_MIN..=JOIN_MAX {
        static_member(side, version).await;
    }
    groups_by_name(side).await;
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol("range")],
        ..Default::default()
    }
}

fn protocol(name: &str) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol {
        name: name.to_owned(),
        metadata: Bytes::from_static(b"\0\x01\0\0\0\0\xff\xff\xff\xff"),
    }
}

fn sync(group: &str, generation: i32, member: &str) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.to_owned(),
            assignment: Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"),
        }],
        ..Default::default()
    }
}

fn heartbeat(group: &str, generation: i32, member: &str) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
        ..Default::default()
    }
}

/// As a version carries it: one member up to v2, a list from v3 on.
fn leave(version: i16, group: &str, member: &str, instance: Option<&str>) -> LeaveGroupRequest {
    let mut request = LeaveGroupRequest {
        group_id: group.to_owned(),
        ..Default::default()
    };
    if version <= 2 {
        member.clone_into(&mut request.member_id);
    } else {
        request.members = vec![MemberIdentity {
            member_id: member.to_owned(),
            group_instance_id: instance.map(str::to_owned),
            reason: None,
        }];
    }
    request
}

async fn tell_join(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &JoinGroupRequest,
) -> JoinGroupResponse {
    let told = |answer: &JoinGroupResponse| {
        format!(
            "error {}, generation {}, protocol {:?} {:?}, leads {}, {} members, id {}, skips {}",
            answer.error_code,
            answer.generation_id,
            answer.protocol_type,
            answer.protocol_name,
            !answer.leader.is_empty() && answer.leader == answer.member_id,
            answer.members.len(),
            if answer.member_id.is_empty() {
                "none"
            } else {
                "given"
            },
            answer.skip_assignment,
        )
    };
    side.tell(step, version, request, |answer| answer.error_code, told)
        .await
        .unwrap_or_default()
}

async fn tell_sync(side: &mut Side, step: &str, version: i16, request: &SyncGroupRequest) {
    let told = |answer: &SyncGroupResponse| {
        format!(
            "error {}, protocol {:?} {:?}, {} bytes",
            answer.error_code,
            answer.protocol_type,
            answer.protocol_name,
            answer.assignment.len()
        )
    };
    side.tell(step, version, request, |answer| answer.error_code, told)
        .await;
}

async fn tell_heartbeat(side: &mut Side, step: &str, version: i16, request: &HeartbeatRequest) {
    let code = |answer: &HeartbeatResponse| answer.error_code;
    side.tell(step, version, request, code, code).await;
}

async fn tell_leave(side: &mut Side, step: &str, version: i16, request: &LeaveGroupRequest) {
    let told = |answer: &LeaveGroupResponse| {
        let members: Vec<_> = answer
            .members
            .iter()
            .map(|member| (member.error_code, member.group_instance_id.clone()))
            .collect();
        format!("error {}, members {members:?}", answer.error_code)
    };
    side.tell(step, version, request, |answer| answer.error_code, told)
        .await;
}

async fn joins_that_are_wrong(side: &mut Side) {
    for version in 0..=JOIN_MAX {
        let group = side.name(&format!("wrong-join-{version}"));
        let right = join(&group, "");
        let cases = [
            (
                "no group id",
                JoinGroupRequest {
                    group_id: String::new(),
                    ..right.clone()
                },
            ),
            (
                "session too short",
                JoinGroupRequest {
                    session_timeout_ms: 5_999,
                    ..right.clone()
                },
            ),
            (
                "session too long",
                JoinGroupRequest {
                    session_timeout_ms: 1_800_001,
                    ..right.clone()
                },
            ),
            (
                "negative session",
                JoinGroupRequest {
                    session_timeout_ms: -1,
                    ..right.clone()
                },
            ),
            (
                "unknown member id",
                JoinGroupRequest {
                    member_id: "nobody".to_owned(),
                    ..right.clone()
                },
            ),
            (
                "no protocols",
                JoinGroupRequest {
                    protocols: Vec::new(),
                    ..right.clone()
                },
            ),
            (
                "no protocol type",
                JoinGroupRequest {
                    protocol_type: String::new(),
                    ..right.clone()
                },
            ),
        ];
        for (step, request) in cases {
            tell_join(side, &format!("join: {step}"), version, &request).await;
        }
    }
}

/// Requests of members to a group that does not exist, and without a group id.
async fn strangers(side: &mut Side) {
    let group = side.name("no-such-group");
    for (step, group) in [("unknown group", group.as_str()), ("no group id", "")] {
        for version in 0..=SYNC_MAX {
            tell_sync(
                side,
                &format!("sync: {step}"),
                version,
                &sync(group, 1, "nobody"),
            )
            .await;
        }
        for version in 0..=HEARTBEAT_MAX {
            let request = heartbeat(group, 1, "nobody");
            tell_heartbeat(side, &format!("heartbeat: {step}"), version, &request).await;
        }
        for version in 0..=LEAVE_MAX {
            let request = leave(version, group, "nobody", None);
            tell_leave(side, &format!("leave: {step}"), version, &request).await;
        }
    }
}

/// A group of one member, from its first join to its end.
async fn one_member(side: &mut Side, version: i16) {
    let group = side.name(&format!("one-{version}"));
    let mut joined = tell_join(side, "first join", version, &join(&group, "")).await;
    if version >= JOIN_NEEDS_ID {
        let request = join(&group, &joined.member_id);
        joined = tell_join(side, "join with the id given", version, &request).await;
    }
    let (member, generation) = (joined.member_id, joined.generation_id);
    tell_heartbeat(
        side,
        "heartbeat before sync",
        HEARTBEAT_MAX,
        &heartbeat(&group, generation, &member),
    )
    .await;
    for version in 0..=SYNC_MAX {
        let right = sync(&group, generation, &member);
        tell_sync(
            side,
            "sync: unknown member",
            version,
            &sync(&group, generation, "nobody"),
        )
        .await;
        tell_sync(
            side,
            "sync: older generation",
            version,
            &sync(&group, generation - 1, &member),
        )
        .await;
        tell_sync(
            side,
            "sync: later generation",
            version,
            &sync(&group, generation + 1, &member),
        )
        .await;
        if version == SYNC_MAX {
            let request = SyncGroupRequest {
                protocol_type: Some("connect".to_owned()),
                ..right.clone()
            };
            tell_sync(side, "sync: other protocol type", version, &request).await;
            let request = SyncGroupRequest {
                protocol_name: Some("other".to_owned()),
                ..right.clone()
            };
            tell_sync(side, "sync: other protocol", version, &request).await;
        }
    }
    tell_sync(side, "sync", SYNC_MAX, &sync(&group, generation, &member)).await;
    tell_sync(
        side,
        "sync again",
        SYNC_MAX,
        &sync(&group, generation, &member),
    )
    .await;
    for version in 0..=HEARTBEAT_MAX {
        let cases = [
            ("right", heartbeat(&group, generation, &member)),
            ("unknown member", heartbeat(&group, generation, "nobody")),
            ("no member id", heartbeat(&group, generation, "")),
            (
                "older generation",
                heartbeat(&group, generation - 1, &member),
            ),
            (
                "later generation",
                heartbeat(&group, generation + 1, &member),
            ),
            ("no generation", heartbeat(&group, -1, &member)),
        ];
        for (step, request) in cases {
            tell_heartbeat(side, &format!("heartbeat: {step}"), version, &request).await;
        }
    }
    let others = [
        (
            "other protocol type",
            JoinGroupRequest {
                protocol_type: "connect".to_owned(),
                ..join(&group, "")
            },
        ),
        (
            "no protocol in common",
            JoinGroupRequest {
                protocols: vec![protocol("other")],
                ..join(&group, "")
            },
        ),
        (
            "no protocols",
            JoinGroupRequest {
                protocols: Vec::new(),
                ..join(&group, "")
            },
        ),
    ];
    for (step, request) in others {
        tell_join(side, &format!("second join: {step}"), version, &request).await;
    }
    let again = tell_join(
        side,
        "the leader joins again",
        version,
        &join(&group, &member),
    )
    .await;
    tell_heartbeat(
        side,
        "heartbeat in the old generation",
        HEARTBEAT_MAX,
        &heartbeat(&group, generation, &member),
    )
    .await;
    tell_sync(
        side,
        "sync in the old generation",
        SYNC_MAX,
        &sync(&group, generation, &member),
    )
    .await;
    tell_sync(
        side,
        "sync in the new generation",
        SYNC_MAX,
        &sync(&group, again.generation_id, &member),
    )
    .await;
    let delete = DeleteGroupsRequest {
        groups_names: vec![group.clone()],
    };
    tell_delete(side, "delete a group with a member", &delete).await;
    for version in 0..=LEAVE_MAX {
        tell_leave(
            side,
            "leave: unknown member",
            version,
            &leave(version, &group, "nobody", None),
        )
        .await;
        if version >= 3 {
            let request = leave(version, &group, &member, Some("nobody"));
            tell_leave(side, "leave: unknown instance", version, &request).await;
            let request = leave(version, &group, "", Some("nobody"));
            tell_leave(side, "leave: instance without member", version, &request).await;
        }
    }
    let version = version.min(LEAVE_MAX);
    tell_leave(
        side,
        "leave",
        version,
        &leave(version, &group, &member, None),
    )
    .await;
    tell_leave(
        side,
        "leave again",
        version,
        &leave(version, &group, &member, None),
    )
    .await;
    tell_heartbeat(
        side,
        "heartbeat of one who left",
        HEARTBEAT_MAX,
        &heartbeat(&group, again.generation_id, &member),
    )
    .await;
    tell_delete(side, "delete an empty group", &delete).await;
    tell_delete(side, "delete it again", &delete).await;
}

/// A static member that is replaced; its old id is fenced.
async fn static_member(side: &mut Side, version: i16) {
    let group = side.name(&format!("static-{version}"));
    let with_instance = |member: &str| JoinGroupRequest {
        group_instance_id: Some("instance".to_owned()),
        ..join(&group, member)
    };
    let unknown = with_instance("nobody");
    tell_join(side, "static join: unknown member id", version, &unknown).await;
    let first = tell_join(side, "static join", version, &with_instance("")).await;
    tell_sync(
        side,
        "sync of the first",
        SYNC_MAX,
        &sync(&group, first.generation_id, &first.member_id),
    )
    .await;
    let second = tell_join(side, "static join again", version, &with_instance("")).await;
    side.note(
        "the second has an id of its own",
        version,
        &(first.member_id != second.member_id).to_string(),
    );
    let stale = with_instance(&first.member_id);
    tell_join(side, "static join: the old member id", version, &stale).await;
    let instance = Some("instance".to_owned());
    for (step, member, generation) in [
        ("old id", first.member_id.as_str(), first.generation_id),
        ("new id", &second.member_id, second.generation_id),
        (
            "new id, old generation",
            &second.member_id,
            second.generation_id - 1,
        ),
        ("unknown id", "nobody", second.generation_id),
    ] {
        for version in 3..=HEARTBEAT_MAX {
            let request = HeartbeatRequest {
                group_instance_id: instance.clone(),
                ..heartbeat(&group, generation, member)
            };
            tell_heartbeat(
                side,
                &format!("static heartbeat: {step}"),
                version,
                &request,
            )
            .await;
        }
        for version in 3..=SYNC_MAX {
            let request = SyncGroupRequest {
                group_instance_id: instance.clone(),
                ..sync(&group, generation, member)
            };
            tell_sync(side, &format!("static sync: {step}"), version, &request).await;
        }
    }
    tell_heartbeat(
        side,
        "heartbeat of the old id without its instance",
        HEARTBEAT_MAX,
        &heartbeat(&group, first.generation_id, &first.member_id),
    )
    .await;
    let unknown_instance = HeartbeatRequest {
        group_instance_id: Some("nobody".to_owned()),
        ..heartbeat(&group, second.generation_id, &second.member_id)
    };
    tell_heartbeat(
        side,
        "heartbeat with an unknown instance",
        HEARTBEAT_MAX,
        &unknown_instance,
    )
    .await;
    for version in 3..=LEAVE_MAX {
        let request = leave(version, &group, &first.member_id, Some("instance"));
        tell_leave(side, "static leave: old id", version, &request).await;
    }
    let request = leave(LEAVE_MAX, &group, "", Some("instance"));
    tell_leave(side, "static leave by instance", LEAVE_MAX, &request).await;
    tell_leave(side, "static leave again", LEAVE_MAX, &request).await;
}

async fn tell_delete(side: &mut Side, step: &str, request: &DeleteGroupsRequest) {
    let code = |answer: &DeleteGroupsResponse| answer.results[0].error_code;
    for version in 0..=2 {
        side.tell(step, version, request, code, code).await;
        if !step.contains("with a member") {
            // Once is enough to be gone.
            return;
        }
    }
}

/// Describing and deleting what does not exist.
async fn groups_by_name(side: &mut Side) {
    let group = side.name("never-seen");
    for group in [group.as_str(), ""] {
        let request = DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            ..Default::default()
        };
        for version in 0..=6 {
            let code = |answer: &DescribeGroupsResponse| answer.groups[0].error_code;
            let told = |answer: &DescribeGroupsResponse| {
                let group = &answer.groups[0];
                format!("error {}, state {:?}", group.error_code, group.group_state)
            };
            side.tell("describe an unknown group", version, &request, code, told)
                .await;
        }
        let request = DeleteGroupsRequest {
            groups_names: vec![group.to_owned()],
        };
        tell_delete(side, "delete an unknown group", &request).await;
    }
}
