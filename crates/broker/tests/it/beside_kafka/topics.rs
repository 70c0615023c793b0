//! Creating, changing, describing and deleting topics.

use protocol::Uuid;
use protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use protocol::messages::*;

use super::configs::is_of_one;
use super::{Pair, hide_message};

fn topic(name: String, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name,
        num_partitions,
        replication_factor,
        ..Default::default()
    }
}

fn normal_created(response: &mut CreateTopicsResponse) {
    response
        .topics
        .sort_by(|one, other| one.name.cmp(&other.name));
    for topic in &mut response.topics {
        topic.topic_id = Uuid([u8::from(!topic.topic_id.is_zero()); 16]);
        hide_message(topic.error_code, &mut topic.error_message);
        if let Some(configs) = &mut topic.configs {
            configs.retain(|config| !is_of_one(&config.name));
        }
    }
}

pub(super) async fn create_topics(pair: &mut Pair, run: &str) {
    let name = |suffix: &str| format!("{run}-{suffix}");
    let configured = |suffix: &str, config: &str, value: Option<&str>| CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: config.to_owned(),
            value: value.map(str::to_owned),
        }],
        ..topic(name(suffix), 1, 1)
    };
    let assigned = |suffix: &str, assignments: &[(i32, &[i32])]| CreatableTopic {
        assignments: assignments
            .iter()
            .map(|(index, brokers)| CreatableReplicaAssignment {
                partition_index: *index,
                broker_ids: brokers.to_vec(),
            })
            .collect(),
        ..topic(name(suffix), -1, -1)
    };
    let mut requests = vec![
        vec![
            topic(name("one"), 1, 1),
            topic(name("three"), 3, -1),
            topic(name("dot.ted"), -1, 1),
        ],
        vec![topic(name("one"), 1, 1)],
        vec![topic(name("dot_ted"), 1, 1)],
        vec![
            topic(name("twice"), 1, 1),
            topic(name("twice"), 2, 1),
            topic(name("once"), 1, 1),
        ],
        vec![topic("__cluster_metadata".to_owned(), 1, 1)],
        vec![assigned("assigned", &[(1, &[1]), (0, &[1])])],
        vec![
            configured("configured", "cleanup.policy", Some("compact")),
            configured("kept", "retention.ms", Some("-1")),
        ],
    ];
    let mistakes = [
        topic(String::new(), 1, 1),
        topic(".".to_owned(), 1, 1),
        topic("sp ace".to_owned(), 1, 1),
        topic("x".repeat(250), 1, 1),
        topic(name("bad"), 0, 1),
        topic(name("bad"), -2, 1),
        topic(name("bad"), 1, 0),
        topic(name("bad"), 1, -2),
        topic(name("bad"), 1, 2),
        topic(name("bad"), 0, 0),
        topic(name("one"), 0, 5),
        configured("bad", "no.such.setting", Some("1")),
        configured("bad", "retention.ms", Some("soon")),
        configured("bad", "retention.ms", Some("-2")),
        configured("bad", "retention.ms", None),
        configured("bad", "segment.bytes", Some("1048575")),
        configured("bad", "cleanup.policy", Some("shred")),
        configured("bad", "compression.type", Some("brotli")),
        configured("bad", "min.insync.replicas", Some("0")),
        CreatableTopic {
            num_partitions: 1,
            ..assigned("bad", &[(0, &[1])])
        },
        CreatableTopic {
            replication_factor: 1,
            ..assigned("bad", &[(0, &[1])])
        },
        assigned("bad", &[(0, &[])]),
        assigned("bad", &[(0, &[7])]),
        assigned("bad", &[(0, &[1, 1])]),
        assigned("bad", &[(0, &[1]), (2, &[1])]),
        assigned("bad", &[(0, &[1]), (0, &[1])]),
    ];
    requests.extend(mistakes.map(|mistake| vec![mistake]));
    for topics in requests {
        let request = CreateTopicsRequest {
            topics,
            timeout_ms: 30_000,
            validate_only: false,
        };
        pair.same(7, &request, normal_created).await;
    }
    for version in 2..=7 {
        let topics = vec![
            topic(name("checked"), 2, 1),
            topic(name("one"), 1, 1),
            topic(name("bad"), 0, 1),
        ];
        let request = CreateTopicsRequest {
            topics,
            timeout_ms: 30_000,
            validate_only: true,
        };
        pair.same(version, &request, normal_created).await;
    }
}

