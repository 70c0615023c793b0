//! Cancel requests: which session runs what, by the key that its client was given.
//!
//! Invariant: a request ends the statement that runs when it arrives, never a later one, and only with the session's secret.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What a client shows to cancel: four bytes, as protocol 3.0 has them.
pub(super) type Secret = [u8; 4];

/// The sessions that are open.
#[derive(Debug, Default)]
pub(super) struct Cancels(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    sessions: HashMap<i32, Session>,
    last: i32,
}

#[derive(Debug)]
struct Session {
    secret: Secret,
    /// Of the statement that runs.
    running: Option<CancellationToken>,
}

/// One session's place among them; it is left when this is dropped.
#[derive(Debug)]
pub(super) struct Key {
    cancels: Arc<Cancels>,
    pub(super) process: i32,
    pub(super) secret: Secret,
}

/// A statement that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    key: Arc<Key>,
    pub(super) token: CancellationToken,
}

impl Cancels {
    pub(super) fn open(self: &Arc<Self>, secret: Secret) -> Arc<Key> {
        let mut open = self.0.lock();
        loop {
            open.last = open.last.checked_add(1).unwrap_or(1);
            if !open.sessions.contains_key(&open.last) {
                break;
            }
        }
        let process = open.last;
        open.sessions.insert(
            process,
            Session {
                secret,
                running: None,
            },
        );
        Arc::new(Key {
            cancels: Arc::clone(self),
            process,
            secret,
        })
    }

    /// Ends what the session runs, if the secret is its own. The requester is not told.
    pub(super) fn cancel(&self, process: i32, secret: &[u8]) {
        let open = self.0.lock();
        let session = open
            .sessions
            .get(&process)
            .filter(|session| session.secret == secret);
        if let Some(token) = session.and_then(|session| session.running.as_ref()) {
            token.cancel();
        }
    }
}

impl Key {
    /// From now on a cancel request ends what looks at the token.
    pub(super) fn start(self: &Arc<Self>) -> Running {
        let token = CancellationToken::new();
        self.set_running(Some(token.clone()));
        Running {
            key: Arc::clone(self),
            token,
        }
    }

    fn set_running(&self, token: Option<CancellationToken>) {
        if let Some(session) = self.cancels.0.lock().sessions.get_mut(&self.process) {
            session.running = token;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.key.set_running(None);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.cancels.0.lock().sessions.remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_the_running_statement_and_no_later_one() {
        let cancels = Arc::new(Cancels::default());
        let key = cancels.open(*b"1234");
        cancels.cancel(key.process, b"1234");
        let running = key.start();
        cancels.cancel(key.process, b"4321");
        cancels.cancel(key.process, b"");
        cancels.cancel(key.process + 1, b"1234");
        assert!(!running.token.is_cancelled());
        cancels.cancel(key.process, b"1234");
        assert!(running.token.is_cancelled());
        drop(running);
        assert!(!key.start().token.is_cancelled());
        drop(key);
        assert!(cancels.0.lock().sessions.is_empty());
    }
}
