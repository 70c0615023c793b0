//! [`World`]: one machine with a broker on it, that is started, stopped, killed and loses power.
//!
//! Invariant: at most one broker process is alive; a crash happens between two steps of the scheduler, but what the
//! process did in the step before may have been cut off at any change of its disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use broker::{Broker, BrokerConfig, BrokerId, DirectoryOptions};
use env::{Clock as _, Env};
use metadata::settings::{BrokerSettings, Layers};
use parking_lot::Mutex;

use crate::clock::{SimClock, Sleep, WallOffset, sleep_until};
use crate::compacted::Keys;
use crate::disk::{Loss, Machine, SimDisk};
use crate::model::Model;
use crate::network::{SimNetwork, Wires};
use crate::plan::Plan;
use crate::process::Life;
use crate::random::{Random, SimRandom};
use crate::recorder::Recorder;
use crate::scheduler::{Scheduler, WORLD};
use crate::spawner::SimSpawner;
use crate::trace::Trace;

/// Where the broker listens.
pub(crate) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9092);
/// Its data directory.
pub(crate) const DATA: &str = "/data";

/// How a process ends without being asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crash {
    /// The process is gone, the page cache is not.
    Kill,
    /// Only what was synced is sure to be left.
    PowerLoss(Loss),
}

/// What the broker does.
#[derive(Debug)]
pub(crate) enum Phase {
    Down,
    Starting,
    Up(Box<Broker>),
    /// It did not start; why.
    Failed(String),
    Stopping,
}

#[derive(Debug)]
struct Slot {
    life: Arc<Life>,
    phase: Phase,
    /// How the process ends if its disk ends it.
    crash: Crash,
    starts: u32,
}

/// The world of one run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) wires: Arc<Wires>,
    pub(crate) wall_offset_ms: WallOffset,
    pub(crate) plan: Plan,
    pub(crate) model: Model,
    /// What was sent of each key.
    pub(crate) keys: Keys,
    pub(crate) recorder: Recorder,
    random: Mutex<Random>,
    slot: Mutex<Slot>,
    is_over: Mutex<bool>,
}

impl World {
    pub(crate) fn new(mut random: Random, trace: Trace) -> Arc<Self> {
        let scheduler = Scheduler::new(random.fork(), trace);
        let machine = Machine::new(Arc::clone(&scheduler), random.fork());
        let wires = Wires::new(Arc::clone(&scheduler), random.fork());
        let plan = Plan::new(&mut random.fork());
        Arc::new(Self {
            model: Model::new(Arc::clone(&scheduler)),
            scheduler,
            machine,
            wires,
            wall_offset_ms: Arc::new(AtomicI64::new(0)),
            plan,
            keys: Keys::default(),
            recorder: Recorder::default(),
            random: Mutex::new(random),
            slot: Mutex::new(Slot {
                life: Arc::new(Life::new(WORLD)),
                phase: Phase::Down,
                crash: Crash::Kill,
                starts: 0,
            }),
            is_over: Mutex::new(false),
        })
    }

