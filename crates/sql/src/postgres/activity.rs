//! [`Activity`]: the sessions that are open, what each runs, and how others end that.
//!
//! Invariant: a cancel request ends the statement that runs when it arrives, never a later one, and only with the session's
//! secret; what a client may ask another session by SQL (`pg_cancel_backend`) needs none, since everybody may do everything.
//! Of a statement only the first [`QUERY_BYTES_MAX`] are kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use env::Clock;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use types::Timestamp;

use super::backend::TransactionStatus;
use super::settings::Settings;

/// As PostgreSQL's default for `track_activity_query_size`.
const QUERY_BYTES_MAX: usize = 1024;

/// What a client shows to cancel: four bytes, as protocol 3.0 has them.
pub(super) type Secret = [u8; 4];

/// The sessions that are open.
#[derive(Debug, Default)]
pub struct Activity(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    sessions: BTreeMap<i32, Arc<Known>>,
    last: i32,
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It runs a statement.
    Active,
    /// It waits for one.
    Idle,
    /// The same, within a transaction.
    InTransaction,
    /// The same, within one that has failed.
    Aborted,
}

impl SessionState {
    /// As `pg_stat_activity` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::InTransaction => "idle in transaction",
            Self::Aborted => "idle in transaction (aborted)",
        }
    }
}

/// A session at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its number, which its client was told (`BackendKeyData`).
    pub process: i32,
    /// The client's address.
    pub peer: SocketAddr,
    /// The user that the client named.
    pub user: String,
    /// What the client calls itself.
    pub application: String,
    /// When it began.
    pub began: Timestamp,
    /// What it does.
    pub state: SessionState,
    /// Since when.
    pub state_changed: Timestamp,
    /// The beginning of the statement that runs, or ran last.
    pub query: Option<Arc<str>>,
    /// When that began.
    pub query_began: Option<Timestamp>,
    /// Its rows that were sent.
    pub rows_sent: u64,
}

/// A client that wants a session.
pub(super) struct Newcomer {
    pub(super) secret: Secret,
    pub(super) peer: SocketAddr,
    pub(super) settings: Arc<Mutex<Settings>>,
    /// Cancelled when the session must end.
    pub(super) ended: CancellationToken,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is known of a session.
#[derive(Debug)]
struct Known {
    process: i32,
    secret: Secret,
    peer: SocketAddr,
    settings: Arc<Mutex<Settings>>,
    ended: CancellationToken,
    clock: Arc<dyn Clock>,
    began: Timestamp,
    rows_sent: AtomicU64,
    doing: Mutex<Doing>,
}

#[derive(Debug)]
struct Doing {
    state: SessionState,
    changed: Timestamp,
    query: Option<(Arc<str>, Timestamp)>,
    /// Of the statement that runs.
    running: Option<CancellationToken>,
}

/// One session's place among them; it is left when this is dropped.
#[derive(Debug)]
pub(super) struct Key {
    activity: Arc<Activity>,
    known: Arc<Known>,
}

/// A statement that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    key: Arc<Key>,
    pub(super) token: CancellationToken,
}

impl Activity {
    pub(super) fn open(self: &Arc<Self>, newcomer: Newcomer) -> Arc<Key> {
        let began = newcomer.clock.wall();
        let mut open = self.0.lock();
        loop {
            open.last = open.last.checked_add(1).unwrap_or(1);
            if !open.sessions.contains_key(&open.last) {
                break;
            }
        }
        let process = open.last;
        let known = Arc::new(Known {
            process,
            secret: newcomer.secret,
            peer: newcomer.peer,
            settings: newcomer.settings,
            ended: newcomer.ended,
            clock: newcomer.clock,
            began,
            rows_sent: AtomicU64::new(0),
            doing: Mutex::new(Doing {
                state: SessionState::Idle,
                changed: began,
                query: None,
                running: None,
            }),
        });
        open.sessions.insert(process, Arc::clone(&known));
        Arc::new(Key {
            activity: Arc::clone(self),
            known,
        })
    }

    /// All sessions, the oldest first, but for those beyond 2 billion.
    pub fn sessions(&self) -> Vec<SessionView> {
        let open: Vec<_> = self.0.lock().sessions.values().map(Arc::clone).collect();
        open.iter().map(|known| known.view()).collect()
    }

    fn known(&self, process: i32) -> Option<Arc<Known>> {
        self.0.lock().sessions.get(&process).cloned()
    }

    /// Ends what the session runs, if the secret is its own. The requester is not told.
    pub(super) fn cancel(&self, process: i32, secret: &[u8]) {
        let session = self.known(process);
        if let Some(session) = session.filter(|session| session.secret == secret) {
            session.cancel();
        }
    }

    /// Ends what the session runs, if it runs something; false if there is no such session.
    pub(super) fn cancel_backend(&self, process: i32) -> bool {
        let session = self.known(process);
        session.as_deref().map(Known::cancel).is_some()
    }

    /// Ends the session; false if there is none.
    pub(super) fn terminate_backend(&self, process: i32) -> bool {
        let session = self.known(process);
        session.map(|session| session.ended.cancel()).is_some()
    }
}

