//! Reading the text of a setting as its type demands (`ConfigDef.parseType` and its validators), and back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use contract::{Contract, ContractError};

use super::definition::{Allowed, Effect, Setting, SettingType};

/// Longest text of one setting; Kafka has no limit, a request could be 100 MiB of it.
pub const VALUE_LENGTH_MAX: usize = 64 * 1024;

/// A value of the type its setting has.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not set, and no default.
    Null,
    /// Of type boolean.
    Boolean(bool),
    /// Of type int, short or long.
    Integer(i64),
    /// Of type double.
    Double(f64),
    /// Of type string, class or password.
    Text(String),
    /// Of type list.
    List(Vec<String>),
}

/// As `ConfigDef.convertToString` prints it; null is empty.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Boolean(value) => value.fmt(formatter),
            Self::Integer(value) => value.fmt(formatter),
            Self::Double(value) => formatter.write_str(&java_double(*value)),
            Self::Text(value) => formatter.write_str(value),
            Self::List(items) => formatter.write_str(&items.join(",")),
        }
    }
}

/// `Double.toString`: at least one digit after the point; an exponent from 10^7 up and below 10^-3.
fn java_double(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => scientific,
    }
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// It is not of the setting's type.
    #[error("must be {0}")]
    Type(&'static str),
    /// It is of the type, but outside of what is allowed.
    #[error("must be {0}")]
    NotAllowed(Allowed),
    /// A list has an empty item.
    #[error("must not have empty items")]
    EmptyItem,
    /// It is no contract.
    #[error(transparent)]
    Contract(#[from] Box<ContractError>),
    /// The text is longer than [`VALUE_LENGTH_MAX`].
    #[error("must not be longer than {VALUE_LENGTH_MAX} bytes")]
    TooLong,
    /// What the value asks for is not there.
    #[error("must be {}: what it asks for is not supported", default_shown(*.0))]
    DefaultOnly(Option<&'static str>),
    /// It contradicts another setting.
    #[error("must be {relation} {other} ({other_value})")]
    Conflict {
        /// How it must relate, as "at most".
        relation: &'static str,
        /// The other setting.
        other: &'static str,
        /// What the other setting is.
        other_value: String,
    },
}

fn default_shown(default: Option<&'static str>) -> &'static str {
    match default {
        None => "left out",
        Some("") => "empty",
        Some(default) => default,
    }
}

impl Setting {
    /// Reads `text` as a value of this setting.
    ///
    /// # Errors
    /// When the text is not of the type, not allowed, or asks for behaviour that is not there.
    pub fn parse(&self, text: &str) -> Result<Value, Problem> {
        if text.len() > VALUE_LENGTH_MAX {
            return Err(Problem::TooLong);
        }
        let value = read(self.kind, text.trim())?;
        if !is_allowed(self.allowed, &value)? {
            return Err(Problem::NotAllowed(self.allowed));
        }
        if self.effect == Effect::DefaultOnly && value != self.default_value() {
            return Err(Problem::DefaultOnly(self.default));
        }
        Ok(value)
    }

    /// The value when nobody sets it.
    pub fn default_value(&self) -> Value {
        match self.default {
            None => Value::Null,
            // The tables are tested to have readable defaults.
            Some(text) => read(self.kind, text).unwrap_or(Value::Null),
        }
    }
}

fn read(kind: SettingType, text: &str) -> Result<Value, Problem> {
    let integer = |least: i64, most: i64, name| match text.parse::<i64>() {
        Ok(value) if (least..=most).contains(&value) => Ok(Value::Integer(value)),
        _ => Err(Problem::Type(name)),
    };
    match kind {
        SettingType::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        SettingType::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        SettingType::Boolean => Err(Problem::Type("true or false")),
        SettingType::Short => integer(i16::MIN.into(), i16::MAX.into(), "a 16 bit number"),
        SettingType::Int => integer(i32::MIN.into(), i32::MAX.into(), "a 32 bit number"),
        SettingType::Long => integer(i64::MIN, i64::MAX, "a 64 bit number"),
        SettingType::Double => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Double(value)),
            _ => Err(Problem::Type("a number")),
        },
        SettingType::String | SettingType::Class | SettingType::Password => {
            Ok(Value::Text(text.to_owned()))
        }
        SettingType::List if text.is_empty() => Ok(Value::List(Vec::new())),
        SettingType::List => Ok(Value::List(
            text.split(',').map(|item| item.trim().to_owned()).collect(),
        )),
    }
}

fn is_allowed(allowed: Allowed, value: &Value) -> Result<bool, Problem> {
    if let Value::List(items) = value
        && items.iter().any(String::is_empty)
    {
        return Err(Problem::EmptyItem);
    }
    Ok(match (allowed, value) {
        (Allowed::AtLeast(least), Value::Integer(value)) => *value >= least,
        (Allowed::Between(least, most), Value::Integer(value)) => (least..=most).contains(value),
        (Allowed::BetweenOr(least, most, other), Value::Integer(value)) => {
            (least..=most).contains(value) || *value == other
        }
        (Allowed::Fraction(least, most), Value::Double(value)) => (least..=most).contains(value),
        (Allowed::OneOf(words), Value::Text(value)) => words.contains(&value.as_str()),
        (Allowed::OneOf(words), Value::List(items)) => {
            items.iter().all(|item| words.contains(&item.as_str()))
        }
        (Allowed::OneOfAnyCase(words), Value::Text(value)) => {
            words.iter().any(|word| word.eq_ignore_ascii_case(value))
        }
        (Allowed::NotEmpty, Value::Text(value)) => !value.is_empty(),
        (Allowed::NotEmpty, Value::List(items)) => !items.is_empty(),
        (Allowed::ThrottledReplicas, Value::List(items)) => are_throttled_replicas(items),
        (Allowed::AddressLimits, Value::Text(value)) => address_limits(value).is_some(),
        (Allowed::ShareOffsetReset, Value::Text(value)) => is_share_offset_reset(value),
        (Allowed::Contract, Value::Text(value)) => {
            Contract::parse(value).map_err(Box::new)?;
            true
        }
        _ => true,
    })
}

/// `ThrottledReplicaListValidator`.
fn are_throttled_replicas(items: &[String]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |item: &String| {
        item.split_once(':')
            .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    matches!(items, [item] if item == "*") || items.iter().all(is_pair)
}

/// `max.connections.per.ip.overrides`: `address:limit,…`. Unlike Kafka no host names, whose addresses change.
pub(super) fn address_limits(text: &str) -> Option<BTreeMap<IpAddr, u32>> {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (address, limit) = item.rsplit_once(':')?;
            Some((address.parse().ok()?, limit.parse().ok()?))
        })
        .collect()
}

