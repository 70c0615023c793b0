//! The server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::{Broker, BrokerConfig, BrokerId, DirectoryOptions};
use env::Env;
use metadata::settings::{BrokerSettings, Layers};
use tempfile::TempDir;

/// A running broker and the folder it owns.
#[derive(Debug)]
pub struct Server {
    broker: Broker,
    options: ServerOptions,
    folder: Folder,
}

/// How the broker is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Broker settings by Kafka's names.
    pub settings: Vec<(String, String)>,
    /// The surroundings, if not the machine's.
    pub env: Option<Env>,
    /// What clients are told to connect to, if it is another address: a proxy between them.
    pub advertise: Option<SocketAddr>,
}

impl ServerOptions {
    /// Adds a broker setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

#[derive(Debug)]
enum Folder {
    Own(TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

impl Server {
    /// A broker with default settings in a fresh folder. Groups rebalance without delay.
    ///
    /// # Panics
    /// When it does not start, as for all methods here: a test cannot go on.
    pub async fn start() -> Self {
        Self::start_with(ServerOptions::default()).await
    }

    /// A broker with these settings in a fresh folder.
    pub async fn start_with(options: ServerOptions) -> Self {
        let folder =
            Folder::Own(tempfile::tempdir().expect("the machine has room for a temporary folder"));
        Self::start_in(folder, options).await
    }

    /// A broker over an existing folder, which stays.
    pub async fn start_over(path: &Path, options: ServerOptions) -> Self {
        Self::start_in(Folder::Given(path.to_owned()), options).await
    }

    async fn start_in(folder: Folder, options: ServerOptions) -> Self {
        let env = options.env.clone().unwrap_or_else(Env::system);
        let mut settings = vec![(
            "group.initial.rebalance.delay.ms".to_owned(),
            "0".to_owned(),
        )];
        settings.extend(options.settings.iter().cloned());
        let layers = Layers::at_start(settings.into_iter().collect())
            .expect("the test's settings are valid");
        let settings = BrokerSettings::new(layers);
        let config = BrokerConfig {
            broker_id: BrokerId(1),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: options
                .advertise
                .map(|address| (address.ip().to_string(), address.port())),
            data_directory: folder.path().to_owned(),
            settings: Arc::new(settings),
            storage: DirectoryOptions::default(),
            log_levels: None,
            give_back_memory: || (),
        };
        let broker = Broker::start(env, config).await.expect("the broker starts");
        Self {
            broker,
            options,
            folder,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// The broker itself.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The data directory.
    pub fn data_directory(&self) -> &Path {
        self.folder.path()
    }

    /// Stops in order and starts again over the same folder, on another port.
    pub async fn restart(self) -> Self {
        let Self {
            broker,
            options,
            folder,
        } = self;
        broker.stop().await;
        Self::start_in(folder, options).await
    }

    /// Stops in order.
    pub async fn stop(self) {
        self.broker.stop().await;
    }
}
