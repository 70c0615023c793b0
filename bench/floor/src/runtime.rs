//! Spike S7: one multi-thread runtime or several current-thread runtimes with placed connections.
//!
//! Every variant runs the same connection loop: readable, receive into a pooled buffer, CRC32C, pwritev inline, one send for
//! all answers. Connections of the `placed` variants are handed to the runtime that has the fewest.

use std::fs::File;
use std::hint::black_box;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::io::pwritev;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::client::{ACK_BYTES, Plan};
use crate::cost::{Totals, count_syscalls};
use crate::report::{Run, compare};
use crate::scratch::Scratch;
use crate::serve::{BufferPolicy, Frames, io_slices, listen};

/// Compares async runtimes under several producers.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory for the files written; removed after the run.
    #[arg(long)]
    dir: PathBuf,
    /// Producers, one connection each.
    #[arg(long, value_delimiter = ',', default_value = "3")]
    connections: Vec<usize>,
    /// Bytes of a request's records.
    #[arg(long, default_value_t = 16 * 1024)]
    request_bytes: usize,
    /// Requests in flight on each connection.
    #[arg(long, value_delimiter = ',', default_value = "1,5")]
    in_flight: Vec<usize>,
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "threaded2,placed2,placed1,threaded1,blocking"
    )]
    runtime: Vec<Kind>,
    /// Do not write to files: the runtime's share shows more clearly.
    #[arg(long)]
    no_write: bool,
    /// MiB received for each row and round, over all connections.
    #[arg(long, default_value_t = 512)]
    mib: u64,
    /// Rounds, alternately forwards and backwards through the rows.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// tokio's multi-thread runtime, 2 workers.
    Threaded2,
    /// tokio's multi-thread runtime, 1 worker.
    Threaded1,
    /// 2 current-thread runtimes, least-loaded placement.
    Placed2,
    /// 1 current-thread runtime.
    Placed1,
    /// A blocking thread for each connection: no runtime at all.
    Blocking,
}

/// Runs the spike, one table per number of connections and requests in flight.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let scratch = Scratch::create(&arguments.dir)?;
    let variants: Vec<_> = arguments
        .runtime
        .iter()
        .map(|kind| (format!("{kind:?}").to_lowercase(), *kind))
        .collect();
    for &connections in &arguments.connections {
        for &in_flight in &arguments.in_flight {
            let count = (arguments.mib << 20) / arguments.request_bytes as u64 / connections as u64;
            let plan = Plan {
                connections,
                request_bytes: arguments.request_bytes,
                response_bytes: ACK_BYTES,
                in_flight,
                count,
            };
            let title = format!(
                "runtime, {connections} producers, {} B, {in_flight} in flight",
                plan.request_bytes
            );
            compare(&title, arguments.rounds, &variants, |kind| {
                serve(*kind, plan, arguments.no_write, &scratch)
            })?;
        }
    }
    Ok(())
}

/// What all connections of a run share.
struct Service {
    plan: Plan,
    files: Vec<Option<File>>,
    served: AtomicU64,
    open: AtomicUsize,
    all_closed: std::sync::mpsc::SyncSender<()>,
}

fn serve(kind: Kind, plan: Plan, no_write: bool, scratch: &Scratch) -> Result<Run> {
    let files = (0..plan.connections)
        .map(|index| {
            if no_write {
                Ok(None)
            } else {
                scratch.file(&index.to_string()).map(Some)
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let (all_closed, closed) = std::sync::mpsc::sync_channel(1);
    let service = Arc::new(Service {
        plan,
        files,
        served: AtomicU64::new(0),
        open: AtomicUsize::new(plan.connections),
        all_closed,
    });
    let (listener, address) = listen()?;
    let client = plan.start(address)?;
    let cost = match kind {
        Kind::Blocking => serve_blocking(&service, &listener, &closed)?,
        Kind::Threaded1 | Kind::Threaded2 => {
            let workers = if kind == Kind::Threaded1 { 1 } else { 2 };
            let runtime = Builder::new_multi_thread()
                .worker_threads(workers)
                .enable_io()
                .build()?;
            let totals = Totals::read()?;
            let accepting = Arc::clone(&service);
            listener.set_nonblocking(true)?;
            runtime.spawn(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                for index in 0..accepting.plan.connections {
                    let (stream, _) = listener.accept().await?;
                    let service = Arc::clone(&accepting);
                    runtime_of_task().spawn(async move {
                        finish(&service, drive(&service, stream, index).await)
                    });
                }
                Ok::<_, std::io::Error>(())
            });
            closed.recv()?;
            totals.cost_until_now()?
        }
        Kind::Placed1 => serve_placed(&service, listener, &closed, 1)?,
        Kind::Placed2 => serve_placed(&service, listener, &closed, 2)?,
    };
    let load = client.finish()?;
    let served = service.served.load(Ordering::Relaxed);
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

fn runtime_of_task() -> tokio::runtime::Handle {
    tokio::runtime::Handle::current()
}

fn finish(service: &Service, outcome: Result<u64>) {
    match outcome {
        Ok(served) => {
            service.served.fetch_add(served, Ordering::Relaxed);
        }
        Err(error) => eprintln!("floor: a connection failed: {error:#}"),
    }
    if service.open.fetch_sub(1, Ordering::AcqRel) == 1 {
        service
            .all_closed
            .send(())
            .expect("the run waits for this before it drops the receiver");
    }
}

/// The connection loop, the same on every runtime.
async fn drive(service: &Service, stream: tokio::net::TcpStream, index: usize) -> Result<u64> {
    stream.set_nodelay(true)?;
    let mut frames = Frames::new(BufferPolicy::Batched, service.plan.request_bytes)?;
    let (mut served, mut position) = (0, 0);
    loop {
        stream.readable().await?;
        match stream.try_read(frames.room()) {
            Ok(0) => return Ok(served),
            Ok(count) => frames.received(count),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error).context("receiving"),
        }
        let acks = accept_frames(&frames, service.files[index].as_ref(), &mut position)?;
        if acks > 0 {
            let answer = vec![0; acks * ACK_BYTES];
            let mut sent = 0;
            while sent < answer.len() {
                match stream.try_write(&answer[sent..]) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        stream.writable().await?
                    }
                    Err(error) => return Err(error).context("answering"),
                }
            }
            served += acks as u64;
            frames.consume();
        }
    }
}

