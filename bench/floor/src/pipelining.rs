//! Spike S8: what requests in flight are worth on one connection when an answer waits for fdatasync.
//!
//! `ordered`: the receiver appends every frame as it arrives and a commit thread syncs whatever has been appended, then sends
//! the answers in order. `muted`: the receiver takes the next frame only after the answer to the last one, as Kafka does.

use std::fs::File;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::fs::fdatasync;
use rustix::io::pwritev;

use crate::client::{ACK_BYTES, Plan};
use crate::cost::{Cost, Totals, count_syscalls};
use crate::report::{Run, compare};
use crate::scratch::Scratch;
use crate::serve::{BufferPolicy, Connection, Frames, io_slices, listen, receive};

/// Measures durable answers on one connection with 1 and more requests in flight.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory for the file written; it decides which disk is measured.
    #[arg(long)]
    dir: PathBuf,
    /// Bytes of a request's records.
    #[arg(long, default_value_t = 16 * 1024)]
    request_bytes: usize,
    /// Requests in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,5")]
    in_flight: Vec<usize>,
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "ordered,muted"
    )]
    mode: Vec<Mode>,
    /// Requests for each row and round.
    #[arg(long, default_value_t = 2_000)]
    count: u64,
    /// Rounds, alternately forwards and backwards through the rows.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Appends go on while a commit runs; answers keep the order.
    Ordered,
    /// One request at a time.
    Muted,
}

/// Runs the spike.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let scratch = Scratch::create(&arguments.dir)?;
    let mut variants = Vec::new();
    for &mode in &arguments.mode {
        for &in_flight in &arguments.in_flight {
            let plan = Plan {
                connections: 1,
                request_bytes: arguments.request_bytes,
                response_bytes: ACK_BYTES,
                in_flight,
                count: arguments.count,
            };
            variants.push((
                format!("{mode:?} in-flight {in_flight}").to_lowercase(),
                (mode, plan),
            ));
        }
    }
    let title = format!(
        "pipelining, {} B requests, answered after fdatasync",
        arguments.request_bytes
    );
    compare(&title, arguments.rounds, &variants, |(mode, plan)| {
        serve(*mode, *plan, &scratch)
    })
}

fn serve(mode: Mode, plan: Plan, scratch: &Scratch) -> Result<Run> {
    let file = scratch.file("segment")?;
    let (listener, address) = listen()?;
    let client = plan.start(address)?;
    let connection = Connection::accept(&listener)?;
    let (served, cost) = match mode {
        Mode::Ordered => serve_ordered(&connection, plan, &file)?,
        Mode::Muted => serve_muted(&connection, plan, &file)?,
    };
    let load = client.finish()?;
    ensure!(
        served == plan.requests(),
        "{served} of {} requests were served",
        plan.requests()
    );
    Ok(Run {
        cost,
        requests: served,
        bytes: served * plan.request_bytes as u64,
        load,
    })
}

fn append(file: &File, payloads: &[&[u8]], position: &mut u64) -> Result<()> {
    for payload in payloads {
        black_box(crc32c::crc32c(payload));
    }
    count_syscalls(1);
    *position += pwritev(file, &io_slices(payloads), *position).context("pwritev")? as u64;
    Ok(())
}

fn commit(file: &File) -> Result<()> {
    count_syscalls(1);
    fdatasync(file).context("fdatasync")
}

fn serve_muted(connection: &Connection, plan: Plan, file: &File) -> Result<(u64, Cost)> {
    let mut frames = Frames::new(BufferPolicy::Pooled, plan.request_bytes)?;
    let (mut served, mut position) = (0, 0);
    let totals = Totals::read()?;
    while receive(connection, &mut frames)? > 0 {
        let payloads = frames.complete()?;
        if payloads.is_empty() {
            continue;
        }
        append(file, &payloads, &mut position)?;
        commit(file)?;
        connection.send_acks(payloads.len())?;
        served += payloads.len() as u64;
        frames.consume();
    }
    Ok((served, totals.cost_until_now()?))
}

fn serve_ordered(connection: &Connection, plan: Plan, file: &File) -> Result<(u64, Cost)> {
    let mut frames = Frames::new(BufferPolicy::Batched, plan.request_bytes)?;
    let (tickets, pending) = mpsc::channel::<usize>();
    let (done, finished) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let committer = scope.spawn(move || -> Result<u64> {
            let mut served = 0;
            while let Ok(first) = pending.recv() {
                // Everything appended before this commit starts is covered by it.
                let acks = first + pending.try_iter().sum::<usize>();
                commit(file)?;
                connection.send_acks(acks)?;
                served += acks as u64;
            }
            finished.recv()?;
            Ok(served)
        });
        let totals = Totals::read()?;
        let mut position = 0;
        while receive(connection, &mut frames)? > 0 {
            let payloads = frames.complete()?;
            if payloads.is_empty() {
                continue;
            }
            append(file, &payloads, &mut position)?;
            tickets
                .send(payloads.len())
                .context("the commit thread has ended")?;
            frames.consume();
        }
        drop(tickets);
        let cost = totals.cost_until_now()?;
        done.send(())?;
        let served = committer
            .join()
            .map_err(|_panic| anyhow::anyhow!("the commit thread panicked"))??;
        Ok((served, cost))
    })
}
