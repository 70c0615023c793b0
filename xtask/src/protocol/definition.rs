//! Kafka's message definitions as data (`generator/.../message/{MessageSpec,FieldSpec,Versions}.java`).

use anyhow::{Context, Result, bail};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Request,
    Response,
    Header,
    Data,
    CoordinatorKey,
    CoordinatorValue,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageSpec {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) api_key: Option<i16>,
    #[serde(default)]
    listeners: Vec<String>,
    valid_versions: Versions,
    pub(super) flexible_versions: Option<Versions>,
    #[serde(default)]
    latest_version_unstable: bool,
    #[serde(default)]
    pub(super) fields: Vec<FieldSpec>,
    #[serde(default)]
    common_structs: Vec<CommonStruct>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommonStruct {
    name: String,
    versions: Versions,
    fields: Vec<FieldSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldSpec {
    pub(super) name: String,
    #[serde(rename = "type")]
    type_name: String,
    versions: Option<Versions>,
    #[serde(default)]
    pub(super) nullable_versions: Versions,
    #[serde(default)]
    pub(super) tagged_versions: Versions,
    pub(super) tag: Option<u32>,
    /// Overrides the message's, only for strings and bytes.
    pub(super) flexible_versions: Option<Versions>,
    default: Option<serde_json::Value>,
    #[serde(default, deserialize_with = "truth")]
    pub(super) ignorable: bool,
    #[serde(default)]
    fields: Vec<FieldSpec>,
}

/// One definition has `"true"` in quotes, which Kafka's parser takes too.
fn truth<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value == serde_json::Value::Bool(true)
        || value == serde_json::Value::String("true".to_owned()))
}

/// A closed range of versions; empty if `low` is above `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Versions {
    pub(super) low: i16,
    pub(super) high: i16,
}

impl Versions {
    pub(super) const NONE: Self = Self { low: 0, high: -1 };

    pub(super) fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub(super) fn intersect(self, other: Self) -> Self {
        let both = Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        };
        if both.is_empty() { Self::NONE } else { both }
    }

    pub(super) fn contains(self, version: i16) -> bool {
        (self.low..=self.high).contains(&version)
    }

    /// What remains without `other`, which must reach to the end.
    pub(super) fn before(self, other: Self) -> Self {
        if other.is_empty() {
            self
        } else {
            self.intersect(Self {
                low: i16::MIN,
                high: other.low - 1,
            })
        }
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self::NONE
    }
}

impl TryFrom<String> for Versions {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(low) = text.strip_suffix('+') {
            return Ok(Self {
                low: low.parse()?,
                high: i16::MAX,
            });
        }
        let (low, high) = text.split_once('-').unwrap_or((&text, &text));
        Ok(Self {
            low: low.parse()?,
            high: high.parse()?,
        })
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.low, self.high) {
            _ if self.is_empty() => write!(formatter, "none"),
            (low, i16::MAX) => write!(formatter, "{low}+"),
            (low, high) if low == high => write!(formatter, "{low}"),
            (low, high) => write!(formatter, "{low}–{high}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldType {
    Bool,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    F64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<FieldType>),
}

impl FieldType {
    fn parse(name: &str) -> Result<Self> {
        if let Some(element) = name.strip_prefix("[]") {
            return Ok(Self::Array(Box::new(Self::parse(element)?)));
        }
        Ok(match name {
            "bool" => Self::Bool,
            "int8" => Self::I8,
            "int16" => Self::I16,
            "uint16" => Self::U16,
            "int32" => Self::I32,
            "uint32" => Self::U32,
            "int64" => Self::I64,
            "float64" => Self::F64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            other if other.starts_with(|first: char| first.is_ascii_uppercase()) => {
                Self::Struct(other.to_owned())
            }
            other => bail!("unknown type {other}"),
        })
    }

    /// The struct it is made of, if any.
    pub(super) fn struct_name(&self) -> Option<&str> {
        match self {
            Self::Struct(name) => Some(name),
            Self::Array(element) => element.struct_name(),
            _ => None,
        }
    }
}

impl FieldSpec {
    /// Versions that have it; if not given, those in which it is tagged.
    pub(super) fn versions(&self) -> Versions {
        self.versions.unwrap_or(self.tagged_versions)
    }

    pub(super) fn kind(&self) -> Result<FieldType> {
        FieldType::parse(&self.type_name).with_context(|| self.name.clone())
    }

    /// Text of the default; empty if none is given, and JSON's null counts as none (as in Kafka's generator).
    pub(super) fn default_text(&self) -> String {
        match &self.default {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

/// A struct inside a message.
#[derive(Debug, Clone)]
pub(super) struct StructSpec {
    pub(super) name: String,
    pub(super) fields: Vec<FieldSpec>,
    /// Versions of the message in which it can occur.
    pub(super) versions: Versions,
}

impl MessageSpec {
    /// All versions we can read: those of the definition.
    pub(super) fn versions(&self) -> Versions {
        self.valid_versions
    }

    /// Highest version that is not marked unstable.
    pub(super) fn highest_stable(&self) -> i16 {
        self.valid_versions.high - i16::from(self.latest_version_unstable)
    }

    pub(super) fn flexible(&self) -> Versions {
        self.flexible_versions
            .unwrap_or(Versions::NONE)
            .intersect(self.versions())
    }

    pub(super) fn is_broker_request(&self) -> bool {
        self.kind == Kind::Request
            && !self.versions().is_empty()
            && self.listeners.iter().any(|name| name == "broker")
    }

    /// The message itself first, then its structs in the order of the definition.
    pub(super) fn structs(&self) -> Result<Vec<StructSpec>> {
        let mut structs = vec![StructSpec {
            name: self.name.clone(),
            fields: self.fields.clone(),
            versions: self.versions(),
        }];
        self.collect(&self.fields, self.versions(), false, &mut structs)?;
        Ok(structs)
    }

    fn collect(
        &self,
        fields: &[FieldSpec],
        possible: Versions,
        shared: bool,
        structs: &mut Vec<StructSpec>,
    ) -> Result<()> {
        for field in fields {
            let versions = field.versions().intersect(possible);
            let kind = field.kind()?;
            let Some(name) = kind.struct_name().filter(|_| !versions.is_empty()) else {
                continue;
            };
            let common = self
                .common_structs
                .iter()
                .find(|common| common.name == name);
            let (fields, versions) = match common {
                Some(common) => (&common.fields, versions.intersect(common.versions)),
                None => (&field.fields, versions),
            };
            match structs.iter_mut().find(|known| known.name == name) {
                // A common struct used in several places exists wherever one of them does.
                Some(known) if shared || common.is_some() => {
                    known.versions.low = known.versions.low.min(versions.low);
                    known.versions.high = known.versions.high.max(versions.high);
                }
                Some(_) => bail!("{}: two structs are named {name}", self.name),
                None => structs.push(StructSpec {
                    name: name.to_owned(),
                    fields: fields.clone(),
                    versions,
                }),
            }
            self.collect(fields, versions, shared || common.is_some(), structs)?;
        }
        Ok(())
    }
}

/// Parses a definition: JSON with `//` comments on lines of their own.
pub(super) fn parse(text: &str) -> Result<MessageSpec> {
    let json: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    Ok(serde_json::from_str(&json)?)
}
