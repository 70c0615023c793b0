//! `cargo xtask pipelines fencing`: two workers for the same pipelines, over and over. The one that began later takes over, the older
//! one is fenced at its next commit and stops, and nothing comes twice, also if the older one was frozen while the other one went on.

use super::machine::Machine;
use super::records;
use super::table::Table;
use super::topics::Topics;
use super::{Hop, Input, Writing, folder};
use crate::postgres::Postgres;
use crate::process::{self, Running};
use crate::{interrupt, random::Random};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The longest that it may take until somebody takes over.
const LIMIT: Duration = Duration::from_secs(60);
/// An older worker has run for a moment of this span when the next one comes.
const APART_MS: std::ops::RangeInclusive<u64> = 100..=800;

#[derive(clap::Args, Debug)]
pub(crate) struct FencingArguments {
    /// How often a worker takes over, for each kind of sink
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Decides when, and what is put in
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(arguments: &FencingArguments) -> Result<()> {
    let hops: [(&str, &dyn Hop); 2] = [("topic", &Topics), ("table", &Table)];
    for (word, hop) in hops {
        of_sink(word, hop, arguments)?;
    }
    Ok(())
}

fn of_sink(word: &str, hop: &dyn Hop, arguments: &FencingArguments) -> Result<()> {
    let postgres = match hop.has_database() {
        true => Some(Postgres::start_durable(&format!("fencing-{word}"))?),
        false => None,
    };
    let mut machine = Machine::start(&folder(&format!("fencing-{word}")), postgres)?;
    let pipelines = hop.prepare(&machine)?;
    machine.apply(&pipelines)?;
    let writing = Writing::begin(hop.writer(&machine, arguments.seed)?);
    let taken = take_over(hop, &machine, &writing, arguments, pipelines.len());
    let input = writing.end();
    let (fenced, last) = taken?;
    let input = input?;
    machine.wait_until_up()?;
    process::wait_until("what was put in to come out", LIMIT, || {
        interrupt::check()?;
        Ok(violations(hop, &machine, &input)? == 0)
    })?;
    stop(last)?;
    let parts = hop.compare(&machine, &input)?;
    let records: usize = parts.iter().map(|part| part.ledger.came).sum();
    for part in &parts {
        print!("{}", part.ledger.told());
    }
    ensure!(
        violations(hop, &machine, &input)? == 0,
        "{}: violations",
        hop.name()
    );
    println!(
        "{}: {} times a worker took over, {fenced} runs of older ones were fenced; {records} records, 0 lost, 0 duplicated",
        hop.name(),
        arguments.rounds
    );
    Ok(())
}

fn violations(hop: &dyn Hop, machine: &Machine, input: &Input) -> Result<usize> {
    let parts = hop.compare(machine, input)?;
    Ok(parts.iter().map(|part| part.ledger.violations()).sum())
}

/// Has one worker after the other take over; every second time the older one is frozen meanwhile. Returns how many runs were fenced
/// and the worker that is left.
fn take_over(
    hop: &dyn Hop,
    machine: &Machine,
    writing: &Writing,
    arguments: &FencingArguments,
    pipelines: usize,
) -> Result<(usize, Running)> {
    let begun = Instant::now();
    let mut random = Random::new(arguments.seed);
    let mut older = machine.another_worker("worker-0")?;
    let mut known = BTreeSet::new();
    for round in 1..=arguments.rounds {
        wait_for_progress(hop, machine, "the older worker")?;
        std::thread::sleep(random.span_ms(APART_MS));
        ensure!(writing.still_writes(), "the writer has ended");
        let is_frozen = round % 2 == 0;
        if is_frozen {
            process::signal("STOP", older.id())?;
        }
        let newer = machine.another_worker(&format!("worker-{round}"))?;
        if is_frozen {
            wait_for_progress(hop, machine, "the newer worker")?;
            process::signal("CONT", older.id())?;
        }
        let wanted = known.len() + pipelines;
        let what = format!(
            "{}: the older worker to be fenced, round {round}",
            hop.name()
        );
        process::wait_until(&what, LIMIT, || {
            interrupt::check()?;
            fenced(machine, &mut known)?;
            Ok(known.len() >= wanted)
        })?;
        stop(older)?;
        older = newer;
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{seconds:>7.1} s: {}: round {round}, {} runs fenced",
            hop.name(),
            known.len()
        );
    }
    fenced(machine, &mut known)?;
    let most = usize::try_from(arguments.rounds)? * pipelines;
    // The one that is left is never fenced by one that is gone.
    ensure!(
        known.len() == most,
        "{} runs were fenced in place of {most}",
        known.len()
    );
    Ok((known.len(), older))
}

/// Waits until more comes out than is there now.
fn wait_for_progress(hop: &dyn Hop, machine: &Machine, whose: &str) -> Result<()> {
    let before = hop.progress(machine)?;
    process::wait_until(&format!("progress of {whose}"), LIMIT, || {
        interrupt::check()?;
        Ok(hop.progress(machine)? > before)
    })
}

/// The runs that were fenced.
fn fenced(machine: &Machine, known: &mut BTreeSet<String>) -> Result<()> {
    for record in records::of_topic(&machine.client(), "__runs")? {
        let value = record.value.unwrap_or_default();
        if value.contains("another worker") {
            known.insert(record.key.unwrap_or_default());
        }
    }
    Ok(())
}

fn stop(mut worker: Running) -> Result<()> {
    let status = worker.terminate(LIMIT)?;
    ensure!(
        status.success(),
        "a worker ended with {status} after SIGTERM"
    );
    Ok(())
}
