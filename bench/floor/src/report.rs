//! Rounds of variants in the order A B B A, and the table of their medians.

use std::io::Write as _;

use anyhow::Result;

use crate::client::Load;
use crate::cost::{Cost, median};

const GIB: f64 = (1_u64 << 30) as f64;

/// One run of one variant.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) cost: Cost,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    /// What the client saw.
    pub(crate) load: Load,
}

/// Runs every variant `rounds` times, forwards and backwards in turn, and prints a row of medians for each.
///
/// The last column is the median over the rounds of the variant's CPU time divided by the first variant's in the same
/// round.
pub(crate) fn compare<V>(
    title: &str,
    rounds: usize,
    variants: &[(String, V)],
    mut run: impl FnMut(&V) -> Result<Run>,
) -> Result<()> {
    let mut runs: Vec<Vec<Run>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..variants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            runs[index].push(run(&variants[index].1)?);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{title}; medians of {rounds} rounds")?;
    writeln!(
        out,
        "{:<34} {:>8} {:>6} {:>6} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>7}",
        "variant",
        "cpu/GiB",
        "user",
        "sys",
        "us/req",
        "sysc/rq",
        "ctxsw/rq",
        "flt/GiB",
        "MiB/s",
        "p50 us",
        "p99 us",
        "ratio"
    )?;
    for (index, (name, _)) in variants.iter().enumerate() {
        let of = |value: &dyn Fn(&Run) -> f64| {
            median(&mut runs[index].iter().map(value).collect::<Vec<_>>())
        };
        let per_gib = |run: &Run| run.cost.cpu.as_secs_f64() * GIB / run.bytes as f64;
        let mut ratios: Vec<f64> = runs[index]
            .iter()
            .zip(&runs[0])
            .map(|(a, b)| per_gib(a) / per_gib(b))
            .collect();
        writeln!(
            out,
            "{:<34} {:>8.3} {:>6.3} {:>6.3} {:>8.2} {:>8.2} {:>8.2} {:>9.0} {:>8.0} {:>8.0} {:>8.0} {:>7.2}",
            name,
            of(&per_gib),
            of(&|run| per_gib(run) * run.cost.user_share),
            of(&|run| per_gib(run) * (1.0 - run.cost.user_share)),
            of(&|run| run.cost.cpu.as_secs_f64() * 1e6 / run.requests as f64),
            of(&|run| run.cost.syscalls as f64 / run.requests as f64),
            of(&|run| run.cost.context_switches as f64 / run.requests as f64),
            of(&|run| run.cost.minor_faults as f64 * GIB / run.bytes as f64),
            of(&|run| run.bytes as f64 / 1_048_576.0 / run.cost.wall.as_secs_f64()),
            of(&|run| run.load.p50_us),
            of(&|run| run.load.p99_us),
            median(&mut ratios),
        )?;
    }
    Ok(())
}
