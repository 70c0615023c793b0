//! Finding a group's coordinator and talking to it until it is the right one.

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
    /// Nobody coordinates the group, and it stayed so until the deadline.
    #[error("cannot find the coordinator of group '{group}'")]
    NotFound {
        /// Which group.
        group: Arc<str>,
        /// The last answer.
        #[source]
        source: Refusal,
    },
}

impl CoordinatorError {
    pub(super) fn is_retriable(&self) -> bool {
        match self {
            Self::Call(error) => error.is_retriable(),
            Self::Metadata(error) => error.is_retriable(),
            Self::NotFound { source, .. } => source.is_retriable(),
        }
    }
}

/// A group with its coordinator, found when first needed; clones share it.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    cluster: Cluster,
    group_id: Arc<str>,
    broker: Arc<Mutex<Option<i32>>>,
}

impl GroupCoordinator {
    /// The coordinator of a group.
    pub fn new(cluster: Cluster, group_id: impl Into<Arc<str>>) -> Self {
        Self {
            cluster,
            group_id: group_id.into(),
            broker: Arc::new(Mutex::new(None)),
        }
    }

    /// The group.
    pub fn group_id(&self) -> &Arc<str> {
        &self.group_id
    }

    pub(super) fn cluster(&self) -> &Cluster {
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
    pub(super) fn forget(&self) {
        *self.broker.lock() = None;
    }

    /// Whether an error code means that the coordinator should be asked again, or another one.
    pub(super) fn is_moving(refusal: &Refusal) -> bool {
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
    pub(super) async fn connection(&self, lane: Lane) -> Result<Arc<Connection>, CoordinatorError> {
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
        let mut retry = Retry::new(self.cluster.deadline());
        loop {
            let error = match self.call_once(request).await {
                Ok(response) => match refusal::check(error_code(&response), None) {
                    Err(refusal) if Self::is_moving(&refusal) => {
                        let group = Arc::clone(&self.group_id);
                        CoordinatorError::NotFound {
                            group,
                            source: refusal,
                        }
                    }
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

    async fn call_once<R: Request>(&self, request: &R) -> Result<R::Response, CoordinatorError> {
        let connection = self.connection(Lane::Group).await?;
        Ok(connection.call(request).await?)
    }

    async fn find(&self) -> Result<i32, CoordinatorError> {
        let cluster = &self.cluster;
        let connection = cluster.connection(Target::Any, Lane::Control).await;
        let connection = connection.map_err(CallError::from)?;
        let version = connection.version_of::<FindCoordinatorRequest>(i16::MAX)?;
        let key = self.group_id.as_ref().to_owned();
        let request = if version >= FIRST_VERSION_WITH_KEYS {
            FindCoordinatorRequest {
                coordinator_keys: vec![key],
                ..FindCoordinatorRequest::default()
            }
        } else {
            FindCoordinatorRequest {
                key,
                ..FindCoordinatorRequest::default()
            }
        };
        let limit = cluster.config().request_timeout;
        let response = connection.call_version(&request, version, limit).await?;
        let found = read(response).map_err(|source| CoordinatorError::NotFound {
            group: Arc::clone(&self.group_id),
            source,
        })?;
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
