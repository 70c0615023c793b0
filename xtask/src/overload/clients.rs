//! The clients of the load: probes whose answers are timed, active clients whose records are counted, stalled readers, and
//! liars. Each is one task that runs until it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::wire::{self, Connection};

pub(super) const PROBED: &str = "probed";
pub(super) const ACTIVE: &str = "active";
pub(super) const ACTIVE_PARTITIONS: usize = 16;

/// How often a probe produces a record and reads it back.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// How often an active producer sends.
const ACTIVE_INTERVAL: Duration = Duration::from_millis(200);
/// Requests that a stalled reader sends ahead.
const STALLED_REQUESTS: usize = 2_000;
/// How long a liar waits to be cut.
const LIAR_PATIENCE: Duration = Duration::from_secs(20);

/// What a group of clients did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) stop: AtomicBool,
    /// When each probe was due, and how long it took from then on.
    pub(super) latencies: Mutex<Vec<(Instant, Duration)>>,
    /// What failed that must not.
    pub(super) failures: Mutex<Vec<String>>,
    /// Connections that the broker cut.
    pub(super) cut: AtomicU64,
}

impl Tally {
    fn runs(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, who: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.failures.lock().push(format!("{who}: {error:#}"));
        }
    }
}

/// Produces a record and reads it back, at a fixed rate whatever the answers take.
pub(super) async fn probe(port: u16, number: usize, tally: Arc<Tally>) {
    tally.note("a probe", run_probe(port, number, &tally).await);
}

async fn run_probe(port: u16, number: usize, tally: &Tally) -> Result<()> {
    let partition = i32::try_from(number)?;
    let mut connection = Connection::open(port, number, false).await?;
    let mut ticks = interval(PROBE_INTERVAL);
    // What was delayed by a slow answer is asked late, and counts from when it was due.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for count in 0_u64.. {
        if !tally.runs() {
            break;
        }
        let due = ticks.tick().await;
        let value = format!("{number}/{count}/{}", "x".repeat(200));
        let offset = connection
            .produce(PROBED, partition, value.as_bytes())
            .await?;
        let records = connection.fetch(PROBED, partition, offset).await?;
        let found = records
            .windows(value.len())
            .any(|part| part == value.as_bytes());
        ensure!(found, "record {count} is not at offset {offset}");
        let took = Instant::now().duration_since(due);
        tally.latencies.lock().push((due, took));
    }
    Ok(())
}

/// Sends a record now and then; counts acks.
pub(super) async fn producer(port: u16, number: usize, acked: Arc<AtomicU64>, tally: Arc<Tally>) {
    let run = async {
        let partition = i32::try_from(number % ACTIVE_PARTITIONS)?;
        let mut connection = Connection::open(port, number, false).await?;
        let mut ticks = interval(ACTIVE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while tally.runs() {
            ticks.tick().await;
            connection.produce(ACTIVE, partition, &[b'a'; 1024]).await?;
            acked.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    tally.note("an active producer", run.await);
}

/// Reads a partition as it grows; counts records.
pub(super) async fn consumer(port: u16, number: usize, read: Arc<AtomicU64>, tally: Arc<Tally>) {
    let run = async {
        let partition = i32::try_from(number % ACTIVE_PARTITIONS)?;
        let mut connection = Connection::open(port, number, false).await?;
        let mut next = 0;
        while tally.runs() {
            let records = connection.fetch(ACTIVE, partition, next).await?;
            let (count, behind) = wire::count_batches(&records, next);
            next = behind;
            read.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    };
    tally.note("an active consumer", run.await);
}

/// Asks for lots and never reads; comes back when it is cut.
pub(super) async fn stalled_reader(port: u16, number: usize, tally: Arc<Tally>) {
    while tally.runs() {
        let outcome = stall(port, number, &tally).await;
        if outcome.is_err() && tally.runs() {
            tally.cut.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn stall(port: u16, number: usize, tally: &Tally) -> Result<()> {
    // Half of them ask for what lies in files, half for what lies in memory.
    let request = if number.is_multiple_of(2) {
        wire::fetch(ACTIVE, i32::try_from(number % ACTIVE_PARTITIONS)?, 0)?
    } else {
        wire::metadata()?
    };
    let mut connection = Connection::open(port, number, true).await?;
    let mut sent = 0;
    while tally.runs() {
        if sent < STALLED_REQUESTS {
            // Once the broker reads no more, this one blocks and looks whether it shall stop now and then.
            let write = connection.stream.write_all(&request);
            if let Ok(written) = timeout(Duration::from_millis(500), write).await {
                written?;
                sent += 1;
            } else {
                sent = STALLED_REQUESTS;
            }
        } else {
            sleep(Duration::from_millis(100)).await;
            // Only an error tells that the connection was cut: what it sent before is never read.
            if let Some(error) = connection.stream.take_error()? {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Lies in one of several ways, again and again.
pub(super) async fn liar(port: u16, number: usize, frame_max: usize, tally: Arc<Tally>) {
    while tally.runs() {
        // Cut while it sends or while it waits, it is the same to a liar.
        let lie = lie(port, number, frame_max, &tally);
        if timeout(LIAR_PATIENCE, lie).await.is_ok() {
            tally.cut.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn lie(port: u16, number: usize, frame_max: usize, tally: &Tally) -> Result<()> {
    static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];
    let claim = |length: usize| i32::try_from(length).map(i32::to_be_bytes);
    let mut connection = Connection::open(port, number, false).await?;
    let stream = &mut connection.stream;
    match number % 8 {
        // A GiB, which is refused at once.
        0 => stream.write_all(&claim(1 << 30)?).await?,
        // All that is allowed, of which a part comes and then nothing more.
        1 | 2 => {
            stream.write_all(&claim(frame_max)?).await?;
            for _ in 0..(32 << 20) / PIECE.len() {
                stream.write_all(&PIECE).await?;
            }
        }
        // All that is allowed, piece by piece.
        3 | 4 => {
            stream.write_all(&claim(frame_max)?).await?;
            while tally.runs() {
                stream.write_all(&PIECE).await?;
                sleep(Duration::from_millis(50)).await;
            }
        }
        5 => stream.write_all(&(-1_i32).to_be_bytes()).await?,
        6 => stream.write_all(&wire::lying_metadata()?).await?,
        // Some bytes that depend on nothing but the number of the client.
        _ => {
            let mut state = u32::try_from(number)?.wrapping_mul(2_654_435_761) | 1;
            for _ in 0..64 {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                stream.write_all(&state.to_be_bytes()).await?;
            }
        }
    }
    connection.closed().await;
    Ok(())
}
