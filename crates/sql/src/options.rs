//! [`EngineOptions`]: how much a server gives to queries; [`SessionOptions`]: what a session may set.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;
use storage::Isolation;

use crate::export::S3Options;
use crate::write::Writer;

/// What queries take of processors that other threads want too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Next to nothing, so that they delay nobody (SCHED_IDLE on Linux).
    #[default]
    Idle,
    /// About a tenth, which others wait for now and then (`nice` 10).
    Low,
}

/// How much a server gives to queries.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads that queries run on, and how many streams a query is split into.
    pub threads: NonZeroUsize,
    /// What all queries together may hold in memory, in bytes. Who needs more spills, or fails.
    pub memory_bytes_max: usize,
    /// Where queries that need more memory spill to; `None`: they fail instead. Belongs to the engine alone: it removes
    /// what it wrote there.
    pub spill_directory: Option<PathBuf>,
    /// What all queries together may spill, in bytes.
    pub spill_bytes_max: u64,
    /// Where `COPY … TO 'file'` writes; `None`: nowhere. What is in it is never read.
    pub export_directory: Option<PathBuf>,
    /// Where `COPY … TO 's3://…'` writes; `None`: nowhere.
    pub export_s3: Option<S3Options>,
    /// What one file or object of an export may have, in bytes.
    pub export_bytes_max: u64,
    /// Rows of a batch, at most.
    pub batch_rows: NonZeroUsize,
    /// What queries take of processors that others want too.
    pub priority: Priority,
    /// What sessions write with; `None`: they only read.
    pub writer: Option<Arc<dyn Writer>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory_bytes_max: 512 << 20,
            spill_directory: None,
            spill_bytes_max: 16 << 30,
            export_directory: None,
            export_s3: None,
            export_bytes_max: 64 << 30,
            batch_rows: NonZeroUsize::new(8192).expect("8192 is not zero"),
            priority: Priority::default(),
            writer: None,
        }
    }
}

extensions_options! {
    /// What a session may set, as `SET watertable.isolation = 'read_uncommitted'`.
    pub struct SessionOptions {
        /// What a query sees, as `isolation.level` of consumers: read_committed (up to the last stable offset, nothing of aborted transactions) or read_uncommitted (up to the high watermark).
        pub isolation: IsolationLevel, default = IsolationLevel::default()
        /// What happens with a record that does not fit the contract of its topic: off (its columns are NULL, and _error says why) or on (the query fails). Only the columns that a query asks for are looked at.
        pub strict: Strict, default = Strict::default()
    }
}

impl ConfigExtension for SessionOptions {
    const PREFIX: &'static str = "watertable";
}

/// [`Isolation`] as a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsolationLevel(pub Isolation);

impl Default for IsolationLevel {
    fn default() -> Self {
        Self(Isolation::ReadCommitted)
    }
}

impl std::fmt::Display for IsolationLevel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self.0 {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        })
    }
}

/// Whether records that do not fit are errors, written and read as PostgreSQL does with switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strict(pub bool);

impl std::fmt::Display for Strict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0 { "on" } else { "off" })
    }
}

impl datafusion::config::ConfigField for Strict {
    fn visit<V: datafusion::config::Visit>(
        &self,
        visitor: &mut V,
        key: &str,
        description: &'static str,
    ) {
        visitor.some(key, self, description);
    }

    fn set(&mut self, _key: &str, value: &str) -> datafusion::error::Result<()> {
        self.0 = match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => true,
            "off" | "false" | "no" | "0" => false,
            _ => {
                return datafusion::common::config_err!(
                    "watertable.strict is on or off, not \"{value}\""
                );
            }
        };
        Ok(())
    }
}

impl datafusion::config::ConfigField for IsolationLevel {
    fn visit<V: datafusion::config::Visit>(
        &self,
        visitor: &mut V,
        key: &str,
        description: &'static str,
    ) {
        visitor.some(key, self, description);
    }

    fn set(&mut self, _key: &str, value: &str) -> datafusion::error::Result<()> {
        self.0 = match value {
            "read_committed" => Isolation::ReadCommitted,
            "read_uncommitted" => Isolation::ReadUncommitted,
            other => {
                return datafusion::common::config_err!(
                    "watertable.isolation is read_committed or read_uncommitted, not \"{other}\""
                );
            }
        };
        Ok(())
    }
}
