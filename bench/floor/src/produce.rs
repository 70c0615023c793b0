//! Spikes S1 and S2: the floor of a produce request and what its buffers and its write cost.
//!
//! One connection; for every frame: receive, CRC32C over the payload, positional write to a growing file, an answer of
//! [`ACK_BYTES`](crate::client::ACK_BYTES) bytes. Nothing is synced: this is the floor of an ack from the page cache.

use std::fs::File;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::io::pwritev;

use crate::client::Plan;
use crate::commit::write_all_at;
use crate::cost::{Totals, count_syscalls};
use crate::report::{Run, compare};
use crate::scratch::Scratch;
use crate::serve::{BufferPolicy, Connection, Frames, PREFIX_BYTES, io_slices, listen, receive};

/// Receives requests over one connection, checks, writes and answers them.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory for the file written; removed after the run.
    #[arg(long)]
    dir: PathBuf,
    /// Bytes of a request's records.
    #[arg(long, value_delimiter = ',', default_value = "1048576,16384,1024")]
    request_bytes: Vec<usize>,
    /// Requests in flight on the connection.
    #[arg(long, value_delimiter = ',', default_value = "5")]
    in_flight: Vec<usize>,
    /// Where received bytes land.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "batched")]
    buffer: Vec<BufferPolicy>,
    /// Who writes to the file.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "inline")]
    write: Vec<Writer>,
    /// MiB received for each row and round; a quarter of it at 1 KiB requests and below.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Rounds, alternately forwards and backwards through the rows.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Writer {
    /// The thread that received.
    Inline,
    /// Another thread, which also answers, so that the way back is free: a bound in favour of offloading.
    Offload,
    /// Nobody: receive, check and answer only.
    None,
}

#[derive(Debug, Clone, Copy)]
struct Variant {
    plan: Plan,
    buffer: BufferPolicy,
    write: Writer,
}

/// Runs the spike, one table per request size.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let scratch = Scratch::create(&arguments.dir)?;
    for &request_bytes in &arguments.request_bytes {
        let mib = if request_bytes <= 1024 {
            arguments.mib.div_ceil(4)
        } else {
            arguments.mib
        };
        let count = (mib << 20) / request_bytes as u64;
        let mut variants = Vec::new();
        for &buffer in &arguments.buffer {
            for &write in &arguments.write {
                for &in_flight in &arguments.in_flight {
                    let response_bytes = crate::client::ACK_BYTES;
                    let plan = Plan {
                        connections: 1,
                        request_bytes,
                        response_bytes,
                        in_flight,
                        count,
                    };
                    let name = format!("{buffer:?} {write:?} in-flight {in_flight}").to_lowercase();
                    variants.push((
                        name,
                        Variant {
                            plan,
                            buffer,
                            write,
                        },
                    ));
                }
            }
        }
        compare(
            &format!("produce, {request_bytes} B requests"),
            arguments.rounds,
            &variants,
            |variant| serve(variant, &scratch),
        )?;
    }
    Ok(())
}

fn serve(variant: &Variant, scratch: &Scratch) -> Result<Run> {
    let one_frame_a_time = variant.buffer != BufferPolicy::Batched;
    ensure!(
        variant.write != Writer::Offload || one_frame_a_time,
        "offload hands over one frame at a time: use --buffer pooled"
    );
    let file = scratch.file("segment")?;
    let (listener, address) = listen()?;
    let client = variant.plan.start(address)?;
    let connection = Connection::accept(&listener)?;
    let frames = Frames::new(variant.buffer, variant.plan.request_bytes)?;
    let totals = Totals::read()?;
    let (served, cost) = match variant.write {
        Writer::Offload => serve_offloaded(&connection, frames, &file, totals)?,
        Writer::Inline => (
            serve_inline(&connection, frames, Some(&file))?,
            totals.cost_until_now()?,
        ),
        Writer::None => (
            serve_inline(&connection, frames, None)?,
            totals.cost_until_now()?,
        ),
    };
    let load = client.finish()?;
    let requests = variant.plan.requests();
    ensure!(
        served == requests,
        "{served} of {requests} requests were served"
    );
    Ok(Run {
        cost,
        requests,
        bytes: requests * variant.plan.request_bytes as u64,
        load,
    })
}

fn serve_inline(connection: &Connection, mut frames: Frames, file: Option<&File>) -> Result<u64> {
    let (mut served, mut position) = (0, 0);
    while receive(connection, &mut frames)? > 0 {
        let payloads = frames.complete()?;
        if payloads.is_empty() {
            continue;
        }
        for payload in &payloads {
            black_box(crc32c::crc32c(payload));
        }
        if let Some(file) = file {
            position += write_vectored(file, &payloads, position)?;
        }
        connection.send_acks(payloads.len())?;
        served += payloads.len() as u64;
        frames.consume();
    }
    Ok(served)
}

fn write_vectored(file: &File, payloads: &[&[u8]], position: u64) -> Result<u64> {
    let total: usize = payloads.iter().map(|payload| payload.len()).sum();
    count_syscalls(1);
    let written = pwritev(file, &io_slices(payloads), position).context("pwritev")?;
    ensure!(written == total, "a write to the page cache was cut short");
    Ok(written as u64)
}

fn serve_offloaded(
    connection: &Connection,
    mut frames: Frames,
    file: &File,
    totals: Totals,
) -> Result<(u64, crate::cost::Cost)> {
    let frame_bytes = frames.frame_bytes();
    let (to_writer, work) = mpsc::channel::<Vec<u8>>();
    let (to_pool, pool) = mpsc::channel::<Vec<u8>>();
    let (done, finished) = mpsc::channel();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<u64> {
            let (mut served, mut position) = (0, 0);
            for frame in work {
                write_all_at(file, &frame[PREFIX_BYTES..], position)?;
                count_syscalls(1);
                position += (frame.len() - PREFIX_BYTES) as u64;
                connection.send_acks(1)?;
                served += 1;
                // The receiver has gone once the stream has ended; its pool then needs nothing back.
                drop(to_pool.send(frame));
            }
            // Kept alive until the totals are read: an ended thread's context switches are not listed.
            finished.recv()?;
            Ok(served)
        });
        while receive(connection, &mut frames)? > 0 {
            if let Some(payload) = frames.complete()?.first() {
                black_box(crc32c::crc32c(payload));
                let next = pool
                    .try_recv()
                    .unwrap_or_else(|_empty| vec![0; frame_bytes]);
                to_writer
                    .send(frames.replace(next))
                    .context("the writer has ended")?;
            }
        }
        drop(to_writer);
        let cost = totals.cost_until_now()?;
        done.send(())?;
        let served = writer
            .join()
            .map_err(|_panic| anyhow::anyhow!("the writer panicked"))??;
        Ok((served, cost))
    })
}
