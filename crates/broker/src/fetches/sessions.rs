//! The cache of fetch sessions (`core/src/main/scala/kafka/server/FetchSession.scala`).
//!
//! Invariant: never more than `max.incremental.fetch.session.cache.slots` sessions. When all are taken, a new consumer
//! takes the one that has been unused longest if that is more than two minutes, or reads without a session, which is
//! always right and only costs bytes.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use types::Instant;

use super::session::{Answer, Key, PartitionState, Session, next_epoch};

/// A session unused for this long may be replaced (`FetchSessionCache.evictionMs`).
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);
/// The epoch that opens a session, or with an id replaces it.
const INITIAL_EPOCH: i32 = 0;
/// The epoch that closes a session, or without an id means that none is wanted.
const FINAL_EPOCH: i32 = -1;

/// Why a session cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    /// It was evicted, or belongs to another life of the broker.
    #[error("fetch session not found")]
    NotFound,
    /// A request was lost or repeated.
    #[error("invalid fetch session epoch")]
    InvalidEpoch,
    /// It names topics the other way.
    #[error("fetch session changed between topic names and topic ids")]
    TopicIds,
}

/// What one fetch reads and how it is answered.
#[derive(Debug)]
pub(crate) enum FetchScope {
    /// What the request lists, all answered; a new session if `may_open`.
    Full {
        /// Whether the consumer wants a session.
        may_open: bool,
    },
    /// All partitions of the session, answered as far as there is news.
    Incremental {
        /// The session.
        id: i32,
        /// What it reads, in the order to read.
        partitions: Vec<(Key, PartitionState)>,
    },
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    slots: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<i32, Arc<Mutex<Session>>>,
    last_id: i32,
}

impl Sessions {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots,
            inner: Mutex::default(),
        }
    }

    /// How many sessions there are, and how many partitions in all of them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let sessions: Vec<_> = self.inner.lock().by_id.values().map(Arc::clone).collect();
        let partitions = sessions
            .iter()
            .map(|session| session.lock().partition_count())
            .sum();
        (sessions.len(), partitions)
    }

    /// Finds what a request with this session id and epoch reads.
    ///
    /// # Errors
    /// The session cannot be continued; the client starts a new one.
    pub(crate) fn begin(
        &self,
        id: i32,
        epoch: i32,
        by_id: bool,
        changed: &[(Key, PartitionState)],
        forgotten: &[Key],
        now: Instant,
    ) -> Result<FetchScope, SessionError> {
        let mut inner = self.inner.lock();
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            if id != 0 {
                inner.by_id.remove(&id);
            }
            return Ok(FetchScope::Full {
                may_open: epoch == INITIAL_EPOCH,
            });
        }
        let session = Arc::clone(inner.by_id.get(&id).ok_or(SessionError::NotFound)?);
        drop(inner);
        // From here on only this session is locked: a large one holds nobody else up.
        let mut locked = session.lock();
        if locked.next_epoch != epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if locked.by_id != by_id {
            return Err(SessionError::TopicIds);
        }
        locked.next_epoch = next_epoch(epoch);
        locked.used = now;
        let partitions = locked.apply(changed, forgotten);
        let is_empty = locked.is_empty();
        drop(locked);
        if is_empty {
            // A session that reads nothing any more ends (`FetchManager.newContext`).
            self.inner.lock().by_id.remove(&id);
            return Ok(FetchScope::Full { may_open: false });
        }
        Ok(FetchScope::Incremental { id, partitions })
    }

    /// Opens a session over what a full fetch has read; 0 if there is no slot.
    pub(crate) fn open(
        &self,
        by_id: bool,
        partitions: &[(Key, PartitionState)],
        now: Instant,
    ) -> i32 {
        let mut inner = self.inner.lock();
        if partitions.is_empty() || (inner.by_id.len() >= self.slots && !inner.evict(now)) {
            return 0;
        }
        let id = inner.free_id();
        let session = Session::new(by_id, partitions, now);
        inner.by_id.insert(id, Arc::new(Mutex::new(session)));
        id
    }

    /// Whether an answer for a partition of a session is to be sent; remembers it.
    pub(crate) fn tell(&self, id: i32, answers: &[(Key, Answer)]) -> Vec<bool> {
        let session = self.inner.lock().by_id.get(&id).map(Arc::clone);
        match session {
            Some(session) => session.lock().tell(answers),
            // A session that was replaced while its fetch waited: everything is told.
            None => vec![true; answers.len()],
        }
    }
}

impl Inner {
    /// Removes the session that has been unused longest, if that is long enough.
    fn evict(&mut self, now: Instant) -> bool {
        let oldest = self
            .by_id
            .iter()
            .map(|(id, session)| (*id, session.lock().used));
        match oldest.min_by_key(|(_, used)| *used) {
            Some((id, used)) if now.since(used) > EVICTABLE_AFTER => {
                self.by_id.remove(&id).is_some()
            }
            _ => false,
        }
    }

    /// An id nobody has: 1 and up, around at the end.
    fn free_id(&mut self) -> i32 {
        loop {
            self.last_id = next_epoch(self.last_id);
            if !self.by_id.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::SessionTopic;
    use super::*;

    fn one() -> Vec<(Key, PartitionState)> {
        vec![(
            (SessionTopic::Name("t".into()), 0),
            PartitionState::new(0, 1000, -1, -1),
        )]
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_session_continues_with_each_epoch_once() {
        let sessions = Sessions::new(10);
        let id = sessions.open(false, &one(), at(0));
        assert!(sessions.begin(id, 1, false, &[], &[], at(0)).is_ok());
        let repeated = sessions.begin(id, 1, false, &[], &[], at(0));
        assert_eq!(repeated.unwrap_err(), SessionError::InvalidEpoch);
        assert!(sessions.begin(id, 2, false, &[], &[], at(0)).is_ok());
    }

    #[test]
    fn unknown_sessions_and_changed_names_are_refused() {
        let sessions = Sessions::new(10);
        assert_eq!(
            sessions.begin(7, 1, false, &[], &[], at(0)).unwrap_err(),
            SessionError::NotFound
        );
        let id = sessions.open(false, &one(), at(0));
        assert_eq!(
            sessions.begin(id, 1, true, &[], &[], at(0)).unwrap_err(),
            SessionError::TopicIds
        );
    }

    #[test]
    fn closing_and_replacing_end_a_session() {
        let sessions = Sessions::new(10);
        let id = sessions.open(false, &one(), at(0));
        let scope = sessions
            .begin(id, FINAL_EPOCH, false, &[], &[], at(0))
            .unwrap();
        assert!(matches!(scope, FetchScope::Full { may_open: false }));
        assert_eq!(sessions.counts(), (0, 0));
        let id = sessions.open(false, &one(), at(0));
        let scope = sessions
            .begin(id, INITIAL_EPOCH, false, &[], &[], at(0))
            .unwrap();
        assert!(matches!(scope, FetchScope::Full { may_open: true }));
        assert_eq!(sessions.counts(), (0, 0));
    }

    #[test]
    fn slots_are_bounded_and_only_old_sessions_give_way() {
        let sessions = Sessions::new(1);
        let first = sessions.open(false, &one(), at(0));
        assert_eq!(sessions.open(false, &one(), at(60)), 0);
        let second = sessions.open(false, &one(), at(121));
        assert_ne!(second, 0);
        assert_eq!(
            sessions
                .begin(first, 1, false, &[], &[], at(121))
                .unwrap_err(),
            SessionError::NotFound
        );
        assert_eq!(sessions.counts(), (1, 1));
    }
}
