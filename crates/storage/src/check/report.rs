//! What a check brings together.
//!
//! Invariant: bounded, however much is damaged: at most [`FINDINGS_MAX`] findings are kept, further ones are counted.

use std::path::{Path, PathBuf};

use super::finding::{Finding, Severity};
use super::repair::RepairAction;

/// Findings that are kept. More places than this nobody looks at one by one.
const FINDINGS_MAX: usize = 10_000;
/// Bytes that are read between two signs of life.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// What was found, in the order of the folders.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are kept.
    pub left_out: u64,
    /// Findings that are damage, also those left out.
    pub damage: u64,
    /// Findings that are notes, also those left out.
    pub notes: u64,
    /// Partitions' folders that were looked into.
    pub partitions: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Whole batches in them.
    pub batches: u64,
    /// Bytes of segments that were read.
    pub bytes: u64,
    /// What a repair would do.
    pub repairs: Vec<RepairAction>,
}

impl CheckReport {
    /// Takes a finding down, with a path below the data directory.
    pub fn add(&mut self, finding: Finding) {
        match finding.kind.severity() {
            Severity::Damage => self.damage += 1,
            Severity::Note => self.notes += 1,
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }
}

/// A report while it is being made.
pub(super) struct Collector<'a> {
    report: CheckReport,
    root: &'a Path,
    progress: &'a mut dyn FnMut(u64),
    untold: u64,
}

impl<'a> Collector<'a> {
    pub(super) fn new(root: &'a Path, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            report: CheckReport::default(),
            root,
            progress,
            untold: 0,
        }
    }

    /// Takes a finding down, under its path below the data directory.
    pub(super) fn add(&mut self, mut finding: Finding) {
        finding.path = below(self.root, &finding.path);
        self.report.add(finding);
    }

    /// Takes down what a repair would do.
    pub(super) fn repair(&mut self, action: RepairAction) {
        if self.report.repairs.len() < FINDINGS_MAX {
            self.report.repairs.push(action);
        }
    }

    pub(super) fn count_partition(&mut self) {
        self.report.partitions += 1;
    }

    pub(super) fn count_segment(&mut self, batches: u64) {
        self.report.segments += 1;
        self.report.batches += batches;
    }

    /// So many more bytes were read.
    pub(super) fn progress(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        self.untold += bytes;
        if self.untold >= PROGRESS_BYTES {
            (self.progress)(std::mem::take(&mut self.untold));
        }
    }

    pub(super) fn end(self) -> CheckReport {
        (self.progress)(self.untold);
        self.report
    }
}

/// The path as it is below the data directory.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}
