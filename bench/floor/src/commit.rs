//! Spike S3: what a group commit window costs at a number of dirty files, by the way it is synced and the way files grow.
//!
//! In each window every file gets `--bytes` appended, then the window is synced. Only the sync is timed. `shared` writes the
//! same bytes into a single file instead: the price of one log for all partitions.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::fs::{FallocateFlags, fallocate, fdatasync, ftruncate, syncfs};
use rustix::io::pwrite;

use crate::cost::{Totals, median, now, quantile};
use crate::scratch::Scratch;

/// Measures a commit window: files are appended to, then made durable together.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory for temporary files; it decides which disk and file system are measured.
    #[arg(long)]
    dir: PathBuf,
    /// Files written in each window.
    #[arg(long, value_delimiter = ',', default_value = "1,8,100,1000")]
    files: Vec<usize>,
    /// Ways to sync a window.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "each,parallel,syncfs,shared"
    )]
    method: Vec<Method>,
    /// Ways a file gets its space.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "grow,extend,allocate,written"
    )]
    space: Vec<Space>,
    /// Bytes appended to each file in each window.
    #[arg(long, default_value_t = 16 * 1024)]
    bytes: usize,
    /// Threads of the parallel method.
    #[arg(long, default_value_t = 8)]
    threads: usize,
    /// Windows measured for each row.
    #[arg(long, default_value_t = 21)]
    windows: usize,
    /// MiB written to a file of somebody else in each window, which only syncfs waits for.
    #[arg(long, default_value_t = 0)]
    foreign_mib: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// fdatasync of one file after the other.
    Each,
    /// fdatasync by several threads, each with its share of the files.
    Parallel,
    /// One syncfs for the whole file system.
    Syncfs,
    /// All bytes in one file, one fdatasync.
    Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Space {
    /// Nothing reserved: each append moves the end of the file.
    Grow,
    /// ftruncate to the final size: a hole, the end of the file stays.
    Extend,
    /// fallocate to the final size: blocks reserved, marked unwritten.
    Allocate,
    /// Written with zeros and synced before: only data moves. The bound, not a proposal.
    Written,
}

/// Runs the spike and prints a row for every combination.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "commit: {} B per file and window, {} windows",
        arguments.bytes, arguments.windows
    )?;
    writeln!(
        out,
        "{:>6} {:<10} {:<9} {:>9} {:>9} {:>9} {:>11} {:>10}",
        "files", "method", "space", "p50 ms", "p90 ms", "max ms", "cpu us/win", "us/file"
    )?;
    for &files in &arguments.files {
        for &method in &arguments.method {
            for &space in &arguments.space {
                let row = measure(arguments, files, method, space)?;
                let mut times = row.sync_ms;
                let p50 = median(&mut times);
                writeln!(
                    out,
                    "{:>6} {:<10} {:<9} {:>9.2} {:>9.2} {:>9.2} {:>11.0} {:>10.1}",
                    files,
                    format!("{method:?}").to_lowercase(),
                    format!("{space:?}").to_lowercase(),
                    p50,
                    quantile(&mut times, 0.9),
                    quantile(&mut times, 1.0),
                    row.sync_cpu_us,
                    p50 * 1000.0 / files as f64
                )?;
            }
        }
    }
    Ok(())
}

struct Row {
    sync_ms: Vec<f64>,
    /// Mean CPU time of this process per window, in the sync only.
    sync_cpu_us: f64,
}

fn measure(arguments: &Arguments, files: usize, method: Method, space: Space) -> Result<Row> {
    let scratch = Scratch::create(&arguments.dir)?;
    let shared = method == Method::Shared;
    let (count, bytes) = if shared {
        (1, arguments.bytes * files)
    } else {
        (files, arguments.bytes)
    };
    let handles = (0..count)
        .map(|index| scratch.file(&index.to_string()))
        .collect::<Result<Vec<_>>>()?;
    let capacity = (bytes * (arguments.windows + 1)) as u64;
    let payload: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
    for file in &handles {
        reserve(file, space, capacity)?;
    }
    let foreign = scratch.file("foreign")?;
    let foreign_payload = vec![7; 1 << 20];
    syncfs(&foreign).context("syncing the directory before the run")?;

    let mut sync_ms = Vec::new();
    let mut cpu_us = 0.0;
    // The first window is not measured: it creates journal and inode state that all later ones reuse.
    for window in 0..=arguments.windows {
        for file in &handles {
            write_all_at(file, &payload, (window * bytes) as u64)?;
        }
        for mib in 0..arguments.foreign_mib {
            write_all_at(&foreign, &foreign_payload, (mib as u64) << 20)?;
        }
        let totals = Totals::read()?;
        let start = now();
        sync(&handles, method, arguments.threads)?;
        let took = start.elapsed();
        if window > 0 {
            sync_ms.push(took.as_secs_f64() * 1e3);
            cpu_us += totals.cost_until_now()?.cpu.as_secs_f64() * 1e6 / arguments.windows as f64;
        }
    }
    Ok(Row {
        sync_ms,
        sync_cpu_us: cpu_us,
    })
}

fn reserve(file: &File, space: Space, capacity: u64) -> Result<()> {
    match space {
        Space::Grow => {}
        Space::Extend => ftruncate(file, capacity).context("extending a file")?,
        Space::Allocate => {
            fallocate(file, FallocateFlags::empty(), 0, capacity).context("allocating a file")?
        }
        Space::Written => {
            let zeros = vec![0; usize::try_from(capacity).context("the file is too large")?];
            write_all_at(file, &zeros, 0)?;
        }
    }
    Ok(())
}

fn sync(files: &[File], method: Method, threads: usize) -> Result<()> {
    match method {
        Method::Each | Method::Shared => {
            for file in files {
                fdatasync(file).context("fdatasync")?;
            }
        }
        Method::Syncfs => syncfs(&files[0]).context("syncfs")?,
        Method::Parallel => std::thread::scope(|scope| -> Result<()> {
            let share = files.len().div_ceil(threads);
            let workers: Vec<_> = files
                .chunks(share)
                .map(|chunk| scope.spawn(move || chunk.iter().try_for_each(fdatasync)))
                .collect();
            for worker in workers {
                worker
                    .join()
                    .map_err(|_panic| anyhow::anyhow!("a sync thread panicked"))?
                    .context("fdatasync")?;
            }
            Ok(())
        })?,
    }
    Ok(())
}

/// Writes all of `payload` at `offset`.
pub(crate) fn write_all_at(file: &File, mut payload: &[u8], mut offset: u64) -> Result<()> {
    while !payload.is_empty() {
        let written = pwrite(file, payload, offset).context("writing")?;
        payload = &payload[written..];
        offset += written as u64;
    }
    Ok(())
}
