//! Runs the fuzzer over targets, and says what came of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::build;
use crate::{process, workspace};

/// An input that takes longer is a finding.
const SECONDS_MAX: u32 = 10;
/// Memory of the whole process, in MiB; what an input may take is counted by the targets themselves.
const MEMORY_MAX: u32 = 2048;
/// Inputs are not longer, in bytes.
const INPUT_MAX: u32 = 16 * 1024;
/// A target runs on after so many failures; they are mostly the same.
const FAILURES_MAX: usize = 3;

#[derive(Args)]
pub(crate) struct RunArguments {
    /// A target of `list`, or all
    target: String,
    /// How long, divided among the targets
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What mutations follow from; without it each run is another
    #[arg(long, default_value_t = 0)]
    seed: u32,
}

#[derive(Args)]
pub(crate) struct ReplayArguments {
    /// A target of `list`
    target: String,
    /// A file with the input
    input: PathBuf,
}

/// The program that has the targets and no fuzzer.
fn targets() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace::root());
    command.args(["run", "--locked", "--quiet", "--package", "fuzzing", "--"]);
    command
}

pub(super) fn list() -> Result<()> {
    process::run(targets().arg("list"))
}

fn chosen(name: &str) -> Result<Vec<String>> {
    let listed = process::output(targets().arg("list"))?;
    let first_words = listed.lines().filter_map(|line| line.split(' ').next());
    let names: Vec<String> = first_words.map(str::to_owned).collect();
    if name == "all" {
        return Ok(names);
    }
    if !names.iter().any(|known| known == name) {
        bail!(
            "there is no target {name}; there are all, {}",
            names.join(", ")
        );
    }
    Ok(vec![name.to_owned()])
}

/// What came of one target.
#[derive(Debug, Default)]
struct Outcome {
    executions: u64,
    edges: u64,
    corpus: u64,
    new_inputs: u64,
    cpu_seconds: f64,
    failures: Vec<PathBuf>,
}

pub(super) fn run(arguments: &RunArguments) -> Result<()> {
    let names = chosen(&arguments.target)?;
    let fuzzer = build::fuzzer()?;
    let seconds = (arguments.minutes * 60.0 / names.len() as f64)
        .ceil()
        .max(1.0);
    let mut failed = 0;
    println!(
        "{:<20} {:>12} {:>7} {:>8} {:>6} {:>9} {:>9}",
        "target", "executions", "edges", "corpus", "new", "cpu s", "failures"
    );
    for name in names {
        let outcome = fuzz(&fuzzer, &name, seconds, arguments.seed)?;
        println!(
            "{name:<20} {:>12} {:>7} {:>8} {:>6} {:>9.1} {:>9}",
            outcome.executions,
            outcome.edges,
            outcome.corpus,
            outcome.new_inputs,
            outcome.cpu_seconds,
            outcome.failures.len()
        );
        for path in &outcome.failures {
            println!("  cargo xtask fuzz replay {name} {}", path.display());
        }
        failed += outcome.failures.len();
    }
    if failed > 0 {
        bail!("{failed} inputs break a promise; each is replayed as shown above");
    }
    Ok(())
}

/// Fuzzes one target for so many seconds, also beyond a few failures.
fn fuzz(fuzzer: &Path, name: &str, seconds: f64, seed: u32) -> Result<Outcome> {
    let started = Instant::now();
    let mut outcome = Outcome::default();
    loop {
        let left = seconds - started.elapsed().as_secs_f64();
        if left < 1.0 || outcome.failures.len() >= FAILURES_MAX {
            return Ok(outcome);
        }
        fuzz_once(fuzzer, name, left.ceil() as u64, seed, &mut outcome)?;
    }
}

/// Runs the fuzzer until its time is up, or an input fails.
fn fuzz_once(
    fuzzer: &Path,
    name: &str,
    seconds: u64,
    seed: u32,
    outcome: &mut Outcome,
) -> Result<()> {
    let corpus = made(&build::folder().join("corpus").join(name))?;
    let failures = made(&build::folder().join("failures").join(name))?;
    let inputs_before = fs::read_dir(&corpus)?.count() as u64;
    let mut command = Command::new(fuzzer);
    command
        .env("FUZZ_TARGET", name)
        .env("FUZZ_SEEDS", &corpus)
        .args([
            format!("-max_total_time={seconds}"),
            format!("-timeout={SECONDS_MAX}"),
            format!("-rss_limit_mb={MEMORY_MAX}"),
            format!("-max_len={INPUT_MAX}"),
            format!("-seed={seed}"),
            format!("-artifact_prefix={}/", failures.display()),
            "-print_final_stats=1".to_owned(),
        ])
        .arg(&corpus)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let cpu_before = cpu_of_children();
    let mut child = command.spawn().context("the fuzzer starts")?;
    let output = child.stderr.take().context("standard error is a pipe")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        note(&String::from_utf8_lossy(&line), outcome);
    }
    child.wait()?;
    outcome.cpu_seconds += cpu_of_children() - cpu_before;
    outcome.corpus = fs::read_dir(&corpus)?.count() as u64;
    outcome.new_inputs += outcome.corpus.saturating_sub(inputs_before);
    Ok(())
}

/// Takes what libFuzzer says in a line: `#512 NEW cov: 91 ft: ...`, `stat::number_of_executed_units: 512`, and where an
/// input that failed is.
fn note(line: &str, outcome: &mut Outcome) {
    if let Some(edges) = number_behind(line, " cov: ") {
        outcome.edges = outcome.edges.max(edges);
    }
    if let Some(count) = number_behind(line, "stat::number_of_executed_units: ") {
        outcome.executions += count;
    }
    if let Some((_, path)) = line.split_once("Test unit written to ") {
        outcome.failures.push(PathBuf::from(path.trim()));
    }
}

fn number_behind(line: &str, mark: &str) -> Option<u64> {
    let (_, rest) = line.split_once(mark)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// CPU time of all child processes that have ended, in seconds.
fn cpu_of_children() -> f64 {
    /// Clock ticks a second that the kernel tells times in, on every machine that Linux runs on today.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: cutime and cstime are fields 16 and 17 of all.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(13).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

fn made(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

pub(super) fn replay(arguments: &ReplayArguments) -> Result<()> {
    let input = std::path::absolute(&arguments.input)?;
    process::run(
        targets()
            .env("RUST_BACKTRACE", "1")
            .args(["replay", &arguments.target])
            .arg(input),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_says_is_counted() {
        let mut outcome = Outcome::default();
        for line in [
            "#2\tINITED cov: 77 ft: 78 corp: 1/1b exec/s: 0 rss: 30Mb",
            "#512\tNEW    cov: 91 ft: 130 corp: 9/40b lim: 4 exec/s: 0 rss: 31Mb",
            "stat::number_of_executed_units: 1024",
            "artifact_prefix='f/'; Test unit written to f/crash-12",
        ] {
            note(line, &mut outcome);
        }
        assert_eq!((outcome.executions, outcome.edges), (1024, 91));
        assert_eq!(outcome.failures, [PathBuf::from("f/crash-12")]);
    }
}
