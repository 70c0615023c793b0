//! FindCoordinator, key 10, versions 0 to 6.
//!
//! * v1: key type. v4: several keys at once (KIP-699). v6: share groups.
//!
//! The group topic is created by the first request that asks for a group's coordinator. Transactions have no coordinator
//! here yet: their keys get COORDINATOR_NOT_AVAILABLE, never a broker that would then refuse.

use std::sync::Arc;

use metadata::CONSUMER_OFFSETS;
use protocol::ErrorCode;
use protocol::messages::find_coordinator_response::Coordinator;
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::errors;
use crate::context::Context;
use crate::coordinators::{CoordinatorError, GroupCoordinator};
use crate::topics::Topics;

/// The first version that asks for several keys.
const KEYS_SINCE: i16 = 4;
/// `CoordinatorType.GROUP`.
const GROUP: i8 = 0;
/// `CoordinatorType.TRANSACTION`.
const TRANSACTION: i8 = 1;

pub(crate) async fn handle(
    context: Context,
    request: FindCoordinatorRequest,
    groups: Arc<GroupCoordinator>,
    topics: Arc<Topics>,
) -> FindCoordinatorResponse {
    if context.version >= KEYS_SINCE {
        let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
        for key in request.coordinator_keys {
            coordinators.push(find(request.key_type, key, &groups, &topics).await);
        }
        return FindCoordinatorResponse {
            coordinators,
            ..Default::default()
        };
    }
    let found = find(request.key_type, request.key, &groups, &topics).await;
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

async fn find(
    key_type: i8,
    key: String,
    groups: &GroupCoordinator,
    topics: &Topics,
) -> Coordinator {
    let refused = match key_type {
        GROUP => match groups
            .ensure_topic()
            .await
            .and_then(|()| coordinator(&key, groups, topics))
        {
            Ok(found) => return found,
            Err(error) => (errors::coordinator(error), error.to_string()),
        },
        TRANSACTION => (
            ErrorCode::CoordinatorNotAvailable,
            "transactions are not supported by this version of the broker".to_owned(),
        ),
        _ => (
            ErrorCode::InvalidRequest,
            format!("unknown coordinator type {key_type}"),
        ),
    };
    let (code, message) = refused;
    Coordinator {
        key,
        node_id: -1,
        host: String::new(),
        port: -1,
        error_code: code.into(),
        error_message: Some(message),
    }
}

/// The broker that leads the group's partition of the group topic.
fn coordinator(
    group: &str,
    groups: &GroupCoordinator,
    topics: &Topics,
) -> Result<Coordinator, CoordinatorError> {
    let partition = groups
        .partition_of(group)
        .ok_or(CoordinatorError::NotAvailable)?;
    let image = topics.image();
    let owner = Topics::by_name(&image, CONSUMER_OFFSETS)
        .and_then(|topic| topics.owner(topic, partition.value()))
        .map_err(|_no_such_partition| CoordinatorError::NotAvailable)?;
    let endpoint = topics
        .config
        .endpoints()
        .find(|endpoint| Some(endpoint.broker) == owner.leader);
    let endpoint = endpoint.ok_or(CoordinatorError::NotAvailable)?;
    Ok(Coordinator {
        key: group.to_owned(),
        node_id: endpoint.broker.0,
        host: endpoint.host.to_owned(),
        port: endpoint.port,
        error_code: ErrorCode::None.into(),
        // Kafka's brokers fill it in on success too.
        error_message: Some("NONE".to_owned()),
    })
}
