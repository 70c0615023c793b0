//! Putting the broker together, and taking it apart in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use env::disk::OpenMode;
use metadata::{Cluster, ClusterConfig, OpenClusterError, metadata_file};
use storage::{DirectoryOptions, LogDirectory, OpenError, Opened};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Acceptor, ConnectionMetrics};
use crate::background;
use crate::config::BrokerConfig;
use crate::connection::ConnectionLimits;
use crate::connection_quotas::ConnectionQuotas;
use crate::coordinators::{GroupCoordinator, ShareCoordinator, TransactionCoordinator};
use crate::dispatch::Dispatch;
use crate::fetches::Fetches;
use crate::log_settings::cleaner_settings;
use crate::metrics::BrokerMetrics;
use crate::ownership::SingleNode;
use crate::quotas::Quotas;
use crate::request_memory::RequestMemory;
use crate::request_metrics::RequestMetrics;
use crate::services::Services;
use crate::shares::Shares;
use crate::topics::Topics;
use crate::view::View;

/// How long a stop waits for requests that run. Long polls end by themselves only after their own wait, so they are cut.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("could not open the data directory {}", path.display())]
    Data {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: OpenError,
    },
    /// There are logs, but the metadata that says what they are is gone.
    #[error(
        "there are logs in the data directory, but the metadata in {} is missing or empty; restore it from a backup, \
         or move the folder logs away to start without them",
        path.display()
    )]
    MetadataLost {
        /// Where it should be.
        path: std::path::PathBuf,
    },
    /// Logs that no topic has could not be set aside.
    #[error("could not set aside logs without a topic in {}", path.display())]
    SetAside {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The metadata cannot be used.
    #[error("could not open the metadata")]
    Metadata(#[from] OpenClusterError),
    /// The address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    env: Env,
    topics: Arc<Topics>,
    groups: Arc<GroupCoordinator>,
    transactions: Arc<TransactionCoordinator>,
    shares: Arc<Shares>,
    metrics: BrokerMetrics,
    view: View,
    address: SocketAddr,
    /// No new connections and requests.
    stopping: CancellationToken,
    /// Connections that are open.
    connections: TaskTracker,
    /// Everything else that runs in the background.
    background: TaskTracker,
}

impl Broker {
    /// Opens the data directory and the listener.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing runs then.
    pub async fn start(env: Env, config: BrokerConfig) -> Result<Self, StartError> {
        let opened = open_logs(&env, &config).await?;
        let path = metadata_file(&config.data_directory);
        refuse_lost_metadata(&env, &opened, &path)?;
        let cluster = Cluster::open(
            &env,
            ClusterConfig {
                path,
                settings: config.settings.layers.clone(),
            },
        )
        .await?;
        let listen = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = env.network.listen(config.listen).await.map_err(listen)?;
        let address = listener.local_address().map_err(listen)?;
        let config = Arc::new(config.advertised_at(address));

        let ownership = SingleNode {
            broker: config.broker_id,
            epoch: opened.leader_epoch,
        };
        let topics = Arc::new(Topics::new(
            env.clone(),
            Arc::clone(&config),
            cluster,
            Arc::new(opened.directory),
            Arc::new(ownership),
        ));
        let source = |source| StartError::SetAside {
            path: config.data_directory.clone(),
            source,
        };
        topics.claim_logs().map_err(source)?;
        let groups = Arc::new(GroupCoordinator::new(Arc::clone(&topics)));
        let transactions = Arc::new(TransactionCoordinator::new(
            Arc::clone(&topics),
            Arc::clone(&groups),
        ));
        let quotas = Arc::new(Quotas::new(env.clone(), Arc::clone(&topics.cluster)));
        let share_coordinator = Arc::new(ShareCoordinator::new(Arc::clone(&topics)));
        let shares = Arc::new(Shares::new(
            Arc::clone(&topics),
            Arc::clone(&groups),
            share_coordinator,
        ));
        let services = Services {
            topics: Arc::clone(&topics),
            fetches: Arc::new(Fetches::new(Arc::clone(&topics))),
            groups: Arc::clone(&groups),
            transactions: Arc::clone(&transactions),
            shares: Arc::clone(&shares),
            internal_topics: Arc::default(),
            quotas: Arc::clone(&quotas),
            metrics: Arc::new(RequestMetrics::default()),
        };
        let connection_metrics = Arc::new(ConnectionMetrics::default());
        let memory = RequestMemory::new(
            Arc::clone(&env.clock),
            request_memory(&config),
            config.give_back_memory,
        );
        let metrics = BrokerMetrics::new(
            &services,
            Arc::clone(&connection_metrics),
            Arc::clone(memory.metrics()),
        );
        let view = View::new(services.clone(), Arc::clone(&connection_metrics));
        let broker = Self {
            env: env.clone(),
            topics,
            groups,
            transactions,
            shares,
            metrics,
            view,
            address,
            stopping: CancellationToken::new(),
            connections: TaskTracker::new(),
            background: TaskTracker::new(),
        };
        let acceptor = Acceptor {
            env: env.clone(),
            listener,
            dispatch: Arc::new(Dispatch::new(env.clone(), services)),
            limits: ConnectionLimits {
                request_bytes_max: usize::try_from(config.settings.socket_request_max_bytes)
                    .unwrap_or(0),
                idle: config
                    .settings
                    .connections_max_idle_ms
                    .map_or(Duration::MAX, Duration::from_millis),
            },
            metrics: connection_metrics,
            memory,
            places: Arc::new(ConnectionQuotas::default()),
            quotas,
            cluster: Arc::clone(&broker.topics.cluster),
            stopping: broker.stopping.clone(),
            connections: broker.connections.clone(),
        };
        broker.run_in_background(acceptor.run());
        broker.run_in_background(background::retention(
            Arc::clone(&broker.topics),
            broker.stopping.clone(),
        ));
        broker.run_in_background(background::settings(
            Arc::clone(&broker.topics),
            broker.stopping.clone(),
        ));
        broker.run_in_background(Arc::clone(&broker.groups).run_timers(broker.stopping.clone()));
        broker.run_in_background(Arc::clone(&broker.groups).run_searches(broker.stopping.clone()));
        let transactions = &broker.transactions;
        broker.run_in_background(Arc::clone(transactions).run_timers(broker.stopping.clone()));
        broker.run_in_background(Arc::clone(transactions).run_markers(broker.stopping.clone()));
        let shares = &broker.shares;
        broker.run_in_background(Arc::clone(shares).run_timers(broker.stopping.clone()));
        let share_coordinator = Arc::clone(&shares.coordinator);
        broker.run_in_background(share_coordinator.run_timers(broker.stopping.clone()));
        let cluster = &broker.topics.cluster;
        broker.run_in_background(
            Arc::clone(&broker.groups).follow_cluster(Arc::clone(cluster), broker.stopping.clone()),
        );
        broker.run_in_background(
            Arc::clone(transactions).follow_cluster(Arc::clone(cluster), broker.stopping.clone()),
        );
        Ok(broker)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients are told to connect.
    pub fn advertised(&self) -> String {
        let endpoints = self.topics.config.endpoints();
        let shown: Vec<_> = endpoints
            .map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port))
            .collect();
        shown.join(",")
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> Arc<str> {
        Arc::clone(&self.topics.image().cluster_id)
    }

    /// What it counts.
    pub fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }

    /// What it is, to look at.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Stops in order: no new connections and requests; answers to requests that run, for a while; coordinators; logs,
    /// flushed and checkpointed, so that the next start reads nothing but the checkpoint.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.connections.close();
        self.background.close();
        let clock = &self.env.clock;
        let deadline = clock.now().plus(DRAIN);
        tokio::select! {
            biased;
            () = self.connections.wait() => {}
            () = clock.sleep_until(deadline) => {
                tracing::info!(connections = self.connections.len(), "cut connections that still wait");
            }
        }
        self.background.wait().await;
        self.shares.coordinator.unload();
        self.transactions.unload();
        self.groups.unload();
        let topics = Arc::clone(&self.topics);
        let close = move || {
            if let Err(error) = topics.directory.close() {
                tracing::warn!(%error, "could not close the data directory; the next start recovers it");
            }
            topics.cluster.close();
        };
        self.env.spawner.run_blocking(Box::new(close)).await;
    }

    fn run_in_background(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.env
            .spawner
            .spawn(Box::pin(self.background.track_future(task)));
    }
}

