//! The settings of SQL: where it is served, and how much all queries together may use.
//!
//! Invariant: what is given in bytes is within what the engine can work with.

use std::net::SocketAddr;
use std::path::PathBuf;

use sql::{Priority, S3Endpoint, S3Prefix};

use super::{Made, SettingsError};

pub(super) const LISTEN: &str = "sql.listen";
pub(super) const MEMORY_BYTES: &str = "sql.memory.max.bytes";
pub(super) const SPILL_BYTES: &str = "sql.spill.max.bytes";
pub(super) const CONNECTIONS: &str = "sql.max.connections";
pub(super) const PRIORITY: &str = "sql.priority";
pub(super) const EXPORT_DIRECTORY: &str = "sql.export.dir";
pub(super) const S3_PREFIXES: &str = "sql.export.s3.prefixes";
pub(super) const S3_ENDPOINT: &str = "sql.export.s3.endpoint";
pub(super) const S3_REGION: &str = "sql.export.s3.region";

const LISTEN_DEFAULT: &str = "127.0.0.1:9432";
const MEMORY_BYTES_DEFAULT: u64 = 512 << 20;
/// With less no query of any use gets through.
const MEMORY_BYTES_MIN: u64 = 16 << 20;
const SPILL_BYTES_DEFAULT: u64 = 16 << 30;
const CONNECTIONS_DEFAULT: u64 = 100;
/// Each may hold some megabytes of statements.
const CONNECTIONS_MAX: u64 = 10_000;

/// How SQL is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlSettings {
    /// Where clients of PostgreSQL connect.
    pub(crate) listen: SocketAddr,
    /// What all queries together may hold in memory, in bytes.
    pub(crate) memory_bytes: u64,
    /// What all queries together may spill to disk, in bytes.
    pub(crate) spill_bytes: u64,
    /// Sessions at a time.
    pub(crate) connections: u64,
    /// What queries take of processors that others want too.
    pub(crate) priority: Priority,
    /// Where `COPY … TO 'file'` writes; without it nowhere.
    pub(crate) export_directory: Option<PathBuf>,
    /// Where `COPY … TO 's3://…'` writes; without it nowhere.
    pub(crate) export_s3: Option<S3Settings>,
}

/// The store of exports. Credentials are no settings: they come from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct S3Settings {
    /// What may be written.
    pub(crate) prefixes: Vec<S3Prefix>,
    /// Where the store is, if it is not AWS.
    pub(crate) endpoint: Option<S3Endpoint>,
    /// Its region.
    pub(crate) region: Option<String>,
}

impl Made {
    /// `None` if it is off; its numbers are checked all the same.
    pub(super) fn sql(&mut self) -> Result<Option<SqlSettings>, SettingsError> {
        let listen = self.address_or_off(LISTEN, LISTEN_DEFAULT)?;
        let memory_bytes = self.number(
            MEMORY_BYTES,
            MEMORY_BYTES_DEFAULT,
            MEMORY_BYTES_MIN..=u64::MAX,
            "a number of bytes, at least 16777216",
        )?;
        let spill_bytes = self.number(
            SPILL_BYTES,
            SPILL_BYTES_DEFAULT,
            0..=u64::MAX,
            "a number of bytes",
        )?;
        let connections = self.number(
            CONNECTIONS,
            CONNECTIONS_DEFAULT,
            1..=CONNECTIONS_MAX,
            "a number from 1 to 10000",
        )?;
        let priority = self.priority(PRIORITY)?;
        let export_directory = self.settings.remove(EXPORT_DIRECTORY);
        let export_directory = export_directory.filter(|given| !given.text.is_empty());
        let export_s3 = self.s3()?;
        Ok(listen.map(|listen| SqlSettings {
            listen,
            memory_bytes,
            spill_bytes,
            connections,
            priority: priority.unwrap_or_default(),
            export_directory: export_directory.map(|given| given.text.into()),
            export_s3,
        }))
    }

    pub(super) fn priority(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Priority>, SettingsError> {
        let priority = |text: &str| match text {
            "idle" => Some(Priority::Idle),
            "low" => Some(Priority::Low),
            _ => None,
        };
        self.of_text(key, priority, "idle or low")
    }

    /// `None` if nothing may be written there.
    fn s3(&mut self) -> Result<Option<S3Settings>, SettingsError> {
        let prefixes = self.of_text(
            S3_PREFIXES,
            |text| {
                let prefixes = text.split(',').map(|prefix| S3Prefix::parse(prefix.trim()));
                prefixes.collect::<Result<Vec<_>, _>>().ok()
            },
            "a list of s3://bucket or s3://bucket/folder",
        )?;
        let endpoint = self.of_text(
            S3_ENDPOINT,
            S3Endpoint::parse,
            "https://HOST or, without TLS, http://HOST",
        )?;
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let region = self.of_text(
            S3_REGION,
            |text| text.chars().all(is_name).then(|| text.to_owned()),
            "the name of a region, such as eu-central-1",
        )?;
        Ok(prefixes.map(|prefixes| S3Settings {
            prefixes,
            endpoint,
            region,
        }))
    }

    /// A setting that is not set if it is empty.
    fn of_text<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
        allowed: &'static str,
    ) -> Result<Option<T>, SettingsError> {
        let given = self.settings.remove(key);
        let Some(given) = given.filter(|given| !given.text.trim().is_empty()) else {
            return Ok(None);
        };
        match read(given.text.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(SettingsError::OwnValue {
                key,
                text: given.text,
                allowed,
                origin: given.origin,
            }),
        }
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
        allowed: &'static str,
    ) -> Result<u64, SettingsError> {
        let Some(given) = self.settings.remove(key) else {
            return Ok(default);
        };
        let number = given.text.trim().parse().ok();
        number
            .filter(|number| range.contains(number))
            .ok_or(SettingsError::OwnValue {
                key,
                text: given.text,
                allowed,
                origin: given.origin,
            })
    }
}
