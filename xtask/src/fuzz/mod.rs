//! `cargo xtask fuzz`: the targets of `crates/fuzzing` under libFuzzer, guided by coverage, on the ordinary compiler.
//!
//! The corpus of each target is under the target folder and grows from run to run; seed inputs come from code. An input
//! that a target does not hold for is kept beside it, and `replay` runs it again.

mod build;
mod frames;
mod run;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz list
  cargo xtask fuzz run checkpoint --minutes 5
  cargo xtask fuzz run all --minutes 60
  cargo xtask fuzz replay checkpoint target/fuzz/failures/checkpoint/crash-2f0…
  cargo xtask fuzz frames --frames 10000000

Targets are in crates/fuzzing/src/targets. `cargo test -p fuzzing` runs each over its seeds and some mutations.")]
pub(crate) enum FuzzCommand {
    /// What is fuzzed, and what must hold
    List,
    /// Fuzz one target, or all one after another, guided by coverage
    Run(run::RunArguments),
    /// Run a target over one input, to see what goes wrong
    Replay(run::ReplayArguments),
    /// Hostile frames over all decoders of the protocol, with memory counted, without coverage
    Frames(frames::FramesArguments),
}

pub(crate) fn run(command: &FuzzCommand) -> Result<()> {
    match command {
        FuzzCommand::List => run::list(),
        FuzzCommand::Run(arguments) => run::run(arguments),
        FuzzCommand::Replay(arguments) => run::replay(arguments),
        FuzzCommand::Frames(arguments) => frames::run(arguments),
    }
}
