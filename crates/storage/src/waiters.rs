//! [`CommitWaiters`]: who waits for an offset of a log to become visible.
//!
//! Invariant: a waiter for `end` resolves with success only once the high watermark reached `end`, and with the failure
//! only if it never will; those who asked first are told first.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use types::Offset;

use crate::local_log::LocalLog;
use crate::{BoxedCommit, CommitFailed};

/// Those who wait for offsets of one log.
#[derive(Debug, Default)]
pub(crate) struct CommitWaiters {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reached: Offset,
    failure: Option<CommitFailed>,
    /// In ascending order of `end` but for late duplicates, which wait for an older offset.
    waiting: VecDeque<Waiter>,
    next_key: u64,
}

#[derive(Debug)]
struct Waiter {
    end: Offset,
    key: u64,
    waker: Waker,
}

impl CommitWaiters {
    /// Nobody waits, and everything below `end` is visible.
    pub(crate) fn from_visible(end: Offset) -> Self {
        let state = State {
            reached: end,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Everything below `end` is visible.
    pub(crate) fn reached(&self, end: Offset) {
        let ready = {
            let mut state = self.state.lock();
            state.reached = state.reached.max(end);
            let ready = state.waiting.partition_point(|waiter| waiter.end <= end);
            state.waiting.drain(..ready).collect::<Vec<_>>()
        };
        for waiter in ready {
            waiter.waker.wake();
        }
    }

    /// What is not visible yet never will be.
    pub(crate) fn failed(&self, failure: CommitFailed) {
        let waiting = {
            let mut state = self.state.lock();
            state.failure.get_or_insert(failure);
            std::mem::take(&mut state.waiting)
        };
        for waiter in waiting {
            waiter.waker.wake();
        }
    }

    fn poll(
        &self,
        end: Offset,
        key: &mut Option<u64>,
        context: &Context<'_>,
    ) -> Poll<Result<(), CommitFailed>> {
        let mut state = self.state.lock();
        if state.reached >= end {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        let known = key.and_then(|key| state.waiting.iter_mut().find(|waiter| waiter.key == key));
        if let Some(waiter) = known {
            waiter.waker.clone_from(context.waker());
            return Poll::Pending;
        }
        let number = state.next_key;
        state.next_key += 1;
        *key = Some(number);
        let waiter = Waiter {
            end,
            key: number,
            waker: context.waker().clone(),
        };
        // Almost always at the back: tickets are polled in the order of their appends.
        let place = state.waiting.partition_point(|other| other.end <= end);
        state.waiting.insert(place, waiter);
        Poll::Pending
    }

    fn forget(&self, key: u64) {
        self.state.lock().waiting.retain(|waiter| waiter.key != key);
    }
}

/// Waits for an offset; see [`crate::AppendTicket::commit`].
#[derive(Debug)]
struct CommitWait {
    log: Arc<LocalLog>,
    end: Offset,
    key: Option<u64>,
}

/// A commit that resolves once everything below `end` is visible.
pub(crate) fn wait_for(log: Arc<LocalLog>, end: Offset) -> BoxedCommit {
    BoxedCommit(Box::pin(CommitWait {
        log,
        end,
        key: None,
    }))
}

impl Future for CommitWait {
    type Output = Result<(), CommitFailed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let outcome = this.log.waiters.poll(this.end, &mut this.key, context);
        if outcome.is_ready() {
            this.key = None;
        }
        outcome
    }
}

impl Drop for CommitWait {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.log.waiters.forget(key);
        }
    }
}
