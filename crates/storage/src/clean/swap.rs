//! Putting a cleaned segment in the place of those it was made of, so that a crash at any point leaves all of one or all
//! of the other.
//!
//! ```text
//! <base>.log.cleaned, .index.cleaned, .timeindex.cleaned    written and synced; a crash leaves files that are removed
//! cleaner-offset                                            the generation rises: checkpoints before it are not trusted
//! <base>.<end>.swap                                         the cleaned log under this name, folder synced: from here on
//!                                                           it counts, and opening finishes what follows
//! (names of the old segments in base..end go)               but for <base>.log; folder synced
//! <base>.index, <base>.timeindex, <base>.log                the cleaned files get their names; folder synced
//! ```
//!
//! Before the swap counts, whatever fails ends it and nothing has happened. Behind that it cannot be taken back: where
//! room or memory lacks for a while, it stays an [`UnfinishedSwap`], readers go on with the old segments, and the next who
//! wants to change segments finishes it. Any other failure takes the log offline, also one of a sync: which of the names
//! are durable is not known after it, and a second sync would not say. Opening reads what is there and goes on from that.
//!
//! Invariants: between the swap's first and last step the files of the old segments are open and stay so for everybody who
//! holds them; the list of segments changes once, under the log's view, after the last step; producing needs none of the
//! locks that are held meanwhile. A checkpoint whose end lies behind the cleaned part is durable before, so that recovery
//! never walks through a cleaned segment to rebuild what a checkpoint knows better.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use env::disk::{Disk, DiskDirectory};
use parking_lot::MutexGuard;
use types::Offset;

use super::errors::CleanError;
use super::rewrite::CleanedSegment;
use super::state::CleanState;
use crate::CommitFailed;
use crate::append::{is_full, passes};
use crate::files::{SegmentFile, SegmentPart, parse_part, part_path};
use crate::local_log::{LocalLog, Mark, Status};
use crate::segment::Segment;

/// A swap that counts, and whose files do not have all their names yet.
#[derive(Debug)]
pub(crate) struct UnfinishedSwap {
    group: Vec<Arc<Segment>>,
    new: CleanedSegment,
    /// The folder, opened before the swap began: no lack of descriptors may keep it from its end.
    names: Arc<dyn DiskDirectory>,
    /// The names of the old segments are gone for good.
    is_old_gone: bool,
    generation: u32,
}

/// Why the files of a swap do not have their names.
#[derive(Debug)]
enum NamesError {
    /// Something lacks that may be there again.
    Lacking(io::Error),
    Failed(io::Error),
}

impl From<io::Error> for NamesError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) || passes(&error) {
            Self::Lacking(error)
        } else {
            Self::Failed(error)
        }
    }
}

