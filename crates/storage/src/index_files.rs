//! The index files of a segment: loaded when they are needed, rebuilt from the log when they are not to be trusted.
//!
//! Invariant: an index is only ever a hint about the log. A file that is missing, cut or wrong costs a walk over the
//! headers of its segment, never a wrong answer; so index files are written without syncs.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Weak};

use env::disk::{Disk, OpenMode};
use parking_lot::Mutex;
use types::Offset;

use crate::chain::Chain;
use crate::files::{SegmentFile, SegmentPart, part_path};
use crate::local_log::LocalLog;
use crate::offset_index::{self, OffsetIndex};
use crate::planted::{Bug, is_planted};
use crate::scan::{Check, Scanner, Step};
use crate::segment::{Segment, SegmentFacts, SegmentIndex};
use crate::small_file;
use crate::time_index::{self, TimeIndex};

/// No index is larger: one entry for each of the smallest batches of the largest segment.
const INDEX_BYTES_MAX: u64 = 1 << 29;
/// Relative offsets are read as signed by Kafka.
const RELATIVE_MAX: u32 = i32::MAX.unsigned_abs();
/// How much is read at once to walk over headers.
const WALK_BYTES: usize = 16 * 1024;

impl LocalLog {
    /// The index of `segment`, from memory, its files, or the log itself.
    pub(crate) fn index_of(&self, segment: &Arc<Segment>) -> io::Result<Arc<SegmentIndex>> {
        if let Some(index) = segment.use_index() {
            return Ok(index);
        }
        let disk = &*self.shared.env.disk;
        let folder = self.folder();
        let loaded = load_index(disk, &folder, segment.base(), segment.size(), RELATIVE_MAX)?;
        // Of a segment that was replaced, perhaps while they were read, the files are another's.
        let loaded = loaded.filter(|_| !segment.is_replaced());
        let (index, saved) = match loaded {
            Some(index) => {
                let saved = (index.offsets.entries().len(), index.times.entries().len());
                (index, saved)
            }
            None => {
                let interval = self.settings().index_interval_bytes;
                let index = rebuild(&*self.file(segment)?, segment, interval)?;
                (index, (0, 0))
            }
        };
        let index = Arc::new(index);
        segment.keep_index(Arc::clone(&index), saved);
        let is_tail = self
            .view
            .lock()
            .segments
            .last()
            .is_some_and(|tail| Arc::ptr_eq(tail, segment));
        if !is_tail {
            self.save_index(segment);
            self.shared.indexes.admit(segment);
        }
        Ok(index)
    }

    /// Writes the entries that are not in the index files yet. A failure costs a rebuild later, so it is only logged.
    pub(crate) fn save_index(&self, segment: &Segment) {
        let Some((index, saved)) = segment.unsaved_index() else {
            return;
        };
        let disk = &*self.shared.env.disk;
        let _index_files = self.cleaning.index_files.lock();
        if segment.is_replaced() {
            return;
        }
        match save(disk, &self.folder(), segment, &index, saved) {
            Ok(()) => {
                segment.note_saved((index.offsets.entries().len(), index.times.entries().len()));
            }
            Err(error) => {
                tracing::warn!(partition = %self.partition, %error, "could not write an index file");
            }
        }
    }
}

fn save(
    disk: &dyn Disk,
    folder: &Path,
    segment: &Segment,
    index: &SegmentIndex,
    saved: (usize, usize),
) -> io::Result<()> {
    let parts = [
        (
            SegmentPart::OffsetIndex,
            saved.0 * offset_index::ENTRY_BYTES,
            index.offsets.encode(saved.0),
        ),
        (
            SegmentPart::TimeIndex,
            saved.1 * time_index::ENTRY_BYTES,
            index.times.encode(saved.1),
        ),
    ];
    for (part, position, bytes) in parts {
        if bytes.is_empty() {
            continue;
        }
        let path = part_path(folder, segment.base(), part);
        let file = disk.open(&path, OpenMode::CreateIfMissing)?;
        // What a lost sync left behind the entries that count must not be read as theirs.
        file.set_length(position as u64)?;
        file.write_at(&[IoSlice::new(&bytes)], position as u64)?;
    }
    Ok(())
}

/// The index of the first `size` bytes of a segment, whose last relative offset is `last_max`, as its files say; `None`
/// if they cannot be trusted. It may end early, which only makes walks longer.
pub(crate) fn load_index(
    disk: &dyn Disk,
    folder: &Path,
    base: Offset,
    size: u32,
    last_max: u32,
) -> io::Result<Option<SegmentIndex>> {
    let read = |part| small_file::read(disk, &part_path(folder, base, part), INDEX_BYTES_MAX);
    let offsets = read(SegmentPart::OffsetIndex)?;
    let times = read(SegmentPart::TimeIndex)?;
    let size = if is_planted(Bug::IndexAheadOfLog) {
        RELATIVE_MAX
    } else {
        size
    };
    let offsets = offsets.and_then(|bytes| OffsetIndex::decode(&bytes, size));
    let times = times.and_then(|bytes| TimeIndex::decode(&bytes, last_max));
    Ok(offsets
        .zip(times)
        .map(|(offsets, times)| SegmentIndex::new(offsets, times)))
}

/// Builds the index by a walk over the headers. Behind a broken header nothing is known.
fn rebuild(file: &SegmentFile, segment: &Segment, interval_bytes: u32) -> io::Result<SegmentIndex> {
    let mut facts = SegmentFacts::empty(segment.base(), 0);
    let mut index = SegmentIndex::default();
    let has_gaps = segment.facts().has_gaps;
    let mut chain = Chain::new(Some(segment.base()), Offset::MAX, has_gaps);
    let mut walk = Scanner::new(file.disk_file(), 0, segment.size(), WALK_BYTES);
    while let Step::Batch {
        position,
        mut header,
    } = walk.step(Check::Headers)?
    {
        if let Some(expected) = chain.expected()
            && !chain.follow(&header)
        {
            header.base_offset = expected.value();
        }
        facts.add(&header);
        index.add(segment.base(), position, &header, &facts, interval_bytes);
    }
    index.add_time(segment.base(), &facts);
    Ok(index)
}

/// Decides which closed segments keep their index in memory: a clock with a second chance, bounded by bytes.
#[derive(Debug)]
pub(crate) struct IndexCache {
    limit: usize,
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    bytes: usize,
    loaded: VecDeque<(Weak<Segment>, usize)>,
}

impl IndexCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// Counts the index of a closed segment, and drops others if there are too many.
    pub(crate) fn admit(&self, segment: &Arc<Segment>) {
        let Some(index) = segment.index() else {
            return;
        };
        let bytes = index.memory();
        let mut state = self.state.lock();
        let state = &mut *state;
        state.loaded.push_back((Arc::downgrade(segment), bytes));
        state.bytes += bytes;
        // Twice the number of entries: after one round every second chance is used up.
        let mut looks = state.loaded.len() * 2;
        while state.bytes > self.limit && looks > 0 {
            looks -= 1;
            let Some((candidate, bytes)) = state.loaded.pop_front() else {
                return;
            };
            let kept = candidate
                .upgrade()
                .is_some_and(|segment| segment.drop_index_unless_used());
            if kept {
                state.loaded.push_back((candidate, bytes));
            } else {
                state.bytes -= bytes;
            }
        }
    }
}
