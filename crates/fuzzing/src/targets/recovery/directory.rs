//! A data directory in memory with one log: made by our own writers, opened, read, appended to.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use protocol::Slice;
use protocol::records::{
    BatchBuilder, BatchIterator, BatchOptions, Compression, ControlRecordType, EndTransactionMarker,
};
use storage::{
    AppendContext, AppendError, DirectoryOptions, Isolation, LocalLog, LogDirectory, LogSettings,
    OpenError, PartitionLog, ReadError, ReadPlan, SegmentFile,
};
use types::{Offset, PartitionIndex, TopicId, TopicName, TopicPartition};

use crate::memory_disk::{Content, MemoryDisk, NOW_MS, env_with};

pub(crate) const ROOT: &str = "/data";

/// The path of a file in the folder of the log.
pub(crate) fn file_of(name: &str) -> PathBuf {
    Path::new(ROOT).join("logs/t-0").join(name)
}

fn at(offset: i64) -> Offset {
    Offset::new(offset).expect("it is not negative")
}

/// Segments of a few batches, with several index entries each.
fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 700,
        index_interval_bytes: 150,
        ..LogSettings::default()
    }
}

/// An opened directory and its log.
pub(super) struct World {
    pub(super) directory: LogDirectory,
    pub(super) log: Arc<LocalLog>,
    /// Whether the process before closed it.
    pub(super) was_closed: bool,
}

impl World {
    pub(super) fn open(disk: &MemoryDisk) -> Result<Self, OpenError> {
        let options = DirectoryOptions {
            own_threads: false,
            verify_transactions: false,
            ..DirectoryOptions::default()
        };
        let opened = LogDirectory::open(env_with(disk), Path::new(ROOT), options)?;
        let partition = TopicPartition {
            topic: TopicName::new("t"),
            partition: PartitionIndex::new(0).expect("it is not negative"),
        };
        let id = TopicId::new([1; 16]).expect("it is not zero");
        let log = opened.directory.log(&partition, id, settings());
        Ok(Self {
            log: log.expect("memory renames"),
            directory: opened.directory,
            was_closed: opened.was_closed,
        })
    }

    /// Appends and commits; the offset.
    pub(super) fn append(
        &self,
        batch: Bytes,
        origin: fn(types::LeaderEpoch) -> AppendContext,
    ) -> Result<i64, AppendError> {
        let context = origin(self.log.offsets().leader_epoch);
        let ticket = self.log.append(batch, context)?;
        let base = ticket.outcome.base_offset.value();
        while self.directory.run_once() {}
        let mut commit = pin!(ticket.committed());
        let polled = commit
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(
            matches!(polled, Poll::Ready(Ok(()))),
            "what was appended is committed"
        );
        Ok(base)
    }

    /// One read from `from`: the records from there on, in whole batches whose checksums match.
    pub(super) fn read(&self, from: i64, max_bytes: usize) -> Result<Vec<Record>, ReadError> {
        let plan = self
            .log
            .read(at(from), max_bytes, Isolation::ReadUncommitted, true)?;
        let bytes = bytes_of(&plan);
        let mut records = Vec::new();
        let mut batches = BatchIterator::new(&bytes);
        for batch in &mut batches {
            let batch = batch.expect("plans hold batches");
            batch
                .verify_crc()
                .expect("no byte is served that was not written");
            let payload = batch.payload(1 << 20);
            let found = payload
                .iter()
                .flat_map(|payload| batch.records(payload).flatten());
            for record in found {
                records.push(Record {
                    offset: batch.offset_of(record.offset_delta),
                    value: record.value.map(<[u8]>::to_vec),
                });
            }
            assert!(
                batch.last_offset() >= from,
                "the first batch is the one asked for"
            );
        }
        assert_eq!(batches.position(), bytes.len(), "plans hold whole batches");
        Ok(records)
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) offset: i64,
    pub(super) value: Option<Vec<u8>>,
}

fn bytes_of(plan: &ReadPlan) -> Vec<u8> {
    let mut bytes = Vec::new();
    for slice in &plan.slices {
        match slice {
            Slice::Memory(memory) => bytes.extend_from_slice(memory),
            Slice::File(slice) => {
                let file: &dyn Any = &*slice.file;
                let file = file
                    .downcast_ref::<SegmentFile>()
                    .expect("storage hands out segment files");
                let start = bytes.len();
                bytes.resize(start + slice.length, 0);
                let count = file.disk_file().read_at(&mut bytes[start..], slice.offset);
                assert_eq!(
                    count.ok(),
                    Some(slice.length),
                    "a slice lies within its file"
                );
            }
        }
    }
    assert_eq!(bytes.len(), plan.length);
    bytes
}

/// Records with these offsets and more, all of one batch. Their values say where they belong.
fn numbered(options: BatchOptions, first: i64, count: i64) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for offset in first..first + count {
        let value = value_of(offset);
        builder
            .push(NOW_MS + offset, Some(b"k"), Some(&value), &[])
            .expect("it fits");
    }
    builder.build().expect("it compresses")
}

pub(super) fn value_of(offset: i64) -> Vec<u8> {
    format!("the record at {offset}").into_bytes()
}

/// A log with plain, idempotent, transactional and compressed batches, an aborted and an open transaction, and a checkpoint
/// in the middle. `closed`: after a clean stop.
fn written(closed: bool) -> Content {
    let disk = MemoryDisk::default();
    let world = World::open(&disk).expect("memory does not fail");
    let mut next = 0;
    let mut sequence = 0;
    for round in 0..5_i64 {
        let codec = u8::try_from(round).ok().and_then(Compression::from_id);
        let compressed = BatchOptions {
            compression: codec.expect("there are five"),
            ..BatchOptions::default()
        };
        let idempotent = BatchOptions {
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        let transactional = BatchOptions {
            producer_id: 8 + round,
            producer_epoch: 0,
            base_sequence: 0,
            is_transactional: true,
            ..BatchOptions::default()
        };
        for (options, count) in [(compressed, 3), (idempotent, 2), (transactional, 1)] {
            let batch = numbered(options, next, count);
            let base = world
                .append(batch, AppendContext::client)
                .expect("it is taken");
            assert_eq!(base, next);
            next += count;
        }
        sequence += 2;
        let kind = match round {
            0 | 3 => ControlRecordType::Abort,
            4 => break,
            _ => ControlRecordType::Commit,
        };
        let marker = EndTransactionMarker {
            coordinator_epoch: 1,
        };
        let marker = BatchBuilder::end_transaction(transactional, NOW_MS, kind, marker);
        let marker = marker.expect("it fits");
        world
            .append(marker, AppendContext::coordinator)
            .expect("it is taken");
        next += 1;
        if round == 2 {
            world.directory.checkpoint().expect("memory does not fail");
        }
    }
    world
        .log
        .delete_records(Some(at(2)))
        .expect("they are there");
    if closed {
        world.directory.close().expect("memory does not fail");
    }
    let content = disk.content();
    drop(world);
    content
}

/// The directory after a clean stop.
pub(crate) fn closed() -> &'static Content {
    static CLOSED: LazyLock<Content> = LazyLock::new(|| written(true));
    &CLOSED
}

/// The directory after the process was killed.
pub(super) fn killed() -> &'static Content {
    static KILLED: LazyLock<Content> = LazyLock::new(|| written(false));
    &KILLED
}
