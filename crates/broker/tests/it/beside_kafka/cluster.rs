//! Versions, metadata, the broker, its directory and producer ids.

use protocol::Uuid;
use protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::*;

use super::{Pair, hide_message};

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Moves features where both brokers can follow, and back.
pub(super) async fn features(pair: &mut Pair) {
    const UPGRADE: i8 = 1;
    const SAFE: i8 = 2;
    const UNSAFE: i8 = 3;
    let versions = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
    };
    for updates in [
        vec![],
        vec![("transaction.version", 1, UPGRADE)],
        vec![("transaction.version", 9, UPGRADE)],
        vec![("transaction.version", -1, SAFE)],
        vec![("transaction.version", 1, 0)],
        vec![
            ("transaction.version", 1, SAFE),
            ("share.version", 7, UPGRADE),
        ],
        vec![("metadata.version", 22, SAFE)],
        vec![("metadata.version", 22, UNSAFE)],
        vec![("metadata.version", 30, UPGRADE)],
        vec![("metadata.version", 0, UNSAFE)],
        vec![("no.such.feature", 1, UPGRADE)],
        vec![("", 0, UPGRADE)],
        vec![("kraft.version", 2, UPGRADE)],
        vec![("kraft.version", 0, UPGRADE)],
        vec![
            ("streams.version", 0, SAFE),
            ("transaction.version", 1, UNSAFE),
        ],
        vec![("transaction.version", 2, UNSAFE)],
        vec![
            ("streams.version", 1, UPGRADE),
            ("transaction.version", 2, UPGRADE),
        ],
    ] {
        for version in 0..=2 {
            for validate_only in [true, false] {
                if version == 0
                    && (validate_only || updates.iter().any(|update| update.2 != UPGRADE))
                {
                    continue;
                }
                let update = |(feature, level, upgrade_type): &(&str, i16, i8)| {
                    update_features_request::FeatureUpdateKey {
                        feature: (*feature).to_owned(),
                        max_version_level: *level,
                        upgrade_type: *upgrade_type,
                        ..Default::default()
                    }
                };
                let request = UpdateFeaturesRequest {
                    timeout_ms: 10_000,
                    feature_updates: updates.iter().map(update).collect(),
                    validate_only,
                };
                pair.same(version, &request, |response| {
                    hide_message(response.error_code, &mut response.error_message);
                })
                .await;
            }
        }
        pair.same_soon(4, &versions, |response| {
            response.api_keys.clear();
            response.finalized_features_epoch = 0;
            response.supported_features.clear();
            response
                .finalized_features
                .sort_by(|one, other| one.name.cmp(&other.name));
        })
        .await;
    }
}

pub(super) async fn api_versions(pair: &mut Pair) {
    let software = |name: &str, version: &str| ApiVersionsRequest {
        client_software_name: name.to_owned(),
        client_software_version: version.to_owned(),
    };
    for version in 0..=4 {
        let request = software("test", "1.0");
        pair.same(version, &request, |response| {
            response.api_keys.sort_by_key(|api| api.api_key);
            response
                .supported_features
                .sort_by(|one, other| one.name.cmp(&other.name));
            response
                .finalized_features
                .sort_by(|one, other| one.name.cmp(&other.name));
            response.finalized_features_epoch = response.finalized_features_epoch.min(0);
        })
        .await;
    }
    pair.same(3, &software("", "1.0"), |_| {}).await;
    pair.same(3, &software("te st", "1.0"), |_| {}).await;
}

fn normal_metadata(response: &mut MetadataResponse) {
    response
        .topics
        .sort_by(|one, other| one.name.cmp(&other.name));
    response.cluster_id = response.cluster_id.as_ref().map(|_| String::new());
    for broker in &mut response.brokers {
        broker.host.clear();
        broker.port = 0;
    }
    for topic in &mut response.topics {
        topic.topic_id = Uuid([u8::from(!topic.topic_id.is_zero()); 16]);
        topic
            .partitions
            .sort_by_key(|partition| partition.partition_index);
        for partition in &mut topic.partitions {
            partition.leader_epoch = partition.leader_epoch.min(0);
        }
    }
}

