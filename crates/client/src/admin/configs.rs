//! Settings of topics and brokers: reading them with their sources, changing them one by one (KIP-339).

use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::AdminError;
use crate::cluster::{Cluster, Lane, Target};
use crate::refusal;

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// One broker's.
    Broker(i32),
    /// Those that all brokers share.
    AllBrokers,
    /// A group's.
    Group(String),
}

impl ConfigResource {
    /// Type and name on the wire (`ConfigResource.Type`).
    fn wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.to_string()),
            Self::AllBrokers => (4, String::new()),
            Self::Group(name) => (32, name.clone()),
        }
    }

    /// A broker's own settings are only known to itself.
    fn target(&self) -> Target {
        match self {
            Self::Broker(id) => Target::Broker(*id),
            _ => Target::Any,
        }
    }
}

impl std::fmt::Display for ConfigResource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(formatter, "topic '{name}'"),
            Self::Broker(id) => write!(formatter, "broker {id}"),
            Self::AllBrokers => formatter.write_str("all brokers"),
            Self::Group(name) => write!(formatter, "group '{name}'"),
        }
    }
}

/// Where a setting's value comes from (`ConfigEntry.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it runs.
    Broker,
    /// Set for all brokers while they run.
    AllBrokers,
    /// From the broker's file, flags or environment.
    File,
    /// Nobody set it.
    Default,
    /// Set on the group.
    Group,
    /// A source we do not know.
    Other(i8),
}

impl ConfigSource {
    fn read(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::File,
            5 => Self::Default,
            8 => Self::Group,
            other => Self::Other(other),
        }
    }

    /// Kafka's name, as its tools print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "DYNAMIC_TOPIC_CONFIG",
            Self::Broker => "DYNAMIC_BROKER_CONFIG",
            Self::AllBrokers => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::File => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
            Self::Group => "GROUP_CONFIG",
            Self::Other(_) => "UNKNOWN",
        }
    }

    /// Whether somebody changed it while the cluster runs.
    pub const fn is_dynamic(self) -> bool {
        matches!(
            self,
            Self::Topic | Self::Broker | Self::AllBrokers | Self::Group
        )
    }
}

/// Another name or layer that has a say in a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The setting.
    pub name: String,
    /// Its value there.
    pub value: Option<String>,
    /// The layer.
    pub source: ConfigSource,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; hidden if sensitive.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while the broker runs.
    pub is_read_only: bool,
    /// Whether its value is a secret.
    pub is_sensitive: bool,
    /// What would count without the value, first to last.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it does, if asked for.
    pub documentation: Option<String>,
}

/// The settings of a resource: those named, or all.
pub async fn describe_configs(
    cluster: &Cluster,
    resource: &ConfigResource,
    names: Option<&[String]>,
    with_documentation: bool,
) -> Result<Vec<ConfigEntry>, AdminError> {
    let (resource_type, resource_name) = resource.wire();
    if matches!(resource.target(), Target::Broker(_)) {
        cluster
            .metadata(crate::cluster::TopicSelection::None)
            .await?;
    }
    let connection = cluster.connection(resource.target(), Lane::Control).await;
    let connection = connection.map_err(crate::connection::CallError::from)?;
    let version = connection.version_of::<DescribeConfigsRequest>(i16::MAX)?;
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: names.map(<[String]>::to_vec),
        }],
        include_synonyms: true,
        include_documentation: with_documentation && version >= 3,
    };
    let limit = cluster.config().request_timeout;
    let response = connection.call_version(&request, version, limit).await?;
    let result = response.results.into_iter().next();
    let result = result.ok_or_else(|| AdminError::Missing {
        subject: resource.to_string(),
    })?;
    refusal::check(result.error_code, result.error_message.as_deref()).map_err(|source| {
        AdminError::Refused {
            attempted: format!("read the settings of {resource}"),
            source,
        }
    })?;
    Ok(result.configs.into_iter().map(read).collect())
}

fn read(config: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: config.name,
        value: config.value,
        source: ConfigSource::read(config.config_source),
        is_read_only: config.read_only,
        is_sensitive: config.is_sensitive,
        synonyms: config
            .synonyms
            .into_iter()
            .map(|synonym| ConfigSynonym {
                name: synonym.name,
                value: synonym.value,
                source: ConfigSource::read(synonym.source),
            })
            .collect(),
        documentation: config.documentation,
    }
}

/// What to do with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Give it this value.
    Set(String),
    /// Let the default count again.
    Delete,
    /// Add to a list.
    Append(String),
    /// Take out of a list.
    Subtract(String),
}

/// A change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The setting.
    pub name: String,
    /// What to do.
    pub operation: ConfigOperation,
}

/// Changes settings of one resource, all or none.
pub async fn alter_configs(
    cluster: &Cluster,
    resource: &ConfigResource,
    changes: &[ConfigChange],
    validate_only: bool,
) -> Result<(), AdminError> {
    let (resource_type, resource_name) = resource.wire();
    if matches!(resource.target(), Target::Broker(_)) {
        cluster
            .metadata(crate::cluster::TopicSelection::None)
            .await?;
    }
    let configs = changes.iter().map(|change| {
        let (config_operation, value) = match &change.operation {
            ConfigOperation::Set(value) => (0, Some(value.clone())),
            ConfigOperation::Delete => (1, None),
            ConfigOperation::Append(value) => (2, Some(value.clone())),
            ConfigOperation::Subtract(value) => (3, Some(value.clone())),
        };
        AlterableConfig {
            name: change.name.clone(),
            config_operation,
            value,
        }
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name,
            configs: configs.collect(),
        }],
        validate_only,
    };
    let response = cluster
        .call(resource.target(), Lane::Control, &request)
        .await?;
    let result = response.responses.into_iter().next();
    let result = result.ok_or_else(|| AdminError::Missing {
        subject: resource.to_string(),
    })?;
    refusal::check(result.error_code, result.error_message.as_deref()).map_err(|source| {
        AdminError::Refused {
            attempted: format!("change the settings of {resource}"),
            source,
        }
    })
}
