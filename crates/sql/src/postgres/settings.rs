//! The settings of one session: SET, SHOW, RESET.
//!
//! Invariant: what clients rely on keeps its meaning. A setting that would change how values are written is taken only with
//! the value that is true; others are remembered and have no effect. A ROLLBACK takes settings back, as in PostgreSQL.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::time::Duration;

use contract::nearest;
use datafusion::arrow::array::timezone::Tz;

use super::encode::Style;
use super::error::{PgError, state};

/// What `server_version` begins with: clients choose their queries and features by it.
pub(super) const SERVER_VERSION: &str =
    concat!("16.0 (Watertable ", env!("CARGO_PKG_VERSION"), ")");

/// Settings of these names belong to the engine.
pub(super) const ENGINE_PREFIX: &str = "watertable.";

/// How a setting may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// To anything.
    Free,
    /// To values that mean the same as its default.
    Fixed(&'static [&'static str]),
    /// Never.
    Internal,
    TimeZone,
    /// To a duration, in milliseconds if it has no unit.
    Timeout,
}

struct Setting {
    name: &'static str,
    default: &'static str,
    change: Change,
    /// Clients are told of changes.
    is_reported: bool,
}

const fn setting(name: &'static str, default: &'static str, change: Change) -> Setting {
    Setting {
        name,
        default,
        change,
        is_reported: false,
    }
}

const fn reported(name: &'static str, default: &'static str, change: Change) -> Setting {
    Setting {
        is_reported: true,
        ..setting(name, default, change)
    }
}

const ON: Change = Change::Fixed(&["on", "true", "yes", "1"]);
const OFF: Change = Change::Fixed(&["off", "false", "no", "0"]);

/// By name, in the order of SHOW ALL.
const TABLE: &[Setting] = &[
    reported("application_name", "", Change::Free),
    setting("bytea_output", "hex", Change::Fixed(&["hex"])),
    setting("check_function_bodies", "on", Change::Free),
    reported(
        "client_encoding",
        "UTF8",
        Change::Fixed(&["utf8", "utf-8", "unicode", "sql_ascii"]),
    ),
    setting("client_min_messages", "notice", Change::Free),
    reported(
        "DateStyle",
        "ISO, MDY",
        Change::Fixed(&[
            "iso", "iso,mdy", "iso, mdy", "iso,dmy", "iso, dmy", "iso,ymd", "iso, ymd",
        ]),
    ),
    setting("default_table_access_method", "heap", Change::Free),
    setting("default_tablespace", "", Change::Free),
    reported("default_transaction_read_only", "off", Change::Free),
    setting(
        "default_transaction_isolation",
        "read committed",
        Change::Free,
    ),
    setting("extra_float_digits", "1", Change::Free),
    setting("idle_in_transaction_session_timeout", "0", Change::Free),
    reported("in_hot_standby", "off", Change::Internal),
    reported("integer_datetimes", "on", Change::Internal),
    reported("IntervalStyle", "postgres", Change::Fixed(&["postgres"])),
    reported("is_superuser", "off", Change::Internal),
    setting("jit", "off", Change::Free),
    setting("lc_collate", "C", Change::Internal),
    setting("lc_ctype", "C.UTF-8", Change::Internal),
    setting("lc_messages", "C", Change::Free),
    setting("lock_timeout", "0", Change::Free),
    setting("max_identifier_length", "249", Change::Internal),
    setting("max_index_keys", "32", Change::Internal),
    setting("quote_all_identifiers", "off", Change::Free),
    setting("row_security", "on", Change::Free),
    setting("search_path", "public", Change::Free),
    reported("server_encoding", "UTF8", Change::Internal),
    reported("server_version", SERVER_VERSION, Change::Internal),
    setting("server_version_num", "160000", Change::Internal),
    reported("session_authorization", "", Change::Internal),
    reported("standard_conforming_strings", "on", ON),
    setting("statement_timeout", "0", Change::Timeout),
    setting("synchronize_seqscans", "on", Change::Free),
    reported("TimeZone", "UTC", Change::TimeZone),
    setting("transaction_isolation", "read committed", Change::Free),
    setting("transaction_read_only", "on", Change::Free),
    setting("transform_null_equals", "off", OFF),
    setting("xmloption", "content", Change::Free),
];

/// Values that differ from their defaults.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, String>,
    user: String,
}

