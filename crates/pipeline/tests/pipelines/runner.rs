//! Pipelines that run against a real broker.

mod apart;
mod at_least_once;
mod back;
mod desk;
mod files;
mod interrupted;
mod outside;
mod tables;
mod times;
mod topics;
mod troubles;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::admin::{NewTopic, create_partitions, create_topics};
use client::{
    Cluster, Consumer, ConsumerConfig, Isolation, OffsetSpec, Producer, ProducerConfig,
    ProducerRecord, list_offsets,
};
use pipeline::control::record::{ResolvedInput, SourceRecord};
use pipeline::control::{Action, Change, PipelineState, Writer, topics as control_topics};
use pipeline::engine::{Compiled, InputTable, Metadata, Options};
use pipeline::runner::{Worker, WorkerOptions};
use pipeline::secrets::Secrets;
use spec::{File, Source, Surroundings};

use crate::control::{World, deployment, environment, version};

const ENV: &str = "prod";

pub(crate) fn worker(cluster: Cluster) -> Worker {
    let options = WorkerOptions {
        threads: 2,
        memory_bytes_max: 64 << 20,
        secrets: Secrets::default(),
        priority: None,
        pace: None,
    };
    Worker::start(cluster, options).expect("threads")
}

pub(crate) async fn create(cluster: &Cluster, name: &str, partitions: i32, compact: bool) {
    let policy = if compact { "compact" } else { "delete" };
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        configs: BTreeMap::from([("cleanup.policy".to_owned(), policy.to_owned())]),
        ..NewTopic::default()
    };
    let created = create_topics(cluster, &[topic], false)
        .await
        .expect("an answer");
    created[name].as_ref().expect("it is created");
}

/// Has a topic have so many partitions.
pub(crate) async fn add_partitions(cluster: &Cluster, name: &str, all: i32) {
    let wanted = [(name.to_owned(), all)].into();
    let created = create_partitions(cluster, &wanted, false)
        .await
        .expect("an answer");
    created[name].as_ref().expect("there are more");
}

/// What a plan would make of a file whose topics are there.
pub(crate) fn record(yaml: &str, number: u32) -> pipeline::control::PipelineRecord {
    let file = File::read("test.yaml", yaml.as_bytes(), &Surroundings::NONE).expect("a pipeline");
    let mut record = version(ENV, &file.pipeline.name, number);
    record.spec = file.pipeline.to_json();
    let mut tables = Vec::new();
    for input in &file.pipeline.inputs {
        let columns = input
            .columns
            .as_ref()
            .map_or(&[][..], |columns| &columns.columns);
        let Source::Topic(topic) = &input.source else {
            panic!("{input:?}")
        };
        record.resolved.push(ResolvedInput {
            name: input.name.clone(),
            source: SourceRecord::Topic {
                topic: topic.name.clone(),
                topic_id: None,
            },
            columns: columns.iter().map(Into::into).collect(),
            contract: None,
        });
        tables.push(InputTable {
            name: input.name.clone(),
            columns: columns.to_vec(),
            metadata: Metadata::Topic,
            is_known: true,
        });
    }
    let compiled = Compiled::new(&file.pipeline, &tables, Options::default()).expect("a query");
    record.output = compiled.output().iter().map(Into::into).collect();
    record
}

pub(crate) async fn apply(cluster: &Cluster, record: pipeline::control::PipelineRecord) {
    control_topics::create(cluster).await.expect("topics");
    let action = match record.state {
        PipelineState::Running => Action::Apply,
        PipelineState::Paused => Action::Pause,
        PipelineState::Removed => Action::Remove,
    };
    let change = Change {
        deployments: vec![deployment(&record, action)],
        pipelines: vec![record],
    };
    let writer = Writer::open(cluster, &environment(ENV))
        .await
        .expect("a writer");
    writer.commit(&change, async || {}).await.expect("a commit");
}

pub(crate) async fn produce(
    cluster: &Cluster,
    topic: &str,
    records: &[(Option<&str>, Option<&str>)],
) {
    let producer = Producer::new(cluster.clone(), ProducerConfig::default());
    let topic: Arc<str> = Arc::from(topic);
    for (key, value) in records {
        let record = ProducerRecord {
            key: key.map(str::as_bytes),
            value: value.map(str::as_bytes),
            ..ProducerRecord::default()
        };
        drop(producer.send(&topic, record).await.expect("it is taken"));
    }
    producer.flush().await.expect("all is written");
}

/// The records of a topic that count, in the order of each partition.
pub(crate) async fn consume(
    cluster: &Cluster,
    topic: &str,
) -> Vec<(Option<String>, Option<String>)> {
    let config = ConsumerConfig {
        isolation: Isolation::ReadCommitted,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(cluster.clone(), config);
    let topics = [Arc::from(topic)];
    let partitions = consumer
        .assign_topics(&topics, OffsetSpec::Earliest)
        .await
        .expect("a topic");
    let wanted = partitions
        .into_iter()
        .map(|partition| (partition, OffsetSpec::Latest));
    let ends = list_offsets(cluster, &wanted.collect(), Isolation::ReadCommitted)
        .await
        .expect("ends");
    let mut records = Vec::new();
    while !ends
        .iter()
        .all(|(partition, end)| consumer.position(partition) >= end.offset)
    {
        let Some(batch) = consumer.poll().await.expect("records") else {
            continue;
        };
        let text =
            |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        for record in batch.records() {
            let record = record.expect("a record");
            records.push((text(record.key), text(record.value)));
        }
    }
    records
}

/// Waits until a topic has so many records.
pub(crate) async fn wait_for(
    cluster: &Cluster,
    topic: &str,
    count: usize,
) -> Vec<(Option<String>, Option<String>)> {
    let mut records = Vec::new();
    testkit::eventually("the records come", async || {
        records = consume(cluster, topic).await;
        records.len() >= count
    })
    .await;
    records
}

pub(crate) async fn world() -> World {
    World::start().await
}
