//! A check as JSON.

use std::path::{Path, PathBuf};

use serde::Serialize;
use storage::{CheckReport, Finding, Remedy, RepairAction, Repaired, Severity};

/// The whole document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    data_directory: PathBuf,
    #[serde(flatten)]
    figures: Figures,
    findings: Vec<FindingView>,
    /// What a repair does.
    repairs: Vec<RepairView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<RepairedView>,
}

#[derive(Debug, Serialize)]
struct Figures {
    damage: u64,
    notes: u64,
    /// Findings that are counted and not listed.
    left_out: u64,
    partitions: u64,
    segments: u64,
    batches: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct FindingView {
    kind: &'static str,
    severity: &'static str,
    path: PathBuf,
    position: Option<u64>,
    /// Behind the last byte.
    end_position: Option<u64>,
    first_offset: Option<i64>,
    /// Behind the last offset.
    end_offset: Option<i64>,
    detail: String,
    meaning: &'static str,
    advice: &'static str,
    repair: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum RepairView {
    Cut {
        path: PathBuf,
        position: u64,
        bytes: u64,
        first_offset: i64,
        whole_batches: u64,
        whole_records: u64,
        end_offset: Option<i64>,
    },
    SetAside {
        path: PathBuf,
    },
}

#[derive(Debug, Serialize)]
struct RepairedView {
    folder: PathBuf,
    files: Vec<KeptView>,
    /// What a second check found.
    after: Figures,
}

#[derive(Debug, Serialize)]
struct KeptView {
    path: PathBuf,
    kept: PathBuf,
    bytes: u64,
}

impl Report {
    pub(super) fn new(root: &Path, report: &CheckReport) -> Self {
        let repairs = report.repairs.iter();
        Self {
            data_directory: root.to_owned(),
            figures: Figures::of(report),
            findings: report.findings.iter().map(FindingView::of).collect(),
            repairs: repairs.map(|action| RepairView::of(root, action)).collect(),
            repaired: None,
        }
    }

    pub(super) fn repaired(&mut self, folder: &Path, files: &[Repaired], after: &CheckReport) {
        let files = files.iter().map(|one| KeptView {
            path: one.path.clone(),
            kept: one.kept.clone(),
            bytes: one.bytes,
        });
        self.repaired = Some(RepairedView {
            folder: folder.to_owned(),
            files: files.collect(),
            after: Figures::of(after),
        });
    }
}

impl Figures {
    fn of(report: &CheckReport) -> Self {
        Self {
            damage: report.damage,
            notes: report.notes,
            left_out: report.left_out,
            partitions: report.partitions,
            segments: report.segments,
            batches: report.batches,
            bytes: report.bytes,
        }
    }
}

impl FindingView {
    fn of(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.name(),
            severity: severity(finding.kind.severity()),
            path: finding.path.clone(),
            position: finding.bytes.map(|(from, _)| from),
            end_position: finding.bytes.map(|(_, to)| to),
            first_offset: finding.offsets.map(|(first, _)| first.value()),
            end_offset: finding.offsets.and_then(|(_, end)| Some(end?.value())),
            detail: finding.detail.clone(),
            meaning: finding.kind.meaning(),
            advice: finding.kind.advice(),
            repair: match finding.kind.remedy() {
                Remedy::Cut => "cut",
                Remedy::SetAside => "set-aside",
                Remedy::Broker => "broker",
                Remedy::Unsafe => "unsafe",
            },
        }
    }
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Damage => "damage",
        Severity::Note => "note",
    }
}

impl RepairView {
    fn of(root: &Path, action: &RepairAction) -> Self {
        let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
        match action {
            RepairAction::Cut {
                path,
                from,
                to,
                first,
                whole_batches,
                whole_records,
                end,
                ..
            } => Self::Cut {
                path: below(path),
                position: *from,
                bytes: to - from,
                first_offset: first.value(),
                whole_batches: *whole_batches,
                whole_records: *whole_records,
                end_offset: end.map(types::Offset::value),
            },
            RepairAction::SetAside { path } => Self::SetAside { path: below(path) },
        }
    }
}
