//! `cargo xtask bench`: Watertable beside the pinned Apache Kafka, one machine, one run.
//!
//! The broker process is what is measured; clients are Kafka's own performance tools, the same build for both. Slices are
//! interleaved A B B A. A figure is only compared within its durability class: C, acked from the page cache, and D, acked
//! after the disk has it. Results are written between markers of `docs/performance.md`, so that a table there is always one
//! that a command has made.

pub(crate) mod counters;
mod memory;
mod peer;
pub(crate) mod report;
mod restart;
mod syscalls;
mod throughput;
pub(crate) mod wire;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::workspace;
use peer::Peer;

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// All figures below, written to docs/performance.md
    Figures(Options),
    /// CPU, syscalls and faults of produce and consume, 1 MiB and 16 KiB batches, classes C and D
    Throughput(Options),
    /// Syscalls of a lone produce request
    Requests(Options),
    /// Start-up to the first ApiVersions, memory empty and with 10,000 partitions
    Memory(Options),
    /// kill -9 with 1 and 16 GiB of log: time and bytes read to the first ack
    Restart(Options),
}

#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Options {
    /// Folder for the brokers' data; needs room for twice the largest log [default: in the target folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The broker to measure; built with `cargo build --release` if not given
    #[arg(long)]
    watertable: Option<PathBuf>,
    /// Measure only one of the two
    #[arg(long, value_enum)]
    only: Option<Peer>,
    /// GiB produced and consumed in a slice
    #[arg(long, default_value_t = 1.0)]
    gib: f64,
    /// Slices of each peer and row, one more runs first to warm up
    #[arg(long, default_value_t = 5)]
    slices: usize,
    /// Sizes of the log for the restart, in GiB
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    restart_gib: Vec<f64>,
    /// Partitions for the memory figure
    #[arg(long, default_value_t = 10_000)]
    partitions: usize,
    /// Show tables only, leave docs/performance.md as it is
    #[arg(long)]
    dry_run: bool,
}

impl Options {
    fn peers(&self) -> Vec<Peer> {
        self.only
            .map_or_else(|| vec![Peer::Watertable, Peer::Kafka], |peer| vec![peer])
    }

    fn data_dir(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| workspace::target().join("xtask/bench"))
    }
}

pub(crate) fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Figures(options) => {
            report::publish(options, &memory::measure(options)?)?;
            report::publish(options, &throughput::measure(options)?)?;
            report::publish(options, &throughput::measure_lone_requests(options)?)?;
            report::publish(options, &restart::measure(options)?)
        }
        BenchCommand::Throughput(options) => {
            report::publish(options, &throughput::measure(options)?)
        }
        BenchCommand::Requests(options) => {
            report::publish(options, &throughput::measure_lone_requests(options)?)
        }
        BenchCommand::Memory(options) => report::publish(options, &memory::measure(options)?),
        BenchCommand::Restart(options) => report::publish(options, &restart::measure(options)?),
    }
}
