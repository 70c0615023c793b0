//! [`Mailbox`]: what a pipeline is told that it has not heard yet.
//!
//! Invariants: who tells something never waits, so that a pipeline that is slow to end holds up no other; of what is wanted only the
//! last counts, and runs that are asked for wait until the one that goes on has ended, at most [`RUNS_MAX`] of them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::life::Wanted;
use crate::control::ASKS_KEPT;

/// So many runs may wait: more are not known after a start either.
const RUNS_MAX: usize = ASKS_KEPT;

/// What a pipeline is told.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    /// What is wanted is another, or nothing more is told.
    told: Notify,
    /// Who runs it is asked for something.
    asked: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What is to run from now on; inside, nothing if it was forgotten.
    wanted: Option<Option<Wanted>>,
    runs: VecDeque<String>,
    cancels: bool,
    is_closed: bool,
}

impl Mailbox {
    /// This is what runs from now on, with the runs that it is to make; nothing if it was forgotten.
    pub(crate) fn want(&self, wanted: Option<Wanted>, runs: impl IntoIterator<Item = String>) {
        let mut waiting = self.waiting.lock();
        waiting.wanted = Some(wanted);
        // What is done ends anyway.
        waiting.cancels = false;
        waiting.runs = runs.into_iter().collect();
        drop(waiting);
        self.told.notify_one();
        self.asked.notify_one();
    }

    /// It runs now, once, or as soon as what it does has ended. False: too many wait already.
    pub(crate) fn run(&self, id: &str) -> bool {
        let mut waiting = self.waiting.lock();
        let is_known = waiting.runs.iter().any(|waits| waits == id);
        if !is_known && waiting.runs.len() >= RUNS_MAX {
            return false;
        }
        if !is_known {
            waiting.runs.push_back(id.to_owned());
        }
        drop(waiting);
        self.asked.notify_one();
        true
    }

    /// What it does ends at the next commit.
    pub(crate) fn cancel(&self) {
        self.waiting.lock().cancels = true;
        self.asked.notify_one();
    }

    /// Nothing more is told.
    pub(crate) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.told.notify_one();
    }

    /// What is wanted next; nothing if no more comes. May be cancelled at any point.
    pub(crate) async fn next_wanted(&self) -> Option<Option<Wanted>> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if waiting.is_closed {
                    return None;
                }
                if let Some(wanted) = waiting.wanted.take() {
                    return Some(wanted);
                }
            }
            self.told.notified().await;
        }
    }

    /// The next run that is asked for. What does not go on cannot be cancelled. May be cancelled at any point.
    pub(crate) async fn next_run(&self) -> String {
        loop {
            {
                let mut waiting = self.waiting.lock();
                waiting.cancels = false;
                if let Some(id) = waiting.runs.pop_front() {
                    return id;
                }
            }
            self.asked.notified().await;
        }
    }

    /// Waits until what goes on is cancelled; runs that are asked for go on waiting.
    pub(crate) async fn cancelled(&self) {
        while !std::mem::take(&mut self.waiting.lock().cancels) {
            self.asked.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_however_much_is_told_and_runs_keep_their_order() {
        let mailbox = Mailbox::default();
        for number in 0..RUNS_MAX {
            assert!(mailbox.run(&number.to_string()));
            assert!(mailbox.run("0"), "it is known");
            mailbox.want(None, ["0".to_owned()].into_iter().take(1));
            mailbox.want(None, (0..=number).map(|number| number.to_string()));
        }
        assert!(!mailbox.run("one more"));
        mailbox.cancel();
        mailbox.cancelled().await;
        assert_eq!(mailbox.next_run().await, "0");
        assert_eq!(mailbox.next_run().await, "1");
        assert!(matches!(mailbox.next_wanted().await, Some(None)));
        mailbox.close();
        assert!(mailbox.next_wanted().await.is_none());
    }
}
