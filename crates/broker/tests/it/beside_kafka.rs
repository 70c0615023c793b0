//! The same requests to this broker and to an Apache Kafka, whose answers must not differ.
//!
//! Needs a Kafka of one node (`cargo xtask kafka start`), whose address `WATERTABLE_KAFKA` says; without it the test has
//! nothing to compare with and is left out. Ids, addresses and sentences for people differ by nature and are not
//! compared; whatever else differs on purpose is named where it is taken out.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::*;
use protocol::records::{BatchBuilder, BatchOptions};
use protocol::{Records, Request, Uuid};
use testkit::{RawClient, Server, ServerOptions};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

/// How much of a question and of two answers is shown where they differ.
const QUESTION_SHOWN: usize = 400;
const BEFORE_DIFFERENCE: usize = 150;
const AFTER_DIFFERENCE: usize = 150;
/// How long a change takes at most to arrive at Kafka's broker.
const LATER_MAX: Duration = Duration::from_secs(10);

/// The two brokers, and where they differed.
struct Pair {
    kafka: RawClient,
    ours: RawClient,
    kafka_address: SocketAddr,
    our_address: SocketAddr,
    differences: Vec<String>,
}

impl Pair {
    /// Both answer; what `normalise` leaves must be equal.
    async fn same<R: Request + Debug>(
        &mut self,
        version: i16,
        request: &R,
        normalise: impl Fn(&mut R::Response),
    ) where
        R::Response: Debug + PartialEq,
    {
        let expected = self.kafka_answers(version, request, &normalise).await;
        let found = self.we_answer(version, request, &normalise).await;
        self.compare(&format!("v{version} {request:?}"), &expected, &found);
    }

    /// As [`Pair::same`], for what Kafka's controller has changed and its broker sees a little later.
    async fn same_soon<R: Request + Debug>(
        &mut self,
        version: i16,
        request: &R,
        normalise: impl Fn(&mut R::Response),
    ) where
        R::Response: Debug + PartialEq,
    {
        let found = self.we_answer(version, request, &normalise).await;
        let deadline = Instant::now() + LATER_MAX;
        let mut expected = self.kafka_answers(version, request, &normalise).await;
        while expected != found && Instant::now() < deadline {
            expected = self.kafka_answers(version, request, &normalise).await;
        }
        self.compare(&format!("v{version} {request:?}"), &expected, &found);
    }

    /// As [`Pair::same`], where what to ask depends on whom.
    async fn same_of<R: Request + Debug>(
        &mut self,
        version: i16,
        of_kafka: &R,
        of_us: &R,
        normalise: impl Fn(&mut R::Response),
    ) where
        R::Response: Debug + PartialEq,
    {
        let expected = self.kafka_answers(version, of_kafka, &normalise).await;
        let found = self.we_answer(version, of_us, &normalise).await;
        self.compare(&format!("v{version} {of_us:?}"), &expected, &found);
    }

    fn compare<T: Debug + PartialEq>(&mut self, question: &str, expected: &T, found: &T) {
        if expected == found {
            return;
        }
        let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
        let same = expected
            .bytes()
            .zip(found.bytes())
            .take_while(|(one, other)| one == other)
            .count();
        let around = |text: &str| {
            let from = same.saturating_sub(BEFORE_DIFFERENCE);
            text.chars()
                .skip(from)
                .take(BEFORE_DIFFERENCE + AFTER_DIFFERENCE)
                .collect::<String>()
        };
        let question: String = question.chars().take(QUESTION_SHOWN).collect();
        self.differences.push(format!(
            "{question}\n  kafka: …{}…\n  ours:  …{}…",
            around(&expected),
            around(&found)
        ));
    }

    /// `None`: the connection was closed.
    async fn kafka_answers<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        normalise: &impl Fn(&mut R::Response),
    ) -> Option<R::Response> {
        let answer = answer(&mut self.kafka, version, request, normalise).await;
        if answer.is_none() {
            self.kafka = RawClient::connect(self.kafka_address).await;
        }
        answer
    }

    async fn we_answer<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        normalise: &impl Fn(&mut R::Response),
    ) -> Option<R::Response> {
        let answer = answer(&mut self.ours, version, request, normalise).await;
        if answer.is_none() {
            self.ours = RawClient::connect(self.our_address).await;
        }
        answer
    }
}