pub(super) async fn metadata(pair: &mut Pair, run: &str) {
    let named = |names: &[&str]| {
        let topic = |name: &&str| MetadataRequestTopic {
            name: some(name),
            topic_id: Uuid::ZERO,
        };
        let topics = Some(names.iter().map(topic).collect());
        MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..Default::default()
        }
    };
    let (one, three) = (format!("{run}-one"), format!("{run}-three"));
    let missing = format!("{run}-missing");
    for version in 4..=13 {
        let asked = named(&[
            &one,
            &three,
            &missing,
            "sp ace",
            "__transaction_state",
            &one,
        ]);
        pair.same_soon(version, &asked, normal_metadata).await;
        pair.same_soon(version, &named(&[]), normal_metadata).await;
        if version >= 8 {
            let operations = MetadataRequest {
                include_topic_authorized_operations: true,
                ..named(&[&one, &missing])
            };
            pair.same_soon(version, &operations, normal_metadata).await;
        }
        if (8..=10).contains(&version) {
            let operations = MetadataRequest {
                include_cluster_authorized_operations: true,
                ..named(&[])
            };
            pair.same_soon(version, &operations, normal_metadata).await;
        }
    }
    for version in [10, 11, 12, 13] {
        let topics = Some(vec![
            MetadataRequestTopic {
                name: None,
                topic_id: Uuid([7; 16]),
            },
            MetadataRequestTopic {
                name: some(&one),
                topic_id: Uuid::ZERO,
            },
        ]);
        let by_id = MetadataRequest {
            topics,
            include_topic_authorized_operations: true,
            ..Default::default()
        };
        pair.same(version, &by_id, normal_metadata).await;
    }
    // Versions before 4 create what they ask for; the answer says what was there before.
    for version in 0..=3 {
        let asked = MetadataRequest {
            allow_auto_topic_creation: true,
            ..named(&[&format!("{run}-auto-{version}"), &one])
        };
        pair.same(version, &asked, normal_metadata).await;
    }
    let create = MetadataRequest {
        allow_auto_topic_creation: true,
        ..named(&[&format!("{run}-created"), "sp ace"])
    };
    pair.same(13, &create, normal_metadata).await;
}

pub(super) async fn cluster(pair: &mut Pair, run: &str) {
    for version in 0..=2 {
        for endpoint_type in [1, 2, 9] {
            if version == 0 && endpoint_type != 1 {
                continue;
            }
            for include_cluster_authorized_operations in [false, true] {
                let request = DescribeClusterRequest {
                    include_cluster_authorized_operations,
                    endpoint_type,
                    include_fenced_brokers: version == 2,
                };
                pair.same(version, &request, |response| {
                    response.cluster_id = String::new();
                    hide_message(response.error_code, &mut response.error_message);
                    for broker in &mut response.brokers {
                        broker.host.clear();
                        broker.port = 0;
                    }
                })
                .await;
            }
        }
    }
    for version in 1..=4 {
        let topics = Some(vec![
            DescribableLogDirTopic {
                topic: format!("{run}-one"),
                partitions: vec![0, 9],
            },
            DescribableLogDirTopic {
                topic: "missing".to_owned(),
                partitions: vec![0],
            },
        ]);
        pair.same(version, &DescribeLogDirsRequest { topics }, |response| {
            for result in &mut response.results {
                result.log_dir.clear();
                result.total_bytes = result.total_bytes.min(0);
                result.usable_bytes = result.usable_bytes.min(0);
            }
        })
        .await;
    }
    for (transactional_id, producer_id, producer_epoch, transaction_timeout_ms) in [
        (None, -1, -1, 0),
        (None, 7, 3, 0),
        (None, 7, -1, 0),
        (None, -1, 3, 0),
        (some(""), -1, -1, 1000),
        (some("t"), -1, -1, 0),
        (some("t"), -1, -1, 900_001),
    ] {
        let request = InitProducerIdRequest {
            transactional_id,
            transaction_timeout_ms,
            producer_id,
            producer_epoch,
            ..Default::default()
        };
        // Versions below 3 have no place for the producer's own id.
        let first = if producer_id == -1 && producer_epoch == -1 {
            0
        } else {
            3
        };
        for version in first..=5 {
            pair.same_soon(version, &request, |response| {
                response.producer_id = response.producer_id.min(0)
            })
            .await;
        }
    }
}