/// `ShareGroupAutoOffsetResetStrategy`: a duration as `java.time.Duration.parse` reads it, not negative.
fn is_share_offset_reset(value: &str) -> bool {
    match value.split_once(':') {
        Some((word, duration)) if word.eq_ignore_ascii_case("by_duration") => {
            is_iso_duration(duration)
        }
        _ => value.eq_ignore_ascii_case("latest") || value.eq_ignore_ascii_case("earliest"),
    }
}

/// `PnDTnHnMn.nS`, each part once and in this order, at least one.
fn is_iso_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some(rest) = text.strip_prefix('P') else {
        return false;
    };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let parts = |mut rest: &str, units: &[char]| {
        let mut count = 0;
        for &unit in units {
            if let Some((number, after)) = rest.split_once(unit) {
                let fraction_allowed = unit == 'S';
                let fits = if fraction_allowed {
                    number.parse::<f64>().is_ok_and(|seconds| seconds >= 0.0)
                } else {
                    number.parse::<u64>().is_ok()
                };
                if !fits {
                    return None;
                }
                count += 1;
                rest = after;
            }
        }
        rest.is_empty().then_some(count)
    };
    match (
        parts(days, &['D']),
        time.map(|time| parts(time, &['H', 'M', 'S'])),
    ) {
        (Some(days), None) => days > 0,
        (Some(_), Some(Some(times))) => times > 0,
        _ => false,
    }
}
