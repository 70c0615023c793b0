//! The pause of a hand-over: a pipeline under a steady load, changed over and over. How long nothing comes out around each change, beside
//! spans of the same length without one. Nothing may be lost or come twice on the way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::BenchArguments;
use super::page::{Section, percentile, say};
use super::stage::Stage;
use crate::install;
use crate::process::Running;

const IN: &str = "flow.in";
const OUT: &str = "flow.out";
/// Records a second.
const RATE: u32 = 2_000;
/// From one change to the next.
const SPAN: Duration = Duration::from_secs(3);
/// Spans without a change, to compare with.
const QUIET: usize = 10;
const WARM_UP: Duration = Duration::from_secs(3);
const END_LIMIT: Duration = Duration::from_secs(120);

/// A record that came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Came {
    at_us: u64,
    late_us: u64,
    version: usize,
}

/// What was seen in a span.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    /// The longest time in which nothing came out, in milliseconds.
    gap_ms: f64,
    /// The longest that a record took, in milliseconds.
    late_ms: f64,
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Section> {
    let mut section = Section::new(
        "pipelines handover",
        "Hand-over of versions",
        &["what", "spans", "p50, ms", "p99, ms", "longest, ms"],
    )?;
    let stage = Stage::start("handover", &[])?;
    stage.create(IN, 4)?;
    stage.apply(&[pipeline(0)])?;
    let came = stage.folder().join("came");
    let mut flow = Flow::start(&stage, &came)?;
    sleep(WARM_UP);
    let mut quiet = Vec::new();
    for _ in 0..QUIET {
        quiet.push(now_us()?);
        sleep(SPAN);
    }
    let mut changes = Vec::new();
    for version in 1..=arguments.versions {
        let plan = stage.plan(&[pipeline(version)])?;
        let began = now_us()?;
        changes.push(began);
        stage.apply_plan(&plan)?;
        if version % 10 == 0 {
            say(&format!("{version} versions are applied"));
        }
        let spent = Duration::from_micros(now_us()?.saturating_sub(began));
        sleep(SPAN.saturating_sub(spent));
    }
    flow.end()?;
    let came = read(&came)?;
    let versions: BTreeSet<usize> = came.iter().map(|came| came.version).collect();
    ensure!(
        versions == (0..=arguments.versions).collect(),
        "not every version has written: {versions:?}"
    );
    for (what, begins) in [
        ("without a change", &quiet),
        ("a version is applied", &changes),
    ] {
        let seen: Vec<Seen> = begins
            .iter()
            .map(|begin| within(&came, *begin))
            .collect::<Result<_>>()?;
        let gaps: Vec<f64> = seen.iter().map(|seen| seen.gap_ms).collect();
        let late: Vec<f64> = seen.iter().map(|seen| seen.late_ms).collect();
        for (name, values) in [
            ("longest time without output", gaps),
            ("longest time of a record", late),
        ] {
            section.row(vec![
                format!("{what}: {name}"),
                values.len().to_string(),
                format!("{:.0}", percentile(&values, 50)),
                format!("{:.0}", percentile(&values, 99)),
                format!("{:.0}", percentile(&values, 100)),
            ]);
        }
    }
    section.text(format!(
        "`cargo xtask pipelines bench --only handover`: {RATE} records a second through a pipeline, topic → topic, in the broker's process, class D; a changed version is applied {} times. For each span of {} s from an `apply` on: the longest time in which a reader with `read_committed` got nothing, and the longest that a record took from its producer to that reader. All records came, none twice.",
        arguments.versions,
        SPAN.as_secs()
    ));
    stage.stop()?;
    Ok(section)
}

fn pipeline(version: usize) -> (String, String) {
    let text = format!(
        "format: 1
pipeline: flow
run: continuous
params: {{ version: {version} }}
from:
  input:
    topic: {{ name: {IN} }}
    columns: {{ id: bigint not null, sent_us: bigint not null }}
sql: SELECT id, sent_us, $version AS version FROM input
to:
  topic: {{ name: {OUT}, key: id, partitions: 4 }}
"
    );
    ("flow".to_owned(), text)
}

/// The program that writes and reads.
struct Flow {
    process: Running,
    told: std::path::PathBuf,
}

impl Flow {
    fn start(stage: &Stage, came: &Path) -> Result<Self> {
        let told = stage.folder().join("told");
        let mut command = Command::new(install::python()?);
        command
            .arg(install::clients().join("pipelines/flow.py"))
            .args(["--bootstrap", &stage.bootstrap(), "--from", IN, "--to", OUT])
            .args(["--rate", &RATE.to_string(), "--file"])
            .arg(came)
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&told)?);
        Ok(Self {
            process: Running::start(&mut command)?,
            told,
        })
    }

    /// Waits until all that was written has come out; a loss or something that came twice is an error.
    fn end(&mut self) -> Result<()> {
        drop(self.process.take_input());
        let status = self.process.wait(END_LIMIT)?;
        ensure!(status.success(), "the flow ended with {status}");
        let told: serde_json::Value = serde_json::from_str(&fs::read_to_string(&self.told)?)?;
        let is_exact = told["sent"].as_u64() > Some(0)
            && told["sent"] == told["came"]
            && told["twice"] == 0
            && told["failure"].is_null();
        ensure!(is_exact, "records are lost or came twice: {told}");
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<Came>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let came = text.lines().map(|line| {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next().context("a short line")?.context("a number");
        Ok(Came {
            at_us: next()?,
            late_us: next()?,
            version: usize::try_from(next()?)?,
        })
    });
    came.collect()
}

/// What was seen in the span that begins then. A gap counts for the span that it ends in.
fn within(came: &[Came], begin_us: u64) -> Result<Seen> {
    let end_us = begin_us + u64::try_from(SPAN.as_micros())?;
    let (mut gap_us, mut late_us) = (0, 0);
    let mut last = came
        .iter()
        .rev()
        .find(|came| came.at_us < begin_us)
        .map_or(begin_us, |came| came.at_us);
    for came in came
        .iter()
        .filter(|came| (begin_us..end_us).contains(&came.at_us))
    {
        gap_us = gap_us.max(came.at_us.saturating_sub(last));
        late_us = late_us.max(came.late_us);
        last = came.at_us;
    }
    // What never came again within the span was not there for the rest of it.
    gap_us = gap_us.max(end_us.saturating_sub(last));
    Ok(Seen {
        gap_ms: millis(gap_us)?,
        late_ms: millis(late_us)?,
    })
}

fn millis(us: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(us)?) / 1000.0)
}

fn now_us() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_micros())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_the_longest_time_without_output_and_counts_to_the_end_of_the_span() {
        let at = |at_ms: u64, late_ms: u64| Came {
            at_us: at_ms * 1000,
            late_us: late_ms * 1000,
            version: 0,
        };
        let steady: Vec<Came> = (0..100).map(|step| at(step * 100, 5)).collect();
        let seen = within(&steady, 1_050_000).unwrap();
        assert_eq!((seen.gap_ms, seen.late_ms), (100.0, 5.0));
        let mut paused = steady.clone();
        paused.retain(|came| !(1_150_000..1_950_000).contains(&came.at_us));
        paused.push(at(1_960, 800));
        paused.sort_by_key(|came| came.at_us);
        let seen = within(&paused, 1_050_000).unwrap();
        assert_eq!((seen.gap_ms, seen.late_ms), (860.0, 800.0));
        let stopped: Vec<Came> = steady
            .into_iter()
            .filter(|came| came.at_us < 2_000_000)
            .collect();
        assert_eq!(within(&stopped, 1_050_000).unwrap().gap_ms, 2_150.0);
    }
}
