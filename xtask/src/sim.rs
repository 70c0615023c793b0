//! `cargo xtask sim`: the broker on a simulated machine, seed by seed.

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::workspace;

#[derive(clap::Args, Debug)]
pub(crate) struct SimArguments {
    /// Checks instead that every planted bug is found
    #[arg(long, conflicts_with = "arguments")]
    planted: bool,
    /// As the simulation takes them: --seed N, --seeds N, --from N, --twice, --first, --history FILE, --trace FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &SimArguments) -> Result<()> {
    if arguments.planted {
        return find_planted();
    }
    let mut command = cargo();
    command.args(["run", "--release", "--locked", "--quiet", "-p", "sim", "--"]);
    process::run(command.args(&arguments.arguments))
}

/// Whether the simulation finds every bug that can be planted.
pub(crate) fn find_planted() -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--release", "--locked", "-p", "sim"]);
    command.args(["--features", "planted", "--test", "planted"]);
    process::run(command.args(["--", "--nocapture"]))
}

fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace::root());
    command
}
