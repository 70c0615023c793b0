//! [`BrokerMetrics`]: what the broker counts, and views to read the rest from when somebody asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use storage::{LogFigures, LossKind, StorageMetrics};

use crate::accept::ConnectionMetrics;
use crate::coordinators::{self, CoordinatorFigures};
use crate::open_transactions::OpenTransactions;
use crate::request_memory::RequestMemoryMetrics;
use crate::request_metrics::RequestMetrics;
use crate::services::Services;
use crate::volume::{Volume, VolumeSpace};

/// Everything that is counted, and the views to read the rest from.
#[derive(Clone, Debug)]
pub struct BrokerMetrics {
    /// Requests by API.
    pub requests: Arc<RequestMetrics>,
    /// Connections.
    pub connections: Arc<ConnectionMetrics>,
    /// Memory of requests and their answers.
    pub request_memory: Arc<RequestMemoryMetrics>,
    /// Appends, commits, syncs, recovery.
    pub storage: Arc<StorageMetrics>,
    services: Services,
    volume: Arc<Volume>,
    open_transactions: Arc<OpenTransactions>,
}

/// Topics and their sizes at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicTotals {
    /// Topics.
    pub topics: usize,
    /// Partitions of all topics.
    pub partitions: usize,
}

/// What the logs are at one moment.
#[derive(Clone, Debug)]
pub struct LogTotals {
    /// All together.
    pub figures: LogFigures,
    /// Logs that wait for the next group commit.
    pub waiting_for_commit: usize,
    /// Whether the last write found no room.
    pub is_full: bool,
    /// What was taken out of logs since the start, given up, or not believed, by kind.
    pub losses: Vec<(LossKind, u64)>,
    /// Partitions with a transaction that is open for longer than any may be.
    pub late_transactions: usize,
}

impl BrokerMetrics {
    pub(crate) fn new(
        services: &Services,
        connections: Arc<ConnectionMetrics>,
        request_memory: Arc<RequestMemoryMetrics>,
    ) -> Self {
        Self {
            requests: Arc::clone(&services.metrics),
            connections,
            request_memory,
            storage: Arc::clone(services.topics.directory.metrics()),
            volume: Arc::new(Volume::new(Arc::clone(&services.topics))),
            open_transactions: Arc::default(),
            services: services.clone(),
        }
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> i64 {
        self.connections.open.load(Ordering::Relaxed)
    }

    /// `max.connections` as it is now.
    pub fn connections_max(&self) -> i32 {
        self.services.topics.image().broker.max_connections
    }

    /// Topics and partitions.
    pub fn topic_totals(&self) -> TopicTotals {
        let image = self.services.topics.image();
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
        self.services.fetches.sessions.counts()
    }

    /// Groups and transactions.
    pub fn coordinators(&self) -> CoordinatorFigures {
        let Services {
            topics,
            groups,
            transactions,
            shares,
            ..
        } = &self.services;
        let now = topics.env.clock.wall();
        coordinators::figures(groups, transactions, &shares.coordinator, now)
    }

    /// All logs.
    pub fn logs(&self) -> LogTotals {
        let topics = &self.services.topics;
        let directory = &topics.directory;
        let figures = directory.figures();
        let longest = topics.image().broker.transaction_max_timeout_ms;
        let now = topics.env.clock.now();
        let late_transactions =
            self.open_transactions
                .late(&figures.open_transactions, longest, now);
        LogTotals {
            figures,
            waiting_for_commit: directory.commit().waiting(),
            is_full: directory.is_full(),
            losses: directory.loss_counts(),
            late_transactions,
        }
    }

    /// The room on the disk. Does not wait for a disk that does not answer: then it is what it was the last time.
    pub async fn volume(&self) -> Option<VolumeSpace> {
        Arc::clone(&self.volume).space().await
    }
}
