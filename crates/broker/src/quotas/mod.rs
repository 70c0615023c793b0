//! Holding clients to their quotas (KIP-13, KIP-124, KIP-219, KIP-599, KIP-612; `ClientQuotaManager` and its sisters).
//!
//! What a client did is counted after it was done. A client above its quota is told for how long, in an answer that leaves at
//! once, and for that time no further request of its connection is started. Fetches above the quota are answered empty, so
//! what was read does not count. New connections of an address above its rate are held for that time and then closed.
//!
//! Invariant: without a quota nothing is counted, and a request costs one look at the metadata.

mod rate;
mod table;
mod token_bucket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use hashbrown::HashMap;
use metadata::settings::BrokerValues;
use metadata::{ClientQuotas, Cluster};
use parking_lot::Mutex;
use types::Instant;

use self::rate::{Rate, Window};
use self::table::{Owner, QuotaTable};
use self::token_bucket::TokenBucket;
use crate::context::Context;

pub(crate) use self::table::ClientQuota;

/// Who clients of a PLAINTEXT listener are (`KafkaPrincipal.ANONYMOUS`).
const ANONYMOUS: &str = "ANONYMOUS";
/// After this time without a request what a client did is forgotten (`INACTIVE_SENSOR_EXPIRATION_TIME_SECONDS`).
const INACTIVE: Duration = Duration::from_secs(3600);
/// How many clients are counted before those that are quiet are looked for; a client can make up any number of client ids.
const SWEEP_AT: usize = 1024;

/// Counts what clients do, where they have quotas.
#[derive(Debug)]
pub(crate) struct Quotas {
    env: Env,
    cluster: Arc<Cluster>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The quotas the table was made of.
    quotas: Arc<ClientQuotas>,
    table: Arc<QuotaTable>,
    rates: Counters<(ClientQuota, Owner), Rate>,
    buckets: Counters<Owner, TokenBucket>,
    addresses: Counters<IpAddr, Rate>,
}

/// Counters, forgotten when they are not used.
#[derive(Debug)]
struct Counters<K, T> {
    used: HashMap<K, (Instant, T)>,
    sweep_at: usize,
}

impl<K, T> Default for Counters<K, T> {
    fn default() -> Self {
        Self {
            used: HashMap::new(),
            sweep_at: SWEEP_AT,
        }
    }
}

impl<K: std::hash::Hash + Eq, T> Counters<K, T> {
    fn get(&mut self, key: K, now: Instant, new: impl FnOnce() -> T) -> &mut T {
        if self.used.len() >= self.sweep_at {
            self.used.retain(|_, (used, _)| now.since(*used) < INACTIVE);
            self.sweep_at = SWEEP_AT.max(self.used.len() * 2);
        }
        let (used, counter) = self.used.entry(key).or_insert_with(|| (now, new()));
        *used = now;
        counter
    }
}

/// A fetch's bytes as they were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchCharge {
    /// The answer may be sent.
    Granted,
    /// An empty one must be sent instead, and the client is throttled.
    Throttled(Duration),
}

/// Partitions of one request that are created or deleted (`ControllerMutationQuota`).
#[derive(Debug)]
pub(crate) struct Mutations<'a> {
    quotas: &'a Quotas,
    client_id: String,
    /// Requests since KIP-599 are refused above the quota; older ones are only throttled.
    strict: bool,
    throttle: Duration,
}

impl Quotas {
    pub(crate) fn new(env: Env, cluster: Arc<Cluster>) -> Self {
        Self {
            env,
            cluster,
            state: Mutex::default(),
        }
    }

    /// Whether anybody has a quota.
    pub(crate) fn are_set(&self) -> bool {
        self.cluster.has_quotas()
    }

    /// Counts the bytes of a produce request; for how long its client is throttled.
    pub(crate) fn produced(&self, context: &Context, bytes: usize) -> Duration {
        if !self.are_set() {
            return Duration::ZERO;
        }
        self.charge(ClientQuota::Produce, context.client_id(), bytes as f64)
    }

    /// Counts the time that a request kept a thread busy; for how long its client is throttled, at most one sample of the
    /// window (`ClientRequestQuotaManager`).
    pub(crate) fn handled(&self, client_id: &str, busy: Duration) -> Duration {
        if !self.are_set() {
            return Duration::ZERO;
        }
        let percentage = busy.as_secs_f64() * 100.0;
        let throttle = self.charge(ClientQuota::Request, client_id, percentage);
        throttle.min(window(&self.cluster.image().broker).sample)
    }

    /// The most bytes of one fetch that do not exceed the quota by themselves (`maxValueInQuotaWindow`).
    pub(crate) fn fetch_bytes_max(&self, context: &Context) -> usize {
        if !self.are_set() {
            return usize::MAX;
        }
        let client_id = context.client_id();
        let table = self.table();
        match table.limit(ClientQuota::Fetch, ANONYMOUS, client_id) {
            None => usize::MAX,
            Some((limit, _)) => {
                let window = window(&self.cluster.image().broker);
                let seconds = window.sample.as_secs_f64() * f64::from(window.samples - 1);
                // Beyond its range a float becomes the nearest integer.
                (limit * seconds) as usize
            }
        }
    }

