//! Creating, growing and deleting topics.

use std::collections::BTreeMap;

use protocol::messages::create_partitions_request::CreatePartitionsTopic;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DeleteTopicsResponse,
};
use protocol::{ErrorCode, Request};

use super::AdminError;
use crate::cluster::{Cluster, Lane, Retry, Target};
use crate::connection::CallError;
use crate::refusal::{self, Refusal};

/// The first version of DeleteTopics with topic ids.
const FIRST_DELETE_WITH_IDS: i16 = 6;

/// A topic to create.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; the broker's default if absent.
    pub partitions: Option<i32>,
    /// How many replicas; the broker's default if absent.
    pub replication_factor: Option<i16>,
    /// Settings.
    pub configs: BTreeMap<String, String>,
}

/// A topic that was created, as far as the broker tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreatedTopic {
    /// How many partitions it has.
    pub partitions: Option<i32>,
    /// How many replicas each has.
    pub replication_factor: Option<i16>,
}

/// Results by name.
pub type ByName<T> = BTreeMap<String, Result<T, Refusal>>;

/// Creates topics, or with `validate_only` asks whether they could be.
pub async fn create_topics(
    cluster: &Cluster,
    topics: &[NewTopic],
    validate_only: bool,
) -> Result<ByName<CreatedTopic>, AdminError> {
    let timeout_ms = timeout_ms(cluster);
    let request = CreateTopicsRequest {
        topics: topics
            .iter()
            .map(|topic| CreatableTopic {
                name: topic.name.clone(),
                num_partitions: topic.partitions.unwrap_or(-1),
                replication_factor: topic.replication_factor.unwrap_or(-1),
                configs: topic
                    .configs
                    .iter()
                    .map(|(name, value)| CreatableTopicConfig {
                        name: name.clone(),
                        value: Some(value.clone()),
                    })
                    .collect(),
                ..CreatableTopic::default()
            })
            .collect(),
        timeout_ms,
        validate_only,
    };
    let response = call_controller(cluster, &request, |response| {
        response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect()
    })
    .await?;
    let results = response.topics.into_iter().map(|topic| {
        let created = refusal::check(topic.error_code, topic.error_message.as_deref());
        let created = created.map(|()| CreatedTopic {
            partitions: Some(topic.num_partitions).filter(|count| *count >= 0),
            replication_factor: Some(topic.replication_factor).filter(|count| *count >= 0),
        });
        (topic.name, created)
    });
    Ok(results.collect())
}

/// Raises the number of partitions.
pub async fn create_partitions(
    cluster: &Cluster,
    totals: &BTreeMap<String, i32>,
    validate_only: bool,
) -> Result<ByName<()>, AdminError> {
    let topics = totals.iter().map(|(name, count)| CreatePartitionsTopic {
        name: name.clone(),
        count: *count,
        assignments: None,
    });
    let request = CreatePartitionsRequest {
        topics: topics.collect(),
        timeout_ms: timeout_ms(cluster),
        validate_only,
    };
    let response = call_controller(cluster, &request, |response| {
        response
            .results
            .iter()
            .map(|topic| topic.error_code)
            .collect()
    })
    .await?;
    for name in totals.keys() {
        cluster.forget_topic(name);
    }
    let results = response.results.into_iter().map(|topic| {
        let message = topic.error_message.as_deref();
        (topic.name, refusal::check(topic.error_code, message))
    });
    Ok(results.collect())
}

/// Deletes topics by name.
pub async fn delete_topics(cluster: &Cluster, names: &[String]) -> Result<ByName<()>, AdminError> {
    let connection = cluster.connection(Target::Controller, Lane::Control).await;
    let connection = connection.map_err(CallError::from)?;
    let version = connection.version_of::<DeleteTopicsRequest>(i16::MAX)?;
    let timeout_ms = timeout_ms(cluster);
    let request = if version >= FIRST_DELETE_WITH_IDS {
        let topics = names.iter().map(|name| DeleteTopicState {
            name: Some(name.clone()),
            ..DeleteTopicState::default()
        });
        DeleteTopicsRequest {
            topics: topics.collect(),
            timeout_ms,
            ..DeleteTopicsRequest::default()
        }
    } else {
        DeleteTopicsRequest {
            topic_names: names.to_vec(),
            timeout_ms,
            ..DeleteTopicsRequest::default()
        }
    };
    let response: DeleteTopicsResponse = call_controller(cluster, &request, |response| {
        response
            .responses
            .iter()
            .map(|topic| topic.error_code)
            .collect()
    })
    .await?;
    for name in names {
        cluster.forget_topic(name);
    }
    let results = response.responses.into_iter().map(|topic| {
        let message = topic.error_message.as_deref();
        let name = topic.name.unwrap_or_default();
        (name, refusal::check(topic.error_code, message))
    });
    Ok(results.collect())
}

pub(super) fn timeout_ms(cluster: &Cluster) -> i32 {
    i32::try_from(cluster.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
}

/// Asks the controller, and asks again while every answer is that it is not the controller.
pub(super) async fn call_controller<R: Request>(
    cluster: &Cluster,
    request: &R,
    codes: impl Fn(&R::Response) -> Vec<i16>,
) -> Result<R::Response, AdminError> {
    let mut retry = Retry::new(cluster.deadline());
    loop {
        match cluster
            .call(Target::Controller, Lane::Control, request)
            .await
        {
            Ok(response) => {
                let not_here = codes(&response)
                    .iter()
                    .any(|code| *code == ErrorCode::NotController.code());
                if !not_here || !retry.wait().await {
                    return Ok(response);
                }
                cluster
                    .metadata(crate::cluster::TopicSelection::None)
                    .await?;
            }
            // Nothing was sent, so nothing can have happened.
            Err(CallError::Connect(error)) if retry.wait().await => {
                tracing::debug!(%error, api = R::NAME, "trying again");
            }
            Err(error) => return Err(error.into()),
        }
    }
}
