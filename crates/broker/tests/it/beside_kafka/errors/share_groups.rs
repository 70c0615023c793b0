//! Share groups: heartbeats, sessions and acknowledgements that are wrong, offsets of groups that are unknown, empty or in
//! use, and requests of one kind of group to another.

use protocol::Uuid;
use protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch,
};
use protocol::messages::share_fetch_request::{
    AcknowledgementBatch as FetchAcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic,
};
use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{PRODUCE, batch, produce};

use super::{NOT_YET_ATTEMPTS, NOT_YET_INTERVAL, Side, topic};

/// `ConfigResource.Type.GROUP`.
const GROUP_RESOURCE: i8 = 32;
/// The newest version of ShareFetch and ShareAcknowledge.
const NEWEST: i16 = 2;
const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const RENEW: i8 = 4;
/// Nobody has a topic of this id.
const NO_TOPIC: Uuid = Uuid([7; 16]);

/// A topic of one partition.
struct Shared {
    name: String,
    id: Uuid,
}

pub(super) async fn errors(side: &mut Side) {
    let name = topic(side, "shared").await;
    let id = topic_id(side, &name).await;
    let shared = Shared { name, id };
    for _ in 0..3 {
        let request = produce(
            &shared.name,
            -1,
            batch(BatchOptions::default(), &["value"; 4]),
        );
        let answer = side.ask(PRODUCE, &request).await.unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    wrong_heartbeats(side, &shared).await;
    one_member(side, &shared).await;
    for version in 1..=NEWEST {
        nobody_joined(side, version, &shared).await;
        sessions(side, version, &shared).await;
        acknowledgements(side, version, &shared).await;
    }
    renewals(side, &shared).await;
    offsets(side, &shared).await;
    far_offset(side, &shared).await;
    other_types(side, &shared).await;
}

async fn topic_id(side: &mut Side, name: &str) -> Uuid {
    let request = MetadataRequest {
        topics: Some(vec![metadata_request::MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    side.ask(12, &request).await.unwrap().topics[0].topic_id
}

async fn begins_at_earliest(side: &mut Side, group: &str) {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: GROUP_RESOURCE,
            resource_name: group.to_owned(),
            configs: vec![AlterableConfig {
                name: "share.auto.offset.reset".to_owned(),
                config_operation: 0,
                value: Some("earliest".to_owned()),
            }],
        }],
        ..Default::default()
    };
    let answer = side.ask(1, &request).await.unwrap();
    assert_eq!(answer.responses[0].error_code, 0);
}

fn joining(group: &str, member: &str, topic: &str) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch: 0,
        rack_id: None,
        subscribed_topic_names: Some(vec![topic.to_owned()]),
    }
}

fn staying(group: &str, member: &str, epoch: i32) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest {
        member_epoch: epoch,
        subscribed_topic_names: None,
        ..joining(group, member, "")
    }
}

async fn heartbeat(side: &mut Side, step: &str, request: &ShareGroupHeartbeatRequest) -> i32 {
    let code = |answer: &ShareGroupHeartbeatResponse| answer.error_code;
    let told = |answer: &ShareGroupHeartbeatResponse| {
        let (code, interval_ms) = (answer.error_code, answer.heartbeat_interval_ms);
        let has_message = code == 0 && answer.error_message.is_some();
        let member = &answer.member_id;
        // How often the group's epoch was bumped meanwhile depends on when states were begun.
        let epoch = answer.member_epoch.signum();
        format!("{code}, {member:?}, epoch {epoch}, every {interval_ms} ms, message {has_message}")
    };
    let step = format!("share heartbeat: {step}");
    let answer = side.tell(&step, 1, request, code, told).await;
    answer.map_or(0, |answer| answer.member_epoch)
}

/// Heartbeats until the member reads the partition; its epoch then.
async fn joined(side: &mut Side, group: &str, member: &str, topic: &str) -> i32 {
    let mut request = joining(group, member, topic);
    for _ in 0..NOT_YET_ATTEMPTS {
        let answer = side.ask(1, &request).await.unwrap();
        let assigned = answer
            .assignment
            .map_or(0, |assigned| assigned.topic_partitions.len());
        if assigned > 0 {
            return answer.member_epoch;
        }
        if answer.error_code == 0 {
            request = staying(group, member, answer.member_epoch);
        }
        tokio::time::sleep(NOT_YET_INTERVAL).await;
    }
    panic!("{member} of {group} was never assigned anything");
}

