//! The checkpoint of a data directory: how far each log is known to be whole and durable, and what its state is there.
//!
//! After a crash only what lies behind these positions is read; after a clean stop nothing is. One file for all logs,
//! replaced whole and durably. Written after so many bytes appended to the disk, once after opening, and at a clean stop.
//! Order: the state of each log is taken, everything up to it is synced, and only then the file is replaced. A crash in
//! between leaves the older file, whose positions are still true.
//!
//! Big-endian:
//!
//! | Bytes | Field |
//! |---|---|
//! | 8 | `WTCHKPNT` |
//! | 4 | version, 3 |
//! | 4 | the boot that wrote it |
//! | 1 | 1 if it was written at a clean stop |
//! | 4 | number of logs |
//! | each log | topic length 2 and topic, partition 4, topic id length 1 and topic id as text, log start 8, log end 8, base of the last segment 8, position in it 4, 1 if something may lie behind that position, or 2 if nothing but the names counts, because a repair cut the log 1, how often cleaning replaced segments 4, segments, epochs, producers, transactions |
//! | segments | count 4, each: base 8, size 4, first timestamp 8, flags 1 (1: has timestamps, 2: has zstd, 4: may have gaps, 8: its file is gone), largest timestamp 8, last offset of its batch 8, last append 8, records outside of transactions 4 |
//! | epochs | count 4, each: epoch 4, start offset 8 |
//! | producers, transactions | see `state_codec` |
//! | 8 | XXH3-64 of everything before |

use std::io;
use std::path::Path;

use bytes::BufMut;
use env::disk::{Disk, OpenMode};
use types::{LeaderEpoch, Offset, PartitionIndex, TopicName, TopicPartition};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Reader, count};
use crate::format::FormatError;
use crate::leader_epochs::LeaderEpochs;
use crate::local_log::{Mark, Recovered};
use crate::producers::Producers;
use crate::segment::{Segment, SegmentFacts};
use crate::small_file;
use crate::state_codec::{get_producers, get_transactions, put_producers, put_transactions};
use crate::transactions::Transactions;
use crate::versions::refuse_newer;

pub(crate) const FILE: &str = "checkpoint";
const MAGIC: &[u8; 8] = b"WTCHKPNT";
/// Version 2 lacks the numbers of records of segments, version 1 the number of replacements by cleaning too, of which there
/// were none then.
const VERSION: u32 = 3;
const VERSION_WITHOUT_RECORDS: u32 = 2;
const VERSION_WITHOUT_CLEANING: u32 = 1;
const HASH_BYTES: usize = 8;
/// A file that is larger is none of ours: ten million logs without producers.
const FILE_BYTES_MAX: u64 = 1 << 31;
const LOG_BYTES_MIN: usize = 56;
/// Of version 1 and 2.
const SEGMENT_BYTES_MIN: usize = 45;
const SEGMENT_BYTES: usize = 49;
const EPOCH_BYTES: usize = 12;
const HAS_TIMESTAMPS: u8 = 1;
const HAS_ZSTD: u8 = 2;
const HAS_GAPS: u8 = 4;
const IS_LOST: u8 = 8;
const UNTRIMMED: u8 = 1;
const FORGOTTEN: u8 = 2;

/// What a checkpoint says.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) boot: LeaderEpoch,
    pub(crate) clean: bool,
    pub(crate) logs: Vec<LogEntry>,
}

/// What it says of one log.
#[derive(Debug)]
pub(crate) struct LogEntry {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: String,
    /// `None` for a log that was repaired since: it is older than the checkpoint, and nothing more is known of it.
    pub(crate) recovered: Option<Recovered>,
}

impl LogEntry {
    /// The entry as it is read.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match &self.recovered {
            Some(recovered) => encode_recovered(&self.partition, &self.topic_id, recovered),
            None => encode_forgotten(&self.partition, &self.topic_id),
        }
    }
}

/// A log whose state is to be written.
#[derive(Debug)]
pub(crate) struct LogState<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) topic_id: &'a str,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Mark,
    /// See [`Recovered::untrimmed`].
    pub(crate) untrimmed: bool,
    /// See [`Recovered::generation`].
    pub(crate) generation: u32,
    pub(crate) segments: &'a [std::sync::Arc<Segment>],
    pub(crate) epochs: &'a LeaderEpochs,
    pub(crate) producers: &'a Producers,
    pub(crate) transactions: &'a Transactions,
}

