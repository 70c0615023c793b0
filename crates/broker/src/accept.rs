//! Accepting connections, and knowing which there are.
//!
//! Invariant: each accepted connection is served by one task until it ends, and is counted exactly as long. A client that
//! misbehaves costs one line in the log and its own connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use env::Env;
use env::net::{Listener, Stream};
use metadata::Cluster;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Connection, ConnectionLimits};
use crate::connection_figures::{ConnectionFigures, Connections};
use crate::connection_quotas::{ConnectionQuotas, Place};
use crate::context::ConnectionInfo;
use crate::dispatch::Dispatch;
use crate::quotas::Quotas;
use crate::request_memory::RequestMemory;

/// How long accepting rests after an error such as "too many open files": trying at once would only spin.
const REST_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Connections, counted.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    /// Accepted since the start.
    pub accepted: AtomicU64,
    /// Open now.
    pub open: AtomicI64,
    /// Closed by the broker because of what the client sent.
    pub refused: AtomicU64,
    /// Those that are open.
    pub(crate) list: Connections,
}

/// Serves one listener.
pub(crate) struct Acceptor {
    pub(crate) env: Env,
    pub(crate) listener: Box<dyn Listener>,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) limits: ConnectionLimits,
    pub(crate) metrics: Arc<ConnectionMetrics>,
    /// What their requests may take.
    pub(crate) memory: Arc<RequestMemory>,
    /// How many connections there may be.
    pub(crate) places: Arc<ConnectionQuotas>,
    /// How fast an address may open them.
    pub(crate) quotas: Arc<Quotas>,
    /// Has the limits, which may be altered at any time.
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) stopping: CancellationToken,
    /// Connections that are open; waited for when the broker stops.
    pub(crate) connections: TaskTracker,
}

impl Acceptor {
    /// Accepts until the broker stops.
    pub(crate) async fn run(self) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if is_exhaustion(&error) => self.rest(&error).await,
                // One connection that died on its way; the next is waiting.
                Err(error) => tracing::debug!(%error, "a connection died before it was accepted"),
            }
        }
    }

    /// The next connection, once there is room for one.
    async fn accept(&self) -> io::Result<(Arc<dyn Stream>, SocketAddr)> {
        self.places.wait_for_place(&self.cluster).await;
        let settings = Arc::clone(&self.cluster.image().broker);
        self.places.wait_for_rate(&self.env, &settings).await;
        self.listener.accept().await
    }

    fn admit(&self, stream: Arc<dyn Stream>, peer: SocketAddr) {
        let image = self.cluster.image();
        match self.places.claim(peer.ip(), &image.broker) {
            Some(place) => {
                let throttle = self.quotas.connected(peer.ip());
                if throttle.is_zero() {
                    self.serve(stream, peer, place);
                } else {
                    self.hold(stream, peer, place, throttle);
                }
            }
            None => {
                self.metrics.refused.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%peer, "refused a connection: the address has all that max.connections.per.ip allows");
            }
        }
    }

    /// Keeps a connection that came too early and closes it when the next one may come: a client that was cut off at once
    /// would only try again (`SocketServer.throttledSockets`).
    fn hold(&self, stream: Arc<dyn Stream>, peer: SocketAddr, place: Place, throttle: Duration) {
        self.metrics.refused.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%peer, ?throttle, "refused a connection: the address has all that its connection_creation_rate allows");
        let clock = Arc::clone(&self.env.clock);
        let stopping = self.stopping.clone();
        let task = async move {
            let _place = place;
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = clock.sleep_until(clock.now().plus(throttle)) => {}
            }
            stream.shut_down();
        };
        self.env
            .spawner
            .spawn(Box::pin(self.connections.track_future(task)));
    }

    fn serve(&self, stream: Arc<dyn Stream>, peer: SocketAddr, place: Place) {
        let id = self.metrics.accepted.fetch_add(1, Ordering::Relaxed);
        let accepted = self.env.clock.wall();
        let figures = Arc::new(ConnectionFigures::new(id, peer, accepted));
        let open = Open::new(Arc::clone(&self.metrics), &figures);
        let info = Arc::new(ConnectionInfo::new(figures));
        let stopping = self.stopping.clone();
        let connection = Connection::new(
            stream,
            Arc::clone(&self.dispatch),
            Arc::clone(&info),
            self.limits,
            self.memory.open(),
            Box::pin(async move { stopping.cancelled().await }),
        );
        let task = async move {
            let _place = place;
            let closed = connection.run().await;
            if closed.is_misbehaviour() {
                open.metrics.refused.fetch_add(1, Ordering::Relaxed);
                let cause = std::error::Error::source(&closed).map(ToString::to_string);
                tracing::warn!(connection = info.id, peer = %info.peer, reason = %closed, cause, "closed a connection");
            } else {
                tracing::debug!(connection = info.id, peer = %info.peer, reason = %closed, "connection ended");
            }
        };
        self.env
            .spawner
            .spawn(Box::pin(self.connections.track_future(task)));
    }

    async fn rest(&self, error: &io::Error) {
        tracing::warn!(%error, "could not accept a connection");
        let clock = &self.env.clock;
        clock.sleep_until(clock.now().plus(REST_AFTER_ERROR)).await;
    }
}

/// Whether accepting fails because something is used up, which trying again at once would not mend.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhausted
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Counts and lists a connection as open for as long as it lives, also when its task panics.
struct Open {
    metrics: Arc<ConnectionMetrics>,
    id: u64,
}

impl Open {
    fn new(metrics: Arc<ConnectionMetrics>, connection: &Arc<ConnectionFigures>) -> Self {
        metrics.open.fetch_add(1, Ordering::Relaxed);
        metrics.list.opened(connection);
        Self {
            metrics,
            id: connection.id,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.list.closed(self.id);
        self.metrics.open.fetch_sub(1, Ordering::Relaxed);
    }
}