async fn wrong_heartbeats(side: &mut Side, shared: &Shared) {
    let group = side.name("share-wrong");
    type Change = fn(&mut ShareGroupHeartbeatRequest);
    let changes: [(&str, Change); 12] = [
        ("no member id", |one| one.member_id = String::new()),
        ("a long member id", |one| one.member_id = "m".repeat(37)),
        ("no group id", |one| one.group_id = String::new()),
        ("an empty rack", |one| one.rack_id = Some(String::new())),
        ("no subscription", |one| one.subscribed_topic_names = None),
        ("an empty subscription", |one| {
            one.subscribed_topic_names = Some(Vec::new());
        }),
        ("epoch -2", |one| one.member_epoch = -2),
        ("an unknown group in epoch 1", |one| one.member_epoch = 1),
        ("an unknown group left", |one| one.member_epoch = -1),
        ("no member id, left", |one| {
            one.member_id = String::new();
            one.member_epoch = -1;
        }),
        ("no group id, left", |one| {
            one.group_id = String::new();
            one.member_epoch = -1;
        }),
        ("no such topic", |one| {
            one.group_id += "-nothing";
            one.subscribed_topic_names = Some(vec!["no-such-topic".to_owned()]);
        }),
    ];
    for (step, change) in changes {
        let mut request = joining(&group, "stranger", &shared.name);
        change(&mut request);
        heartbeat(side, step, &request).await;
    }
}

async fn one_member(side: &mut Side, shared: &Shared) {
    let group = side.name("share-one");
    let epoch = joined(side, &group, "a", &shared.name).await;
    for (step, request) in [
        ("stays", staying(&group, "a", epoch)),
        ("ahead", staying(&group, "a", epoch + 1)),
        ("far ahead", staying(&group, "a", i32::MAX)),
        ("joins again", joining(&group, "a", &shared.name)),
        ("unknown member", staying(&group, "b", epoch)),
        ("unknown member leaves", staying(&group, "b", -1)),
        ("epoch -3", staying(&group, "a", -3)),
    ] {
        heartbeat(side, step, &request).await;
    }
    describe(side, "with a member", &group).await;
    delete_group(side, "with a member", &group).await;
    heartbeat(side, "leaves", &staying(&group, "a", -1)).await;
    heartbeat(side, "is gone", &staying(&group, "a", epoch)).await;
    describe(side, "empty", &group).await;
    delete_group(side, "empty", &group).await;
    describe(side, "deleted", &group).await;
    describe(side, "no id", "").await;
    delete_group(side, "deleted", &group).await;
}

async fn describe(side: &mut Side, step: &str, group: &str) {
    for include_authorized_operations in [false, true] {
        let request = ShareGroupDescribeRequest {
            group_ids: vec![group.to_owned()],
            include_authorized_operations,
        };
        let code = |answer: &ShareGroupDescribeResponse| answer.groups[0].error_code;
        let told = |answer: &ShareGroupDescribeResponse| {
            let mut group = answer.groups[0].clone();
            (group.group_epoch, group.assignment_epoch) = (0, 0);
            for member in &mut group.members {
                member.member_epoch = 0;
                member.client_host.clear();
                for topic in &mut member.assignment.topic_partitions {
                    topic.topic_id = Uuid::ZERO;
                }
            }
            if group.error_code != 0 {
                group.error_message = None;
            }
            format!("{group:?}")
        };
        let step = format!("share describe: {step}");
        side.tell(&step, 1, &request, code, told).await;
    }
}

async fn delete_group(side: &mut Side, step: &str, group: &str) {
    let request = DeleteGroupsRequest {
        groups_names: vec![group.to_owned()],
    };
    let code = |answer: &DeleteGroupsResponse| answer.results[0].error_code;
    let step = format!("share delete: {step}");
    side.tell(&step, 2, &request, code, code).await;
}

