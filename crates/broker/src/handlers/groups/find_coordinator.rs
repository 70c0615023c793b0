//! FindCoordinator, key 10, versions 0 to 6.
//!
//! * v1: key type. v4: several keys at once (KIP-699). v6: share groups.
//!
//! The topic of groups or transactions is created by the first request that asks for such a coordinator.

use std::sync::Arc;

use metadata::{CONSUMER_OFFSETS, SHARE_GROUP_STATE, TRANSACTION_STATE};
use protocol::ErrorCode;
use protocol::messages::find_coordinator_response::Coordinator;
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::errors;
use crate::config::Endpoint;
use crate::context::Context;
use crate::coordinators::{CoordinatorError, GroupCoordinator, TransactionCoordinator};
use crate::shares::Shares;
use crate::topics::Topics;
use types::PartitionIndex;

/// The first version that asks for several keys.
const KEYS_SINCE: i16 = 4;
/// `CoordinatorType.GROUP`.
const GROUP: i8 = 0;
/// `CoordinatorType.TRANSACTION`.
const TRANSACTION: i8 = 1;
/// `CoordinatorType.SHARE`.
const SHARE: i8 = 2;
/// The first version that may ask for a share coordinator.
const SHARE_SINCE: i16 = 6;

pub(crate) async fn handle(
    context: Context,
    request: FindCoordinatorRequest,
    groups: Arc<GroupCoordinator>,
    transactions: Arc<TransactionCoordinator>,
    shares: Arc<Shares>,
    topics: Arc<Topics>,
) -> FindCoordinatorResponse {
    let coordinators = Coordinators {
        groups,
        transactions,
        shares,
        topics,
        version: context.version,
    };
    if context.version >= KEYS_SINCE {
        let mut found = Vec::with_capacity(request.coordinator_keys.len());
        for key in request.coordinator_keys {
            found.push(coordinators.find(request.key_type, key).await);
        }
        return FindCoordinatorResponse {
            coordinators: found,
            ..Default::default()
        };
    }
    let found = coordinators.find(request.key_type, request.key).await;
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

/// Everybody who can be asked for.
struct Coordinators {
    groups: Arc<GroupCoordinator>,
    transactions: Arc<TransactionCoordinator>,
    shares: Arc<Shares>,
    topics: Arc<Topics>,
    version: i16,
}

impl Coordinators {
    async fn find(&self, key_type: i8, key: String) -> Coordinator {
        let found = match key_type {
            GROUP => self.of_group(&key).await,
            TRANSACTION => self.of_transaction(&key).await,
            SHARE if self.version >= SHARE_SINCE && is_share_key(&key) => {
                self.of_share_state(&key).await
            }
            _ => {
                let message = format!("unknown coordinator type {key_type}");
                return refuse(key, ErrorCode::InvalidRequest, message);
            }
        };
        match found {
            Ok(endpoint) => Coordinator {
                key,
                node_id: endpoint.broker.0,
                host: endpoint.host.to_owned(),
                port: endpoint.port,
                error_code: ErrorCode::None.into(),
                // Kafka's brokers fill it in on success too.
                error_message: Some("NONE".to_owned()),
            },
            Err(error) => refuse(key, errors::coordinator(error), error.to_string()),
        }
    }

    async fn of_group(&self, group: &str) -> Result<Endpoint<'_>, CoordinatorError> {
        self.groups.ensure_topic().await?;
        self.leader(CONSUMER_OFFSETS, self.groups.partition_of(group))
    }

    async fn of_transaction(&self, id: &str) -> Result<Endpoint<'_>, CoordinatorError> {
        self.transactions.ensure_topic().await?;
        self.leader(TRANSACTION_STATE, self.transactions.partition_of(id))
    }

    async fn of_share_state(&self, key: &str) -> Result<Endpoint<'_>, CoordinatorError> {
        let coordinator = &self.shares.coordinator;
        coordinator.ensure_topic().await?;
        self.leader(SHARE_GROUP_STATE, coordinator.partition_of(key))
    }

    /// The broker that leads the key's partition of the topic.
    fn leader(
        &self,
        topic: &str,
        partition: Option<PartitionIndex>,
    ) -> Result<Endpoint<'_>, CoordinatorError> {
        let partition = partition.ok_or(CoordinatorError::NotAvailable)?;
        let image = self.topics.image();
        let owner = Topics::by_name(&image, topic)
            .and_then(|topic| self.topics.owner(topic, partition.value()))
            .map_err(|_no_such_partition| CoordinatorError::NotAvailable)?;
        let mut endpoints = self.topics.config.endpoints();
        endpoints
            .find(|endpoint| Some(endpoint.broker) == owner.leader)
            .ok_or(CoordinatorError::NotAvailable)
    }
}

/// `group:topic id:partition` (`SharePartitionKey.validate`).
fn is_share_key(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let (partition, topic, group) = (parts.next(), parts.next(), parts.next());
    let is_number = partition.is_some_and(|partition| partition.parse::<i32>().is_ok());
    is_number
        && topic.is_some_and(|topic| !topic.is_empty())
        && group.is_some_and(|group| !group.is_empty())
}

fn refuse(key: String, code: ErrorCode, message: String) -> Coordinator {
    Coordinator {
        key,
        node_id: -1,
        host: String::new(),
        port: -1,
        error_code: code.into(),
        error_message: Some(message),
    }
}
