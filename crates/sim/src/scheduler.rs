//! [`Scheduler`]: what runs next, and what time it is.
//!
//! Everything runs on one thread: tasks are polled one at a time, workers are given turns, and which of those that could
//! go on does is drawn from the seed. Time stands still while anybody can go on; then it jumps to the next deadline.
//!
//! A sync of the commit worker takes time, in which tasks go on ([`Scheduler::preempt`]): what is appended while a sync
//! runs is the hard case. Only that worker is interrupted like this; it holds no lock that a task takes.
//!
//! Invariants: a task is never polled within its own poll; nothing of a process runs after [`Scheduler::kill`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use env::{BoxFuture, Worker};
use parking_lot::Mutex;

use crate::random::Random;
use crate::trace::Trace;

/// Steps without any time passing after which a run is taken to spin.
const STEPS_AT_ONE_TIME_MAX: u64 = 200_000;
/// Polls of tasks during one sync.
const PREEMPTIONS_MAX: usize = 300;

/// Who a task belongs to. The clients and the world itself are 0; each start of the broker is one more.
pub(crate) type ProcessId = u32;

/// The tasks of clients and of the world.
pub(crate) const WORLD: ProcessId = 0;

/// Decides what runs.
pub(crate) struct Scheduler {
    state: Mutex<State>,
}

struct State {
    now: Duration,
    steps_at_now: u64,
    random: Random,
    trace: Trace,
    tasks: BTreeMap<u64, Arc<Task>>,
    /// By their numbers: in which order they were woken is chance that no seed decides (tokio's `watch` draws its own).
    ready: BTreeMap<u64, Arc<Task>>,
    workers: Vec<Slot>,
    timers: BTreeMap<(Duration, u64), Waker>,
    next_id: u64,
    /// The worker that is having its turn may be interrupted.
    may_preempt: bool,
    /// Why the run must end: the first violation that was found.
    failure: Option<String>,
}

/// A worker and whether it may have something to do.
struct Slot {
    id: u64,
    process: ProcessId,
    worker: Arc<dyn Worker>,
    is_idle: bool,
    is_preemptible: bool,
}

struct Task {
    id: u64,
    process: ProcessId,
    /// It blocks, perhaps until a worker has done something: it does not run within a worker's turn.
    may_block: bool,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    is_queued: AtomicBool,
    scheduler: Weak<Scheduler>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if let Some(scheduler) = self.scheduler.upgrade()
            && !self.is_queued.swap(true, Ordering::Relaxed)
        {
            scheduler.state.lock().ready.insert(self.id, self);
        }
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Scheduler")
    }
}

enum Next {
    Task(Arc<Task>),
    Worker {
        id: u64,
        worker: Arc<dyn Worker>,
        is_preemptible: bool,
    },
    Woken(Vec<Waker>),
    Nothing,
}

