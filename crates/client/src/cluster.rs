//! A cluster as seen from a client: connections to its brokers and the newest metadata.
//!
//! Invariants: one connection per broker and [`Lane`]; a broker that does not answer is tried again only after a
//! back-off; every operation with retries ends by its deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use protocol::Request;
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::{MetadataRequest, MetadataResponse};
use tokio::time::Instant;

use crate::address::BrokerAddress;
use crate::config::ClientConfig;
use crate::connection::{CallError, ConnectError, Connection};
use crate::metadata::{Broker, Cache, Metadata, Topic};
use crate::refusal::{self, Refusal};
use crate::runtime::Backoff;

/// Kinds of traffic that must not wait for each other: a broker answers one connection in order, so a fetch that waits
/// for records, or a join that waits for other members, would hold up everything behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Metadata, administration.
    Control,
    /// Produce requests.
    Produce,
    /// Fetch requests.
    Fetch,
    /// Membership and commits of a group.
    Group,
    /// Heartbeats, which go on while a join waits.
    Heartbeat,
}

/// Which broker a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Whichever answers.
    Any,
    /// One by id.
    Broker(i32),
    /// The controller if one is named, otherwise any, which forwards.
    Controller,
}

/// Why there is no metadata.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MetadataError {
    /// No broker could be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The broker refused to describe the topic.
    #[error("topic '{topic}'")]
    Topic {
        /// Which topic.
        topic: String,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
    /// The broker refused the request as a whole.
    #[error("the cluster's metadata")]
    Refused(#[source] Refusal),
    /// The partition is not there.
    #[error("topic '{topic}' has no partition {partition}; it has {count}, counted from 0")]
    NoPartition {
        /// Which topic.
        topic: String,
        /// The partition asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// Nobody leads the partition, and it stayed so until the deadline.
    #[error("partition {partition} of topic '{topic}' has no leader")]
    NoLeader {
        /// Which topic.
        topic: String,
        /// Which partition.
        partition: i32,
    },
}

impl MetadataError {
    /// Whether another attempt may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Call(error) => error.is_retriable(),
            Self::Topic { source, .. } | Self::Refused(source) => source.is_retriable(),
            Self::NoLeader { .. } => true,
            Self::NoPartition { .. } => false,
        }
    }
}

/// Topics to describe.
#[derive(Clone, Copy, Debug)]
pub enum TopicSelection<'a> {
    /// None, only the brokers.
    None,
    /// All that the client may see.
    All,
    /// These.
    Named(&'a [Arc<str>]),
}

/// A client of one cluster; cheap to clone, all clones share connections and metadata.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    /// Connections besides those of [`Lane::Control`].
    own: Arc<Slots>,
}

/// What all parts of a program that use one cluster share.
#[derive(Debug)]
struct Shared {
    bootstrap: Vec<BrokerAddress>,
    config: ClientConfig,
    control: Slots,
    cache: Mutex<Cache>,
    /// Some broker has answered.
    connected: AtomicBool,
}

type Slots = Mutex<HashMap<SlotKey, Arc<Slot>>>;

/// A broker (none: whichever answers) and a kind of traffic.
type SlotKey = (Option<i32>, Lane);

/// Place of one connection; the lock makes the second caller wait for the connection the first one is opening.
type Slot = tokio::sync::Mutex<Option<Arc<Connection>>>;

impl Cluster {
    /// A client of the cluster that one of `bootstrap` belongs to. Connects when it is first used.
    pub fn new(bootstrap: Vec<BrokerAddress>, config: ClientConfig) -> Self {
        let shared = Shared {
            bootstrap,
            config,
            control: Mutex::default(),
            cache: Mutex::default(),
            connected: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            own: Arc::default(),
        }
    }

