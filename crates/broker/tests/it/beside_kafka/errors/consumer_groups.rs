//! Consumer groups: heartbeats that are wrong, epochs that are stale, static members, commits at other epochs, and classic
//! members among the others.

use bytes::Bytes;
use protocol::Uuid;
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use protocol::messages::*;

use super::{Side, topic};

const VERSION_MAX: i16 = 1;
/// The first version in which members make their ids.
const MEMBER_ID_SINCE: i16 = 1;

pub(super) async fn errors(side: &mut Side) {
    let topic = topic(side, "consumed").await;
    coordinator_knows(side, &topic).await;
    for version in 0..=VERSION_MAX {
        heartbeats_that_are_wrong(side, version, &topic).await;
        one_member(side, version, &topic).await;
        static_member(side, version, &topic).await;
    }
    patterns(side, &topic).await;
    classic_among_others(side, &topic).await;
}

/// Waits until the group coordinator has heard of the topic, which in Kafka comes a little after the topic is served.
async fn coordinator_knows(side: &mut Side, topic: &str) {
    for attempt in 0..super::NOT_YET_ATTEMPTS {
        let request = joining(&side.name(&format!("ready-{attempt}")), "ready", topic);
        let answer = side.ask(1, &request).await;
        let assigned = answer.and_then(|answer| answer.assignment);
        if assigned.is_some_and(|assigned| !assigned.topic_partitions.is_empty()) {
            return;
        }
        tokio::time::sleep(super::NOT_YET_INTERVAL).await;
    }
    panic!("the coordinator never heard of {topic}");
}

