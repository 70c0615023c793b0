//! Spike S4: which probe for cached pages is cheap enough for every sendfile, and does it keep the tail quick.
//!
//! First the price of one probe; then a reactor that echoes small requests while it also serves a backfill of pages that are
//! not cached: sendfile at once, or probe first and read ahead on another thread.

use std::fs::File;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Advice, fadvise, fdatasync, sendfile};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use crate::client::{ACK_BYTES, Plan};
use crate::commit::write_all_at;
use crate::cost::{Totals, median, now, quantile};
use crate::scratch::Scratch;
use crate::serve::listen;

/// Measures probes for cached pages, and a reactor that serves a cold backfill with and without one.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory for the file read; removed after the run.
    #[arg(long)]
    dir: PathBuf,
    /// Size of the file.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Bytes of each sendfile.
    #[arg(long, value_delimiter = ',', default_value = "65536,1048576")]
    chunk_bytes: Vec<usize>,
    /// Rounds, alternately forwards and backwards through the rows.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// How a reactor decides that a range may be sent without blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Probe {
    None,
    /// preadv2(RWF_NOWAIT) of the range's first byte.
    FirstByte,
    /// preadv2(RWF_NOWAIT) of its first and its last byte.
    BothEnds,
    /// cachestat of the range.
    Cachestat,
}

const PROBES: [Probe; 4] = [
    Probe::None,
    Probe::FirstByte,
    Probe::BothEnds,
    Probe::Cachestat,
];

/// Runs the spike.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let scratch = Scratch::create(&arguments.dir)?;
    let file = scratch.file("segment")?;
    let payload: Vec<u8> = (0..1 << 20).map(|index| (index % 251) as u8).collect();
    for mib in 0..arguments.mib {
        write_all_at(&file, &payload, mib << 20)?;
    }
    fdatasync(&file)?;
    let length = arguments.mib << 20;
    print_cold_state(&file, length)?;
    for &chunk in &arguments.chunk_bytes {
        print_probe_costs(&file, length, chunk, arguments.rounds)?;
    }
    for &chunk in &arguments.chunk_bytes {
        print_backfill(&file, length, chunk, arguments.rounds)?;
    }
    Ok(())
}

fn evict(file: &File, length: u64) -> Result<()> {
    fadvise(file, 0, std::num::NonZeroU64::new(length), Advice::DontNeed)
        .context("fadvise DONTNEED")
}

/// True if the probe finds the range cached. `None` answers yes.
fn is_cached(probe: Probe, file: &File, offset: u64, bytes: usize) -> Result<bool> {
    match probe {
        Probe::None => Ok(true),
        Probe::FirstByte => byte_is_cached(file, offset),
        Probe::BothEnds => {
            Ok(byte_is_cached(file, offset)? && byte_is_cached(file, offset + bytes as u64 - 1)?)
        }
        Probe::Cachestat => {
            Ok(cached_pages(file, offset, bytes as u64)? >= (bytes as u64).div_ceil(4096))
        }
    }
}

fn byte_is_cached(file: &File, offset: u64) -> Result<bool> {
    let mut byte = [0];
    match preadv2(
        file,
        &mut [IoSliceMut::new(&mut byte)],
        offset,
        ReadWriteFlags::NOWAIT,
    ) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(error) => Err(error).context("preadv2(RWF_NOWAIT)"),
    }
}

/// Pages of the range in the page cache, by cachestat(2) (Linux 6.5).
#[allow(unsafe_code, reason = "neither std nor rustix offers cachestat")]
fn cached_pages(file: &File, offset: u64, bytes: u64) -> Result<u64> {
    const SYS_CACHESTAT: i64 = 451;
    // struct cachestat_range and struct cachestat of linux/mman.h.
    let range = [offset, bytes];
    let mut answer = [0_u64; 5];
    unsafe extern "C" {
        fn syscall(number: i64, ...) -> i64;
    }
    // SAFETY: both pointers are to arrays of the size the kernel reads and writes, alive during the call.
    let result = unsafe {
        syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            answer.as_mut_ptr(),
            0_u32,
        )
    };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).context("cachestat");
    }
    Ok(answer[0])
}

fn print_cold_state(file: &File, length: u64) -> Result<()> {
    let pages = length / 4096;
    let warm = cached_pages(file, 0, length)?;
    evict(file, length)?;
    let cold = cached_pages(file, 0, length)?;
    // One byte read may bring readahead with it; how much decides how long a first-byte probe may be trusted.
    let mut byte = [0];
    pread(file, &mut byte, 0)?;
    let after_one = cached_pages(file, 0, length)?;
    writeln!(
        std::io::stdout(),
        "pages cached of {pages}: warm {warm}, evicted {cold}, after one byte read {after_one}"
    )?;
    Ok(())
}

