//! What a handler knows about the request besides its fields.

use std::net::SocketAddr;
use std::sync::Arc;

use types::Instant;

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
}

impl Context {
    /// The client's name, empty if it has none.
    pub(crate) fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }

    /// The client's host as group members show it: `/127.0.0.1`, as Java prints an address.
    pub(crate) fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip())
    }
}