/// What a member acknowledges of one partition: ranges with the types of their records.
type Said<'a> = &'a [(i64, i64, &'a [i8])];

fn fetch(
    group: &str,
    member: &str,
    epoch: i32,
    partitions: &[(Uuid, i32)],
    said: Said<'_>,
) -> ShareFetchRequest {
    let batches = said
        .iter()
        .map(|(first, last, types)| FetchAcknowledgementBatch {
            first_offset: *first,
            last_offset: *last,
            acknowledge_types: types.to_vec(),
        });
    let batches: Vec<_> = batches.collect();
    let topics = partitions.iter().map(|(topic_id, index)| FetchTopic {
        topic_id: *topic_id,
        partitions: vec![FetchPartition {
            partition_index: *index,
            acknowledgement_batches: batches.clone(),
        }],
    });
    ShareFetchRequest {
        group_id: Some(group.to_owned()),
        member_id: Some(member.to_owned()),
        share_session_epoch: epoch,
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 1024 * 1024,
        max_records: 4,
        batch_size: 4,
        topics: topics.collect(),
        ..Default::default()
    }
}

fn acknowledge(
    group: &str,
    member: &str,
    epoch: i32,
    partitions: &[(Uuid, i32)],
    said: Said<'_>,
) -> ShareAcknowledgeRequest {
    let batches = said
        .iter()
        .map(|(first, last, types)| AcknowledgementBatch {
            first_offset: *first,
            last_offset: *last,
            acknowledge_types: types.to_vec(),
        });
    let batches: Vec<_> = batches.collect();
    let topics = partitions.iter().map(|(topic_id, index)| AcknowledgeTopic {
        topic_id: *topic_id,
        partitions: vec![AcknowledgePartition {
            partition_index: *index,
            acknowledgement_batches: batches.clone(),
        }],
    });
    ShareAcknowledgeRequest {
        group_id: Some(group.to_owned()),
        member_id: Some(member.to_owned()),
        share_session_epoch: epoch,
        is_renew_ack: false,
        topics: topics.collect(),
    }
}

fn fetched(answer: &ShareFetchResponse) -> String {
    let topics = answer.responses.iter();
    let partitions = topics.flat_map(|topic| {
        let known = topic.topic_id != NO_TOPIC;
        topic.partitions.iter().map(move |partition| {
            let acquired = partition.acquired_records.iter();
            let acquired: Vec<_> = acquired
                .map(|range| (range.first_offset, range.last_offset, range.delivery_count))
                .collect();
            let (index, code) = (partition.partition_index, partition.error_code);
            let acknowledge_code = partition.acknowledge_error_code;
            format!("[{known} {index}: {code}, {acknowledge_code}, {acquired:?}]")
        })
    });
    let mut partitions: Vec<String> = partitions.collect();
    partitions.sort();
    let (code, lock_ms) = (answer.error_code, answer.acquisition_lock_timeout_ms);
    let has_message = code == 0 && answer.error_message.is_some();
    format!("{code}, message {has_message}, lock {lock_ms} ms, {partitions:?}")
}

fn acknowledged(answer: &ShareAcknowledgeResponse) -> String {
    let topics = answer.responses.iter();
    let partitions = topics.flat_map(|topic| {
        let known = topic.topic_id != NO_TOPIC;
        topic.partitions.iter().map(move |partition| {
            let (index, code) = (partition.partition_index, partition.error_code);
            format!("[{known} {index}: {code}]")
        })
    });
    let mut partitions: Vec<String> = partitions.collect();
    partitions.sort();
    let (code, lock_ms) = (answer.error_code, answer.acquisition_lock_timeout_ms);
    let has_message = code == 0 && answer.error_message.is_some();
    format!("{code}, message {has_message}, lock {lock_ms} ms, {partitions:?}")
}

async fn tell_fetch(side: &mut Side, step: &str, version: i16, request: &ShareFetchRequest) {
    let step = format!("share fetch: {step}");
    let code = |answer: &ShareFetchResponse| answer.error_code;
    side.tell(&step, version, request, code, fetched).await;
}

async fn tell_acknowledge(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &ShareAcknowledgeRequest,
) {
    let step = format!("share acknowledge: {step}");
    let code = |answer: &ShareAcknowledgeResponse| answer.error_code;
    side.tell(&step, version, request, code, acknowledged).await;
}

/// Fetches in new sessions until there are records; only what came then is noted.
async fn first_fetch(
    side: &mut Side,
    version: i16,
    (group, member): (&str, &str),
    partition: (Uuid, i32),
) {
    for _ in 0..NOT_YET_ATTEMPTS {
        let request = ShareFetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            ..fetch(group, member, 0, &[partition], &[])
        };
        let answer = side.ask(version, &request).await.unwrap();
        let partitions = answer.responses.first().map(|topic| &topic.partitions);
        let has_records =
            partitions.is_some_and(|partitions| !partitions[0].acquired_records.is_empty());
        if has_records {
            side.note("share fetch: the first records", version, &fetched(&answer));
            return;
        }
        tokio::time::sleep(NOT_YET_INTERVAL).await;
    }
    panic!("{member} of {group} never got a record");
}

/// The share coordinator has no state of a partition before a member has joined. Kafka says so when the wait is over, unless
/// it learns it before it has begun to wait; we always wait, so that whoever asks again at once does not ask in a loop.
async fn nobody_joined(side: &mut Side, version: i16, shared: &Shared) {
    let group = side.name(&format!("share-nobody-{version}"));
    let partition = (shared.id, 0);
    for epoch in 0..2 {
        let request = ShareFetchRequest {
            max_wait_ms: 300,
            min_bytes: 1,
            ..fetch(&group, "a", epoch, &[partition], &[])
        };
        tell_fetch(side, "before anybody joined", version, &request).await;
    }
    let request = fetch(&group, "a", -1, &[], &[]);
    tell_fetch(side, "before anybody joined, closes", version, &request).await;
}

async fn sessions(side: &mut Side, version: i16, shared: &Shared) {
    let group = side.name(&format!("share-sessions-{version}"));
    begins_at_earliest(side, &group).await;
    joined(side, &group, "a", &shared.name).await;
    let partition = (shared.id, 0);
    for (step, epoch) in [("is unknown", 1), ("is unknown, closed", -1), ("below", -2)] {
        let request = fetch(&group, "a", epoch, &[partition], &[]);
        tell_fetch(side, step, version, &request).await;
        let request = acknowledge(&group, "a", epoch, &[partition], &[]);
        tell_acknowledge(side, step, version, &request).await;
    }
    let all: Said<'_> = &[(0, 3, &[ACCEPT])];
    let request = fetch(&group, "a", 0, &[partition], all);
    tell_fetch(side, "acknowledges at first", version, &request).await;
    let request = acknowledge(&group, "a", 0, &[partition], all);
    tell_acknowledge(side, "opens", version, &request).await;
    for (step, member) in [
        ("no member id", String::new()),
        ("a long one", "m".repeat(37)),
    ] {
        let request = fetch(&group, &member, 0, &[partition], &[]);
        tell_fetch(side, step, version, &request).await;
        let request = acknowledge(&group, &member, 1, &[partition], &[]);
        tell_acknowledge(side, step, version, &request).await;
    }
    first_fetch(side, version, (&group, "a"), partition).await;
    for (step, epoch) in [("an old epoch", 7), ("the epoch after", 2), ("below", -2)] {
        let request = fetch(&group, "a", epoch, &[partition], &[]);
        tell_fetch(side, step, version, &request).await;
        let request = acknowledge(&group, "a", epoch, &[partition], &[]);
        tell_acknowledge(side, step, version, &request).await;
    }
    // Kafka's sessions choke on ids of unknown topics, and on ids that are null: ours say what is wrong.
    let strange = [(shared.id, 5), (shared.id, -1)];
    for (step, epoch, partitions) in [
        ("an unknown partition", 1, &strange[..1]),
        ("a negative partition", 2, &strange[1..]),
        ("nothing new", 3, &[]),
    ] {
        let request = fetch(&group, "a", epoch, partitions, &[]);
        tell_fetch(side, step, version, &request).await;
    }
    let forgets = ShareFetchRequest {
        forgotten_topics_data: [(NO_TOPIC, vec![0]), (shared.id, vec![5, -1, 9])]
            .map(|(topic_id, partitions)| ForgottenTopic {
                topic_id,
                partitions,
            })
            .to_vec(),
        ..fetch(&group, "a", 4, &[], &[])
    };
    tell_fetch(side, "forgets them", version, &forgets).await;
    let request = fetch(&group, "a", -1, &[partition], &[(0, 0, &[RELEASE])]);
    tell_fetch(side, "closes", version, &request).await;
    let request = acknowledge(&group, "a", -1, &[partition], &[]);
    tell_acknowledge(side, "is closed", version, &request).await;
    let request = fetch(&group, "a", 5, &[], &[]);
    tell_fetch(side, "is closed", version, &request).await;
    heartbeat(side, "leaves the sessions", &staying(&group, "a", -1)).await;
}

async fn acknowledgements(side: &mut Side, version: i16, shared: &Shared) {
    let group = side.name(&format!("share-acknowledgements-{version}"));
    begins_at_earliest(side, &group).await;
    joined(side, &group, "a", &shared.name).await;
    joined(side, &group, "b", &shared.name).await;
    let partition = (shared.id, 0);
    first_fetch(side, version, (&group, "a"), partition).await;
    first_fetch(side, version, (&group, "b"), partition).await;
    let said: [(&str, Said<'_>); 21] = [
        ("nothing", &[]),
        ("of another", &[(4, 7, &[ACCEPT])]),
        ("partly of another", &[(2, 5, &[ACCEPT])]),
        ("not handed out", &[(8, 8, &[ACCEPT])]),
        ("beyond the log", &[(1000, 1001, &[ACCEPT])]),
        ("partly not handed out", &[(0, 100, &[ACCEPT])]),
        ("backwards", &[(3, 0, &[ACCEPT])]),
        ("negative", &[(-5, -1, &[ACCEPT])]),
        ("from below", &[(-1, 0, &[ACCEPT])]),
        ("everything", &[(0, i64::MAX, &[ACCEPT])]),
        ("out of order", &[(2, 3, &[ACCEPT]), (0, 1, &[ACCEPT])]),
        ("twice in one", &[(0, 1, &[ACCEPT]), (1, 3, &[ACCEPT])]),
        ("no type", &[(0, 3, &[])]),
        ("too few types", &[(0, 3, &[ACCEPT, ACCEPT])]),
        ("too many types", &[(0, 0, &[ACCEPT, ACCEPT])]),
        ("type 5", &[(0, 0, &[5])]),
        ("type -1", &[(0, 0, &[-1])]),
        ("an unannounced renewal", &[(0, 0, &[RENEW])]),
        ("half of it wrong", &[(0, 0, &[ACCEPT]), (4, 4, &[ACCEPT])]),
        ("good", &[(0, 3, &[ACCEPT, 0, 3, RELEASE])]),
        ("a second time", &[(0, 3, &[ACCEPT])]),
    ];
    let mut epoch = 1;
    for (step, said) in said {
        let request = acknowledge(&group, "a", epoch, &[partition], said);
        tell_acknowledge(side, step, version, &request).await;
        epoch += 1;
    }
    let first: Said<'_> = &[(0, 0, &[ACCEPT])];
    for (step, partition) in [
        ("an unknown topic", (NO_TOPIC, 0)),
        ("an unknown partition", (shared.id, 5)),
        ("a negative partition", (shared.id, -1)),
    ] {
        for said in [first, &[], &[(3, 0, &[])]] {
            let request = acknowledge(&group, "a", epoch, &[partition], said);
            tell_acknowledge(side, step, version, &request).await;
            epoch += 1;
        }
    }
    // By way of a fetch that reads nothing.
    let mut epoch = 1;
    for (step, said) in [
        ("of another", &[(0_i64, 3_i64, &[ACCEPT][..])][..]),
        ("not handed out", &[(9, 9, &[ACCEPT])]),
        ("wrong types", &[(4, 4, &[9])]),
        ("good", &[(4, 7, &[ACCEPT])]),
        ("done", &[(4, 7, &[ACCEPT])]),
    ] {
        let request = ShareFetchRequest {
            max_records: 0,
            ..fetch(&group, "b", epoch, &[partition], said)
        };
        tell_fetch(side, &format!("acknowledges, {step}"), version, &request).await;
        epoch += 1;
    }
    let request = fetch(&group, "b", epoch, &[(shared.id, 5)], first);
    tell_fetch(side, "acknowledges what is not there", version, &request).await;
    for member in ["a", "b"] {
        let request = acknowledge(&group, member, -1, &[], &[]);
        tell_acknowledge(side, "closes", version, &request).await;
        heartbeat(side, "leaves", &staying(&group, member, -1)).await;
    }
}

async fn renewals(side: &mut Side, shared: &Shared) {
    let group = side.name("share-renewals");
    begins_at_earliest(side, &group).await;
    joined(side, &group, "a", &shared.name).await;
    let partition = (shared.id, 0);
    first_fetch(side, NEWEST, (&group, "a"), partition).await;
    let renews: Said<'_> = &[(0, 3, &[RENEW])];
    type Change = fn(&mut ShareFetchRequest);
    let changes: [(&str, Change); 4] = [
        ("bytes", |one| one.max_bytes = 1),
        ("least bytes", |one| one.min_bytes = 1),
        ("records", |one| one.max_records = 1),
        ("a wait", |one| one.max_wait_ms = 1),
    ];
    let nothing = ShareFetchRequest {
        is_renew_ack: true,
        max_bytes: 0,
        max_records: 0,
        ..fetch(&group, "a", 1, &[partition], renews)
    };
    for (step, change) in changes {
        let mut request = nothing.clone();
        change(&mut request);
        tell_fetch(side, &format!("renews, with {step}"), NEWEST, &request).await;
    }
    tell_fetch(side, "renews", NEWEST, &nothing).await;
    let renewals = [
        ("renews", renews, true),
        (
            "renews what is not handed out",
            &[(8, 9, &[RENEW][..])][..],
            true,
        ),
        (
            "renews and accepts",
            &[(0, 1, &[RENEW]), (2, 3, &[ACCEPT])],
            true,
        ),
        ("announces a renewal", &[(0, 0, &[ACCEPT])], true),
        ("renews what is done", &[(0, 0, &[RENEW])], true),
    ];
    for (epoch, (step, said, is_renew_ack)) in (2..).zip(renewals) {
        let request = ShareAcknowledgeRequest {
            is_renew_ack,
            ..acknowledge(&group, "a", epoch, &[partition], said)
        };
        tell_acknowledge(side, step, NEWEST, &request).await;
    }
    heartbeat(side, "leaves", &staying(&group, "a", -1)).await;
}

async fn describe_offsets(
    side: &mut Side,
    step: &str,
    group: &str,
    topics: Option<&[(&str, &[i32])]>,
) {
    let topic = |(name, partitions): &(&str, &[i32])| DescribeShareGroupOffsetsRequestTopic {
        topic_name: (*name).to_owned(),
        partitions: partitions.to_vec(),
    };
    let request = DescribeShareGroupOffsetsRequest {
        groups: vec![DescribeShareGroupOffsetsRequestGroup {
            group_id: group.to_owned(),
            topics: topics.map(|topics| topics.iter().map(topic).collect()),
        }],
    };
    let code = |answer: &DescribeShareGroupOffsetsResponse| answer.groups[0].error_code;
    let told = |answer: &DescribeShareGroupOffsetsResponse| {
        let group = &answer.groups[0];
        let topics = group.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let (index, code) = (partition.partition_index, partition.error_code);
                let (start, lag) = (partition.start_offset, partition.lag);
                format!("{index}: {code}, {start}, lag {lag}")
            });
            let partitions: Vec<_> = partitions.collect();
            let has_id = topic.topic_id != Uuid::ZERO;
            format!(
                "{} id {has_id} {partitions:?}",
                side_free(&topic.topic_name)
            )
        });
        let topics: Vec<_> = topics.collect();
        format!("{}, {topics:?}", group.error_code)
    };
    for version in 0..=1 {
        let step = format!("share offsets: {step}");
        side.tell(&step, version, &request, code, told).await;
    }
}