async fn answer<R: Request>(
    client: &mut RawClient,
    version: i16,
    request: &R,
    normalise: &impl Fn(&mut R::Response),
) -> Option<R::Response> {
    client.request(request, version).await;
    let frame = client.frame().await?;
    let (_, mut response) = protocol::frame::decode_response::<R>(frame, version).unwrap();
    normalise(&mut response);
    Some(response)
}

/// Sentences for people differ; that there is none without an error does not.
fn hide_message(error_code: i16, message: &mut Option<String>) {
    if error_code != 0 {
        *message = None;
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn answers_are_those_of_kafka() {
    let Ok(address) = std::env::var("WATERTABLE_KAFKA") else {
        eprintln!("left out: WATERTABLE_KAFKA does not say where a Kafka is");
        return;
    };
    let kafka_address: SocketAddr = address.parse().unwrap();
    let server = Server::start_with(
        ServerOptions::default()
            .set("num.partitions", "4")
            .set("group.consumer.heartbeat.interval.ms", "1000")
            .set("group.consumer.min.heartbeat.interval.ms", "1000")
            .set("group.share.min.record.lock.duration.ms", "1000"),
    )
    .await;
    let mut pair = Pair {
        kafka: RawClient::connect(kafka_address).await,
        ours: RawClient::connect(server.address()).await,
        kafka_address,
        our_address: server.address(),
        differences: Vec::new(),
    };
    // A Kafka that was asked before still knows its topics.
    let run = format!("t{}", std::process::id());
    api_versions(&mut pair).await;
    create_topics(&mut pair, &run).await;
    metadata(&mut pair, &run).await;
    describe_topic_partitions(&mut pair, &run).await;
    offsets(&mut pair, &run).await;
    configs(&mut pair, &run).await;
    create_partitions(&mut pair, &run).await;
    cluster(&mut pair, &run).await;
    delete_topics(&mut pair, &run).await;
    assert!(
        pair.differences.is_empty(),
        "{} answers differ:\n{}",
        pair.differences.len(),
        pair.differences.join("\n")
    );
}

async fn api_versions(pair: &mut Pair) {
    let software = |name: &str, version: &str| ApiVersionsRequest {
        client_software_name: name.to_owned(),
        client_software_version: version.to_owned(),
    };
    for version in 0..=4 {
        let request = software("test", "1.0");
        let ours = pair.we_answer(version, &request, &|_| {}).await.unwrap();
        let keys: Vec<i16> = ours.api_keys.iter().map(|api| api.api_key).collect();
        pair.same(version, &request, |response| {
            // Advertised is what is built.
            response.api_keys.retain(|api| keys.contains(&api.api_key));
            response.api_keys.sort_by_key(|api| api.api_key);
            // Finalized and supported is what is built.
            response
                .supported_features
                .retain(|feature| feature.name == "metadata.version");
            response
                .finalized_features
                .retain(|feature| feature.name == "metadata.version");
            response.finalized_features_epoch = response.finalized_features_epoch.min(0);
        })
        .await;
    }
    pair.same(3, &software("", "1.0"), |_| {}).await;
    pair.same(3, &software("te st", "1.0"), |_| {}).await;
}

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

/// `write.caching` is ours alone. `min.insync.replicas` is a dynamic default of a new Kafka cluster, because the feature
/// `eligible.leader.replicas.version` is finalized there.
fn is_of_one(name: &str) -> bool {
    ["write.caching", "min.insync.replicas"].contains(&name)
}

async fn create_topics(pair: &mut Pair, run: &str) {
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

fn normal_metadata(response: &mut MetadataResponse) {
    response
        .topics
        .sort_by(|one, other| one.name.cmp(&other.name));
    response.cluster_id = response.cluster_id.as_ref().map(|_| String::new());
    for broker in &mut response.brokers {
        broker.host.clear();
        broker.port = 0;
    }
    for topic in &mut response.topics {
        topic.topic_id = Uuid([u8::from(!topic.topic_id.is_zero()); 16]);
        topic
            .partitions
            .sort_by_key(|partition| partition.partition_index);
        for partition in &mut topic.partitions {
            partition.leader_epoch = partition.leader_epoch.min(0);
        }
    }
}

async fn metadata(pair: &mut Pair, run: &str) {
    let named = |names: &[&str]| {
        let topic = |name: &&str| MetadataRequestTopic {
            name: some(name),
            topic_id: Uuid::ZERO,
        };
        let topics = Some(names.iter().map(topic).collect());
        MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..Default::default()
        }
    };
    let (one, three) = (format!("{run}-one"), format!("{run}-three"));
    let missing = format!("{run}-missing");
    for version in 4..=13 {
        let asked = named(&[
            &one,
            &three,
            &missing,
            "sp ace",
            "__transaction_state",
            &one,
        ]);
        pair.same(version, &asked, normal_metadata).await;
        pair.same(version, &named(&[]), normal_metadata).await;
        if version >= 8 {
            let operations = MetadataRequest {
                include_topic_authorized_operations: true,
                ..named(&[&one, &missing])
            };
            pair.same(version, &operations, normal_metadata).await;
        }
        if (8..=10).contains(&version) {
            let operations = MetadataRequest {
                include_cluster_authorized_operations: true,
                ..named(&[])
            };
            pair.same(version, &operations, normal_metadata).await;
        }
    }
    for version in [10, 11, 12, 13] {
        let topics = Some(vec![
            MetadataRequestTopic {
                name: None,
                topic_id: Uuid([7; 16]),
            },
            MetadataRequestTopic {
                name: some(&one),
                topic_id: Uuid::ZERO,
            },
        ]);
        let by_id = MetadataRequest {
            topics,
            include_topic_authorized_operations: true,
            ..Default::default()
        };
        pair.same(version, &by_id, normal_metadata).await;
    }
    // Versions before 4 create what they ask for; the answer says what was there before.
    for version in 0..=3 {
        let asked = MetadataRequest {
            allow_auto_topic_creation: true,
            ..named(&[&format!("{run}-auto-{version}"), &one])
        };
        pair.same(version, &asked, normal_metadata).await;
    }
    let create = MetadataRequest {
        allow_auto_topic_creation: true,
        ..named(&[&format!("{run}-created"), "sp ace"])
    };
    pair.same(13, &create, normal_metadata).await;
}

async fn describe_topic_partitions(pair: &mut Pair, run: &str) {
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

async fn offsets(pair: &mut Pair, run: &str) {
    let name = format!("{run}-three");
    for records in [
        &[
            (1_700_000_001_000, "a"),
            (1_700_000_003_000, "b"),
            (1_700_000_002_000, "c"),
        ][..],
        &[(1_700_000_002_500, "d")],
    ] {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for (timestamp, value) in records {
            builder
                .push(*timestamp, None, Some(value.as_bytes()), &[])
                .unwrap();
        }
        let records = Some(Records::from(builder.build().unwrap()));
        let partition_data = vec![PartitionProduceData { index: 0, records }];
        let topic_data = vec![TopicProduceData {
            name: name.clone(),
            partition_data,
            ..Default::default()
        }];
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 30_000,
            topic_data,
        };
        pair.same(12, &request, |_| {}).await;
    }
    let normalise = |response: &mut ListOffsetsResponse| {
        for partition in response
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            partition.leader_epoch = partition.leader_epoch.min(0);
        }
    };
    let list = |name: &str, partition_index, timestamp, current_leader_epoch| {
        let partitions = vec![ListOffsetsPartition {
            partition_index,
            timestamp,
            current_leader_epoch,
        }];
        let topics = vec![ListOffsetsTopic {
            name: name.to_owned(),
            partitions,
        }];
        ListOffsetsRequest {
            replica_id: -1,
            topics,
            ..Default::default()
        }
    };
    for version in 1..=11 {
        for timestamp in [
            -1,
            -2,
            -3,
            -4,
            -5,
            -6,
            -7,
            0,
            1_700_000_001_000,
            1_700_000_001_001,
            1_700_000_002_500,
            1_700_000_003_001,
        ] {
            for partition in [0, 1, 3] {
                pair.same(version, &list(&name, partition, timestamp, -1), normalise)
                    .await;
            }
        }
        if version >= 4 {
            pair.same(version, &list(&name, 0, -1, 1000), normalise)
                .await;
            pair.same(
                version,
                &list(&format!("{run}-missing"), 0, -1, -1),
                normalise,
            )
            .await;
        }
    }
    let normalise = |response: &mut OffsetForLeaderEpochResponse| {
        for partition in response
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            partition.leader_epoch = partition.leader_epoch.min(0);
        }
    };
    // The epochs in which the two lead have other numbers.
    let latest = list(&name, 0, -1, -1);
    let epoch = |response: ListOffsetsResponse| response.topics[0].partitions[0].leader_epoch;
    let of_kafka = epoch(pair.kafka_answers(11, &latest, &|_| {}).await.unwrap());
    let of_us = epoch(pair.we_answer(11, &latest, &|_| {}).await.unwrap());
    let epoch_end = |topic: &str, partition, leader_epoch, current_leader_epoch| {
        let partitions = vec![OffsetForLeaderPartition {
            partition,
            current_leader_epoch,
            leader_epoch,
        }];
        let topics = vec![OffsetForLeaderTopic {
            topic: topic.to_owned(),
            partitions,
        }];
        OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics,
        }
    };
    for version in 2..=4 {
        for (topic, partition, above) in [
            (&*name, 0, 0),
            (&*name, 0, 1),
            (&*name, 1, 0),
            (&*name, 9, 0),
            ("missing", 0, 0),
        ] {
            let asked = |epoch: i32| epoch_end(topic, partition, epoch + above, -1);
            pair.same_of(version, &asked(of_kafka), &asked(of_us), normalise)
                .await;
        }
        for current_leader_epoch in [-1, 1000] {
            let asked = epoch_end(&name, 0, -1, current_leader_epoch);
            pair.same(version, &asked, normalise).await;
        }
    }
    let compacted = format!("{run}-configured");
    for (topic, partition_index, offset) in [
        (&*name, 0, 2),
        (&*name, 0, 1),
        (&*name, 0, 5),
        (&*name, 0, -2),
        (&*name, 0, -1),
        (&*name, 9, 0),
        ("missing", 0, 0),
        (&*compacted, 0, 0),
    ] {
        let partitions = vec![DeleteRecordsPartition {
            partition_index,
            offset,
        }];
        let topics = vec![DeleteRecordsTopic {
            name: topic.to_owned(),
            partitions,
        }];
        let request = DeleteRecordsRequest {
            topics,
            timeout_ms: 30_000,
        };
        for version in 0..=2 {
            pair.same(version, &request, |_| {}).await;
        }
    }
    // Kafka still finds deleted records by their time while their segment is there; we do not.
    for timestamp in [-1, -2, 1_700_000_003_001] {
        pair.same(11, &list(&name, 0, timestamp, -1), normalise_epochs)
            .await;
    }
}

