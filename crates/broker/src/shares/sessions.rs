//! Share sessions: which partitions a member reads, so that it need not say so each time
//! (`ShareSessionCache.java`, `SharePartitionManager.newContext`).
//!
//! Invariants: a session is used by one request at a time, because each must name the epoch after the last; a request
//! that is sent twice is told apart by it. Whoever reads for a session that has ended is handed nothing more
//! ([`OpenSession::has_ended`]), so what its member had when it ended is all there is to release.
//!
//! The lock is held for what a request changes, not for what its session reads.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use indexmap::IndexSet;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::{GroupId, MemberId};

use super::TopicKey;

/// The epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that closes it.
const FINAL_EPOCH: i32 = -1;

/// Why a session cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShareSessionError {
    /// SHARE_SESSION_NOT_FOUND.
    #[error("there is no such share session")]
    NotFound,
    /// INVALID_SHARE_SESSION_EPOCH.
    #[error("the share session is in another epoch")]
    InvalidEpoch,
    /// SHARE_SESSION_LIMIT_REACHED.
    #[error("there are as many share sessions as there may be")]
    LimitReached,
    /// INVALID_REQUEST: nothing was handed out yet in a session that begins.
    #[error("the first request of a share session acknowledges records")]
    AcknowledgesAtFirst,
}

/// A session, by who has it.
pub(crate) type SessionKey = (GroupId, MemberId);

/// What a session reads, in the order in which it was told.
pub(crate) type ReadPartitions = Arc<IndexSet<TopicKey>>;

/// A session, as one request sees it.
#[derive(Clone, Debug)]
pub(crate) struct OpenSession {
    /// What is read.
    pub(crate) partitions: ReadPartitions,
    /// Names this life of the session.
    pub(super) serial: u64,
    /// Cancels when this life of the session ends.
    pub(super) ended: CancellationToken,
}

impl OpenSession {
    /// Whether the session was closed, or opened anew.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) enum ShareScope {
    /// A session begins; every partition is answered.
    Opened(OpenSession),
    /// A session goes on; partitions with news are answered.
    Continued(OpenSession),
    /// The session ends after this request, which reads nothing.
    Closing,
}

/// A request, as far as sessions care.
#[derive(Clone, Debug)]
pub(crate) struct SessionRequest<'a> {
    pub(crate) key: &'a SessionKey,
    pub(crate) epoch: i32,
    /// To be added.
    pub(crate) listed: &'a [TopicKey],
    /// To be removed.
    pub(crate) forgotten: &'a [TopicKey],
    /// Whether records are acknowledged along the way.
    pub(crate) acknowledges: bool,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    serial: u64,
    partitions: ReadPartitions,
    /// Cancels when the session ends, for whoever reads for it, waits for that or for its connection.
    ended: DropGuard,
}

impl Session {
    fn open(&self) -> OpenSession {
        OpenSession {
            partitions: Arc::clone(&self.partitions),
            serial: self.serial,
            ended: self.ended.token().clone(),
        }
    }

    fn advance(&mut self, epoch: i32) -> Result<(), ShareSessionError> {
        if self.epoch != epoch {
            return Err(ShareSessionError::InvalidEpoch);
        }
        self.epoch = next_epoch(epoch);
        Ok(())
    }

    fn change(&mut self, request: &SessionRequest<'_>) {
        if request
            .listed
            .iter()
            .any(|key| !self.partitions.contains(key))
        {
            Arc::make_mut(&mut self.partitions).extend(request.listed);
        }
        if !request.forgotten.is_empty() {
            let forgotten: HashSet<&TopicKey> = request.forgotten.iter().collect();
            Arc::make_mut(&mut self.partitions).retain(|key| !forgotten.contains(key));
        }
    }
}

/// All share sessions of this broker.
#[derive(Debug, Default)]
pub(crate) struct ShareSessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Invariant: no group without a session.
    groups: HashMap<GroupId, HashMap<MemberId, Session>>,
    /// How many sessions there are.
    count: usize,
    serials: u64,
}

