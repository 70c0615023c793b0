//! Decoders that are private to this crate, for the targets of the `fuzzing` crate. Each gives back what it read as this
//! crate would write it, so that reading that again must give the same.

use types::{LeaderEpoch, Offset};

use crate::clean::state::CleanState;
use crate::offset_index::OffsetIndex;
use crate::time_index::TimeIndex;
use crate::{checkpoint, format, producer_snapshot, recover, retain};

/// Makes the checksum of a checkpoint right.
pub fn correct_checkpoint(bytes: &mut [u8]) {
    checkpoint::correct(bytes);
}

/// Makes the checksum of a producer snapshot right.
pub fn correct_snapshot(bytes: &mut [u8]) {
    producer_snapshot::correct(bytes);
}

/// Reads a checkpoint and writes it again.
pub fn checkpoint(bytes: &[u8]) -> Option<Vec<u8>> {
    checkpoint::read_and_write(bytes)
}

/// Reads a producer snapshot and writes it again.
pub fn producer_snapshot(bytes: &[u8]) -> Option<Vec<u8>> {
    let (producers, transactions) = producer_snapshot::decode(bytes, 0)?;
    Some(producer_snapshot::encode(&producers, &transactions))
}

/// What an offset index says; offsets are relative to its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetLookUps {
    /// Last offset and position of each entry.
    pub entries: Vec<(u32, u32)>,
    /// Where to look for an offset.
    pub floor: u32,
    /// The first batch that ends at or behind it.
    pub ceiling: Option<(u32, u32)>,
    /// The largest position in `(after, limit]`.
    pub boundary: Option<u32>,
    /// The file again.
    pub written: Vec<u8>,
}

/// Reads the offset index of a segment of `size` bytes and looks up an offset, and a boundary.
pub fn offset_index(
    bytes: &[u8],
    size: u32,
    offset: u32,
    (after, limit): (u32, u32),
) -> Option<OffsetLookUps> {
    let index = OffsetIndex::decode(bytes, size)?;
    let offset = Offset::ZERO.plus(u64::from(offset));
    let entries = index.entries().iter();
    Some(OffsetLookUps {
        entries: entries.map(|entry| (entry.last, entry.position)).collect(),
        floor: index.floor(Offset::ZERO, offset),
        ceiling: index
            .ceiling(Offset::ZERO, offset)
            .map(|entry| (entry.last, entry.position)),
        boundary: index.boundary(after, limit).map(|entry| entry.position),
        written: index.encode(0),
    })
}

/// What a time index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLookUps {
    /// Timestamp and offset of each entry.
    pub entries: Vec<(i64, u32)>,
    /// The offset up to which everything is older.
    pub all_older_up_to: Option<u32>,
    /// The file again.
    pub written: Vec<u8>,
}

/// Reads a time index whose segment ends with `last`, and looks up a timestamp.
pub fn time_index(bytes: &[u8], last: u32, timestamp: i64) -> Option<TimeLookUps> {
    let index = TimeIndex::decode(bytes, last)?;
    let entries = index.entries().iter();
    Some(TimeLookUps {
        entries: entries.map(|entry| (entry.timestamp, entry.last)).collect(),
        all_older_up_to: index.last_older(timestamp).map(|entry| entry.last),
        written: index.encode(0),
    })
}

/// The small files with text in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmallFile {
    /// `log-start-offset`.
    LogStart,
    /// `cleaner-offset`.
    CleanerState,
    /// `boot-count`.
    BootCount,
    /// `partition.metadata`.
    Metadata,
    /// `watertable.format`.
    Format,
}

/// Reads a small file and writes it again, as far as it is written again.
pub fn small_file(file: SmallFile, text: &str) -> Option<String> {
    match file {
        SmallFile::LogStart => retain::decode_log_start(text).map(retain::encode_log_start),
        SmallFile::CleanerState => CleanState::decode(text).map(CleanState::encode),
        SmallFile::BootCount => {
            format::decode_boot(text).map(|boot: LeaderEpoch| format::encode_boot(boot))
        }
        SmallFile::Metadata => recover::decode_topic_id(text).map(recover::encode_topic_id),
        SmallFile::Format => format::check_text(text, std::path::PathBuf::new())
            .ok()
            .map(|()| text.to_owned()),
    }
}
