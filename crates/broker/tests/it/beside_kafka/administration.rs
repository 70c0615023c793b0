//! What one node has little to say to: leaders, replicas, the quorum, security.

use bytes::Bytes;
use protocol::Uuid;
use protocol::messages::*;

use super::{Pair, hide_message};

pub(super) async fn leaders_and_replicas(pair: &mut Pair, run: &str) {
    use alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    use elect_leaders_request::TopicPartitions;
    let one = format!("{run}-one");
    let asked = |topics: &[(&str, &[i32])]| {
        let topic = |(topic, partitions): &(&str, &[i32])| TopicPartitions {
            topic: (*topic).to_owned(),
            partitions: partitions.to_vec(),
        };
        Some(topics.iter().map(topic).collect::<Vec<_>>())
    };
    for version in 0..=2 {
        for election_type in [0, 1, 7] {
            if version == 0 && election_type != 0 {
                continue;
            }
            for topic_partitions in [
                asked(&[(&one, &[0, 9]), ("missing", &[0])]),
                asked(&[]),
                asked(&[(&one, &[])]),
            ] {
                let request = ElectLeadersRequest {
                    election_type,
                    topic_partitions,
                    timeout_ms: 10_000,
                };
                pair.same(version, &request, |response| {
                    for topic in &mut response.replica_election_results {
                        for partition in &mut topic.partition_result {
                            hide_message(partition.error_code, &mut partition.error_message);
                        }
                    }
                })
                .await;
            }
        }
    }
    let broker = 1;
    for version in 0..=1 {
        for (topic, partition_index, replicas) in [
            (one.as_str(), 0, Some(vec![broker])),
            (&one, 0, Some(vec![7])),
            (&one, 0, Some(vec![broker, 7])),
            (&one, 0, Some(vec![broker, broker])),
            (&one, 0, Some(vec![])),
            (&one, 0, None),
            (&one, 9, Some(vec![broker])),
            ("missing", 0, None),
        ] {
            for allow_replication_factor_change in [true, false] {
                if version == 0 && !allow_replication_factor_change {
                    continue;
                }
                let partition = ReassignablePartition {
                    partition_index,
                    replicas: replicas.clone(),
                };
                let request = AlterPartitionReassignmentsRequest {
                    timeout_ms: 10_000,
                    allow_replication_factor_change,
                    topics: vec![ReassignableTopic {
                        name: topic.to_owned(),
                        partitions: vec![partition],
                    }],
                };
                pair.same(version, &request, |response| {
                    for topic in &mut response.responses {
                        for partition in &mut topic.partitions {
                            hide_message(partition.error_code, &mut partition.error_message);
                        }
                    }
                })
                .await;
            }
        }
    }
    let listed =
        |name: &str| list_partition_reassignments_request::ListPartitionReassignmentsTopics {
            name: name.to_owned(),
            partition_indexes: vec![0, 9],
        };
    for topics in [
        None,
        Some(vec![]),
        Some(vec![listed(&one), listed("missing")]),
    ] {
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: 10_000,
            topics,
        };
        pair.same(0, &request, |_| {}).await;
    }
    directories(pair, &one).await;
}

async fn directories(pair: &mut Pair, one: &str) {
    use alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let all = DescribeLogDirsRequest { topics: None };
    let kafka = pair.kafka_answers(4, &all, &|_| {}).await.unwrap();
    let ours = pair.we_answer(4, &all, &|_| {}).await.unwrap();
    let request = |path: &str| {
        let topic = |name: &str, partitions: &[i32]| AlterReplicaLogDirTopic {
            name: name.to_owned(),
            partitions: partitions.to_vec(),
        };
        AlterReplicaLogDirsRequest {
            dirs: vec![AlterReplicaLogDir {
                path: path.to_owned(),
                topics: vec![
                    topic(one, &[0, 9]),
                    topic("missing", &[0]),
                    topic(&"x".repeat(249), &[0]),
                ],
            }],
        }
    };
    for version in 1..=2 {
        for (kafka, ours) in [
            (
                kafka.results[0].log_dir.as_str(),
                ours.results[0].log_dir.as_str(),
            ),
            ("/elsewhere", "/elsewhere"),
            ("", ""),
        ] {
            pair.same_of(version, &request(kafka), &request(ours), |response| {
                response
                    .results
                    .sort_by(|one, other| one.topic_name.cmp(&other.topic_name));
                for topic in &mut response.results {
                    topic
                        .partitions
                        .sort_by_key(|partition| partition.partition_index);
                }
            })
            .await;
        }
    }
}

