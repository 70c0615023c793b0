//! How a client behaves on the network. Defaults are those of Kafka's clients unless said otherwise.

use std::sync::Arc;
use std::time::Duration;

/// Settings shared by everything that talks to brokers.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `client.id`: what brokers show and log.
    pub client_id: Arc<str>,
    /// The most a connection may take, handshake included (Kafka's `socket.connection.setup.timeout.ms` is 10 s).
    pub connect_timeout: Duration,
    /// `request.timeout.ms`: the most a single request may take.
    pub request_timeout: Duration,
    /// The most an operation may take with all its retries (`default.api.timeout.ms`).
    pub operation_timeout: Duration,
    /// Whether operations wait for a first broker to appear, as Kafka's clients do, or fail at once while none of the
    /// addresses to start from answers. Once a broker has answered, its absence is always waited for.
    pub wait_for_first_broker: bool,
    /// Whether brokers are reached at the addresses to start from only, whatever they advertise: for a client on the
    /// machine of its one broker, where the name that others know it by may lead nowhere.
    pub only_bootstrap: bool,
    /// The largest response that is accepted, in bytes. Above Kafka's `fetch.max.bytes` (50 MiB), because a single
    /// batch may exceed that.
    pub response_bytes_max: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            client_id: Arc::from("watertable"),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(60),
            wait_for_first_broker: true,
            only_bootstrap: false,
            response_bytes_max: 256 * 1024 * 1024,
        }
    }
}