fn print_probe_costs(file: &File, length: u64, chunk: usize, rounds: usize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let chunks = length / chunk as u64;
    for cached in [true, false] {
        let mut costs = vec![Vec::new(); PROBES.len()];
        let mut yes = vec![0; PROBES.len()];
        for round in 0..rounds {
            for step in 0..PROBES.len() {
                let index = if round % 2 == 0 {
                    step
                } else {
                    PROBES.len() - 1 - step
                };
                evict(file, length)?;
                if cached {
                    read_ahead(file, 0, usize::try_from(length)?)?;
                }
                let totals = Totals::read()?;
                for call in 0..chunks {
                    yes[index] +=
                        u64::from(is_cached(PROBES[index], file, call * chunk as u64, chunk)?);
                }
                costs[index].push(totals.cost_until_now()?.cpu.as_nanos() as f64 / chunks as f64);
            }
        }
        for (index, probe) in PROBES.iter().enumerate() {
            writeln!(
                out,
                "probe of {chunk} B, {}: {:<10} {:>7.0} ns CPU, {:>5.1} % answered cached",
                if cached { "cached" } else { "evicted" },
                format!("{probe:?}"),
                median(&mut costs[index]),
                100.0 * yes[index] as f64 / (chunks * rounds as u64) as f64
            )?;
        }
    }
    Ok(())
}