impl Known {
    fn cancel(&self) {
        if let Some(token) = &self.doing.lock().running {
            token.cancel();
        }
    }

    fn view(&self) -> SessionView {
        let (user, application) = {
            let settings = self.settings.lock();
            let application = settings.get("application_name").unwrap_or_default();
            (settings.user().to_owned(), application.to_owned())
        };
        let doing = self.doing.lock();
        let (query, query_began) = doing.query.clone().unzip();
        SessionView {
            process: self.process,
            peer: self.peer,
            user,
            application,
            began: self.began,
            state: doing.state,
            state_changed: doing.changed,
            query,
            query_began,
            rows_sent: self.rows_sent.load(Ordering::Relaxed),
        }
    }
}

impl Key {
    pub(super) fn process(&self) -> i32 {
        self.known.process
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.known.secret
    }

    /// Cancelled when the session must end.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.known.ended
    }

    /// Who else is there.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// From now on a cancel request ends what looks at the token.
    pub(super) fn start(self: &Arc<Self>, sql: &str) -> Running {
        let token = CancellationToken::new();
        let now = self.known.clock.wall();
        let kept = &sql[..sql.floor_char_boundary(QUERY_BYTES_MAX)];
        self.known.rows_sent.store(0, Ordering::Relaxed);
        let mut doing = self.known.doing.lock();
        doing.query = Some((Arc::from(kept), now));
        doing.running = Some(token.clone());
        doing.state = SessionState::Active;
        doing.changed = now;
        drop(doing);
        Running {
            key: Arc::clone(self),
            token,
        }
    }

    /// Rows of the statement were sent.
    pub(super) fn rows_sent(&self, count: u64) {
        self.known.rows_sent.fetch_add(count, Ordering::Relaxed);
    }

    /// The session waits for its next statement.
    pub(super) fn wait(&self, status: TransactionStatus) {
        let mut doing = self.known.doing.lock();
        doing.state = match status {
            TransactionStatus::Idle => SessionState::Idle,
            TransactionStatus::Open => SessionState::InTransaction,
            TransactionStatus::Failed => SessionState::Aborted,
        };
        doing.changed = self.known.clock.wall();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.key.known.doing.lock().running = None;
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let mut open = self.activity.0.lock();
        open.sessions.remove(&self.known.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(activity: &Arc<Activity>, secret: &Secret) -> Arc<Key> {
        activity.open(Newcomer {
            secret: *secret,
            peer: SocketAddr::from(([127, 0, 0, 1], 5)),
            settings: Arc::new(Mutex::new(Settings::new("me"))),
            ended: CancellationToken::new(),
            clock: Arc::new(env::SystemClock::new()),
        })
    }

    #[test]
    fn a_request_ends_the_running_statement_and_no_later_one() {
        let activity = Arc::new(Activity::default());
        let key = open(&activity, b"1234");
        let process = key.process();
        activity.cancel(process, b"1234");
        let running = key.start("SELECT 1");
        activity.cancel(process, b"4321");
        activity.cancel(process, b"");
        activity.cancel(process + 1, b"1234");
        assert!(!running.token.is_cancelled());
        activity.cancel(process, b"1234");
        assert!(running.token.is_cancelled());
        drop(running);
        assert!(!key.start("SELECT 2").token.is_cancelled());
        drop(key);
        assert!(activity.sessions().is_empty());
    }

    #[test]
    fn a_session_shows_what_it_runs_and_no_more_of_it_than_is_kept() {
        let activity = Arc::new(Activity::default());
        let key = open(&activity, b"1234");
        let view = |activity: &Activity| activity.sessions().pop().unwrap();
        assert_eq!(view(&activity).state, SessionState::Idle);
        assert_eq!(view(&activity).query, None);
        let running = key.start(&"ö".repeat(10_000));
        key.rows_sent(3);
        key.rows_sent(4);
        let active = view(&activity);
        assert_eq!((active.state, active.rows_sent), (SessionState::Active, 7));
        assert_eq!(active.query.unwrap().len(), QUERY_BYTES_MAX);
        assert!(active.query_began >= Some(active.began));
        drop(running);
        key.wait(TransactionStatus::Failed);
        assert_eq!(view(&activity).state, SessionState::Aborted);
        drop(key.start("SELECT 2"));
        let next = view(&activity);
        assert_eq!(
            (next.query.as_deref(), next.rows_sent),
            (Some("SELECT 2"), 0)
        );
    }

    #[test]
    fn a_backend_is_ended_by_its_number() {
        let activity = Arc::new(Activity::default());
        let key = open(&activity, b"1234");
        let running = key.start("SELECT 1");
        assert!(!activity.cancel_backend(key.process() + 1));
        assert!(activity.cancel_backend(key.process()) && running.token.is_cancelled());
        assert!(!key.ended().is_cancelled());
        assert!(!activity.terminate_backend(key.process() + 1));
        assert!(activity.terminate_backend(key.process()) && key.ended().is_cancelled());
    }
}
