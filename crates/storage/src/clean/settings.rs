//! [`CleanerSettings`]: how a data directory's logs are cleaned. Defaults are Kafka's
//! (`org.apache.kafka.storage.internals.log.CleanerConfig`).

/// How the cleaner of a data directory works; see [`crate::LogDirectory::configure_cleaner`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerSettings {
    /// `log.cleaner.enable`: whether compacted logs are cleaned at all.
    pub enabled: bool,
    /// `log.cleaner.threads`: logs that are cleaned at the same time.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`: bytes for the maps of keys of all threads together. A log with more keys is
    /// cleaned in rounds.
    pub dedupe_buffer_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full a map of keys may be, above 0 and at most 1.
    pub load_factor: f64,
    /// `log.cleaner.io.buffer.size`: bytes for reading and writing of all threads together; a larger batch takes more.
    pub io_buffer_bytes: u32,
    /// `log.cleaner.io.max.bytes.per.second`: the most that is read and written in a second; `None` is no limit.
    pub io_bytes_per_second: Option<u64>,
    /// `log.cleaner.backoff.ms`: how long a thread rests when there was nothing to clean.
    pub backoff_ms: u64,
}

impl Default for CleanerSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            threads: 1,
            dedupe_buffer_bytes: 128 << 20,
            load_factor: 0.9,
            io_buffer_bytes: 512 << 10,
            io_bytes_per_second: None,
            backoff_ms: 15_000,
        }
    }
}

/// What one thread may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Keys that its map may hold.
    pub(crate) keys_max: usize,
    /// Bytes of each of its two buffers.
    pub(crate) buffer_bytes: usize,
}

impl CleanerSettings {
    /// No buffer is smaller, whatever is set.
    const BUFFER_BYTES_MIN: usize = 16 << 10;

    /// The share of one of the threads.
    pub(crate) fn share(&self, entry_bytes: usize) -> Share {
        let threads = self.threads.max(1);
        let bytes = usize::try_from(self.dedupe_buffer_bytes).unwrap_or(usize::MAX) / threads;
        let factor = self.load_factor.clamp(0.01, 1.0);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rough share of a number of slots, not negative"
        )]
        let keys_max = ((bytes / entry_bytes) as f64 * factor) as usize;
        let buffer = self.io_buffer_bytes as usize / threads / 2;
        Share {
            // With room for less than two keys no cleaning would get anywhere.
            keys_max: keys_max.max(2),
            buffer_bytes: buffer.max(Self::BUFFER_BYTES_MIN),
        }
    }
}
