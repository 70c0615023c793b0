//! One partition's folder: its small files, its segments one after the other, and what the next start would make of them.
//!
//! Invariant: what a start would do is judged by the rules of `recover` and `opening`: a clean stop seals the log where the
//! checkpoint says it ends; otherwise a start cuts at the first trouble behind the checkpoint, or in the last segment if no
//! checkpoint counts.

use std::io;
use std::path::{Path, PathBuf};

use env::disk::{Disk, DiskFile, Entry, OpenMode};
use types::{Offset, TopicPartition};

use super::finding::{Finding, FindingKind};
use super::indexes::IndexCheck;
use super::repair::RepairAction;
use super::report::Collector;
use super::segment::{Extent, Trouble, Walked, walk};
use crate::checkpoint::LogEntry;
use crate::clean::state::{self, CleanState};
use crate::clean::swap::{is_cleaned, parse_swap};
use crate::files::{SegmentPart, parse_part, part_path};
use crate::local_log::Mark;
use crate::missing::goes_on_behind;
use crate::producer_snapshot;
use crate::recover::{METADATA_FILE, SNAPSHOT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::retain::{LOG_START_FILE, LOG_START_VERSION, decode_log_start};
use crate::small_file;
use crate::versions::refuse_newer_text;

/// The folder that is checked, and what is known of it from elsewhere.
#[derive(Debug)]
pub(super) struct PartitionCheck<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) partition: TopicPartition,
    pub(super) folder: PathBuf,
    /// What the checkpoint says.
    pub(super) entry: Option<LogEntry>,
    /// The checkpoint is that of a clean stop.
    pub(super) was_closed: bool,
    /// There is a checkpoint: a log that it does not know is younger.
    pub(super) has_checkpoint: bool,
    /// The topic ids that the metadata has, if it was read.
    pub(super) topic_id: Option<Option<String>>,
}

/// A segment's file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) base: Offset,
    pub(super) path: PathBuf,
    /// It has another name yet: its indexes too.
    pub(super) is_swap: bool,
}

/// What is known before the segments are read.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) log_start: Offset,
    /// The file that says so is damaged: it may be further.
    pub(super) is_start_unknown: bool,
    /// Cleaning may have left gaps in closed segments.
    pub(super) has_gaps: bool,
    /// How often cleaning replaced segments, if that is known.
    pub(super) generation: Option<u32>,
    /// Behind the last segment that cleaning replaced.
    cleaned_end: Offset,
    /// Where the log was closed in order.
    pub(super) sealed: Option<Mark>,
    /// From here on a start checks and cuts: a segment, and a position in it.
    pub(super) strict_from: (Offset, u32),
}

