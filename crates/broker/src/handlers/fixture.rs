//! Topics on the real metadata and the real storage in a temporary directory, for tests of handlers.

use std::path::Path;
use std::sync::Arc;

use env::Env;
use hashbrown::HashMap;
use metadata::settings::{Layers, SettingTexts};
use metadata::{Cluster, ClusterConfig, NewTopic};
use parking_lot::Mutex;
use protocol::Uuid;
use protocol::records::{BatchBuilder, BatchOptions};
use storage::{AppendContext, DirectoryOptions, LogDirectory, PartitionLog};
use types::{LeaderEpoch, TopicPartition};

use crate::config::BrokerConfig;
use crate::connection_figures::ConnectionFigures;
use crate::context::{ConnectionInfo, Context};
use crate::coordinators::{GroupCoordinator, ShareCoordinator, TransactionCoordinator};
use crate::log_levels::LogLevels;
use crate::ownership::{BrokerId, Owner, Ownership, SingleNode};
use crate::quotas::Quotas;
use crate::shares::Shares;
use crate::topics::Topics;

/// The only broker.
pub(crate) const BROKER: BrokerId = BrokerId(1);
/// Where clients are told to find it.
pub(crate) const ADVERTISED_HOST: &str = "broker.test";
pub(crate) const ADVERTISED_PORT: i32 = 9092;

/// A broker without connections.
pub(crate) struct Fixture {
    topics: Arc<Topics>,
    /// Says who leads what; tests move partitions away.
    pub(crate) ownership: Arc<FakeOwnership>,
    quotas: Arc<Quotas>,
    settings: SettingTexts,
    folder: tempfile::TempDir,
}

/// This broker leads everything but what tests moved away.
#[derive(Debug)]
pub(crate) struct FakeOwnership {
    own: SingleNode,
    moved: Mutex<HashMap<(String, i32), Owner>>,
}

impl FakeOwnership {
    /// Another broker leads the partition now.
    pub(crate) fn move_away(&self, topic: &str, partition: i32) {
        self.give(topic, partition, Some(BrokerId(BROKER.0 + 1)));
    }

    /// This broker leads the partition again, in the epoch in which it did.
    pub(crate) fn take_back(&self, topic: &str, partition: i32) {
        self.moved.lock().remove(&(topic.to_owned(), partition));
    }

    /// Nobody leads the partition now.
    pub(crate) fn orphan(&self, topic: &str, partition: i32) {
        self.give(topic, partition, None);
    }

    fn give(&self, topic: &str, partition: i32, leader: Option<BrokerId>) {
        let epoch = self.own.epoch.next().unwrap();
        self.moved
            .lock()
            .insert((topic.to_owned(), partition), Owner { leader, epoch });
    }
}

impl Ownership for FakeOwnership {
    fn owner(&self, partition: &TopicPartition) -> Owner {
        let key = (
            partition.topic.as_str().to_owned(),
            partition.partition.value(),
        );
        self.moved
            .lock()
            .get(&key)
            .copied()
            .unwrap_or_else(|| self.own.owner(partition))
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_settings(&[]).await
    }

    /// With settings the broker is started with.
    pub(crate) async fn with_settings(settings: &[(&str, &str)]) -> Self {
        let mut texts: SettingTexts = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        texts.insert("node.id".to_owned(), BROKER.0.to_string());
        Self::open(tempfile::tempdir().unwrap(), texts, None).await
    }

    /// With a log whose levels can be changed.
    pub(crate) async fn with_log(log: Arc<dyn LogLevels>) -> Self {
        let settings = SettingTexts::from([("node.id".to_owned(), BROKER.0.to_string())]);
        Self::open(tempfile::tempdir().unwrap(), settings, Some(log)).await
    }

    async fn open(
        folder: tempfile::TempDir,
        settings: SettingTexts,
        log_levels: Option<Arc<dyn LogLevels>>,
    ) -> Self {
        let env = Env::system();
        let (topics, ownership) = open(&env, folder.path(), &settings, log_levels).await;
        let quotas = Arc::new(Quotas::new(env.clone(), Arc::clone(&topics.cluster)));
        Self {
            quotas,
            topics,
            ownership,
            settings,
            folder,
        }
    }

