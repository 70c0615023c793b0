//! The outside world as traits: clock, randomness, disk, network and tasks.
//!
//! Invariant: nothing in the broker, the storage or the coordinators reads a clock, draws a random number, opens a file,
//! opens a socket or starts a task except through an [`Env`]. That is what lets the same code run on simulated time,
//! disks and networks. `clippy.toml` bans the direct calls everywhere else.

mod clock;
pub mod disk;
pub mod net;
mod random;
mod spawn;

use std::sync::Arc;

pub use clock::{Clock, SystemClock};
pub use random::{Random, SystemRandom};
pub use spawn::{Spawner, Thread, TokioSpawner, Worker};

/// A future whose type is not named, for traits that are used behind `dyn`.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything the process may use of its surroundings; cheap to clone.
#[derive(Clone, Debug)]
pub struct Env {
    /// What time it is, and waiting for a time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Files.
    pub disk: Arc<dyn disk::Disk>,
    /// Sockets.
    pub network: Arc<dyn net::Network>,
    /// Tasks and threads.
    pub spawner: Arc<dyn Spawner>,
}

impl Env {
    /// The machine as it is. Tasks run on the tokio runtime of the caller.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            disk: Arc::new(disk::SystemDisk),
            network: Arc::new(net::SystemNetwork),
            spawner: Arc::new(TokioSpawner::current()),
        }
    }
}
