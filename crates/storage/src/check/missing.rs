//! Offsets that should be in a log and that no segment has.
//!
//! Invariant: the rules are those of [`crate::missing`]: where a log begins is known from the checkpoint and
//! `log-start-offset`, which segments it has from the checkpoint, and where nothing was cleaned from their borders.

use types::Offset;

use super::finding::{Finding, FindingKind};
use super::partition::{Ground, Part, PartitionCheck};
use super::report::Collector;
use crate::files::{SegmentPart, part_path};

impl PartitionCheck<'_> {
    /// Whether the log begins where it should.
    pub(super) fn check_start(&self, parts: &[Part], ground: &Ground, report: &mut Collector<'_>) {
        let Some(first) = parts.first() else { return };
        if first.base <= ground.log_start || ground.is_start_unknown {
            return;
        }
        let detail =
            "the log begins with this segment, and nothing says that those before were given up";
        let offsets = (ground.log_start, Some(first.base));
        self.tell_missing(&first.path, offsets, detail, report);
    }

    /// Whether the segment begins where the one before ends. True if a start would cut the log between them.
    pub(super) fn check_border(
        &self,
        part: &Part,
        next: Offset,
        ground: &Ground,
        report: &mut Collector<'_>,
    ) -> bool {
        let is_deleted = part.base <= ground.log_start;
        if part.base == next || is_deleted || ground.has_gaps {
            return false;
        }
        let offsets = (next, Some(part.base));
        self.tell_missing(&part.path, offsets, "no segment has these offsets", report);
        ground.sealed.is_none() && part.base > ground.strict_from.0
    }

    /// Where cleaning may have left gaps, borders say nothing: whether the segments that the checkpoint knows are there,
    /// between others.
    pub(super) fn check_known(&self, parts: &[Part], ground: &Ground, report: &mut Collector<'_>) {
        let Some(recovered) = self
            .entry
            .as_ref()
            .and_then(|entry| entry.recovered.as_ref())
        else {
            return;
        };
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return;
        };
        if !ground.has_gaps || ground.generation != Some(recovered.generation) {
            return;
        }
        let segments = &recovered.segments;
        let ends = segments.iter().skip(1).map(|next| next.base());
        for (segment, end) in segments.iter().zip(ends) {
            let base = segment.base();
            let is_between = base > first.base && base < last.base;
            let is_there = parts.iter().any(|part| part.base == base);
            if is_between && !is_there && end > ground.log_start {
                let path = part_path(&self.folder, base, SegmentPart::Log);
                let detail = "the checkpoint knows this segment, and its file is gone";
                let offsets = (base.max(ground.log_start), Some(end));
                self.tell_missing(&path, offsets, detail, report);
            }
        }
    }

    fn tell_missing(
        &self,
        path: &std::path::Path,
        offsets: (Offset, Option<Offset>),
        detail: &str,
        report: &mut Collector<'_>,
    ) {
        report.add(Finding {
            kind: FindingKind::MissingOffsets,
            path: path.to_owned(),
            bytes: None,
            offsets: Some(offsets),
            detail: detail.to_owned(),
        });
    }
}
