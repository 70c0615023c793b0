//! How many connections there may be, and how fast new ones may come (`SocketServer.ConnectionQuotas`, KIP-306, KIP-402,
//! KIP-612).
//!
//! Invariant: an address counts exactly the connections it has open. At the limit of all connections nobody is accepted
//! until one ends; a connection beyond its address' limit is closed at once. The limits are read anew for every
//! connection, so altering them takes effect without a restart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::Env;
use metadata::Cluster;
use metadata::settings::BrokerValues;
use parking_lot::Mutex;
use tokio::sync::Notify;
use types::Instant;

/// Counts the connections of a listener.
#[derive(Debug, Default)]
pub(crate) struct ConnectionQuotas {
    open: Mutex<OpenConnections>,
    /// The log has told that all places are taken.
    is_full: AtomicBool,
    /// Told whenever a connection ends.
    ended: Notify,
}

#[derive(Debug, Default)]
struct OpenConnections {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// When the next connection may be accepted, by the rate.
    next_by_rate: Instant,
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    quotas: Arc<ConnectionQuotas>,
    address: IpAddr,
}

impl ConnectionQuotas {
    /// Waits until fewer than `max.connections` are open, which may also be because the setting was altered.
    pub(crate) async fn wait_for_place(&self, cluster: &Cluster) {
        let mut changes = cluster.changes();
        loop {
            // Registered before looking, so that an end in between is not missed.
            let ended = self.ended.notified();
            let limit = changes.borrow_and_update().broker.max_connections;
            let open = self.open.lock().all;
            let places = usize::try_from(limit).unwrap_or(0);
            if open < places {
                // Connections that come and go at the limit are told once, not each time.
                if open < places - places / 8 {
                    self.is_full.store(false, Ordering::Relaxed);
                }
                return;
            }
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    limit,
                    "max.connections is reached: nobody is accepted until a connection ends"
                );
            }
            tokio::select! {
                biased;
                () = ended => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        // The metadata is closed: the broker stops, and nobody is to be accepted any more.
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }

    /// Waits as long as `max.connection.creation.rate` demands. Up to a second's worth of connections may come at once.
    pub(crate) async fn wait_for_rate(&self, env: &Env, settings: &BrokerValues) {
        let Some(interval) = interval(settings.max_connection_creation_rate) else {
            return;
        };
        let now = env.clock.now();
        let due = {
            let mut open = self.open.lock();
            let due = open.next_by_rate;
            // Time that nobody used is kept for a burst of one second.
            let earliest = Instant::from_origin(now.since_origin().saturating_sub(BURST));
            open.next_by_rate = due.max(earliest).plus(interval);
            due
        };
        if due > now {
            env.clock.sleep_until(due).await;
        }
    }

    /// A place for a connection from `address`; `None` if the address has all it may have.
    pub(crate) fn claim(
        self: &Arc<Self>,
        address: IpAddr,
        settings: &BrokerValues,
    ) -> Option<Place> {
        let address = address.to_canonical();
        let limit = limit(address, settings);
        let mut open = self.open.lock();
        let count = open.by_address.entry(address).or_default();
        if *count >= limit {
            if *count == 0 {
                open.by_address.remove(&address);
            }
            return None;
        }
        *count += 1;
        open.all += 1;
        Some(Place {
            quotas: Arc::clone(self),
            address,
        })
    }
}

/// Unused time that is kept for a burst of connections.
const BURST: Duration = Duration::from_secs(1);

/// The time between two connections at `rate` a second; none if the rate is not limited. At a rate of 0 one connection a
/// second comes in all the same, so that an administrator can alter it.
fn interval(rate: i32) -> Option<Duration> {
    match u32::try_from(rate) {
        Ok(rate) if rate < i32::MAX.unsigned_abs() => Some(Duration::from_secs(1) / rate.max(1)),
        _ => None,
    }
}

fn limit(address: IpAddr, settings: &BrokerValues) -> usize {
    let own = settings.max_connections_per_ip_overrides.get(&address);
    let all = u32::try_from(settings.max_connections_per_ip).unwrap_or(0);
    usize::try_from(own.copied().unwrap_or(all)).unwrap_or(usize::MAX)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.quotas.open.lock();
        open.all -= 1;
        if let Entry::Occupied(mut count) = open.by_address.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        drop(open);
        self.quotas.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use metadata::settings::{Layers, SettingTexts};

    use super::*;

    fn settings(texts: &[(&str, &str)]) -> BrokerValues {
        let texts = texts.iter();
        let texts: SettingTexts = texts
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        BrokerValues::resolve(&Layers::at_start(texts).unwrap())
    }

    #[test]
    fn an_address_has_as_many_places_as_its_limit_and_gets_them_back() {
        let settings = settings(&[
            ("max.connections.per.ip", "2"),
            ("max.connections.per.ip.overrides", "10.0.0.1:1, 10.0.0.2:0"),
        ]);
        let quotas = Arc::new(ConnectionQuotas::default());
        let claim = |address: &str| quotas.claim(address.parse().unwrap(), &settings);
        let first = claim("127.0.0.1");
        let second = claim("::ffff:127.0.0.1");
        assert!(first.is_some() && second.is_some());
        assert!(claim("127.0.0.1").is_none(), "both forms are one address");
        let other = claim("10.0.0.1");
        assert!(other.is_some() && claim("10.0.0.1").is_none());
        assert!(claim("10.0.0.2").is_none());
        drop(first);
        assert!(claim("127.0.0.1").is_some());
        drop((second, other));
        let open = quotas.open.lock();
        assert!(open.all == 0 && open.by_address.is_empty());
    }

    #[tokio::test]
    async fn beyond_a_burst_connections_come_at_the_rate() {
        let settings = settings(&[("max.connection.creation.rate", "100")]);
        let quotas = ConnectionQuotas::default();
        let env = Env::system();
        // The clock's origin was just now: no time was left unused, so nearly all of these wait for their turn.
        let begun = env.clock.now();
        for _ in 0..20 {
            quotas.wait_for_rate(&env, &settings).await;
        }
        let took = env.clock.now().since(begun);
        assert!(took >= Duration::from_millis(150), "{took:?}");
        assert_eq!(interval(i32::MAX), None);
        assert_eq!(interval(0), Some(Duration::from_secs(1)));
    }
}
