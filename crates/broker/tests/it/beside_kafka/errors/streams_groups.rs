//! Streams groups: members that come, stay, move tasks and go, and heartbeats that are wrong in every way. Texts are
//! compared too, because members show them to people.

use protocol::messages::streams_group_heartbeat_request::{
    CopartitionGroup, Endpoint, KeyValue, Subtopology, TaskIds, TaskOffset, TopicInfo, Topology,
};
use protocol::messages::streams_group_heartbeat_response::TaskIds as ToldTaskIds;
use protocol::messages::*;

use super::{NOT_YET_ATTEMPTS, NOT_YET_INTERVAL, Side, topic};

type Heartbeat = StreamsGroupHeartbeatRequest;
type Answer = StreamsGroupHeartbeatResponse;

pub(super) async fn errors(side: &mut Side) {
    let source = topic(side, "streams-source").await;
    wrong_requests(side, &source).await;
    wrong_topologies(side, &source).await;
    members(side, &source).await;
    other_types(side, &source).await;
}

fn internal(name: &str) -> TopicInfo {
    TopicInfo {
        name: name.to_owned(),
        ..Default::default()
    }
}

/// `source` is counted: one subtopology that reads and writes, another with state behind a repartition topic.
fn topology(side: &Side, source: &str, name: &str) -> Topology {
    let repartition = side.name(&format!("{name}-repartition"));
    let changelog = side.name(&format!("{name}-changelog"));
    Topology {
        epoch: 0,
        subtopologies: vec![
            Subtopology {
                subtopology_id: "0".to_owned(),
                source_topics: vec![source.to_owned()],
                repartition_sink_topics: vec![repartition.clone()],
                ..Default::default()
            },
            Subtopology {
                subtopology_id: "1".to_owned(),
                repartition_source_topics: vec![internal(&repartition)],
                state_changelog_topics: vec![internal(&changelog)],
                ..Default::default()
            },
        ],
    }
}

fn stay(group: &str, member: &str, member_epoch: i32) -> Heartbeat {
    Heartbeat {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch,
        rebalance_timeout_ms: -1,
        ..Default::default()
    }
}

fn join(group: &str, member: &str, topology: Topology) -> Heartbeat {
    Heartbeat {
        rebalance_timeout_ms: 10_000,
        topology: Some(topology),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some(format!("process-{member}")),
        client_tags: Some(Vec::new()),
        ..stay(group, member, 0)
    }
}

