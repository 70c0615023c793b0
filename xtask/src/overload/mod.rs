//! `cargo xtask overload`: the release broker under more than it should have to bear, and what its other clients notice.
//!
//! Three phases over one broker: probes alone; probes beside idle connections, active clients and readers that never read;
//! the same beside clients that lie about lengths. Asserted are counts and the bound on memory: no probe and no active
//! client fails, none is starved, no idle connection is lost, the peak of resident memory stays below its bound. Times are
//! printed as measured, since they depend on what else the machine does.

mod clients;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::clients::{ACTIVE, ACTIVE_PARTITIONS, PROBED, Tally};
use self::wire::Connection;
use crate::bench::wire::Wire;
use crate::clients::Counts;
use crate::server::{Against, Server, Setting};
use crate::workspace;

/// What the broker takes beside requests and connections: code, caches, threads, and what its allocator keeps.
const BASE_BYTES: u64 = 64 << 20;
/// What a connection may take beside its requests; the test of idle connections measures the same.
const CONNECTION_BYTES: u64 = 8 << 10;
/// `socket.request.max.bytes`: by one such request the memory of requests may be overdrawn.
const FRAME_MAX: usize = 100 << 20;
/// Connections that are opened at a time.
const OPENED_AT_ONCE: usize = 100;
/// After so much of a phase its clients are connected.
const SETTLED: Duration = Duration::from_secs(2);
/// An active client must have as much as its kind's median divided by this.
const STARVED_BELOW: u64 = 4;

#[derive(clap::Args, Debug, Clone)]
pub(crate) struct OverloadArguments {
    /// Connections that say nothing
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Clients of which half produce and half consume
    #[arg(long, default_value_t = 500)]
    active: usize,
    /// Clients that ask for lots and never read
    #[arg(long, default_value_t = 50)]
    stalled: usize,
    /// Clients that lie about lengths
    #[arg(long, default_value_t = 48)]
    liars: usize,
    /// Clients whose answers are timed
    #[arg(long, default_value_t = 20)]
    probes: usize,
    /// Seconds of the phases without liars, each
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Seconds of the phase with liars
    #[arg(long, default_value_t = 60)]
    lie_seconds: u64,
    /// The broker's queued.max.request.bytes, in MiB
    #[arg(long, default_value_t = 128)]
    request_memory: u64,
}

impl OverloadArguments {
    /// A run short enough for every day.
    pub(crate) const SMALL: Self = Self {
        idle: 1_000,
        active: 50,
        stalled: 20,
        liars: 24,
        probes: 5,
        seconds: 3,
        lie_seconds: 12,
        request_memory: 64,
    };

    fn bound(&self) -> u64 {
        let connections = self.idle + self.active + self.stalled + self.liars + self.probes;
        BASE_BYTES
            + (self.request_memory << 20)
            + FRAME_MAX as u64
            + CONNECTION_BYTES * connections as u64
    }
}

/// What one phase showed.
#[derive(Debug)]
struct Phase {
    name: &'static str,
    probes: usize,
    p50: Duration,
    p99: Duration,
    /// Without the begin, when all clients of the phase connect at once.
    p99_settled: Duration,
    slowest: Duration,
    /// Peak of resident memory during the phase.
    peak_bytes: u64,
}

pub(crate) fn run(arguments: &OverloadArguments) -> Result<Counts> {
    raise_file_limit()?;
    let settings: &[Setting] = &[
        (
            "queued.max.request.bytes",
            (arguments.request_memory << 20).to_string().leak(),
        ),
        ("socket.request.max.bytes", FRAME_MAX.to_string().leak()),
    ];
    println!("settings: {settings:?}");
    println!("load: {arguments:?}");
    println!(
        "bound on resident memory: {} MiB = {} for requests + {} for the one that may overdraw + {} KiB for each connection + {}",
        arguments.bound() >> 20,
        arguments.request_memory,
        FRAME_MAX >> 20,
        CONNECTION_BYTES >> 10,
        BASE_BYTES >> 20
    );
    let mut server = Server::start_with(
        Against::Watertable,
        workspace::target().join("overload"),
        settings,
    )?;
    let mut wire = Wire::connect(server.port())?;
    // How long the disk takes is measured elsewhere; here it would only hide how long others are served.
    let write_caching = [("write.caching", "true")];
    wire.create_topic(PROBED, arguments.probes, &write_caching)?;
    wire.create_topic(ACTIVE, ACTIVE_PARTITIONS, &write_caching)?;
    for number in 0..200 {
        wire.create_topic(&format!("another-{number}"), 4, &write_caching)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(Load::new(arguments, &server).run());
    runtime.shutdown_background();
    server.still_runs()?;
    let log = server.log();
    let outcome = outcome.with_context(|| format!("the broker's log is {}", log.display()))?;
    server.stop()?;
    tell_refusals(&fs::read_to_string(log)?);
    Ok(outcome)
}

/// The load and what came of it.
struct Load<'a> {
    arguments: &'a OverloadArguments,
    port: u16,
    process: u32,
    phases: Vec<Phase>,
    active: Arc<Tally>,
    stalled: Arc<Tally>,
    produced: Vec<Arc<AtomicU64>>,
    consumed: Vec<Arc<AtomicU64>>,
}