pub(super) async fn describe_topic_partitions(pair: &mut Pair, run: &str) {
    let names: Vec<String> = ["three", "one", "missing", "sp ace"]
        .iter()
        .map(|suffix| format!("{run}-{suffix}"))
        .collect();
    let normalise = |response: &mut DescribeTopicPartitionsResponse| {
        for topic in &mut response.topics {
            topic.topic_id = Uuid([u8::from(!topic.topic_id.is_zero()); 16]);
            for partition in &mut topic.partitions {
                partition.leader_epoch = 0;
            }
        }
    };
    let topic = |name: &String| TopicRequest { name: name.clone() };
    let three = format!("{run}-three");
    let cursor = |name: &str, partition_index| {
        Some(Cursor {
            topic_name: name.to_owned(),
            partition_index,
        })
    };
    for (limit, cursor) in [
        (2000, None),
        (1, None),
        (0, None),
        (2, cursor(&three, 0)),
        (2, cursor(&three, 1)),
        (2, cursor(&three, 3)),
        (2, cursor(&three, 9)),
        (2, cursor(&three, -1)),
        (2, cursor("other", 0)),
        (2, cursor("zzz", 0)),
    ] {
        let topics = names.iter().map(topic).collect();
        let request = DescribeTopicPartitionsRequest {
            topics,
            response_partition_limit: limit,
            cursor,
        };
        pair.same(0, &request, normalise).await;
    }
}

pub(super) async fn create_partitions(pair: &mut Pair, run: &str) {
    let normalise = |response: &mut CreatePartitionsResponse| {
        for result in &mut response.results {
            hide_message(result.error_code, &mut result.error_message);
        }
    };
    let topic = |suffix: &str, count, assignments: Option<&[&[i32]]>| CreatePartitionsTopic {
        name: format!("{run}-{suffix}"),
        count,
        assignments: assignments.map(|assignments| {
            assignments
                .iter()
                .map(|brokers| CreatePartitionsAssignment {
                    broker_ids: brokers.to_vec(),
                })
                .collect()
        }),
    };
    for topics in [
        vec![topic("missing", 2, None)],
        vec![topic("one", 1, None)],
        vec![topic("three", 2, None)],
        vec![topic("three", 0, None)],
        vec![topic("three", -1, None)],
        vec![topic("three", 4, Some(&[]))],
        vec![topic("three", 4, Some(&[&[]]))],
        vec![topic("three", 4, Some(&[&[7]]))],
        vec![topic("three", 4, Some(&[&[1], &[1]]))],
        vec![topic("three", 4, None), topic("three", 5, None)],
        vec![topic("three", 4, None)],
        vec![topic("three", 5, Some(&[&[1]]))],
    ] {
        for validate_only in [true, false] {
            let request = CreatePartitionsRequest {
                topics: topics.clone(),
                timeout_ms: 30_000,
                validate_only,
            };
            let versions = if validate_only { 0..=3 } else { 3..=3 };
            for version in versions {
                pair.same(version, &request, normalise).await;
            }
        }
    }
}

pub(super) async fn delete_topics(pair: &mut Pair, run: &str) {
    let named = |suffix: &str| DeleteTopicState {
        name: Some(format!("{run}-{suffix}")),
        topic_id: Uuid::ZERO,
    };
    let normalise = |response: &mut DeleteTopicsResponse| {
        // Kafka shuffles them.
        response
            .responses
            .sort_by(|one, other| one.name.cmp(&other.name));
        for result in &mut response.responses {
            result.topic_id = Uuid([u8::from(!result.topic_id.is_zero()); 16]);
            hide_message(result.error_code, &mut result.error_message);
        }
    };
    for topics in [
        vec![named("missing")],
        vec![named("one"), named("one")],
        vec![DeleteTopicState {
            name: None,
            topic_id: Uuid::ZERO,
        }],
        vec![DeleteTopicState {
            name: None,
            topic_id: Uuid([7; 16]),
        }],
        vec![DeleteTopicState {
            topic_id: Uuid([7; 16]),
            ..named("one")
        }],
        vec![named("one"), named("three"), named("missing")],
    ] {
        pair.same(
            6,
            &DeleteTopicsRequest {
                topics,
                timeout_ms: 30_000,
                ..Default::default()
            },
            normalise,
        )
        .await;
    }
    for version in 1..=5 {
        let topic_names = vec![
            format!("{run}-auto-{}", version % 4),
            format!("{run}-missing"),
        ];
        pair.same(
            version,
            &DeleteTopicsRequest {
                topic_names,
                timeout_ms: 30_000,
                ..Default::default()
            },
            normalise,
        )
        .await;
    }
    let topic_names = [
        "dot.ted",
        "assigned",
        "configured",
        "kept",
        "once",
        "created",
        "auto-0",
    ]
    .map(|suffix| format!("{run}-{suffix}"))
    .to_vec();
    pair.same(
        5,
        &DeleteTopicsRequest {
            topic_names,
            timeout_ms: 30_000,
            ..Default::default()
        },
        normalise,
    )
    .await;
}
