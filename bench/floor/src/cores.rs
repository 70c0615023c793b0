//! Which cores the measured process and its client run on.
//!
//! In a virtual machine a wake that crosses to a sleeping core costs tens of microseconds and is charged to whoever wakes, so
//! runs that leave placement to the scheduler fall into two groups. Choosing the placement makes rows comparable.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::thread::{CpuSet, sched_setaffinity};

static PLACEMENT: OnceLock<Placement> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Placement {
    /// The scheduler decides.
    Free,
    /// Server and client share core 0: no wake crosses cores.
    Same,
    /// The server has core 1, the client core 0.
    Split,
}

impl Placement {
    /// The placement chosen on the command line.
    pub(crate) fn chosen() -> Self {
        PLACEMENT.get().copied().unwrap_or(Self::Free)
    }

    /// Moves this process, the server of a run, to its core and remembers the choice for its clients.
    pub(crate) fn place_server(self) -> Result<()> {
        // Set once, by main.
        let _chosen = PLACEMENT.set(self);
        self.pin(usize::from(self == Self::Split))
    }

    /// Moves this process, the client of a run, to its core.
    pub(crate) fn place_client(self) -> Result<()> {
        self.pin(0)
    }

    fn pin(self, core: usize) -> Result<()> {
        if self == Self::Free {
            return Ok(());
        }
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(None, &cores).with_context(|| format!("moving to core {core}"))
    }
}
