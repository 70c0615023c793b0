//! `cargo xtask pipelines kills`: for each way of stage one a broker, a worker and, where there is one, a PostgreSQL are killed with
//! SIGKILL at random moments, also while they start and several in a row, and records are put in all the time. In the first half
//! pipelines run in a worker of its own, in the second one in the broker.

use super::files::Files;
use super::ledger::Ledger;
use super::machine::{Home, Machine, Victim};
use super::rows::Rows;
use super::table::Table;
use super::topics::Topics;
use super::{Hop, Input, Part, Writing, folder};
use crate::clients::Counts;
use crate::interrupt;
use crate::postgres::Postgres;
use crate::random::Random;
use crate::{install, server};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Processes live for a moment of this span, and some only for one of that.
const LIFE_MS: RangeInclusive<u64> = 50..=1500;
const SHORT_LIFE_MS: RangeInclusive<u64> = 0..=150;
/// One kill of so many comes with others right behind it, at most so many, before anything is up.
const BURST_EACH: u64 = 8;
const BURST: RangeInclusive<u64> = 1..=3;
const BURST_GAP_MS: RangeInclusive<u64> = 0..=60;
/// Kills between two lines that tell how it goes.
const TOLD_EACH: u32 = 50;
/// The longest that pipelines may take to come to rest after the last kill.
const REST_LIMIT: Duration = Duration::from_secs(120);
const REST_POLL: Duration = Duration::from_millis(500);
/// Of each way, within `cargo xtask test`.
const SHORT_KILLS: u32 = 10;

/// The ways of stage one.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Files to topic
    Files,
    /// PostgreSQL to topic
    Postgres,
    /// Topic to topic
    Topics,
    /// Topic to PostgreSQL
    Table,
}

impl Way {
    const ALL: [Self; 4] = [Self::Files, Self::Postgres, Self::Topics, Self::Table];

