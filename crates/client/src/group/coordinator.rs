//! Finding the coordinator of a group or of a transactional id, and talking to it until it is the right one.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use protocol::{ErrorCode, Request};

use crate::address::BrokerAddress;
use crate::cluster::{Cluster, Lane, MetadataError, Retry, Target};
use crate::connection::{CallError, Connection};
use crate::metadata::Broker;
use crate::refusal::{self, Refusal};

/// The version that asks for several coordinators at once.
const FIRST_VERSION_WITH_KEYS: i16 = 4;

/// Why the coordinator could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// A broker could not be reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The brokers could not be listed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Nobody coordinates the group or the transactional id, and it stayed so until the deadline.
    #[error("cannot find the coordinator of {kind} '{key}'")]
    NotFound {
        /// What was to be coordinated.
        kind: CoordinatorKind,
        /// Which one.
        key: Arc<str>,
        /// The last answer.
        #[source]
        source: Refusal,
    },
}

impl CoordinatorError {
    pub(crate) fn is_retriable(&self) -> bool {
        match self {
            Self::Call(error) => error.is_retriable(),
            Self::Metadata(error) => error.is_retriable(),
            Self::NotFound { source, .. } => source.is_retriable(),
        }
    }
}

/// What a coordinator is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorKind {
    /// Of a group.
    Group,
    /// Of a transactional id.
    TransactionalId,
}

impl CoordinatorKind {
    /// `FindCoordinatorRequest.CoordinatorType`.
    const fn number(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::TransactionalId => 1,
        }
    }
}

impl fmt::Display for CoordinatorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Group => "group",
            Self::TransactionalId => "transactional id",
        })
    }
}

/// A group or transactional id with its coordinator, found when first needed; clones share it.
#[derive(Clone, Debug)]
pub struct Coordinator {
    cluster: Cluster,
    kind: CoordinatorKind,
    key: Arc<str>,
    broker: Arc<Mutex<Option<i32>>>,
}

/// A [`Coordinator`] of a group.
pub type GroupCoordinator = Coordinator;

impl Coordinator {
    /// The coordinator of a group.
    pub fn new(cluster: Cluster, group_id: impl Into<Arc<str>>) -> Self {
        Self::of(cluster, CoordinatorKind::Group, group_id.into())
    }

    /// The coordinator of a transactional id.
    pub fn of_transactional_id(cluster: Cluster, id: impl Into<Arc<str>>) -> Self {
        Self::of(cluster, CoordinatorKind::TransactionalId, id.into())
    }

    fn of(cluster: Cluster, kind: CoordinatorKind, key: Arc<str>) -> Self {
        Self {
            cluster,
            kind,
            key,
            broker: Arc::new(Mutex::new(None)),
        }
    }

    /// The group.
    pub fn group_id(&self) -> &Arc<str> {
        &self.key
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The coordinating broker.
    pub async fn broker(&self) -> Result<i32, CoordinatorError> {
        if let Some(known) = *self.broker.lock() {
            return Ok(known);
        }
        let mut retry = Retry::new(self.cluster.deadline());
        loop {
            match self.find().await {
                Ok(broker) => {
                    *self.broker.lock() = Some(broker);
                    return Ok(broker);
                }
                Err(error) if error.is_retriable() && retry.wait().await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the next request look for the coordinator again.
    pub(crate) fn forget(&self) {
        *self.broker.lock() = None;
    }

    /// Whether an error code means that the coordinator should be asked again, or another one.
    pub(crate) fn is_moving(refusal: &Refusal) -> bool {
        use ErrorCode as E;
        [
            E::NotCoordinator,
            E::CoordinatorNotAvailable,
            E::CoordinatorLoadInProgress,
        ]
        .iter()
        .any(|code| refusal.is(*code))
    }

    /// A connection to the coordinator.
    pub(crate) async fn connection(&self, lane: Lane) -> Result<Arc<Connection>, CoordinatorError> {
        let broker = self.broker().await?;
        let connection = self.cluster.connection(Target::Broker(broker), lane).await;
        connection.map_err(|error| {
            self.forget();
            CallError::from(error).into()
        })
    }

    /// Sends a request until the right coordinator has answered it, for at most the operation's time. `error_code`
    /// finds the code of the whole response. Only for requests that may safely arrive twice.
    pub(crate) async fn call<R: Request>(
        &self,
        request: &R,
        error_code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, CoordinatorError> {
        self.call_up_to(request, i16::MAX, error_code).await
    }

    /// As [`Self::call`], in a version of at most `limit`.
    pub(crate) async fn call_up_to<R: Request>(
        &self,
        request: &R,
        limit: i16,
        error_code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, CoordinatorError> {
        let mut retry = Retry::new(self.cluster.deadline());
        loop {
            let error = match self.call_once(request, limit).await {
                Ok(response) => match refusal::check(error_code(&response), None) {
                    Err(refusal) if Self::is_moving(&refusal) => self.not_found(refusal),
                    _ => return Ok(response),
                },
                Err(error) => error,
            };
            self.forget();
            if !error.is_retriable() || !retry.wait().await {
                return Err(error);
            }
        }
    }

    async fn call_once<R: Request>(
        &self,
        request: &R,
        limit: i16,
    ) -> Result<R::Response, CoordinatorError> {
        let connection = self.connection(Lane::Group).await?;
        let version = connection.version_of::<R>(limit)?;
        let time = self.cluster.config().request_timeout;
        Ok(connection.call_version(request, version, time).await?)
    }

    fn not_found(&self, source: Refusal) -> CoordinatorError {
        CoordinatorError::NotFound {
            kind: self.kind,
            key: Arc::clone(&self.key),
            source,
        }
    }

    async fn find(&self) -> Result<i32, CoordinatorError> {
        let cluster = &self.cluster;
        let connection = cluster.connection(Target::Any, Lane::Control).await;
        let connection = connection.map_err(CallError::from)?;
        let version = connection.version_of::<FindCoordinatorRequest>(i16::MAX)?;
        let key = self.key.as_ref().to_owned();
        let key_type = self.kind.number();
        let request = if version >= FIRST_VERSION_WITH_KEYS {
            FindCoordinatorRequest {
                key_type,
                coordinator_keys: vec![key],
                ..FindCoordinatorRequest::default()
            }
        } else {
            FindCoordinatorRequest {
                key,
                key_type,
                ..FindCoordinatorRequest::default()
            }
        };
        let limit = cluster.config().request_timeout;
        let response = connection.call_version(&request, version, limit).await?;
        let found = read(response).map_err(|source| self.not_found(source))?;
        let id = found.id;
        cluster.note_broker(found);
        Ok(id)
    }
}

fn read(response: FindCoordinatorResponse) -> Result<Broker, Refusal> {
    // Version 4 and later answer per key.
    let (code, message, id, host, port) = match response.coordinators.into_iter().next() {
        Some(found) => (
            found.error_code,
            found.error_message,
            found.node_id,
            found.host,
            found.port,
        ),
        None => (
            response.error_code,
            response.error_message,
            response.node_id,
            response.host,
            response.port,
        ),
    };
    refusal::check(code, message.as_deref())?;
    let port = u16::try_from(port).ok();
    let port = port.ok_or_else(|| Refusal::new(ErrorCode::CoordinatorNotAvailable))?;
    Ok(Broker {
        id,
        address: BrokerAddress { host, port },
        rack: None,
    })
}