impl<'a> Load<'a> {
    fn new(arguments: &'a OverloadArguments, server: &Server) -> Self {
        Self {
            arguments,
            port: server.port(),
            process: server.process(),
            phases: Vec::new(),
            active: Arc::default(),
            stalled: Arc::default(),
            produced: Vec::new(),
            consumed: Vec::new(),
        }
    }

    async fn run(mut self) -> Result<Counts> {
        let seconds = Duration::from_secs(self.arguments.seconds);
        self.phase("probes alone", seconds).await?;

        let idle = self.connect_idle().await?;
        let clients = self.start_clients();
        self.phase("beside idle, active, stalled", seconds).await?;

        let liars: Arc<Tally> = Arc::default();
        let (port, count) = (self.port, self.arguments.liars);
        let lying: Vec<_> = (0..count)
            .map(|number| tokio::spawn(clients::liar(port, number, FRAME_MAX, Arc::clone(&liars))))
            .collect();
        let lie_seconds = Duration::from_secs(self.arguments.lie_seconds);
        self.phase("and liars", lie_seconds).await?;

        for tally in [&liars, &self.active, &self.stalled] {
            tally.stop.store(true, Ordering::Relaxed);
        }
        lying.iter().for_each(JoinHandle::abort);
        for client in clients {
            client.await?;
        }
        let open = idle.iter().filter(|it| it.is_open()).count();
        self.report(open, idle.len(), &liars)
    }

    /// Probes for a while beside what else there is.
    async fn phase(&mut self, name: &'static str, length: Duration) -> Result<()> {
        reset_peak(self.process)?;
        let tally: Arc<Tally> = Arc::default();
        let began = Instant::now();
        let probes: Vec<_> = (0..self.arguments.probes)
            .map(|number| tokio::spawn(clients::probe(self.port, number, Arc::clone(&tally))))
            .collect();
        tokio::time::sleep(length).await;
        tally.stop.store(true, Ordering::Relaxed);
        for probe in probes {
            probe.await?;
        }
        let failures = tally.failures.lock();
        if let Some(failure) = failures.first() {
            bail!("{} probes failed in '{name}': {failure}", failures.len());
        }
        let latencies = tally.latencies.lock();
        let all = sorted(&latencies, began);
        let settled = sorted(&latencies, began + SETTLED);
        let phase = Phase {
            name,
            probes: all.len(),
            p50: at(&all, 50)?,
            p99: at(&all, 99)?,
            p99_settled: at(&settled, 99)?,
            slowest: at(&all, 100)?,
            peak_bytes: peak(self.process)?,
        };
        println!(
            "{name}: {} probes, p50 {:.2?}, p99 {:.2?} ({:.2?} once all are connected), slowest {:.2?}, peak resident {} MiB",
            phase.probes,
            phase.p50,
            phase.p99,
            phase.p99_settled,
            phase.slowest,
            phase.peak_bytes >> 20
        );
        self.phases.push(phase);
        Ok(())
    }

    async fn connect_idle(&self) -> Result<Vec<Connection>> {
        let port = self.port;
        let mut idle = Vec::new();
        while idle.len() < self.arguments.idle {
            let count = OPENED_AT_ONCE.min(self.arguments.idle - idle.len());
            let opening: Vec<_> = (idle.len()..idle.len() + count)
                .map(|number| tokio::spawn(Connection::open(port, number, false)))
                .collect();
            for opened in opening {
                idle.push(opened.await??);
            }
        }
        Ok(idle)
    }

