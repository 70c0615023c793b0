//! The names of a log's files, as recovery needs them.
//!
//! Invariant: once a log was recovered, no producer snapshot speaks of offsets behind its end. One that a loss of power
//! left there tells of records that are gone; others will have their offsets.

use std::io;
use std::path::Path;

use types::Offset;

use crate::clean::swap::remove_if_there;
use crate::files::{SegmentPart, parse_part, part_path};
use crate::recover::Recovery;

/// Which files a partition's folder has, by the offsets in their names, in ascending order.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) segments: Vec<Offset>,
    pub(crate) snapshots: Vec<Offset>,
}

impl Recovery<'_> {
    pub(crate) fn parts(&self, folder: &Path) -> io::Result<Parts> {
        let mut parts = Parts::default();
        for entry in self.disk.list(folder)? {
            match parse_part(&entry.name) {
                Some((base, "log")) => parts.segments.push(base),
                Some((base, "snapshot")) => parts.snapshots.push(base),
                _ => {}
            }
        }
        parts.segments.sort_unstable();
        parts.snapshots.sort_unstable();
        Ok(parts)
    }

    /// Removes the snapshots behind the end of a log.
    pub(crate) fn forget_later_snapshots(&self, folder: &Path, end: Offset) -> io::Result<()> {
        for base in self.parts(folder)?.snapshots {
            if base > end {
                let path = part_path(folder, base, SegmentPart::ProducerSnapshot);
                tracing::debug!(path = %path.display(), %end, "a snapshot behind the end of its log is removed");
                remove_if_there(self.disk, &path)?;
            }
        }
        Ok(())
    }
}
