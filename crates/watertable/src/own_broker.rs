//! The broker of this process as its own client sees it: over its listener, so that no check and no guarantee of it is passed by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use client::{BrokerAddress, ClientConfig, Cluster};

/// How long one thing may take, retries included. The broker is this process: what takes longer does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the broker that listens at an address of this machine.
pub(crate) fn cluster(listening: SocketAddr, client_id: &str) -> Cluster {
    let config = ClientConfig {
        client_id: Arc::from(client_id),
        request_timeout: PATIENCE,
        operation_timeout: PATIENCE,
        wait_for_first_broker: false,
        // What others are told to connect to need not be reachable from here.
        only_bootstrap: true,
        ..ClientConfig::default()
    };
    Cluster::new(vec![reachable(listening)], config)
}

/// Where a listener of this machine is reached from this machine.
fn reachable(listening: SocketAddr) -> BrokerAddress {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    BrokerAddress {
        host: ip.to_string(),
        port: listening.port(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        for (listening, reached) in [
            ("0.0.0.0:9092", "127.0.0.1:9092"),
            ("[::]:9092", "[::1]:9092"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            assert_eq!(reachable(listening.parse().unwrap()).to_string(), reached);
        }
    }
}
