//! Turns what a walk over a segment found into findings, and into what a repair would do.

use env::disk::DiskFile;
use types::Offset;

use super::finding::{Finding, FindingKind, Remedy};
use super::indexes::{Fault, IndexCheck};
use super::partition::{Part, PartitionCheck};
use super::repair::RepairAction;
use super::report::Collector;
use super::segment::{FirstTrouble, Sort, Trouble, Walked};
use crate::cut::{kept_end, last_nonzero};

impl PartitionCheck<'_> {
    pub(super) fn tell_indexes(&self, indexes: &[IndexCheck], report: &mut Collector<'_>) {
        for index in indexes {
            let (kind, offsets, detail) = match index.fault {
                None => continue,
                Some(Fault::Falls) => (
                    FindingKind::DamagedIndex,
                    None,
                    "its entries do not rise".to_owned(),
                ),
                Some(Fault::Wrong { last }) => (
                    FindingKind::WrongIndex,
                    Some((last, None)),
                    format!("its entry for the batch that ends at offset {last} is wrong"),
                ),
            };
            report.add(Finding {
                kind,
                path: index.path.clone(),
                bytes: None,
                offsets,
                detail,
            });
            report.repair(RepairAction::SetAside {
                path: index.path.clone(),
            });
        }
    }

    /// A segment that begins below the end of the log before it. Nobody reads it, so neither does the check.
    pub(super) fn tell_overlapping(&self, part: &Part, next: Offset, report: &mut Collector<'_>) {
        let detail = format!("begins at offset {}, but {next} comes next", part.base);
        report.add(Finding {
            kind: FindingKind::OverlappingSegment,
            path: part.path.clone(),
            bytes: None,
            offsets: Some((part.base, Some(next))),
            detail,
        });
    }

    /// A trouble in a segment that others follow.
    pub(super) fn tell_closed(&self, part: &Part, trouble: &Trouble, report: &mut Collector<'_>) {
        let kind = match trouble.sort {
            Sort::Damaged => FindingKind::DamagedBatch,
            Sort::Misplaced => FindingKind::MisplacedBatch,
            Sort::Missing => FindingKind::MissingOffsets,
        };
        report.add(Finding {
            kind,
            path: part.path.clone(),
            bytes: Some((u64::from(trouble.start), u64::from(trouble.end))),
            offsets: Some((trouble.first, trouble.next)),
            detail: trouble.cause.to_string(),
        });
    }

    /// What was found in the last segment, or where a start would cut.
    pub(super) fn tell_end(
        &self,
        part: &Part,
        file: &dyn DiskFile,
        length: u64,
        is_last: bool,
        walked: &Walked,
        report: &mut Collector<'_>,
    ) {
        if let Some((position, error)) = &walked.unreadable {
            self.unreadable(report, &part.path, Some(u64::from(*position)), error);
            // What cannot be read cannot be kept either.
            return;
        }
        let tail = walked.lenient.filter(|_| is_last);
        if let Some(first) = &tail {
            self.tell_first(FindingKind::DamagedTail, part, first, length, report);
        }
        if let Some(first) = &walked.strict {
            let kind = match (is_last, first.following.batches) {
                (false, _) => FindingKind::CutAhead,
                (true, 0) => FindingKind::TornEnd,
                (true, _) => FindingKind::DamagedEnd,
            };
            self.tell_first(kind, part, first, length, report);
        }
        let Some(cut) = tail.or(walked.strict).filter(|_| is_last && !part.is_swap) else {
            return;
        };
        let from = u64::from(cut.trouble.start);
        match last_nonzero(file, from, length) {
            Ok(last) => report.repair(RepairAction::Cut {
                partition: self.partition.clone(),
                path: part.path.clone(),
                base: part.base,
                from,
                to: last.map_or(from, |last| kept_end(last, length)),
                first: cut.trouble.first,
                whole_batches: cut.following.batches,
                whole_records: cut.following.records,
                end: (cut.following.batches > 0).then_some(cut.following.end),
            }),
            Err(error) => self.unreadable(report, &part.path, Some(from), &error),
        }
    }

    fn tell_first(
        &self,
        kind: FindingKind,
        part: &Part,
        first: &FirstTrouble,
        length: u64,
        report: &mut Collector<'_>,
    ) {
        let FirstTrouble {
            trouble,
            others,
            following,
        } = first;
        let mut detail = trouble.cause.to_string();
        if following.batches > 0 {
            detail += &format!(
                "; {} whole batches follow with {} records, offsets {} to {}",
                following.batches,
                following.records,
                following.first,
                following.end.value() - 1
            );
        }
        if following.batches > 0 && kind.remedy() == Remedy::Cut {
            detail += &format!(
                "; --repair would cut these {} records, too",
                following.records
            );
        }
        if *others > 0 {
            detail += &format!("; {others} more such places follow");
        }
        let is_served = kind == FindingKind::DamagedTail;
        let end = if is_served {
            u64::from(trouble.end)
        } else {
            length
        };
        let next = if is_served { trouble.next } else { None };
        report.add(Finding {
            kind,
            path: part.path.clone(),
            bytes: Some((u64::from(trouble.start), end)),
            offsets: Some((trouble.first, next)),
            detail,
        });
    }

    pub(super) fn tell_behind_end(
        &self,
        part: &Part,
        file: &dyn DiskFile,
        end: u64,
        length: u64,
        report: &mut Collector<'_>,
    ) {
        match last_nonzero(file, end, length) {
            Ok(None) => {}
            Ok(Some(last)) => report.add(Finding {
                kind: FindingKind::BytesBehindEnd,
                path: part.path.clone(),
                bytes: Some((end, last + 1)),
                offsets: None,
                detail: format!("{} bytes that are not all zero", last + 1 - end),
            }),
            Err(error) => self.unreadable(report, &part.path, Some(end), &error),
        }
    }
}
