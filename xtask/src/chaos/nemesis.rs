//! Who breaks things: faults of a seed's choice, one at a time or overlapping, each with its beginning and end in `nemesis.log`.
//!
//! Invariant: after `heal` everything works again: the broker runs and is answered, the disk has room, the clock is right,
//! connections are open. What was flipped stays so, and is known.

use super::broker::{Broker, Launch};
use super::clock;
use super::disk::Disk;
use super::flip::{self, Damage};
use super::proxy::{Mode, Proxy};
use crate::random::Random;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Faults at one time.
const ACTIVE_MAX: usize = 2;
/// Bytes of the victim and derived files that are damaged at one kill.
const FLIPS_MAX: u64 = 3;

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL and a new start
    Kill,
    /// SIGSTOP for a while
    Stop,
    /// No room on the disk for a while
    Full,
    /// Files damaged between SIGKILL and the new start
    Flip,
    /// The wall clock jumps, and later back
    Clock,
    /// Connections cut, held, slowed down, half closed
    Cut,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::Kill,
        Self::Stop,
        Self::Full,
        Self::Flip,
        Self::Clock,
        Self::Cut,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Full => "full",
            Self::Flip => "flip",
            Self::Clock => "clock",
            Self::Cut => "cut",
        }
    }
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    until: Instant,
    /// Of a stop: which process.
    process: u32,
}

/// The broker and all that can break around it. Fields are dropped in this order: the disk when nobody uses it.
#[derive(Debug)]
pub(crate) struct Nemesis {
    broker: Option<Broker>,
    proxy: Proxy,
    disk: Option<Disk>,
    faults: Vec<Fault>,
    random: Random,
    active: Vec<Active>,
    next: Instant,
    log: fs::File,
    counts: BTreeMap<Fault, usize>,
    /// Derived files that were damaged, under the data directory.
    derived: BTreeSet<PathBuf>,
    damages: Vec<Damage>,
}

impl Nemesis {
    pub(crate) fn new(
        broker: Broker,
        proxy: Proxy,
        disk: Option<Disk>,
        faults: Vec<Fault>,
        seed: u64,
    ) -> Result<Self> {
        let log = fs::File::create(broker.launch().folder.join("nemesis.log"))?;
        Ok(Self {
            broker: Some(broker),
            proxy,
            disk,
            faults,
            random: Random::new(seed),
            active: Vec::new(),
            next: Instant::now() + Duration::from_secs(3),
            log,
            counts: BTreeMap::new(),
            derived: BTreeSet::new(),
            damages: Vec::new(),
        })
    }

    pub(crate) fn broker(&mut self) -> Result<&mut Broker> {
        self.broker.as_mut().context("the broker was stopped")
    }

    pub(crate) fn counts(&self) -> &BTreeMap<Fault, usize> {
        &self.counts
    }

    pub(crate) fn derived(&self) -> &BTreeSet<PathBuf> {
        &self.derived
    }

    pub(crate) fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// What goes on now, for people.
    pub(crate) fn shown(&self) -> String {
        let names: Vec<_> = self
            .active
            .iter()
            .map(|active| active.fault.name())
            .collect();
        if names.is_empty() {
            "-".to_owned()
        } else {
            names.join("+")
        }
    }

    /// Ends what is over, begins what is due. Called again and again.
    pub(crate) fn step(&mut self) -> Result<()> {
        self.broker()?.still_runs()?;
        let now = Instant::now();
        let (over, active) = std::mem::take(&mut self.active)
            .into_iter()
            .partition(|active: &Active| active.until <= now);
        self.active = active;
        for active in over {
            self.end(&active)?;
        }
        if now < self.next || self.active.len() >= ACTIVE_MAX {
            return Ok(());
        }
        let faults: Vec<_> = self
            .faults
            .iter()
            .copied()
            .filter(|fault| self.active.iter().all(|active| active.fault != *fault))
            .collect();
        if let Some(fault) = self.random.pick(&faults).copied() {
            let took = self.begin(fault);
            took.with_context(|| format!("the fault {}", fault.name()))?;
        }
        // Often there is a while without trouble, in which clients get on.
        let rest = if self.random.below(3) == 0 {
            0..=1000
        } else {
            1500..=7000
        };
        self.next = Instant::now() + self.random.span_ms(rest);
        Ok(())
    }

    /// Ends all faults.
    pub(crate) fn heal(&mut self) -> Result<()> {
        for active in std::mem::take(&mut self.active) {
            self.end(&active)?;
        }
        self.broker()?.still_runs()
    }

    /// Stops the broker in order, and gives back where it ran.
    pub(crate) fn stop_broker(&mut self) -> Result<Launch> {
        let broker = self.broker.take().context("the broker was stopped")?;
        broker.stop()
    }

