//! Who breaks things: blows of the kinds that the plan has, and between them rests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::disk::{Faults, Loss};
use crate::network::Weather;
use crate::plan::TopicKind;
use crate::random::Random;
use crate::world::{Crash, DATA, Phase, World};

/// How often the broker's state is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// A start or stop that takes longer hangs.
const START_MAX: Duration = Duration::from_secs(120);

/// A kind of blow.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill,
    PowerLoss,
    Stop,
    DiskErrors,
    DiskFull,
    Network,
    Clock,
    Rest,
}

#[derive(Debug)]
pub(crate) struct Nemesis {
    world: Arc<World>,
    random: Random,
    blows: Vec<Blow>,
}

impl Nemesis {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let plan = world.plan.faults;
        let kinds = [
            (plan.kills, Blow::Kill),
            (plan.power_losses, Blow::PowerLoss),
            (plan.stops, Blow::Stop),
            (plan.disk_errors, Blow::DiskErrors),
            (plan.disk_full, Blow::DiskFull),
            (plan.bad_network, Blow::Network),
            (plan.clock_jumps, Blow::Clock),
            (true, Blow::Rest),
        ];
        let blows = kinds.into_iter().filter(|(is_on, _)| *is_on);
        Self {
            random: world.fork(),
            blows: blows.map(|(_, blow)| blow).collect(),
            world,
        }
    }

    /// Has the broker up before anything else begins.
    pub(crate) async fn begin(&mut self) {
        let latency = if self.world.plan.faults.slow_disk {
            [50, 500, 5_000][self.random.index(3)]
        } else {
            2
        };
        self.mend(Duration::from_millis(latency));
        self.start().await;
    }

    pub(crate) async fn run(mut self) {
        let latency = Duration::from_millis(if self.world.plan.faults.slow_disk {
            500
        } else {
            2
        });
        for _blow in 0..self.world.plan.faults.blows {
            let rest = self.random.span(self.world.plan.faults.rest * 4);
            self.world.sleep(rest).await;
            let blow = self.blows[self.random.index(self.blows.len())];
            self.world.scheduler.note(format_args!("blow {blow:?}"));
            self.strike(blow).await;
            self.mend(latency);
            if !self.is_up() {
                self.start().await;
                self.strike_again(latency).await;
            }
        }
    }

    /// What a start made of what a crash left is the hard case: another crash comes before much was written over it.
    async fn strike_again(&mut self, latency: Duration) {
        if !self.world.plan.faults.crashes_again {
            return;
        }
        for _again in 0..self.random.below(4) {
            let rest = self.random.span(Duration::from_millis(500));
            self.world.sleep(rest).await;
            let crash = self.draw_crash();
            self.crash(crash).await;
            self.mend(latency);
            self.start().await;
        }
    }

    /// Everything works again, and the broker starts once more over what it has on disk.
    pub(crate) async fn end(&mut self) {
        self.mend(Duration::from_millis(2));
        self.world.wires.set_weather(Weather::default());
        let crash = if self.world.plan.faults.power_losses {
            Some(Crash::PowerLoss(self.draw_loss()))
        } else if self.world.plan.faults.kills {
            Some(Crash::Kill)
        } else {
            None
        };
        match crash {
            Some(crash) if self.is_up() => self.crash(crash).await,
            _ => self.stop().await,
        }
        self.start().await;
    }

    async fn strike(&mut self, blow: Blow) {
        match blow {
            Blow::Kill => self.crash(Crash::Kill).await,
            Blow::PowerLoss => {
                let loss = self.draw_loss();
                self.crash(Crash::PowerLoss(loss)).await;
            }
            Blow::Stop => self.stop().await,
            Blow::DiskErrors => self.break_disk().await,
            Blow::DiskFull => {
                self.world.machine.set_faults(Faults {
                    is_full: true,
                    latency: Duration::from_millis(2),
                    ..Faults::default()
                });
                self.rest().await;
                if self.random.chance(300) {
                    self.crash(Crash::Kill).await;
                    self.try_start().await;
                }
            }
            Blow::Network => {
                for _cut in 0..self.random.below(4) {
                    self.world.wires.cut_one();
                }
                for _stall in 0..self.random.below(3) {
                    self.world.wires.stall_one();
                }
                self.world.wires.set_weather(Weather {
                    latency: Duration::from_millis(self.random.below(500)),
                    cut: self.random.below(1000),
                    reset: self.random.below(50),
                });
                self.rest().await;
                self.world.wires.set_weather(Weather::default());
            }
            Blow::Clock => {
                let jump = i64::try_from(self.random.below(7_200_000)).unwrap_or(0) - 3_600_000;
                self.world.wall_offset_ms.fetch_add(jump, Ordering::Relaxed);
            }
            Blow::Rest => self.rest().await,
        }
    }

    /// The disk fails now and then for a while; after that the machine restarts, as its operator would have it.
    async fn break_disk(&mut self) {
        let mut rate = |limit| {
            if self.random.chance(400) {
                self.random.below(limit)
            } else {
                0
            }
        };
        let faults = Faults {
            open: rate(100),
            read: rate(200),
            write: rate(200),
            sync: rate(300),
            names: rate(100),
            is_full: false,
            latency: Duration::from_millis(2),
        };
        self.world.machine.set_faults(faults);
        self.rest().await;
        if self.random.chance(500) {
            let crash = self.draw_crash();
            self.crash(crash).await;
            self.try_start().await;
            self.rest().await;
        }
        self.mend(Duration::from_millis(2));
        let crash = self.draw_crash();
        self.crash(crash).await;
    }

    fn draw_crash(&mut self) -> Crash {
        if self.world.plan.faults.power_losses && self.random.chance(500) {
            Crash::PowerLoss(self.draw_loss())
        } else {
            Crash::Kill
        }
    }

    fn draw_loss(&mut self) -> Loss {
        let shares = [0, 100, 500, 900, 1000];
        Loss {
            kept: shares[self.random.index(5)],
            torn: shares[self.random.index(5)],
        }
    }

    fn mend(&self, latency: Duration) {
        self.world.machine.set_faults(Faults {
            latency,
            ..Faults::default()
        });
    }

    async fn rest(&mut self) {
        let rest = self.random.span(self.world.plan.faults.rest * 10);
        self.world.sleep(rest).await;
    }

    fn is_up(&self) -> bool {
        self.world.phase(|phase| matches!(phase, Phase::Up(_)))
    }

    fn is_down(&self) -> bool {
        self.world.phase(|phase| matches!(phase, Phase::Down))
    }

    /// The process dies now, or in the middle of one of its next changes of the disk.
    async fn crash(&mut self, crash: Crash) {
        if self.random.chance(300) {
            self.world.crash_now(crash);
        } else {
            let changes = self.random.below(60);
            self.world.crash_after(changes, crash);
        }
        let patience = self.world.scheduler.now() + Duration::from_secs(2);
        while !self.is_down() {
            if self.world.scheduler.now() > patience {
                self.world.crash_now(crash);
            }
            self.world.sleep(LOOK).await;
        }
    }

    async fn stop(&mut self) {
        self.world.stop_broker();
        if self.random.chance(200) {
            // It is hit while it stops.
            let changes = self.random.below(40);
            self.world.crash_after(changes, Crash::Kill);
        }
        let patience = self.world.scheduler.now() + START_MAX;
        while !self.is_down() {
            if self.world.scheduler.now() > patience {
                self.world
                    .model
                    .fail(|| "the broker does not stop".to_owned());
                return;
            }
            self.world.sleep(LOOK).await;
        }
        self.world.clear_away();
    }

    /// Starts the broker, which must succeed on a disk that works.
    async fn start(&mut self) {
        if let Some(why) = self.try_start().await {
            self.world
                .model
                .fail(|| format!("the broker does not start: {why}"));
        }
    }

    /// A bit flips in what a topic that is for it has on disk: in a closed segment, or beside it.
    fn damage(&self) {
        for partition in self
            .world
            .plan
            .partitions(|kind| kind == TopicKind::Damaged)
        {
            let folder = PathBuf::from(DATA).join("logs").join(partition.key());
            self.world.machine.flip_bit(&folder);
        }
    }

    /// Starts the broker. Why it did not, if so.
    async fn try_start(&mut self) -> Option<String> {
        if !self.is_down() {
            return None;
        }
        if self.random.chance(300) {
            self.damage();
        }
        self.world.start_broker();
        let patience = self.world.scheduler.now() + START_MAX;
        loop {
            self.world.sleep(LOOK).await;
            let failure = self.world.phase(|phase| match phase {
                Phase::Up(_) => Some(None),
                Phase::Failed(why) => Some(Some(why.clone())),
                Phase::Down => Some(Some("it is gone".to_owned())),
                Phase::Starting | Phase::Stopping => None,
            });
            match failure {
                Some(None) => return None,
                Some(Some(why)) => {
                    self.world.clear_away();
                    return Some(why);
                }
                None if self.world.scheduler.now() > patience => {
                    return Some("it takes too long".to_owned());
                }
                None => {}
            }
        }
    }
}