impl Settings {
    pub(super) fn new(user: &str) -> Self {
        Self {
            values: BTreeMap::new(),
            user: user.to_owned(),
        }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The setting's value by its name in any case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        if name.eq_ignore_ascii_case("session_authorization") {
            return Some(&self.user);
        }
        let name = name.to_ascii_lowercase();
        let own = self.values.get(&name).map(String::as_str);
        own.or_else(|| find(&name).map(|setting| setting.default))
    }

    /// Changes a setting, or takes it back to its default. Answers its name if clients are to be told.
    pub(super) fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> Result<Option<&'static str>, PgError> {
        let key = name.to_ascii_lowercase();
        if key.starts_with(ENGINE_PREFIX) {
            self.store(key, value);
            return Ok(None);
        }
        let setting = find(&key).ok_or_else(|| unknown(name))?;
        if let Some(value) = value {
            check(setting, value)?;
        } else if setting.change == Change::Internal {
            return Err(internal(setting));
        }
        let kept = match setting.change {
            // It is said as it is.
            Change::Fixed(_) => None,
            _ => value,
        };
        self.store(key, kept);
        Ok(setting.is_reported.then_some(setting.name))
    }

    fn store(&mut self, key: String, value: Option<&str>) {
        match value {
            Some(value) => drop(self.values.insert(key, value.to_owned())),
            None => drop(self.values.remove(&key)),
        }
    }

    /// The names of settings that have another value in `other`.
    pub(super) fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.values.keys().chain(other.values.keys());
        let mut names: Vec<String> = names
            .filter(|name| self.values.get(*name) != other.values.get(*name))
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// What was set, by lower-case name.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All settings with their values, by name.
    pub(super) fn all(&self) -> Vec<(&str, &str)> {
        let known = TABLE
            .iter()
            .map(|setting| (setting.name, self.get(setting.name).unwrap_or_default()));
        let engine = self
            .changed()
            .filter(|(name, _)| name.starts_with(ENGINE_PREFIX));
        known.chain(engine).collect()
    }

    /// What clients are told at the start.
    pub(super) fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let told = TABLE.iter().filter(|setting| setting.is_reported);
        told.map(|setting| (setting.name, self.get(setting.name).unwrap_or_default()))
    }

    /// How long a statement may run.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        let value = self.get("statement_timeout")?;
        duration(value).filter(|timeout| !timeout.is_zero())
    }

    pub(super) fn style(&self) -> Style {
        let zone = self
            .get("timezone")
            .and_then(|name| Tz::from_str(name).ok());
        Style {
            zone: zone.unwrap_or_else(|| Tz::from_str("+00:00").expect("UTC is a zone")),
        }
    }
}

/// The setting of this lower-case name.
fn find(name: &str) -> Option<&'static Setting> {
    TABLE
        .iter()
        .find(|setting| setting.name.eq_ignore_ascii_case(name))
}

/// A setting's name as it is written in the table, if clients are to be told of changes.
pub(super) fn reported_name(name: &str) -> Option<&'static str> {
    find(name)
        .filter(|setting| setting.is_reported)
        .map(|setting| setting.name)
}

pub(super) fn unknown(name: &str) -> PgError {
    let error = PgError::new(
        state::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    );
    match nearest(name, TABLE.iter().map(|setting| setting.name)) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error.with_hint("SHOW ALL lists the settings."),
    }
}

fn internal(setting: &Setting) -> PgError {
    PgError::new(
        "55P02",
        format!("parameter \"{}\" cannot be changed", setting.name),
    )
}

fn check(setting: &Setting, value: &str) -> Result<(), PgError> {
    let invalid = |hint: String| {
        let message = format!(
            "invalid value for parameter \"{}\": \"{value}\"",
            setting.name
        );
        Err(PgError::new(state::INVALID_PARAMETER_VALUE, message).with_hint(hint))
    };
    match setting.change {
        Change::Free => Ok(()),
        Change::Internal => Err(internal(setting)),
        Change::Fixed(values)
            if values
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(value.trim())) =>
        {
            Ok(())
        }
        Change::Fixed(_) => invalid(format!("Only {} is supported.", setting.default)),
        Change::TimeZone if Tz::from_str(value).is_ok() => Ok(()),
        Change::TimeZone => {
            invalid("Name a zone such as Europe/Berlin, or an offset such as +02:00.".to_owned())
        }
        Change::Timeout if duration(value).is_some() => Ok(()),
        Change::Timeout => {
            invalid("Valid units are \"us\", \"ms\", \"s\", \"min\", \"h\" and \"d\".".to_owned())
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text
        .find(|digit: char| !digit.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let count: u64 = count
        .parse()
        .ok()
        .filter(|count| *count <= u64::from(u32::MAX))?;
    let us = match unit.trim() {
        "us" => 1,
        "" | "ms" => 1000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(count.checked_mul(us)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_any_case_and_go_back_to_their_defaults() {
        let mut settings = Settings::new("me");
        assert_eq!(settings.get("timezone"), Some("UTC"));
        assert_eq!(
            settings.set("TIMEZONE", Some("Europe/Berlin")),
            Ok(Some("TimeZone"))
        );
        assert_eq!(settings.get("TimeZone"), Some("Europe/Berlin"));
        assert_eq!(settings.set("timezone", None), Ok(Some("TimeZone")));
        assert_eq!(settings.get("TimeZone"), Some("UTC"));
        assert_eq!(settings.get("session_authorization"), Some("me"));
    }

    #[test]
    fn what_would_be_a_lie_is_refused() {
        let mut settings = Settings::new("me");
        for (name, value, code) in [
            ("client_encoding", "LATIN1", "22023"),
            ("DateStyle", "German", "22023"),
            ("TimeZone", "Nowhere/Land", "22023"),
            ("statement_timeout", "soon", "22023"),
            ("server_version", "17", "55P02"),
            ("statement_timeot", "1", "42704"),
        ] {
            let error = settings.set(name, Some(value)).unwrap_err();
            assert_eq!(error.state, code, "{name}");
        }
        let hint = settings
            .set("statement_timeot", Some("1"))
            .unwrap_err()
            .hint;
        assert_eq!(
            hint.as_deref(),
            Some("Perhaps you meant \"statement_timeout\".")
        );
    }

    #[test]
    fn timeouts_have_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("250", Some(250)),
            ("2s", Some(2000)),
            ("1 min", Some(60_000)),
            ("x", None),
            ("-1", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(duration(text), expected, "{text}");
        }
        assert_eq!(duration("99999999999d"), None);
    }
}
