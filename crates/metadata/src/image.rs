//! The cluster at one revision, as every request reads it.
//!
//! Invariant: an image never changes. It holds exactly what the store held at its revision; by name and by id lead to
//! the same topics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use types::{TopicId, TopicName};

use crate::features::FinalizedFeatures;
use crate::keys::{self, DamagedValue, Key, StoredTopic};
use crate::names::is_internal_topic;
use crate::quotas::ClientQuotas;
use crate::scram::ScramCredentials;
use crate::settings::{
    BrokerSettings, ConfigEntry, GroupSettings, Layers, SettingTexts, TopicSettings,
    describe_broker, describe_broker_defaults, describe_client_metrics, describe_group,
    describe_topic,
};
use crate::store::{Change, Commit, KeyValue, Revision};

/// One topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// This life of the topic.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has, numbered from zero.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication_factor: i16,
    /// One of the broker's own topics.
    pub internal: bool,
    /// What was set on the topic itself.
    pub settings: SettingTexts,
    /// What is in force, with what the broker says where the topic says nothing.
    pub resolved: Arc<TopicSettings>,
    /// What a transaction that changes the topic expects.
    pub(crate) mod_revision: Revision,
}

impl Topic {
    /// The topic as the store holds it.
    pub(crate) fn stored(&self) -> StoredTopic {
        StoredTopic {
            name: self.name.as_str().to_owned(),
            id: self.id,
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            settings: self.settings.clone(),
        }
    }
}

/// The cluster at one revision.
#[derive(Clone, Debug)]
pub struct ClusterImage {
    /// The revision.
    pub revision: Revision,
    /// The cluster's id, as Kafka prints it: URL-safe base64 of 16 bytes.
    pub cluster_id: Arc<str>,
    /// This broker's settings.
    pub broker: Arc<BrokerSettings>,
    /// The levels the cluster works at.
    pub features: Arc<FinalizedFeatures>,
    /// The revision that put them.
    pub(crate) features_revision: Option<Revision>,
    /// What clients may use.
    pub quotas: Arc<ClientQuotas>,
    /// What is known of users' passwords.
    pub scram: Arc<ScramCredentials>,
    topics: BTreeMap<TopicName, Arc<Topic>>,
    topics_by_id: HashMap<TopicId, Arc<Topic>>,
    /// Names that differ from their keys in the store, by key.
    names_by_key: HashMap<Arc<str>, TopicName>,
    groups: BTreeMap<String, Arc<SettingTexts>>,
    client_metrics: BTreeMap<String, Arc<SettingTexts>>,
    /// The revisions of the settings of brokers and groups, by key.
    settings_revisions: BTreeMap<Arc<str>, Revision>,
    node_id: i32,
}