/// Bytes that requests and their answers may take in all.
fn request_memory(config: &BrokerConfig) -> usize {
    let limit = config.settings.queued_max_request_bytes;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Without its metadata a broker would take every log for that of a deleted topic.
fn refuse_lost_metadata(
    env: &Env,
    opened: &Opened,
    path: &std::path::Path,
) -> Result<(), StartError> {
    let length = env
        .disk
        .open(path, OpenMode::Read)
        .and_then(|file| file.length());
    let is_lost = match length {
        Ok(length) => length == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_lost && !opened.directory.unclaimed().is_empty() {
        return Err(StartError::MetadataLost {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Recovery reads from the disk: away from the tasks.
async fn open_logs(env: &Env, config: &BrokerConfig) -> Result<Opened, StartError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let path = config.data_directory.clone();
    let opening = env.clone();
    let options = DirectoryOptions {
        producer_expiration_ms: i64::from(config.settings.producer_id_expiration_ms),
        cleaner: cleaner_settings(&config.settings),
        verify_transactions: config.settings.transaction_partition_verification_enable,
        ..config.storage.clone()
    };
    let open = move || drop(sender.send(LogDirectory::open(opening, &path, options)));
    env.spawner.run_blocking(Box::new(open)).await;
    let opened = receiver
        .await
        .expect("opening sends its outcome, and a panic in it has ended the start");
    opened.map_err(|source| StartError::Data {
        path: config.data_directory.clone(),
        source,
    })
}
