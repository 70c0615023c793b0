//! The `watertable` binary: the broker, and the commands that work with it or with any other Kafka-compatible broker.

mod arguments;
mod commands;
mod format;
mod histogram;
mod http;
mod logging;
mod metrics;
mod moment;
mod output;
mod process;
mod progress;
mod record_json;
mod report;
mod session;
mod settings;

use std::process::ExitCode;

use clap::Parser;

/// glibc's allocator keeps memory that threads gave back; a broker that runs for months shows it.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let json = cli.command.wants_json();
    let failure = cli.command.failure_status();
    report::exit_code(cli.command.run(), json, failure)
}
