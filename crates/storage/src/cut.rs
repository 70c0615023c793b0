//! Cutting the end of a log off at recovery, without losing anything silently.
//!
//! Invariants: bytes that are not zero leave a log only after they were copied, durably, to a `.cut` file beside it, and
//! segments behind the end keep their bytes under the name `.log.cut`; both are told in the log of the broker. What was cut
//! off is gone for good before anything is written in its place.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use env::disk::{Disk, DiskFile, OpenMode};
use types::Offset;

use crate::files::{SegmentPart, part_path};
use crate::losses::{Loss, LossKind, LossLog};
use crate::metrics::StorageMetrics;
use crate::planted::{Bug, is_planted};
use crate::recover::Unfit;

/// What is kept of a cut end reaches to a multiple of this.
const KEPT_UNIT: u64 = 4096;
/// How much is copied at once.
const COPY_BYTES: usize = 256 * 1024;

/// Cuts logs in one partition's folder.
#[derive(Debug)]
pub(crate) struct Cutter<'a> {
    disk: &'a dyn Disk,
    metrics: &'a StorageMetrics,
    losses: &'a LossLog,
    folder: &'a Path,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(
        disk: &'a dyn Disk,
        metrics: &'a StorageMetrics,
        losses: &'a LossLog,
        folder: &'a Path,
    ) -> Self {
        Self {
            disk,
            metrics,
            losses,
            folder,
        }
    }

    /// Ends a segment at `position`, where the log would go on at `next`. Returns whether something was cut off; zeros are reserved space and nothing.
    pub(crate) fn cut(
        &self,
        base: Offset,
        file: &dyn DiskFile,
        position: u32,
        next: Offset,
        length: u64,
        cause: &Unfit,
    ) -> io::Result<bool> {
        let position = u64::from(position);
        let last = last_nonzero(file, position, length)?;
        if let Some(last) = last {
            // Zeros right behind may belong to what is cut; the rest of the reserved space does not.
            let end = kept_end(last, length);
            let bytes = end - position;
            let kept = self.keep(base, file, position, end)?;
            self.metrics.truncated_bytes.add(bytes);
            self.losses.tell(Loss {
                kind: LossKind::Cut,
                path: part_path(self.folder, base, SegmentPart::Log),
                bytes: Some((position, bytes)),
                offsets: Some((next, None)),
                cause: cause.to_string(),
                kept: Some(kept),
            });
        }
        if !is_planted(Bug::LostTruncation) {
            file.set_length(position)?;
        }
        if last.is_some() {
            // Or a loss of power could bring old batches back behind what is written over the first of them.
            file.sync_data()?;
        }
        Ok(last.is_some())
    }

    fn keep(&self, base: Offset, file: &dyn DiskFile, from: u64, to: u64) -> io::Result<PathBuf> {
        let path = part_path(self.folder, base, SegmentPart::Cut { from });
        copy_aside(self.disk, file, from, to, &path)?;
        Ok(path)
    }

    /// Segments that do not follow the log, which ends at `end`, are kept under another name.
    pub(crate) fn set_aside(&self, bases: &[Offset], end: Offset) -> io::Result<()> {
        for base in bases {
            let from = part_path(self.folder, *base, SegmentPart::Log);
            let to = part_path(self.folder, *base, SegmentPart::SetAside);
            let length = self.disk.open(&from, OpenMode::Read)?.length()?;
            self.disk.rename(&from, &to)?;
            self.losses.tell(Loss {
                kind: LossKind::SetAside,
                path: from,
                bytes: Some((0, length)),
                offsets: Some((*base, None)),
                cause: format!("the log before it ends at offset {end}"),
                kept: Some(to),
            });
        }
        if !bases.is_empty() {
            self.disk.sync_directory(self.folder)?;
        }
        Ok(())
    }
}

/// Up to where is kept what ends with the byte at `last`, the last that is not zero.
pub(crate) fn kept_end(last: u64, length: u64) -> u64 {
    (last + 1).next_multiple_of(KEPT_UNIT).min(length)
}

/// Copies the bytes `from..to` of a file to `path`, durably, replacing what is there.
pub(crate) fn copy_aside(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    from: u64,
    to: u64,
    path: &Path,
) -> io::Result<()> {
    let copy = disk.open(path, OpenMode::CreateIfMissing)?;
    copy.set_length(0)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).map_or(COPY_BYTES, |rest| rest.min(COPY_BYTES));
        let buffer = buffer.get_mut(..want).unwrap_or_default();
        let count = file.read_at(buffer, at)?;
        if count == 0 {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        copy.write_at(&[IoSlice::new(bytes)], at - from)?;
        at += count as u64;
    }
    copy.sync_data()?;
    match path.parent() {
        Some(folder) => disk.sync_directory(folder),
        None => Ok(()),
    }
}

/// The position of the last byte that is not zero in `from..to`.
pub(crate) fn last_nonzero(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut end = to;
    while end > from {
        let start = end.saturating_sub(COPY_BYTES as u64).max(from);
        let want = usize::try_from(end - start).map_or(COPY_BYTES, |rest| rest.min(COPY_BYTES));
        let buffer = buffer.get_mut(..want).unwrap_or_default();
        let count = file.read_at(buffer, start)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Some(index) = bytes.iter().rposition(|byte| *byte != 0) {
            return Ok(Some(start + index as u64));
        }
        end = start;
    }
    Ok(None)
}
