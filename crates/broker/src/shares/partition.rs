//! One share partition while this broker leads it: its state machine, and who waits for its records.
//!
//! ```text
//! Loading ──► Serving ──► Ended (fenced, the group has nobody left, the topic is gone)
//!      └────► Failed
//! ```
//!
//! Invariant: only one fetch at a time reads for a partition, because two would read the same records.

use std::sync::{Arc, Weak};

use coordinator::share_partition::SharePartition;
use coordinator::share_state::SharePartitionKey;
use parking_lot::{Mutex, MutexGuard};
use protocol::ErrorCode;
use storage::PartitionLog;
use types::LeaderEpoch;

use super::wait::FetchWaiter;

/// How far along a partition is.
#[derive(Debug)]
pub(super) enum State {
    /// The share coordinator is asked for the state.
    Loading,
    Serving(Box<SharePartition>),
    /// It could not be loaded; whoever asks again starts anew.
    Failed(ErrorCode),
    /// Another life of it may begin.
    Ended,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) state: State,
    is_fetching: bool,
}

impl Inner {
    /// The machine, while it serves.
    pub(super) fn machine(&mut self) -> Option<&mut SharePartition> {
        match &mut self.state {
            State::Serving(machine) => Some(machine),
            State::Loading | State::Failed(_) | State::Ended => None,
        }
    }
}

/// A share partition.
#[derive(Debug)]
pub(super) struct LivePartition {
    pub(super) key: SharePartitionKey,
    pub(super) log: Arc<dyn PartitionLog>,
    /// The epoch this broker led in when the partition was loaded.
    pub(super) epoch: LeaderEpoch,
    inner: Mutex<Inner>,
    waiting: Mutex<Vec<Weak<FetchWaiter>>>,
}

/// Whether a fetch may read.
pub(super) enum Begun {
    /// From here on.
    At(i64, FetchGuard),
    /// Not now: it loads, somebody else reads, or too much is in flight.
    Wait,
    /// Never, and whoever asks is told when their wait is over: asking again at once would not help.
    NotLoaded(ErrorCode),
    /// Never.
    Failed(ErrorCode),
}

impl LivePartition {
    pub(super) fn new(
        key: SharePartitionKey,
        log: Arc<dyn PartitionLog>,
        epoch: LeaderEpoch,
    ) -> Self {
        Self {
            key,
            log,
            epoch,
            inner: Mutex::new(Inner {
                state: State::Loading,
                is_fetching: false,
            }),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Whether it cannot serve any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.lock().state, State::Failed(_) | State::Ended)
    }

    pub(super) fn begin_fetch(self: &Arc<Self>) -> Begun {
        let mut inner = self.lock();
        if inner.is_fetching {
            return Begun::Wait;
        }
        match &mut inner.state {
            State::Loading => Begun::Wait,
            State::Failed(code) => Begun::NotLoaded(*code),
            State::Ended => Begun::Failed(ErrorCode::NotLeaderOrFollower),
            State::Serving(machine) => {
                if !machine.can_acquire() {
                    return Begun::Wait;
                }
                let offset = machine.next_fetch_offset();
                inner.is_fetching = true;
                Begun::At(
                    offset,
                    FetchGuard {
                        partition: Arc::clone(self),
                    },
                )
            }
        }
    }

    /// Tells `waiter` when there may be records to have.
    pub(super) fn subscribe(&self, waiter: &Arc<FetchWaiter>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|waiter| waiter.strong_count() > 0);
        waiting.push(Arc::downgrade(waiter));
    }

    /// Whoever waits looks again.
    pub(super) fn wake(&self) {
        for waiter in self.waiting.lock().iter().filter_map(Weak::upgrade) {
            waiter.wake();
        }
    }

    /// Nothing more happens here.
    pub(super) fn end(&self, state: State) {
        self.lock().state = state;
        self.wake();
    }
}

/// The right to read for a partition, given back when dropped.
#[derive(Debug)]
pub(super) struct FetchGuard {
    pub(super) partition: Arc<LivePartition>,
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        self.partition.lock().is_fetching = false;
    }
}
