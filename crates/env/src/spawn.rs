//! Starting tasks and threads.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the one place that starts tasks and threads"
)]

use std::fmt::Debug;
use std::io;

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
}

/// A thread that was started; wait for its end with [`Thread::join`].
#[derive(Debug)]
pub struct Thread(std::thread::JoinHandle<()>);

impl Thread {
    /// Waits for the thread's end. False if it ended by a panic.
    pub fn join(self) -> bool {
        self.0.join().is_ok()
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
            .map(Thread)
    }
}
