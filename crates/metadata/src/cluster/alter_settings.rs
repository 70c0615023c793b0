//! Altering settings while the broker runs (`ConfigAdminManager`, `ConfigurationControlManager`,
//! `ControllerConfigurationValidator`, `DynamicBrokerConfig.validateConfigs`).

use std::collections::HashSet;
use std::fmt;

use super::Cluster;
use super::update_features::MIN_INSYNC_REPLICAS;
use crate::features::ELIGIBLE_LEADER_REPLICAS_VERSION;
use crate::image::ClusterImage;
use crate::keys;
use crate::settings::{
    ClientMetricsError, Scope, Setting, SettingError, SettingTexts, SettingType, Update,
    check_broker, check_client_metrics, check_group, check_topic,
};
use crate::store::{TransactError, Transaction};

/// One change of one setting (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// The setting.
    pub name: String,
    /// What happens to it.
    pub operation: SettingOperation,
}

/// What happens to a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOperation {
    /// It gets this value.
    Set(String),
    /// It falls back to what stands behind it.
    Delete,
    /// A list gets these items too.
    Append(String),
    /// A list loses these items.
    Subtract(String),
}

/// The two operations only lists have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOperation {
    /// More items.
    Append,
    /// Fewer items.
    Subtract,
}

impl fmt::Display for ListOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Append => "append",
            Self::Subtract => "subtract",
        })
    }
}

/// For which brokers a setting is altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerTarget {
    /// For all: the wire's empty resource name.
    All,
    /// For one.
    One(i32),
}

/// Why settings were not altered; none of a resource's changes happened then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AlterSettingsError {
    /// A setting is in the request more than once. INVALID_REQUEST(42).
    #[error("setting {0} is changed more than once")]
    Duplicate(String),
    /// UNKNOWN_TOPIC_OR_PARTITION(3).
    #[error("the topic does not exist")]
    UnknownTopic,
    /// A broker only takes changes of its own settings, or for all. INVALID_REQUEST(42).
    #[error("unexpected broker id, expected {expected}, but received {found}")]
    OtherBroker {
        /// This broker.
        expected: i32,
        /// The broker named.
        found: i32,
    },
    /// A group without a name. INVALID_REQUEST(42).
    #[error("default group resources are not allowed")]
    NoGroup,
    /// A subscription to clients' metrics without a name. INVALID_REQUEST(42).
    #[error("the subscription to client metrics needs a name")]
    NoSubscription,
    /// Settings of a subscription to clients' metrics.
    #[error(transparent)]
    ClientMetrics(#[from] ClientMetricsError),
    /// Only lists have items to append and subtract. INVALID_CONFIG(40).
    #[error("cannot {operation} to {name}: it is no list")]
    NotAList {
        /// The setting.
        name: String,
        /// The operation.
        operation: ListOperation,
    },
    /// INVALID_CONFIG(40).
    #[error(transparent)]
    Setting(SettingError),
    /// A broker refuses a value. INVALID_REQUEST(42), which Kafka keeps for compatibility (KAFKA-13609).
    #[error(transparent)]
    BrokerSetting(SettingError),
    /// INVALID_REQUEST(42).
    #[error("{0} cannot be changed while the broker runs; set it at start")]
    ReadOnly(String),
    /// INVALID_REQUEST(42).
    #[error("{0} can only be changed for one broker, not for all")]
    PerBrokerOnly(String),
    /// INVALID_REQUEST(42).
    #[error("{0} can only be changed for one listener: put listener.name.<listener>. in front")]
    PerListenerOnly(String),
    /// With eligible leader replicas (KIP-966) the setting belongs to the cluster. INVALID_CONFIG(40).
    #[error(
        "min.insync.replicas cannot be changed for one broker while eligible leader replicas are on"
    )]
    BrokerMinInsyncReplicas,
    /// See above. INVALID_CONFIG(40).
    #[error(
        "min.insync.replicas of the cluster cannot be removed while eligible leader replicas are on"
    )]
    ClusterMinInsyncReplicas,
    /// UNKNOWN_SERVER_ERROR(-1); the log has the cause.
    #[error("the settings could not be stored")]
    Store(#[from] TransactError),
}

/// How a resource's settings come about.
#[derive(Debug)]
enum Alteration {
    Changes(Vec<SettingChange>),
    /// The legacy AlterConfigs: what is not named is deleted.
    Replacement(SettingTexts),
}

impl Alteration {
    /// Whether the setting is said anything about.
    fn names(&self, name: &str) -> bool {
        match self {
            Self::Changes(changes) => changes.iter().any(|change| change.name == name),
            Self::Replacement(settings) => settings.contains_key(name),
        }
    }

    fn apply(
        &self,
        scope: Scope,
        current: &SettingTexts,
    ) -> Result<SettingTexts, AlterSettingsError> {
        match self {
            Self::Replacement(settings) => Ok(settings.clone()),
            Self::Changes(changes) => {
                let mut names = HashSet::new();
                if let Some(twice) = changes.iter().find(|change| !names.insert(&change.name)) {
                    return Err(AlterSettingsError::Duplicate(twice.name.clone()));
                }
                let mut settings = current.clone();
                for change in changes {
                    change.apply(scope, &mut settings)?;
                }
                Ok(settings)
            }
        }
    }
}

