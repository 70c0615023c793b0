//! Segments that belong to a log and whose files are gone.
//!
//! Which segments a log has is known from the checkpoint, where it begins from that and from `log-start-offset`, which
//! deletion and retention write before they take files away. Invariant: whatever else is gone is told at each opening. Those
//! between others stay in the list without a file, so that no reader skips their offsets unawares; where the oldest are
//! gone the log begins behind them.

use std::io;
use std::path::Path;

use types::Offset;

use crate::clean::swap::remove_if_there;
use crate::files::{SegmentPart, part_path};
use crate::local_log::{Mark, Recovered};
use crate::losses::{Loss, LossKind};
use crate::recover::{Known, Recovery};
use crate::segment::{Segment, SegmentFacts};

impl Recovery<'_> {
    /// The log of a clean stop, which is as the checkpoint says. Of the folder only the names are looked at, to tell of
    /// segments that were taken away since.
    pub(crate) fn closed(&self, folder: &Path, mut closed: Recovered) -> io::Result<Recovered> {
        // Nothing is taken for granted of what may lie behind the end.
        closed.untrimmed = true;
        let bases = match self.parts(folder) {
            Ok(parts) => parts.segments,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "could not look whether all segments are there");
                return Ok(closed);
            }
        };
        if has_all(&closed, &bases) {
            return Ok(closed);
        }
        if has_returned(&closed, &bases) {
            return self.recover(folder, Known::Checkpointed(Box::new(closed)));
        }
        self.read_log_start(folder, &mut closed)?;
        self.note_missing(folder, &mut closed, &bases);
        match closed.segments.last() {
            Some(last) if last.is_lost() => closed.untrimmed = false,
            // The one behind it, which held nothing yet, is gone.
            Some(last) if last.base() < closed.log_end.segment => {
                closed.log_end = Mark {
                    segment: last.base(),
                    position: last.size(),
                    ..closed.log_end
                };
            }
            Some(_) => {}
            None => closed.untrimmed = false,
        }
        self.finish(folder, &mut closed)?;
        Ok(closed)
    }

    /// Takes segments whose files are not among `bases` out of what a checkpoint knew of a log, and tells of those that
    /// nobody gave up.
    pub(crate) fn note_missing(&self, folder: &Path, draft: &mut Recovered, bases: &[Offset]) {
        let segments = std::mem::take(&mut draft.segments);
        let ends = segments.iter().skip(1).map(|next| next.base());
        let ends: Vec<_> = ends.chain([draft.log_end.offset]).collect();
        for (segment, end) in segments.into_iter().zip(ends) {
            let base = segment.base();
            if bases.binary_search(&base).is_ok() {
                draft.segments.push(segment);
                continue;
            }
            let is_given_up = end <= draft.log_start;
            let is_first = draft.segments.is_empty();
            if is_given_up || is_first || base == end {
                continue;
            }
            self.losses.tell(Loss {
                kind: LossKind::Missing,
                path: part_path(folder, base, SegmentPart::Log),
                bytes: None,
                offsets: Some((base.max(draft.log_start), Some(end))),
                cause: "the checkpoint knows this segment, and its file is gone".to_owned(),
                kept: None,
            });
            draft.segments.push(Segment::lost(base, segment.facts()));
        }
    }

    /// Tells if a log that was read begins behind where it should.
    pub(crate) fn tell_missing_start(&self, folder: &Path, draft: &Recovered) {
        let first = draft.segments.first().map(|first| first.base());
        let begins = first.unwrap_or(draft.log_end.offset);
        if begins <= draft.log_start || draft.is_start_unknown {
            return;
        }
        self.losses.tell(Loss {
            kind: LossKind::Missing,
            path: part_path(folder, begins, SegmentPart::Log),
            bytes: None,
            offsets: Some((draft.log_start, Some(begins))),
            cause: format!(
                "the log begins at offset {begins} now, and nothing says that the segments before were given up"
            ),
            kept: None,
        });
    }

    /// Puts a segment without a file, of which nothing is known, where offsets are missing up to `end`.
    pub(crate) fn add_hole(
        &self,
        folder: &Path,
        draft: &mut Recovered,
        end: Offset,
    ) -> io::Result<()> {
        let base = draft.log_end.offset;
        let first = base.max(draft.log_start);
        self.losses.tell(Loss {
            kind: LossKind::Missing,
            path: part_path(folder, end, SegmentPart::Log),
            bytes: None,
            offsets: Some((first, Some(end))),
            cause: format!("a segment begins at offset {end}, the one before ends earlier"),
            kept: None,
        });
        // One that holds nothing says as little, and would be taken for the lost one that came back, start after start.
        if draft.segments.pop_if(|last| last.base() == base).is_some() {
            remove_if_there(self.disk, &part_path(folder, base, SegmentPart::Log))?;
        }
        // As old as can be: retention need not keep it, nor anything for its sake.
        let nothing = SegmentFacts::empty(base, 0);
        draft.segments.push(Segment::lost(base, nothing));
        Ok(())
    }
}

/// Whether all segments that a checkpoint knew are there.
pub(crate) fn has_all(known: &Recovered, bases: &[Offset]) -> bool {
    let is_there = |base| bases.binary_search(&base).is_ok();
    let mut segments = known.segments.iter();
    segments.all(|segment| !segment.is_lost() && is_there(segment.base()))
}

/// Whether the file of a segment that was gone is there again: then nothing that is known of the log goes for it.
pub(crate) fn has_returned(known: &Recovered, bases: &[Offset]) -> bool {
    let is_there = |base| bases.binary_search(&base).is_ok();
    let mut segments = known.segments.iter();
    segments.any(|segment| segment.is_lost() && is_there(segment.base()))
}

/// Whether the file of the last segment that a checkpoint knew is gone.
pub(crate) fn is_gone(known: &Recovered, bases: &[Offset]) -> bool {
    bases.binary_search(&known.log_end.segment).is_err()
}

/// Whether the log goes on where a checkpoint says that it ended, though the segment that ended there is gone or short:
/// another one begins there, for a start noticed it and what was appended since was acknowledged; or a start noticed it, and
/// nothing was appended yet.
pub(crate) fn goes_on_behind(known: &Recovered, bases: &[Offset]) -> bool {
    let is_followed = bases.binary_search(&known.log_end.offset).is_ok();
    is_followed || known.segments.last().is_some_and(|last| last.is_lost())
}
