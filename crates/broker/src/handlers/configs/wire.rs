//! Config resources, sources and types as numbers of the wire.

use metadata::settings::{ConfigSource, SettingType};

/// What has configs (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ResourceType {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl ResourceType {
    /// The type with this number.
    pub(super) fn from_wire(number: i8) -> Option<Self> {
        Some(match number {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            _ => return None,
        })
    }
}

impl ResourceType {
    /// The number of the type.
    pub(super) fn to_wire(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }
}

/// The number of a source (`DescribeConfigsResponse.ConfigSource`).
pub(crate) fn source(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::Topic => 1,
        ConfigSource::DynamicBroker => 2,
        ConfigSource::DynamicDefaultBroker => 3,
        ConfigSource::StaticBroker => 4,
        ConfigSource::Default => 5,
        ConfigSource::ClientMetrics => 7,
        ConfigSource::Group => 8,
    }
}

/// The source of a log level; no setting has it.
pub(super) const LOGGER_SOURCE: i8 = 6;

/// The number of a type (`DescribeConfigsResponse.ConfigType`).
pub(super) fn config_type(kind: SettingType) -> i8 {
    match kind {
        SettingType::Boolean => 1,
        SettingType::String => 2,
        SettingType::Int => 3,
        SettingType::Short => 4,
        SettingType::Long => 5,
        SettingType::Double => 6,
        SettingType::List => 7,
        SettingType::Class => 8,
        SettingType::Password => 9,
    }
}
