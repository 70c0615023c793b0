//! `cargo xtask pipelines`: what pipelines promise, while everything that they live with is killed.
//!
//! | File | Owns |
//! |---|---|
//! | `bench` | what pipelines cost, beside others |
//! | `kills` | kills at random moments, and the table of what came of it |
//! | `fencing` | two workers for one pipeline, on purpose |
//! | `machine` | the processes: broker, worker, PostgreSQL |
//! | `files`, `rows`, `topics`, `table` | one way each: what is put in, the pipelines, what should come out |
//! | `produce`, `records` | lines into topics, and what lies in them |
//! | `ledger` | what was put in beside what came out |

mod bench;
mod fencing;
mod files;
mod kills;
mod ledger;
mod machine;
mod produce;
mod records;
mod rows;
mod table;
mod topics;

use crate::workspace;
use anyhow::Result;
use ledger::{Ledger, Put};
use machine::Machine;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use kills::run_short;

/// The environment that pipelines run in: its topics have the names of the files.
const ENVIRONMENT: &str = "prod";
/// A process that takes longer to come up counts as one that never does.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How pipelines run: soon again after each failure, or kills would mostly hit pipelines that wait.
const RETRY: &str = "run: { continuous: true, retry: { backoff: 50ms..400ms } }";
/// Between two rounds of input.
const ROUND: Duration = Duration::from_millis(30);

#[derive(clap::Subcommand, Debug)]
pub(crate) enum PipelinesCommand {
    /// Brokers, workers and databases killed at random moments; what comes out is compared with what was put in
    Kills(kills::KillsArguments),
    /// Two workers for one pipeline: the older one is fenced, and nothing comes twice
    Fencing(fencing::FencingArguments),
    /// Speed, memory, pauses and latencies, beside others; writes docs/performance.md
    Bench(bench::BenchArguments),
}

pub(crate) fn run(command: &PipelinesCommand) -> Result<()> {
    crate::interrupt::note_signals()?;
    match command {
        PipelinesCommand::Kills(arguments) => kills::run(arguments),
        PipelinesCommand::Fencing(arguments) => fencing::run(arguments),
        PipelinesCommand::Bench(arguments) => bench::run(arguments),
    }
}

/// The folder of a run, which stays when it fails.
fn folder(name: &str) -> PathBuf {
    workspace::target().join(format!("xtask/run-pipelines-{name}"))
}

/// A way through pipelines with what it promises.
trait Hop {
    /// As the table of guarantees calls it.
    fn name(&self) -> &'static str;

    /// Whether it needs a PostgreSQL, which is killed too.
    fn has_database(&self) -> bool {
        false
    }

    /// Makes what is read, and returns the files of the pipelines with their names.
    fn prepare(&self, machine: &Machine) -> Result<Vec<(&'static str, String)>>;

    /// A number that grows with what comes out, and is quickly known.
    fn progress(&self, machine: &Machine) -> Result<i64>;

    /// Whoever puts records in.
    fn writer(&self, machine: &Machine, seed: u64) -> Result<Box<dyn Writer>>;

    /// What came out so far beside what was put in. Whoever reads what is there while it moves may find violations that are none in
    /// the end.
    fn compare(&self, machine: &Machine, input: &Input) -> Result<Vec<Part>>;
}

/// Puts records in.
trait Writer: Send {
    /// One round of them. What is killed meanwhile is no error.
    fn write(&mut self) -> Result<()>;

    /// Waits until they are where they should be.
    fn finish(&mut self) -> Result<Input>;
}

/// What was put in, where nothing else remembers it.
#[derive(Debug, Default)]
struct Input {
    records: BTreeMap<String, Put>,
    /// Those that have to become dead letters, by the keys of these.
    bad: BTreeMap<String, Put>,
}

/// A comparison, of records or of dead letters.
#[derive(Debug)]
struct Part {
    what: &'static str,
    ledger: Ledger,
    are_dead_letters: bool,
}

impl Part {
    fn records(what: &'static str, ledger: Ledger) -> Self {
        Self {
            what,
            ledger,
            are_dead_letters: false,
        }
    }

    fn dead(what: &'static str, ledger: Ledger) -> Self {
        Self {
            what,
            ledger,
            are_dead_letters: true,
        }
    }
}

/// A writer on a thread of its own, that goes on until it is ended.
struct Writing {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<Input>>,
}

impl Writing {
    fn begin(mut writer: Box<dyn Writer>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                writer.write()?;
                std::thread::sleep(ROUND);
            }
            writer.finish()
        });
        Self { ends, thread }
    }

    fn still_writes(&self) -> bool {
        !self.thread.is_finished()
    }

    fn end(self) -> Result<Input> {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.unwrap_or_else(|_panic| anyhow::bail!("the writer panicked"))
    }
}
