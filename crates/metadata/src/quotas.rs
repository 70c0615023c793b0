//! Quotas of clients (KIP-13, KIP-124, KIP-546, KIP-599, KIP-612): who has which.
//!
//! Invariant: what is stored is a quota that its entity may have, above zero and finite. Nothing here throttles: the broker
//! does, with what it finds here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Bytes a second that a client may produce.
pub const PRODUCER_BYTE_RATE: &str = "producer_byte_rate";
/// Bytes a second that a client may fetch.
pub const CONSUMER_BYTE_RATE: &str = "consumer_byte_rate";
/// The share of one thread's time that a client's requests may take, in per cent; several threads add up.
pub const REQUEST_PERCENTAGE: &str = "request_percentage";
/// Partitions a second that a client may create or delete.
pub const CONTROLLER_MUTATION_RATE: &str = "controller_mutation_rate";
/// Connections a second that an address may open.
pub const CONNECTION_CREATION_RATE: &str = "connection_creation_rate";

/// A part of an entity: one by name, or all that have no quota of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityName {
    /// Those without a quota of their own.
    Default,
    /// This one.
    Named(String),
}

impl EntityName {
    /// The name; `None` stands for the default, as on the wire.
    pub fn as_deref(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

impl From<Option<String>> for EntityName {
    fn from(name: Option<String>) -> Self {
        name.map_or(Self::Default, Self::Named)
    }
}

/// The kinds of parts an entity can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// `user`: who the client authenticated as.
    User,
    /// `client-id`: what the client calls itself.
    ClientId,
    /// `ip`: where it connects from.
    Ip,
}

impl EntityKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::User, Self::ClientId, Self::Ip];

    /// The kind's name on the wire and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
        }
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Who a quota is for: a user, a client id, both, or an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaEntity {
    parts: BTreeMap<EntityKind, EntityName>,
}

impl QuotaEntity {
    /// An entity of these parts; of two of the same kind the last counts.
    pub fn new(parts: impl IntoIterator<Item = (EntityKind, EntityName)>) -> Self {
        Self {
            parts: parts.into_iter().collect(),
        }
    }

    /// Its parts.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (EntityKind, &EntityName)> {
        self.parts.iter().map(|(kind, name)| (*kind, name))
    }

    /// Its part of this kind.
    pub fn part(&self, kind: EntityKind) -> Option<&EntityName> {
        self.parts.get(&kind)
    }

    /// The entity as part of a key of the store: JSON, with the parts in order.
    pub(crate) fn to_key(&self) -> String {
        let parts: BTreeMap<_, _> = self
            .parts()
            .map(|(kind, name)| (kind.name(), name.as_deref()))
            .collect();
        serde_json::to_string(&parts).expect("a map of texts is always JSON")
    }

    pub(crate) fn of_key(key: &str) -> Option<Self> {
        let parts: BTreeMap<String, Option<String>> = serde_json::from_str(key).ok()?;
        let parts = parts
            .into_iter()
            .map(|(kind, name)| Some((EntityKind::of_name(&kind)?, EntityName::from(name))));
        Some(Self {
            parts: parts.collect::<Option<_>>()?,
        })
    }

    /// The quotas this entity may have.
    ///
    /// # Errors
    /// When no entity can have these parts.
    pub(crate) fn check(&self) -> Result<&'static [QuotaKey], QuotaError> {
        if self.parts.is_empty() {
            return Err(QuotaError::NoEntity);
        }
        for (kind, name) in self.parts() {
            if name.as_deref() == Some("") {
                return Err(QuotaError::EmptyName(kind.name()));
            }
        }
        let Some(address) = self.part(EntityKind::Ip) else {
            return Ok(CLIENT_QUOTAS);
        };
        if self.parts.len() > 1 {
            return Err(QuotaError::IpWithOthers);
        }
        match address {
            EntityName::Named(address) if address.parse::<IpAddr>().is_err() => {
                Err(QuotaError::NoAddress(address.clone()))
            }
            _ => Ok(IP_QUOTAS),
        }
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, name)) in self.parts().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let name = name.as_deref().unwrap_or("<default>");
            write!(formatter, "{separator}{} {name}", kind.name())?;
        }
        Ok(())
    }
}

