//! The cluster as a service: an image to read, operations that change it, and word of every change.
//!
//! Invariant: an operation looks at the image, states in its transaction what it relied on, and starts over if that
//! changed meanwhile. It returns once the image shows what it did.

mod alter_client_quotas;
mod alter_scram_credentials;
mod alter_settings;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod internal_topics;
mod producer_ids;
mod update_features;

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use env::Env;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::features::FinalizedFeatures;
use crate::image::ClusterImage;
use crate::keys::{self, DamagedValue};
use crate::local::{LocalStore, OpenStoreError};
use crate::settings::{Layers, SettingError, SettingTexts, check_broker};
use crate::store::{MetadataStore, TransactError, Transaction, Watch, WatchError};

pub use alter_client_quotas::QuotaAlteration;
pub use alter_scram_credentials::{AlterScramError, ScramDeletion, ScramUpsertion};
pub use alter_settings::{
    AlterSettingsError, BrokerTarget, ListOperation, SettingChange, SettingOperation,
};
pub use create_partitions::{CreatePartitionsError, NewPartitions};
pub use create_topics::{
    AssignmentError, CreateTopicError, NewTopic, PARTITIONS_PER_REQUEST_MAX, ReplicaAssignment,
};
pub use delete_topics::{DeleteTopicError, TopicRef};
pub use internal_topics::InternalTopic;
pub use producer_ids::{PRODUCER_ID_BLOCK_SIZE, ProducerIdBlock, ProducerIdError};
pub use update_features::UpdateFeaturesError;

/// Times an operation starts over because the metadata changed under it, before it gives up with the conflict.
const ATTEMPTS_MAX: usize = 100;

/// How to open the cluster's metadata.
#[derive(Debug)]
pub struct ClusterConfig {
    /// The store's file; its folder must exist and be locked by this process.
    pub path: PathBuf,
    /// The settings this broker was started with; `node.id` among them.
    pub settings: Layers,
}