fn normalise_epochs(response: &mut ListOffsetsResponse) {
    for partition in response
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions)
    {
        partition.leader_epoch = partition.leader_epoch.min(0);
    }
}

/// Settings whose values describe the machine, the release or this set-up.
fn is_of_the_set_up(name: &str) -> bool {
    [
        "listener",
        "advertised",
        "log.dir",
        "controller",
        "process.roles",
        "node.id",
        "broker.id",
        "authorizer",
        "allow.everyone.if.no.acl.found",
        "group.initial.rebalance.delay.ms",
        "replication.factor",
        ".min.isr",
    ]
    .iter()
    .any(|part| name.contains(part))
}

async fn configs(pair: &mut Pair, run: &str) {
    let describe = |resource_type, name: &str, keys: Option<&[&str]>| DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        }],
        include_synonyms: true,
        include_documentation: false,
    };
    let normalise = |response: &mut DescribeConfigsResponse| {
        for result in &mut response.results {
            hide_message(result.error_code, &mut result.error_message);
            result
                .configs
                .sort_by(|one, other| one.name.cmp(&other.name));
            result
                .configs
                .retain(|config| !is_of_one(&config.name) && !is_of_the_set_up(&config.name));
        }
    };
    let (one, kept) = (format!("{run}-one"), format!("{run}-kept"));
    for version in 1..=4 {
        pair.same(
            version,
            &DescribeConfigsRequest {
                include_documentation: false,
                ..describe(TOPIC, &one, None)
            },
            normalise,
        )
        .await;
    }
    for request in [
        describe(TOPIC, &kept, None),
        describe(TOPIC, &one, Some(&["retention.ms", "nothing"])),
        describe(TOPIC, &one, Some(&[])),
        describe(TOPIC, "missing", None),
        describe(TOPIC, "sp ace", None),
        describe(TOPIC, "", None),
        describe(BROKER, "", None),
        describe(BROKER, "7", None),
        describe(BROKER, "one", None),
        describe(GROUP, "readers", None),
        describe(GROUP, "", None),
        describe(8, "", None),
        describe(8, "7", None),
        describe(99, "x", None),
    ] {
        pair.same(4, &request, normalise).await;
    }
    broker_configs(pair, &describe(BROKER, "1", None)).await;

    let change = |name: &str, config_operation, value: Option<&str>| AlterableConfig {
        name: name.to_owned(),
        config_operation,
        value: value.map(str::to_owned),
    };
    let alter = |resource_type, name: &str, configs: Vec<AlterableConfig>| AlterConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configs,
    };
    let normal_altered = |response: &mut IncrementalAlterConfigsResponse| {
        response
            .responses
            .sort_by(|one, other| one.resource_name.cmp(&other.resource_name));
        for result in &mut response.responses {
            hide_message(result.error_code, &mut result.error_message);
        }
    };
    let set = |name, value| change(name, 0, Some(value));
    for (resources, described) in [
        (
            vec![alter(
                TOPIC,
                &one,
                vec![set("retention.ms", "5000"), set("flush.ms", "7")],
            )],
            (TOPIC, one.as_str()),
        ),
        (
            vec![alter(TOPIC, &one, vec![change("retention.ms", 1, None)])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("cleanup.policy", 2, Some("compact"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("cleanup.policy", 3, Some("delete"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("cleanup.policy", 3, Some("compact"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("retention.ms", 2, Some("1"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, &one, vec![set("no.such.setting", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, &one, vec![set("retention.ms", "x")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, &one, vec![change("retention.ms", 0, None)])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![set("retention.ms", "1"), change("retention.ms", 1, None)],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![
                    set("min.compaction.lag.ms", "9"),
                    set("max.compaction.lag.ms", "8"),
                ],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, "missing", vec![set("retention.ms", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, "", vec![set("retention.ms", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, "sp ace", vec![set("retention.ms", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                BROKER,
                "",
                vec![set("log.retention.bytes", "12345678")],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                BROKER,
                "1",
                vec![set("log.retention.bytes", "23456789")],
            )],
            (TOPIC, &one),
        ),
        (vec![alter(BROKER, "", vec![])], (BROKER, "")),
        (
            vec![alter(
                BROKER,
                "1",
                vec![change("log.retention.bytes", 1, None)],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                BROKER,
                "",
                vec![change("log.retention.bytes", 1, None)],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "1", vec![set("node.id", "5")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "", vec![set("log.retention.bytes", "x")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "7", vec![set("log.retention.bytes", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "one", vec![set("log.retention.bytes", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                GROUP,
                "readers",
                vec![set("consumer.session.timeout.ms", "50000")],
            )],
            (GROUP, "readers"),
        ),
        (
            vec![alter(
                GROUP,
                "readers",
                vec![set("consumer.session.timeout.ms", "1")],
            )],
            (GROUP, "readers"),
        ),
        (
            vec![alter(GROUP, "readers", vec![set("no.such.setting", "1")])],
            (GROUP, "readers"),
        ),
        (
            vec![alter(
                GROUP,
                "readers",
                vec![change("consumer.session.timeout.ms", 1, None)],
            )],
            (GROUP, "readers"),
        ),
        (
            vec![alter(
                GROUP,
                "",
                vec![set("consumer.session.timeout.ms", "50000")],
            )],
            (GROUP, "readers"),
        ),
        (vec![alter(99, "x", vec![set("a", "b")])], (TOPIC, &one)),
        (
            vec![
                alter(TOPIC, &one, vec![set("retention.ms", "1")]),
                alter(TOPIC, &one, vec![]),
            ],
            (TOPIC, &one),
        ),
    ] {
        for validate_only in [true, false] {
            let request = IncrementalAlterConfigsRequest {
                resources: resources.clone(),
                validate_only,
            };
            for version in [0, 1] {
                pair.same(version, &request, normal_altered).await;
            }
            pair.same_soon(4, &describe(described.0, described.1, None), normalise)
                .await;
        }
    }
}

/// The settings of a broker that both know: type, whether they can be altered, whether they are secret, and the value.
async fn broker_configs(pair: &mut Pair, request: &DescribeConfigsRequest) {
    let kafka = pair
        .kafka_answers(4, request, &|_| {})
        .await
        .unwrap()
        .results
        .remove(0)
        .configs;
    let ours = pair
        .we_answer(4, request, &|_| {})
        .await
        .unwrap()
        .results
        .remove(0)
        .configs;
    for expected in &kafka {
        let Some(found) = ours.iter().find(|config| config.name == expected.name) else {
            pair.differences
                .push(format!("the broker setting {} is unknown", expected.name));
            continue;
        };
        let shape = |config: &describe_configs_response::DescribeConfigsResourceResult| {
            let value = if is_of_the_set_up(&config.name) {
                None
            } else {
                config.value.clone()
            };
            (
                config.config_type,
                config.read_only,
                config.is_sensitive,
                value,
            )
        };
        // The authorizer's own, which Kafka's table of settings does not know.
        if expected.name != "allow.everyone.if.no.acl.found" && shape(expected) != shape(found) {
            let difference = format!(
                "{}:\n  kafka: {:?}\n  ours:  {:?}",
                expected.name,
                shape(expected),
                shape(found)
            );
            pair.differences.push(difference);
        }
    }
}

async fn create_partitions(pair: &mut Pair, run: &str) {
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

async fn cluster(pair: &mut Pair, run: &str) {
    for version in 0..=2 {
        for endpoint_type in [1, 2, 9] {
            if version == 0 && endpoint_type != 1 {
                continue;
            }
            for include_cluster_authorized_operations in [false, true] {
                let request = DescribeClusterRequest {
                    include_cluster_authorized_operations,
                    endpoint_type,
                    include_fenced_brokers: version == 2,
                };
                pair.same(version, &request, |response| {
                    response.cluster_id = String::new();
                    hide_message(response.error_code, &mut response.error_message);
                    for broker in &mut response.brokers {
                        broker.host.clear();
                        broker.port = 0;
                    }
                })
                .await;
            }
        }
    }
    for version in 1..=4 {
        let topics = Some(vec![
            DescribableLogDirTopic {
                topic: format!("{run}-one"),
                partitions: vec![0, 9],
            },
            DescribableLogDirTopic {
                topic: "missing".to_owned(),
                partitions: vec![0],
            },
        ]);
        pair.same(version, &DescribeLogDirsRequest { topics }, |response| {
            for result in &mut response.results {
                result.log_dir.clear();
                result.total_bytes = result.total_bytes.min(0);
                result.usable_bytes = result.usable_bytes.min(0);
            }
        })
        .await;
    }
    for (transactional_id, producer_id, producer_epoch, transaction_timeout_ms) in [
        (None, -1, -1, 0),
        (None, 7, 3, 0),
        (None, 7, -1, 0),
        (None, -1, 3, 0),
        (some(""), -1, -1, 1000),
        (some("t"), -1, -1, 0),
        (some("t"), -1, -1, 900_001),
    ] {
        let request = InitProducerIdRequest {
            transactional_id,
            transaction_timeout_ms,
            producer_id,
            producer_epoch,
            ..Default::default()
        };
        // Versions below 3 have no place for the producer's own id.
        let first = if producer_id == -1 && producer_epoch == -1 {
            0
        } else {
            3
        };
        for version in first..=5 {
            pair.same(version, &request, |response| {
                response.producer_id = response.producer_id.min(0)
            })
            .await;
        }
    }
}

async fn delete_topics(pair: &mut Pair, run: &str) {
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
