//! The memory that requests and their answers may take in all: `queued.max.request.bytes`.
//!
//! Counted are the buffers that requests arrive in, half-received ones too, requests in flight with what decoding them may
//! take, and answers that clients have not read. A connection that may have no more is not read from, which its client feels
//! as back-pressure, and nobody waits for ever: see [`accounts`]. Kafka counts requests only, by the length they claim
//! (`SimpleMemoryPool`, `SocketServer`); here a claim costs nothing.
//!
//! Invariant: a connection's account is at least what it holds, once its turn has ended.
//! Invariant: what is held and what was freed but may still be the process's, for the allocator keeps it, stay within the
//! limit together: see [`freed`].

mod accounts;
mod freed;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use env::{BoxFuture, Clock};
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use types::Instant;

pub(crate) use self::accounts::KEPT;
use self::accounts::{Accounts, Id};
use self::freed::Freed;

/// How often the first of those that wait looks for somebody who has to give way.
const TICK: Duration = Duration::from_millis(100);
/// What a connection may have in its account beyond what it holds, so that not every request touches the accounts.
const SLACK: usize = 64 * 1024;
/// How often progress is noted.
const TOUCH_INTERVAL: Duration = Duration::from_millis(100);
/// How often the log tells that memory is used up.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The memory for requests and answers of all connections.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    clock: Arc<dyn Clock>,
    limit: usize,
    give_back: fn(),
    state: Mutex<State>,
    metrics: Arc<RequestMemoryMetrics>,
}

/// What is counted about the memory for requests.
#[derive(Debug, Default)]
pub struct RequestMemoryMetrics {
    /// Bytes in use now.
    pub used: AtomicU64,
    /// How often a connection had to wait for memory.
    pub waits: AtomicU64,
    /// Connections that were closed because others waited for the memory they held.
    pub evicted: AtomicU64,
}

#[derive(Debug)]
struct State {
    accounts: Accounts,
    freed: Freed,
    callers: BTreeMap<Id, Arc<Caller>>,
    next_id: Id,
    warned: Option<Instant>,
}

/// How a connection is reached.
#[derive(Debug, Default)]
struct Caller {
    waker: AtomicWaker,
    /// Others wait for what it holds.
    told: AtomicBool,
}

impl RequestMemory {
    /// Memory of `limit` bytes in all. `give_back` has the allocator give back to the system what was freed.
    pub(crate) fn new(clock: Arc<dyn Clock>, limit: usize, give_back: fn()) -> Arc<Self> {
        Arc::new(Self {
            clock,
            limit,
            give_back,
            state: Mutex::new(State {
                accounts: Accounts::new(limit),
                freed: Freed::new(limit),
                callers: BTreeMap::new(),
                next_id: 0,
                warned: None,
            }),
            metrics: Arc::default(),
        })
    }

    pub(crate) fn metrics(&self) -> &Arc<RequestMemoryMetrics> {
        &self.metrics
    }

    /// The account of a new connection.
    pub(crate) fn open(self: &Arc<Self>) -> Account {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.accounts.open(id, now);
        let caller: Arc<Caller> = Arc::default();
        state.callers.insert(id, Arc::clone(&caller));
        Account {
            caller,
            memory: Arc::clone(self),
            id,
            balance: 0,
            touched: now,
            waits: Waits::No,
            tick: None,
        }
    }

    /// Lets the connection hold `want` bytes in all, if it may.
    fn ask(&self, id: Id, want: usize) -> bool {
        let mut state = self.state.lock();
        let granted = state.accounts.ask(id, want, self.clock.now());
        if granted {
            // Another one may be the first of a queue now.
            self.changed(state);
        }
        granted
    }

    /// Frees memory or a place in a queue.
    fn free(&self, change: impl FnOnce(&mut Accounts)) {
        let mut state = self.state.lock();
        change(&mut state.accounts);
        self.changed(state);
    }

    /// Lets those ask again that have waited longest, and has freed memory given back when there is much of it.
    fn changed(&self, mut state: MutexGuard<'_, State>) {
        let used = state.accounts.used();
        self.metrics.used.store(used as u64, Ordering::Relaxed);
        for id in state.accounts.first().into_iter().flatten() {
            if let Some(caller) = state.callers.get(&id) {
                caller.waker.wake();
            }
        }
        let is_due = state.freed.is_due(used);
        drop(state);
        if is_due {
            (self.give_back)();
        }
    }

    /// Tells others to give way.
    fn press(&self, id: Id, want: usize) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        for holder in state.accounts.press(id, want, now) {
            if let Some(caller) = state.callers.get(&holder) {
                caller.told.store(true, Ordering::Relaxed);
                caller.waker.wake();
            }
        }
        let due = |warned: Instant| now.since(warned) >= WARN_INTERVAL;
        if state.warned.is_none_or(due) {
            state.warned = Some(now);
            tracing::warn!(
                limit = self.limit,
                "the memory for requests (queued.max.request.bytes) is used up: connections wait to be read from"
            );
        }
    }
}

