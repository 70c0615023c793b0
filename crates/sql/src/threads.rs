//! The threads of queries: [`Threads`], and [`Workers`] for what blocks.
//!
//! Invariants: queries run on threads of their own, which take what the rest of the process leaves of the processors, so that
//! a query does not delay who produces and consumes. A thread that yields so may stand still for long; so it never holds
//! what others wait for: whatever takes locks of the broker or of a log is asked on threads that do not yield.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

use crate::options::Priority;

/// Threads that may block: those of scans, which are as many as queries have, and DataFusion's own for spilled files.
const BLOCKING_THREADS: usize = 64;
/// A thread that blocks and has nothing to do ends after this.
const IDLE_THREAD: Duration = Duration::from_secs(10);
/// What statements within the bounds (`bounds`) take, several times; only what is touched takes memory.
const STACK_BYTES: usize = 16 << 20;
/// `nice` of threads that are to yield and may not, and of those of low priority.
const NICENESS_MAX: i32 = 19;
const NICENESS_LOW: i32 = 10;

/// The threads of an engine.
#[derive(Debug)]
pub(crate) struct Threads {
    queries: Runtime,
    /// All its threads are there from the start, for a thread is of the class of the one that starts it.
    asking: Runtime,
    count: usize,
}

impl Threads {
    /// `count` threads for queries, and as many that ask the broker for them.
    pub(crate) fn start(count: usize, priority: Priority) -> io::Result<Self> {
        let queries = Builder::new_multi_thread()
            .worker_threads(count)
            .max_blocking_threads(BLOCKING_THREADS.max(count))
            .thread_keep_alive(IDLE_THREAD)
            .thread_stack_size(STACK_BYTES)
            .thread_name("sql")
            .on_thread_start(move || lower_priority(priority))
            .enable_all()
            .build()?;
        let asking = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("sql-asks")
            .build()?;
        Ok(Self {
            queries,
            asking,
            count,
        })
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.queries.handle()
    }

    /// Workers that yield.
    pub(crate) fn workers(&self) -> Workers {
        Workers::new(self.queries.handle().clone(), self.count)
    }

    pub(crate) fn asking(&self) -> Asking {
        Asking(self.asking.handle().clone())
    }

    /// Waiting for threads is not allowed everywhere; what still runs ends at its next step.
    pub(crate) fn stop(self) {
        self.queries.shutdown_background();
        self.asking.shutdown_background();
    }
}

/// Has this thread take what the others leave.
pub fn lower_priority(priority: Priority) {
    match priority {
        Priority::Idle => yield_to_others(),
        Priority::Low => be_nice(NICENESS_LOW),
    }
}

/// Makes this thread one that runs when no other of the process wants to, as long as any processor is left to it. A lower weight
/// alone (`nice`) is not enough: Linux lets a thread finish its slice of a few milliseconds before one that wakes, unless it is of
/// this class.
fn yield_to_others() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    let Err(error) = set else { return };
    tracing::debug!(
        ?error,
        "a thread of queries could not be made one that yields"
    );
    be_nice(NICENESS_MAX);
}

/// On Linux the priority is that of this thread.
fn be_nice(niceness: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, niceness) {
        tracing::debug!(%error, "could not lower the priority of a thread");
    }
}

/// Threads for work that blocks, so many at once; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    handle: Handle,
    permits: Arc<Semaphore>,
}

impl Workers {
    pub(crate) fn new(handle: Handle, threads: usize) -> Self {
        Self {
            handle,
            permits: Arc::new(Semaphore::new(threads)),
        }
    }

    /// Runs `work` and waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_closed| exec_datafusion_err!("the engine was stopped"))?;
        let work = self.handle.spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        // A panic is that of one query.
        work.await
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

/// Threads that do not yield, for questions to the broker and to logs; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Asking(Handle);

impl Asking {
    /// Runs `work` and waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        // Nothing else runs there, so that it may block.
        let work = self.0.spawn(async move { work() });
        work.await
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The scheduling policy of this thread, as Linux tells it (proc(5), field 41): 0 for normal threads, 5 for those that
    /// run when no other wants to.
    fn policy() -> u32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, behind_name) = stat.rsplit_once(") ").unwrap();
        behind_name.split(' ').nth(41 - 3).unwrap().parse().unwrap()
    }

    #[test]
    fn queries_yield_and_who_asks_does_not() {
        let threads = Threads::start(2, Priority::Idle).unwrap();
        let (workers, asking) = (threads.workers(), threads.asking());
        let policies = threads.handle().spawn(async move {
            let worker = workers.run(policy).await.unwrap();
            (policy(), worker, asking.run(policy).await.unwrap())
        });
        let policies = threads.handle().block_on(policies).unwrap();
        assert_eq!(policies, (5, 5, 0));
        assert_eq!(policy(), 0);
        threads.stop();
    }
}
