//! A check for people.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use storage::{CheckReport, Finding, Remedy, RepairAction, Repaired};

use super::view::severity;
use crate::output;

pub(super) fn findings(report: &CheckReport) -> Result<()> {
    for finding in &report.findings {
        output::line(&one(finding))?;
    }
    if report.left_out > 0 {
        output::line(&format!("{} more findings are not shown", report.left_out))?;
    }
    Ok(())
}

fn one(finding: &Finding) -> String {
    let kind = finding.kind;
    let mut text = format!(
        "{}: {}: {}",
        severity(kind.severity()),
        kind.name(),
        finding.path.display()
    );
    if let Some((from, to)) = finding.bytes {
        let place = if to > from {
            format!(", bytes {from} to {}", to - 1)
        } else {
            format!(", byte {from}")
        };
        text += &place;
    }
    if let Some((first, end)) = finding.offsets {
        let last = end.map(|end| end.value() - 1);
        let offsets = match last {
            Some(last) if last > first.value() => format!(", offsets {first} to {last}"),
            Some(_) => format!(", offset {first}"),
            None => format!(", from offset {first} on"),
        };
        text += &offsets;
    }
    let remedy = match kind.remedy() {
        Remedy::Cut => "--repair cuts the log there",
        Remedy::SetAside => "--repair sets the file aside",
        Remedy::Broker => "none needed",
        Remedy::Unsafe => "cannot be repaired safely",
    };
    // Writing to a text does not fail.
    write!(
        text,
        "\n  found:  {}\n  means:  {}\n  do:     {}\n  repair: {remedy}\n",
        finding.detail,
        kind.meaning(),
        kind.advice()
    )
    .ok();
    text
}

pub(super) fn summary(report: &CheckReport) -> Result<()> {
    let verdict = match (report.damage, report.notes) {
        (0, 0) => "no damage".to_owned(),
        (0, notes) => format!("no damage, {notes} to note"),
        (damage, notes) => format!("{damage} damaged, {notes} to note"),
    };
    output::line(&format!(
        "{verdict}: read {}, {}, {} batches, {}",
        counted(report.partitions, "partition"),
        counted(report.segments, "segment"),
        report.batches,
        output::bytes(report.bytes)
    ))
}

fn counted(count: u64, noun: &str) -> String {
    output::counted(usize::try_from(count).unwrap_or(usize::MAX), noun)
}

/// What a repair will do.
pub(super) fn plan(root: &Path, report: &CheckReport) -> Result<()> {
    output::line("\nThe repair:")?;
    for action in &report.repairs {
        let below = |path: &Path| {
            path.strip_prefix(root)
                .unwrap_or(path)
                .display()
                .to_string()
        };
        let text = match action {
            RepairAction::Cut {
                path,
                from,
                to,
                first,
                whole_batches,
                whole_records,
                end,
                ..
            } => {
                let whole = match end {
                    Some(end) => format!(
                        ", among them {whole_batches} whole batches with {whole_records} records, up to offset {}",
                        end.value() - 1
                    ),
                    None => String::new(),
                };
                format!(
                    "cut {} at byte {from}: {} bytes leave the log{whole}; its next record gets offset {first}",
                    below(path),
                    to - from
                )
            }
            RepairAction::SetAside { path } => format!("set {} aside", below(path)),
        };
        output::line(&format!("  {text}"))?;
    }
    output::line(
        "What is taken away is kept in the folder set-aside of the data directory. Offsets that were cut off are given again; \
         consumers that were past them notice by the leader epoch.\n",
    )
}

pub(super) fn repaired(folder: &Path, files: &[Repaired]) -> Result<()> {
    for file in files {
        output::line(&format!(
            "kept {} bytes of {} as {}",
            file.bytes,
            file.path.display(),
            file.kept.display()
        ))?;
    }
    output::line(&format!(
        "repaired; all that was taken away is in {}\n\nChecked again:",
        folder.display()
    ))
}