fn own(group: &str, member: &str, epoch: i32, active: &[(&str, &[i32])]) -> Heartbeat {
    let active = active.iter().map(|(subtopology, partitions)| TaskIds {
        subtopology_id: (*subtopology).to_owned(),
        partitions: partitions.to_vec(),
    });
    Heartbeat {
        active_tasks: Some(active.collect()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        ..stay(group, member, epoch)
    }
}

fn tasks(told: Option<&Vec<ToldTaskIds>>) -> String {
    let Some(told) = told else {
        return "-".to_owned();
    };
    let mut tasks: Vec<String> = told
        .iter()
        .map(|ids| format!("{}:{:?}", ids.subtopology_id, ids.partitions))
        .collect();
    tasks.sort();
    format!("[{}]", tasks.join(" "))
}

fn told(answer: &Answer) -> String {
    // More than one missing topic are told in no particular order.
    let detail = |detail: &str| match detail.split_once("Internal topics are missing: ") {
        Some(_) => "internal topics are missing".to_owned(),
        None => detail.to_owned(),
    };
    let status = answer.status.as_ref().map(|status| {
        let status = status.iter();
        let status =
            status.map(|one| format!("({}) {}", one.status_code, detail(&one.status_detail)));
        status.collect::<Vec<_>>().join("; ")
    });
    let endpoints = answer
        .partitions_by_user_endpoint
        .as_ref()
        .map(|endpoints| {
            let mut endpoints: Vec<String> = endpoints
                .iter()
                .map(|endpoint| {
                    let mut active: Vec<String> = endpoint
                        .active_partitions
                        .iter()
                        .map(|topic| format!("{}{:?}", topic.topic, topic.partitions))
                        .collect();
                    active.sort();
                    format!(
                        "{}:{} {active:?}",
                        endpoint.user_endpoint.host, endpoint.user_endpoint.port
                    )
                })
                .collect();
            endpoints.sort();
            endpoints
        });
    format!(
        "{} {:?} member {:?} epoch {} every {} status {status:?} active {} standby {} warmup {} endpoints {} {endpoints:?}",
        answer.error_code,
        answer.error_message,
        answer.member_id,
        answer.member_epoch,
        answer.heartbeat_interval_ms,
        tasks(answer.active_tasks.as_ref()),
        tasks(answer.standby_tasks.as_ref()),
        tasks(answer.warmup_tasks.as_ref()),
        answer.endpoint_information_epoch,
    )
}

async fn tell(side: &mut Side, step: &str, request: &Heartbeat) -> Option<Answer> {
    let step = format!("streams heartbeat: {step}");
    side.tell(&step, 0, request, |answer| answer.error_code, told)
        .await
}

async fn wrong_requests(side: &mut Side, source: &str) {
    let group = side.name("streams-wrong");
    let good = join(&group, "one", topology(side, source, "wrong"));
    let one_task = || {
        Some(vec![TaskIds {
            subtopology_id: "0".to_owned(),
            partitions: vec![0],
        }])
    };
    let offset = || {
        Some(vec![TaskOffset {
            subtopology_id: "0".to_owned(),
            partition: 0,
            offset: 0,
        }])
    };
    type Change<'a> = Box<dyn Fn(&mut Heartbeat) + Send + 'a>;
    let changes: Vec<(&str, Change<'_>)> = vec![
        (
            "an instance id",
            Box::new(|one| one.instance_id = Some("i".to_owned())),
        ),
        (
            "task offsets",
            Box::new(move |one| one.task_offsets = offset()),
        ),
        (
            "task end offsets",
            Box::new(move |one| one.task_end_offsets = offset()),
        ),
        (
            "warm-up tasks",
            Box::new(move |one| one.warmup_tasks = one_task()),
        ),
        (
            "source topics by pattern",
            Box::new(|one| {
                let topology = one.topology.as_mut().unwrap();
                topology.subtopologies[0].source_topic_regex = vec!["a.*".to_owned()];
            }),
        ),
        (
            "no member id",
            Box::new(|one| one.member_id = String::new()),
        ),
        (
            "a blank member id",
            Box::new(|one| one.member_id = " \t".to_owned()),
        ),
        ("no group id", Box::new(|one| one.group_id = String::new())),
        (
            "a blank rack",
            Box::new(|one| one.rack_id = Some(" ".to_owned())),
        ),
        (
            "no rebalance timeout",
            Box::new(|one| one.rebalance_timeout_ms = -1),
        ),
        ("null active tasks", Box::new(|one| one.active_tasks = None)),
        (
            "active tasks on joining",
            Box::new(move |one| one.active_tasks = one_task()),
        ),
        (
            "null standby tasks",
            Box::new(|one| one.standby_tasks = None),
        ),
        (
            "standby tasks on joining",
            Box::new(move |one| one.standby_tasks = one_task()),
        ),
        (
            "null warm-up tasks",
            Box::new(|one| one.warmup_tasks = None),
        ),
        ("no topology", Box::new(|one| one.topology = None)),
        ("epoch -2", Box::new(|one| one.member_epoch = -2)),
        ("epoch -3", Box::new(|one| one.member_epoch = -3)),
        (
            "a topology in epoch 1",
            Box::new(|one| one.member_epoch = 1),
        ),
        (
            "some kinds of tasks in epoch 1",
            Box::new(|one| {
                one.member_epoch = 1;
                one.topology = None;
                one.standby_tasks = None;
            }),
        ),
        (
            "an unknown group in epoch 1",
            Box::new(|one| {
                one.member_epoch = 1;
                one.topology = None;
            }),
        ),
        (
            "an unknown group left",
            Box::new(|one| {
                one.member_epoch = -1;
                one.topology = None;
            }),
        ),
        (
            "a tag twice",
            Box::new(|one| {
                let tag = KeyValue {
                    key: "zone".to_owned(),
                    value: "a".to_owned(),
                };
                one.client_tags = Some(vec![tag.clone(), tag]);
            }),
        ),
    ];
    for (step, change) in changes {
        let mut request = good.clone();
        change(&mut request);
        tell(side, step, &request).await;
    }
}

async fn wrong_topologies(side: &mut Side, source: &str) {
    let good = topology(side, source, "topology");
    type Change = fn(&mut Topology);
    let changes: [(&str, Change); 11] = [
        ("an internal topic of Kafka", |one| {
            one.subtopologies[0]
                .source_topics
                .push("__consumer_offsets".to_owned());
        }),
        ("an impossible name", |one| {
            one.subtopologies[0]
                .repartition_sink_topics
                .push("a/b".to_owned());
        }),
        ("a changelog with a number of partitions", |one| {
            one.subtopologies[1].state_changelog_topics[0].partitions = 3;
        }),
        ("a negative epoch", |one| one.epoch = -1),
        ("a subtopology twice", |one| {
            let first = one.subtopologies[0].clone();
            one.subtopologies.push(first);
        }),
        ("a repartition source nobody writes", |one| {
            one.subtopologies[0].repartition_sink_topics.clear();
        }),
        ("a loop", |one| {
            one.subtopologies[0].source_topics.clear();
            let source = one.subtopologies[1].repartition_source_topics.clone();
            one.subtopologies[0].repartition_source_topics = source;
        }),
        ("a subtopology without sources", |one| {
            one.subtopologies.push(Subtopology {
                subtopology_id: "2".to_owned(),
                ..Default::default()
            });
        }),
        ("a negative number of partitions", |one| {
            one.subtopologies[1].repartition_source_topics[0].partitions = -1;
        }),
        ("a copartition group of what is not there", |one| {
            one.subtopologies[0]
                .copartition_groups
                .push(CopartitionGroup {
                    source_topics: vec![3],
                    ..Default::default()
                });
        }),
        ("a missing source topic", |one| {
            one.subtopologies[0]
                .source_topics
                .push("no-such-topic".to_owned());
        }),
    ];
    for (index, (step, change)) in changes.into_iter().enumerate() {
        let mut topology = good.clone();
        change(&mut topology);
        let group = side.name(&format!("streams-topology-{index}"));
        tell(side, step, &join(&group, "one", topology)).await;
    }
    let mut fixed = good.clone();
    fixed.subtopologies[1].repartition_source_topics[0].partitions = 2;
    fixed.subtopologies[1].source_topics.push(source.to_owned());
    fixed.subtopologies[1]
        .copartition_groups
        .push(CopartitionGroup {
            source_topics: vec![0],
            repartition_source_topics: vec![0],
            ..Default::default()
        });
    let group = side.name("streams-topology-fixed");
    tell(
        side,
        "a fixed number that does not fit",
        &join(&group, "one", fixed),
    )
    .await;
}

/// Sends a heartbeat until nothing is missing or delayed any more; only the last answer is noted.
async fn tell_when_ready(side: &mut Side, step: &str, request: &Heartbeat) -> Answer {
    for _ in 0..NOT_YET_ATTEMPTS {
        let answer = side.ask(0, request).await.unwrap();
        let is_waiting = answer
            .status
            .as_ref()
            .is_some_and(|status| !status.is_empty());
        if !is_waiting {
            side.note(
                &format!("streams heartbeat: {step}"),
                0,
                &told_without_epochs(&answer),
            );
            return answer;
        }
        tokio::time::sleep(NOT_YET_INTERVAL).await;
    }
    panic!("{step}: still not ready");
}

/// How often the group's epoch was bumped meanwhile depends on when topics were seen.
fn told_without_epochs(answer: &Answer) -> String {
    let mut answer = answer.clone();
    answer.member_epoch = 0;
    answer.endpoint_information_epoch = 0;
    told(&answer)
}

async fn members(side: &mut Side, source: &str) {
    let group = side.name("streams-members");
    let topology = topology(side, source, "members");
    let joining = |member: &str| {
        let mut request = join(&group, member, topology.clone());
        request.user_endpoint = Some(Endpoint {
            host: "localhost".to_owned(),
            port: if member == "one" { 1 } else { 2 },
        });
        request
    };
    let mut first = joining("one");
    // Only heartbeats after the internal topics are there show endpoints.
    first.user_endpoint = None;
    tell(side, "the first member", &first).await;
    let one = tell_when_ready(side, "all topics are there", &stay(&group, "one", 1)).await;
    let epoch = one.member_epoch;
    let step = |request: Heartbeat| Heartbeat {
        endpoint_information_epoch: -1,
        ..request
    };
    for (name, request) in [
        ("a greater epoch", stay(&group, "one", epoch + 1)),
        (
            "a much smaller epoch",
            stay(&group, "one", epoch.wrapping_sub(2).max(1)),
        ),
        ("an unknown member", stay(&group, "nobody", epoch)),
        ("an unknown member leaves", stay(&group, "nobody", -1)),
        (
            "tasks of no subtopology",
            own(&group, "one", epoch, &[("7", &[0])]),
        ),
        ("no such task", own(&group, "one", epoch, &[("0", &[1])])),
        (
            "a negative task",
            own(&group, "one", epoch, &[("0", &[-1])]),
        ),
        ("another topology", {
            let mut request = joining("two");
            request.topology.as_mut().unwrap().epoch = 1;
            request
        }),
    ] {
        // Epochs in texts depend on how often the group was bumped before.
        let name = format!("streams heartbeat: {name}");
        let code = |answer: &Answer| answer.error_code;
        side.tell(&name, 0, &request, code, |answer| answer.error_code)
            .await;
    }
    tell_when_ready(side, "an endpoint", &joining("one")).await;
    let two = tell_when_ready(side, "a second member", &joining("two")).await;
    let one = tell_when_ready(side, "who gives up", &step(stay(&group, "one", epoch))).await;
    describe(side, "while tasks move", &group).await;
    let kept: Vec<(String, Vec<i32>)> = one
        .active_tasks
        .iter()
        .flatten()
        .map(|ids| (ids.subtopology_id.clone(), ids.partitions.clone()))
        .collect();
    let kept: Vec<(&str, &[i32])> = kept
        .iter()
        .map(|(id, partitions)| (id.as_str(), partitions.as_slice()))
        .collect();
    let gave_up = own(&group, "one", one.member_epoch, &kept);
    tell_when_ready(side, "who gave up", &gave_up).await;
    tell_when_ready(side, "who gets", &stay(&group, "two", two.member_epoch)).await;
    describe(side, "when all is done", &group).await;
    let mut shutdown = stay(&group, "two", two.member_epoch);
    shutdown.shutdown_application = true;
    let code = |answer: &Answer| answer.error_code;
    let status = |answer: &Answer| format!("{:?}", answer.status);
    side.tell("streams heartbeat: shutdown", 0, &shutdown, code, status)
        .await;
    for member in ["one", "two"] {
        tell(side, "a member leaves", &stay(&group, member, -1)).await;
    }
    describe(side, "when all have gone", &group).await;
}

async fn describe(side: &mut Side, step: &str, group: &str) {
    let request = StreamsGroupDescribeRequest {
        group_ids: vec![group.to_owned()],
        include_authorized_operations: true,
    };
    let code = |answer: &StreamsGroupDescribeResponse| answer.groups[0].error_code;
    let told = |answer: &StreamsGroupDescribeResponse| {
        let mut group = answer.groups[0].clone();
        group.group_epoch = 0;
        group.assignment_epoch = 0;
        group
            .members
            .sort_by(|one, other| one.member_id.cmp(&other.member_id));
        for member in &mut group.members {
            member.member_epoch = 0;
            member.client_host.clear();
        }
        format!("{group:?}")
    };
    let step = format!("streams describe: {step}");
    side.tell(&step, 0, &request, code, told).await;
}

async fn other_types(side: &mut Side, source: &str) {
    describe(side, "an unknown group", &side.name("streams-nobody")).await;
    describe(side, "no group id", "").await;
    let group = side.name("streams-other");
    let commit = OffsetCommitRequest {
        group_id: group.clone(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: vec![offset_commit_request::OffsetCommitRequestTopic {
            name: source.to_owned(),
            partitions: vec![offset_commit_request::OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: 1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let code = |answer: &OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    side.tell("a simple group", 9, &commit, code, code).await;
    describe(side, "a simple group", &group).await;
    tell(side, "a simple group in epoch 1", &stay(&group, "one", 1)).await;
    tell(side, "a simple group left", &stay(&group, "one", -1)).await;
    let topology = topology(side, source, "other");
    tell(
        side,
        "a simple group joined",
        &join(&group, "one", topology),
    )
    .await;
    side.tell("a commit from outside", 9, &commit, code, code)
        .await;
    let mut member = commit.clone();
    member.member_id = "one".to_owned();
    for (step, version, epoch) in [
        ("a commit in a later epoch", 9, 100),
        ("a commit of an old version", 8, 1),
        ("a commit of the member", 9, 1),
        ("a commit without epoch", 9, -1),
    ] {
        member.generation_id_or_member_epoch = epoch;
        side.tell(step, version, &member, code, code).await;
    }
    let join_classic = JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![join_group_request::JoinGroupRequestProtocol {
            name: "range".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let code = |answer: &JoinGroupResponse| answer.error_code;
    side.tell("a classic member", 9, &join_classic, code, code)
        .await;
    let delete = DeleteGroupsRequest {
        groups_names: vec![group.clone()],
    };
    let code = |answer: &DeleteGroupsResponse| answer.results[0].error_code;
    side.tell("a group with a member is deleted", 2, &delete, code, code)
        .await;
    tell(side, "the last member leaves", &stay(&group, "one", -1)).await;
    side.tell("an empty group is deleted", 2, &delete, code, code)
        .await;
    describe(side, "a deleted group", &group).await;
}
