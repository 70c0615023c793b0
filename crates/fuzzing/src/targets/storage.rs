//! The files beside a segment, and those of the whole directory, each decoder by itself: recovery would rarely get so deep.

use storage::fuzzing::{self, OffsetLookUps, SmallFile, TimeLookUps};

use super::recovery::{ROOT, closed, file_of};
use super::target;
use crate::Target;
use crate::counting::{Limit, within};
use crate::input::Input;

pub(super) const OFFSET_INDEX: Target = target(
    "offset-index",
    "an .index file: entries rise within the segment, look-ups find what a walk finds, what was read comes back",
    offset_index_seeds,
    offset_index,
);

pub(super) const TIME_INDEX: Target = target(
    "time-index",
    "a .timeindex file: as the offset index",
    time_index_seeds,
    time_index,
);

pub(super) const PRODUCER_SNAPSHOT: Target = target(
    "producer-snapshot",
    "a .snapshot file, its checksum made right: what is read is written and read again",
    || files_ending(".snapshot"),
    producer_snapshot,
);

pub(super) const CHECKPOINT: Target = target(
    "checkpoint",
    "the checkpoint, its checksum made right: what is read is written and read again",
    || files_ending("checkpoint"),
    checkpoint,
);

pub(super) const SMALL_FILES: Target = target(
    "small-files",
    "log-start-offset, cleaner-offset, boot-count, partition.metadata, watertable.format",
    small_file_seeds,
    small_file,
);

/// An index is read, and then written.
const INDEX: Limit = Limit {
    fixed: 4096,
    per_byte: 8,
};

/// A segment of the smallest kind of entry is 45 bytes in the file and about 300 in memory, and all is written again.
const STATE: Limit = Limit {
    fixed: 16 * 1024,
    per_byte: 24,
};

fn offset_index(data: &[u8]) {
    let mut input = Input::new(data);
    let (size, offset, after, limit) = (input.u32(), input.u32(), input.u32(), input.u32());
    let bytes = input.rest();
    let read = within(INDEX, bytes.len(), || {
        fuzzing::offset_index(bytes, size, offset, (after, limit))
    });
    let Some(read) = read else { return };
    let OffsetLookUps {
        entries, written, ..
    } = &read;
    let rises = entries
        .windows(2)
        .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
    assert!(rises, "{entries:?}");
    assert!(entries.iter().all(|(_, position)| *position < size));
    let floor = entries.iter().rfind(|(last, _)| *last <= offset);
    assert_eq!(read.floor, floor.map_or(0, |(_, position)| *position));
    let ceiling = entries.iter().find(|(last, _)| *last >= offset);
    assert_eq!(read.ceiling, ceiling.copied());
    let within = entries.iter().rfind(|(_, position)| *position <= limit);
    let boundary = within.map(|(_, position)| *position);
    assert_eq!(read.boundary, boundary.filter(|position| *position > after));
    let again = fuzzing::offset_index(written, size, offset, (after, limit));
    assert_eq!(again.as_ref(), Some(&read));
}

fn offset_index_seeds() -> Vec<Vec<u8>> {
    let numbers = [1000_u32, 3, 0, 700].map(u32::to_be_bytes).concat();
    let files = files_ending(".index");
    files
        .iter()
        .map(|file| [&numbers[..], file].concat())
        .collect()
}

fn time_index(data: &[u8]) {
    let mut input = Input::new(data);
    let (last, timestamp) = (input.u32(), input.i64());
    let bytes = input.rest();
    let read = within(INDEX, bytes.len(), || {
        fuzzing::time_index(bytes, last, timestamp)
    });
    let Some(read) = read else { return };
    let TimeLookUps {
        entries, written, ..
    } = &read;
    let rises = entries
        .windows(2)
        .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
    assert!(rises, "{entries:?}");
    assert!(entries.iter().all(|(_, offset)| *offset <= last));
    let older = entries.iter().rfind(|(time, _)| *time < timestamp);
    assert_eq!(read.all_older_up_to, older.map(|(_, offset)| *offset));
    let again = fuzzing::time_index(written, last, timestamp);
    assert_eq!(again.as_ref(), Some(&read));
}

fn time_index_seeds() -> Vec<Vec<u8>> {
    let numbers = [
        &9_u32.to_be_bytes()[..],
        &1_700_000_000_003_i64.to_be_bytes(),
    ]
    .concat();
    let files = files_ending(".timeindex");
    files
        .iter()
        .map(|file| [&numbers[..], file].concat())
        .collect()
}

fn producer_snapshot(data: &[u8]) {
    let mut bytes = data.to_vec();
    fuzzing::correct_snapshot(&mut bytes);
    let written = within(STATE, bytes.len(), || fuzzing::producer_snapshot(&bytes));
    let Some(written) = written else { return };
    assert_eq!(fuzzing::producer_snapshot(&written), Some(written));
}

fn checkpoint(data: &[u8]) {
    let mut bytes = data.to_vec();
    fuzzing::correct_checkpoint(&mut bytes);
    let written = within(STATE, bytes.len(), || fuzzing::checkpoint(&bytes));
    let Some(written) = written else { return };
    assert_eq!(fuzzing::checkpoint(&written), Some(written));
}

fn files_ending(end: &str) -> Vec<Vec<u8>> {
    let files = closed().iter();
    files
        .filter(|(path, _)| path.to_string_lossy().ends_with(end))
        .map(|(_, bytes)| bytes.clone())
        .collect()
}

const SMALL: [SmallFile; 5] = [
    SmallFile::LogStart,
    SmallFile::CleanerState,
    SmallFile::BootCount,
    SmallFile::Metadata,
    SmallFile::Format,
];

/// A byte for which file, then its text.
fn small_file(data: &[u8]) {
    let Some((which, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let file = SMALL[usize::from(*which) % SMALL.len()];
    let written = within(INDEX, text.len(), || fuzzing::small_file(file, text));
    let Some(written) = written else { return };
    assert_eq!(fuzzing::small_file(file, &written), Some(written));
}

fn small_file_seeds() -> Vec<Vec<u8>> {
    let root = std::path::Path::new(ROOT);
    let paths = [
        file_of("log-start-offset"),
        file_of("cleaner-offset"),
        root.join("boot-count"),
        file_of("partition.metadata"),
        root.join("watertable.format"),
    ];
    let mut seeds = vec![b"\x010\n7\n-1\n9\n".to_vec(), b"\x010\n7\n5\n".to_vec()];
    for (which, path) in (0..).zip(&paths) {
        if let Some(bytes) = closed().get(path) {
            seeds.push([&[which], &bytes[..]].concat());
        }
    }
    seeds
}
