//! The floor program: what this machine charges for the single steps of produce, fetch and commit.
//!
//! Every subcommand does a bounded amount of work over loopback and in a directory of its own below `--dir`, removes what
//! it wrote, and prints one row per variant. Load comes from a child process running the same binary (`floor client`), so
//! that CPU time read for this process is the server's alone. Variants are run in the order A B B A, and a row shows
//! medians over the rounds: on a shared machine a single run says little.

mod client;
mod commit;
mod cores;
mod cost;
mod fetch;
mod pipelining;
mod probe;
mod produce;
mod report;
mod runtime;
mod scratch;
mod serve;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the physical floor of a broker's work on this machine.
///
/// Rows give CPU seconds of this process per GiB moved, split into user and system time, and counts per request. Counts do
/// not move with noise; times do, so compare rows of one run with each other and not with another machine's.
#[derive(Debug, Parser)]
#[command(name = "floor", version, max_term_width = 100)]
struct Arguments {
    /// Where this process and its client run.
    #[arg(long, global = true, value_enum, default_value = "free")]
    cores: cores::Placement,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Produce(produce::Arguments),
    Fetch(fetch::Arguments),
    Commit(commit::Arguments),
    Probe(probe::Arguments),
    Runtime(runtime::Arguments),
    Pipelining(pipelining::Arguments),
    #[command(hide = true)]
    Client(client::Arguments),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Command::Client(_) => arguments.cores.place_client()?,
        _ => arguments.cores.place_server()?,
    }
    match arguments.command {
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Commit(arguments) => commit::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Runtime(arguments) => runtime::run(&arguments),
        Command::Pipelining(arguments) => pipelining::run(&arguments),
        Command::Client(arguments) => client::run(&arguments),
    }
}