impl ClusterImage {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics_by_id.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// All topics whose names come after `name`, by name.
    pub fn topics_after(&self, name: &str) -> impl Iterator<Item = &Arc<Topic>> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.topics
            .range::<str, _>((Excluded(name), Unbounded))
            .map(|(_, topic)| topic)
    }

    /// What is in force for a group.
    pub fn group_settings(&self, group: &str) -> GroupSettings {
        GroupSettings::resolve(self.own_group_settings(group), &self.broker.layers)
    }

    /// Groups that have settings of their own.
    pub fn groups_with_settings(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// A topic's settings as DescribeConfigs tells them.
    pub fn describe_topic(&self, topic: &Topic) -> Vec<ConfigEntry> {
        describe_topic(&topic.settings, &self.broker.layers)
    }

    /// This broker's settings as DescribeConfigs tells them.
    pub fn describe_broker(&self) -> Vec<ConfigEntry> {
        describe_broker(&self.broker.layers)
    }

    /// What was altered for all brokers.
    pub fn describe_broker_defaults(&self) -> Vec<ConfigEntry> {
        describe_broker_defaults(&self.broker.layers)
    }

    /// A group's settings as DescribeConfigs tells them.
    pub fn describe_group(&self, group: &str) -> Vec<ConfigEntry> {
        describe_group(self.own_group_settings(group), &self.broker.layers)
    }

    /// Subscriptions to clients' metrics, by name.
    pub fn client_metrics(&self) -> impl Iterator<Item = &str> {
        self.client_metrics.keys().map(String::as_str)
    }

    /// A subscription's settings as DescribeConfigs tells them.
    pub fn describe_client_metrics(&self, subscription: &str) -> Vec<ConfigEntry> {
        describe_client_metrics(self.own_client_metrics(subscription))
    }

    pub(crate) fn own_client_metrics(&self, subscription: &str) -> &SettingTexts {
        static NONE: SettingTexts = SettingTexts::new();
        let own = self.client_metrics.get(subscription);
        own.map_or(&NONE, |settings| settings)
    }

    pub(crate) fn own_group_settings(&self, group: &str) -> &SettingTexts {
        static NONE: SettingTexts = SettingTexts::new();
        self.groups.get(group).map_or(&NONE, |settings| settings)
    }

    /// The image before anything was stored.
    pub(crate) fn empty(node_id: i32, start: Layers) -> Self {
        Self {
            revision: Revision::ZERO,
            cluster_id: Arc::from(""),
            broker: Arc::new(BrokerSettings::new(start)),
            features: Arc::default(),
            features_revision: None,
            quotas: Arc::default(),
            scram: Arc::default(),
            topics: BTreeMap::new(),
            topics_by_id: HashMap::new(),
            names_by_key: HashMap::new(),
            groups: BTreeMap::new(),
            client_metrics: BTreeMap::new(),
            settings_revisions: BTreeMap::new(),
            node_id,
        }
    }

    /// The image of everything the store holds.
    pub(crate) fn load(
        mut self,
        revision: Revision,
        entries: Vec<KeyValue>,
    ) -> Result<Self, DamagedValue> {
        let changes: Vec<_> = entries.iter().map(Entry::of_key_value).collect();
        self.apply_changes(&changes)?;
        self.revision = revision;
        Ok(self)
    }

    /// Moves on by one commit. On an error the image is to be thrown away.
    pub(crate) fn apply(&mut self, commit: &Commit) -> Result<(), DamagedValue> {
        let changes = commit.changes.iter();
        let changes: Vec<_> = changes
            .map(|change| Entry::of_change(change, commit.revision))
            .collect();
        self.apply_changes(&changes)?;
        self.revision = commit.revision;
        Ok(())
    }

    fn apply_changes(&mut self, changes: &[Entry<'_>]) -> Result<(), DamagedValue> {
        let mut default_dynamic = None;
        let mut own_dynamic = None;
        // Broker settings first, so that topics see them.
        for change in changes {
            let Entry { key, value, .. } = *change;
            match Key::parse(key) {
                Key::BrokerDefaults => default_dynamic = Some(texts(key, value)?),
                Key::Broker(node) if node == self.node_id => own_dynamic = Some(texts(key, value)?),
                _ => {}
            }
        }
        if default_dynamic.is_some() || own_dynamic.is_some() {
            let layers = &self.broker.layers;
            let default = default_dynamic.unwrap_or_else(|| layers.default_dynamic().clone());
            let own = own_dynamic.unwrap_or_else(|| layers.own_dynamic().clone());
            let layers = layers.with_dynamic(default, own);
            self.broker = Arc::new(BrokerSettings::new(layers));
            self.resolve_topics_again();
        }
        for change in changes {
            let Entry { key, value, .. } = *change;
            self.note_settings_revision(change);
            match Key::parse(key) {
                Key::ClusterId => {
                    let value = value.unwrap_or_default();
                    self.cluster_id = Arc::from(keys::read_text(key, value)?);
                }
                Key::Features => {
                    let levels = value
                        .map(|value| keys::read_levels(key, value))
                        .transpose()?;
                    self.features = Arc::new(FinalizedFeatures::new(levels.unwrap_or_default()));
                    self.features_revision = value.map(|_| change.mod_revision);
                }
                Key::Topic(unified) => self.replace_topic(change, unified)?,
                Key::Group(group) => {
                    let settings = texts(key, value)?;
                    if settings.is_empty() {
                        self.groups.remove(group);
                    } else {
                        self.groups.insert(group.to_owned(), Arc::new(settings));
                    }
                }
                Key::ClientMetrics(subscription) => {
                    let settings = texts(key, value)?;
                    if settings.is_empty() {
                        self.client_metrics.remove(subscription);
                    } else {
                        self.client_metrics
                            .insert(subscription.to_owned(), Arc::new(settings));
                    }
                }
                Key::Quotas(entity) => {
                    let values = value
                        .map(|value| keys::read_quotas(key, value))
                        .transpose()?;
                    Arc::make_mut(&mut self.quotas).put(entity, values.unwrap_or_default());
                }
                Key::Scram(mechanism, user) => {
                    let credential = value
                        .map(|value| keys::read_scram(key, value))
                        .transpose()?;
                    Arc::make_mut(&mut self.scram).put(user, mechanism, credential);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn note_settings_revision(&mut self, entry: &Entry<'_>) {
        let key = std::str::from_utf8(entry.key).unwrap_or_default();
        if !key.starts_with(keys::SETTINGS) {
            return;
        }
        if entry.value.is_some() {
            self.settings_revisions
                .insert(Arc::from(key), entry.mod_revision);
        } else {
            self.settings_revisions.remove(key);
        }
    }

    /// The revision that put the settings under `key`.
    pub(crate) fn settings_revision(&self, key: &str) -> Option<Revision> {
        self.settings_revisions.get(key).copied()
    }

    /// The topic stored under `unified`.
    pub(crate) fn topic_of_key(&self, unified: &str) -> Option<&Arc<Topic>> {
        let name = self.names_by_key.get(unified);
        self.topics.get(name.map_or(unified, TopicName::as_str))
    }

    fn replace_topic(&mut self, entry: &Entry<'_>, unified: &str) -> Result<(), DamagedValue> {
        let Some(value) = entry.value else {
            let name = self.names_by_key.remove(unified);
            let name = name.as_ref().map_or(unified, TopicName::as_str);
            if let Some(topic) = self.topics.remove(name) {
                self.topics_by_id.remove(&topic.id);
            }
            return Ok(());
        };
        let stored = StoredTopic::read(entry.key, value)?;
        let topic = Arc::new(self.topic_of(stored, entry.mod_revision));
        if topic.name.as_str() != unified {
            self.names_by_key
                .insert(Arc::from(unified), topic.name.clone());
        }
        if let Some(before) = self.topics.insert(topic.name.clone(), Arc::clone(&topic)) {
            self.topics_by_id.remove(&before.id);
        }
        self.topics_by_id.insert(topic.id, topic);
        Ok(())
    }

    pub(crate) fn topic_of(&self, stored: StoredTopic, mod_revision: Revision) -> Topic {
        Topic {
            id: stored.id,
            internal: is_internal_topic(&stored.name),
            name: TopicName::new(&stored.name),
            partitions: stored.partitions,
            replication_factor: stored.replication_factor,
            resolved: self.broker.topic(&stored.settings),
            settings: stored.settings,
            mod_revision,
        }
    }

    fn resolve_topics_again(&mut self) {
        let broker = &self.broker;
        for topic in self.topics.values_mut() {
            let resolved = broker.topic(&topic.settings);
            *topic = Arc::new(Topic {
                resolved,
                ..Topic::clone(topic)
            });
        }
        self.topics_by_id = self
            .topics
            .values()
            .map(|topic| (topic.id, Arc::clone(topic)))
            .collect();
    }
}

/// What one key holds now; no value if it is gone.
#[derive(Clone, Copy)]
struct Entry<'a> {
    key: &'a [u8],
    value: Option<&'a [u8]>,
    mod_revision: Revision,
}

impl<'a> Entry<'a> {
    fn of_key_value(entry: &'a KeyValue) -> Self {
        Self {
            key: &entry.key,
            value: Some(&entry.value),
            mod_revision: entry.mod_revision,
        }
    }

    fn of_change(change: &'a Change, mod_revision: Revision) -> Self {
        let (key, value) = match change {
            Change::Put { key, value } => (key, Some(&value[..])),
            Change::Delete { key } => (key, None),
        };
        Self {
            key,
            value,
            mod_revision,
        }
    }
}

fn texts(key: &[u8], value: Option<&[u8]>) -> Result<SettingTexts, DamagedValue> {
    match value {
        Some(value) => keys::read_texts(key, value),
        None => Ok(SettingTexts::new()),
    }
}
