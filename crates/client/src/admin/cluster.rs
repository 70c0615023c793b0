//! The cluster itself: brokers, versions, features, disks.

use std::collections::BTreeMap;

use protocol::messages::{DescribeClusterRequest, DescribeLogDirsRequest};

use super::AdminError;
use crate::address::BrokerAddress;
use crate::assignor::TopicPartition;
use crate::cluster::{Cluster, Lane, Target, TopicSelection};
use crate::connection::{ApiVersions, CallError};
use crate::refusal::{self, Refusal};

/// A broker, as DescribeCluster lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerStatus {
    /// Its number.
    pub id: i32,
    /// Where clients reach it.
    pub address: Option<BrokerAddress>,
    /// Where it stands.
    pub rack: Option<String>,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its name.
    pub cluster_id: String,
    /// The broker that takes administrative requests.
    pub controller_id: Option<i32>,
    /// All brokers.
    pub brokers: Vec<BrokerStatus>,
}

/// Describes the cluster.
pub async fn describe_cluster(cluster: &Cluster) -> Result<ClusterDescription, AdminError> {
    let request = DescribeClusterRequest::default();
    let response = cluster
        .call_retrying(Target::Any, Lane::Control, &request)
        .await?;
    refusal::check(response.error_code, response.error_message.as_deref()).map_err(|source| {
        AdminError::Refused {
            attempted: "describe the cluster".to_owned(),
            source,
        }
    })?;
    let mut brokers: Vec<BrokerStatus> = response
        .brokers
        .into_iter()
        .map(|broker| BrokerStatus {
            id: broker.broker_id,
            address: u16::try_from(broker.port).ok().map(|port| BrokerAddress {
                host: broker.host,
                port,
            }),
            rack: broker.rack,
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    Ok(ClusterDescription {
        cluster_id: response.cluster_id,
        controller_id: Some(response.controller_id).filter(|id| *id >= 0),
        brokers,
    })
}

/// What a broker can do.
pub async fn api_versions(cluster: &Cluster, target: Target) -> Result<ApiVersions, AdminError> {
    if matches!(target, Target::Broker(_)) {
        cluster.metadata(TopicSelection::None).await?;
    }
    let connection = cluster.connection(target, Lane::Control).await;
    Ok(connection.map_err(CallError::from)?.versions().clone())
}

/// A partition's replica in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirPartition {
    /// Which partition.
    pub partition: TopicPartition,
    /// Its size in bytes.
    pub size_bytes: i64,
    /// How far it is behind its leader.
    pub offset_lag: i64,
}

/// A folder where a broker keeps partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Its path.
    pub path: String,
    /// What is wrong with it.
    pub error: Option<Refusal>,
    /// Size of its disk in bytes, if told.
    pub total_bytes: Option<i64>,
    /// Free space in bytes, if told.
    pub usable_bytes: Option<i64>,
    /// What lies in it.
    pub partitions: Vec<LogDirPartition>,
}

/// The folders of every broker, by broker id.
pub async fn describe_log_dirs(
    cluster: &Cluster,
) -> Result<BTreeMap<i32, Result<Vec<LogDir>, Refusal>>, AdminError> {
    let metadata = cluster.metadata(TopicSelection::None).await?;
    let request = DescribeLogDirsRequest { topics: None };
    let mut all = BTreeMap::new();
    for id in metadata.brokers.into_keys() {
        let response = cluster
            .call_retrying(Target::Broker(id), Lane::Control, &request)
            .await?;
        let checked = refusal::check(response.error_code, None);
        let dirs = response.results.into_iter().map(|dir| LogDir {
            path: dir.log_dir,
            error: refusal::check(dir.error_code, None).err(),
            total_bytes: Some(dir.total_bytes).filter(|bytes| *bytes >= 0),
            usable_bytes: Some(dir.usable_bytes).filter(|bytes| *bytes >= 0),
            partitions: dir
                .topics
                .into_iter()
                .flat_map(|topic| {
                    let name: std::sync::Arc<str> = topic.name.into();
                    topic
                        .partitions
                        .into_iter()
                        .map(move |partition| LogDirPartition {
                            partition: TopicPartition::new(
                                std::sync::Arc::clone(&name),
                                partition.partition_index,
                            ),
                            size_bytes: partition.partition_size,
                            offset_lag: partition.offset_lag,
                        })
                })
                .collect(),
        });
        all.insert(id, checked.map(|()| dirs.collect()));
    }
    Ok(all)
}
