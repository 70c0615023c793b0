//! Versions and deployments against a real broker.

mod apply;
mod files;
mod plan;
mod store;

use std::sync::Arc;

use client::{ClientConfig, Cluster, ProducerConfig, ProducerRecord, TransactionalProducer};
use pipeline::control::{
    Action, Change, Class, Deployment, Key, PipelineRecord, PipelineState, Time, record,
};
use spec::names::Environment;
use testkit::Server;

/// A server and a client of it.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) cluster: Cluster,
}

impl World {
    pub(crate) async fn start() -> Self {
        let server = Server::start().await;
        let cluster = cluster_of(&server);
        Self { server, cluster }
    }

    /// Another client, as of another process.
    pub(crate) fn client(&self) -> Cluster {
        cluster_of(&self.server)
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

fn cluster_of(server: &Server) -> Cluster {
    let address = client::parse_addresses(&server.address().to_string()).expect("an address");
    Cluster::new(address, ClientConfig::default())
}

pub(crate) fn environment(name: &str) -> Environment {
    name.parse().expect("a name of an environment")
}

/// A version that nothing runs.
pub(crate) fn version(env: &str, pipeline: &str, version: u32) -> PipelineRecord {
    PipelineRecord {
        env: env.to_owned(),
        pipeline: pipeline.to_owned(),
        version,
        state: PipelineState::Running,
        fingerprint: format!("f{version}"),
        spec: "{}".to_owned(),
        resolved: Vec::new(),
        output: Vec::new(),
        query: String::new(),
        deployment: format!("d{version}"),
        author: "ada".to_owned(),
        git_commit: None,
        message: None,
        time: Time::from_ms(1_000),
    }
}

pub(crate) fn deployment(record: &PipelineRecord, action: Action) -> Deployment {
    Deployment {
        id: record.deployment.clone(),
        env: record.env.clone(),
        pipeline: record.pipeline.clone(),
        action,
        from_version: None,
        to_version: Some(record.version),
        class: Some(Class::New),
        positions: Vec::new(),
        of: None,
        skip_deleted: false,
        author: "ada".to_owned(),
        message: None,
        time: Time::from_ms(1_000),
        base: None,
    }
}

pub(crate) fn change(record: PipelineRecord) -> Change {
    Change {
        deployments: vec![deployment(&record, Action::Apply)],
        pipelines: vec![record],
    }
}

/// Somebody who writes to control topics in transactions, as those do who run pipelines.
pub(crate) struct Runner {
    producer: TransactionalProducer,
}

impl Runner {
    pub(crate) async fn start(cluster: &Cluster, id: &str) -> Self {
        let timeout = std::time::Duration::from_secs(60);
        let config = ProducerConfig::default();
        let producer = TransactionalProducer::init(cluster.clone(), id, timeout, config);
        let producer = producer.await.expect("an id");
        Self { producer }
    }

    /// Writes a record in a transaction that stays open.
    pub(crate) async fn write<T: serde::Serialize>(&mut self, topic: &str, key: &Key, value: &T) {
        let (key, value) = (key.bytes(), record::write(value));
        self.producer.begin().expect("no transaction is open");
        let record = ProducerRecord {
            key: Some(&key),
            value: Some(&value),
            ..ProducerRecord::default()
        };
        let sent = self.producer.send(&Arc::from(topic), record).await;
        let delivered = sent.expect("it is taken").wait().await;
        delivered.expect("it is written");
    }

    pub(crate) async fn commit(&mut self) {
        self.producer.commit().await.expect("it commits");
    }
}
