//! [`PartitionLog`]: what the rest of the broker knows of a partition's log.
//!
//! Invariants, whatever the engine: offsets are dense and never re-used; the high watermark never passes what is durable
//! for the partition's class; nothing at or above it is returned by [`PartitionLog::read`]; a batch whose CRC does not
//! match is neither accepted nor served.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use env::BoxFuture;
use protocol::Slice;
use protocol::records::RecordError;
use types::{LeaderEpoch, Offset, ProducerId, Timestamp};

use crate::{CommitFailed, VerificationGuard};

/// One partition's log. No method waits for another client; all may touch the disk.
pub trait PartitionLog: Debug + Send + Sync {
    /// Validates the batches, assigns their offsets in place, writes them and updates the producer state. The order of
    /// calls is the order of offsets. Does not wait for durability: the ticket does.
    ///
    /// `batches` is one or more whole record batches of format v2. A buffer that is not shared is changed in place;
    /// a shared one costs one more write part, not a copy.
    ///
    /// # Errors
    /// Nothing was appended.
    fn append(&self, batches: Bytes, context: AppendContext) -> Result<AppendTicket, AppendError>;

    /// Says that `batch` is about to be appended, before the transaction coordinator is asked whether the partition
    /// belongs to the transaction. The guard that comes back is what the append has to show. `None`: the transaction is
    /// open in this partition, nobody has to be asked.
    ///
    /// # Errors
    /// [`AppendError::ProducerFenced`], or the log takes no appends.
    fn begin_verification(
        &self,
        batch: FirstBatch,
    ) -> Result<Option<VerificationGuard>, AppendError>;

    /// Whether the log would take what a coordinator is about to append for a producer. Nobody else may append for that
    /// producer until it does: a coordinator whose append fails has to start anew.
    ///
    /// # Errors
    /// The append would be refused so.
    fn check_coordinator(
        &self,
        intent: CoordinatorIntent,
        context: &AppendContext,
    ) -> Result<(), AppendError>;

    /// The producers that the log knows, in ascending order of ids.
    fn producers(&self) -> Vec<ActiveProducer>;

    /// Whole batches from the one that contains `from`, about `max_bytes` of them, below the bound of `isolation`.
    /// With `at_least_one` the first batch is returned even if it is larger than `max_bytes`.
    ///
    /// # Errors
    /// `from` lies outside of the log, or the disk or its content is bad.
    fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError>;

    /// Whether a read from `from` finds what it needs in memory or the page cache, as far as that can be told; otherwise
    /// it may wait for the disk, and belongs on a thread where that holds nobody up.
    fn is_ready(&self, from: Offset, max_bytes: usize) -> bool;

    /// Where the log begins and ends at this moment.
    fn offsets(&self) -> LogOffsets;

    /// The first record that answers `query`, at or below the bound of `isolation`.
    ///
    /// # Errors
    /// The disk or its content is bad.
    fn offset_for_timestamp(
        &self,
        query: TimestampQuery,
        isolation: Isolation,
    ) -> Result<Option<TimestampedOffset>, ReadError>;

    /// Where the records of `epoch` end (Kafka's `LeaderEpochFileCache.endOffsetFor`): of the requested epoch if it is
    /// known, else of the largest epoch below it. `None` if `epoch` is above the latest known.
    fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd>;

    /// The epoch that the record at `offset` was appended in, as far as the history reaches.
    fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch>;

    /// Moves the log start to `before` (`None`: to the high watermark) and returns it. What lies below is gone for
    /// readers at once and from the disk when its whole segment is.
    ///
    /// # Errors
    /// `before` is above the high watermark, or the move could not be stored.
    fn delete_records(&self, before: Option<Offset>) -> Result<Offset, DeleteRecordsError>;

    /// Calls `subscriber` whenever more records become visible to readers, or the partition goes offline or away,
    /// until the subscriber is dropped. `token` comes back in each call.
    fn subscribe(&self, subscriber: &Arc<dyn VisibleSubscriber>, token: u64);

    /// Ends the subscription of `subscriber` for `token`.
    fn unsubscribe(&self, subscriber: &Arc<dyn VisibleSubscriber>, token: u64);

    /// The bytes of all segments.
    fn size_bytes(&self) -> u64;

    /// Its segments, the oldest first.
    fn segments(&self) -> Vec<LogSegment>;

    /// Whether an error of the disk has taken it offline: nothing is appended any more.
    fn is_offline(&self) -> bool;
}

