//! What the broker is told at its start.

use std::path::PathBuf;
use std::sync::Arc;

use metadata::settings::BrokerSettings;
use storage::DirectoryOptions;

use crate::log_levels::LogLevels;
use crate::ownership::BrokerId;

/// What the broker is told at its start.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `node.id`.
    pub broker_id: BrokerId,
    /// Where to listen for clients.
    pub listen: std::net::SocketAddr,
    /// What clients are told to connect to: host and port. `None`: where it listens.
    pub advertise: Option<(String, u16)>,
    /// The data directory.
    pub data_directory: PathBuf,
    /// Settings from flags, environment and file, with defaults.
    pub settings: Arc<BrokerSettings>,
    /// How the data directory is used, as far as no setting says it.
    pub storage: DirectoryOptions,
    /// The broker's own log; `None` if its levels are not the broker's to change.
    pub log_levels: Option<Arc<dyn LogLevels>>,
    /// Has the allocator give memory that was freed back to the system.
    pub give_back_memory: fn(),
}

/// Where a broker can be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) broker: BrokerId,
    pub(crate) host: &'a str,
    pub(crate) port: i32,
    /// `broker.rack`.
    pub(crate) rack: Option<&'a str>,
}

impl BrokerConfig {
    /// The same, advertising `listening` unless it says otherwise.
    #[must_use]
    pub(crate) fn advertised_at(mut self, listening: std::net::SocketAddr) -> Self {
        self.advertise
            .get_or_insert_with(|| (listening.ip().to_string(), listening.port()));
        self
    }

    /// The data directory as DescribeLogDirs tells it.
    pub(crate) fn absolute_data_directory(&self) -> PathBuf {
        std::path::absolute(&self.data_directory)
            .unwrap_or_else(|_no_current_directory| self.data_directory.clone())
    }

    /// The brokers of the cluster as clients should reach them: this one.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = Endpoint<'_>> {
        let endpoint = self.advertise.as_ref().map(|(host, port)| Endpoint {
            broker: self.broker_id,
            host,
            port: i32::from(*port),
            rack: self.settings.broker_rack.as_deref(),
        });
        endpoint.into_iter()
    }
}
