//! Tables of figures and their place in `docs/performance.md`.
//!
//! A section lies between `<!-- bench NAME -->` and `<!-- /bench NAME -->`; what is between is replaced, the rest kept.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::Options;
use super::peer::Peer;
use crate::{kafka, process, workspace};

/// Figures of one kind, with the command that makes them.
#[derive(Debug)]
pub(crate) struct Section {
    marker: String,
    title: String,
    text: String,
    tables: Vec<Table>,
}

/// One table: a column for each peer, and the ratio of the first to the second.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    peers: Vec<&'static str>,
    rows: Vec<(String, Vec<String>, String)>,
}

impl Section {
    pub(crate) fn new(marker: &str, title: &str, text: &str) -> Self {
        Self {
            marker: marker.to_owned(),
            title: title.to_owned(),
            text: text.to_owned(),
            tables: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, table: Table) {
        eprintln!("{}", table.markdown());
        self.tables.push(table);
    }

    fn markdown(&self) -> Result<String> {
        let mut out = format!("### {}\n\n{}\n\n{}\n", self.title, self.text, machine()?);
        for table in &self.tables {
            write!(out, "\n{}", table.markdown())?;
        }
        Ok(out)
    }
}

impl Table {
    pub(crate) fn new(title: &str, peers: &[Peer]) -> Self {
        let peers = peers.iter().map(|peer| peer.name()).collect();
        Self {
            title: title.to_owned(),
            peers,
            rows: Vec::new(),
        }
    }

    /// A row with the ratio of its own values.
    pub(crate) fn row(&mut self, name: &str, values: &[f64], decimals: usize) {
        let ratio = match values {
            [ours, theirs] if *theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "–".to_owned(),
        };
        self.row_with_ratio(name, values, decimals, &ratio);
    }

    pub(crate) fn row_with_ratio(
        &mut self,
        name: &str,
        values: &[f64],
        decimals: usize,
        ratio: &str,
    ) {
        let cells = values
            .iter()
            .map(|value| format!("{value:.decimals$}"))
            .collect();
        self.rows.push((name.to_owned(), cells, ratio.to_owned()));
    }

    fn markdown(&self) -> String {
        let mut out = format!(
            "| {} | {} | ratio |\n|---|{}---|\n",
            self.title,
            self.peers.join(" | "),
            "---|".repeat(self.peers.len())
        );
        for (name, cells, ratio) in &self.rows {
            out.push_str(&format!("| {name} | {} | {ratio} |\n", cells.join(" | ")));
        }
        out
    }
}

/// Median, least and greatest of the ratios of pairs, first peer by second.
pub(crate) fn ratio_cell<S>(slices: &[Vec<S>], value: impl Fn(&S) -> f64) -> String {
    let [ours, theirs] = slices else {
        return "–".to_owned();
    };
    let mut ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| value(a) / value(b))
        .collect();
    ratios.sort_by(f64::total_cmp);
    match (ratios.first(), ratios.last()) {
        (Some(least), Some(greatest)) => {
            format!("{:.2} ({least:.2}–{greatest:.2})", median(ratios.clone()))
        }
        _ => "–".to_owned(),
    }
}

/// The median; NaN of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Prints the section and, unless it is a dry run, puts it into `docs/performance.md`.
pub(crate) fn publish(options: &Options, section: &Section) -> Result<()> {
    let text = section.markdown()?;
    println!("{text}");
    // A comparison without its peer has no place in the document.
    if options.dry_run || options.only.is_some() {
        return Ok(());
    }
    let path = workspace::root().join("docs/performance.md");
    let document = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, replaced(&document, &section.marker, &text))?;
    Ok(())
}

/// The document with a section put between its markers, in place of what was there or at the end.
pub(crate) fn replaced(document: &str, marker: &str, text: &str) -> String {
    let (start, end) = (
        format!("<!-- bench {marker} -->\n"),
        format!("<!-- /bench {marker} -->\n"),
    );
    let block = format!("{start}{text}{end}");
    let old = document.find(&start).and_then(|from| {
        let to = document[from..].find(&end)? + from + end.len();
        Some((from, to))
    });
    match old {
        Some((from, to)) => format!("{}{block}{}", &document[..from], &document[to..]),
        None => format!("{}\n\n{block}", document.trim_end()),
    }
}

/// What the figures were made with: nothing that names a machine or a person.
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel: Vec<&str> = kernel.trim().split(['.', '-']).take(2).collect();
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib: f64 = meminfo
        .split_whitespace()
        .nth(1)
        .context("/proc/meminfo is empty")?
        .parse()?;
    let file_system = process::output(
        Command::new("df")
            .arg("--output=fstype")
            .arg(workspace::root()),
    )?;
    let java = process::output(Command::new("java").arg("--version"))?;
    let commit = process::output(
        Command::new("git")
            .args(["rev-parse", "--short", "HEAD"])
            .current_dir(workspace::root()),
    )?;
    Ok(format!(
        "Commit {}, Apache Kafka {} on {} with 1 GiB of heap, Linux {}, {cores} cores, {:.0} GiB, {}, clients on the same machine.",
        commit.trim(),
        kafka::version()?,
        java.lines().next().unwrap_or("an unknown JVM"),
        kernel.join("."),
        kib / 1_048_576.0,
        file_system
            .lines()
            .last()
            .unwrap_or("an unknown file system"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_appended_once_and_replaced_after() {
        let first = replaced("# Title\n", "a", "one\n");
        assert_eq!(
            first,
            "# Title\n\n<!-- bench a -->\none\n<!-- /bench a -->\n"
        );
        let with_other = replaced(&first, "b", "two\n");
        let second = replaced(&with_other, "a", "three\n");
        assert_eq!(
            second,
            "# Title\n\n<!-- bench a -->\nthree\n<!-- /bench a -->\n\n<!-- bench b -->\ntwo\n<!-- /bench b -->\n"
        );
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
