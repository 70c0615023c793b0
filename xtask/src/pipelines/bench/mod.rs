//! `cargo xtask pipelines bench`: what pipelines cost, and what they do to those who share the broker with them.
//!
//! | File | Owns |
//! |---|---|
//! | `stage` | the processes: broker, worker; the commands and questions that they are asked |
//! | `moves` | the records that are read, and what has to come of them |
//! | `speed` | records a second and CPU of topic → topic, beside a job in Python and Benthos |
//! | `idle` | memory and CPU of pipelines that have nothing to do |
//! | `handover` | how long nothing comes out while a version takes over from the one before |
//! | `validate` | how long `pipeline validate` takes over many files |
//! | `latency` | what producers notice of a pipeline that reads what has long been there |
//! | `page` | tables, and their place in `docs/performance.md` |
//!
//! Each figure has the load of the machine beside it. A figure is only written down where the result was checked first: what came
//! out is counted, of every slice.

mod handover;
mod idle;
mod latency;
mod moves;
mod page;
mod speed;
mod stage;
mod validate;

use anyhow::Result;
use clap::ValueEnum;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct BenchArguments {
    /// What to measure; all of it if absent
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
    /// Records that topic → topic reads
    #[arg(long, default_value_t = 3_000_000)]
    records: u64,
    /// Slices of each side that is compared
    #[arg(long, default_value_t = 3)]
    slices: usize,
    /// Versions that are applied one after the other
    #[arg(long, default_value_t = 40)]
    versions: usize,
    /// Pipelines that have nothing to do
    #[arg(long, default_value_t = 50)]
    idle: usize,
    /// Files that are validated
    #[arg(long, default_value_t = 200)]
    files: usize,
    /// Show tables only, leave docs/performance.md as it is
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    Speed,
    Idle,
    Handover,
    Validate,
    P99,
}

pub(super) fn run(arguments: &BenchArguments) -> Result<()> {
    let figures = match arguments.only.as_slice() {
        [] => Figure::value_variants(),
        some => some,
    };
    for figure in figures {
        let section = match figure {
            Figure::Speed => speed::measure(arguments)?,
            Figure::Idle => idle::measure(arguments)?,
            Figure::Handover => handover::measure(arguments)?,
            Figure::Validate => validate::measure(arguments)?,
            Figure::P99 => latency::measure(arguments)?,
        };
        page::publish(&section, arguments.dry_run)?;
    }
    Ok(())
}
