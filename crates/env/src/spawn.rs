//! Starting tasks and threads.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the one place that starts tasks and threads"
)]

use std::fmt::{self, Debug};
use std::io;
use std::sync::Arc;

use crate::BoxFuture;

/// Starts work beside the caller.
pub trait Spawner: Debug + Send + Sync {
    /// Runs `task` to its end in the background.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Runs `work`, which may block on the disk, on a bounded pool away from the tasks, and waits for it.
    /// If the work panics, the future resolves all the same; the work tells its outcome by what it captured.
    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
    /// Starts a thread of its own for work that blocks for the life of the process.
    ///
    /// # Errors
    /// When the system refuses another thread.
    fn spawn_thread(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Thread>;

    /// Starts a thread of its own for a worker.
    ///
    /// # Errors
    /// When the system refuses another thread.
    fn spawn_worker(&self, name: &str, worker: Arc<dyn Worker>) -> io::Result<Thread> {
        self.spawn_thread(name, Box::new(move || worker.run()))
    }

    /// Whether threads run beside their callers, so that one may block until another has done something. A simulation has
    /// none: it gives each worker its turns, and who needs what a worker does asks for it.
    fn has_threads(&self) -> bool {
        true
    }
}

/// Work for the life of the process that blocks: on the disk, and until there is something to do.
pub trait Worker: Send + Sync {
    /// Works until the worker shall end; blocks while there is nothing to do.
    fn run(&self);
    /// Does some of what waits now, without waiting for more. False if there was nothing to do.
    fn turn(&self) -> bool;
}

/// A thread that was started; wait for its end with [`Thread::join`].
pub struct Thread(Handle);

enum Handle {
    System(std::thread::JoinHandle<()>),
    Simulated(Box<dyn FnOnce() -> bool + Send>),
}

impl Thread {
    /// A thread that is none: `end` brings its work to an end and says whether that went well.
    pub fn simulated(end: Box<dyn FnOnce() -> bool + Send>) -> Self {
        Self(Handle::Simulated(end))
    }

    /// Waits for the thread's end. False if it ended by a panic.
    pub fn join(self) -> bool {
        match self.0 {
            Handle::System(thread) => thread.join().is_ok(),
            Handle::Simulated(end) => end(),
        }
    }
}

impl Debug for Thread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Thread")
    }
}

/// Tasks on a tokio runtime, threads of the operating system.
#[derive(Clone, Debug)]
pub struct TokioSpawner(tokio::runtime::Handle);

impl TokioSpawner {
    /// Spawns on the runtime of the caller.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn current() -> Self {
        Self(tokio::runtime::Handle::current())
    }
}

impl Spawner for TokioSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.0.spawn(task));
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let handle = self.0.spawn_blocking(work);
        Box::pin(async move { drop(handle.await) })
    }

    fn spawn_thread(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Thread> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map(|thread| Thread(Handle::System(thread)))
    }
}