/// Why the cluster's metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenClusterError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    /// The store holds something that cannot be read.
    #[error("the metadata is damaged")]
    Damaged(#[from] DamagedValue),
    /// The first transaction failed.
    #[error("cannot set up the cluster's metadata")]
    SetUp(#[from] TransactError),
    /// The settings at start contradict each other, or what was altered since.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// The cluster's metadata, open.
pub struct Cluster {
    env: Env,
    node_id: i32,
    store: Arc<dyn MetadataStore>,
    local: Option<Arc<LocalStore>>,
    image: ArcSwap<ClusterImage>,
    changes: watch::Sender<Arc<ClusterImage>>,
    /// Where in the store's history the image is; held while the image moves.
    follower: Mutex<Box<dyn Watch>>,
    producer_ids: tokio::sync::Mutex<ProducerIdBlock>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("node_id", &self.node_id)
            .field("revision", &self.image().revision)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Opens the store in a file and sets the cluster up on the first start.
    ///
    /// # Errors
    /// See [`OpenClusterError`].
    pub async fn open(env: &Env, config: ClusterConfig) -> Result<Arc<Self>, OpenClusterError> {
        let store = Arc::new(LocalStore::open(env, &config.path)?);
        let local = Some(Arc::clone(&store));
        Self::set_up(env, store, local, config.settings).await
    }

    /// As [`Cluster::open`] on any store.
    ///
    /// # Errors
    /// See [`OpenClusterError`].
    pub async fn with_store(
        env: &Env,
        store: Arc<dyn MetadataStore>,
        settings: Layers,
    ) -> Result<Arc<Self>, OpenClusterError> {
        Self::set_up(env, store, None, settings).await
    }

    async fn set_up(
        env: &Env,
        store: Arc<dyn MetadataStore>,
        local: Option<Arc<LocalStore>>,
        settings: Layers,
    ) -> Result<Arc<Self>, OpenClusterError> {
        check_broker(&settings)?;
        set_up_keys(env, store.as_ref(), &settings).await?;
        let empty = ClusterImage::empty(node_id(&settings), settings);
        let (revision, entries) = store.range(b"");
        let node_id = empty.broker.node_id;
        let image = empty.load(revision, entries)?;
        check_broker(&image.broker.layers)?;
        let image = Arc::new(image);
        let cluster = Arc::new(Self {
            env: env.clone(),
            node_id,
            follower: Mutex::new(store.watch(revision)),
            changes: watch::Sender::new(Arc::clone(&image)),
            image: ArcSwap::new(image),
            store,
            local,
            producer_ids: tokio::sync::Mutex::new(ProducerIdBlock::EMPTY),
        });
        let watch = cluster.store.watch(revision);
        env.spawner
            .spawn(Box::pin(follow(Arc::downgrade(&cluster), watch)));
        Ok(cluster)
    }

    /// The cluster as of the newest revision this node knows.
    pub fn image(&self) -> Arc<ClusterImage> {
        self.image.load_full()
    }

    /// Whether any client has a quota; asked with every request.
    pub fn has_quotas(&self) -> bool {
        !self.image.load().quotas.is_empty()
    }

    /// Tells of every new image; some may be skipped when they follow each other fast.
    pub fn changes(&self) -> watch::Receiver<Arc<ClusterImage>> {
        self.changes.subscribe()
    }

    /// This broker's `node.id`.
    pub fn node_id(&self) -> i32 {
        self.node_id
    }

    /// The brokers of the cluster: this one.
    pub fn node_ids(&self) -> Vec<i32> {
        vec![self.node_id]
    }

    /// Writes what was handed over and closes the store. Changes fail from now on. Blocks.
    pub fn close(&self) {
        if let Some(local) = &self.local {
            local.close();
        }
    }

    /// Does what `plan` finds right for the image, again and again until no one interferes. An empty transaction is
    /// not sent.
    async fn transact<T>(
        &self,
        mut plan: impl FnMut(&ClusterImage) -> (Transaction, T),
    ) -> Result<T, TransactError> {
        let mut attempts = 0;
        loop {
            let (transaction, outcome) = plan(&self.image());
            if transaction.is_empty() {
                return Ok(outcome);
            }
            attempts += 1;
            match self.store.transact(transaction).await {
                Ok(revision) => {
                    self.catch_up();
                    debug_assert!(
                        self.local.is_none() || self.image().revision >= revision,
                        "a local store shows a commit before it answers"
                    );
                    return Ok(outcome);
                }
                Err(TransactError::Conflict { .. }) if attempts < ATTEMPTS_MAX => self.catch_up(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Does what can be done of a request's items with one transaction, or nothing with `validate_only`. The outcomes stand
    /// in the order of the items.
    async fn transact_each<T, E: From<TransactError>>(
        &self,
        items: usize,
        validate_only: bool,
        mut plan: impl FnMut(&ClusterImage) -> (Transaction, Vec<Result<T, E>>),
    ) -> Vec<Result<T, E>> {
        let planned = self.transact(|image| match plan(image) {
            (_, outcomes) if validate_only => (Transaction::default(), outcomes),
            planned => planned,
        });
        let refuse_all =
            |error: TransactError| (0..items).map(|_| Err(error.clone().into())).collect();
        planned.await.unwrap_or_else(refuse_all)
    }

    /// Moves the image to everything the store shows.
    fn catch_up(&self) {
        let mut follower = self.follower.lock();
        if let Err(error) = self.follow_to_the_end(&mut follower) {
            // Only another release could write what this one cannot read. The old image stays in force.
            tracing::error!(%error, source = %error.source, "cannot follow the metadata");
        }
    }

    fn follow_to_the_end(&self, follower: &mut Box<dyn Watch>) -> Result<(), DamagedValue> {
        let mut image = None;
        loop {
            match follower.try_next() {
                Ok(Some(commit)) => image
                    .get_or_insert_with(|| self.image().as_ref().clone())
                    .apply(&commit)?,
                Ok(None) | Err(WatchError::Closed) => break,
                Err(WatchError::Compacted { .. }) => {
                    let (reloaded, watch) = self.reload()?;
                    image = Some(reloaded);
                    *follower = watch;
                }
            }
        }
        if let Some(image) = image {
            let image = Arc::new(image);
            self.image.store(Arc::clone(&image));
            self.changes.send_replace(image);
        }
        Ok(())
    }

    /// Reads everything again after the history was cut off.
    fn reload(&self) -> Result<(ClusterImage, Box<dyn Watch>), DamagedValue> {
        let (revision, entries) = self.store.range(b"");
        let layers = &self.image().broker.layers;
        let start = layers.with_dynamic(SettingTexts::new(), SettingTexts::new());
        let image = ClusterImage::empty(self.node_id, start).load(revision, entries)?;
        Ok((image, self.store.watch(revision)))
    }
}

fn node_id(settings: &Layers) -> i32 {
    crate::settings::BrokerValues::resolve(settings).node_id
}

/// Sets up what a cluster has from its first start on: its id, its features, and what they need of the settings.
async fn set_up_keys(
    env: &Env,
    store: &dyn MetadataStore,
    settings: &Layers,
) -> Result<(), OpenClusterError> {
    let is_stored = |key: &str| !store.range(key.as_bytes()).1.is_empty();
    let mut transaction = Transaction::default();
    if !is_stored(keys::CLUSTER_ID) {
        transaction.expect(keys::CLUSTER_ID, None);
        transaction.put(keys::CLUSTER_ID, new_cluster_id(env));
    }
    if !is_stored(keys::FEATURES) {
        transaction.expect(keys::FEATURES, None);
        let features = FinalizedFeatures::initial();
        transaction.put(keys::FEATURES, keys::write_levels(features.levels()));
        if !is_stored(keys::BROKER_DEFAULTS) {
            transaction.expect(keys::BROKER_DEFAULTS, None);
            let settings = update_features::cluster_min_insync_replicas(settings);
            transaction.put(keys::BROKER_DEFAULTS, keys::write_texts(&settings));
        }
    }
    if transaction.is_empty() {
        return Ok(());
    }
    match store.transact(transaction).await {
        // Another broker was first: its id is the cluster's.
        Ok(_) | Err(TransactError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Kafka's `Uuid.randomUuid`: no dash in front, which command lines would take for an option.
fn new_cluster_id(env: &Env) -> String {
    loop {
        let id = types::TopicId::new(env.random.uuid()).map(|id| id.to_string());
        if let Some(id) = id
            && !id.starts_with('-')
        {
            return id;
        }
    }
}

/// What comes more than once.
fn repeated<K: Copy + Eq + Hash>(keys: impl Iterator<Item = K>) -> HashSet<K> {
    let mut seen = HashSet::new();
    keys.filter(|key| !seen.insert(*key)).collect()
}

/// Moves the image when somebody else changes the store.
async fn follow(cluster: Weak<Cluster>, mut watch: Box<dyn Watch>) {
    loop {
        let outcome = watch.next().await;
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        match outcome {
            Ok(_) => cluster.catch_up(),
            Err(WatchError::Compacted { .. }) => {
                cluster.catch_up();
                watch = cluster.store.watch(cluster.image().revision);
            }
            Err(WatchError::Closed) => return,
        }
    }
}
