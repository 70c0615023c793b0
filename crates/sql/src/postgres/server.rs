//! The listener: connections in, each served by one task.
//!
//! Invariant: there are never more sessions than [`Limits::sessions`], nor more sockets than those and a few for clients that
//! are just coming or only cancel; a socket without a session is closed in time. When the server stops, every statement is
//! ended and every client told before [`Server::run`] returns.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::SessionContext;
use env::Env;
use env::net::{Listener, Stream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::Activity;
use super::session::Session;
use super::startup::{self, Started};
use super::wire::Wire;
use crate::export::Exports;

/// Where sessions come from: one context for each connection, so that settings of one are not seen by another. The contexts
/// share what is worth sharing: the catalogue, the memory pool.
pub trait Sessions: std::fmt::Debug + Send + Sync {
    /// A context of its own for a new connection.
    fn session(&self) -> SessionContext;

    /// Where `COPY … TO 'file'` writes; by default there is nothing.
    fn exports(&self) -> Option<Arc<Exports>> {
        None
    }
}

/// What the server grants its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions at a time; PostgreSQL's `max_connections`.
    pub sessions: usize,
    /// How long a client may take to say what it wants.
    pub startup: Duration,
    /// How long a session may be without a statement.
    pub idle: Duration,
    /// How long a session may be without a statement while it has written and not committed.
    pub idle_in_transaction: Duration,
    /// How long a client may take nothing of what it is sent, or send nothing of what it copies.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 100,
            startup: Duration::from_secs(30),
            // Pools keep connections for half an hour or so; a client that comes back later connects again.
            idle: Duration::from_secs(2 * 3600),
            // Kafka's own limit of transactions, `transaction.timeout.ms` of its clients: consumers wait behind them.
            idle_in_transaction: Duration::from_secs(60),
            stall: Duration::from_secs(600),
        }
    }
}

/// Sockets beyond the sessions: cancel requests must come through when all sessions are taken.
const SOCKETS_BEYOND_SESSIONS: usize = 32;
/// How long accepting rests after an error such as "too many open files": trying at once would only spin.
const REST_AFTER_ERROR: Duration = Duration::from_millis(100);

/// What connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) env: Env,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) limits: Limits,
    pub(super) activity: Arc<Activity>,
    /// Places for sessions.
    pub(super) places: Arc<Semaphore>,
    pub(super) stopping: CancellationToken,
}

/// The PostgreSQL wire protocol on one address.
#[derive(Debug)]
pub struct Server {
    listener: Box<dyn Listener>,
    shared: Arc<Shared>,
    connections: TaskTracker,
    sockets: Arc<Semaphore>,
}

impl Server {
    /// Opens the listener. Queries run where `env` starts its tasks: give it a runtime that may be busy.
    ///
    /// Nobody is asked who they are: whoever can connect can read every topic, so the address should be one that only this
    /// machine reaches.
    ///
    /// # Errors
    /// The operating system's, such as an address in use.
    pub async fn bind(
        env: Env,
        address: SocketAddr,
        sessions: Arc<dyn Sessions>,
        limits: Limits,
    ) -> io::Result<Self> {
        let listener = env.network.listen(address).await?;
        let shared = Shared {
            env,
            sessions,
            limits,
            activity: Arc::default(),
            places: Arc::new(Semaphore::new(limits.sessions)),
            stopping: CancellationToken::new(),
        };
        Ok(Self {
            listener,
            shared: Arc::new(shared),
            connections: TaskTracker::new(),
            sockets: Arc::new(Semaphore::new(limits.sessions + SOCKETS_BEYOND_SESSIONS)),
        })
    }

    /// The sessions that are open, and what each runs.
    pub fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.shared.activity)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_address()
    }

    /// Serves until `stop` is cancelled and every connection has ended.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) => self.rest(&error).await,
            }
        }
        self.shared.stopping.cancel();
        self.connections.close();
        self.connections.wait().await;
    }

    fn serve(&self, stream: Arc<dyn Stream>, peer: SocketAddr) {
        let Ok(socket) = Arc::clone(&self.sockets).try_acquire_owned() else {
            tracing::info!(%peer, "refused a connection: there are too many already");
            return;
        };
        let shared = Arc::clone(&self.shared);
        let task = async move {
            let _socket = socket;
            serve(stream, peer, shared).await;
        };
        let task = self.connections.track_future(task);
        self.shared.env.spawner.spawn(Box::pin(task));
    }

    async fn rest(&self, error: &io::Error) {
        tracing::warn!(%error, "could not accept a connection");
        let clock = &self.shared.env.clock;
        clock.sleep_until(clock.now().plus(REST_AFTER_ERROR)).await;
    }
}

async fn serve(stream: Arc<dyn Stream>, peer: SocketAddr, shared: Arc<Shared>) {
    let mut wire = Wire::new(stream);
    let clock = Arc::clone(&shared.env.clock);
    let too_late = clock.sleep_until(clock.now().plus(shared.limits.startup));
    let stopping = shared.stopping.clone();
    let started = tokio::select! {
        biased;
        () = stopping.cancelled() => return,
        started = startup::start(&mut wire, &shared, peer) => started,
        () = too_late => return tracing::debug!(%peer, "a client did not say what it wants"),
    };
    match started {
        // Most of a session's memory is in its future, which idle sockets need not have.
        Started::Session(opening) => {
            let session = Session::new(wire, shared, *opening);
            Box::pin(session.run(peer)).await;
        }
        Started::Ended => {}
    }
}