/// A quota that can be set, with the greatest value that its type in Kafka takes; `None`: any, fractions too.
pub(crate) struct QuotaKey {
    pub(crate) name: &'static str,
    integer_max: Option<f64>,
}

/// `QuotaConfig.userAndClientQuotaConfigs`. The greatest LONG rounds up to 2^63 as a double, and so it is compared.
static CLIENT_QUOTAS: &[QuotaKey] = &[
    QuotaKey {
        name: PRODUCER_BYTE_RATE,
        integer_max: Some(i64::MAX as f64),
    },
    QuotaKey {
        name: CONSUMER_BYTE_RATE,
        integer_max: Some(i64::MAX as f64),
    },
    QuotaKey {
        name: REQUEST_PERCENTAGE,
        integer_max: None,
    },
    QuotaKey {
        name: CONTROLLER_MUTATION_RATE,
        integer_max: None,
    },
];

/// `QuotaConfig.ipConfigs`.
static IP_QUOTAS: &[QuotaKey] = &[QuotaKey {
    name: CONNECTION_CREATION_RATE,
    integer_max: Some(i32::MAX as f64),
}];

/// What a fraction may differ from a whole number and still be one (`ClientQuotaControlManager`).
const FRACTION_MAX: f64 = 1e-6;

/// Checks one value (`ClientQuotaControlManager.validateQuotaKeyValue`). Infinite values, which Kafka takes for a rate that
/// is no limit, are refused.
pub(crate) fn check_value(keys: &[QuotaKey], name: &str, value: f64) -> Result<(), QuotaError> {
    let key = keys.iter().find(|key| key.name == name);
    let key = key.ok_or_else(|| QuotaError::UnknownKey(name.to_owned()))?;
    let refuse = |problem: QuotaProblem| {
        Err(QuotaError::Value {
            key: key.name,
            value,
            problem,
        })
    };
    if !value.is_finite() {
        return refuse(QuotaProblem::NotANumber);
    }
    if value <= 0.0 {
        return refuse(QuotaProblem::NotPositive);
    }
    if let Some(max) = key.integer_max {
        if value > max {
            return refuse(QuotaProblem::TooLarge);
        }
        if (value % 1.0).abs() > FRACTION_MAX {
            return refuse(QuotaProblem::Fraction);
        }
    }
    Ok(())
}

/// Why a quota was not altered. INVALID_REQUEST(42), each of them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QuotaError {
    /// Nobody is named.
    #[error("the entity has no parts")]
    NoEntity,
    /// A part that is none.
    #[error("unknown entity type {0:?}")]
    UnknownKind(String),
    /// A part without a name is the default; an empty name is nothing.
    #[error("the {0} must not be empty")]
    EmptyName(&'static str),
    /// Addresses have quotas of their own.
    #[error("an ip cannot be combined with a user or a client id")]
    IpWithOthers,
    /// Host names are not resolved.
    #[error("{0:?} is no ip address")]
    NoAddress(String),
    /// The entity cannot have such a quota.
    #[error("unknown quota {0:?}")]
    UnknownKey(String),
    /// A quota is in the request more than once.
    #[error("quota {0} is changed more than once")]
    DuplicateKey(String),
    /// The entity is in the request more than once; what was said first happened.
    #[error("the entity is changed more than once")]
    DuplicateEntity,
    /// The quota does not take the value.
    #[error("invalid value {value} for {key}: {problem}")]
    Value {
        /// The quota.
        key: &'static str,
        /// The value.
        value: f64,
        /// What is wrong with it.
        problem: QuotaProblem,
    },
}

/// What is wrong with a quota's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaProblem {
    /// It is infinite, or none at all.
    #[error("not a number")]
    NotANumber,
    /// It is zero or less.
    #[error("it must be above 0")]
    NotPositive,
    /// It does not fit into its type.
    #[error("it is too large")]
    TooLarge,
    /// It is no whole number.
    #[error("it must be a whole number")]
    Fraction,
}