impl LocalLog {
    /// Locks the segments for who changes them or their files, once a swap that was left unfinished is finished.
    ///
    /// # Errors
    /// It cannot be finished now; nothing may be changed before it is.
    pub(crate) fn lock_segments(&self) -> io::Result<MutexGuard<'_, Option<UnfinishedSwap>>> {
        let mut unfinished = self.cleaning.segments.lock();
        if self.is_online()
            && let Some(swap) = unfinished.take()
        {
            match self.finish_swap(&mut unfinished, swap) {
                Ok(()) => {}
                Err(NamesError::Lacking(error) | NamesError::Failed(error)) => return Err(error),
            }
        }
        Ok(unfinished)
    }

    /// Does something in the log's folder, if the folder is still the log's.
    pub(crate) fn in_folder<T>(
        &self,
        work: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, CleanError> {
        let _segments = self.lock_segments()?;
        if !self.is_online() {
            return Err(CleanError::Stopped);
        }
        Ok(work()?)
    }

    /// Removes what cleanings that did not come to their end left beside the log. Called by who cleans it.
    pub(crate) fn remove_unfinished(&self) -> Result<(), CleanError> {
        self.in_folder(|| self.remove_leftovers())
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        let disk = &*self.shared.env.disk;
        let folder = self.folder();
        let mut removed = false;
        for entry in disk.list(&folder)? {
            if is_cleaned(&entry.name) || parse_swap(&entry.name).is_some() {
                disk.remove_file(&entry.path)?;
                removed = true;
            }
        }
        if removed {
            disk.sync_directory(&folder)?;
        }
        Ok(())
    }

    /// Puts `new` in the place of `group`.
    pub(crate) fn swap_in(
        &self,
        group: Vec<Arc<Segment>>,
        new: CleanedSegment,
        state: &mut CleanState,
    ) -> Result<(), CleanError> {
        // From here on segments neither leave nor change.
        let mut unfinished = self.lock_segments()?;
        if !self.has_group(&group) {
            return Err(CleanError::Stopped);
        }
        let names = self.shared.env.disk.open_directory(&self.folder())?;
        self.hold_open(&group)?;
        let begun = self.begin_swap(&new, &*names, state);
        if let Err(error) = begun {
            for old in &group {
                old.forget_replaced();
            }
            return Err(error);
        }
        let swap = UnfinishedSwap {
            group,
            new,
            names,
            is_old_gone: false,
            generation: state.generation,
        };
        match self.finish_swap(&mut unfinished, swap) {
            Ok(()) => Ok(()),
            Err(NamesError::Lacking(error)) => Err(CleanError::Io(error)),
            Err(NamesError::Failed(error)) => Err(CleanError::Unfinished(error)),
        }
    }

    /// Whether these segments are still a run of the log's closed ones.
    fn has_group(&self, group: &[Arc<Segment>]) -> bool {
        let view = self.view.lock();
        let Some(first) = group.first() else {
            return false;
        };
        let Some(at) = position(&view.segments, first) else {
            return false;
        };
        let run = view.segments.get(at..at + group.len()).unwrap_or_default();
        view.status == Status::Online
            && run.len() == group.len()
            && run
                .iter()
                .zip(group)
                .all(|(one, other)| Arc::ptr_eq(one, other))
            && at + group.len() < view.segments.len()
    }

    /// Opens the files of segments that are about to lose their names, for as long as somebody holds the segments.
    fn hold_open(&self, group: &[Arc<Segment>]) -> io::Result<()> {
        let mut files = Vec::with_capacity(group.len());
        for old in group {
            files.push(self.file(old)?);
        }
        // No index file of theirs is written once the lock was had.
        let _index_files = self.cleaning.index_files.lock();
        for (old, file) in group.iter().zip(files) {
            old.mark_replaced(file);
        }
        Ok(())
    }

    /// Up to the point where the cleaned segment counts. After an error it does not.
    fn begin_swap(
        &self,
        new: &CleanedSegment,
        names: &dyn DiskDirectory,
        state: &mut CleanState,
    ) -> Result<(), CleanError> {
        let disk = &*self.shared.env.disk;
        let folder = self.folder();
        let next = state.replacing(new.end);
        next.write(disk, &folder)?;
        *state = next;
        let base = new.segment.base();
        let swap = part_path(&folder, base, SegmentPart::Swap { end: new.end });
        disk.rename(&part_path(&folder, base, SegmentPart::CleanedLog), &swap)?;
        if let Err(error) = names.sync() {
            // Whether the name is durable is not known; without it nothing happened. If it stays, the swap may count or not,
            // and only opening, which looks, may decide.
            return match disk.remove_file(&swap) {
                Ok(()) => Err(CleanError::Io(error)),
                Err(undo) => {
                    self.take_offline(&undo);
                    Err(CleanError::Unfinished(undo))
                }
            };
        }
        Ok(())
    }

    /// Takes a swap that counts to its end. One that lacks something for a while stays in `unfinished`.
    fn finish_swap(
        &self,
        unfinished: &mut Option<UnfinishedSwap>,
        mut swap: UnfinishedSwap,
    ) -> Result<(), NamesError> {
        let outcome = self.finish_names(&mut swap);
        match &outcome {
            Ok(()) => self.publish_swap(swap),
            Err(NamesError::Lacking(error)) => {
                tracing::warn!(
                    partition = %self.partition,
                    %error,
                    "a cleaned segment could not be put in place yet; it is read as it was meanwhile"
                );
                *unfinished = Some(swap);
            }
            // The folder holds a mixture that only opening puts right.
            Err(NamesError::Failed(error)) => self.take_offline(error),
        }
        outcome
    }

    /// Gives the files their names, from where an earlier attempt came to.
    fn finish_names(&self, swap: &mut UnfinishedSwap) -> Result<(), NamesError> {
        if !swap.is_old_gone {
            self.remove_old(&swap.group)?;
            swap.names.sync().map_err(NamesError::Failed)?;
            swap.is_old_gone = true;
        }
        self.name_new(&swap.new)?;
        swap.names.sync().map_err(NamesError::Failed)
    }

    /// Takes the names of the old segments away but for the first one's log, which is replaced. Whoever reads one of them
    /// holds its file open, so that nothing is gained by a delay.
    fn remove_old(&self, group: &[Arc<Segment>]) -> io::Result<()> {
        let disk = &*self.shared.env.disk;
        let folder = self.folder();
        for (number, old) in group.iter().enumerate() {
            remove_replaced(disk, &folder, old.base(), number == 0)?;
        }
        Ok(())
    }

    fn name_new(&self, new: &CleanedSegment) -> io::Result<()> {
        let disk = &*self.shared.env.disk;
        let folder = self.folder();
        let base = new.segment.base();
        let rename = |from, to| {
            disk.rename(
                &part_path(&folder, base, from),
                &part_path(&folder, base, to),
            )
        };
        for (from, to) in [
            (SegmentPart::CleanedOffsetIndex, SegmentPart::OffsetIndex),
            (SegmentPart::CleanedTimeIndex, SegmentPart::TimeIndex),
        ] {
            match rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        rename(SegmentPart::Swap { end: new.end }, SegmentPart::Log)
    }

    fn publish_swap(&self, swap: UnfinishedSwap) {
        let UnfinishedSwap {
            group,
            new,
            generation,
            ..
        } = swap;
        let segment = new.segment;
        self.shared
            .files
            .admit(&segment, SegmentFile::new(new.file));
        self.shared.indexes.admit(&segment);
        let mut view = self.view.lock();
        let view = &mut *view;
        let Some(at) = group
            .first()
            .and_then(|first| position(&view.segments, first))
        else {
            return;
        };
        view.segments
            .splice(at..at + group.len(), [Arc::clone(&segment)]);
        view.generation = generation;
        let replaced = |mark: &Mark| mark.segment >= segment.base() && mark.segment < new.end;
        for mark in [
            Some(&mut view.log_end),
            Some(&mut view.high_watermark),
            Some(&mut view.durable),
            view.syncing.as_mut(),
        ]
        .into_iter()
        .flatten()
        .filter(|mark| replaced(mark))
        {
            // Only at the border can a mark lie in a segment that is cleaned.
            mark.segment = segment.base();
            mark.position = segment.size();
        }
        view.transactions
            .keep_aborted(segment.base()..new.end, &new.aborted);
    }

    /// A group was walked over and nothing in it changed: only what is known of its aborted transactions may have.
    pub(crate) fn keep_aborted(&self, unchanged: &CleanedSegment) -> Result<(), CleanError> {
        let base = unchanged.segment.base();
        self.view
            .lock()
            .transactions
            .keep_aborted(base..unchanged.end, &unchanged.aborted);
        let folder = self.folder();
        self.in_folder(|| {
            for part in [
                SegmentPart::CleanedLog,
                SegmentPart::CleanedOffsetIndex,
                SegmentPart::CleanedTimeIndex,
            ] {
                self.shared
                    .env
                    .disk
                    .remove_file(&part_path(&folder, base, part))?;
            }
            Ok(())
        })
    }

    fn take_offline(&self, error: &io::Error) {
        tracing::error!(
            partition = %self.partition,
            cause = %error,
            "a cleaned segment could not be put in place; the partition is offline until the broker is restarted"
        );
        let cause = Arc::new(io::Error::new(error.kind(), error.to_string()));
        self.go_offline(CommitFailed { cause });
    }

    /// Whether a checkpoint is on disk whose end lies in a segment at or behind `end`.
    pub(crate) fn is_checkpointed_behind(&self, end: Offset) -> bool {
        self.cleaning.checkpointed.load(Ordering::Acquire) >= end.value()
    }
}

fn position(segments: &[Arc<Segment>], wanted: &Arc<Segment>) -> Option<usize> {
    segments
        .iter()
        .position(|segment| Arc::ptr_eq(segment, wanted))
}

/// Puts a partition's folder in order after a crash: swaps that were begun are finished, cleanings that were not done are
/// forgotten.
pub(crate) fn recover_swaps(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let entries = disk.list(folder)?;
    let mut logs = Vec::new();
    let mut swaps = Vec::new();
    let mut changed = false;
    for entry in &entries {
        if is_cleaned(&entry.name) {
            disk.remove_file(&entry.path)?;
            changed = true;
        } else if let Some(swap) = parse_swap(&entry.name) {
            swaps.push((swap, &entry.path));
        } else if let Some((base, "log")) = parse_part(&entry.name) {
            logs.push(base);
        }
    }
    for ((base, end), path) in swaps {
        if !logs.contains(&base) {
            // Retention gave up its segments since: its removal was lost.
            disk.remove_file(path)?;
            changed = true;
            continue;
        }
        tracing::info!(folder = %folder.display(), %base, %end, "finishing the swap of a cleaned segment");
        for old in logs.iter().filter(|old| (base..end).contains(old)) {
            remove_replaced(disk, folder, *old, *old == base)?;
        }
        disk.sync_directory(folder)?;
        disk.rename(path, &part_path(folder, base, SegmentPart::Log))?;
        changed = true;
    }
    if changed {
        disk.sync_directory(folder)?;
    }
    Ok(())
}

/// Removes the files of a segment that is replaced. Of the first of its group the log is renamed over, and the snapshot still
/// says who produced before it.
fn remove_replaced(disk: &dyn Disk, folder: &Path, old: Offset, is_first: bool) -> io::Result<()> {
    let mut parts = vec![SegmentPart::OffsetIndex, SegmentPart::TimeIndex];
    if !is_first {
        parts.extend([SegmentPart::ProducerSnapshot, SegmentPart::Log]);
    }
    for part in parts {
        remove_if_there(disk, &part_path(folder, old, part))?;
    }
    Ok(())
}

pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn is_cleaned(name: &str) -> bool {
    parse_part(name).is_some_and(|(_, suffix)| suffix.ends_with(".cleaned"))
}

/// The base and the end of a swap.
pub(crate) fn parse_swap(name: &str) -> Option<(Offset, Offset)> {
    let (base, suffix) = parse_part(name)?;
    let (end, suffix) = suffix.split_once('.')?;
    let end = Offset::new(end.parse().ok()?)?;
    (suffix == "swap").then_some((base, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_swaps_say_what_they_replace() {
        let at = |value| Offset::new(value).unwrap();
        let path = part_path(Path::new(""), at(47), SegmentPart::Swap { end: at(110) });
        let name = path.to_str().unwrap();
        assert_eq!(name, "00000000000000000047.00000000000000000110.swap");
        assert_eq!(parse_swap(name), Some((at(47), at(110))));
        for other in ["00000000000000000047.log", "00000000000000000047.7.cut"] {
            assert_eq!(parse_swap(other), None);
        }
        assert!(is_cleaned("00000000000000000047.index.cleaned"));
        assert!(!is_cleaned("00000000000000000047.index"));
    }
}
