//! How the cluster's metadata is laid out in the store.
//!
//! | Key | Value |
//! |---|---|
//! | `cluster/id` | text |
//! | `features` | JSON object of numbers: the finalized level of each feature |
//! | `producer-ids/next` | decimal: the first producer id that was never handed out |
//! | `topics/<name with . as _>` | JSON, [`StoredTopic`] |
//! | `settings/brokers/default`, `settings/brokers/<node id>` | JSON object of texts |
//! | `settings/groups/<group>` | JSON object of texts |
//! | `settings/client-metrics/<subscription>` | JSON object of texts |
//! | `settings/quotas/<entity as JSON>` | JSON object of numbers |
//! | `scram/<mechanism>/<user>` | JSON, [`ScramJson`] |
//!
//! Invariant: a topic's key is what colliding names have in common, so the store itself keeps `a.b` and `a_b` apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::TopicId;

use crate::names::unified;
use crate::quotas::{QuotaEntity, QuotaJson, QuotaValues};
use crate::scram::{ScramCredential, ScramJson, ScramMechanism};
use crate::settings::SettingTexts;

pub(crate) const CLUSTER_ID: &str = "cluster/id";
pub(crate) const FEATURES: &str = "features";
pub(crate) const PRODUCER_IDS: &str = "producer-ids/next";
pub(crate) const BROKER_DEFAULTS: &str = "settings/brokers/default";
pub(crate) const SETTINGS: &str = "settings/";
const TOPICS: &str = "topics/";
const BROKERS: &str = "settings/brokers/";
const GROUPS: &str = "settings/groups/";
const CLIENT_METRICS: &str = "settings/client-metrics/";
const QUOTAS: &str = "settings/quotas/";
const SCRAM: &str = "scram/";

pub(crate) fn topic(name: &str) -> String {
    format!("{TOPICS}{}", unified(name))
}

pub(crate) fn broker(node_id: i32) -> String {
    format!("{BROKERS}{node_id}")
}

pub(crate) fn group(group: &str) -> String {
    format!("{GROUPS}{group}")
}

pub(crate) fn client_metrics(subscription: &str) -> String {
    format!("{CLIENT_METRICS}{subscription}")
}

pub(crate) fn quotas(entity: &QuotaEntity) -> String {
    format!("{QUOTAS}{}", entity.to_key())
}

pub(crate) fn scram(mechanism: ScramMechanism, user: &str) -> String {
    format!("{SCRAM}{mechanism}/{user}")
}

