//! What the broker shows to who looks at it from inside, beside what its clients do.

use std::sync::Arc;

use broker::View;
use broker::view::{GroupDescription, GroupOffsetView, GroupType, GroupView};
use metadata::settings::Resource;
use protocol::Uuid;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::*;
use protocol::records::BatchOptions;
use testkit::requests::{CREATE, PRODUCE, batch, produce, topic};
use testkit::{RawClient, Server, ServerOptions, eventually};
use types::Offset;

use crate::{consumer_groups, groups, shares, streams_groups, transactional_data};

async fn wide_topic(client: &mut RawClient, name: &str, partitions: i32) {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 60_000,
        ..Default::default()
    };
    let answer = client.call(&request, CREATE).await;
    assert_eq!(answer.topics[0].error_code, 0);
}

async fn send(client: &mut RawClient, topic: &str, values: &[&str]) {
    let records = batch(BatchOptions::default(), values);
    let answer = client.call(&produce(topic, -1, records), PRODUCE).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

fn at(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

#[tokio::test]
async fn topics_partitions_and_segments_are_shown() {
    let server = Server::start().await;
    let view = server.broker().view();
    let mut client = RawClient::connect(server.address()).await;
    wide_topic(&mut client, "trips", 2).await;
    topic(&mut client, "big", &[("segment.bytes", "1048576")]).await;
    send(&mut client, "trips", &["a", "b", "c"]).await;
    let names: Vec<_> = view
        .topics()
        .iter()
        .map(|topic| topic.name.to_string())
        .collect();
    assert_eq!(names, ["big", "trips"]);
    let first = view.partition("trips", 0).unwrap();
    assert_eq!(first.leader.map(|broker| broker.0), Some(1));
    assert!(!first.is_offline);
    let offsets = first.offsets.unwrap();
    assert_eq!((offsets.log_start, offsets.log_end), (at(0), at(3)));
    assert_eq!(
        (offsets.last_stable, offsets.high_watermark),
        (at(3), at(3))
    );
    let empty = view.partition("trips", 1).unwrap();
    assert_eq!(empty.offsets.unwrap().log_end, at(0));
    assert_eq!(empty.size_bytes, Some(0));
    assert_eq!(view.partition("trips", 2), None);
    assert_eq!(view.partition("trips", -1), None);
    assert_eq!(view.partition("nothing", 0), None);
    assert!(view.segments("trips", 1).is_empty() && view.segments("nothing", 0).is_empty());

    let large = "x".repeat(600_000);
    for _ in 0..3 {
        send(&mut client, "big", &[&large]).await;
    }
    let segments = view.segments("big", 0);
    let ranges: Vec<_> = segments
        .iter()
        .map(|segment| {
            (
                segment.base,
                segment.end,
                segment.is_active,
                segment.is_lost,
            )
        })
        .collect();
    assert_eq!(
        ranges,
        [
            (at(0), at(1), false, false),
            (at(1), at(2), false, false),
            (at(2), at(3), true, false)
        ]
    );
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    assert_eq!(view.partition("big", 0).unwrap().size_bytes, Some(bytes));
    assert!(bytes > 1_800_000);
    let time = segments[0].largest_timestamp.map(types::Timestamp::ms);
    assert_eq!(time, Some(1_700_000_000_000));
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_partitions_are_looked_at_one_by_one() {
    let server = Server::start().await;
    let mut client = RawClient::connect(server.address()).await;
    for number in 0..10 {
        wide_topic(&mut client, &format!("wide-{number}"), 1_000).await;
    }
    send(&mut client, "wide-3", &["a", "b"]).await;
    let view = server.broker().view();
    let mut ends = 0;
    for topic in view.topics() {
        for partition in 0..topic.partitions {
            let name = topic.name.as_str();
            let offsets = view.partition(name, partition).unwrap().offsets.unwrap();
            ends += offsets.high_watermark.value();
            let segments = view.segments(name, partition).len();
            assert_eq!(segments, usize::from(name == "wide-3" && partition == 0));
        }
    }
    assert_eq!(ends, 2);
    // Looking leaves nothing on the disk.
    let logs = std::fs::read_dir(server.data_directory().join("logs")).unwrap();
    assert_eq!(logs.count(), 1);
    server.stop().await;
}

/// The group with its description and its offsets.
async fn look(view: &View, group: &str) -> (GroupView, GroupDescription, Vec<GroupOffsetView>) {
    let all = view.groups().await.unwrap();
    let found = all.into_iter().find(|found| found.group.as_str() == group);
    let found = found.unwrap_or_else(|| panic!("there is no group {group}"));
    let described = view
        .describe_group(&found)
        .await
        .unwrap()
        .unwrap_or_default();
    let offsets = view.group_offsets(&found).await.unwrap();
    (found, described, offsets)
}

#[tokio::test]
async fn a_classic_group_shows_what_its_leader_assigned_and_its_lag() {
    let server = Server::start().await;
    let view = server.broker().view();
    assert!(view.groups().await.unwrap().is_empty());
    let mut client = RawClient::connect(server.address()).await;
    wide_topic(&mut client, "t", 3).await;
    send(&mut client, "t", &["a", "b", "c"]).await;
    groups::coordinated(&mut client, "g").await;
    let (member_id, generation_id) = groups::joined_alone(&mut client, "g", 9).await;
    // Version 0; topic t with the partitions 0 and 2; no user data.
    let assignment = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x02\xff\xff\xff\xff";
    let sync = SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id,
        member_id: member_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: assignment.as_slice().into(),
        }],
        ..Default::default()
    };
    assert_eq!(client.call(&sync, 5).await.error_code, 0);
    let mut commit = groups::commit("g", "t", Uuid::ZERO, 1);
    commit.generation_id_or_member_epoch = generation_id;
    commit.member_id = member_id.clone();
    commit.topics[0]
        .partitions
        .push(OffsetCommitRequestPartition {
            partition_index: 1,
            committed_offset: 5,
            committed_leader_epoch: 0,
            committed_metadata: None,
        });
    let answer = client.call(&commit, 9).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);

    let (group, described, offsets) = look(&view, "g").await;
    assert_eq!((group.kind, group.state), (GroupType::Classic, "Stable"));
    assert_eq!(group.protocol_type.as_deref(), Some("consumer"));
    assert!(group.coordinator.is_some());
    assert_eq!(
        (described.protocol.as_deref(), described.epoch),
        (Some("range"), None)
    );
    let [member] = described.members.as_slice() else {
        panic!("{described:?}")
    };
    assert_eq!(member.member.as_str(), member_id);
    assert_eq!(
        (&*member.client_id, &*member.client_host),
        ("testkit", "/127.0.0.1")
    );
    assert_eq!(member.assignment, ["t-0", "t-2"]);
    let stands: Vec<_> = offsets
        .iter()
        .map(|one| {
            (
                one.partition.value(),
                one.offset,
                one.high_watermark,
                one.lag,
            )
        })
        .collect();
    // Whoever is ahead of the log has a negative lag, as in Kafka's tools.
    assert_eq!(
        stands,
        [(0, 1, Some(at(3)), Some(2)), (1, 5, Some(at(0)), Some(-5))]
    );
    assert_eq!(offsets[0].metadata.as_deref(), Some("note"));
    assert!(offsets[0].committed.is_some());
    assert_eq!(
        offsets[1].leader_epoch.map(types::LeaderEpoch::value),
        Some(0)
    );

    // The group is of nobody's and its topic is gone: what was committed is forgotten with it.
    let delete = DeleteTopicsRequest {
        topic_names: vec!["t".to_owned()],
        timeout_ms: 10_000,
        ..Default::default()
    };
    assert_eq!(client.call(&delete, 5).await.responses[0].error_code, 0);
    eventually("the offsets are forgotten", async || {
        look(&view, "g").await.2.is_empty()
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_consumer_group_shows_its_members() {
    let server = Server::start().await;
    let view = server.broker().view();
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "flights", &[]).await;
    consumer_groups::coordinated(&mut client, "readers").await;
    let joining = consumer_groups::joining("readers", "a");
    assert_eq!(
        consumer_groups::heartbeat(&mut client, &joining, 1)
            .await
            .error_code,
        0
    );
    let (group, described, offsets) = look(&view, "readers").await;
    assert_eq!((group.kind, group.state), (GroupType::Consumer, "Stable"));
    assert_eq!(
        (described.protocol.as_deref(), described.epoch),
        (Some("uniform"), Some(1))
    );
    let [member] = described.members.as_slice() else {
        panic!("{described:?}")
    };
    assert_eq!((member.member.as_str(), member.epoch), ("a", Some(1)));
    assert_eq!(member.assignment, ["flights-0"]);
    assert!(offsets.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_streams_group_shows_its_active_tasks() {
    let options = ServerOptions::default().set("group.streams.initial.rebalance.delay.ms", "0");
    let server = Server::start_with(options).await;
    let view = server.broker().view();
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "lines", &[]).await;
    streams_groups::coordinated(&mut client).await;
    let joined = client
        .call(&streams_groups::join(streams_groups::topology(0)), 0)
        .await;
    streams_groups::assigned(&mut client, joined.member_epoch).await;
    let (group, described, _) = look(&view, "application").await;
    assert_eq!(group.kind, GroupType::Streams);
    assert_eq!(described.members[0].assignment, ["0_0"]);
    assert!(described.members[0].epoch > Some(0));
    server.stop().await;
}

#[tokio::test]
async fn a_share_group_shows_its_start_offset_and_what_is_left() {
    let server = Server::start().await;
    let view = server.broker().view();
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "jobs", &[]).await;
    shares::configure(&mut client, "share.auto.offset.reset", "earliest").await;
    shares::send(&mut client, &[5]).await;
    let mut member = shares::Member::join(&server, "reader").await;
    eventually("records are handed out", async || {
        !member.fetch(100, 10).await.is_empty()
    })
    .await;
    assert_eq!(member.acknowledge(0, 1, shares::ACCEPT).await, 0);
    let (group, described, _) = look(&view, "workers").await;
    assert_eq!((group.kind, group.state), (GroupType::Share, "Stable"));
    assert_eq!(described.protocol.as_deref(), Some("simple"));
    assert_eq!(described.members[0].assignment, ["jobs-0"]);
    eventually("what was acknowledged is settled", async || {
        let (_, _, offsets) = look(&view, "workers").await;
        let stands: Vec<_> = offsets
            .iter()
            .map(|one| (one.topic.as_str(), one.offset, one.high_watermark, one.lag))
            .collect();
        // The start offset follows later; what is settled behind it is known.
        matches!(stands.as_slice(), [("jobs", 0 | 2, Some(end), Some(3))] if *end == at(5))
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn transactions_and_producers_are_shown() {
    let server = Server::start().await;
    let view = server.broker().view();
    assert!(view.transactions().await.unwrap().is_empty());
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "t", &[]).await;
    let mut producer = transactional_data::Producer::init(&mut client, "tx").await;
    let version = transactional_data::PRODUCE_V2;
    assert_eq!(
        producer.send(&mut client, "t", &["a", "b"], version).await,
        0
    );

    let [id] = view.transactions().await.unwrap().try_into().unwrap();
    let open = view.describe_transaction(id).await.unwrap().unwrap();
    assert_eq!((open.id.as_str(), open.state), ("tx", "Ongoing"));
    assert_eq!(open.timeout_ms, 60_000);
    assert!(open.started.is_some() && open.coordinator.is_some());
    let partitions: Vec<_> = open.partitions.iter().map(ToString::to_string).collect();
    assert_eq!(partitions, ["t-0"]);
    let [known] = view.producers("t", 0).try_into().unwrap();
    assert_eq!(
        (known.producer, known.last_sequence),
        (open.producer, Some(1))
    );
    assert_eq!(known.transaction_start, Some(at(0)));
    let offsets = view.partition("t", 0).unwrap().offsets.unwrap();
    assert_eq!(
        (offsets.last_stable, offsets.high_watermark),
        (at(0), at(2))
    );

    producer
        .end(&mut client, true, transactional_data::END_V2)
        .await;
    eventually("the transaction is over", async || {
        let described = view.describe_transaction(open.id.clone()).await;
        described.unwrap().unwrap().state == "CompleteCommit"
    })
    .await;
    assert_eq!(view.producers("t", 0)[0].transaction_start, None);
    let unknown = types::TransactionalId::new("nobody");
    assert_eq!(view.describe_transaction(unknown).await.unwrap(), None);
    assert!(view.producers("t", 7).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn settings_are_shown_and_secrets_are_not() {
    const SECRET: &str = "do-not-tell";
    let options = ServerOptions::default().set("sasl.jaas.config", SECRET);
    let server = Server::start_with(options).await;
    let view = server.broker().view();
    let mut client = RawClient::connect(server.address()).await;
    topic(&mut client, "trips", &[("retention.ms", "5000")]).await;
    shares::configure(&mut client, "share.auto.offset.reset", "earliest").await;
    let expected = [
        Resource::Broker(1),
        Resource::Topic(types::TopicName::new("trips")),
        Resource::Group(Arc::from("workers")),
    ];
    assert_eq!(view.resources(), expected);
    let value = |resource: &Resource, name: &str| {
        let entries = view.settings(resource).into_iter();
        let mut found = entries.filter(|entry| entry.name == name);
        found.next().unwrap()
    };
    let retention = value(&expected[1], "retention.ms");
    assert_eq!(retention.value.as_deref(), Some("5000"));
    assert_eq!(retention.source, metadata::settings::ConfigSource::Topic);
    let reset = value(&expected[2], "share.auto.offset.reset");
    assert_eq!(reset.value.as_deref(), Some("earliest"));
    let secret = value(&expected[0], "sasl.jaas.config");
    assert!(secret.sensitive && secret.value.is_none());
    for entry in view.settings(&expected[0]) {
        let told = format!("{entry:?}");
        assert!(!told.contains(SECRET), "{told}");
    }
    assert!(
        view.settings(&Resource::Topic(types::TopicName::new("gone")))
            .is_empty()
    );
    server.stop().await;
}

#[tokio::test]
async fn connections_are_shown_as_long_as_they_are_open() {
    let server = Server::start().await;
    let view = server.broker().view();
    let mut client = RawClient::connect(server.address()).await;
    let silent = RawClient::connect(server.address()).await;
    let hello = ApiVersionsRequest {
        client_software_name: "testkit".to_owned(),
        client_software_version: "1.2".to_owned(),
    };
    assert_eq!(client.call(&hello, 3).await.error_code, 0);
    topic(&mut client, "t", &[]).await;
    eventually("both are accepted", async || view.connections().len() == 2).await;
    let [speaks, quiet] = view.connections().try_into().unwrap();
    assert_eq!(speaks.client_id.as_deref(), Some("testkit"));
    let software = speaks.software.unwrap();
    assert_eq!((&*software.0, &*software.1), ("testkit", "1.2"));
    assert_eq!(speaks.requests, 2);
    assert!(speaks.received_bytes > 50 && speaks.sent_bytes > speaks.received_bytes);
    assert!(speaks.peer.ip().is_loopback() && speaks.id < quiet.id);
    assert_eq!(
        (quiet.requests, quiet.received_bytes, quiet.client_id),
        (0, 0, None)
    );
    drop(silent);
    eventually("it is gone", async || view.connections().len() == 1).await;
    server.stop().await;
}
