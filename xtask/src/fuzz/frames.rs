//! `cargo xtask fuzz frames`: hostile frames over all decoders of the protocol, in release, with the memory of each counted.
//! Without coverage, so that everything follows from the seed.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{process, workspace};

#[derive(Args)]
pub(crate) struct FramesArguments {
    /// How many frames
    #[arg(long, default_value_t = 10_000_000)]
    frames: u64,
    /// What everything follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first frame, to repeat one that was complained about
    #[arg(long, default_value_t = 0)]
    first: u64,
}

pub(super) fn run(arguments: &FramesArguments) -> Result<()> {
    process::run(
        Command::new(env!("CARGO"))
            .current_dir(workspace::root())
            .args([
                "test",
                "--quiet",
                "--release",
                "--package",
                "protocol",
                "--test",
                "fuzz_frames",
                "--",
            ])
            .args(["--frames", &arguments.frames.to_string()])
            .args(["--seed", &arguments.seed.to_string()])
            .args(["--first", &arguments.first.to_string()]),
    )
}
