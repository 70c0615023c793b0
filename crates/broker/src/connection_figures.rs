//! [`ConnectionFigures`]: what is known of one connection; [`Connections`]: all that are open, for who watches the broker.
//!
//! Relaxed atomics: a request costs one addition, and so does what is read or sent at once. Invariant: what a client says of
//! itself is kept up to [`TEXT_BYTES_MAX`], so that many connections with long names take no more memory than their number
//! allows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use types::Timestamp;

/// Longer names are cut. Clients' own are some tens of bytes.
const TEXT_BYTES_MAX: usize = 256;

/// One connection.
#[derive(Debug)]
pub(crate) struct ConnectionFigures {
    /// Counts connections, for logs.
    pub(crate) id: u64,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// When it was accepted.
    pub(crate) accepted: Timestamp,
    requests: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// As the first request that had one names it.
    client_id: OnceLock<Arc<str>>,
    /// Name and version, as ApiVersions told them first.
    software: OnceLock<(Arc<str>, Arc<str>)>,
}

/// One connection at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Counts connections; the log names them by it.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// What the client calls itself (`client.id`), once it has.
    pub client_id: Option<Arc<str>>,
    /// The client's library and its version, if it has told (ApiVersions from version 3 on).
    pub software: Option<(Arc<str>, Arc<str>)>,
    /// Requests that were begun.
    pub requests: u64,
    /// Bytes that were read.
    pub received_bytes: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
}

impl ConnectionFigures {
    pub(crate) fn new(id: u64, peer: SocketAddr, accepted: Timestamp) -> Self {
        Self {
            id,
            peer,
            accepted,
            requests: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            client_id: OnceLock::new(),
            software: OnceLock::new(),
        }
    }

    /// A request begins.
    pub(crate) fn request(&self, client_id: Option<&str>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(client_id) = client_id {
            self.client_id.get_or_init(|| kept(client_id));
        }
    }

    /// The client says which library it is.
    pub(crate) fn software(&self, name: &str, version: &str) {
        self.software.get_or_init(|| (kept(name), kept(version)));
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn view(&self) -> ConnectionView {
        ConnectionView {
            id: self.id,
            peer: self.peer,
            accepted: self.accepted,
            client_id: self.client_id.get().cloned(),
            software: self.software.get().cloned(),
            requests: self.requests.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
        }
    }
}

/// What is kept of a text.
fn kept(text: &str) -> Arc<str> {
    Arc::from(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

/// All connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<BTreeMap<u64, Arc<ConnectionFigures>>>);

impl Connections {
    pub(crate) fn opened(&self, connection: &Arc<ConnectionFigures>) {
        self.0.lock().insert(connection.id, Arc::clone(connection));
    }

    pub(crate) fn closed(&self, id: u64) {
        self.0.lock().remove(&id);
    }

    /// All of them, the oldest first.
    pub(crate) fn view(&self) -> Vec<ConnectionView> {
        // They are looked at without the lock, which every connection that begins or ends takes.
        let open: Vec<_> = self.0.lock().values().map(Arc::clone).collect();
        open.iter().map(|connection| connection.view()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_the_first_ones_stay() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let figures = Arc::new(ConnectionFigures::new(7, peer, Timestamp::from_ms(5)));
        let connections = Connections::default();
        connections.opened(&figures);
        figures.request(None);
        figures.request(Some(&"ö".repeat(10_000)));
        figures.request(Some("other"));
        figures.software("librdkafka", "2.3.0");
        figures.software("other", "1");
        figures.received(10);
        figures.sent(3);
        let view = connections.view();
        let expected = ConnectionView {
            id: 7,
            peer,
            accepted: Timestamp::from_ms(5),
            client_id: Some(Arc::from("ö".repeat(TEXT_BYTES_MAX / 2))),
            software: Some((Arc::from("librdkafka"), Arc::from("2.3.0"))),
            requests: 3,
            received_bytes: 10,
            sent_bytes: 3,
        };
        assert_eq!(view, [expected]);
        connections.closed(7);
        assert!(connections.view().is_empty());
    }
}