/// Checks and writes what has arrived in full; returns the number of frames to answer.
fn accept_frames(frames: &Frames, file: Option<&File>, position: &mut u64) -> Result<usize> {
    let payloads = frames.complete()?;
    for payload in &payloads {
        black_box(crc32c::crc32c(payload));
    }
    if let (Some(file), false) = (file, payloads.is_empty()) {
        *position += pwritev(file, &io_slices(&payloads), *position).context("pwritev")? as u64;
    }
    Ok(payloads.len())
}

fn serve_placed(
    service: &Arc<Service>,
    listener: TcpListener,
    closed: &std::sync::mpsc::Receiver<()>,
    runtimes: usize,
) -> Result<crate::cost::Cost> {
    std::thread::scope(|scope| {
        let mut loads = Vec::new();
        let mut stops = Vec::new();
        for _ in 0..runtimes {
            let runtime: Runtime = Builder::new_current_thread().enable_io().build()?;
            loads.push((runtime.handle().clone(), 0_usize));
            let (stop, stopped) = oneshot::channel::<()>();
            stops.push(stop);
            // The runtime outlives its connections, so that its thread is alive when the totals are read.
            scope.spawn(move || runtime.block_on(stopped));
        }
        let totals = Totals::read()?;
        // Connections of a run stay open until its end, so a runtime's load is the number it was given.
        for index in 0..service.plan.connections {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(true)?;
            let (runtime, load) = loads
                .iter_mut()
                .min_by_key(|(_, load)| *load)
                .context("no runtime")?;
            *load += 1;
            let service = Arc::clone(service);
            runtime.spawn(async move {
                let outcome = match tokio::net::TcpStream::from_std(stream) {
                    Ok(stream) => drive(&service, stream, index).await,
                    Err(error) => Err(error.into()),
                };
                finish(&service, outcome);
            });
        }
        closed.recv()?;
        let cost = totals.cost_until_now()?;
        for stop in stops {
            stop.send(())
                .map_err(|()| anyhow::anyhow!("a runtime ended early"))?;
        }
        Ok(cost)
    })
}

fn serve_blocking(
    service: &Arc<Service>,
    listener: &TcpListener,
    closed: &std::sync::mpsc::Receiver<()>,
) -> Result<crate::cost::Cost> {
    std::thread::scope(|scope| {
        let totals = Totals::read()?;
        let mut stops = Vec::new();
        for index in 0..service.plan.connections {
            let (stream, _) = listener.accept()?;
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            stops.push(stop);
            scope.spawn(move || {
                finish(service, drive_blocking(service, &stream, index));
                // Kept alive until the totals are read.
                let _stopped = stopped.recv();
            });
        }
        closed.recv()?;
        let cost = totals.cost_until_now()?;
        drop(stops);
        Ok(cost)
    })
}

fn drive_blocking(service: &Service, stream: &TcpStream, index: usize) -> Result<u64> {
    stream.set_nodelay(true)?;
    let mut frames = Frames::new(BufferPolicy::Batched, service.plan.request_bytes)?;
    let (mut served, mut position) = (0, 0);
    loop {
        count_syscalls(1);
        let (_, count) = rustix::net::recv(
            stream.as_fd(),
            frames.room(),
            rustix::net::RecvFlags::empty(),
        )?;
        if count == 0 {
            return Ok(served);
        }
        frames.received(count);
        let acks = accept_frames(&frames, service.files[index].as_ref(), &mut position)?;
        if acks > 0 {
            count_syscalls(2);
            std::io::Write::write_all(&mut &*stream, &vec![0; acks * ACK_BYTES])?;
            served += acks as u64;
            frames.consume();
        }
    }
}