    /// The same cluster over other connections, apart from those for metadata and administration. Producers, consumers
    /// and members each take their own: brokers answer a connection in order, so that a fetch or a join of one would
    /// hold up the others, and two members on one connection would wait for each other.
    pub(crate) fn with_own_connections(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            own: Arc::default(),
        }
    }

    /// How it behaves.
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Where it begins.
    pub fn bootstrap(&self) -> &[BrokerAddress] {
        &self.shared.bootstrap
    }

    /// When an operation that begins now must be over.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.config.operation_timeout
    }

    /// An open connection to a broker.
    pub async fn connection(
        &self,
        target: Target,
        lane: Lane,
    ) -> Result<Arc<Connection>, ConnectError> {
        let broker = match target {
            Target::Any => None,
            Target::Broker(id) => Some(id),
            Target::Controller => self.shared.cache.lock().controller_id,
        };
        let slots = match lane {
            Lane::Control => &self.shared.control,
            _ => &*self.own,
        };
        let slot = Arc::clone(slots.lock().entry((broker, lane)).or_default());
        let mut place = slot.lock().await;
        if let Some(open) = place.as_ref().filter(|open| !open.is_closed()) {
            return Ok(Arc::clone(open));
        }
        let opened = match self.open(broker).await {
            Ok(opened) => Arc::new(opened),
            Err(error) if self.shared.config.wait_for_first_broker || self.has_connected() => {
                return Err(error);
            }
            Err(error) => return Err(ConnectError::Bootstrap(Box::new(error))),
        };
        self.shared.connected.store(true, Ordering::Relaxed);
        *place = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn has_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    async fn open(&self, broker: Option<i32>) -> Result<Connection, ConnectError> {
        let candidates = match broker {
            Some(_) if self.shared.config.only_bootstrap => self.shared.bootstrap.clone(),
            Some(id) => {
                let known = self.shared.cache.lock().brokers.get(&id).cloned();
                vec![known.ok_or(ConnectError::UnknownBroker { id })?.address]
            }
            None => self.addresses(),
        };
        let mut first_error = None;
        for address in candidates {
            match Connection::open(address, &self.shared.config).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(ConnectError::UnknownBroker { id: -1 }))
    }

    /// Bootstrap addresses first, then what the metadata names besides.
    fn addresses(&self) -> Vec<BrokerAddress> {
        let mut addresses = self.shared.bootstrap.clone();
        for broker in self.shared.cache.lock().brokers.values() {
            if !addresses.contains(&broker.address) {
                addresses.push(broker.address.clone());
            }
        }
        addresses
    }

    /// Sends one request to a broker, without retries.
    pub async fn call<R: Request>(
        &self,
        target: Target,
        lane: Lane,
        request: &R,
    ) -> Result<R::Response, CallError> {
        self.connection(target, lane).await?.call(request).await
    }

    /// Sends a request until a broker answers, for at most the operation's time. Only for requests that may safely
    /// arrive twice.
    pub async fn call_retrying<R: Request>(
        &self,
        target: Target,
        lane: Lane,
        request: &R,
    ) -> Result<R::Response, CallError> {
        let mut retry = Retry::new(self.deadline());
        loop {
            match self.call(target, lane, request).await {
                Err(error) if error.is_retriable() && retry.wait().await => {
                    tracing::debug!(%error, api = R::NAME, "trying again");
                }
                result => return result,
            }
        }
    }

    /// Asks a broker for metadata once and keeps the answer.
    pub async fn fetch_metadata(
        &self,
        topics: TopicSelection<'_>,
        allow_auto_topic_creation: bool,
    ) -> Result<Metadata, MetadataError> {
        let connection = self.connection(Target::Any, Lane::Control).await;
        let connection = connection.map_err(CallError::from)?;
        let version = connection.version_of::<MetadataRequest>(i16::MAX)?;
        let request = metadata_request(topics, allow_auto_topic_creation, version);
        let limit = self.shared.config.request_timeout;
        let response: MetadataResponse = connection.call_version(&request, version, limit).await?;
        refusal::check(response.error_code, None).map_err(MetadataError::Refused)?;
        let metadata = Metadata::read(response);
        self.shared.cache.lock().update(&metadata);
        Ok(metadata)
    }

    /// Metadata, with retries while no broker answers.
    pub async fn metadata(&self, topics: TopicSelection<'_>) -> Result<Metadata, MetadataError> {
        let mut retry = Retry::new(self.deadline());
        loop {
            match self.fetch_metadata(topics, false).await {
                Err(error) if error.is_retriable() && retry.wait().await => {}
                result => return result,
            }
        }
    }

    /// A topic, from memory if it was described before.
    pub async fn topic(&self, name: &Arc<str>) -> Result<Arc<Topic>, MetadataError> {
        if let Some(topic) = self.cached_topic(name) {
            return Ok(topic);
        }
        self.refresh_topic(name, false).await
    }

    /// What is known of a topic without asking.
    pub fn cached_topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.shared.cache.lock().topic(name)
    }

    /// Asks for a topic anew. With `create` a broker may create it if it is set up so; then its leaders take a moment,
    /// which is waited for.
    pub async fn refresh_topic(
        &self,
        name: &Arc<str>,
        create: bool,
    ) -> Result<Arc<Topic>, MetadataError> {
        let mut retry = Retry::new(self.deadline());
        loop {
            let error = match self.describe(name, create).await {
                Ok(topic) => return Ok(topic),
                Err(error) => error,
            };
            // That a topic does not exist is retriable for Kafka, because it may be about to appear; people who
            // mistyped a name should not wait a minute for that.
            let absent = matches!(&error, MetadataError::Topic { source, .. }
                if source.is(protocol::ErrorCode::UnknownTopicOrPartition));
            let attempts = if absent {
                ATTEMPTS_FOR_ABSENT_TOPIC
            } else {
                u32::MAX
            };
            if !error.is_retriable() || retry.attempts >= attempts || !retry.wait().await {
                return Err(error);
            }
        }
    }

    async fn describe(&self, name: &Arc<str>, create: bool) -> Result<Arc<Topic>, MetadataError> {
        let names = [Arc::clone(name)];
        let mut metadata = self
            .fetch_metadata(TopicSelection::Named(&names), create)
            .await?;
        let refused = |source| MetadataError::Topic {
            topic: name.as_ref().to_owned(),
            source,
        };
        match metadata.topics.remove(name) {
            Some(Ok(topic)) => Ok(self.cached_topic(name).unwrap_or(topic)),
            Some(Err(refusal)) => Err(refused(refusal)),
            None => Err(refused(Refusal::new(
                protocol::ErrorCode::UnknownTopicOrPartition,
            ))),
        }
    }

    /// The broker that leads a partition, as far as known; asks if nothing is.
    pub async fn leader_of(&self, topic: &Arc<str>, partition: i32) -> Result<i32, MetadataError> {
        let known = self.topic(topic).await?;
        let described = known.partition(partition);
        let described = described.ok_or_else(|| MetadataError::NoPartition {
            topic: topic.as_ref().to_owned(),
            partition,
            count: known.partitions.len(),
        })?;
        described.leader.ok_or_else(|| MetadataError::NoLeader {
            topic: topic.as_ref().to_owned(),
            partition,
        })
    }

    /// Makes the next look at a topic ask a broker.
    pub fn forget_topic(&self, name: &str) {
        self.shared.cache.lock().forget(name);
    }

    /// Notes a broker that another answer named (a group's coordinator), so that it can be connected to.
    pub(crate) fn note_broker(&self, broker: Broker) {
        self.shared.cache.lock().brokers.insert(broker.id, broker);
    }
}

