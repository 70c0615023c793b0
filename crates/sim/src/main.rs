//! Runs seeds: one with everything it tells, or many with a count.

#![allow(clippy::print_stdout, reason = "a tool that tells what it found")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser as _;
use sim::Outcome;

/// Failing seeds that are told one by one.
const TOLD_MAX: usize = 20;

/// No seed takes so long.
const SEED_MAX: Duration = Duration::from_secs(60);

/// The broker on a simulated machine
#[derive(clap::Parser, Debug)]
struct Arguments {
    /// Runs one seed and tells what happened
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Runs so many seeds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Runs each seed twice more and compares all that happened
    #[arg(long)]
    twice: bool,
    /// Stops at the first seed that fails
    #[arg(long)]
    first: bool,
    /// Plants a bug first, by its name
    #[cfg(feature = "planted")]
    #[arg(long)]
    plant: Option<String>,
    /// With one seed: writes its history there
    #[arg(long, requires = "seed")]
    history: Option<PathBuf>,
    /// With one seed: writes all that happened there
    #[arg(long, requires = "seed")]
    trace: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    if let Some(name) = &arguments.plant {
        let named = |bug: &&storage::planted::Bug| format!("{bug:?}") == *name;
        let bug = storage::planted::Bug::ALL.iter().find(named);
        let bug = bug.ok_or_else(|| anyhow::anyhow!("there is no bug {name}"))?;
        storage::planted::plant(Some(*bug));
    }
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SIM_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .with_ansi(false)
        .init();
    let outcome = sim::run(seed, arguments.trace.is_some());
    let Outcome {
        failure,
        hash,
        events,
        elapsed,
        starts,
        disk_failures,
        history,
        trace,
        plan,
    } = outcome;
    println!("{plan}");
    println!(
        "seed {seed}: {events} events, {starts} starts, {disk_failures} failures of the disk, {} events of history, {elapsed:?} simulated, trace {hash:016x}",
        history.len()
    );
    for (path, lines) in [(&arguments.history, history), (&arguments.trace, trace)] {
        if let Some(path) = path {
            std::fs::write(path, lines.join("\n"))?;
        }
    }
    match failure {
        Some(failure) => bail!("seed {seed} fails: {failure}"),
        None => {
            println!("clean");
            Ok(())
        }
    }
}

/// Ends the process if a seed takes too long: code that waits for a lock that its own thread holds.
fn watch(current: &'static AtomicU64) {
    #[allow(clippy::disallowed_methods, reason = "outside of the simulated world")]
    std::thread::spawn(move || {
        loop {
            let seed = current.load(Ordering::Relaxed);
            std::thread::sleep(SEED_MAX);
            if current.load(Ordering::Relaxed) == seed {
                println!("\nseed {seed} hangs\n    again: cargo xtask sim --seed {seed}");
                std::process::exit(1);
            }
        }
    });
}

fn many(arguments: &Arguments) -> Result<()> {
    static CURRENT: AtomicU64 = AtomicU64::new(u64::MAX);
    watch(&CURRENT);
    let mut failed = Vec::new();
    let (mut events, mut starts, mut disk_failures, mut records) = (0, 0, 0, 0);
    for number in 0..arguments.seeds {
        let seed = arguments.from + number;
        CURRENT.store(seed, Ordering::Relaxed);
        if arguments.twice
            && let Some(parting) = sim::compare(seed)
        {
            bail!("{parting}");
        }
        let outcome = sim::run(seed, false);
        events += outcome.events;
        starts += u64::from(outcome.starts);
        disk_failures += outcome.disk_failures;
        records += outcome.history.len();
        if let Some(failure) = outcome.failure {
            if failed.len() < TOLD_MAX {
                println!(
                    "\nseed {seed} fails: {failure}\n    again: cargo xtask sim --seed {seed}"
                );
            }
            failed.push(seed);
            if arguments.first {
                break;
            }
        }
        if (number + 1) % 50 == 0 || number + 1 == arguments.seeds {
            print!(
                "\r{} of {} seeds, {} failed, {events} events, {records} events of history, {starts} starts, {disk_failures} failures of the disk ",
                number + 1,
                arguments.seeds,
                failed.len()
            );
            std::io::stdout().flush()?;
        }
    }
    println!();
    if !failed.is_empty() {
        bail!(
            "{} seeds failed: {:?}",
            failed.len(),
            &failed[..failed.len().min(TOLD_MAX)]
        );
    }
    Ok(())
}