    /// A stream of chance of its own.
    pub(crate) fn fork(&self) -> Random {
        self.random.lock().fork()
    }

    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.scheduler.spawn(WORLD, Box::pin(task));
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        sleep_until(&self.scheduler, self.scheduler.now() + duration)
    }

    /// How often the broker was started so far.
    pub(crate) fn starts(&self) -> u32 {
        self.slot.lock().starts
    }

    pub(crate) fn end(&self) {
        *self.is_over.lock() = true;
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.is_over.lock()
    }

    /// Starts a broker process over the machine's disk.
    pub(crate) fn start_broker(self: &Arc<Self>) {
        let (life, starts) = {
            let mut slot = self.slot.lock();
            slot.starts += 1;
            slot.life = Arc::new(Life::new(slot.starts));
            slot.phase = Phase::Starting;
            (Arc::clone(&slot.life), slot.starts)
        };
        self.scheduler.note(format_args!("start {starts}"));
        let env = self.env(&life);
        let config = self.config();
        let world = Arc::downgrade(self);
        let task = async move {
            let outcome = Broker::start(env, config).await;
            let Some(world) = world.upgrade() else {
                return;
            };
            let mut slot = world.slot.lock();
            slot.phase = match outcome {
                Ok(broker) => Phase::Up(Box::new(broker)),
                Err(error) => Phase::Failed(chain(&error)),
            };
        };
        self.scheduler.spawn(life.process, Box::pin(task));
    }

    /// Asks the broker to stop in order.
    pub(crate) fn stop_broker(self: &Arc<Self>) {
        let mut slot = self.slot.lock();
        let Phase::Up(broker) = std::mem::replace(&mut slot.phase, Phase::Stopping) else {
            slot.phase = Phase::Down;
            return;
        };
        let process = slot.life.process;
        drop(slot);
        self.scheduler.note(format_args!("stop {process}"));
        let world = Arc::downgrade(self);
        let task = async move {
            broker.stop().await;
            if let Some(world) = world.upgrade() {
                let mut slot = world.slot.lock();
                slot.phase = Phase::Down;
            }
        };
        self.scheduler.spawn(process, Box::pin(task));
    }

    /// The process dies at the change of its disk after `changes` more.
    pub(crate) fn crash_after(&self, changes: u64, crash: Crash) {
        let mut slot = self.slot.lock();
        slot.crash = crash;
        slot.life
            .end_after(i64::try_from(changes).unwrap_or(i64::MAX));
    }

    /// The process dies now.
    pub(crate) fn crash_now(&self, crash: Crash) {
        let mut slot = self.slot.lock();
        slot.crash = crash;
        slot.life.end();
    }

    /// Ends everything, at the end of a run: what waits in tasks holds the world itself.
    pub(crate) fn tear_down(&self) {
        self.clear_away();
        self.scheduler.kill(WORLD);
    }

    /// The machine's wall clock.
    pub(crate) fn wall_ms(&self) -> i64 {
        SimClock::new(
            Arc::clone(&self.scheduler),
            Arc::clone(&self.wall_offset_ms),
        )
        .wall()
        .ms()
    }

    /// Looks at what the broker does.
    pub(crate) fn phase<T>(&self, look: impl FnOnce(&Phase) -> T) -> T {
        look(&self.slot.lock().phase)
    }

    /// Clears away a process that died. To be called between steps.
    pub(crate) fn bury(&self) {
        let (life, phase, crash) = {
            let mut slot = self.slot.lock();
            if slot.life.is_alive() || matches!(slot.phase, Phase::Down) {
                return;
            }
            let phase = std::mem::replace(&mut slot.phase, Phase::Down);
            (Arc::clone(&slot.life), phase, slot.crash)
        };
        self.scheduler
            .note(format_args!("crash {} {crash:?}", life.process));
        let delivers = matches!(crash, Crash::Kill);
        self.wires.cut_all(&life, delivers);
        self.scheduler.kill(life.process);
        drop(phase);
        self.machine.release(life.process);
        if let Crash::PowerLoss(loss) = crash {
            self.machine.lose_power(loss);
            self.model.power_lost(&self.plan.partitions(|_| true));
        }
    }

    /// Ends a process that stopped in order, or never came up.
    pub(crate) fn clear_away(&self) {
        let life = {
            let slot = self.slot.lock();
            slot.life.end();
            Arc::clone(&slot.life)
        };
        self.wires.cut_all(&life, true);
        self.scheduler.kill(life.process);
        let phase = std::mem::replace(&mut self.slot.lock().phase, Phase::Down);
        drop(phase);
        self.machine.release(life.process);
    }

    fn env(&self, life: &Arc<Life>) -> Env {
        let scheduler = &self.scheduler;
        Env {
            clock: Arc::new(SimClock::new(
                Arc::clone(scheduler),
                Arc::clone(&self.wall_offset_ms),
            )),
            random: Arc::new(SimRandom(Mutex::new(self.fork()))),
            disk: Arc::new(SimDisk::new(Arc::clone(&self.machine), Arc::clone(life))),
            network: Arc::new(SimNetwork {
                wires: Arc::clone(&self.wires),
                life: Arc::clone(life),
            }),
            spawner: Arc::new(SimSpawner {
                scheduler: Arc::clone(scheduler),
                life: Arc::clone(life),
                random: Mutex::new(self.fork()),
            }),
        }
    }

    fn config(&self) -> BrokerConfig {
        let layers = Layers::at_start(self.plan.broker_settings().into_iter().collect());
        let settings = BrokerSettings::new(layers.expect("the settings of a plan are valid"));
        BrokerConfig {
            broker_id: BrokerId(1),
            listen: ADDRESS,
            advertise: None,
            data_directory: PathBuf::from(DATA),
            settings: Arc::new(settings),
            storage: DirectoryOptions {
                checkpoint_bytes: self.plan.checkpoint_bytes,
                open_files_max: self.plan.open_files_max,
                tail_bytes_max: self.plan.tail_bytes_max,
                ..DirectoryOptions::default()
            },
            log_levels: None,
            give_back_memory: || (),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