/// A topic that was created a moment ago may take as long as this to be known everywhere: 100 + 200 + 400 ms.
const ATTEMPTS_FOR_ABSENT_TOPIC: u32 = 3;

/// Without topic ids (before version 10) a name stands for everything.
fn metadata_request(
    topics: TopicSelection<'_>,
    allow_auto_topic_creation: bool,
    version: i16,
) -> MetadataRequest {
    let topics = match topics {
        // In version 0 an empty list means all topics, and null does not exist.
        TopicSelection::All if version == 0 => Some(Vec::new()),
        TopicSelection::All => None,
        TopicSelection::None => Some(Vec::new()),
        TopicSelection::Named(names) => Some(
            names
                .iter()
                .map(|name| MetadataRequestTopic {
                    name: Some(name.as_ref().to_owned()),
                    ..MetadataRequestTopic::default()
                })
                .collect(),
        ),
    };
    MetadataRequest {
        topics,
        // Before version 4 brokers always decide by themselves.
        allow_auto_topic_creation: allow_auto_topic_creation || version < 4,
        ..MetadataRequest::default()
    }
}

/// Waits between the attempts of one operation, until its deadline.
#[derive(Debug)]
pub(crate) struct Retry {
    deadline: Instant,
    backoff: Backoff,
    attempts: u32,
}

impl Retry {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            backoff: Backoff::new(),
            attempts: 0,
        }
    }

    /// Waits; false, without waiting, if the next attempt would be too late.
    pub(crate) async fn wait(&mut self) -> bool {
        let wait = self.backoff.next_wait();
        if Instant::now() + wait >= self.deadline {
            return false;
        }
        self.attempts += 1;
        tokio::time::sleep(wait).await;
        true
    }
}
