//! Open segment files, at most so many at once.
//!
//! Invariant: a file that somebody holds stays open; the cache only decides whose handle a segment keeps for the next
//! use. Names are Kafka's (`LogFileUtils`): the base offset in twenty digits and a suffix.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use env::disk::{Disk, DiskFile, OpenMode};
use parking_lot::Mutex;
use protocol::FileHandle;
use types::Offset;

use crate::segment::Segment;

/// An open segment. Slices of a [`crate::ReadPlan`] hold it, so its bytes stay readable even when its name is removed.
#[derive(Debug)]
pub struct SegmentFile {
    file: Arc<dyn DiskFile>,
    used: AtomicBool,
}

impl FileHandle for SegmentFile {}

impl SegmentFile {
    /// The file behind the handle, to send or read from.
    pub fn disk_file(&self) -> &dyn DiskFile {
        &*self.file
    }

    pub(crate) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self {
            file,
            used: AtomicBool::new(true),
        }
    }

    pub(crate) fn mark_used(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Whether it was used since the last call.
    pub(crate) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

/// The kinds of files that belong to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentPart {
    Log,
    OffsetIndex,
    TimeIndex,
    ProducerSnapshot,
    /// Bytes that recovery cut off the end, from a position on.
    Cut {
        from: u64,
    },
    /// A segment that recovery took out of the log.
    SetAside,
    /// What cleaning has written and not put in place.
    CleanedLog,
    CleanedOffsetIndex,
    CleanedTimeIndex,
    /// A cleaned log that counts instead of all segments from its base to `end`.
    Swap {
        end: Offset,
    },
}

/// The path of a segment's file in the partition's folder.
pub(crate) fn part_path(folder: &Path, base: Offset, part: SegmentPart) -> PathBuf {
    let base = base.value();
    folder.join(match part {
        SegmentPart::Log => format!("{base:020}.log"),
        SegmentPart::OffsetIndex => format!("{base:020}.index"),
        SegmentPart::TimeIndex => format!("{base:020}.timeindex"),
        SegmentPart::ProducerSnapshot => format!("{base:020}.snapshot"),
        SegmentPart::Cut { from } => format!("{base:020}.{from}.cut"),
        SegmentPart::SetAside => format!("{base:020}.log.cut"),
        SegmentPart::CleanedLog => format!("{base:020}.log.cleaned"),
        SegmentPart::CleanedOffsetIndex => format!("{base:020}.index.cleaned"),
        SegmentPart::CleanedTimeIndex => format!("{base:020}.timeindex.cleaned"),
        SegmentPart::Swap { end } => format!("{base:020}.{end:020}.swap", end = end.value()),
    })
}

/// The base offset and suffix of a file name, if it is one of a segment.
pub(crate) fn parse_part(name: &str) -> Option<(Offset, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Offset::new(digits.parse().ok()?)?, suffix))
}

/// Decides which segments keep their files open: a clock with a second chance for those used since the last look.
#[derive(Debug)]
pub(crate) struct FileCache {
    limit: usize,
    open: Mutex<VecDeque<Weak<Segment>>>,
}

impl FileCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Mutex::new(VecDeque::new()),
        }
    }

    /// The open file of `segment`, opened now if need be.
    pub(crate) fn get(
        &self,
        disk: &dyn Disk,
        folder: impl FnOnce() -> PathBuf,
        segment: &Arc<Segment>,
    ) -> io::Result<Arc<SegmentFile>> {
        if let Some(file) = segment.open_file() {
            file.mark_used();
            return Ok(file);
        }
        let path = part_path(&folder(), segment.base(), SegmentPart::Log);
        match disk.open(&path, OpenMode::ReadWrite) {
            Ok(file) => Ok(self.admit(segment, SegmentFile::new(file))),
            // Cleaning took the name away meanwhile; before that it opened the file.
            Err(error) => segment.open_file().ok_or(error),
        }
    }

    /// Makes `file` the open file of `segment`, unless another thread was faster.
    pub(crate) fn admit(&self, segment: &Arc<Segment>, file: SegmentFile) -> Arc<SegmentFile> {
        let (file, ours) = segment.keep_file(Arc::new(file));
        if ours {
            let mut open = self.open.lock();
            open.push_back(Arc::downgrade(segment));
            self.evict(&mut open);
        }
        file
    }

    fn evict(&self, open: &mut VecDeque<Weak<Segment>>) {
        // Twice the number of entries: after one round every second chance is used up.
        let mut looks = open.len() * 2;
        while open.len() > self.limit && looks > 0 {
            looks -= 1;
            let Some(candidate) = open.pop_front() else {
                return;
            };
            if let Some(segment) = candidate.upgrade()
                && segment.close_unless_used()
            {
                open.push_back(candidate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let base = Offset::new(4711).unwrap();
        let path = part_path(Path::new("t-0"), base, SegmentPart::Log);
        assert_eq!(path, Path::new("t-0/00000000000000004711.log"));
        assert_eq!(
            parse_part("00000000000000004711.timeindex"),
            Some((base, "timeindex"))
        );
        for other in [
            "partition.metadata",
            "4711.log",
            "0000000000000000471x.log",
            "",
        ] {
            assert_eq!(parse_part(other), None, "{other}");
        }
    }
}