/// Told when a log has more for its readers. Called under no lock of the log; must not block.
pub trait VisibleSubscriber: Debug + Send + Sync {
    /// `bytes` more became visible (0: the partition went offline or was deleted, look again).
    fn visible(&self, token: u64, bytes: u64);
}

/// What an append needs to know besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct AppendContext {
    /// The epoch the caller believes to lead in; another is refused.
    pub leader_epoch: LeaderEpoch,
    /// Who appends.
    pub origin: AppendOrigin,
    /// For the first batch of a transaction: what [`PartitionLog::begin_verification`] gave.
    pub guard: Option<VerificationGuard>,
    /// For a marker: the protocol its transaction follows.
    pub transaction_version: TransactionVersion,
    /// Nobody waits for it: it may become durable, and visible, with the next append, or a little later if there is none.
    pub may_wait: bool,
}

impl AppendContext {
    /// For a producer's batch.
    pub const fn client(leader_epoch: LeaderEpoch) -> Self {
        Self::new(leader_epoch, AppendOrigin::Client)
    }

    /// For what a coordinator of this broker writes.
    pub const fn coordinator(leader_epoch: LeaderEpoch) -> Self {
        Self::new(leader_epoch, AppendOrigin::Coordinator)
    }

    const fn new(leader_epoch: LeaderEpoch, origin: AppendOrigin) -> Self {
        Self {
            leader_epoch,
            origin,
            guard: None,
            transaction_version: TransactionVersion::V1,
            may_wait: false,
        }
    }

    /// For what nobody waits for.
    #[must_use]
    pub const fn with_may_wait(self, may_wait: bool) -> Self {
        Self { may_wait, ..self }
    }

    /// With the guard that a verification began with.
    #[must_use]
    pub const fn with_guard(self, guard: Option<VerificationGuard>) -> Self {
        Self { guard, ..self }
    }

    /// For a marker of this version.
    #[must_use]
    pub const fn with_transaction_version(self, transaction_version: TransactionVersion) -> Self {
        Self {
            transaction_version,
            ..self
        }
    }
}

/// Which epochs a transaction marker may have: the protocol of transactions (KIP-890).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionVersion {
    /// Versions 0 and 1: the epoch of the transaction, or a later one.
    #[default]
    V1,
    /// Version 2: the coordinator has raised the epoch, so it lies above that of the transaction.
    V2,
}

/// The batch that a transaction wants to begin with in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstBatch {
    /// Who writes it.
    pub producer: ProducerId,
    /// The producer's epoch.
    pub epoch: i16,
    /// The batch's first sequence.
    pub sequence: i32,
    /// Whether the client speaks transactions v2: an epoch per transaction, whose sequences begin at 0.
    pub has_own_epochs: bool,
}

/// What a coordinator wants to append for a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorIntent {
    /// Records of the producer's transaction.
    Records {
        /// The producer.
        producer: ProducerId,
        /// Its epoch.
        epoch: i16,
    },
    /// The end of its transaction.
    Marker {
        /// The producer.
        producer: ProducerId,
        /// The marker's producer epoch.
        epoch: i16,
        /// The epoch of the transaction coordinator that sends it.
        coordinator_epoch: i32,
    },
}

/// What a log knows of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer: ProducerId,
    /// The last epoch that was seen.
    pub epoch: i16,
    /// The last sequence in this epoch; `None` if there is none yet.
    pub last_sequence: Option<i32>,
    /// The largest timestamp of its last batch, in milliseconds.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote the last marker; -1 if there was none.
    pub coordinator_epoch: i32,
    /// Where its open transaction began in this partition.
    pub transaction_start: Option<Offset>,
}

/// One segment of a log, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSegment {
    /// The offset it begins at, which names its file.
    pub base: Offset,
    /// The offset after its last record: where the next one begins, or the log end.
    pub end: Offset,
    /// Bytes of its batches, without indexes.
    pub bytes: u64,
    /// The largest timestamp of its records; `None` if no record has one.
    pub largest_timestamp: Option<Timestamp>,
    /// When it was last appended to.
    pub appended: Timestamp,
    /// Whether appends go to it.
    pub is_active: bool,
    /// Whether its file was gone when the broker started.
    pub is_lost: bool,
    /// Each of its offsets is known to be a record that every reader sees: nothing was cleaned away, and nothing in it
    /// belongs to a transaction.
    pub has_only_records: bool,
}

