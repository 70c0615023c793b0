//! Replies and effects that wait until what they promise is durable.
//!
//! Invariant: they leave in the order in which the machine gave them. A reply without records of its own waits for the
//! appends before it too, because it may tell of their effects.

use std::collections::VecDeque;
use std::fmt::{self, Debug};

use storage::BoxedCommit;
use tokio::sync::oneshot;

use super::errors::CoordinatorError;

/// Where an answer goes; whoever waited may have gone away meanwhile.
pub(super) type Answer<Reply> = oneshot::Sender<Result<Reply, CoordinatorError>>;

/// Takes a machine's effects once they may happen. Called with the shard locked: hands them on, and neither waits nor
/// calls the coordinator.
pub(super) struct EffectHandler<Effect>(Box<dyn Fn(Effect) + Send + Sync>);

impl<Effect> EffectHandler<Effect> {
    pub(super) fn new(handle: impl Fn(Effect) + Send + Sync + 'static) -> Self {
        Self(Box::new(handle))
    }
}

impl<Effect> Debug for EffectHandler<Effect> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EffectHandler")
    }
}

/// What one call of the machine promised.
#[derive(Debug)]
pub(super) struct Parked<Reply, Effect> {
    pub(super) replies: Vec<(Answer<Reply>, Reply)>,
    pub(super) effects: Vec<Effect>,
}

impl<Reply, Effect> Default for Parked<Reply, Effect> {
    fn default() -> Self {
        Self {
            replies: Vec::new(),
            effects: Vec::new(),
        }
    }
}

impl<Reply, Effect> Parked<Reply, Effect> {
    /// It is durable, or never will be: then the effects are forgotten.
    pub(super) fn release(
        self,
        outcome: Result<(), CoordinatorError>,
        handler: &EffectHandler<Effect>,
    ) {
        for (answer, reply) in self.replies {
            // Nobody is there any more: the client has closed its connection.
            drop(answer.send(outcome.map(|()| reply)));
        }
        if outcome.is_ok() {
            self.effects.into_iter().for_each(&handler.0);
        }
    }
}

/// An append that is not yet known to be durable.
#[derive(Debug)]
struct Append<Reply, Effect> {
    /// Taken by whoever waits for it.
    commit: Option<BoxedCommit>,
    parked: Parked<Reply, Effect>,
}

/// The appends of a shard that are not yet durable, oldest first.
#[derive(Debug)]
pub(super) struct InFlight<Reply, Effect> {
    appends: VecDeque<Append<Reply, Effect>>,
    /// Somebody waits for the oldest append and will go on to the next.
    watched: bool,
}

impl<Reply, Effect> Default for InFlight<Reply, Effect> {
    fn default() -> Self {
        Self {
            appends: VecDeque::new(),
            watched: false,
        }
    }
}

impl<Reply, Effect> InFlight<Reply, Effect> {
    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    /// Parks what waits behind a new append. True if nobody watches yet: the caller must see to it.
    #[must_use]
    pub(super) fn push(&mut self, commit: BoxedCommit, parked: Parked<Reply, Effect>) -> bool {
        self.appends.push_back(Append {
            commit: Some(commit),
            parked,
        });
        !std::mem::replace(&mut self.watched, true)
    }

    /// Releases as soon as everything appended so far is durable, which may be now.
    pub(super) fn release_behind(
        &mut self,
        mut parked: Parked<Reply, Effect>,
        handler: &EffectHandler<Effect>,
    ) {
        match self.appends.back_mut() {
            Some(last) => {
                last.parked.replies.append(&mut parked.replies);
                last.parked.effects.append(&mut parked.effects);
            }
            None => parked.release(Ok(()), handler),
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

    /// The oldest append is decided: what was parked behind it, to be released.
    pub(super) fn take_oldest(&mut self) -> Parked<Reply, Effect> {
        let oldest = self.appends.pop_front();
        oldest.map(|append| append.parked).unwrap_or_default()
    }
}