fn joining(group: &str, member: &str, topic: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch: 0,
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![topic.to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

fn staying(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: -1,
        ..Default::default()
    }
}

async fn heartbeat(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &ConsumerGroupHeartbeatRequest,
) -> Option<ConsumerGroupHeartbeatResponse> {
    let code = |answer: &ConsumerGroupHeartbeatResponse| answer.error_code;
    let told = |answer: &ConsumerGroupHeartbeatResponse| {
        let assigned = answer.assignment.as_ref().map(|assignment| {
            let topics = assignment.topic_partitions.iter();
            let mut indexes: Vec<i32> = topics.flat_map(|topic| topic.partitions.clone()).collect();
            indexes.sort_unstable();
            indexes
        });
        let (code, epoch) = (answer.error_code, answer.member_epoch);
        let interval_ms = answer.heartbeat_interval_ms;
        let has_message = answer.error_message.is_some();
        format!(
            "{code}, epoch {epoch}, every {interval_ms} ms, {assigned:?}, message {has_message}"
        )
    };
    side.tell(step, version, request, code, told).await
}

async fn heartbeats_that_are_wrong(side: &mut Side, version: i16, topic: &str) {
    let group = side.name(&format!("wrong-{version}"));
    type Change = fn(&mut ConsumerGroupHeartbeatRequest);
    let changes: [(&str, Change); 14] = [
        ("no member id", |request| request.member_id = String::new()),
        ("blank member id", |request| {
            request.member_id = " ".to_owned()
        }),
        ("no group id", |request| request.group_id = String::new()),
        ("blank instance", |request| {
            request.instance_id = Some(" ".to_owned())
        }),
        ("blank rack", |request| {
            request.rack_id = Some(String::new())
        }),
        ("no rebalance timeout", |request| {
            request.rebalance_timeout_ms = -1
        }),
        ("nothing said of partitions", |request| {
            request.topic_partitions = None
        }),
        ("has partitions", |request| {
            request.topic_partitions = Some(vec![TopicPartitions {
                topic_id: Uuid([7; 16]),
                partitions: vec![0],
            }]);
        }),
        ("no subscription", |request| {
            request.subscribed_topic_names = None
        }),
        ("leaves for a while without instance", |request| {
            request.member_epoch = -2
        }),
        ("unknown epoch", |request| request.member_epoch = -3),
        ("assignor", |request| {
            request.server_assignor = Some("sticky".to_owned())
        }),
        ("stays where nobody is", |request| request.member_epoch = 1),
        ("leaves where nobody is", |request| {
            request.member_epoch = -1
        }),
    ];
    for (step, change) in changes {
        let mut request = joining(&group, "stranger", topic);
        change(&mut request);
        let lets_in = version < MEMBER_ID_SINCE && request.member_id.trim().is_empty();
        if lets_in {
            // It is let in, under an id that the coordinator makes.
            request.group_id = side.name(&format!("nameless-{step}"));
        }
        heartbeat(side, step, version, &request).await;
    }
}

async fn one_member(side: &mut Side, version: i16, topic: &str) {
    let group = side.name(&format!("one-{version}"));
    let answer = heartbeat(side, "joins", version, &joining(&group, "a", topic)).await;
    let epoch = answer.map_or(0, |answer| answer.member_epoch);
    heartbeat(side, "joins again", version, &joining(&group, "a", topic)).await;
    heartbeat(side, "stays", version, &staying(&group, "a", epoch)).await;
    heartbeat(side, "ahead", version, &staying(&group, "a", epoch + 1)).await;
    heartbeat(
        side,
        "unknown member",
        version,
        &staying(&group, "b", epoch),
    )
    .await;
    heartbeat(side, "unknown leaves", version, &staying(&group, "b", -1)).await;
    heartbeat(side, "second joins", version, &joining(&group, "b", topic)).await;
    let behind = ConsumerGroupHeartbeatRequest {
        topic_partitions: Some(Vec::new()),
        ..staying(&group, "b", epoch)
    };
    heartbeat(side, "behind", version, &behind).await;

    for (step, member, epoch, commit_version) in [
        ("commits", "a", epoch, 9),
        ("commits at another epoch", "a", epoch + 5, 9),
        ("commits in an old version", "a", epoch, 8),
        ("unknown commits", "c", epoch, 9),
        ("nobody commits", "", -1, 9),
    ] {
        commit(side, step, commit_version, &group, member, epoch, topic).await;
    }
    for (step, member, epoch) in [
        ("fetches", Some("a"), epoch),
        ("fetches at another epoch", Some("a"), epoch + 5),
        ("unknown fetches", Some("c"), epoch),
        ("nobody fetches", None, -1),
    ] {
        fetch(side, step, &group, member, epoch).await;
    }
    describe(side, "described", &group).await;
    let delete = DeleteGroupsRequest {
        groups_names: vec![group.clone()],
    };
    let code = |answer: &DeleteGroupsResponse| answer.results[0].error_code;
    side.tell("deleted with members", 2, &delete, code, code)
        .await;
    heartbeat(side, "leaves", version, &staying(&group, "a", -1)).await;
    heartbeat(side, "second leaves", version, &staying(&group, "b", -1)).await;
    describe(side, "described when empty", &group).await;
    side.tell("deleted", 2, &delete, code, code).await;
    describe(side, "described when gone", &group).await;
}

async fn static_member(side: &mut Side, version: i16, topic: &str) {
    let group = side.name(&format!("static-{version}"));
    let with = |request: ConsumerGroupHeartbeatRequest| ConsumerGroupHeartbeatRequest {
        instance_id: Some("i".to_owned()),
        ..request
    };
    heartbeat(
        side,
        "static joins",
        version,
        &with(joining(&group, "a", topic)),
    )
    .await;
    heartbeat(
        side,
        "instance in use",
        version,
        &with(joining(&group, "b", topic)),
    )
    .await;
    heartbeat(side, "of another", version, &with(staying(&group, "b", 1))).await;
    heartbeat(
        side,
        "another leaves",
        version,
        &with(staying(&group, "b", -2)),
    )
    .await;
    heartbeat(
        side,
        "leaves for a while",
        version,
        &with(staying(&group, "a", -2)),
    )
    .await;
    heartbeat(side, "is away", version, &with(staying(&group, "a", 1))).await;
    heartbeat(
        side,
        "comes back",
        version,
        &with(joining(&group, "b", topic)),
    )
    .await;
    heartbeat(side, "is replaced", version, &with(staying(&group, "a", 1))).await;
    heartbeat(
        side,
        "static leaves",
        version,
        &with(staying(&group, "b", -1)),
    )
    .await;
}

async fn patterns(side: &mut Side, topic: &str) {
    let group = side.name("patterns");
    for (step, regex) in [
        ("unbalanced", "("),
        ("look ahead", "(?=a)"),
        ("back reference", "(a)\\1"),
        ("empty", ""),
        ("quote", r"\Qa.b\E.*"),
        ("bracket in brackets", "[[a]+"),
        ("bracket first", "[]a]+"),
        ("ampersands in brackets", "[a&&b]+"),
        ("named class", "[[:alpha:]_]+"),
        ("class of Unicode", r"\pL+"),
        ("as long as a name", r"[\w.-]{1,249}"),
        ("unclosed quote", r"\Qa("),
        ("quote in brackets", r"[\Qa\E]"),
        ("lone escape", "\\"),
        ("good", topic),
    ] {
        let request = ConsumerGroupHeartbeatRequest {
            subscribed_topic_names: None,
            subscribed_topic_regex: Some(regex.to_owned()),
            ..joining(&group, step, topic)
        };
        let code = |answer: &ConsumerGroupHeartbeatResponse| answer.error_code;
        side.tell(&format!("pattern {step}"), 1, &request, code, code)
            .await;
    }
}

async fn classic_among_others(side: &mut Side, topic: &str) {
    let group = side.name("mixed");
    heartbeat(side, "joins a mixed group", 1, &joining(&group, "a", topic)).await;
    let mut subscription = vec![0, 1, 0, 0, 0, 1];
    subscription.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    subscription.extend(topic.as_bytes());
    subscription.extend(b"\xff\xff\xff\xff\0\0\0\0");
    let mut join = JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from(subscription),
        }],
        ..Default::default()
    };
    let code = |answer: &JoinGroupResponse| answer.error_code;
    let told = |answer: &JoinGroupResponse| {
        let (code, generation) = (answer.error_code, answer.generation_id);
        let (members, protocol) = (answer.members.len(), &answer.protocol_name);
        format!("{code}, generation {generation}, {members} members, {protocol:?}")
    };
    let answer = side.tell("classic joins", 9, &join, code, told).await;
    join.member_id = answer.map(|answer| answer.member_id).unwrap_or_default();
    let answer = side
        .tell("classic joins with its id", 9, &join, code, told)
        .await;
    let generation = answer.map_or(0, |answer| answer.generation_id);
    let mut beat = HeartbeatRequest {
        group_id: group.clone(),
        generation_id: generation,
        member_id: join.member_id.clone(),
        ..Default::default()
    };
    let beat_code = |answer: &HeartbeatResponse| answer.error_code;
    side.tell("classic heartbeat", 4, &beat, beat_code, beat_code)
        .await;
    beat.generation_id += 1;
    side.tell("classic heartbeat ahead", 4, &beat, beat_code, beat_code)
        .await;
    beat.member_id = "a".to_owned();
    side.tell(
        "classic heartbeat of another",
        4,
        &beat,
        beat_code,
        beat_code,
    )
    .await;
    let sync = SyncGroupRequest {
        group_id: group.clone(),
        generation_id: generation,
        member_id: join.member_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        ..Default::default()
    };
    let sync_code = |answer: &SyncGroupResponse| answer.error_code;
    let synced = |answer: &SyncGroupResponse| {
        format!("{}, {} bytes", answer.error_code, answer.assignment.len())
    };
    side.tell("classic sync", 5, &sync, sync_code, synced).await;
    let mut strange = join.clone();
    strange.protocols[0].name = "other".to_owned();
    side.tell("classic with another protocol", 9, &strange, code, told)
        .await;
    heartbeat(side, "leaves the mixed group", 1, &staying(&group, "a", -1)).await;
    describe(side, "the mixed group, downgraded", &group).await;
}