/// The bytes of a checkpoint, log by log.
#[derive(Debug)]
pub(crate) struct CheckpointWriter {
    bytes: Vec<u8>,
    logs: u32,
}

impl CheckpointWriter {
    const COUNT_FIELD: usize = 17;

    pub(crate) fn new(boot: LeaderEpoch, clean: bool) -> Self {
        let mut bytes = Vec::new();
        bytes.put_slice(MAGIC);
        bytes.put_u32(VERSION);
        bytes.put_i32(boot.value());
        bytes.put_u8(u8::from(clean));
        bytes.put_u32(0);
        Self { bytes, logs: 0 }
    }

    /// Adds a log that was encoded by [`encode_log`].
    pub(crate) fn add(&mut self, log: &[u8]) {
        self.bytes.extend_from_slice(log);
        self.logs += 1;
    }

    /// Replaces the file durably. Returns its length in bytes.
    pub(crate) fn write(self, disk: &dyn Disk, root: &Path) -> io::Result<u64> {
        let bytes = self.finish();
        small_file::replace(disk, &root.join(FILE), &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn finish(mut self) -> Vec<u8> {
        let field = Self::COUNT_FIELD..Self::COUNT_FIELD + 4;
        if let Some(field) = self.bytes.get_mut(field) {
            field.copy_from_slice(&self.logs.to_be_bytes());
        }
        let hash = xxh3_64(&self.bytes);
        self.bytes.put_u64(hash);
        self.bytes
    }
}

/// Replaces a checkpoint by one that knows nothing but the names of some partitions and comes from no clean stop: what it
/// says of the others stays true.
pub(crate) fn forget(
    disk: &dyn Disk,
    root: &Path,
    now_ms: i64,
    forgotten: &[TopicPartition],
) -> Result<(), LoadError> {
    let Some(checkpoint) = load(disk, root, now_ms)? else {
        return Ok(());
    };
    let mut writer = CheckpointWriter::new(checkpoint.boot, false);
    for mut entry in checkpoint.logs {
        if forgotten.contains(&entry.partition) {
            entry.recovered = None;
        }
        writer.add(&entry.encode());
    }
    writer.write(disk, root)?;
    Ok(())
}

/// The bytes of a log that was only read.
pub(crate) fn encode_recovered(
    partition: &TopicPartition,
    topic_id: &str,
    recovered: &Recovered,
) -> Vec<u8> {
    encode_log(&state_of(partition, topic_id, recovered))
}

fn state_of<'a>(
    partition: &'a TopicPartition,
    topic_id: &'a str,
    recovered: &'a Recovered,
) -> LogState<'a> {
    LogState {
        partition,
        topic_id,
        log_start: recovered.log_start,
        log_end: recovered.log_end,
        untrimmed: recovered.untrimmed,
        generation: recovered.generation,
        segments: &recovered.segments,
        epochs: &recovered.epochs,
        producers: &recovered.producers,
        transactions: &recovered.transactions,
    }
}

fn encode_forgotten(partition: &TopicPartition, topic_id: &str) -> Vec<u8> {
    let nothing = Recovered::default();
    encode(&state_of(partition, topic_id, &nothing), FORGOTTEN)
}

/// The bytes of one log.
pub(crate) fn encode_log(state: &LogState<'_>) -> Vec<u8> {
    encode(state, if state.untrimmed { UNTRIMMED } else { 0 })
}

fn encode(state: &LogState<'_>, flag: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128 + state.segments.len() * SEGMENT_BYTES);
    let topic = state.partition.topic.as_str().as_bytes();
    bytes.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
    bytes.put_slice(topic);
    bytes.put_i32(state.partition.partition.value());
    bytes.put_u8(u8::try_from(state.topic_id.len()).unwrap_or(u8::MAX));
    bytes.put_slice(state.topic_id.as_bytes());
    bytes.put_i64(state.log_start.value());
    bytes.put_i64(state.log_end.offset.value());
    bytes.put_i64(state.log_end.segment.value());
    bytes.put_u32(state.log_end.position);
    bytes.put_u8(flag);
    bytes.put_u32(state.generation);
    bytes.put_u32(count(state.segments.len()));
    for segment in state.segments {
        put_segment(&mut bytes, segment);
    }
    bytes.put_u32(count(state.epochs.starts().len()));
    for (epoch, start) in state.epochs.starts() {
        bytes.put_i32(epoch.value());
        bytes.put_i64(start.value());
    }
    put_producers(&mut bytes, state.producers);
    put_transactions(&mut bytes, state.transactions);
    bytes
}

