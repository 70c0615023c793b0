//! The settings of pipelines: whether this process runs any, and how much all of them together may use.

use std::num::NonZeroU64;
use std::path::PathBuf;

use sql::Priority;

use super::{Made, SettingsError};

pub(super) const WORKERS: &str = "pipeline.workers";
pub(super) const MEMORY_BYTES: &str = "pipeline.memory.max.bytes";
pub(super) const PRIORITY: &str = "pipeline.priority";
pub(super) const YIELD: &str = "pipeline.yield.max.bytes.per.second";
pub(crate) const SECRETS_DIRECTORY: &str = "pipeline.secrets.dir";

const YIELD_DEFAULT: u64 = 8 << 20;
const WORKERS_DEFAULT: u64 = 2;
const WORKERS_MAX: u64 = 256;
const MEMORY_BYTES_DEFAULT: u64 = 256 << 20;
/// With less no batch gets through.
const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// How pipelines are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PipelineSettings {
    /// How many threads.
    pub(crate) workers: usize,
    /// What all queries of pipelines together may hold in memory, in bytes.
    pub(crate) memory_bytes: usize,
    /// What they take of processors that others want too.
    pub(crate) priority: Priority,
    /// How many bytes of rows all of them read and write together each second while other clients produce; any without it.
    pub(crate) yield_bytes_per_second: Option<NonZeroU64>,
    /// A folder with a file for each secret; without it secrets come from the environment alone.
    pub(crate) secrets_directory: Option<PathBuf>,
}

impl Made {
    /// `None` if this process runs none; its numbers are checked all the same.
    pub(super) fn pipelines(&mut self) -> Result<Option<PipelineSettings>, SettingsError> {
        let workers = self.number(
            WORKERS,
            WORKERS_DEFAULT,
            0..=WORKERS_MAX,
            "a number of threads up to 256, or 0 to run no pipelines here",
        )?;
        let memory_bytes = self.number(
            MEMORY_BYTES,
            MEMORY_BYTES_DEFAULT,
            MEMORY_BYTES_MIN..=u64::MAX,
            "a number of bytes, at least 33554432",
        )?;
        let priority = self.priority(PRIORITY)?;
        let yield_bytes_per_second = self.number(
            YIELD,
            YIELD_DEFAULT,
            0..=u64::MAX,
            "a number of bytes, or 0 for as many as there are",
        )?;
        let secrets_directory = self.settings.remove(SECRETS_DIRECTORY);
        let secrets_directory = secrets_directory.filter(|given| !given.text.is_empty());
        let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Ok((workers > 0).then(|| PipelineSettings {
            workers: size(workers),
            memory_bytes: size(memory_bytes),
            priority: priority.unwrap_or(Priority::Low),
            yield_bytes_per_second: NonZeroU64::new(yield_bytes_per_second),
            secrets_directory: secrets_directory.map(|given| given.text.into()),
        }))
    }
}