/// A topic's name without the part that tells runs apart.
fn side_free(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}

async fn alter_offsets(side: &mut Side, step: &str, group: &str, offsets: &[(&str, i32, i64)]) {
    let topics = offsets
        .iter()
        .map(|(name, index, offset)| AlterShareGroupOffsetsRequestTopic {
            topic_name: (*name).to_owned(),
            partitions: vec![AlterShareGroupOffsetsRequestPartition {
                partition_index: *index,
                start_offset: *offset,
            }],
        });
    let request = AlterShareGroupOffsetsRequest {
        group_id: group.to_owned(),
        topics: topics.collect(),
    };
    let code = |answer: &AlterShareGroupOffsetsResponse| answer.error_code;
    let told = |answer: &AlterShareGroupOffsetsResponse| {
        let topics = answer.responses.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions: Vec<_> = partitions
                .map(|partition| {
                    let has_message = partition.error_message.is_some();
                    (partition.partition_index, partition.error_code, has_message)
                })
                .collect();
            let has_id = topic.topic_id != Uuid::ZERO;
            format!(
                "{} id {has_id} {partitions:?}",
                side_free(&topic.topic_name)
            )
        });
        let mut topics: Vec<_> = topics.collect();
        topics.sort();
        let has_message = answer.error_message.is_some();
        format!("{}, message {has_message}, {topics:?}", answer.error_code)
    };
    let step = format!("share offsets altered: {step}");
    side.tell(&step, 0, &request, code, told).await;
}

