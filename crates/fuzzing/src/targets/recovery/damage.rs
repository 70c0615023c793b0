//! A log of ours whose bytes are damaged here and there, judged by what was in it.
//!
//! An input is a byte for the directory (after a clean stop, killed, each with and without its checkpoint), then damages:
//! which file, where, and what happens to it there.
//!
//! Invariants: a record that is served is the one that was written at its offset. A batch is served if no byte of it, and
//! no byte before it in the log, is damaged; and so is every batch in a segment without damage after a clean stop. Of what
//! is intact and not served any more, opening says so.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use protocol::records::BatchIterator;
use storage::PartitionLog;

use super::directory::{World, closed, file_of, killed, value_of};
use crate::input::Input;
use crate::memory_disk::{Content, MemoryDisk};

/// Damages that count; more say nothing new.
const DAMAGES_MAX: usize = 6;

/// A batch of the log as it was written.
#[derive(Debug)]
struct Written {
    file: PathBuf,
    bytes: Range<usize>,
    offsets: Range<i64>,
    is_control: bool,
}

fn written(content: &Content) -> Vec<Written> {
    let mut all = Vec::new();
    for (path, bytes) in content {
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let mut at = 0;
        for batch in BatchIterator::new(bytes) {
            let batch = batch.expect("our writers write batches");
            let end = at + batch.total_size();
            all.push(Written {
                file: path.clone(),
                bytes: at..end,
                offsets: batch.base_offset()..batch.next_offset(),
                is_control: batch.is_control(),
            });
            at = end;
        }
    }
    all.sort_by_key(|written| written.offsets.start);
    all
}

/// Where each file is damaged: from which byte on, and up to where.
type Damages = BTreeMap<PathBuf, Vec<Range<usize>>>;

fn damage(content: &mut Content, input: &mut Input<'_>) -> Damages {
    let mut damages = Damages::new();
    let names: Vec<PathBuf> = content
        .keys()
        .filter(|path| is_rebuilt_or_checked(path))
        .cloned()
        .collect();
    for _ in 0..DAMAGES_MAX {
        if input.is_empty() {
            break;
        }
        let path = &names[usize::from(input.byte()) % names.len()];
        let Some(bytes) = content.get_mut(path) else {
            continue;
        };
        let at = usize::from(input.u16()) % (bytes.len() + 1);
        let (what, length) = (input.byte(), usize::from(input.byte()));
        let before = bytes.clone();
        let end = (at + length).min(bytes.len());
        match what % 4 {
            0 if at < bytes.len() => bytes[at] ^= what | 4,
            1 => bytes[at..end].fill(what),
            2 => bytes.truncate(at),
            _ => bytes.extend(std::iter::repeat_n(what, length)),
        }
        let first = before
            .iter()
            .zip(&*bytes)
            .position(|(one, other)| one != other);
        let common = before.len().min(bytes.len());
        let range = match first {
            Some(first) => first..end.max(first + 1),
            // What was appended damages nothing that was there.
            None => common..before.len().max(bytes.len()),
        };
        damages.entry(path.clone()).or_default().push(range);
    }
    damages
}

/// Logs, whose batches have checksums, and what can be rebuilt from them. The other files say what nobody else knows.
fn is_rebuilt_or_checked(path: &std::path::Path) -> bool {
    let name = path.to_string_lossy();
    [".log", "index", ".snapshot", "checkpoint"]
        .iter()
        .any(|end| name.ends_with(end))
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let variant = input.byte();
    let was_closed = variant.is_multiple_of(2);
    let mut content = if was_closed { closed() } else { killed() }.clone();
    let written = written(&content);
    let mut damages = damage(&mut content, &mut input);
    if variant & 2 > 0 {
        content.retain(|path, _| !path.ends_with("checkpoint"));
        damages.entry(PathBuf::from("checkpoint")).or_default();
    }
    let world = World::open(&MemoryDisk::with(&content)).expect("damage keeps no directory closed");
    let offsets = world.log.offsets();
    let start = offsets.log_start.value();
    // One whose version is damaged looks like that of a newer binary: its partition is offline, and stays as it is.
    let may_look_newer = damages.iter().any(|(path, ranges)| {
        path.to_string_lossy().ends_with(".snapshot") && ranges.iter().any(|range| range.start < 2)
    });
    let is_certain = was_closed && !damages.keys().any(|path| path.ends_with("checkpoint"));
    let mut whole_so_far = true;
    for batch in &written {
        let hit = damages.get(&batch.file);
        let is_intact = hit
            .into_iter()
            .flatten()
            .all(|range| range.end <= batch.bytes.start || range.start >= batch.bytes.end);
        whole_so_far &= is_intact;
        let in_whole_file = is_certain && hit.is_none();
        let must = is_intact && (whole_so_far || in_whole_file) && !may_look_newer;
        if is_intact && batch.offsets.start >= offsets.log_end.value() {
            let losses = world.directory.losses();
            assert!(!losses.is_empty(), "{batch:?} is gone, and nothing says so");
        }
        for offset in batch.offsets.clone() {
            if offset < start.max(2) {
                continue;
            }
            let is_served = serve(&world, batch, offset, must);
            assert!(
                is_served || !must,
                "{offset} is intact, and not served: {damages:?}"
            );
        }
    }
    let end = written.last().map_or(0, |batch| batch.offsets.end);
    let lost = offsets.log_end.value() < end && whole_so_far && !may_look_newer;
    assert!(
        !lost,
        "the log ends at {}, nothing of it is damaged",
        offsets.log_end
    );
}

/// Whether the record at `offset` is served; another one never is in its place.
fn serve(world: &World, batch: &Written, offset: i64, must: bool) -> bool {
    let Ok(records) = world.read(offset, 1) else {
        return false;
    };
    for record in &records {
        let is_marker = batch.is_control && batch.offsets.contains(&record.offset);
        let expected = Some(value_of(record.offset));
        assert!(
            is_marker || record.value == expected || is_other_marker(record.value.as_deref()),
            "at {} lies {:?}",
            record.offset,
            record
                .value
                .as_deref()
                .map(<[u8]>::escape_ascii)
                .map(|text| text.to_string())
        );
    }
    let found = records.iter().any(|record| record.offset == offset);
    assert!(found || !must, "a read at {offset} gives {records:?}");
    found
}

/// Markers have six bytes: version and coordinator epoch.
fn is_other_marker(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value.len() == 6)
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let count = closed()
        .keys()
        .filter(|path| is_rebuilt_or_checked(path))
        .count();
    let mut seeds: Vec<Vec<u8>> = (0..4).map(|variant| vec![variant]).collect();
    for variant in 0..4 {
        for file in 0..u8::try_from(count).expect("there are few files") {
            for what in 0..4 {
                seeds.push(vec![variant, file, 0, 70 + what, what, 9]);
            }
        }
    }
    // Two places of the log at once.
    let log = file_of(&format!("{:020}.log", 0));
    let files = closed().keys().filter(|path| is_rebuilt_or_checked(path));
    let index = files
        .into_iter()
        .position(|path| *path == log)
        .unwrap_or_default();
    let index = u8::try_from(index).unwrap_or_default();
    seeds.push(vec![0, index, 0, 3, 0, 0, index, 0, 200, 1, 30]);
    seeds
}