async fn commit(
    side: &mut Side,
    step: &str,
    version: i16,
    group: &str,
    member: &str,
    epoch: i32,
    topic: &str,
) {
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        generation_id_or_member_epoch: epoch,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 5,
                committed_leader_epoch: -1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let code = |answer: &OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    side.tell(step, version, &request, code, code).await;
}

async fn fetch(side: &mut Side, step: &str, group: &str, member: Option<&str>, epoch: i32) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_id: member.map(str::to_owned),
            member_epoch: epoch,
            topics: None,
        }],
        ..Default::default()
    };
    let code = |answer: &OffsetFetchResponse| answer.groups[0].error_code;
    let told = |answer: &OffsetFetchResponse| {
        let group = &answer.groups[0];
        format!("{}, {} topics", group.error_code, group.topics.len())
    };
    side.tell(step, 9, &request, code, told).await;
}

async fn describe(side: &mut Side, step: &str, group: &str) {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.to_owned()],
        include_authorized_operations: false,
    };
    let code = |answer: &ConsumerGroupDescribeResponse| answer.groups[0].error_code;
    let told = |answer: &ConsumerGroupDescribeResponse| {
        let group = &answer.groups[0];
        let (code, state) = (group.error_code, &group.group_state);
        let (epoch, target) = (group.group_epoch, group.assignment_epoch);
        let assignor = &group.assignor_name;
        let mut members: Vec<String> = group.members.iter().map(described).collect();
        members.sort_unstable();
        format!("{code}, {state}, epochs {epoch} {target}, {assignor}, {members:?}")
    };
    side.tell(step, 1, &request, code, told).await;
}

fn described(member: &consumer_group_describe_response::Member) -> String {
    let (id, epoch) = (&member.member_id, member.member_epoch);
    let (instance, regex) = (&member.instance_id, &member.subscribed_topic_regex);
    let kind = member.member_type;
    format!("{id} at {epoch}, {instance:?}, {regex:?}, {kind}")
}