    fn start_clients(&mut self) -> Vec<JoinHandle<()>> {
        let mut clients = Vec::new();
        for number in 0..self.arguments.active {
            let count: Arc<AtomicU64> = Arc::default();
            let tally = Arc::clone(&self.active);
            if number < self.arguments.active / 2 {
                self.produced.push(Arc::clone(&count));
                clients.push(tokio::spawn(clients::producer(
                    self.port, number, count, tally,
                )));
            } else {
                self.consumed.push(Arc::clone(&count));
                clients.push(tokio::spawn(clients::consumer(
                    self.port, number, count, tally,
                )));
            }
        }
        for number in 0..self.arguments.stalled {
            let tally = Arc::clone(&self.stalled);
            clients.push(tokio::spawn(clients::stalled_reader(
                self.port, number, tally,
            )));
        }
        clients
    }

    fn report(&self, idle_open: usize, idle: usize, liars: &Tally) -> Result<Counts> {
        let mut failed = Vec::new();
        let mut check = |holds: bool, what: String| {
            println!("{} {what}", if holds { "ok    " } else { "FAILED" });
            if !holds {
                failed.push(what);
            }
        };
        let alone = self.phases.first().context("no phase")?;
        for phase in &self.phases {
            println!(
                "p99 beside no load, '{}': {:.2} ({:.2} once all are connected)",
                phase.name,
                phase.p99.as_secs_f64() / alone.p99.as_secs_f64(),
                phase.p99_settled.as_secs_f64() / alone.p99_settled.as_secs_f64()
            );
            check(
                phase.peak_bytes <= self.arguments.bound(),
                format!(
                    "'{}': peak resident {} MiB of at most {}",
                    phase.name,
                    phase.peak_bytes >> 20,
                    self.arguments.bound() >> 20
                ),
            );
        }
        for (kind, counts) in [("produced", &self.produced), ("consumed", &self.consumed)] {
            let mut counts: Vec<_> = counts.iter().map(|it| it.load(Ordering::Relaxed)).collect();
            counts.sort_unstable();
            let (least, most) = (counts.first().copied(), counts.last().copied());
            let median = counts.get(counts.len() / 2).copied().unwrap_or(0);
            let least = least.unwrap_or(0);
            check(
                least > 0 && least >= median / STARVED_BELOW,
                format!(
                    "records {kind} by each of {} clients: least {least}, median {median}, most {}",
                    counts.len(),
                    most.unwrap_or(0)
                ),
            );
        }
        let failures = self.active.failures.lock();
        let first = failures.first().map_or("none", String::as_str);
        check(
            failures.is_empty(),
            format!("active clients that failed: {} ({first})", failures.len()),
        );
        check(
            idle_open == idle,
            format!("idle connections still open: {idle_open} of {idle}"),
        );
        println!(
            "cut: {} liars, {} stalled readers",
            liars.cut.load(Ordering::Relaxed),
            self.stalled.cut.load(Ordering::Relaxed)
        );
        ensure!(failed.is_empty(), "{}", failed.join("; "));
        Ok(Counts {
            passed: self.phases.len() + 4,
            failed: 0,
        })
    }
}

/// How long the probes took that were due from then on.
fn sorted(latencies: &[(Instant, Duration)], from: Instant) -> Vec<Duration> {
    let due = latencies.iter().filter(|(due, _)| *due >= from);
    let mut latencies: Vec<_> = due.map(|(_, took)| *took).collect();
    latencies.sort_unstable();
    latencies
}

fn at(sorted: &[Duration], percent: usize) -> Result<Duration> {
    let found = sorted.get(sorted.len() * percent / 100).or(sorted.last());
    found.copied().context("no probe was answered")
}

/// Why the broker closed connections, and how often.
fn tell_refusals(log: &str) {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for line in log
        .lines()
        .filter(|line| line.contains("closed a connection"))
    {
        let reason = line
            .split_once("reason=")
            .map_or(line, |(_, reason)| reason);
        let reason = reason
            .split_once(" cause=")
            .map_or(reason, |(reason, _)| reason);
        *reasons.entry(reason).or_default() += 1;
    }
    println!("connections that the broker closed, by its log:");
    for (reason, count) in reasons {
        println!("{count:>8}  {reason}");
    }
}

/// This process holds the other end of every connection.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open files")
}

/// The peak of resident memory begins anew.
fn reset_peak(process: u32) -> Result<()> {
    let path = format!("/proc/{process}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("write {path}"))
}

fn peak(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.context("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? << 10)
}