/// What a key is about.
#[derive(Debug)]
pub(crate) enum Key<'a> {
    ClusterId,
    Features,
    Topic(&'a str),
    BrokerDefaults,
    Broker(i32),
    Group(&'a str),
    ClientMetrics(&'a str),
    Quotas(QuotaEntity),
    Scram(ScramMechanism, &'a str),
    /// Nothing an image holds.
    Other,
}

impl<'a> Key<'a> {
    pub(crate) fn parse(key: &'a [u8]) -> Self {
        let Ok(key) = std::str::from_utf8(key) else {
            return Self::Other;
        };
        if key == CLUSTER_ID {
            return Self::ClusterId;
        }
        if key == FEATURES {
            return Self::Features;
        }
        if key == BROKER_DEFAULTS {
            return Self::BrokerDefaults;
        }
        if let Some(name) = key.strip_prefix(TOPICS) {
            return Self::Topic(name);
        }
        if let Some(group) = key.strip_prefix(GROUPS) {
            return Self::Group(group);
        }
        if let Some(subscription) = key.strip_prefix(CLIENT_METRICS) {
            return Self::ClientMetrics(subscription);
        }
        if let Some(entity) = key.strip_prefix(QUOTAS).and_then(QuotaEntity::of_key) {
            return Self::Quotas(entity);
        }
        if let Some((mechanism, user)) = key.strip_prefix(SCRAM).and_then(|key| {
            let (mechanism, user) = key.split_once('/')?;
            Some((ScramMechanism::of_name(mechanism)?, user))
        }) {
            return Self::Scram(mechanism, user);
        }
        let number = |text: &str| text.parse().ok();
        if let Some(node) = key.strip_prefix(BROKERS).and_then(number) {
            return Self::Broker(node);
        }
        Self::Other
    }
}

/// A stored value cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored value of {key} cannot be read")]
pub struct DamagedValue {
    /// The key.
    pub key: String,
    /// What is wrong with the value.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

fn damaged(
    key: &[u8],
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DamagedValue {
    DamagedValue {
        key: key.escape_ascii().to_string(),
        source: source.into(),
    }
}

/// A topic as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredTopic {
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
    pub(crate) settings: SettingTexts,
}

/// The JSON of a [`StoredTopic`]; names of fields are part of the format.
#[derive(Serialize, Deserialize)]
struct TopicJson {
    name: String,
    /// 32 hexadecimal digits.
    id: String,
    partitions: i32,
    replication_factor: i16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: SettingTexts,
}

impl StoredTopic {
    pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Self, DamagedValue> {
        let json: TopicJson = serde_json::from_slice(value).map_err(|error| damaged(key, error))?;
        let id = u128::from_str_radix(&json.id, 16).map_err(|error| damaged(key, error))?;
        let id = TopicId::new(id.to_be_bytes()).ok_or_else(|| damaged(key, "the id is zero"))?;
        Ok(Self {
            name: json.name,
            id,
            partitions: json.partitions,
            replication_factor: json.replication_factor,
            settings: json.settings,
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let json = TopicJson {
            name: self.name.clone(),
            id: format!("{:032x}", u128::from_be_bytes(self.id.bytes())),
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            settings: self.settings.clone(),
        };
        serde_json::to_vec(&json).expect("a struct of texts and numbers is always JSON")
    }
}

pub(crate) fn read_texts(key: &[u8], value: &[u8]) -> Result<SettingTexts, DamagedValue> {
    serde_json::from_slice(value).map_err(|error| damaged(key, error))
}

pub(crate) fn write_texts(texts: &SettingTexts) -> Vec<u8> {
    serde_json::to_vec(texts).expect("a map of texts is always JSON")
}

pub(crate) fn read_levels(key: &[u8], value: &[u8]) -> Result<BTreeMap<String, i16>, DamagedValue> {
    serde_json::from_slice(value).map_err(|error| damaged(key, error))
}

pub(crate) fn write_levels(levels: &BTreeMap<String, i16>) -> Vec<u8> {
    serde_json::to_vec(levels).expect("a map of numbers is always JSON")
}

pub(crate) fn read_quotas(key: &[u8], value: &[u8]) -> Result<QuotaValues, DamagedValue> {
    let json: QuotaJson = serde_json::from_slice(value).map_err(|error| damaged(key, error))?;
    Ok(json.0)
}

pub(crate) fn write_quotas(values: &QuotaValues) -> Vec<u8> {
    serde_json::to_vec(&QuotaJson(values.clone())).expect("finite numbers are always JSON")
}

pub(crate) fn read_scram(key: &[u8], value: &[u8]) -> Result<ScramCredential, DamagedValue> {
    let json: ScramJson = serde_json::from_slice(value).map_err(|error| damaged(key, error))?;
    json.credential()
        .ok_or_else(|| damaged(key, "no hexadecimal digits"))
}

pub(crate) fn write_scram(credential: &ScramCredential) -> Vec<u8> {
    serde_json::to_vec(&ScramJson::of(credential))
        .expect("a struct of texts and numbers is always JSON")
}

pub(crate) fn read_text<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a str, DamagedValue> {
    std::str::from_utf8(value).map_err(|error| damaged(key, error))
}

pub(crate) fn read_number(key: &[u8], value: &[u8]) -> Result<i64, DamagedValue> {
    read_text(key, value)?
        .parse()
        .map_err(|error: std::num::ParseIntError| damaged(key, error))
}