/// Reads the range into the page cache, by reading it: unlike readahead(2) this returns when it is there.
fn read_ahead(file: &File, offset: u64, bytes: usize) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut done = 0;
    while done < bytes {
        let want = buffer.len().min(bytes - done);
        let read = pread(file, &mut buffer[..want], offset + done as u64).context("pread")?;
        ensure!(read > 0, "the file is shorter than expected");
        done += read;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backfill {
    No,
    Hot,
    Cold(Probe),
}

fn print_backfill(file: &File, length: u64, chunk: usize, rounds: usize) -> Result<()> {
    let variants = [
        Backfill::No,
        Backfill::Hot,
        Backfill::Cold(Probe::None),
        Backfill::Cold(Probe::FirstByte),
        Backfill::Cold(Probe::BothEnds),
        Backfill::Cold(Probe::Cachestat),
    ];
    let mut rows =
        vec![(Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()); variants.len()];
    for round in 0..rounds {
        for step in 0..variants.len() {
            let index = if round % 2 == 0 {
                step
            } else {
                variants.len() - 1 - step
            };
            evict(file, length)?;
            if variants[index] == Backfill::Hot {
                read_ahead(file, 0, usize::try_from(length)?)?;
            }
            let run = react(file, length, chunk, variants[index])?;
            let row = &mut rows[index];
            row.0.push(run.p50_us);
            row.1.push(run.p99_us);
            row.2.push(run.longest_turn_ms);
            row.3.push(run.backfill_cpu_s_per_gib);
            row.4.push(run.backfill_mib_per_s);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "echo beside a backfill by sendfile of {chunk} B; medians of {rounds} rounds"
    )?;
    writeln!(
        out,
        "{:<18} {:>8} {:>8} {:>15} {:>10} {:>10}",
        "backfill", "p50 us", "p99 us", "longest turn ms", "cpu/GiB", "MiB/s"
    )?;
    for (variant, row) in variants.iter().zip(&mut rows) {
        writeln!(
            out,
            "{:<18} {:>8.0} {:>8.0} {:>15.1} {:>10.3} {:>10.0}",
            format!("{variant:?}"),
            median(&mut row.0),
            median(&mut row.1),
            median(&mut row.2),
            median(&mut row.3),
            median(&mut row.4)
        )?;
    }
    Ok(())
}

struct ReactorRun {
    p50_us: f64,
    p99_us: f64,
    longest_turn_ms: f64,
    backfill_cpu_s_per_gib: f64,
    backfill_mib_per_s: f64,
}

/// One thread that echoes and sends the file, until the file is sent (or, without a backfill, enough is echoed).
fn react(file: &File, length: u64, chunk: usize, backfill: Backfill) -> Result<ReactorRun> {
    const ECHOES_ALONE: usize = 5_000;
    let (listener, address) = listen()?;
    let drain_listener = listen()?;
    let echo_plan = Plan {
        connections: 1,
        request_bytes: ACK_BYTES - 4,
        response_bytes: ACK_BYTES,
        in_flight: 1,
        count: u64::MAX,
    };
    std::thread::scope(|scope| -> Result<ReactorRun> {
        // Echo client and drain are threads here, not a process: latency is the figure, and their CPU is not reported
        // beside it except in cpu/GiB, where it is part of every row alike.
        let (stop, stopped) = mpsc::channel::<()>();
        let echoes = scope.spawn(move || {
            echo_client(
                address,
                echo_plan,
                &stopped,
                backfill == Backfill::No,
                ECHOES_ALONE,
            )
        });
        let drain_address = drain_listener.1;
        let drain = scope.spawn(move || drain(drain_address));
        let echo = accept(&listener)?;
        let backfill_stream = accept(&drain_listener.0)?;
        let (to_reader, ranges) = mpsc::channel::<(u64, usize)>();
        let (to_reactor, read) = mpsc::channel::<()>();
        let reader_file = file.as_fd().try_clone_to_owned()?;
        let (waker, wake) = rustix::pipe::pipe().map(|(read, write)| (write, read))?;
        let reader = scope.spawn(move || -> Result<()> {
            let file = File::from(reader_file);
            for (offset, bytes) in ranges {
                read_ahead(&file, offset, bytes)?;
                to_reactor.send(())?;
                rustix::io::write(&waker, &[1])?;
            }
            Ok(())
        });
        let totals = Totals::read()?;
        let start = now();
        let mut position = if backfill == Backfill::No { length } else { 0 };
        let mut reading = false;
        let mut longest = 0.0_f64;
        let mut finished = None;
        loop {
            let sending = position < length && !reading;
            let out = if sending {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            let mut polled = [
                PollFd::new(&echo, PollFlags::IN),
                PollFd::new(&backfill_stream, out),
                PollFd::new(&wake, PollFlags::IN),
            ];
            poll(
                &mut polled,
                Some(&Timespec {
                    tv_sec: 60,
                    tv_nsec: 0,
                }),
            )
            .context("poll")?;
            let [echo_ready, out_ready, wake_ready] = polled.map(|fd| !fd.revents().is_empty());
            let turn = now();
            if wake_ready {
                rustix::io::read(&wake, &mut [0; 8])?;
                read.try_recv()?;
                reading = false;
            }
            if echo_ready && !echo_once(&echo)? {
                break;
            }
            if sending && out_ready {
                let bytes = chunk.min(usize::try_from(length - position)?);
                let probe = if let Backfill::Cold(probe) = backfill {
                    probe
                } else {
                    Probe::None
                };
                if is_cached(probe, file, position, bytes)? {
                    let mut offset = position;
                    match sendfile(&backfill_stream, file, Some(&mut offset), bytes) {
                        Ok(_) => position = offset,
                        Err(Errno::AGAIN) => {}
                        Err(error) => return Err(error).context("sendfile"),
                    }
                } else {
                    to_reader
                        .send((position, bytes))
                        .context("the reader has ended")?;
                    reading = true;
                }
                longest = longest.max(turn.elapsed().as_secs_f64() * 1e3);
                if position == length {
                    finished = Some((totals.cost_until_now()?, start.elapsed()));
                    backfill_stream.shutdown(Shutdown::Write)?;
                    // An echo client that failed has gone already; its error is returned by the join.
                    let _gone = stop.send(());
                }
            }
        }
        drop(to_reader);
        drop(backfill_stream);
        reader
            .join()
            .map_err(|_panic| anyhow::anyhow!("the reader panicked"))??;
        let drained = drain
            .join()
            .map_err(|_panic| anyhow::anyhow!("the drain panicked"))??;
        let mut times = echoes
            .join()
            .map_err(|_panic| anyhow::anyhow!("the echo client panicked"))??;
        let gib = length as f64 / f64::from(1 << 30);
        let (cpu, mib_s) = match finished {
            Some((cost, took)) => {
                ensure!(drained == length, "{drained} of {length} bytes arrived");
                (
                    cost.cpu.as_secs_f64() / gib,
                    gib * 1024.0 / took.as_secs_f64(),
                )
            }
            None => (0.0, 0.0),
        };
        Ok(ReactorRun {
            p50_us: quantile(&mut times, 0.5),
            p99_us: quantile(&mut times, 0.99),
            longest_turn_ms: longest,
            backfill_cpu_s_per_gib: cpu,
            backfill_mib_per_s: mib_s,
        })
    })
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept().context("accepting")?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Echoes what has arrived; false at the end of the stream.
fn echo_once(stream: &TcpStream) -> Result<bool> {
    let mut buffer = [0; ACK_BYTES];
    let read = (&*stream).read(&mut buffer).context("reading an echo")?;
    (&*stream).write_all(&buffer[..read]).context("echoing")?;
    Ok(read > 0)
}

fn echo_client(
    address: std::net::SocketAddr,
    plan: Plan,
    stopped: &mpsc::Receiver<()>,
    alone: bool,
    echoes_alone: usize,
) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; plan.response_bytes];
    let mut times = Vec::new();
    loop {
        let ended = if alone {
            times.len() >= echoes_alone
        } else {
            stopped.try_recv().is_ok()
        };
        if ended {
            return Ok(times);
        }
        let start = now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
}

fn drain(address: std::net::SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(total);
        }
        total += read as u64;
    }
}