pub(super) async fn quorum(pair: &mut Pair) {
    use describe_quorum_request::{PartitionData, TopicData};
    let about = |topic_name: &str, partition_indexes: &[i32]| DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: topic_name.to_owned(),
            partitions: partition_indexes
                .iter()
                .map(|&partition_index| PartitionData { partition_index })
                .collect(),
        }],
    };
    for version in 0..=2 {
        for request in [
            about("__cluster_metadata", &[0]),
            about("__cluster_metadata", &[1]),
            about("__cluster_metadata", &[0, 0]),
            about("events", &[0]),
            DescribeQuorumRequest { topics: vec![] },
        ] {
            pair.same(version, &request, |response| {
                for partition in response
                    .topics
                    .iter_mut()
                    .flat_map(|topic| &mut topic.partitions)
                {
                    hide_message(partition.error_code, &mut partition.error_message);
                    partition.leader_epoch = partition.leader_epoch.min(0);
                    partition.high_watermark = partition.high_watermark.min(0);
                    for voter in &mut partition.current_voters {
                        voter.log_end_offset = voter.log_end_offset.min(0);
                        voter.last_fetch_timestamp = voter.last_fetch_timestamp.min(0);
                        voter.last_caught_up_timestamp = voter.last_caught_up_timestamp.min(0);
                    }
                }
                // The listener of controllers has another name and address.
                for listener in response
                    .nodes
                    .iter_mut()
                    .flat_map(|node| &mut node.listeners)
                {
                    listener.name.clear();
                    listener.host.clear();
                    listener.port = 0;
                }
            })
            .await;
        }
    }
    for broker_id in [7, -1] {
        let request = UnregisterBrokerRequest { broker_id };
        pair.same(0, &request, |response| {
            hide_message(response.error_code, &mut response.error_message);
        })
        .await;
    }
    voters(pair).await;
}

async fn voters(pair: &mut Pair) {
    let listener = add_raft_voter_request::Listener {
        name: "CONTROLLER".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 1,
    };
    let good = AddRaftVoterRequest {
        cluster_id: None,
        timeout_ms: 10_000,
        voter_id: 7,
        voter_directory_id: Uuid([7; 16]),
        listeners: vec![listener],
        ack_when_committed: true,
    };
    for request in [
        good.clone(),
        AddRaftVoterRequest {
            cluster_id: Some("another".to_owned()),
            ..good.clone()
        },
        AddRaftVoterRequest {
            voter_id: -1,
            ..good.clone()
        },
        AddRaftVoterRequest {
            voter_directory_id: Uuid::ZERO,
            ..good.clone()
        },
        AddRaftVoterRequest {
            listeners: vec![],
            ..good
        },
    ] {
        for version in 0..=1 {
            pair.same(version, &request, |response| {
                hide_message(response.error_code, &mut response.error_message);
            })
            .await;
        }
    }
    for (cluster_id, voter_id, directory) in [
        (None, 7, 7),
        (Some("another".to_owned()), 7, 7),
        (None, -1, 7),
        (None, 7, 0),
    ] {
        let request = RemoveRaftVoterRequest {
            cluster_id,
            voter_id,
            voter_directory_id: Uuid([directory; 16]),
        };
        pair.same(0, &request, |response| {
            hide_message(response.error_code, &mut response.error_message);
        })
        .await;
    }
}

pub(super) async fn security(pair: &mut Pair) {
    for version in 0..=1 {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", ""] {
            let mechanism = mechanism.to_owned();
            pair.same(version, &SaslHandshakeRequest { mechanism }, |_| {})
                .await;
        }
    }
    for version in 0..=2 {
        let auth_bytes = Bytes::from_static(b"\0user\0password");
        pair.same(
            version,
            &SaslAuthenticateRequest { auth_bytes },
            |response| {
                hide_message(response.error_code, &mut response.error_message);
            },
        )
        .await;
    }
    acls(pair).await;
    tokens(pair).await;
}

async fn acls(pair: &mut Pair) {
    for version in 1..=3 {
        for operation in [1, 0] {
            let request = DescribeAclsRequest {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation,
                permission_type: 1,
                ..Default::default()
            };
            pair.same(version, &request, |response| {
                hide_message(response.error_code, &mut response.error_message);
            })
            .await;
            let creation = create_acls_request::AclCreation {
                resource_type: 2,
                resource_name: "events".to_owned(),
                resource_pattern_type: 3,
                principal: "User:alice".to_owned(),
                host: "*".to_owned(),
                operation,
                permission_type: 3,
            };
            let request = CreateAclsRequest {
                creations: vec![creation.clone(), creation],
            };
            pair.same(version, &request, |response| {
                for result in &mut response.results {
                    hide_message(result.error_code, &mut result.error_message);
                }
            })
            .await;
            let filter = delete_acls_request::DeleteAclsFilter {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation,
                permission_type: 1,
                ..Default::default()
            };
            let request = DeleteAclsRequest {
                filters: vec![filter],
            };
            pair.same(version, &request, |response| {
                for result in &mut response.filter_results {
                    hide_message(result.error_code, &mut result.error_message);
                }
            })
            .await;
        }
    }
}