impl PartitionCheck<'_> {
    pub(super) fn run(mut self, report: &mut Collector<'_>) {
        report.count_partition();
        let mut entries = match self.disk.list(&self.folder) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(report, &self.folder, None, &error),
        };
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let parts = self.look_at_names(&entries, report);
        self.check_topic_id(&parts, report);
        let ground = self.ground(&parts, report);
        self.check_segments(&parts, &ground, report);
    }

    pub(super) fn unreadable(
        &self,
        report: &mut Collector<'_>,
        path: &Path,
        position: Option<u64>,
        error: &io::Error,
    ) {
        report.add(Finding {
            kind: FindingKind::Unreadable,
            path: path.to_owned(),
            bytes: position.map(|position| (position, position)),
            offsets: None,
            detail: error.to_string(),
        });
    }

    pub(super) fn plain(
        &self,
        report: &mut Collector<'_>,
        kind: FindingKind,
        path: &Path,
        detail: impl Into<String>,
    ) {
        report.add(Finding {
            kind,
            path: path.to_owned(),
            bytes: None,
            offsets: None,
            detail: detail.into(),
        });
    }

    /// Tells of files that need no segment to be judged, and returns the segments as a start would see them.
    fn look_at_names(&self, entries: &[Entry], report: &mut Collector<'_>) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut swaps = Vec::new();
        for entry in entries {
            let name = entry.name.as_str();
            if let Some((base, end)) = parse_swap(name) {
                swaps.push((base, end, entry.path.clone()));
                let detail = format!("replaces the segments from {base} up to {end}");
                self.plain(report, FindingKind::UnfinishedCleaning, &entry.path, detail);
                continue;
            }
            match parse_part(name) {
                Some((base, "log")) => parts.push(Part {
                    base,
                    path: entry.path.clone(),
                    is_swap: false,
                }),
                Some((_, "index" | "timeindex")) => {}
                Some((_, "snapshot")) => self.check_snapshot(&entry.path, report),
                Some((_, suffix)) if suffix.ends_with("cut") => {
                    let length = self.length_of(&entry.path);
                    let detail = format!("{} bytes", length.unwrap_or_default());
                    self.plain(report, FindingKind::EarlierCut, &entry.path, detail);
                }
                _ if is_cleaned(name) => self.plain(
                    report,
                    FindingKind::UnfinishedCleaning,
                    &entry.path,
                    "not put in place",
                ),
                _ if matches!(name, METADATA_FILE | LOG_START_FILE | state::FILE) => {}
                // A small file that was being replaced: the next replacement begins anew.
                _ if name.ends_with(".tmp") => {}
                _ => self.plain(
                    report,
                    FindingKind::UnknownFile,
                    &entry.path,
                    "not a file of a partition",
                ),
            }
        }
        for (base, end, path) in swaps {
            // Without the first segment it does not count any more: retention gave it up.
            if let Some(first) = parts.iter().position(|part| part.base == base) {
                parts.retain(|part| part.base < base || part.base >= end);
                let part = Part {
                    base,
                    path,
                    is_swap: true,
                };
                parts.insert(first, part);
            }
        }
        parts
    }

    fn length_of(&self, path: &Path) -> io::Result<u64> {
        self.disk.open(path, OpenMode::Read)?.length()
    }

    fn check_snapshot(&self, path: &Path, report: &mut Collector<'_>) {
        let read = small_file::read(self.disk, path, SNAPSHOT_BYTES_MAX).and_then(|bytes| {
            producer_snapshot::refuse_newer_snapshot(path, bytes.as_deref().unwrap_or_default())?;
            Ok(bytes)
        });
        match read {
            Ok(Some(bytes)) if producer_snapshot::decode(&bytes, 0).is_none() => {
                let detail = format!("{} bytes do not match their checksum", bytes.len());
                self.plain(report, FindingKind::DamagedSnapshot, path, detail);
                report.repair(RepairAction::SetAside {
                    path: path.to_owned(),
                });
            }
            Ok(_) => {}
            Err(error) => self.unreadable(report, path, None, &error),
        }
    }

    /// What a start would go by.
    fn ground(&self, parts: &[Part], report: &mut Collector<'_>) -> Ground {
        let last = parts.last().map(|part| part.base).unwrap_or_default();
        let state = self.clean_state(report);
        let log_start = self.log_start(report);
        let mut ground = Ground {
            log_start: log_start.unwrap_or_default(),
            is_start_unknown: log_start.is_none(),
            generation: state.map(|state| state.generation),
            has_gaps: state.is_none_or(|state| state.generation > 0),
            cleaned_end: state.unwrap_or_default().decided,
            sealed: None,
            strict_from: (last, 0),
        };
        let Some(entry) = &self.entry else {
            if self.has_checkpoint {
                ground.strict_from = (Offset::ZERO, 0);
            }
            return ground;
        };
        let Some(recovered) = &entry.recovered else {
            return ground;
        };
        let end = recovered.log_end;
        ground.log_start = ground.log_start.max(recovered.log_start);
        let tail = parts.iter().find(|part| part.base == end.segment);
        let length = tail.map(|tail| self.length_of(&tail.path));
        let is_there = match length {
            Some(Ok(length)) if length < u64::from(end.position) => {
                self.short(tail, length, end, report);
                false
            }
            Some(outcome) => outcome.is_ok(),
            // Retention may have given up all that the checkpoint knew.
            None => {
                let is_gone = end.offset > ground.log_start && end.position > 0;
                if is_gone && parts.iter().all(|part| part.base < end.offset) {
                    self.short(tail, 0, end, report);
                }
                false
            }
        };
        if self.was_closed {
            ground.sealed = Some(end);
        } else if is_there {
            ground.strict_from = (end.segment, end.position);
        } else if goes_on_behind(
            recovered,
            &parts.iter().map(|part| part.base).collect::<Vec<_>>(),
        ) {
            ground.strict_from = (end.offset, 0);
        }
        ground
    }

    fn short(&self, tail: Option<&Part>, length: u64, end: Mark, report: &mut Collector<'_>) {
        let path = match tail {
            Some(tail) => tail.path.clone(),
            None => part_path(&self.folder, end.segment, SegmentPart::Log),
        };
        let detail = format!(
            "{length} bytes are there; the checkpoint says that the log ends at byte {}, before offset {}",
            end.position, end.offset
        );
        report.add(Finding {
            kind: FindingKind::ShortLog,
            path,
            bytes: Some((length, u64::from(end.position))),
            offsets: None,
            detail,
        });
    }

    /// Where the log begins by the file that says so; `None` if that is damaged.
    fn log_start(&self, report: &mut Collector<'_>) -> Option<Offset> {
        let path = self.folder.join(LOG_START_FILE);
        let read = small_file::read(self.disk, &path, TEXT_BYTES_MAX).and_then(|bytes| {
            refuse_newer_text(
                &path,
                bytes.as_deref().unwrap_or_default(),
                LOG_START_VERSION,
            )?;
            Ok(bytes)
        });
        match read {
            Ok(None) => Some(Offset::ZERO),
            Ok(Some(bytes)) => {
                let text = String::from_utf8(bytes).ok();
                let start = text.as_deref().and_then(decode_log_start);
                if start.is_none() {
                    let detail = "does not hold an offset";
                    self.plain(report, FindingKind::DamagedLogStart, &path, detail);
                    report.repair(RepairAction::SetAside { path });
                }
                start
            }
            Err(error) => {
                self.unreadable(report, &path, None, &error);
                None
            }
        }
    }

    /// How far the log was cleaned; `None` if that is not known.
    fn clean_state(&self, report: &mut Collector<'_>) -> Option<CleanState> {
        let path = self.folder.join(state::FILE);
        match CleanState::read(self.disk, &self.folder) {
            Ok(Some(state)) => Some(state),
            Ok(None) => {
                let detail = "does not hold what cleaning writes";
                self.plain(report, FindingKind::DamagedCleanerState, &path, detail);
                report.repair(RepairAction::SetAside { path });
                None
            }
            Err(error) => {
                self.unreadable(report, &path, None, &error);
                None
            }
        }
    }

    fn check_segments(&self, parts: &[Part], ground: &Ground, report: &mut Collector<'_>) {
        self.check_start(parts, ground, report);
        self.check_known(parts, ground, report);
        let mut next = None;
        let mut is_cut = false;
        for (number, part) in parts.iter().enumerate() {
            let below = parts
                .get(number + 1)
                .map_or(Offset::MAX, |following| following.base);
            let is_last = number + 1 == parts.len();
            if is_cut {
                let detail = "the log is cut before it";
                self.plain(report, FindingKind::BehindCut, &part.path, detail);
            } else if let Some(next) = next {
                if part.base < next {
                    self.tell_overlapping(part, next, report);
                    continue;
                }
                is_cut = self.check_border(part, next, ground, report);
            }
            let file = match self.disk.open(&part.path, OpenMode::Read) {
                Ok(file) => file,
                Err(error) => {
                    self.unreadable(report, &part.path, None, &error);
                    next = None;
                    continue;
                }
            };
            let Some(walked) = self.check_segment(part, &*file, below, is_last, ground, report)
            else {
                next = None;
                continue;
            };
            // Of a closed segment only what a refused write left behind is cut, if the next one goes on right there.
            is_cut |= walked
                .strict
                .as_ref()
                .is_some_and(|first| first.trouble.first != below);
            next = walked.next;
        }
    }

    fn check_segment(
        &self,
        part: &Part,
        file: &dyn DiskFile,
        below: Offset,
        is_last: bool,
        ground: &Ground,
        report: &mut Collector<'_>,
    ) -> Option<Walked> {
        let length = match file.length() {
            Ok(length) => length,
            Err(error) => {
                self.unreadable(report, &part.path, None, &error);
                return None;
            }
        };
        let end = u32::try_from(length).unwrap_or(u32::MAX);
        let (strict_segment, strict_position) = ground.strict_from;
        let strict_from = match part.base.cmp(&strict_segment) {
            _ if ground.sealed.is_some() => u32::MAX,
            std::cmp::Ordering::Less => u32::MAX,
            std::cmp::Ordering::Equal => strict_position,
            std::cmp::Ordering::Greater => 0,
        };
        let extent = Extent {
            base: part.base,
            below,
            has_gaps: ground.has_gaps
                && (!is_last && strict_from > 0 || part.base < ground.cleaned_end),
            end: match ground.sealed {
                Some(sealed) if sealed.segment == part.base => end.min(sealed.position),
                _ => end,
            },
            strict_from,
        };
        let mut indexes = self.open_indexes(part, report);
        let mut troubles = Vec::new();
        let mut tell = |trouble: Trouble| {
            if !is_last && trouble.start < strict_from {
                troubles.push(trouble);
            }
        };
        let walked = walk(file, extent, &mut indexes, &mut tell, &mut |bytes| {
            report.progress(bytes);
        });
        report.count_segment(walked.batches);
        for trouble in troubles {
            self.tell_closed(part, &trouble, report);
        }
        self.tell_end(part, file, length, is_last, &walked, report);
        if walked.is_whole() {
            self.tell_indexes(&indexes, report);
        }
        if extent.end < end {
            self.tell_behind_end(part, file, u64::from(extent.end), length, report);
        }
        Some(walked)
    }

    fn open_indexes(&self, part: &Part, report: &mut Collector<'_>) -> Vec<IndexCheck> {
        let mut indexes = Vec::new();
        if part.is_swap {
            return indexes;
        }
        let path = |part_kind| part_path(&self.folder, part.base, part_kind);
        let offsets = path(SegmentPart::OffsetIndex);
        let times = path(SegmentPart::TimeIndex);
        for (path, opened) in [
            (
                &offsets,
                IndexCheck::offsets(self.disk, offsets.clone(), part.base),
            ),
            (
                &times,
                IndexCheck::times(self.disk, times.clone(), part.base),
            ),
        ] {
            match opened {
                Ok(opened) => indexes.extend(opened),
                Err(error) => self.unreadable(report, path, None, &error),
            }
        }
        indexes
    }
}
