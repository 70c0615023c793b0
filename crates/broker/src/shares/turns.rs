//! Conversations of both coordinators about one group, one at a time: a second one begins when the first is over and
//! noted, so it never sets back what the first began.
//!
//! Invariant: a group has an entry only while somebody has its turn or waits for it.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Mutex as TurnLock, OwnedMutexGuard};
use types::GroupId;

/// Whose turn it is, for each group.
#[derive(Debug, Default)]
pub(super) struct Turns {
    groups: Mutex<HashMap<GroupId, Arc<TurnLock<()>>>>,
}

/// The right to talk about a group, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _guard: OwnedMutexGuard<()>,
    /// Dropped after the guard.
    _place: Place<'a>,
}

/// A place in the queue of a group.
#[derive(Debug)]
struct Place<'a> {
    turns: &'a Turns,
    group: GroupId,
    lock: Arc<TurnLock<()>>,
}

impl Turns {
    /// Waits for the turn; first come, first served.
    pub(super) async fn take(&self, group: &GroupId) -> Turn<'_> {
        let lock = Arc::clone(self.groups.lock().entry(group.clone()).or_default());
        let place = Place {
            turns: self,
            group: group.clone(),
            lock,
        };
        let guard = Arc::clone(&place.lock).lock_owned().await;
        Turn {
            _guard: guard,
            _place: place,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut groups = self.turns.groups.lock();
        // The map's and this one: nobody else waits, and nobody can come while the map is locked.
        if Arc::strong_count(&self.lock) == 2 {
            groups.remove(&self.group);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn turns_of_a_group_follow_each_other_and_leave_nothing_behind() {
        let turns = Turns::default();
        let (one, other) = (GroupId::new("one"), GroupId::new("other"));
        let first = turns.take(&one).await;
        let _independent = turns.take(&other).await;
        let mut second = Box::pin(turns.take(&one));
        let mut third = Box::pin(turns.take(&one));
        assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
        // Whoever gives up waiting is in nobody's way.
        drop(second);
        drop(first);
        assert!(poll(&mut third).is_ready());
        drop(third);
        assert!(!turns.groups.lock().contains_key(&one));
        assert!(turns.groups.lock().contains_key(&other));
    }
}