async fn tokens(pair: &mut Pair) {
    for version in 1..=3 {
        // Versions before 3 have no place for an owner.
        let owners = if version < 3 {
            &[Some("")][..]
        } else {
            &[None, Some(""), Some("alice")]
        };
        let user_type = |name: &str| if name.is_empty() { "" } else { "User" };
        for owner in owners {
            let request = CreateDelegationTokenRequest {
                owner_principal_type: owner.map(|name| user_type(name).to_owned()),
                owner_principal_name: owner.map(str::to_owned),
                renewers: vec![],
                max_lifetime_ms: 1000,
            };
            pair.same(version, &request, |_| {}).await;
        }
        for owners in [None, Some(vec![])] {
            pair.same(version, &DescribeDelegationTokenRequest { owners }, |_| {})
                .await;
        }
    }
    for version in 1..=2 {
        let hmac = Bytes::from_static(b"hmac");
        let request = RenewDelegationTokenRequest {
            hmac: hmac.clone(),
            renew_period_ms: 1000,
        };
        pair.same(version, &request, |_| {}).await;
        let request = ExpireDelegationTokenRequest {
            hmac,
            expiry_time_period_ms: -1,
        };
        pair.same(version, &request, |_| {}).await;
    }
}

pub(super) async fn scram(pair: &mut Pair, run: &str) {
    use alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
    let user = |name: &str| format!("{run}-{name}");
    let upsert = |name: &str, mechanism: i8, iterations: i32| ScramCredentialUpsertion {
        name: if name.is_empty() {
            String::new()
        } else {
            user(name)
        },
        mechanism,
        iterations,
        salt: Bytes::from_static(b"salt"),
        salted_password: Bytes::from_static(b"salted password"),
    };
    let delete = |name: &str, mechanism: i8| ScramCredentialDeletion {
        name: if name.is_empty() {
            String::new()
        } else {
            user(name)
        },
        mechanism,
    };
    for (deletions, upsertions) in [
        (
            vec![],
            vec![upsert("alice", 1, 4096), upsert("bob", 2, 16_384)],
        ),
        (vec![], vec![upsert("alice", 2, 8192)]),
        (
            vec![],
            vec![upsert("alice", 1, 4095), upsert("bob", 1, 16_385)],
        ),
        (
            vec![],
            vec![upsert("alice", 0, 4096), upsert("bob", 3, 4096)],
        ),
        (vec![], vec![upsert("", 1, 4096)]),
        (
            vec![],
            vec![upsert("carol", 1, 4096), upsert("carol", 2, 4096)],
        ),
        (
            vec![delete("carol", 1), delete("", 1), delete("bob", 7)],
            vec![],
        ),
        (vec![delete("alice", 1)], vec![upsert("alice", 2, 4096)]),
        (vec![delete("bob", 1), delete("bob", 2)], vec![]),
        (vec![delete("bob", 2), delete("bob", 2)], vec![]),
        (
            vec![],
            vec![ScramCredentialUpsertion {
                salted_password: Bytes::new(),
                ..upsert("dave", 1, 4096)
            }],
        ),
        (
            vec![],
            vec![ScramCredentialUpsertion {
                salt: Bytes::new(),
                ..upsert("erin", 1, 4096)
            }],
        ),
        (vec![delete("erin", 1)], vec![upsert("frank", 1, 4096)]),
        (vec![], vec![]),
        (vec![delete("frank", 1), delete("alice", 2)], vec![]),
    ] {
        let request = AlterUserScramCredentialsRequest {
            deletions,
            upsertions,
        };
        pair.same(0, &request, |response| {
            response
                .results
                .sort_by(|one, other| one.user.cmp(&other.user));
            for result in &mut response.results {
                hide_message(result.error_code, &mut result.error_message);
            }
        })
        .await;
        for names in [&["alice", "bob", "carol", "erin"][..], &["alice", "alice"]] {
            let name = |name: &&str| describe_user_scram_credentials_request::UserName {
                name: user(name),
            };
            let users = Some(names.iter().map(name).collect());
            let request = DescribeUserScramCredentialsRequest { users };
            pair.same_soon(0, &request, |response| {
                response
                    .results
                    .sort_by(|one, other| one.user.cmp(&other.user));
                for result in &mut response.results {
                    hide_message(result.error_code, &mut result.error_message);
                    result.credential_infos.sort_by_key(|info| info.mechanism);
                }
            })
            .await;
        }
    }
}
