//! What a setting is: its name, type, default, allowed values, effect and how it may change.
//!
//! Invariant: a table row says everything about its setting; nothing else in the code knows a setting's default or range.

use std::fmt;

/// One row of a table of settings.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Kafka's name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: SettingType,
    /// The default as Kafka prints it; `None` is null.
    pub default: Option<&'static str>,
    /// The values it takes, beyond being of its type.
    pub allowed: Allowed,
    /// For topic and group settings: the broker settings that stand in when it is not set, the strongest first.
    pub synonyms: &'static [&'static str],
    /// What setting it does here.
    pub effect: Effect,
    /// For broker settings: whether and how it changes while the broker runs.
    pub update: Update,
    /// One sentence for people.
    pub doc: &'static str,
}

/// The types of values (`org.apache.kafka.common.config.ConfigDef.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingType {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// A 32 bit number.
    Int,
    /// A 16 bit number.
    Short,
    /// A 64 bit number.
    Long,
    /// A number with a fraction.
    Double,
    /// Texts separated by commas.
    List,
    /// The name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

/// Values a setting takes, beyond being of its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    /// Every value of the type.
    Any,
    /// Numbers from this one up.
    AtLeast(i64),
    /// Numbers between the two, both included.
    Between(i64, i64),
    /// Numbers between the first two, both included, or the third.
    BetweenOr(i64, i64, i64),
    /// Fractions between the two, both included.
    Fraction(f64, f64),
    /// One of these words; of a list, every item.
    OneOf(&'static [&'static str]),
    /// One of these words, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// Text that is not empty.
    NotEmpty,
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
    /// A list of `address:limit`, the address an IP address.
    AddressLimits,
    /// `latest`, `earliest` or `by_duration:` with an ISO 8601 duration (KIP-932, KIP-1106).
    ShareOffsetReset,
    /// A contract: the declared columns and format of a topic's values.
    Contract,
}

impl fmt::Display for Allowed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("anything of its type"),
            Self::AtLeast(least) => write!(formatter, "at least {least}"),
            Self::Between(least, most) => write!(formatter, "between {least} and {most}"),
            Self::BetweenOr(least, most, other) => {
                write!(formatter, "between {least} and {most}, or {other}")
            }
            Self::Fraction(least, most) => write!(formatter, "between {least} and {most}"),
            Self::OneOf(words) | Self::OneOfAnyCase(words) => {
                write!(formatter, "one of {}", words.join(", "))
            }
            Self::NotEmpty => formatter.write_str("not empty"),
            Self::ThrottledReplicas => formatter.write_str("* or a list of partition:broker pairs"),
            Self::AddressLimits => formatter.write_str("a list of ADDRESS:LIMIT with IP addresses"),
            Self::ShareOffsetReset => {
                formatter.write_str("latest, earliest or by_duration:PnDTnHnMn.nS")
            }
            Self::Contract => formatter.write_str("a contract"),
        }
    }
}

/// What setting a setting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The broker behaves as it says.
    Honoured,
    /// Kept and shown; there is nothing here that it could change.
    Accepted,
    /// Kept and shown; honoured once there are several brokers.
    Cluster,
    /// Kept and shown; what it governs is not there yet.
    Later,
    /// Its behaviour is not there: any value but the default is refused.
    DefaultOnly,
}

/// How a broker setting changes while the broker runs (`DynamicBrokerConfig`, KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only at start.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker, or for all at once.
    ClusterWide,
}

const fn setting(name: &'static str, kind: SettingType) -> Setting {
    Setting {
        name,
        kind,
        default: None,
        allowed: Allowed::Any,
        synonyms: &[],
        effect: Effect::Accepted,
        update: Update::ReadOnly,
        doc: "",
    }
}

macro_rules! constructors {
    ($($function:ident $kind:ident),*) => {$(
        pub(super) const fn $function(name: &'static str) -> Setting {
            setting(name, SettingType::$kind)
        }
    )*};
}

constructors!(
    boolean Boolean, string String, int Int, short Short, long Long, double Double, list List, class Class,
    password Password
);

/// The words of a table row. What is not said is: null by default, any value, accepted, read-only.
impl Setting {
    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn at_least(mut self, least: i64) -> Self {
        self.allowed = Allowed::AtLeast(least);
        self
    }

    pub(super) const fn between(mut self, least: i64, most: i64) -> Self {
        self.allowed = Allowed::Between(least, most);
        self
    }

    pub(super) const fn fraction(mut self, least: f64, most: f64) -> Self {
        self.allowed = Allowed::Fraction(least, most);
        self
    }

    pub(super) const fn one_of(mut self, words: &'static [&'static str]) -> Self {
        self.allowed = Allowed::OneOf(words);
        self
    }

    pub(super) const fn allowed(mut self, allowed: Allowed) -> Self {
        self.allowed = allowed;
        self
    }

    pub(super) const fn from(mut self, synonyms: &'static [&'static str]) -> Self {
        self.synonyms = synonyms;
        self
    }

    pub(super) const fn honoured(mut self) -> Self {
        self.effect = Effect::Honoured;
        self
    }

    pub(super) const fn later(mut self) -> Self {
        self.effect = Effect::Later;
        self
    }

    pub(super) const fn cluster(mut self) -> Self {
        self.effect = Effect::Cluster;
        self
    }

    pub(super) const fn default_only(mut self) -> Self {
        self.effect = Effect::DefaultOnly;
        self
    }

    pub(super) const fn per_broker(mut self) -> Self {
        self.update = Update::PerBroker;
        self
    }

    pub(super) const fn cluster_wide(mut self) -> Self {
        self.update = Update::ClusterWide;
        self
    }

    pub(super) const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Values that are never shown.
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, SettingType::Password)
    }
}
