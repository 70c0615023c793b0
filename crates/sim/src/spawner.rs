//! Tasks and threads of a simulated process. There is one thread: a worker is given turns, work that ends by itself runs at
//! once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use env::{BoxFuture, Spawner, Thread, Worker};
use parking_lot::Mutex;
use storage::COMMIT_THREAD;

use crate::clock::sleep_until;
use crate::process::Life;
use crate::random::Random;
use crate::scheduler::Scheduler;

/// The longest that work on the pool for blocking work waits for its turn, and takes.
const BLOCKING_MAX: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct SimSpawner {
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) life: Arc<Life>,
    pub(crate) random: Mutex<Random>,
}

impl Spawner for SimSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if self.life.is_alive() {
            self.scheduler.spawn(self.life.process, task);
        }
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let (before, after) = {
            let mut random = self.random.lock();
            (random.span(BLOCKING_MAX), random.span(BLOCKING_MAX))
        };
        let scheduler = Arc::clone(&self.scheduler);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task = async move {
            sleep_until(&scheduler, scheduler.now() + before).await;
            work();
            sleep_until(&scheduler, scheduler.now() + after).await;
            // Nobody waits any more: the work is done all the same.
            sender.send(()).ok();
        };
        if self.life.is_alive() {
            self.scheduler
                .spawn_blocking(self.life.process, Box::pin(task));
        }
        Box::pin(async move {
            if receiver.await.is_err() {
                // The process died: nothing of it goes on.
                std::future::pending::<()>().await;
            }
        })
    }

    fn spawn_thread(&self, _name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Thread> {
        work();
        Ok(Thread::simulated(Box::new(|| true)))
    }

    fn spawn_worker(&self, name: &str, worker: Arc<dyn Worker>) -> io::Result<Thread> {
        let scheduler = Arc::clone(&self.scheduler);
        let is_preemptible = name == COMMIT_THREAD;
        let id = scheduler.add_worker(self.life.process, worker, is_preemptible);
        Ok(Thread::simulated(Box::new(move || {
            // It ends once it has done what waits; a dead process does nothing more.
            if let Some(worker) = scheduler.remove_worker(id) {
                while worker.turn() {}
            }
            true
        })))
    }

    fn has_threads(&self) -> bool {
        false
    }
}
