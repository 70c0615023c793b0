//! [`Section`]: a table with what it was made by, printed and put between markers of `docs/performance.md`.

use crate::bench::report::{median, replaced};
use crate::{process, workspace};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::process::Command;

#[derive(Debug)]
pub(super) struct Section {
    /// Between which markers.
    marker: &'static str,
    title: &'static str,
    /// What was done.
    text: String,
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// The load of the machine when it began.
    load: String,
}

impl Section {
    /// Begins one; what is measured comes after this.
    pub(super) fn new(
        marker: &'static str,
        title: &'static str,
        header: &[&'static str],
    ) -> Result<Self> {
        Ok(Self {
            marker,
            title,
            text: String::new(),
            header: header.to_vec(),
            rows: Vec::new(),
            load: load()?,
        })
    }

    pub(super) fn text(&mut self, text: String) {
        self.text = text;
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        eprintln!("| {} |", cells.join(" | "));
        self.rows.push(cells);
    }

    fn markdown(&self) -> Result<String> {
        let mut out = format!(
            "### {}\n\n{}\n\n{}\n\n",
            self.title,
            self.text,
            self.machine()?
        );
        writeln!(out, "| {} |", self.header.join(" | "))?;
        writeln!(
            out,
            "|---|{}",
            "--:|".repeat(self.header.len().saturating_sub(1))
        )?;
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        Ok(out)
    }

    /// What it was measured with: nothing that names a machine or a person.
    fn machine(&self) -> Result<String> {
        let cores = std::thread::available_parallelism()?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let kernel: Vec<&str> = kernel.trim().split(['.', '-']).take(2).collect();
        let mut git = Command::new("git");
        git.args(["rev-parse", "--short", "HEAD"])
            .current_dir(workspace::root());
        let commit = process::output(&mut git)?;
        let (commit, kernel) = (commit.trim(), kernel.join("."));
        Ok(format!(
            "Commit {commit}, Linux {kernel}, {cores} cores, all on the same machine; load of one minute at the start {}, at the end {}.",
            self.load,
            load()?
        ))
    }
}

fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let first = load.split(' ').next().context("/proc/loadavg is empty")?;
    Ok(first.to_owned())
}

/// Median with the least and the greatest.
pub(super) fn spread(values: &[f64], decimals: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values.to_vec());
    format!("{middle:.decimals$} ({least:.decimals$}–{greatest:.decimals$})")
}

/// The value that so many of a hundred are at most.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Prints a section and puts it into `docs/performance.md`, unless that is to stay as it is.
pub(super) fn publish(section: &Section, dry_run: bool) -> Result<()> {
    let text = section.markdown()?;
    println!("{text}");
    if dry_run {
        return Ok(());
    }
    let path = workspace::root().join("docs/performance.md");
    let document = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, replaced(&document, section.marker, &text))?;
    Ok(())
}

/// Says on standard error what goes on.
pub(super) fn say(what: &str) {
    eprintln!("# {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=40).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50), 20.0);
        assert_eq!(percentile(&values, 99), 40.0);
        assert_eq!(percentile(&[7.0], 99), 7.0);
        assert!(percentile(&[], 99).is_nan());
    }

    #[test]
    fn a_spread_tells_median_least_and_greatest() {
        assert_eq!(spread(&[3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
    }
}