fn put_segment(bytes: &mut Vec<u8>, segment: &Segment) {
    let (base, facts) = (segment.base(), segment.facts());
    let mut flags = 0;
    if segment.is_lost() {
        flags |= IS_LOST;
    }
    if facts.max_timestamp.is_some() {
        flags |= HAS_TIMESTAMPS;
    }
    if facts.has_zstd {
        flags |= HAS_ZSTD;
    }
    if facts.has_gaps {
        flags |= HAS_GAPS;
    }
    bytes.put_i64(base.value());
    bytes.put_u32(facts.size);
    bytes.put_i64(facts.first_timestamp);
    bytes.put_u8(flags);
    bytes.put_i64(facts.max_timestamp.unwrap_or(-1));
    bytes.put_i64(facts.max_timestamp_last.value());
    bytes.put_i64(facts.appended_ms);
    bytes.put_u32(facts.plain_records);
}

/// Why there is no checkpoint to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("the checkpoint is damaged")]
    Damaged,
    #[error("could not read the checkpoint")]
    Io(#[from] io::Error),
}

/// Reads the checkpoint of a data directory; `None` if none was written yet.
pub(crate) fn load(
    disk: &dyn Disk,
    root: &Path,
    now_ms: i64,
) -> Result<Option<Checkpoint>, LoadError> {
    let Some(bytes) = small_file::read(disk, &root.join(FILE), FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    decode(&bytes, now_ms).map(Some).ok_or(LoadError::Damaged)
}

/// Refuses a checkpoint that is whole and of a newer version. Of others only the version is read.
pub(crate) fn refuse_newer_checkpoint(disk: &dyn Disk, root: &Path) -> Result<(), FormatError> {
    let path = root.join(FILE);
    let found = read_version(disk, &path).map_err(|source| FormatError::Io {
        path: path.clone(),
        source,
    })?;
    refuse_newer(&path, found.unwrap_or(VERSION), VERSION)?;
    Ok(())
}

/// The version of a checkpoint; `None` if there is none, or a damaged one that names a newer version.
fn read_version(disk: &dyn Disk, path: &Path) -> io::Result<Option<u32>> {
    let mut head = [0; MAGIC.len() + 4];
    match disk.open(path, OpenMode::Read) {
        Ok(file) => drop(file.read_at(&mut head, 0)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let found = version_of(&mut Reader::new(&head));
    if found.is_none_or(|found| found <= VERSION) {
        return Ok(found);
    }
    let bytes = small_file::read(disk, path, FILE_BYTES_MAX)?;
    let content = bytes.as_deref().and_then(whole);
    Ok(content.and_then(|mut content| version_of(&mut content)))
}

/// What lies before the hash, if that is right.
fn whole(bytes: &[u8]) -> Option<Reader<'_>> {
    let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
    (Reader::new(hash).u64()? == xxh3_64(content)).then(|| Reader::new(content))
}

fn version_of(reader: &mut Reader<'_>) -> Option<u32> {
    if reader.bytes(MAGIC.len())? != MAGIC {
        return None;
    }
    reader.u32()
}

fn decode(bytes: &[u8], now_ms: i64) -> Option<Checkpoint> {
    let mut reader = whole(bytes)?;
    let version = version_of(&mut reader)?;
    if !(VERSION_WITHOUT_CLEANING..=VERSION).contains(&version) {
        return None;
    }
    let boot = LeaderEpoch::new(reader.i32()?)?;
    let clean = reader.u8()? == 1;
    let logs = reader.count(LOG_BYTES_MIN)?;
    let logs = reader.items(logs, |reader| decode_log(reader, version, now_ms))?;
    reader
        .is_empty()
        .then_some(Checkpoint { boot, clean, logs })
}

/// Makes the checksum right.
#[cfg(feature = "fuzzing")]
pub(crate) fn correct(bytes: &mut [u8]) {
    let length = bytes.len().saturating_sub(HASH_BYTES);
    if let Some((content, hash)) = bytes.split_at_mut_checked(length)
        && hash.len() == HASH_BYTES
    {
        hash.copy_from_slice(&xxh3_64(content).to_be_bytes());
    }
}

/// Reads a checkpoint and writes it again.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_and_write(bytes: &[u8]) -> Option<Vec<u8>> {
    let checkpoint = decode(bytes, 0)?;
    let mut writer = CheckpointWriter::new(checkpoint.boot, checkpoint.clean);
    for entry in &checkpoint.logs {
        writer.add(&entry.encode());
    }
    Some(writer.finish())
}

fn decode_log(reader: &mut Reader<'_>, version: u32, now_ms: i64) -> Option<LogEntry> {
    let length = usize::from(reader.u16()?);
    let topic = TopicName::new(std::str::from_utf8(reader.bytes(length)?).ok()?);
    let partition = PartitionIndex::new(reader.i32()?)?;
    let length = usize::from(reader.u8()?);
    let topic_id = std::str::from_utf8(reader.bytes(length)?).ok()?.to_owned();
    let log_start = reader.offset()?;
    let mut log_end = Mark {
        offset: reader.offset()?,
        segment: reader.offset()?,
        position: reader.u32()?,
        total: 0,
    };
    let flag = reader.u8()?;
    let generation = match version {
        VERSION_WITHOUT_CLEANING => 0,
        _ => reader.u32()?,
    };
    let segments = reader.count(SEGMENT_BYTES_MIN)?;
    let segments = reader.items(segments, |reader| get_segment(reader, version))?;
    // At the border of two segments the end lies in the later one, which holds nothing yet.
    if let Some(last) = segments.last()
        && last.base() == log_end.offset
    {
        log_end.segment = last.base();
        log_end.position = last.size();
    }
    let mut epochs = LeaderEpochs::default();
    for _ in 0..reader.count(EPOCH_BYTES)? {
        let epoch = LeaderEpoch::new(reader.i32()?)?;
        epochs.begin(epoch, reader.offset()?);
    }
    let recovered = Recovered {
        segments,
        log_start,
        log_end,
        untrimmed: flag == UNTRIMMED,
        generation,
        epochs,
        producers: get_producers(reader, now_ms)?,
        transactions: get_transactions(reader)?,
        ..Recovered::default()
    };
    Some(LogEntry {
        partition: TopicPartition { topic, partition },
        topic_id,
        recovered: (flag != FORGOTTEN).then_some(recovered),
    })
}

fn get_segment(reader: &mut Reader<'_>, version: u32) -> Option<std::sync::Arc<Segment>> {
    let base = reader.offset()?;
    let size = reader.u32()?;
    let first_timestamp = reader.i64()?;
    let flags = reader.u8()?;
    let max_timestamp = reader.i64()?;
    let facts = SegmentFacts {
        size,
        first_timestamp,
        max_timestamp: (flags & HAS_TIMESTAMPS != 0).then_some(max_timestamp),
        max_timestamp_last: reader.offset()?,
        appended_ms: reader.i64()?,
        has_zstd: flags & HAS_ZSTD != 0,
        has_gaps: flags & HAS_GAPS != 0,
        plain_records: match version {
            VERSION_WITHOUT_CLEANING | VERSION_WITHOUT_RECORDS => 0,
            _ => reader.u32()?,
        },
    };
    if flags & IS_LOST != 0 {
        return Some(Segment::lost(base, facts));
    }
    Some(Segment::known(base, facts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn written(clean: bool, logs: i32) -> Vec<u8> {
        let mut writer = CheckpointWriter::new(LeaderEpoch::new(7).unwrap(), clean);
        for number in 0..logs {
            let mut facts = SegmentFacts::empty(at(5), 99);
            facts.size = 700;
            facts.max_timestamp = (number % 2 == 0).then_some(123);
            facts.has_zstd = number % 3 == 0;
            facts.has_gaps = number % 2 == 1;
            facts.plain_records = 15;
            let mut epochs = LeaderEpochs::default();
            epochs.begin(LeaderEpoch::new(2).unwrap(), at(5));
            writer.add(&encode_log(&LogState {
                partition: &TopicPartition {
                    topic: TopicName::new("topic"),
                    partition: PartitionIndex::new(number).unwrap(),
                },
                topic_id: "an-id",
                log_start: at(6),
                log_end: Mark {
                    offset: at(20),
                    segment: at(5),
                    position: 700,
                    total: 1_000_000,
                },
                untrimmed: number % 2 == 1,
                generation: 9,
                segments: &[Segment::known(at(5), facts)],
                epochs: &epochs,
                producers: &Producers::default(),
                transactions: &Transactions::default(),
            }));
        }
        let folder = tempfile::tempdir().unwrap();
        writer.write(&env::disk::SystemDisk, folder.path()).unwrap();
        std::fs::read(folder.path().join(FILE)).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        for clean in [true, false] {
            let checkpoint = decode(&written(clean, 4), 0).unwrap();
            assert_eq!(checkpoint.clean, clean);
            assert_eq!(checkpoint.boot.value(), 7);
            assert_eq!(checkpoint.logs.len(), 4);
            for (number, log) in checkpoint.logs.iter().enumerate() {
                assert_eq!(log.partition.to_string(), format!("topic-{number}"));
                assert_eq!(log.topic_id, "an-id");
                let recovered = log.recovered.as_ref().unwrap();
                assert_eq!(recovered.log_start, at(6));
                assert_eq!(recovered.log_end.offset, at(20));
                assert_eq!(recovered.log_end.position, 700);
                assert_eq!(recovered.untrimmed, number % 2 == 1);
                assert_eq!(recovered.generation, 9);
                let facts = recovered.segments.first().unwrap().facts();
                assert_eq!(facts.max_timestamp.is_some(), number % 2 == 0);
                assert_eq!(facts.has_zstd, number % 3 == 0);
                assert_eq!(facts.has_gaps, number % 2 == 1);
                assert_eq!(facts.appended_ms, 99);
                assert_eq!(facts.plain_records, 15);
                assert_eq!(recovered.epochs.at(at(9)), LeaderEpoch::new(2));
            }
        }
    }

    #[test]
    fn a_checkpoint_without_the_records_of_segments_is_read() {
        let mut content = written(true, 1);
        content.truncate(content.len() - HASH_BYTES);
        content[8..12].copy_from_slice(&VERSION_WITHOUT_RECORDS.to_be_bytes());
        // Fifteen records, and behind the segments one epoch.
        let records = [0, 0, 0, 15, 0, 0, 0, 1];
        let found = content
            .windows(records.len())
            .position(|bytes| bytes == records)
            .unwrap();
        content.drain(found..found + 4);
        let checkpoint = decode_believed(content).unwrap();
        let recovered = checkpoint.logs[0].recovered.as_ref().unwrap();
        assert_eq!(recovered.epochs.at(at(9)), LeaderEpoch::new(2));
        let facts = recovered.segments[0].facts();
        assert_eq!((facts.appended_ms, facts.plain_records), (99, 0));
    }

    #[test]
    fn of_a_log_that_was_repaired_only_the_names_are_known() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), written(true, 3)).unwrap();
        let disk = env::disk::SystemDisk;
        let before = load(&disk, folder.path(), 0).unwrap().unwrap();
        let repaired = before.logs[1].partition.clone();
        forget(&disk, folder.path(), 0, std::slice::from_ref(&repaired)).unwrap();
        let after = load(&disk, folder.path(), 0).unwrap().unwrap();
        assert!(!after.clean);
        assert_eq!(after.logs.len(), 3);
        for log in &after.logs {
            assert_eq!(log.topic_id, "an-id");
            assert_eq!(log.recovered.is_none(), log.partition == repaired);
        }
        assert_eq!(after.logs[2].encode(), before.logs[2].encode());
    }

    /// As [`decode`], with the checksum made right, so that what lies behind it is looked at.
    fn decode_believed(mut content: Vec<u8>) -> Option<Checkpoint> {
        let hash = xxh3_64(&content);
        content.put_u64(hash);
        decode(&content, 0)
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_checkpoint_are_refused(
            index in 0..400_usize,
            value: u8,
            length in 0..500_usize,
        ) {
            let mut content = written(false, 3);
            content.truncate(content.len() - HASH_BYTES);
            if let Some(byte) = content.get_mut(index) {
                *byte = value;
            }
            content.truncate(length);
            // Whatever comes out, it neither panics nor allocates more than the bytes can hold.
            decode_believed(content);
        }

        #[test]
        fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes, 0).is_none());
            prop_assert!(decode_believed(bytes).is_none());
        }
    }
}