impl Scheduler {
    pub(crate) fn new(random: Random, trace: Trace) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                now: Duration::ZERO,
                steps_at_now: 0,
                random,
                trace,
                tasks: BTreeMap::new(),
                ready: BTreeMap::new(),
                workers: Vec::new(),
                timers: BTreeMap::new(),
                next_id: 0,
                may_preempt: false,
                failure: None,
            }),
        })
    }

    /// The time since the world began.
    pub(crate) fn now(&self) -> Duration {
        self.state.lock().now
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        self.state.lock().trace.note(what);
    }

    pub(crate) fn with_trace<T>(&self, look: impl FnOnce(&mut Trace) -> T) -> T {
        look(&mut self.state.lock().trace)
    }

    /// Says that a promise was broken; the run ends at the next step.
    pub(crate) fn fail(&self, why: impl FnOnce() -> String) {
        let mut state = self.state.lock();
        if state.failure.is_none() {
            state.failure = Some(why());
        }
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.state.lock().failure.clone()
    }

    pub(crate) fn spawn(self: &Arc<Self>, process: ProcessId, future: BoxFuture<'static, ()>) {
        self.start(process, future, false);
    }

    /// Starts a task that blocks as if it had a thread of its own.
    pub(crate) fn spawn_blocking(
        self: &Arc<Self>,
        process: ProcessId,
        future: BoxFuture<'static, ()>,
    ) {
        self.start(process, future, true);
    }

    fn start(
        self: &Arc<Self>,
        process: ProcessId,
        future: BoxFuture<'static, ()>,
        may_block: bool,
    ) {
        let mut state = self.state.lock();
        let id = state.take_id();
        let task = Arc::new(Task {
            id,
            process,
            may_block,
            future: Mutex::new(Some(future)),
            is_queued: AtomicBool::new(true),
            scheduler: Arc::downgrade(self),
        });
        state.tasks.insert(id, Arc::clone(&task));
        state.ready.insert(id, task);
    }

    pub(crate) fn add_worker(
        &self,
        process: ProcessId,
        worker: Arc<dyn Worker>,
        is_preemptible: bool,
    ) -> u64 {
        let mut state = self.state.lock();
        let id = state.take_id();
        state.workers.push(Slot {
            id,
            process,
            worker,
            is_idle: false,
            is_preemptible,
        });
        id
    }

    /// Takes a worker out; gives it back if it was still there.
    pub(crate) fn remove_worker(&self, id: u64) -> Option<Arc<dyn Worker>> {
        let mut state = self.state.lock();
        let place = state.workers.iter().position(|slot| slot.id == id)?;
        Some(state.workers.remove(place).worker)
    }

    /// Wakes `waker` at `deadline`; gives back what to cancel it by.
    pub(crate) fn wake_at(&self, deadline: Duration, waker: Waker) -> (Duration, u64) {
        let mut state = self.state.lock();
        let key = (deadline, state.take_id());
        state.timers.insert(key, waker);
        key
    }

    pub(crate) fn cancel_timer(&self, key: (Duration, u64)) {
        let waker = self.state.lock().timers.remove(&key);
        drop(waker);
    }

    /// Ends all tasks and workers of a process, where they stand.
    pub(crate) fn kill(&self, process: ProcessId) {
        let (tasks, workers) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let tasks: Vec<_> = state
                .tasks
                .extract_if(.., |_, task| task.process == process)
                .collect();
            let ready: Vec<_> = state
                .ready
                .extract_if(.., |_, task| task.process == process)
                .collect();
            let workers: Vec<_> = state
                .workers
                .extract_if(.., |slot| slot.process == process)
                .collect();
            ((tasks, ready), workers)
        };
        for (_, task) in &tasks.0 {
            let future = task.future.lock().take();
            drop(future);
        }
        drop(workers);
        drop(tasks);
    }

    /// Does one thing. False if nothing will ever happen again.
    pub(crate) fn step(&self) -> bool {
        let next = self.state.lock().choose();
        match next {
            Next::Task(task) => self.poll(&task),
            Next::Worker {
                id,
                worker,
                is_preemptible,
            } => {
                self.state.lock().may_preempt = is_preemptible;
                let was_busy = worker.turn();
                let mut state = self.state.lock();
                state.may_preempt = false;
                if let Some(slot) = state.workers.iter_mut().find(|slot| slot.id == id) {
                    slot.is_idle = !was_busy;
                }
                if was_busy {
                    state.rouse();
                }
            }
            Next::Woken(wakers) => wakers.into_iter().for_each(Waker::wake),
            Next::Nothing => return false,
        }
        true
    }

    /// The call that is made now takes `latency`: if a worker that may be interrupted makes it, others go on meanwhile.
    pub(crate) fn preempt(&self, latency: Duration) {
        let end = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.may_preempt) {
                return;
            }
            state.now + latency
        };
        for _poll in 0..PREEMPTIONS_MAX {
            let next = self.state.lock().choose_task(end);
            match next {
                Next::Task(task) => self.poll(&task),
                Next::Woken(wakers) => wakers.into_iter().for_each(Waker::wake),
                Next::Worker { .. } | Next::Nothing => break,
            }
        }
        self.state.lock().may_preempt = true;
    }

    fn poll(&self, task: &Arc<Task>) {
        task.is_queued.store(false, Ordering::Relaxed);
        let Some(mut future) = task.future.lock().take() else {
            return;
        };
        let waker = Waker::from(Arc::clone(task));
        let outcome = future.as_mut().poll(&mut Context::from_waker(&waker));
        if outcome.is_pending() {
            *task.future.lock() = Some(future);
        } else {
            drop(future);
            let ended = self.state.lock().tasks.remove(&task.id);
            drop(ended);
        }
        self.state.lock().rouse();
    }
}

impl State {
    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Something happened: every worker may have something to do.
    fn rouse(&mut self) {
        self.workers
            .iter_mut()
            .for_each(|slot| slot.is_idle = false);
    }

    fn choose(&mut self) -> Next {
        let awake: Vec<_> = (0..self.workers.len())
            .filter(|place| !self.workers[*place].is_idle)
            .collect();
        let count = self.ready.len() + awake.len();
        if count == 0 {
            return self.pass_time(None);
        }
        self.count_step();
        let drawn = self.random.index(count);
        if let Some(id) = self.ready.keys().nth(drawn).copied() {
            return self.take_ready(id);
        }
        let slot = &self.workers[awake[drawn - self.ready.len()]];
        Next::Worker {
            id: slot.id,
            worker: Arc::clone(&slot.worker),
            is_preemptible: slot.is_preemptible,
        }
    }

    fn choose_task(&mut self, end: Duration) -> Next {
        let free = self.ready.iter().filter(|(_, task)| !task.may_block);
        let free: Vec<_> = free.map(|(id, _)| *id).collect();
        if free.is_empty() {
            return self.pass_time(Some(end));
        }
        self.count_step();
        let drawn = free[self.random.index(free.len())];
        self.take_ready(drawn)
    }

    fn take_ready(&mut self, id: u64) -> Next {
        let task = self.ready.remove(&id);
        self.trace.note(format_args!("run {id}"));
        task.map_or(Next::Nothing, Next::Task)
    }

    /// Goes to the next deadline, but not beyond `end`.
    fn pass_time(&mut self, end: Option<Duration>) -> Next {
        let next = self.timers.first_key_value().map(|(key, _)| key.0);
        let Some(next) = next.filter(|next| end.is_none_or(|end| *next <= end)) else {
            if let Some(end) = end {
                self.set_now(end);
            }
            return Next::Nothing;
        };
        self.set_now(next);
        let later = self.timers.split_off(&(self.now, u64::MAX));
        let due = std::mem::replace(&mut self.timers, later);
        Next::Woken(due.into_values().collect())
    }

    fn set_now(&mut self, now: Duration) {
        if now > self.now {
            self.now = now;
            self.steps_at_now = 0;
            self.rouse();
            self.trace.note(format_args!("time {}", now.as_micros()));
        }
    }

    fn count_step(&mut self) {
        self.steps_at_now += 1;
        if self.steps_at_now > STEPS_AT_ONE_TIME_MAX && self.failure.is_none() {
            self.failure =
                Some("the broker spins: it is always busy and no time passes".to_owned());
        }
    }
}