    fn note(&mut self, text: &str) -> Result<()> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let nanoseconds = now.tv_sec * 1_000_000_000 + now.tv_nsec;
        Ok(writeln!(self.log, "{nanoseconds} {text}")?)
    }

    fn begin(&mut self, fault: Fault) -> Result<()> {
        *self.counts.entry(fault).or_default() += 1;
        let lasts = match fault {
            Fault::Kill => {
                self.note("kill")?;
                self.broker()?.kill()?;
                return self.restart();
            }
            Fault::Flip => return self.flip(),
            Fault::Stop => {
                let lasts = self.random.span_ms(5_000..=30_000);
                self.broker()?.signal("STOP")?;
                self.note(&format!("stop for {lasts:?}"))?;
                lasts
            }
            Fault::Full => {
                let lasts = self.random.span_ms(3_000..=20_000);
                self.disk
                    .as_ref()
                    .context("no file system of its own")?
                    .fill()?;
                self.note(&format!("disk full for {lasts:?}"))?;
                lasts
            }
            Fault::Clock => {
                let lasts = self.random.span_ms(2_000..=20_000);
                let seconds = self.clock_jump();
                let folder = self.broker()?.launch().folder.clone();
                clock::set(&folder, seconds)?;
                self.note(&format!("clock {seconds:+} s for {lasts:?}"))?;
                lasts
            }
            Fault::Cut => self.cut()?,
        };
        let process = self.broker()?.id();
        let until = Instant::now() + lasts;
        self.active.push(Active {
            fault,
            until,
            process,
        });
        Ok(())
    }

    fn end(&mut self, active: &Active) -> Result<()> {
        match active.fault {
            Fault::Kill | Fault::Flip => {}
            Fault::Stop => {
                // A process that was killed meanwhile is not stopped.
                let broker = self.broker()?;
                if broker.id() == active.process {
                    broker.signal("CONT")?;
                }
            }
            Fault::Full => {
                if let Some(disk) = &self.disk {
                    disk.free()?;
                }
            }
            Fault::Clock => clock::set(&self.broker()?.launch().folder.clone(), 0)?,
            Fault::Cut => {
                self.proxy.set(Mode::Open);
                // A connection that lost bytes is of no use.
                self.proxy.reset();
            }
        }
        self.note(&format!("end of {}", active.fault.name()))
    }

    /// Seconds to days, either way.
    fn clock_jump(&mut self) -> i64 {
        const DAY: u64 = 86_400;
        let seconds = match self.random.below(3) {
            0 => self.random.between(1..=60),
            1 => self.random.between(60..=DAY),
            _ => self.random.between(DAY..=10 * DAY),
        };
        let seconds = i64::try_from(seconds).unwrap_or(0);
        if self.random.below(2) == 0 {
            seconds
        } else {
            -seconds
        }
    }

    fn cut(&mut self) -> Result<Duration> {
        let (mode, lasts) = match self.random.below(7) {
            0 => {
                self.proxy.reset();
                (Mode::Open, 1..=10)
            }
            1 => {
                self.proxy.half_close();
                (Mode::Open, 1_000..=5_000)
            }
            2 => (Mode::Late, 3_000..=15_000),
            3 => (Mode::Pieces, 3_000..=15_000),
            4 => (Mode::Held, 1_000..=12_000),
            5 => (Mode::AnswersLost, 200..=4_000),
            _ => {
                self.proxy.reset();
                (Mode::Refused, 500..=6_000)
            }
        };
        let lasts = self.random.span_ms(lasts);
        self.proxy.set(mode);
        self.note(&format!("connections {mode:?} for {lasts:?}"))?;
        Ok(lasts)
    }

    fn flip(&mut self) -> Result<()> {
        self.note("kill, and flip")?;
        self.broker()?.kill()?;
        let data_dir = self.broker()?.launch().data_dir.clone();
        for _ in 0..self.random.between(1..=FLIPS_MAX) {
            if self.random.below(2) == 0 {
                if let Some((path, done)) = flip::derived(&mut self.random, &data_dir)? {
                    self.note(&format!("{}: {done}", path.display()))?;
                    self.derived.insert(path);
                }
            } else if let Some((damage, position)) =
                flip::log(&mut self.random, &data_dir, &self.damages)?
            {
                let Damage {
                    path,
                    first_offset,
                    end_offset,
                    ..
                } = &damage;
                self.note(&format!(
                    "{}: a bit of byte {position} flipped, offsets {first_offset}..{end_offset}",
                    path.display()
                ))?;
                self.damages.push(damage);
            }
        }
        self.restart()
    }

    /// On a full disk a broker may refuse to start; then there has to be room first.
    fn restart(&mut self) -> Result<()> {
        let restarted = self.broker()?.restart();
        let is_full = self.active.iter().any(|active| active.fault == Fault::Full);
        let restart = match restarted {
            Err(error) if is_full => {
                self.note(&format!("no start on the full disk: {error:#}"))?;
                let (full, others) = std::mem::take(&mut self.active)
                    .into_iter()
                    .partition(|active: &Active| active.fault == Fault::Full);
                self.active = others;
                for active in full {
                    self.end(&active)?;
                }
                self.broker()?.restart()?
            }
            other => other?,
        };
        self.note(&format!(
            "answered after {:?}, {} bytes read",
            restart.took, restart.read
        ))
    }
}
