//! Share sessions: which partitions a member reads, so that it need not say so each time
//! (`ShareSessionCache.java`, `SharePartitionManager.newContext`).
//!
//! Invariant: a session is used by one request at a time, because each must name the epoch after the last; a request
//! that is sent twice is told apart by it.

use hashbrown::HashMap;
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

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShareScope {
    /// A session begins; every partition is answered.
    Opened {
        /// What is read.
        partitions: Vec<TopicKey>,
        /// Names this life of the session.
        serial: u64,
    },
    /// A session goes on; partitions with news are answered.
    Continued {
        /// What is read.
        partitions: Vec<TopicKey>,
    },
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
    partitions: Vec<TopicKey>,
    /// Cancels when the session ends, for whoever waits for that or for its connection.
    ended: DropGuard,
}

/// All share sessions of this broker.
#[derive(Debug, Default)]
pub(crate) struct ShareSessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<SessionKey, Session>,
    serials: u64,
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
            FINAL_EPOCH => match inner.sessions.contains_key(request.key) {
                true => Ok(ShareScope::Closing),
                false => Err(ShareSessionError::NotFound),
            },
            INITIAL_EPOCH => {
                if request.acknowledges {
                    return Err(ShareSessionError::AcknowledgesAtFirst);
                }
                inner.sessions.remove(request.key);
                if inner.sessions.len() >= sessions_max {
                    return Err(ShareSessionError::LimitReached);
                }
                inner.serials += 1;
                let serial = inner.serials;
                let mut partitions = Vec::with_capacity(request.listed.len());
                add(&mut partitions, request.listed);
                inner.sessions.insert(
                    request.key.clone(),
                    Session {
                        epoch: next_epoch(INITIAL_EPOCH),
                        serial,
                        partitions: partitions.clone(),
                        ended: CancellationToken::new().drop_guard(),
                    },
                );
                Ok(ShareScope::Opened { partitions, serial })
            }
            _ => {
                let session = inner.sessions.get_mut(request.key);
                let session = session.ok_or(ShareSessionError::NotFound)?;
                advance(session, request.epoch)?;
                add(&mut session.partitions, request.listed);
                let forgotten = |key: &TopicKey| request.forgotten.contains(key);
                session.partitions.retain(|key| !forgotten(key));
                Ok(ShareScope::Continued {
                    partitions: session.partitions.clone(),
                })
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
        let session = inner.sessions.get_mut(key);
        let session = session.ok_or(ShareSessionError::NotFound)?;
        if epoch == FINAL_EPOCH {
            return Ok(true);
        }
        advance(session, epoch)?;
        Ok(false)
    }

    /// Ends a session; what it read. With `serial` only in this life.
    pub(crate) fn remove(&self, key: &SessionKey, serial: Option<u64>) -> Option<Vec<TopicKey>> {
        let inner = &mut *self.inner.lock();
        let session = inner.sessions.get(key)?;
        if serial.is_some_and(|serial| session.serial != serial) {
            return None;
        }
        inner.sessions.remove(key).map(|session| session.partitions)
    }

    /// Resolves when this life of the session ends; `None` if it has.
    pub(crate) fn ended(&self, key: &SessionKey, serial: u64) -> Option<CancellationToken> {
        let inner = &*self.inner.lock();
        let session = inner.sessions.get(key);
        let session = session.filter(|session| session.serial == serial)?;
        Some(session.ended.token().clone())
    }

    /// Whether a member of the group has a session.
    pub(crate) fn has_group(&self, group: &GroupId) -> bool {
        self.inner.lock().sessions.keys().any(|(of, _)| of == group)
    }
}

fn add(partitions: &mut Vec<TopicKey>, listed: &[TopicKey]) {
    for key in listed {
        if !partitions.contains(key) {
            partitions.push(*key);
        }
    }
}

fn advance(session: &mut Session, epoch: i32) -> Result<(), ShareSessionError> {
    if session.epoch != epoch {
        return Err(ShareSessionError::InvalidEpoch);
    }
    session.epoch = next_epoch(epoch);
    Ok(())
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

    #[test]
    fn a_session_remembers_what_is_read_and_wants_each_epoch_once() {
        let sessions = ShareSessions::default();
        let continued = |partitions: &[TopicKey]| {
            Ok(ShareScope::Continued {
                partitions: partitions.to_vec(),
            })
        };
        assert_eq!(
            begin(&sessions, "a", 1, &[], &[]),
            Err(ShareSessionError::NotFound)
        );
        assert_eq!(
            begin(&sessions, "a", -1, &[], &[]),
            Err(ShareSessionError::NotFound)
        );
        assert!(begin(&sessions, "a", 0, &[topic(0)], &[]).is_ok());
        assert_eq!(
            begin(&sessions, "a", 1, &[topic(1)], &[]),
            continued(&[topic(0), topic(1)])
        );
        assert_eq!(
            begin(&sessions, "a", 1, &[], &[]),
            Err(ShareSessionError::InvalidEpoch)
        );
        assert_eq!(
            begin(&sessions, "a", 2, &[], &[topic(0)]),
            continued(&[topic(1)])
        );
        assert_eq!(
            sessions.acknowledge(&key("a"), 0),
            Err(ShareSessionError::InvalidEpoch)
        );
        assert_eq!(
            sessions.acknowledge(&key("a"), 2),
            Err(ShareSessionError::InvalidEpoch)
        );
        assert_eq!(sessions.acknowledge(&key("a"), 3), Ok(false));
        assert_eq!(sessions.acknowledge(&key("a"), -1), Ok(true));
        assert_eq!(begin(&sessions, "a", -1, &[], &[]), Ok(ShareScope::Closing));
        assert_eq!(sessions.remove(&key("a"), None), Some(vec![topic(1)]));
        assert_eq!(
            sessions.acknowledge(&key("a"), 4),
            Err(ShareSessionError::NotFound)
        );
    }

    #[test]
    fn there_are_only_so_many_sessions_and_an_old_life_does_not_end_a_new_one() {
        let sessions = ShareSessions::default();
        let Ok(ShareScope::Opened { serial, .. }) = begin(&sessions, "a", 0, &[], &[]) else {
            panic!("was not opened");
        };
        assert!(begin(&sessions, "b", 0, &[], &[]).is_ok());
        assert_eq!(
            begin(&sessions, "c", 0, &[], &[]),
            Err(ShareSessionError::LimitReached)
        );
        assert!(begin(&sessions, "a", 0, &[], &[]).is_ok());
        assert_eq!(sessions.remove(&key("a"), Some(serial)), None);
        assert!(sessions.has_group(&GroupId::new("group")));
        let at_first = SessionRequest {
            key: &key("a"),
            epoch: 0,
            listed: &[],
            forgotten: &[],
            acknowledges: true,
        };
        assert_eq!(
            sessions.begin(&at_first, 2),
            Err(ShareSessionError::AcknowledgesAtFirst)
        );
    }
}