impl SettingChange {
    fn apply(&self, scope: Scope, settings: &mut SettingTexts) -> Result<(), AlterSettingsError> {
        let name = &self.name;
        match &self.operation {
            SettingOperation::Set(text) => drop(settings.insert(name.clone(), text.clone())),
            SettingOperation::Delete => drop(settings.remove(name)),
            SettingOperation::Append(items) => {
                let mut list = self.items(scope, settings, ListOperation::Append)?;
                for item in items.split(',') {
                    if !list.iter().any(|have| have == item) {
                        list.push(item.to_owned());
                    }
                }
                settings.insert(name.clone(), list.join(","));
            }
            SettingOperation::Subtract(items) => {
                let mut list = self.items(scope, settings, ListOperation::Subtract)?;
                for item in items.split(',') {
                    if let Some(position) = list.iter().position(|have| have == item) {
                        list.remove(position);
                    }
                }
                settings.insert(name.clone(), list.join(","));
            }
        }
        Ok(())
    }

    /// The items a list has now: its own, else its default's.
    fn items(
        &self,
        scope: Scope,
        settings: &SettingTexts,
        operation: ListOperation,
    ) -> Result<Vec<String>, AlterSettingsError> {
        let setting = scope.get(&self.name).map_err(AlterSettingsError::Setting)?;
        if setting.kind != SettingType::List {
            return Err(AlterSettingsError::NotAList {
                name: self.name.clone(),
                operation,
            });
        }
        let text = settings.get(&self.name).map(String::as_str);
        let text = text.or(setting.default).unwrap_or_default();
        let items = text.split(',').map(str::trim);
        Ok(items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect())
    }
}

impl Cluster {
    /// Changes a topic's settings (IncrementalAlterConfigs).
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn alter_topic_settings(
        &self,
        topic: &str,
        changes: Vec<SettingChange>,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Changes(changes);
        self.alter_topic(topic, &alteration, validate_only).await
    }

    /// Gives a topic exactly these settings (AlterConfigs).
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn replace_topic_settings(
        &self,
        topic: &str,
        settings: SettingTexts,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Replacement(settings);
        self.alter_topic(topic, &alteration, validate_only).await
    }

    /// Changes the dynamic settings of this broker or of all (IncrementalAlterConfigs).
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn alter_broker_settings(
        &self,
        target: BrokerTarget,
        changes: Vec<SettingChange>,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Changes(changes);
        self.alter_broker(target, &alteration, validate_only).await
    }

    /// Gives this broker or all exactly these dynamic settings (AlterConfigs).
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn replace_broker_settings(
        &self,
        target: BrokerTarget,
        settings: SettingTexts,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Replacement(settings);
        self.alter_broker(target, &alteration, validate_only).await
    }

    /// Changes a group's settings (IncrementalAlterConfigs). The group need not exist.
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn alter_group_settings(
        &self,
        group: &str,
        changes: Vec<SettingChange>,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Changes(changes);
        self.alter_group(group, &alteration, validate_only).await
    }

    /// Gives a group exactly these settings (AlterConfigs).
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn replace_group_settings(
        &self,
        group: &str,
        settings: SettingTexts,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Replacement(settings);
        self.alter_group(group, &alteration, validate_only).await
    }

    /// Changes the settings of a subscription to clients' metrics (IncrementalAlterConfigs). The first setting makes the
    /// subscription, the last one that is deleted ends it.
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn alter_client_metrics(
        &self,
        subscription: &str,
        changes: Vec<SettingChange>,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Changes(changes);
        self.alter_subscription(subscription, &alteration, validate_only)
            .await
    }

    /// Gives a subscription to clients' metrics exactly these settings (AlterConfigs).
    ///
    /// # Errors
    /// See [`AlterSettingsError`]; nothing changed then.
    pub async fn replace_client_metrics(
        &self,
        subscription: &str,
        settings: SettingTexts,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let alteration = Alteration::Replacement(settings);
        self.alter_subscription(subscription, &alteration, validate_only)
            .await
    }

    async fn alter_group(
        &self,
        group: &str,
        alteration: &Alteration,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        if group.is_empty() {
            return Err(AlterSettingsError::NoGroup);
        }
        let key = keys::group(group);
        self.alter(validate_only, |image| {
            let current = image.own_group_settings(group);
            let settings = alteration.apply(Scope::Group, current)?;
            check_group(&settings, &image.broker.layers).map_err(AlterSettingsError::Setting)?;
            Ok(put_settings(image, &key, current, &settings))
        })
        .await
    }

    async fn alter_subscription(
        &self,
        subscription: &str,
        alteration: &Alteration,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        if subscription.is_empty() {
            return Err(AlterSettingsError::NoSubscription);
        }
        let key = keys::client_metrics(subscription);
        self.alter(validate_only, |image| {
            let current = image.own_client_metrics(subscription);
            let settings = alteration.apply(Scope::ClientMetrics, current)?;
            check_client_metrics(&settings)?;
            Ok(put_settings(image, &key, current, &settings))
        })
        .await
    }