    /// Counts the bytes of a fetch's answer, unless that would be too much.
    pub(crate) fn fetched(&self, context: &Context, bytes: usize) -> FetchCharge {
        if !self.are_set() {
            return FetchCharge::Granted;
        }
        let client_id = context.client_id();
        let throttle = self.charge(ClientQuota::Fetch, client_id, bytes as f64);
        if throttle.is_zero() {
            return FetchCharge::Granted;
        }
        self.charge(ClientQuota::Fetch, client_id, -(bytes as f64));
        FetchCharge::Throttled(throttle)
    }

    /// Counts partitions that a request creates or deletes; requests from version `strict_since` on are refused above the
    /// quota.
    pub(crate) fn mutations(&self, context: &Context, strict_since: i16) -> Mutations<'_> {
        Mutations {
            quotas: self,
            client_id: context.client_id().to_owned(),
            strict: context.version >= strict_since,
            throttle: Duration::ZERO,
        }
    }

    /// Counts a new connection; for how long its address is throttled. A connection that is throttled does not count.
    pub(crate) fn connected(&self, address: IpAddr) -> Duration {
        if !self.are_set() {
            return Duration::ZERO;
        }
        let table = self.table();
        let Some(limit) = table.connection_rate(address) else {
            return Duration::ZERO;
        };
        let window = window(&self.cluster.image().broker);
        let now = self.env.clock.now();
        let mut state = self.state.lock();
        let rate = state
            .addresses
            .get(address.to_canonical(), now, Rate::default);
        rate.record(window, 1.0, now);
        let throttle = rate.throttle(window, limit, now);
        if !throttle.is_zero() {
            rate.record(window, -1.0, now);
        }
        throttle.min(window.sample)
    }

    fn charge(&self, quota: ClientQuota, client_id: &str, value: f64) -> Duration {
        let table = self.table();
        let Some((limit, owner)) = table.limit(quota, ANONYMOUS, client_id) else {
            return Duration::ZERO;
        };
        let window = window(&self.cluster.image().broker);
        let now = self.env.clock.now();
        let mut state = self.state.lock();
        let rate = state.rates.get((quota, owner), now, Rate::default);
        rate.record(window, value, now);
        rate.throttle(window, limit, now)
    }

    /// The quotas as they are now.
    fn table(&self) -> Arc<QuotaTable> {
        let image = self.cluster.image();
        let mut state = self.state.lock();
        if !Arc::ptr_eq(&state.quotas, &image.quotas) {
            state.table = Arc::new(QuotaTable::new(&image.quotas));
            state.quotas = Arc::clone(&image.quotas);
        }
        Arc::clone(&state.table)
    }
}

impl Mutations<'_> {
    /// Takes the tokens for so many partitions. False if they must not be created or deleted
    /// (`StrictControllerMutationQuota`, `PermissiveControllerMutationQuota`).
    pub(crate) fn take(&mut self, partitions: i32) -> bool {
        let quotas = self.quotas;
        if !quotas.are_set() {
            return true;
        }
        let table = quotas.table();
        let limit = table.limit(ClientQuota::Mutation, ANONYMOUS, &self.client_id);
        let Some((rate, owner)) = limit else {
            return true;
        };
        let window = controller_window(&quotas.cluster.image().broker);
        let now = quotas.env.clock.now();
        let mut state = quotas.state.lock();
        let new = || TokenBucket::new(window, rate, now);
        let bucket = state.buckets.get(owner, now, new);
        if self.strict {
            let throttle = bucket.throttle(window, rate, now);
            if !throttle.is_zero() {
                self.throttle = self.throttle.max(throttle);
                return false;
            }
            bucket.take(window, rate, partitions.into(), now);
        } else {
            bucket.take(window, rate, partitions.into(), now);
            self.throttle = self.throttle.max(bucket.throttle(window, rate, now));
        }
        true
    }

    /// For how long the client is throttled, as the wire says it.
    pub(crate) fn throttle_ms(&self) -> i32 {
        milliseconds(self.throttle)
    }
}

/// The longest throttle time that the wire can say.
pub(super) const THROTTLE_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// A throttle time as the wire says it, to the nearest millisecond.
pub(crate) fn milliseconds(throttle: Duration) -> i32 {
    i32::try_from(
        throttle
            .saturating_add(Duration::from_micros(500))
            .as_millis(),
    )
    .unwrap_or(i32::MAX)
}

fn window(broker: &BrokerValues) -> Window {
    new_window(broker.quota_window_num, broker.quota_window_size_seconds)
}

fn controller_window(broker: &BrokerValues) -> Window {
    new_window(
        broker.controller_quota_window_num,
        broker.controller_quota_window_size_seconds,
    )
}

fn new_window(samples: i32, seconds: i32) -> Window {
    Window {
        samples: samples.max(1).unsigned_abs(),
        sample: Duration::from_secs(u64::from(seconds.max(1).unsigned_abs())),
    }
}

#[cfg(test)]
mod tests;
