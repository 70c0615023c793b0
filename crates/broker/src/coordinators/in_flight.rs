//! Replies that wait until what they promise is durable.
//!
//! Invariant: replies leave in the order in which the machine gave them. A reply without records of its own waits for
//! the appends before it too, because it may tell of their effects.

use std::collections::VecDeque;

use coordinator::GroupReply;
use storage::BoxedCommit;
use tokio::sync::oneshot;

use super::errors::CoordinatorError;

/// Where an answer goes; whoever waited may have gone away meanwhile.
pub(super) type Answer = oneshot::Sender<Result<GroupReply, CoordinatorError>>;

/// A reply and where it goes.
#[derive(Debug)]
pub(super) struct ParkedReply {
    pub(super) answer: Answer,
    pub(super) reply: GroupReply,
}

impl ParkedReply {
    pub(super) fn send(self, outcome: Result<(), CoordinatorError>) {
        // Nobody is there any more: the client has closed its connection.
        drop(self.answer.send(outcome.map(|()| self.reply)));
    }
}

/// An append that is not yet known to be durable.
#[derive(Debug)]
struct Append {
    /// Taken by whoever waits for it.
    commit: Option<BoxedCommit>,
    replies: Vec<ParkedReply>,
}

/// The appends of a shard that are not yet durable, oldest first.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    appends: VecDeque<Append>,
    /// Somebody waits for the oldest append and will go on to the next.
    watched: bool,
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    /// Parks `replies` behind a new append. True if nobody watches yet: the caller must see to it.
    #[must_use]
    pub(super) fn push(&mut self, commit: BoxedCommit, replies: Vec<ParkedReply>) -> bool {
        self.appends.push_back(Append {
            commit: Some(commit),
            replies,
        });
        !std::mem::replace(&mut self.watched, true)
    }

    /// Sends replies as soon as everything appended so far is durable, which may be now.
    pub(super) fn send_behind(&mut self, mut replies: Vec<ParkedReply>) {
        match self.appends.back_mut() {
            Some(last) => last.replies.append(&mut replies),
            None => replies.into_iter().for_each(|reply| reply.send(Ok(()))),
        }
    }

    /// The commit to wait for next; `None` ends the watch.
    pub(super) fn watch_oldest(&mut self) -> Option<BoxedCommit> {
        let commit = self
            .appends
            .front_mut()
            .and_then(|append| append.commit.take());
        self.watched = commit.is_some();
        commit
    }

    /// The oldest append is decided: its replies, to be sent.
    pub(super) fn take_oldest(&mut self) -> Vec<ParkedReply> {
        let oldest = self.appends.pop_front();
        oldest.map(|append| append.replies).unwrap_or_default()
    }
}