    async fn alter(
        &self,
        validate_only: bool,
        plan: impl Fn(&ClusterImage) -> Result<Transaction, AlterSettingsError>,
    ) -> Result<(), AlterSettingsError> {
        self.transact(|image| match plan(image) {
            Ok(transaction) if !validate_only => (transaction, Ok(())),
            Ok(_) => (Transaction::default(), Ok(())),
            Err(error) => (Transaction::default(), Err(error)),
        })
        .await?
    }

    async fn alter_topic(
        &self,
        name: &str,
        alteration: &Alteration,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        self.alter(validate_only, |image| {
            let topic = image.topic(name).ok_or(AlterSettingsError::UnknownTopic)?;
            let settings = alteration.apply(Scope::Topic, &topic.settings)?;
            check_topic(&settings, &image.broker.layers).map_err(AlterSettingsError::Setting)?;
            let mut transaction = Transaction::default();
            if settings != topic.settings {
                let mut stored = topic.stored();
                stored.settings = settings;
                let key = keys::topic(name);
                transaction.expect(key.clone(), Some(topic.mod_revision));
                transaction.put(key, stored.write());
            }
            Ok(transaction)
        })
        .await
    }

    async fn alter_broker(
        &self,
        target: BrokerTarget,
        alteration: &Alteration,
        validate_only: bool,
    ) -> Result<(), AlterSettingsError> {
        let key = match target {
            BrokerTarget::All => keys::BROKER_DEFAULTS.to_owned(),
            BrokerTarget::One(node) if node == self.node_id => keys::broker(node),
            BrokerTarget::One(found) => {
                return Err(AlterSettingsError::OtherBroker {
                    expected: self.node_id,
                    found,
                });
            }
        };
        self.alter(validate_only, |image| {
            let layers = &image.broker.layers;
            let current = match target {
                BrokerTarget::All => layers.default_dynamic(),
                BrokerTarget::One(_) => layers.own_dynamic(),
            };
            let settings = alteration.apply(Scope::Broker, current)?;
            check_dynamic(target, &settings)?;
            check_min_insync_replicas(image, target, alteration, (current, &settings))?;
            let layers = match target {
                BrokerTarget::All => {
                    layers.with_dynamic(settings.clone(), layers.own_dynamic().clone())
                }
                BrokerTarget::One(_) => {
                    layers.with_dynamic(layers.default_dynamic().clone(), settings.clone())
                }
            };
            check_broker(&layers).map_err(AlterSettingsError::BrokerSetting)?;
            Ok(put_settings(image, &key, current, &settings))
        })
        .await
    }
}

/// Which of the settings may be altered while the broker runs, and for whom.
fn check_dynamic(target: BrokerTarget, settings: &SettingTexts) -> Result<(), AlterSettingsError> {
    for name in settings.keys() {
        let setting: &Setting = Scope::Broker
            .get(name)
            .map_err(AlterSettingsError::Setting)?;
        let is_for_listener = setting.name != name;
        match setting.update {
            Update::ReadOnly => return Err(AlterSettingsError::ReadOnly(name.clone())),
            Update::PerBroker if !is_for_listener && name.starts_with("ssl.") => {
                return Err(AlterSettingsError::PerListenerOnly(name.clone()));
            }
            Update::PerBroker if target == BrokerTarget::All => {
                return Err(AlterSettingsError::PerBrokerOnly(name.clone()));
            }
            Update::PerBroker | Update::ClusterWide => {}
        }
    }
    Ok(())
}

/// `ConfigurationControlManager.isDisallowedBrokerMinIsrTransition` and its sister for the cluster.
fn check_min_insync_replicas(
    image: &ClusterImage,
    target: BrokerTarget,
    alteration: &Alteration,
    (before, after): (&SettingTexts, &SettingTexts),
) -> Result<(), AlterSettingsError> {
    if image.features.level(ELIGIBLE_LEADER_REPLICAS_VERSION) == 0 {
        return Ok(());
    }
    let name = MIN_INSYNC_REPLICAS;
    let is_named = alteration.names(name);
    match target {
        BrokerTarget::One(_) if is_named => Err(AlterSettingsError::BrokerMinInsyncReplicas),
        BrokerTarget::All
            if !after.contains_key(name) && (is_named || before.contains_key(name)) =>
        {
            Err(AlterSettingsError::ClusterMinInsyncReplicas)
        }
        _ => Ok(()),
    }
}

fn put_settings(
    image: &ClusterImage,
    key: &str,
    current: &SettingTexts,
    settings: &SettingTexts,
) -> Transaction {
    let mut transaction = Transaction::default();
    if settings != current {
        transaction.expect(key.to_owned(), image.settings_revision(key));
        if settings.is_empty() {
            transaction.delete(key.to_owned());
        } else {
            transaction.put(key.to_owned(), keys::write_texts(settings));
        }
    }
    transaction
}