async fn delete_offsets(side: &mut Side, step: &str, group: &str, topics: &[&str]) {
    let topic = |name: &&str| DeleteShareGroupOffsetsRequestTopic {
        topic_name: (*name).to_owned(),
    };
    let request = DeleteShareGroupOffsetsRequest {
        group_id: group.to_owned(),
        topics: topics.iter().map(topic).collect(),
    };
    let code = |answer: &DeleteShareGroupOffsetsResponse| answer.error_code;
    let told = |answer: &DeleteShareGroupOffsetsResponse| {
        let topics = answer.responses.iter().map(|topic| {
            let (has_id, code) = (topic.topic_id != Uuid::ZERO, topic.error_code);
            let has_message = topic.error_message.is_some();
            let name = side_free(&topic.topic_name);
            format!("{name} id {has_id} {code}, message {has_message}")
        });
        let mut topics: Vec<_> = topics.collect();
        topics.sort();
        let has_message = answer.error_message.is_some();
        format!("{}, message {has_message}, {topics:?}", answer.error_code)
    };
    let step = format!("share offsets deleted: {step}");
    side.tell(&step, 0, &request, code, told).await;
}

async fn offsets(side: &mut Side, shared: &Shared) {
    let nobody = side.name("share-nobody");
    let name = shared.name.as_str();
    // Kafka chokes on negative partitions, and looks for unknown ones of a known topic for half a minute before it fails: to
    // us they have no offset, as those of an unknown topic.
    let asked: &[(&str, &[i32])] = &[(name, &[0]), ("nosuchtopic", &[0])];
    describe_offsets(side, "an unknown group", &nobody, None).await;
    describe_offsets(side, "an unknown group, by name", &nobody, Some(asked)).await;
    describe_offsets(side, "an unknown topic", &nobody, Some(&asked[1..])).await;
    describe_offsets(side, "no topic", &nobody, Some(&[])).await;
    describe_offsets(side, "no group id", "", None).await;
    delete_offsets(side, "an unknown group", &nobody, &[name]).await;
    delete_offsets(side, "no group id", "", &[name]).await;
    alter_offsets(side, "no group id", "", &[(name, 0, 1)]).await;

    let group = side.name("share-offsets");
    begins_at_earliest(side, &group).await;
    joined(side, &group, "a", name).await;
    describe_offsets(side, "with a member", &group, None).await;
    first_fetch(side, 1, (&group, "a"), (shared.id, 0)).await;
    let accept = acknowledge(&group, "a", 1, &[(shared.id, 0)], &[(0, 1, &[ACCEPT])]);
    tell_acknowledge(side, "two of four", 1, &accept).await;
    describe_offsets(side, "two of four", &group, Some(asked)).await;
    // The steps so far may have taken as long as its session.
    joined(side, &group, "a", name).await;
    alter_offsets(side, "with a member", &group, &[(name, 0, 1)]).await;
    delete_offsets(side, "with a member", &group, &[name]).await;
    let close = acknowledge(&group, "a", -1, &[], &[]);
    tell_acknowledge(side, "closes", 1, &close).await;
    heartbeat(side, "leaves", &staying(&group, "a", -1)).await;
    alter_offsets(side, "nothing", &group, &[]).await;
    let wrong = [(name, 5, 1), ("nosuchtopic", 0, 1)];
    alter_offsets(side, "what is not there", &group, &wrong).await;
    alter_offsets(
        side,
        "some of it",
        &group,
        &[(name, 0, 3), ("nosuchtopic", 0, 1)],
    )
    .await;
    describe_offsets(side, "altered", &group, None).await;
    alter_offsets(side, "beyond the log", &group, &[(name, 0, 1000)]).await;
    describe_offsets(side, "beyond the log", &group, None).await;
    delete_offsets(side, "nothing", &group, &[]).await;
    delete_offsets(side, "some of it", &group, &["nosuchtopic", name]).await;
    delete_offsets(side, "again", &group, &[name]).await;
    describe_offsets(side, "deleted", &group, None).await;
    // Kafka cannot delete a group whose offsets were deleted.
    // Altering makes a group.
    let made = side.name("share-made");
    alter_offsets(side, "an unknown group", &made, &[(name, 0, 2)]).await;
    describe(side, "made by altering", &made).await;
    describe_offsets(side, "made by altering", &made, None).await;
    delete_group(side, "made by altering", &made).await;
}

