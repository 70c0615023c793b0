//! Files that may hold anything: whatever a directory is like, opening it ends, and what it gives is a log.
//!
//! An input is a byte of flags (1: checksums of batches are made right, 2: those of snapshots, 4: that of the checkpoint),
//! then files, each a byte for what it is, two for its base offset, and its bytes.

use std::path::{Path, PathBuf};

use storage::{
    AppendContext, DirectoryCheck, FormatError, Isolation, OpenError, PartitionLog, ReadError,
    TimestampQuery,
};
use types::{LeaderEpoch, Offset, Timestamp};

use super::directory::{ROOT, Record, World, closed, file_of, killed};
use crate::counting::{Limit, within};
use crate::input::{Input, pack};
use crate::memory_disk::{Content, MemoryDisk, env_with};
use crate::targets::protocol::{batch, correct};

/// Offsets that are read one by one where a read says that something is corrupt.
const READS_MAX: usize = 40;
/// Buffers of fixed size for walking and copying, and what grows with the number of segments and producers. The disk lies in
/// memory too.
const OPENING: Limit = Limit {
    fixed: 8 << 20,
    per_byte: 64,
};

/// The kinds of files: a suffix behind the base offset, or a name.
const SEGMENT_FILES: [&str; 8] = [
    "log",
    "index",
    "timeindex",
    "snapshot",
    "log.cleaned",
    "index.cleaned",
    "timeindex.cleaned",
    "log.cut",
];
const PARTITION_FILES: [&str; 4] = [
    "partition.metadata",
    "log-start-offset",
    "cleaner-offset",
    "unknown",
];
const ROOT_FILES: [&str; 3] = ["checkpoint", "boot-count", "watertable.format"];
/// A cleaned log that counts instead of others; ends so many offsets behind its base.
const SWAP: usize = SEGMENT_FILES.len() + PARTITION_FILES.len() + ROOT_FILES.len();
const SWAP_SPAN: u64 = 12;

fn path_of(kind: usize, base: u64) -> PathBuf {
    if let Some(suffix) = SEGMENT_FILES.get(kind) {
        return file_of(&format!("{base:020}.{suffix}"));
    }
    let kind = kind - SEGMENT_FILES.len();
    if let Some(name) = PARTITION_FILES.get(kind) {
        return file_of(name);
    }
    match ROOT_FILES.get(kind - PARTITION_FILES.len()) {
        Some(name) => Path::new(ROOT).join(name),
        None => file_of(&format!("{base:020}.{:020}.swap", base + SWAP_SPAN)),
    }
}

fn content(data: &[u8]) -> Content {
    let mut input = Input::new(data);
    let flags = input.byte();
    let mut content = Content::new();
    while !input.is_empty() {
        let kind = usize::from(input.byte()) % (SWAP + 1);
        let base = u64::from(input.u16());
        let mut bytes = input.piece().to_vec();
        let path = path_of(kind, base);
        let name = path.to_string_lossy();
        if flags & 1 > 0
            && (name.ends_with(".log") || name.ends_with("swap") || name.ends_with("cleaned"))
        {
            correct(&mut bytes);
        }
        if flags & 2 > 0 && name.ends_with(".snapshot") {
            storage::fuzzing::correct_snapshot(&mut bytes);
        }
        if flags & 4 > 0 && name.ends_with("checkpoint") {
            storage::fuzzing::correct_checkpoint(&mut bytes);
        }
        content.insert(path, bytes);
    }
    content
}

pub(super) fn run(data: &[u8]) {
    let before = content(data);
    let disk = MemoryDisk::with(&before);
    check(&disk, &before);
    let opened = within(OPENING, data.len(), || World::open(&disk));
    let Ok(mut world) = opened else { return };
    if world.was_closed {
        // A checkpoint of a clean stop is believed, whatever the files are like: what was found so is looked at, and a
        // process that was killed finds out.
        look(&world);
        ask(&world);
        drop(world);
        let Some(reopened) = reopen(&disk) else {
            return;
        };
        world = reopened;
    }
    let first = look(&world);
    ask(&world);
    drop(world);
    // Killed right after opening: the next opening finds the same.
    let Some(world) = reopen(&disk) else { return };
    let second = look(&world);
    assert_eq!(second, first, "opening twice is as opening once");
    let end = world.log.offsets().log_end.value();
    let appended = world.append(batch_bytes(), AppendContext::client);
    if let Ok(base) = appended {
        assert_eq!(base, end, "an append goes to the end");
        let read = world
            .read(base, 1)
            .expect("what was acknowledged can be read");
        assert_eq!(read.first().map(|record| record.offset), Some(base));
    }
    let before_stop = look(&world);
    world.directory.close().expect("memory does not fail");
    drop(world);
    let Some(world) = reopen(&disk) else { return };
    assert_loses_nothing(&before_stop, &look(&world));
}

/// What was found before is found after. More may be: behind a batch whose header is damaged a reader gets only as far as the
/// index knows, and the one that a start after a crash builds ends there, while a clean stop has files of it believed.
fn assert_loses_nothing(before: &Found, after: &Found) {
    assert_eq!(
        (after.start, after.end),
        (before.start, before.end),
        "a stop moves nothing"
    );
    // So many reads get as far as it was readable.
    let reached = before.reached.min(after.reached);
    let mut found = after.records.iter();
    for record in before
        .records
        .iter()
        .filter(|record| record.offset < reached)
    {
        assert!(
            found.any(|other| other == record),
            "a stop loses nothing: {record:?} of {before:?} is not in {after:?}"
        );
    }
}

