//! The `watertable` command line: the broker, and the commands that work with it or with any other Kafka-compatible broker.
//! `main.rs` only chooses the allocator.

mod arguments;
mod commands;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod histogram;
mod http;
mod logging;
mod metrics;
mod moment;
mod output;
mod own_broker;
mod pipelines;
mod process;
mod progress;
mod record_json;
mod report;
mod session;
mod settings;
mod sql;

use std::process::ExitCode;

use clap::Parser;

/// Does what the process's arguments say. `give_back_memory` has the allocator give freed memory back to the system.
pub fn run(give_back_memory: fn()) -> ExitCode {
    let cli = commands::Cli::parse();
    let json = cli.command.wants_json();
    let failure = cli.command.failure_status();
    report::exit_code(cli.command.run(give_back_memory), json, failure)
}
