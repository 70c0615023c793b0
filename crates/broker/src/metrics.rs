//! What the broker counts: plain atomics on the way of a request, read when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::ApiKey;
use storage::StorageMetrics;

use crate::accept::ConnectionMetrics;
use crate::api;
use crate::services::Services;
use crate::topics::Topics;

/// Everything that is counted, and the views to read the rest from.
#[derive(Clone, Debug)]
pub struct BrokerMetrics {
    /// Requests by API.
    pub requests: Arc<RequestMetrics>,
    /// Connections.
    pub connections: Arc<ConnectionMetrics>,
    /// Appends, commits, syncs, recovery.
    pub storage: Arc<StorageMetrics>,
    topics: Arc<Topics>,
    fetches: Arc<crate::fetches::Fetches>,
}

/// Topics and their sizes at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicTotals {
    /// Topics.
    pub topics: usize,
    /// Partitions of all topics.
    pub partitions: usize,
}

impl BrokerMetrics {
    pub(crate) fn new(services: &Services, connections: Arc<ConnectionMetrics>) -> Self {
        Self {
            requests: Arc::clone(&services.metrics),
            connections,
            storage: Arc::clone(services.topics.directory.metrics()),
            topics: Arc::clone(&services.topics),
            fetches: Arc::clone(&services.fetches),
        }
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> i64 {
        self.connections.open.load(Ordering::Relaxed)
    }

    /// Topics and partitions.
    pub fn topic_totals(&self) -> TopicTotals {
        let image = self.topics.image();
        let partitions = image
            .topics()
            .map(|topic| usize::try_from(topic.partitions).unwrap_or(0))
            .sum();
        TopicTotals {
            topics: image.topics().len(),
            partitions,
        }
    }

    /// Fetch sessions, and partitions in all of them.
    pub fn fetch_sessions(&self) -> (usize, usize) {
        self.fetches.sessions.counts()
    }
}

/// Requests by API.
#[derive(Debug)]
pub struct RequestMetrics {
    /// One counter per row of the API table, in its order.
    counts: Vec<AtomicU64>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            counts: api::ADVERTISED.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl RequestMetrics {
    /// Counts one request.
    pub(crate) fn request(&self, key: ApiKey) {
        let row = api::ADVERTISED.iter().position(|row| row.key == key);
        if let Some(count) = row.and_then(|row| self.counts.get(row)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests so far, by the name of their API.
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        let count = |(row, count): (&api::Advertised, &AtomicU64)| {
            (row.key.name(), count.load(Ordering::Relaxed))
        };
        api::ADVERTISED
            .iter()
            .zip(&self.counts)
            .map(count)
            .collect()
    }
}