    fn hop(self) -> Box<dyn Hop> {
        match self {
            Self::Files => Box::new(Files),
            Self::Postgres => Box::new(Rows),
            Self::Topics => Box::new(Topics),
            Self::Table => Box::new(Table),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Postgres => "postgres",
            Self::Topics => "topics",
            Self::Table => "table",
        }
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct KillsArguments {
    /// How often something is killed, on each way
    #[arg(long, default_value_t = 250)]
    kills: u32,
    /// Only these ways
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Way::ALL)]
    only: Vec<Way>,
    /// Decides who is killed when, and what is put in
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(arguments: &KillsArguments) -> Result<()> {
    let KillsArguments { kills, only, seed } = arguments;
    // Once, and not by each of them.
    server::watertable_binary()?;
    if only.iter().any(|way| way.hop().has_database()) {
        install::system_packages(&["postgresql", "postgresql-client"])?;
    }
    // Side by side: they mostly wait.
    let outcomes: Vec<Result<Outcome>> = std::thread::scope(|scope| {
        let begin = |way: &Way| {
            let way = *way;
            scope.spawn(move || of_way(way, *kills, *seed))
        };
        let running: Vec<_> = only.iter().map(begin).collect();
        let ended = running.into_iter().map(|way| way.join());
        ended
            .map(|ended| ended.unwrap_or_else(|_panic| bail!("it panicked")))
            .collect()
    });
    println!("seed {seed}, {kills} kills each\n{HEAD}");
    let (mut violations, mut failed) = (0, 0);
    for (way, outcome) in only.iter().zip(outcomes) {
        match outcome {
            Ok(outcome) => {
                println!("{outcome}");
                violations += outcome.violations();
            }
            Err(error) => {
                println!("{}: {error:#}", way.word());
                failed += 1;
            }
        }
    }
    ensure!(failed == 0, "{failed} did not come to an end");
    ensure!(violations == 0, "{violations} violations");
    Ok(())
}

/// Within `cargo xtask test`.
pub(crate) fn run_short() -> Result<Counts> {
    let arguments = KillsArguments {
        kills: SHORT_KILLS,
        only: Way::ALL.to_vec(),
        seed: 1,
    };
    interrupt::note_signals()?;
    run(&arguments).map(|()| Counts {
        passed: Way::ALL.len(),
        failed: 0,
    })
}

fn of_way(way: Way, kills: u32, seed: u64) -> Result<Outcome> {
    let begun = Instant::now();
    // Each has its own chance.
    let seed = seed.wrapping_add(way as u64);
    let hop = way.hop();
    let postgres = match hop.has_database() {
        true => Some(Postgres::start_durable(&format!("kills-{}", way.word()))?),
        false => None,
    };
    let folder = folder(way.word());
    let mut machine = Machine::start(&folder, postgres)?;
    let pipelines = hop.prepare(&machine)?;
    machine.apply(&pipelines)?;
    let writing = Writing::begin(hop.writer(&machine, seed)?);
    machine.start_worker()?;
    let killed = kill(&*hop, &mut machine, &writing, kills, &mut Random::new(seed));
    // What the writer has to say is the better reason.
    let input = writing.end();
    let (killed, input) = (killed?, input?);
    let parts = come_to_rest(&*hop, &mut machine, &input)?;
    let outcome = Outcome {
        name: hop.name(),
        killed,
        parts,
        took: begun.elapsed(),
    };
    for part in &outcome.parts {
        let kind = if part.are_dead_letters {
            "dead letters"
        } else {
            "records"
        };
        if part.ledger.violations() > 0 {
            println!(
                "{kind} of {}, what is left is in {}:",
                part.what,
                folder.display()
            );
            print!("{}", part.ledger.told());
        }
    }
    Ok(outcome)
}

type Killed = BTreeMap<Victim, u32>;

fn kill(
    hop: &dyn Hop,
    machine: &mut Machine,
    writing: &Writing,
    kills: u32,
    random: &mut Random,
) -> Result<Killed> {
    let begun = Instant::now();
    let mut killed = Killed::new();
    let (mut done, mut burst, mut has_moved) = (0, 0, false);
    while done < kills {
        interrupt::check()?;
        ensure!(writing.still_writes(), "the writer has ended");
        if burst > 0 {
            burst -= 1;
            std::thread::sleep(random.span_ms(BURST_GAP_MS));
        } else {
            machine.wait_until_up()?;
            let life = if random.below(4) == 0 {
                SHORT_LIFE_MS
            } else {
                LIFE_MS
            };
            std::thread::sleep(random.span_ms(life));
            if random.below(BURST_EACH) == 0 {
                burst = random.between(BURST);
            }
        }
        if !has_moved && done >= kills / 2 {
            has_moved = true;
            machine.move_to(Home::Broker)?;
        }
        let victim = random
            .pick(&machine.victims())
            .copied()
            .context("somebody to kill")?;
        machine.kill(victim)?;
        *killed.entry(victim).or_default() += 1;
        done += 1;
        if done % TOLD_EACH == 0 {
            let seconds = begun.elapsed().as_secs();
            println!("{seconds:>5} s: {}: {done} kills", hop.name());
        }
    }
    machine.wait_until_up()?;
    Ok(killed)
}

/// Waits until what came out is what was put in, or has no hope to become it; then pipelines are stopped, and what is there is what
/// counts.
fn come_to_rest(hop: &dyn Hop, machine: &mut Machine, input: &Input) -> Result<Vec<Part>> {
    let deadline = Instant::now() + REST_LIMIT;
    loop {
        interrupt::check()?;
        machine.wait_until_up()?;
        let parts = hop.compare(machine, input)?;
        let violations: usize = parts.iter().map(|part| part.ledger.violations()).sum();
        let hopeless: usize = parts.iter().map(|part| part.ledger.duplicated).sum();
        if violations == 0 || hopeless > 0 || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(REST_POLL);
    }
    machine.stop_worker()?;
    hop.compare(machine, input)
}

/// What came of the kills on a way.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    killed: Killed,
    parts: Vec<Part>,
    took: Duration,
}

const HEAD: &str = "way                  broker worker postgres   put in  came out   lost  dupl.  wrong  order behind    dead repeated seconds";

impl Outcome {
    fn violations(&self) -> usize {
        self.parts.iter().map(|part| part.ledger.violations()).sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Ledger::default();
        let (mut put, mut came, mut dead) = (0, 0, 0);
        for part in &self.parts {
            let ledger = &part.ledger;
            if part.are_dead_letters {
                dead += ledger.came;
            } else {
                put += ledger.put;
                came += ledger.came;
            }
            all.add(ledger);
        }
        let killed = |victim| self.killed.get(&victim).copied().unwrap_or_default();
        write!(
            formatter,
            "{:<20} {:>6} {:>6} {:>8} {put:>8} {came:>9} {:>6} {:>6} {:>6} {:>6} {:>6} {dead:>7} {:>8} {:>7}",
            self.name,
            killed(Victim::Broker),
            killed(Victim::Worker),
            killed(Victim::Postgres),
            all.lost,
            all.duplicated,
            all.wrong,
            all.disordered,
            all.behind,
            all.repeated,
            self.took.as_secs(),
        )
    }
}