/// Who appends, which decides what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: no control batches, base offset zero, the full set of checks.
    Client,
    /// A coordinator of this broker: control batches and internal records are allowed.
    Coordinator,
}

/// An append that happened; durable once [`AppendTicket::committed`] says so.
#[derive(Debug)]
pub struct AppendTicket {
    /// What happened.
    pub outcome: AppendOutcome,
    /// Resolves once the records are below the high watermark, or never will be.
    pub commit: BoxedCommit,
}

/// See [`AppendTicket::commit`].
pub struct BoxedCommit(pub BoxFuture<'static, Result<(), CommitFailed>>);

impl Debug for BoxedCommit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BoxedCommit")
    }
}

impl AppendTicket {
    /// Waits until the records are durable for the partition's class, which is when readers see them. A duplicate of a
    /// batch that is still in flight waits for the original's outcome.
    ///
    /// # Errors
    /// They never will be.
    pub async fn committed(self) -> Result<(), CommitFailed> {
        self.commit.0.await
    }
}

/// Where appended records went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOutcome {
    /// The offset of the first record; for a duplicate that of the original.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The time the broker gave the records, if the topic is set to `LogAppendTime`; for a duplicate the largest
    /// timestamp of the original.
    pub log_append_time: Option<Timestamp>,
    /// The log start at this moment.
    pub log_start_offset: Offset,
    /// The batch was there already: same producer, epoch and sequences.
    pub duplicate: bool,
}

/// Where a log begins and ends. `log_start <= last_stable <= high_watermark <= log_end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogOffsets {
    /// The first offset that can be read.
    pub log_start: Offset,
    /// The end of what readers may see: durable for the partition's class.
    pub high_watermark: Offset,
    /// The end of what `read_committed` readers may see.
    pub last_stable: Offset,
    /// The offset the next record gets.
    pub log_end: Offset,
    /// The current leader's epoch.
    pub leader_epoch: LeaderEpoch,
}

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All below the high watermark.
    #[default]
    ReadUncommitted,
    /// All below the last stable offset; aborted transactions are listed.
    ReadCommitted,
}

/// What a read returns: where the bytes lie, not the bytes.
#[derive(Clone, Debug, Default)]
pub struct ReadPlan {
    /// Whole batches, one after the other. Empty if there is nothing below the bound.
    pub slices: Vec<Slice>,
    /// The sum of the slices' lengths.
    pub length: usize,
    /// Where the log began and ended when the plan was made.
    pub offsets: LogOffsets,
    /// For `ReadCommitted`: aborted transactions that overlap the range, as producer id and first offset.
    pub aborted: Vec<(ProducerId, Offset)>,
    /// Whether there was more below the bound than `max_bytes` let in.
    pub is_limited: bool,
    /// Whether a batch in the plan may be compressed with zstd, which old consumers cannot read: its segment has one.
    /// [`ReadPlan::before_zstd`] looks.
    pub has_zstd: bool,
}

/// What to look for by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first record whose timestamp is at least this.
    AtLeast(Timestamp),
    /// The record with the largest timestamp; the first of several.
    Largest,
}

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// The epoch it was appended in.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Where the records of a leader epoch end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch that was found: the requested one or the largest below it. If the requested one lies below all known,
    /// the requested one, with the start of the first.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end: Offset,
}

