//! What a handler knows about the request besides its fields.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use types::Instant;

use crate::connection_figures::ConnectionFigures;

/// The envelope of one request.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The connection it came on.
    pub(crate) connection: Arc<ConnectionInfo>,
    /// The version of its API that the client speaks.
    pub(crate) version: i16,
    /// What the client calls itself, for logs, quotas and member ids.
    pub(crate) client_id: Option<Arc<str>>,
    /// When it had arrived.
    pub(crate) received: Instant,
}

/// What is fixed for the life of a connection.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    /// Counts connections, for logs.
    pub(crate) id: u64,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// What it does, counted.
    pub(crate) figures: Arc<ConnectionFigures>,
    /// Requests in flight whose effects are not made yet, so that no other may begin.
    holding: AtomicUsize,
    /// Cancelled when the connection is gone, and with it every request that came on it.
    pub(crate) closed: CancellationToken,
}

impl ConnectionInfo {
    pub(crate) fn new(figures: Arc<ConnectionFigures>) -> Self {
        Self {
            id: figures.id,
            peer: figures.peer,
            figures,
            holding: AtomicUsize::new(0),
            closed: CancellationToken::new(),
        }
    }

    /// Whether a request in flight has to make its effects before another may begin.
    pub(crate) fn is_held(&self) -> bool {
        self.holding.load(Ordering::Relaxed) > 0
    }
}

impl Drop for ConnectionInfo {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// Holds the later requests of a connection back until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(Arc<ConnectionInfo>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.holding.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Context {
    /// The client's name, empty if it has none.
    pub(crate) fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }

    /// Lets no later request of the connection begin until the returned value is dropped: for a pipelined request that
    /// has to wait before its effects are made. To be called before it first waits.
    pub(crate) fn hold_others(&self) -> Held {
        self.connection.holding.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(&self.connection))
    }

    /// The client's host as group members show it: `/127.0.0.1`, as Java prints an address.
    pub(crate) fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip())
    }
}