/// Whether a connection waits for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    /// Since an earlier turn; it did not ask in this one.
    Before,
    /// It asked in this turn.
    Now,
}

/// One connection's part of the memory; free again when it is dropped.
pub(crate) struct Account {
    memory: Arc<RequestMemory>,
    caller: Arc<Caller>,
    id: Id,
    /// What the accounts say it holds.
    balance: usize,
    touched: Instant,
    waits: Waits,
    tick: Option<BoxFuture<'static, ()>>,
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Account");
        fields.field("id", &self.id);
        fields.field("balance", &self.balance);
        fields.finish_non_exhaustive()
    }
}

impl Account {
    /// A turn of the connection begins. True if it has to give way: others wait for what it holds.
    pub(crate) fn begin_turn(&mut self, context: &Context<'_>) -> bool {
        if self.waits == Waits::Now {
            self.waits = Waits::Before;
        }
        self.caller.waker.register(context.waker());
        self.caller.told.swap(false, Ordering::Relaxed)
            && self.memory.state.lock().accounts.must_give_way(self.id)
    }

    /// Whether the connection may hold `bytes` in all. If not, it is woken once it should ask again.
    pub(crate) fn may_hold(&mut self, bytes: usize, context: &mut Context<'_>) -> bool {
        if bytes <= self.balance && self.waits == Waits::No {
            return true;
        }
        if self.memory.ask(self.id, bytes) {
            self.balance = self.balance.max(bytes);
            self.waits = Waits::No;
            self.tick = None;
            return true;
        }
        if self.waits == Waits::No {
            self.memory.metrics.waits.fetch_add(1, Ordering::Relaxed);
        }
        self.waits = Waits::Now;
        self.wait(bytes, context);
        false
    }

    fn wait(&mut self, bytes: usize, context: &mut Context<'_>) {
        loop {
            if let Some(tick) = &mut self.tick
                && tick.as_mut().poll(context).is_pending()
            {
                return;
            }
            self.memory.press(self.id, bytes);
            let clock = &self.memory.clock;
            self.tick = Some(clock.sleep_until(clock.now().plus(TICK)));
        }
    }

    /// The connection holds this much now.
    pub(crate) fn settle(&mut self, bytes: usize) {
        let slack = if bytes == 0 || self.is_tight() {
            0
        } else {
            SLACK
        };
        if bytes > self.balance || self.balance - bytes > slack {
            let id = self.id;
            self.memory.free(|accounts| accounts.hold(id, bytes));
            self.balance = bytes;
        }
    }

    /// The connection finished something: what it holds serves somebody.
    pub(crate) fn touch(&mut self, now: Instant) {
        if now.since(self.touched) >= TOUCH_INTERVAL {
            self.touched = now;
            self.memory.state.lock().accounts.touch(self.id, now);
        }
    }

    /// Whether connections should keep no memory that they do not need now.
    pub(crate) fn is_tight(&self) -> bool {
        let used = self.memory.metrics.used.load(Ordering::Relaxed);
        usize::try_from(used).unwrap_or(usize::MAX) > self.memory.limit / 2
    }

    /// A turn of the connection ends. What it did not ask for again, it no longer wants.
    pub(crate) fn end_turn(&mut self) {
        if self.waits == Waits::Before {
            let id = self.id;
            self.memory.free(|accounts| {
                accounts.leave_queue(id);
            });
            self.waits = Waits::No;
            self.tick = None;
        }
    }

    /// The connection is closed because it has to give way.
    pub(crate) fn evicted(&self) {
        self.memory.metrics.evicted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let id = self.id;
        self.memory.state.lock().callers.remove(&id);
        self.memory.free(|accounts| accounts.close(id));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Waker;

    use env::SystemClock;

    use super::*;

    #[test]
    fn what_connections_freed_is_given_back_before_others_take_as_much() {
        const MIB: usize = 1024 * 1024;
        static GIVEN_BACK: AtomicUsize = AtomicUsize::new(0);
        let memory = RequestMemory::new(Arc::new(SystemClock::new()), 64 * MIB, || {
            GIVEN_BACK.fetch_add(1, Ordering::Relaxed);
        });
        let mut context = Context::from_waker(Waker::noop());
        for before in 0..20_usize {
            let mut account = memory.open();
            assert!(account.may_hold(40 * MIB, &mut context));
            // Twice 40 MiB would be beyond the limit.
            assert_eq!(GIVEN_BACK.load(Ordering::Relaxed), before);
            drop(account);
        }
    }
}