/// Start offsets behind everything there will ever be, and before everything there ever was.
async fn far_offset(side: &mut Side, shared: &Shared) {
    let group = side.name("share-far");
    let name = shared.name.as_str();
    for (step, offset) in [
        ("as far as can be", i64::MAX),
        ("almost as far", i64::MAX - 1),
        ("-1", -1),
        ("-7", -7),
    ] {
        alter_offsets(side, step, &group, &[(name, 0, offset)]).await;
        describe_offsets(side, step, &group, None).await;
        if offset < -1 {
            // Kafka never hands anything out from there; to us it is as good as the start of the log.
            break;
        }
        joined(side, &group, "a", name).await;
        for epoch in 0..3 {
            let request = ShareFetchRequest {
                max_wait_ms: 500,
                min_bytes: 1,
                ..fetch(&group, "a", epoch, &[(shared.id, 0)], &[])
            };
            tell_fetch(side, step, 1, &request).await;
        }
        let close = acknowledge(&group, "a", -1, &[], &[]);
        tell_acknowledge(side, "closes", 1, &close).await;
        heartbeat(side, "leaves", &staying(&group, "a", -1)).await;
    }
}

async fn other_types(side: &mut Side, shared: &Shared) {
    let name = shared.name.as_str();
    let group = side.name("share-other");
    joined(side, &group, "a", name).await;
    foreign_requests(side, "with a member", &group, shared).await;
    heartbeat(side, "leaves", &staying(&group, "a", -1)).await;
    foreign_requests(side, "empty", &group, shared).await;
    describe(side, "after strangers came", &group).await;

    // The other way round.
    let group = side.name("share-consumer");
    let consumer = ConsumerGroupHeartbeatRequest {
        group_id: group.clone(),
        member_id: "a".to_owned(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![name.to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let code = |answer: &ConsumerGroupHeartbeatResponse| answer.error_code;
    side.tell("a consumer group", 1, &consumer, code, code)
        .await;
    for (step, request) in [
        ("joins a consumer group", joining(&group, "b", name)),
        ("stays in a consumer group", staying(&group, "a", 1)),
        ("leaves a consumer group", staying(&group, "a", -1)),
    ] {
        heartbeat(side, step, &request).await;
    }
    describe(side, "a consumer group", &group).await;
    describe_offsets(side, "a consumer group", &group, None).await;
    alter_offsets(side, "a consumer group", &group, &[(name, 0, 1)]).await;
    delete_offsets(side, "a consumer group", &group, &[name]).await;
}

/// Requests of other protocols to a share group.
async fn foreign_requests(side: &mut Side, step: &str, group: &str, shared: &Shared) {
    let join = |member: &str| JoinGroupRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let code = |answer: &JoinGroupResponse| answer.error_code;
    for (who, member) in [("nobody", ""), ("a member", "a")] {
        let step = format!("classic join as {who}: a share group {step}");
        side.tell(&step, 9, &join(member), code, |answer| {
            format!("{}, {:?}", answer.error_code, answer.member_id)
        })
        .await;
    }
    let beat = HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id: 1,
        member_id: "a".to_owned(),
        ..Default::default()
    };
    let code = |answer: &HeartbeatResponse| answer.error_code;
    let told = format!("classic heartbeat: a share group {step}");
    side.tell(&told, 4, &beat, code, code).await;
    let consumer = ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: "c".to_owned(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![shared.name.clone()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let code = |answer: &ConsumerGroupHeartbeatResponse| answer.error_code;
    let told = format!("consumer heartbeat: a share group {step}");
    side.tell(&told, 1, &consumer, code, code).await;
    let commit = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit_request::OffsetCommitRequestTopic {
            name: shared.name.clone(),
            partitions: vec![offset_commit_request::OffsetCommitRequestPartition {
                committed_offset: 1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let code = |answer: &OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    let told = format!("commit: a share group {step}");
    side.tell(&told, 9, &commit, code, code).await;
    let fetch = OffsetFetchRequest {
        groups: vec![offset_fetch_request::OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_epoch: -1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let code = |answer: &OffsetFetchResponse| answer.groups[0].error_code;
    let told = format!("offsets: a share group {step}");
    side.tell(&told, 9, &fetch, code, code).await;
    let describe = DescribeGroupsRequest {
        groups: vec![group.to_owned()],
        ..Default::default()
    };
    let code = |answer: &DescribeGroupsResponse| answer.groups[0].error_code;
    let told = format!("classic describe: a share group {step}");
    side.tell(&told, 6, &describe, code, |answer| {
        let group = &answer.groups[0];
        format!("{}, {:?}", group.error_code, group.group_state)
    })
    .await;
    let describe = ConsumerGroupDescribeRequest {
        group_ids: vec![group.to_owned()],
        include_authorized_operations: false,
    };
    let code = |answer: &ConsumerGroupDescribeResponse| answer.groups[0].error_code;
    let told = format!("consumer describe: a share group {step}");
    side.tell(&told, 1, &describe, code, code).await;
}