/// Why nothing was appended. Each variant says what the caller should do.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The caller's epoch is older than the log's: somebody else leads, stop.
    #[error("append in leader epoch {requested}, but the partition is led in epoch {current}")]
    FencedLeaderEpoch {
        /// What the caller said.
        requested: LeaderEpoch,
        /// What is true.
        current: LeaderEpoch,
    },
    /// A batch is malformed: lengths, magic, counts, control bit, base offset or producer fields.
    #[error("invalid record batch: {reason}")]
    InvalidBatch {
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A record is not what it says, or the records are not what their batch says.
    #[error("invalid record batch: {0}")]
    MalformedRecord(#[from] RecordError),
    /// Records that break a rule of the topic, for example a null key in a compacted topic.
    #[error("{} invalid records, the first at index {}: {reason}", indexes.len(), indexes.first().copied().unwrap_or_default())]
    InvalidRecords {
        /// The positions of the records in the batch.
        indexes: Vec<i32>,
        /// Which rule they break.
        reason: &'static str,
    },
    /// The checksum does not match.
    #[error("record batch checksum is {actual:#010x}, expected {expected:#010x}")]
    CorruptBatch {
        /// What the batch says.
        expected: u32,
        /// What its bytes give.
        actual: u32,
    },
    /// Larger than `max.message.bytes`.
    #[error("record batch of {size} bytes is larger than max.message.bytes={limit}")]
    BatchTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The topic's limit in bytes.
        limit: usize,
    },
    /// Compressed so hard that its records would take more memory than a setting of the topic allows to look at.
    #[error("the records of the batch take more than {limit} bytes when they are decompressed")]
    InflatesTooFar {
        /// The limit in bytes.
        limit: usize,
    },
    /// A timestamp outside of what the topic allows.
    #[error("timestamp {timestamp} is outside of the range that the topic allows")]
    InvalidTimestamp {
        /// The timestamp in milliseconds.
        timestamp: i64,
        /// The positions of the records in the batch, as far as they are known.
        indexes: Vec<i32>,
    },
    /// The sequence does not follow the producer's last one.
    #[error("producer {producer} sent sequence {sequence}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer: ProducerId,
        /// What it sent.
        sequence: i32,
        /// What would have followed.
        expected: i32,
    },
    /// The producer's epoch is older than one that was seen: it was replaced, stop.
    #[error("producer {producer} sent epoch {epoch}, but epoch {current} was seen")]
    ProducerFenced {
        /// The producer.
        producer: ProducerId,
        /// What it sent.
        epoch: i16,
        /// What was seen.
        current: i16,
    },
    /// A transactional batch without its transaction, or the other way round.
    #[error(
        "producer {producer}: the batch does not fit the state of its transaction in this partition"
    )]
    InvalidTransactionState {
        /// The producer.
        producer: ProducerId,
    },
    /// The first batch of a transaction for which the coordinator was not asked, or not since the last marker.
    #[error("producer {producer}: the batch is not part of an open transaction")]
    UnverifiedTransaction {
        /// The producer.
        producer: ProducerId,
    },
    /// A marker from a transaction coordinator that was replaced.
    #[error(
        "a marker for producer {producer} comes from coordinator epoch {epoch}, but epoch {current} was seen"
    )]
    CoordinatorFenced {
        /// The producer.
        producer: ProducerId,
        /// What the marker says.
        epoch: i32,
        /// What was seen.
        current: i32,
    },
    /// The disk has no room; retry once there is.
    #[error("no space left for the log")]
    Full,
    /// The partition is offline after an error of the disk; not before a restart.
    #[error("the partition is offline")]
    Offline,
    /// The topic was deleted.
    #[error("the partition was deleted")]
    Deleted,
    /// The write failed; the partition is offline now, unless the system only lacked open files or memory.
    #[error("could not write to the log")]
    Io(#[source] std::io::Error),
}

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is not in the log.
    #[error(
        "offset {requested} is outside of the log, which reaches from {log_start} to {log_end}"
    )]
    OffsetOutOfRange {
        /// What was asked for.
        requested: Offset,
        /// The first offset of the log.
        log_start: Offset,
        /// The offset after its last record.
        log_end: Offset,
    },
    /// The bytes on disk are not what was written.
    #[error("corrupt record batch at position {position} of segment {segment}")]
    Corrupt {
        /// The base offset of the segment.
        segment: Offset,
        /// The byte position in it.
        position: u64,
    },
    /// The segment of this offset was gone when the broker started.
    #[error("the records from offset {first} up to {end} are lost: no file has them")]
    Lost {
        /// The first offset that is lost.
        first: Offset,
        /// The one behind the last.
        end: Offset,
    },
    /// The topic was deleted.
    #[error("the partition was deleted")]
    Deleted,
    /// The read failed.
    #[error("could not read the log")]
    Io(#[source] std::io::Error),
}

/// Why no records were deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// The offset is above the high watermark.
    #[error("offset {requested} is above the high watermark {high_watermark}")]
    OffsetOutOfRange {
        /// What was asked for.
        requested: Offset,
        /// The end of what may be deleted.
        high_watermark: Offset,
    },
    /// `cleanup.policy` is `compact` only: records go by their keys.
    #[error("the records of a topic that is only compacted cannot be deleted")]
    Compacted,
    /// The partition is offline after an error of the disk.
    #[error("the partition is offline")]
    Offline,
    /// The topic was deleted.
    #[error("the partition was deleted")]
    Deleted,
    /// The new log start could not be stored.
    #[error("could not store the new log start")]
    Io(#[source] std::io::Error),
}