impl Inner {
    fn get(&self, (group, member): &SessionKey) -> Option<&Session> {
        self.groups.get(group)?.get(member)
    }

    fn get_mut(&mut self, (group, member): &SessionKey) -> Result<&mut Session, ShareSessionError> {
        let sessions = self.groups.get_mut(group);
        let session = sessions.and_then(|sessions| sessions.get_mut(member));
        session.ok_or(ShareSessionError::NotFound)
    }

    fn insert(&mut self, (group, member): &SessionKey, session: Session) {
        let sessions = self.groups.entry(group.clone()).or_default();
        if sessions.insert(member.clone(), session).is_none() {
            self.count += 1;
        }
    }

    fn remove(&mut self, (group, member): &SessionKey) -> Option<Session> {
        let sessions = self.groups.get_mut(group)?;
        let session = sessions.remove(member)?;
        self.count -= 1;
        if sessions.is_empty() {
            self.groups.remove(group);
        }
        Some(session)
    }
}

impl ShareSessions {
    /// Opens, continues or is about to close a session.
    pub(crate) fn begin(
        &self,
        request: &SessionRequest<'_>,
        sessions_max: usize,
    ) -> Result<ShareScope, ShareSessionError> {
        let inner = &mut *self.inner.lock();
        match request.epoch {
            FINAL_EPOCH => match inner.get(request.key) {
                Some(_) => Ok(ShareScope::Closing),
                None => Err(ShareSessionError::NotFound),
            },
            INITIAL_EPOCH => {
                if request.acknowledges {
                    return Err(ShareSessionError::AcknowledgesAtFirst);
                }
                inner.remove(request.key);
                if inner.count >= sessions_max {
                    return Err(ShareSessionError::LimitReached);
                }
                inner.serials += 1;
                let session = Session {
                    epoch: next_epoch(INITIAL_EPOCH),
                    serial: inner.serials,
                    partitions: Arc::new(request.listed.iter().copied().collect()),
                    ended: CancellationToken::new().drop_guard(),
                };
                let open = session.open();
                inner.insert(request.key, session);
                Ok(ShareScope::Opened(open))
            }
            _ => {
                let session = inner.get_mut(request.key)?;
                session.advance(request.epoch)?;
                session.change(request);
                Ok(ShareScope::Continued(session.open()))
            }
        }
    }

    /// A ShareAcknowledge in a session; true if it closes it (`acknowledgeSessionUpdate`).
    pub(crate) fn acknowledge(
        &self,
        key: &SessionKey,
        epoch: i32,
    ) -> Result<bool, ShareSessionError> {
        if epoch == INITIAL_EPOCH {
            return Err(ShareSessionError::InvalidEpoch);
        }
        let inner = &mut *self.inner.lock();
        let session = inner.get_mut(key)?;
        if epoch == FINAL_EPOCH {
            return Ok(true);
        }
        session.advance(epoch)?;
        Ok(false)
    }

    /// Ends a session; what it read. With `serial` only in this life.
    pub(crate) fn remove(&self, key: &SessionKey, serial: Option<u64>) -> Option<ReadPartitions> {
        let inner = &mut *self.inner.lock();
        let session = inner.get(key)?;
        if serial.is_some_and(|serial| session.serial != serial) {
            return None;
        }
        inner.remove(key).map(|session| session.partitions)
    }

    /// Whether a member of the group has a session.
    pub(crate) fn has_group(&self, group: &GroupId) -> bool {
        self.inner.lock().groups.contains_key(group)
    }
}

