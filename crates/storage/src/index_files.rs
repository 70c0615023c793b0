//! The index files of a segment: loaded when they are needed, rebuilt from the log when they are not to be trusted.
//!
//! Invariant: an index is only ever a hint about the log. A file that is missing, cut or wrong costs a walk over the
//! headers of its segment, never a wrong answer; so index files are written without syncs.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use env::disk::{Disk, OpenMode};

use crate::files::{SegmentFile, SegmentPart, part_path};
use crate::local_log::LocalLog;
use crate::offset_index::{self, OffsetIndex};
use crate::scan::{Check, Scanner, Step};
use crate::segment::{Segment, SegmentFacts, SegmentIndex};
use crate::time_index::{self, TimeIndex};

/// How much is read at once to walk over headers.
const WALK_BYTES: usize = 16 * 1024;

impl LocalLog {
    /// The index of `segment`, from memory, its files, or the log itself.
    pub(crate) fn index_of(&self, segment: &Arc<Segment>) -> io::Result<Arc<SegmentIndex>> {
        if let Some(index) = segment.index() {
            return Ok(index);
        }
        let disk = &*self.shared.env.disk;
        let folder = self.folder();
        let (index, saved) = match load(disk, &folder, segment)? {
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
        Ok(index)
    }

    /// Writes the entries that are not in the index files yet. A failure costs a rebuild later, so it is only logged.
    pub(crate) fn save_index(&self, segment: &Segment) {
        let Some((index, saved)) = segment.unsaved_index() else {
            return;
        };
        let disk = &*self.shared.env.disk;
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
        if position == 0 {
            file.set_length(0)?;
        }
        file.write_at(&[IoSlice::new(&bytes)], position as u64)?;
    }
    Ok(())
}

/// The index as its files say, or `None` if they cannot be trusted.
fn load(disk: &dyn Disk, folder: &Path, segment: &Segment) -> io::Result<Option<SegmentIndex>> {
    let facts = segment.facts();
    let offsets = read_file(disk, folder, segment, SegmentPart::OffsetIndex)?
        .and_then(|bytes| OffsetIndex::decode(&bytes, facts.size));
    let times = read_file(disk, folder, segment, SegmentPart::TimeIndex)?
        .and_then(|bytes| TimeIndex::decode(&bytes, i32::MAX.unsigned_abs()));
    let (Some(offsets), Some(times)) = (offsets, times) else {
        return Ok(None);
    };
    // The last entry of the time index is the largest timestamp of a complete segment.
    let whole = times.entries().last().map(|entry| entry.timestamp) == facts.max_timestamp;
    Ok(whole.then(|| SegmentIndex::new(offsets, times)))
}

fn read_file(
    disk: &dyn Disk,
    folder: &Path,
    segment: &Segment,
    part: SegmentPart,
) -> io::Result<Option<Vec<u8>>> {
    let path = part_path(folder, segment.base(), part);
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // An index is never larger than its segment: entries are smaller than the batches they stand for.
    let length = file.length()?.min(u64::from(segment.size()));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// Builds the index by a walk over the headers. Behind a broken header nothing is known.
fn rebuild(file: &SegmentFile, segment: &Segment, interval_bytes: u32) -> io::Result<SegmentIndex> {
    let mut facts = SegmentFacts::empty(segment.base(), 0);
    let mut index = SegmentIndex::default();
    let mut walk = Scanner::new(file.disk_file(), 0, segment.size(), WALK_BYTES);
    while let Step::Batch { position, header } = walk.step(Check::Headers)? {
        facts.add(&header);
        index.add(segment.base(), position, &header, &facts, interval_bytes);
    }
    index.add_time(segment.base(), &facts);
    Ok(index)
}