/// What was opened once can be opened again, unless the starts are used up.
fn reopen(disk: &MemoryDisk) -> Option<World> {
    match World::open(disk) {
        Ok(world) => Some(world),
        Err(OpenError::Format(FormatError::EpochsUsedUp { .. })) => None,
        Err(error) => panic!("what was opened once can be opened again: {error:?}"),
    }
}

fn batch_bytes() -> bytes::Bytes {
    batch(protocol::records::Compression::None, 0, 2).into()
}

/// The offline check says what it says, and changes nothing.
fn check(disk: &MemoryDisk, before: &Content) {
    if let Ok(check) = DirectoryCheck::open(&env_with(disk), Path::new(ROOT)) {
        // What it finds is for people to judge.
        drop(check.run(None, &mut |_bytes| ()));
        drop(check);
        assert_eq!(&disk.content(), before, "a check changes nothing");
    }
}

/// What a log holds.
#[derive(Debug, PartialEq)]
struct Found {
    start: i64,
    end: i64,
    records: Vec<Record>,
    /// Up to here it was read.
    reached: i64,
}

/// Reads from the start to the end, as far as [`READS_MAX`] reads go.
fn look(world: &World) -> Found {
    let offsets = world.log.offsets();
    assert!(offsets.log_start <= offsets.last_stable, "{offsets:?}");
    assert!(offsets.last_stable <= offsets.high_watermark, "{offsets:?}");
    assert!(offsets.high_watermark <= offsets.log_end, "{offsets:?}");
    let mut found = Found {
        start: offsets.log_start.value(),
        end: offsets.log_end.value(),
        records: Vec::new(),
        reached: 0,
    };
    let mut next = found.start;
    for _ in 0..READS_MAX {
        if next >= offsets.high_watermark.value() {
            break;
        }
        match world.read(next, 400) {
            Ok(records) => {
                let last = records.last().map_or(next, |record| record.offset);
                assert!(last < found.end, "nothing behind the end is served");
                next = next.max(last) + 1;
                found.records.extend(records);
            }
            Err(ReadError::OffsetOutOfRange { .. }) => panic!("{next} is within {offsets:?}"),
            Err(_corrupt) => next += 1,
        }
    }
    found.reached = next;
    found
}

/// Asks what else a log can be asked; answers lie within it.
fn ask(world: &World) {
    let log = &world.log;
    let offsets = log.offsets();
    drop(log.producers());
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        for time in [0, 1_700_000_000_003, i64::MAX] {
            let query = TimestampQuery::AtLeast(Timestamp::from_ms(time));
            for query in [query, TimestampQuery::Largest] {
                if let Ok(Some(answer)) = log.offset_for_timestamp(query, isolation) {
                    assert!(answer.offset < offsets.high_watermark, "{answer:?}");
                }
            }
        }
        // A refusal is an answer too.
        drop(log.read(offsets.log_start, 1000, isolation, false));
    }
    for epoch in 0..4 {
        if let Some(end) = LeaderEpoch::new(epoch).and_then(|epoch| log.end_offset_for_epoch(epoch))
        {
            assert!(end.end <= offsets.log_end, "{end:?}");
        }
    }
    log.epoch_at(offsets.log_start);
    log.epoch_at(Offset::MAX);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for flags in [0, 7] {
        for content in [closed(), killed()] {
            seeds.push(packed(flags, content, &|_| true));
            seeds.push(packed(flags, content, &|name| {
                !name.ends_with("checkpoint")
            }));
            seeds.push(packed(flags, content, &|name| {
                !name.ends_with("checkpoint") && !name.ends_with("index")
            }));
        }
    }
    // What a cleaning that was interrupted leaves.
    let mut swap = packed(1, closed(), &|_| true);
    let log = closed().get(&file_of(&format!("{:020}.log", 0)));
    for kind in [4, SWAP] {
        swap.push(u8::try_from(kind).expect("there are few"));
        swap.extend_from_slice(&[0, 0]);
        pack(&mut swap, log.expect("a log begins at 0"));
    }
    seeds.push(swap);
    seeds
}

fn packed(flags: u8, content: &Content, keep: &dyn Fn(&str) -> bool) -> Vec<u8> {
    let mut bytes = vec![flags];
    for (path, file) in content {
        if !keep(&path.to_string_lossy()) {
            continue;
        }
        let name = path.file_name().map(|name| name.to_string_lossy());
        let name = name.unwrap_or_default();
        let digits = name.split('.').next().unwrap_or_default();
        let base = digits.parse::<u64>().unwrap_or_default();
        let Some(kind) = (0..SWAP).find(|kind| path_of(*kind, base) == *path) else {
            continue;
        };
        bytes.push(u8::try_from(kind).expect("there are few"));
        bytes.extend_from_slice(&u16::try_from(base).expect("the log is short").to_be_bytes());
        pack(&mut bytes, file);
    }
    bytes
}
