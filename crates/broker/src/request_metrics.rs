//! [`RequestMetrics`]: how many requests of each API there were, how long they took, and which errors they were answered.
//!
//! Relaxed atomics; a request costs two additions when it begins and four when it is answered, an error one more. Bounded by
//! the number of APIs and error codes: the counters of an API's errors are made with its first one.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::Clock;
use protocol::{ApiKey, ErrorCode, ResponseMessage};
use storage::{DurationCounts, Durations};
use types::Instant;

use crate::api;
use crate::dispatch::Outcome;
use crate::reply::Reply;

/// Requests by API.
#[derive(Debug)]
pub struct RequestMetrics {
    /// One per row of the API table, in its order.
    apis: Vec<ApiMetrics>,
    /// Requests that were begun and are not answered.
    in_flight: AtomicI64,
    /// Produce requests of clients other than the worker of pipelines in this process.
    produced_by_others: AtomicU64,
    /// Milliseconds for which clients were throttled.
    throttle_ms: AtomicU64,
}

/// The client id by which pipelines in the broker's process are known.
pub const PIPELINES_CLIENT: &str = "watertable-pipelines";

#[derive(Debug, Default)]
struct ApiMetrics {
    count: AtomicU64,
    durations: Durations,
    throttled: AtomicU64,
    /// In the order of [`ErrorCode::ALL`].
    errors: OnceLock<Vec<AtomicU64>>,
}

/// The requests of one API at one moment.
#[derive(Clone, Debug)]
pub struct ApiCounts {
    /// The API's name.
    pub api: &'static str,
    /// Requests that were begun.
    pub requests: u64,
    /// From the arrival of a request to its answer, waiting included.
    pub durations: DurationCounts,
    /// Requests after which the client was throttled.
    pub throttled: u64,
    /// Errors by name; an answer about many partitions may hold many.
    pub errors: Vec<(&'static str, u64)>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            apis: api::ADVERTISED
                .iter()
                .map(|_| ApiMetrics::default())
                .collect(),
            in_flight: AtomicI64::new(0),
            produced_by_others: AtomicU64::new(0),
            throttle_ms: AtomicU64::new(0),
        }
    }
}

impl RequestMetrics {
    /// Counts a request that begins; `None` if no row of the table answers it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        clock: &Arc<dyn Clock>,
        key: ApiKey,
        received: Instant,
    ) -> Option<Running> {
        let row = api::ADVERTISED.iter().position(|row| row.key == key)?;
        self.apis.get(row)?.count.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Running {
            metrics: Arc::clone(self),
            clock: Arc::clone(clock),
            row,
            received,
        })
    }

    /// Requests so far, by API.
    pub fn snapshot(&self) -> Vec<ApiCounts> {
        let rows = api::ADVERTISED.iter().zip(&self.apis);
        rows.map(|(row, metrics)| metrics.counts(row.key.name()))
            .collect()
    }

    /// Requests that were begun and are not answered.
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Counts a produce request of this client.
    pub(crate) fn produces(&self, client_id: Option<&str>) {
        if client_id != Some(PIPELINES_CLIENT) {
            self.produced_by_others.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Produce requests so far, without those of pipelines in this process: as long as it goes up, others wait for acknowledgements.
    pub fn produced_by_others(&self) -> u64 {
        self.produced_by_others.load(Ordering::Relaxed)
    }

    /// For how long clients were throttled, all together.
    pub fn throttled(&self) -> Duration {
        Duration::from_millis(self.throttle_ms.load(Ordering::Relaxed))
    }
}

impl ApiMetrics {
    fn counts(&self, api: &'static str) -> ApiCounts {
        let errors = self.errors.get().map(Vec::as_slice).unwrap_or_default();
        let named = ErrorCode::ALL.iter().map(|code| code.name());
        let counted = errors.iter().map(|count| count.load(Ordering::Relaxed));
        ApiCounts {
            api,
            requests: self.count.load(Ordering::Relaxed),
            durations: self.durations.get(),
            throttled: self.throttled.load(Ordering::Relaxed),
            errors: named.zip(counted).filter(|(_, count)| *count > 0).collect(),
        }
    }

    fn error(&self, code: i16) {
        let errors = self
            .errors
            .get_or_init(|| ErrorCode::ALL.iter().map(|_| AtomicU64::new(0)).collect());
        let index = ErrorCode::ALL.binary_search_by_key(&code, |known| known.code());
        if let Some(count) = index.ok().and_then(|index| errors.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A request that was begun; in flight until it is dropped.
pub(crate) struct Running {
    metrics: Arc<RequestMetrics>,
    clock: Arc<dyn Clock>,
    row: usize,
    received: Instant,
}

impl Running {
    /// Counts the errors of an answer.
    pub(crate) fn errors<R: ResponseMessage>(&self, reply: &Reply<R>) {
        if let (Reply::Send(response), Some(api)) = (reply, self.metrics.apis.get(self.row)) {
            response.error_codes(&mut |code| api.error(code));
        }
    }

    /// Counts how long it took, and for how long its client is throttled.
    pub(crate) fn answered(&self, outcome: &Outcome) {
        let Some(api) = self.metrics.apis.get(self.row) else {
            return;
        };
        api.durations.add(self.clock.now().since(self.received));
        if let Outcome::Throttled(_, throttle) = outcome {
            let ms = u64::try_from(throttle.as_millis()).unwrap_or(u64::MAX);
            self.metrics.throttle_ms.fetch_add(ms, Ordering::Relaxed);
            api.throttled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Running")
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