/// After the last epoch comes the first one again that opens nothing (`ShareRequestMetadata.nextEpoch`).
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use protocol::Uuid;

    use super::*;

    fn key(member: &str) -> SessionKey {
        (GroupId::new("group"), MemberId::new(member))
    }

    fn topic(partition: i32) -> TopicKey {
        (Uuid([1; 16]), partition)
    }

    fn begin(
        sessions: &ShareSessions,
        member: &str,
        epoch: i32,
        listed: &[TopicKey],
        forgotten: &[TopicKey],
    ) -> Result<ShareScope, ShareSessionError> {
        let request = SessionRequest {
            key: &key(member),
            epoch,
            listed,
            forgotten,
            acknowledges: false,
        };
        sessions.begin(&request, 2)
    }

    /// The partitions of a session that was opened or goes on.
    fn read(
        scope: Result<ShareScope, ShareSessionError>,
    ) -> Result<Vec<TopicKey>, ShareSessionError> {
        scope.map(|scope| match scope {
            ShareScope::Opened(session) | ShareScope::Continued(session) => {
                session.partitions.iter().copied().collect()
            }
            ShareScope::Closing => panic!("is about to close"),
        })
    }

    fn open(sessions: &ShareSessions, member: &str) -> OpenSession {
        match begin(sessions, member, 0, &[], &[]) {
            Ok(ShareScope::Opened(session)) => session,
            other => panic!("was not opened: {other:?}"),
        }
    }

    #[test]
    fn a_session_remembers_what_is_read_and_wants_each_epoch_once() {
        use ShareSessionError::{InvalidEpoch, NotFound};
        let sessions = ShareSessions::default();
        assert_eq!(begin(&sessions, "a", 1, &[], &[]).err(), Some(NotFound));
        assert_eq!(begin(&sessions, "a", -1, &[], &[]).err(), Some(NotFound));
        let opened = begin(&sessions, "a", 0, &[topic(0), topic(0)], &[]);
        assert_eq!(read(opened), Ok(vec![topic(0)]));
        let continued = begin(&sessions, "a", 1, &[topic(1), topic(0)], &[]);
        assert_eq!(read(continued), Ok(vec![topic(0), topic(1)]));
        assert_eq!(begin(&sessions, "a", 1, &[], &[]).err(), Some(InvalidEpoch));
        let continued = begin(&sessions, "a", 2, &[topic(2)], &[topic(0), topic(9)]);
        assert_eq!(read(continued), Ok(vec![topic(1), topic(2)]));
        assert_eq!(sessions.acknowledge(&key("a"), 0), Err(InvalidEpoch));
        assert_eq!(sessions.acknowledge(&key("a"), 2), Err(InvalidEpoch));
        assert_eq!(sessions.acknowledge(&key("a"), 3), Ok(false));
        assert_eq!(sessions.acknowledge(&key("a"), -1), Ok(true));
        assert!(matches!(
            begin(&sessions, "a", -1, &[], &[]),
            Ok(ShareScope::Closing)
        ));
        let removed = sessions.remove(&key("a"), None).unwrap();
        assert!(removed.iter().eq(&[topic(1), topic(2)]));
        assert_eq!(sessions.acknowledge(&key("a"), 4), Err(NotFound));
    }

    #[test]
    fn there_are_only_so_many_sessions_and_an_old_life_does_not_end_a_new_one() {
        let sessions = ShareSessions::default();
        let old = open(&sessions, "a");
        open(&sessions, "b");
        let full = begin(&sessions, "c", 0, &[], &[]).err();
        assert_eq!(full, Some(ShareSessionError::LimitReached));
        assert!(!old.has_ended());
        let new = open(&sessions, "a");
        assert!(old.has_ended() && !new.has_ended());
        assert!(sessions.remove(&key("a"), Some(old.serial)).is_none());
        let at_first = SessionRequest {
            key: &key("a"),
            epoch: 0,
            listed: &[],
            forgotten: &[],
            acknowledges: true,
        };
        let refused = sessions.begin(&at_first, 2).err();
        assert_eq!(refused, Some(ShareSessionError::AcknowledgesAtFirst));
        assert!(!new.has_ended());
        for member in ["a", "b"] {
            assert!(sessions.has_group(&GroupId::new("group")));
            assert!(sessions.remove(&key(member), None).is_some());
        }
        assert!(new.has_ended() && !sessions.has_group(&GroupId::new("group")));
        open(&sessions, "c");
        open(&sessions, "d");
    }
}