/// The quotas of one entity, by name.
pub type QuotaValues = BTreeMap<String, f64>;

/// Every quota.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientQuotas {
    entities: BTreeMap<QuotaEntity, QuotaValues>,
}

impl ClientQuotas {
    /// Every entity with its quotas.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&QuotaEntity, &QuotaValues)> {
        self.entities.iter()
    }

    /// The quotas of an entity.
    pub fn of(&self, entity: &QuotaEntity) -> Option<&QuotaValues> {
        self.entities.get(entity)
    }

    /// True if nobody has a quota.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    pub(crate) fn put(&mut self, entity: QuotaEntity, values: QuotaValues) {
        if values.is_empty() {
            self.entities.remove(&entity);
        } else {
            self.entities.insert(entity, values);
        }
    }
}

/// The JSON of an entity's quotas.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct QuotaJson(pub(crate) QuotaValues);

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(parts: &[(EntityKind, Option<&str>)]) -> QuotaEntity {
        let part = |(kind, name): &(EntityKind, Option<&str>)| {
            (*kind, EntityName::from(name.map(str::to_owned)))
        };
        QuotaEntity::new(parts.iter().map(part))
    }

    #[test]
    fn a_key_leads_back_to_its_entity() {
        use EntityKind::{ClientId, Ip, User};
        for parts in [
            &[(User, Some("alice"))][..],
            &[(User, None), (ClientId, Some("a/b \"c\""))],
            &[(ClientId, None)],
            &[(Ip, Some("10.0.0.1"))],
        ] {
            let entity = entity(parts);
            assert_eq!(QuotaEntity::of_key(&entity.to_key()), Some(entity));
        }
        assert_eq!(QuotaEntity::of_key("{\"planet\":null}"), None);
        assert_eq!(QuotaEntity::of_key("nothing"), None);
    }

    #[test]
    fn entities_have_the_quotas_of_their_kind() {
        use EntityKind::{ClientId, Ip, User};
        for (parts, key, allowed) in [
            (&[(User, None)][..], PRODUCER_BYTE_RATE, true),
            (
                &[(User, Some("a")), (ClientId, None)],
                REQUEST_PERCENTAGE,
                true,
            ),
            (&[(User, None)], CONNECTION_CREATION_RATE, false),
            (&[(Ip, None)], CONNECTION_CREATION_RATE, true),
            (&[(Ip, Some("::1"))], CONNECTION_CREATION_RATE, true),
            (&[(Ip, Some("localhost"))], CONNECTION_CREATION_RATE, false),
            (&[(Ip, None)], PRODUCER_BYTE_RATE, false),
            (&[(Ip, None), (User, None)], CONNECTION_CREATION_RATE, false),
            (&[(User, Some(""))], PRODUCER_BYTE_RATE, false),
            (&[], PRODUCER_BYTE_RATE, false),
        ] {
            let entity = entity(parts);
            let outcome = entity.check().and_then(|keys| check_value(keys, key, 1.0));
            assert_eq!(outcome.is_ok(), allowed, "{key} of {entity}: {outcome:?}");
        }
    }

    #[test]
    fn values_are_positive_and_of_their_type() {
        for (key, value, allowed) in [
            (PRODUCER_BYTE_RATE, 1.0, true),
            (PRODUCER_BYTE_RATE, 1.5, false),
            (PRODUCER_BYTE_RATE, 0.0, false),
            (PRODUCER_BYTE_RATE, -1.0, false),
            (PRODUCER_BYTE_RATE, 1e19, false),
            (REQUEST_PERCENTAGE, 0.5, true),
            (REQUEST_PERCENTAGE, f64::NAN, false),
            (REQUEST_PERCENTAGE, f64::INFINITY, false),
            (CONTROLLER_MUTATION_RATE, 0.1, true),
        ] {
            let outcome = check_value(CLIENT_QUOTAS, key, value);
            assert_eq!(outcome.is_ok(), allowed, "{key}={value}");
        }
        assert!(check_value(IP_QUOTAS, CONNECTION_CREATION_RATE, 3e9).is_err());
    }
}
