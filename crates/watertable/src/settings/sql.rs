//! The settings of SQL: where it is served, and how much all queries together may use.
//!
//! Invariant: what is given in bytes is within what the engine can work with.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Made, SettingsError};

pub(super) const LISTEN: &str = "sql.listen";
pub(super) const MEMORY_BYTES: &str = "sql.memory.max.bytes";
pub(super) const SPILL_BYTES: &str = "sql.spill.max.bytes";
pub(super) const CONNECTIONS: &str = "sql.max.connections";
pub(super) const EXPORT_DIRECTORY: &str = "sql.export.dir";

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
    /// Where `COPY … TO 'file'` writes; without it nowhere.
    pub(crate) export_directory: Option<PathBuf>,
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
        let export_directory = self.settings.remove(EXPORT_DIRECTORY);
        let export_directory = export_directory.filter(|given| !given.text.is_empty());
        Ok(listen.map(|listen| SqlSettings {
            listen,
            memory_bytes,
            spill_bytes,
            connections,
            export_directory: export_directory.map(|given| given.text.into()),
        }))
    }

    fn number(
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
