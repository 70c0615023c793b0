//! Administration.

use std::collections::BTreeMap;

use client::admin::{
    ConfigChange, ConfigOperation, ConfigResource, ConfigSource, NewTopic, alter_configs,
    api_versions, create_partitions, create_topics, delete_groups, delete_records, delete_topics,
    describe_cluster, describe_configs, describe_group, describe_log_dirs, list_groups,
};
use client::{
    CommitOffset, GroupCoordinator, Isolation, OffsetSpec, Producer, ProducerConfig,
    ProducerRecord, Target as BrokerTarget, TopicSelection, commit_offsets, list_offsets,
};
use protocol::ErrorCode;
use testkit::eventually;

use crate::{Target, place, unique};

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_grown_and_deleted() {
    let target = Target::start().await;
    let cluster = &target.cluster;
    let name = unique("life").as_ref().to_owned();
    let topic = NewTopic {
        name: name.clone(),
        partitions: Some(2),
        ..NewTopic::default()
    };
    let checked = create_topics(cluster, std::slice::from_ref(&topic), true).await;
    assert!(checked.expect("it answers")[&name].is_ok());
    let created = create_topics(cluster, std::slice::from_ref(&topic), false).await;
    assert!(
        created.expect("it answers")[&name].is_ok(),
        "checking creates nothing"
    );
    let again = create_topics(cluster, &[topic], false)
        .await
        .expect("it answers");
    assert!(
        again[&name]
            .as_ref()
            .is_err_and(|e| e.is(ErrorCode::TopicAlreadyExists))
    );
    let grown = create_partitions(cluster, &BTreeMap::from([(name.clone(), 5)]), false).await;
    assert!(grown.expect("it answers")[&name].is_ok());
    eventually("the topic grows", async || {
        let topic = cluster.refresh_topic(&name.as_str().into(), false).await;
        topic.is_ok_and(|topic| topic.partition_count() == 5)
    })
    .await;
    let shrunk = create_partitions(cluster, &BTreeMap::from([(name.clone(), 1)]), false).await;
    let shrunk = shrunk.expect("it answers");
    assert!(
        shrunk[&name]
            .as_ref()
            .is_err_and(|e| e.is(ErrorCode::InvalidPartitions))
    );
    let deleted = delete_topics(cluster, std::slice::from_ref(&name)).await;
    assert!(deleted.expect("it answers")[&name].is_ok());
    eventually("the topic goes", async || {
        let all = cluster.fetch_metadata(TopicSelection::All, false).await;
        all.is_ok_and(|all| !all.topics.contains_key(name.as_str()))
    })
    .await;
    let gone = delete_topics(cluster, std::slice::from_ref(&name))
        .await
        .expect("it answers");
    assert!(
        gone[&name]
            .as_ref()
            .is_err_and(|e| e.is(ErrorCode::UnknownTopicOrPartition))
    );
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_topic_are_set_and_deleted() {
    let target = Target::start().await;
    let cluster = &target.cluster;
    let topic = target
        .topic_with("settings", 1, &[("retention.ms", "1000")])
        .await;
    let resource = ConfigResource::Topic(topic.as_ref().to_owned());
    let retention = async || {
        let names = ["retention.ms".to_owned()];
        let entries = describe_configs(cluster, &resource, Some(&names), false).await;
        let entries = entries.expect("it answers");
        assert_eq!(entries.len(), 1);
        (entries[0].value.clone(), entries[0].source)
    };
    assert_eq!(
        retention().await,
        (Some("1000".to_owned()), ConfigSource::Topic)
    );
    let change = |operation| ConfigChange {
        name: "retention.ms".to_owned(),
        operation,
    };
    let set = [change(ConfigOperation::Set("2000".to_owned()))];
    alter_configs(cluster, &resource, &set, true)
        .await
        .expect("it could");
    assert_eq!(
        retention().await.0.as_deref(),
        Some("1000"),
        "checking changes nothing"
    );
    alter_configs(cluster, &resource, &set, false)
        .await
        .expect("it does");
    eventually("the setting changes", async || {
        retention().await.0.as_deref() == Some("2000")
    })
    .await;
    let bad = [change(ConfigOperation::Set("often".to_owned()))];
    assert!(
        alter_configs(cluster, &resource, &bad, false)
            .await
            .is_err()
    );
    let delete = [change(ConfigOperation::Delete)];
    alter_configs(cluster, &resource, &delete, false)
        .await
        .expect("it does");
    eventually("the default counts again", async || {
        retention().await.1 != ConfigSource::Topic
    })
    .await;
    let all = describe_configs(cluster, &resource, None, true)
        .await
        .expect("it answers");
    assert!(all.len() > 20, "{}", all.len());
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_before_an_offset_are_deleted() {
    let target = Target::start().await;
    let cluster = &target.cluster;
    let topic = target.topic("trim", 1).await;
    let producer = Producer::new(cluster.clone(), ProducerConfig::default());
    for _ in 0..20 {
        let record = ProducerRecord::default();
        producer.send(&topic, record).await.expect("there is room");
    }
    producer.flush().await.expect("the broker takes them");
    let before = |offset| BTreeMap::from([(place(&topic, 0), offset)]);
    let deleted = delete_records(cluster, &before(5))
        .await
        .expect("it answers");
    assert_eq!(deleted[&place(&topic, 0)], Ok(5));
    let beyond = delete_records(cluster, &before(1000))
        .await
        .expect("it answers");
    let beyond = &beyond[&place(&topic, 0)];
    assert!(
        beyond
            .as_ref()
            .is_err_and(|e| e.is(ErrorCode::OffsetOutOfRange))
    );
    let all = delete_records(cluster, &before(-1))
        .await
        .expect("it answers");
    assert_eq!(all[&place(&topic, 0)], Ok(20));
    let start = BTreeMap::from([(place(&topic, 0), OffsetSpec::Earliest)]);
    let start = list_offsets(cluster, &start, Isolation::ReadUncommitted).await;
    assert_eq!(
        start.expect("it answers")[&place(&topic, 0)].offset,
        Some(20)
    );
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_describes_itself() {
    let target = Target::start().await;
    let cluster = &target.cluster;
    let topic = target.topic("described", 3).await;
    let described = describe_cluster(cluster).await.expect("it answers");
    assert_eq!(described.brokers.len(), 1);
    assert!(!described.cluster_id.is_empty());
    let id = described.brokers[0].id;
    let versions = api_versions(cluster, BrokerTarget::Broker(id))
        .await
        .expect("it answers");
    assert!(versions.ranges.len() > 20, "{versions:?}");
    // Kafka makes the folders of a new topic a moment after it is known.
    eventually("the partitions lie in a folder", async || {
        let dirs = describe_log_dirs(cluster).await.expect("it answers");
        let dirs = dirs[&id].as_ref().expect("its folders");
        let own = dirs.iter().flat_map(|dir| &dir.partitions);
        let own = own.filter(|partition| partition.partition.topic == topic);
        own.count() == 3
    })
    .await;
    let resource = ConfigResource::Broker(id);
    let entries = describe_configs(cluster, &resource, None, false).await;
    assert!(!entries.expect("it answers").is_empty());
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_described_and_deleted() {
    let target = Target::start().await;
    let cluster = &target.cluster;
    let topic = target.topic("grouped", 1).await;
    let group = unique("listed").as_ref().to_owned();
    let coordinator = GroupCoordinator::new(cluster.clone(), group.as_str());
    let offsets = BTreeMap::from([(place(&topic, 0), CommitOffset::new(0))]);
    commit_offsets(&coordinator, None, &offsets)
        .await
        .expect("it takes them");
    let listed = list_groups(cluster, &[], &[]).await.expect("it answers");
    let found = listed
        .iter()
        .find(|listed| listed.group_id == group)
        .expect("it is listed");
    assert_eq!(found.state, "Empty");
    let stable = list_groups(cluster, &["Stable".to_owned()], &[])
        .await
        .expect("it answers");
    assert!(stable.iter().all(|listed| listed.group_id != group));
    let described = describe_group(cluster, &group).await.expect("it exists");
    assert_eq!(
        (described.state.as_str(), described.members.len()),
        ("Empty", 0)
    );
    let deleted = delete_groups(cluster, std::slice::from_ref(&group)).await;
    assert_eq!(deleted.expect("it answers")[&group], Ok(()));
    let gone = describe_group(cluster, &group)
        .await
        .expect_err("it is gone");
    assert!(gone.to_string().contains("describe group"), "{gone}");
    let again = delete_groups(cluster, std::slice::from_ref(&group))
        .await
        .expect("it answers");
    assert!(
        again[&group]
            .as_ref()
            .is_err_and(|e| e.is(ErrorCode::GroupIdNotFound))
    );
    target.stop().await;
}