    /// Stops and starts again on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(|_data| ()).await
    }

    /// Stops, lets somebody change the data directory, and starts again.
    pub(crate) async fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        self.topics.directory.close().expect("the directory closes");
        self.topics.cluster.close();
        drop(self.topics);
        change(self.folder.path());
        Self::open(self.folder, self.settings, None).await
    }

    pub(crate) fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics)
    }

    /// Groups over these topics.
    pub(crate) fn groups(&self) -> Arc<GroupCoordinator> {
        Arc::new(GroupCoordinator::new(self.topics()))
    }

    /// Transactions over these topics.
    pub(crate) fn transactions(&self) -> Arc<TransactionCoordinator> {
        Arc::new(TransactionCoordinator::new(self.topics(), self.groups()))
    }

    /// What clients with quotas did, as counted by this fixture.
    pub(crate) fn quotas(&self) -> Arc<Quotas> {
        Arc::clone(&self.quotas)
    }

    /// Share groups over these topics.
    pub(crate) fn shares(&self) -> Arc<Shares> {
        let coordinator = Arc::new(ShareCoordinator::new(self.topics()));
        Arc::new(Shares::new(self.topics(), self.groups(), coordinator))
    }

    /// The epoch in which the broker leads since its last start.
    pub(crate) fn epoch(&self) -> i32 {
        self.ownership.own.epoch.value()
    }

    /// A request of this version.
    pub(crate) fn context(&self, version: i16) -> Context {
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 50_000));
        let figures = ConnectionFigures::new(1, peer, self.topics.env.clock.wall());
        Context {
            connection: Arc::new(ConnectionInfo::new(Arc::new(figures))),
            version,
            client_id: Some(Arc::from("test")),
            received: self.topics.env.clock.now(),
        }
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) -> Uuid {
        self.create_topic_with(name, partitions, &[]).await
    }

    pub(crate) async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Uuid {
        let setting =
            |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            settings: settings.iter().map(setting).collect(),
            ..Default::default()
        };
        let outcome = self
            .topics
            .cluster
            .create_topics(vec![topic], false)
            .await
            .remove(0);
        Uuid(outcome.unwrap().id.bytes())
    }

    pub(crate) fn log(&self, topic: &str, partition: i32) -> Arc<dyn PartitionLog> {
        let image = self.topics.image();
        self.topics
            .leading(image.topic(topic).unwrap(), partition, -1)
            .unwrap()
            .log
    }

    /// Appends one batch of records, given as timestamp and value, and waits until readers see it.
    pub(crate) async fn produce(&self, topic: &str, partition: i32, records: &[(i64, &str)]) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for (timestamp_ms, value) in records {
            builder
                .push(*timestamp_ms, None, Some(value.as_bytes()), &[])
                .unwrap();
        }
        let context = AppendContext::client(self.ownership.own.epoch);
        let ticket = self
            .log(topic, partition)
            .append(builder.build().unwrap(), context)
            .unwrap();
        ticket.committed().await.unwrap();
    }
}

async fn open(
    env: &Env,
    folder: &Path,
    settings: &SettingTexts,
    log_levels: Option<Arc<dyn LogLevels>>,
) -> (Arc<Topics>, Arc<FakeOwnership>) {
    let opened = LogDirectory::open(env.clone(), folder, DirectoryOptions::default()).unwrap();
    let layers = Layers::at_start(settings.clone()).unwrap();
    let config = ClusterConfig {
        path: folder.join("metadata"),
        settings: layers,
    };
    let cluster = Cluster::open(env, config).await.unwrap();
    let epoch: LeaderEpoch = opened.leader_epoch;
    let own = SingleNode {
        broker: BROKER,
        epoch,
    };
    let ownership = Arc::new(FakeOwnership {
        own,
        moved: Mutex::default(),
    });
    let config = BrokerConfig {
        broker_id: BROKER,
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        advertise: Some((
            ADVERTISED_HOST.to_owned(),
            u16::try_from(ADVERTISED_PORT).unwrap(),
        )),
        data_directory: folder.to_owned(),
        settings: Arc::clone(&cluster.image().broker),
        storage: DirectoryOptions::default(),
        log_levels,
        give_back_memory: || (),
    };
    let topics = Topics::new(
        env.clone(),
        Arc::new(config),
        cluster,
        Arc::new(opened.directory),
        Arc::clone(&ownership) as Arc<dyn Ownership>,
    );
    (Arc::new(topics), ownership)
}
