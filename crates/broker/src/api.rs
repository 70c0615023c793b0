//! The API table: one row per API the broker answers.
//!
//! A row yields the advertised version range, the match arm that decodes, calls the handler and encodes, and the refusal
//! of everything else. Adding an API is one file in `handlers` and one line here. What has no row is not advertised.
//!
//! GetTelemetrySubscriptions and PushTelemetry (keys 71, 72) have none on purpose: a Kafka without an exporter of clients'
//! metrics leaves them out too (`DefaultApiVersionManager`), and clients would push what nobody takes.
//!
//! `pipelined`: the handler makes its effects before it first waits, so the next request of the connection may start
//! behind it. `alone`: it runs by itself.

use bytes::Bytes;
use env::BoxFuture;
use protocol::messages::*;
use protocol::{ApiKey, Message, Reader, Request};

use crate::context::Context;
use crate::dispatch::{Around, Order, Outcome, Refusal, Throttle, respond};
use crate::handlers;
use crate::reply::Reply;
use crate::services::Services;

/// An API and the versions of it that clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advertised {
    /// The API.
    pub(crate) key: ApiKey,
    /// The lowest version.
    pub(crate) version_min: i16,
    /// The highest version.
    pub(crate) version_max: i16,
}

macro_rules! apis {
    ($( $api:ident($request:ident) $min:literal..=$max:literal $order:ident => $($handler:ident)::+($($service:ident),*); )*) => {
        /// What ApiVersions answers, in the order of the keys.
        pub(crate) const ADVERTISED: &[Advertised] = &[
            $( Advertised { key: ApiKey::$api, version_min: $min, version_max: $max }, )*
        ];

        /// How requests of an API run beside others of the same connection.
        pub(crate) fn order(key: ApiKey) -> Order {
            match key {
                $( ApiKey::$api => order!($order), )*
                _ => Order::Alone,
            }
        }

        /// Decodes the request and prepares its handling.
        ///
        /// # Errors
        /// The API or its version is not answered, or the body is malformed.
        pub(crate) fn begin(
            services: &Services,
            context: Context,
            key: ApiKey,
            correlation_id: i32,
            body: &mut Reader,
            around: Around,
        ) -> Result<BoxFuture<'static, Outcome>, Refusal> {
            let version = context.version;
            match key {
                $( ApiKey::$api => {
                    let decodable = <$request as Message>::MIN_VERSION.max($min)..=$max;
                    if !decodable.contains(&version) {
                        return Err(Refusal::UnsupportedVersion { key, version });
                    }
                    let request = <$request as Message>::decode(body, version)
                        .map_err(|source| Refusal::Malformed { key, version, source })?;
                    $( let $service = services.$service.clone(); )*
                    Ok(Box::pin(async move {
                        let handling = handlers::$($handler)::+::handle(context, request, $($service),*);
                        let (reply, throttle): (Reply<<$request as Request>::Response>, Throttle) = match around.metered {
                            None => (handling.await.into(), Throttle::default()),
                            Some(metered) => {
                                let (reply, throttle) = metered.run(handling).await;
                                (reply.into(), throttle)
                            }
                        };
                        if let Some(running) = &around.running {
                            running.errors(&reply);
                        }
                        let outcome = respond(key, version, correlation_id, reply, throttle);
                        if let Some(running) = &around.running {
                            running.answered(&outcome);
                        }
                        outcome
                    }))
                } )*
                _ => Err(Refusal::UnsupportedVersion { key, version }),
            }
        }
    };
}

macro_rules! order {
    (pipelined) => {
        Order::Pipelined
    };
    (alone) => {
        Order::Alone
    };
}

apis! {
    Produce(ProduceRequest) 0..=13 pipelined => data::produce(topics, transactions);
    Fetch(FetchRequest) 4..=18 pipelined => data::fetch(fetches, quotas);
    ListOffsets(ListOffsetsRequest) 1..=11 pipelined => data::list_offsets(topics);
    Metadata(MetadataRequest) 0..=13 alone => topics::metadata(topics);
    OffsetCommit(OffsetCommitRequest) 2..=10 pipelined => groups::offset_commit(groups, topics);
    OffsetFetch(OffsetFetchRequest) 1..=10 pipelined => groups::offset_fetch(groups, topics);
    FindCoordinator(FindCoordinatorRequest) 0..=6 alone => groups::find_coordinator(groups, transactions, shares, topics);
    JoinGroup(JoinGroupRequest) 0..=9 pipelined => groups::join_group(groups, topics);
    Heartbeat(HeartbeatRequest) 0..=4 pipelined => groups::heartbeat(groups);
    LeaveGroup(LeaveGroupRequest) 0..=5 pipelined => groups::leave_group(groups);
    SyncGroup(SyncGroupRequest) 0..=5 pipelined => groups::sync_group(groups);
    DescribeGroups(DescribeGroupsRequest) 0..=6 pipelined => groups::describe_groups(groups);
    ListGroups(ListGroupsRequest) 0..=5 pipelined => groups::list_groups(groups);
    SaslHandshake(SaslHandshakeRequest) 0..=1 pipelined => security::sasl_handshake();
    ApiVersions(ApiVersionsRequest) 0..=4 pipelined => cluster::api_versions(topics);
    CreateTopics(CreateTopicsRequest) 2..=7 alone => topics::create_topics(topics, quotas);
    DeleteTopics(DeleteTopicsRequest) 1..=6 alone => topics::delete_topics(topics, groups, shares, quotas);
    DeleteRecords(DeleteRecordsRequest) 0..=2 alone => data::delete_records(topics);
    InitProducerId(InitProducerIdRequest) 0..=5 alone => transactions::init_producer_id(topics, transactions);
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest) 2..=4 pipelined => data::offset_for_leader_epoch(topics);
    AddPartitionsToTxn(AddPartitionsToTxnRequest) 0..=5 pipelined => transactions::add_partitions_to_txn(transactions, topics);
    AddOffsetsToTxn(AddOffsetsToTxnRequest) 0..=4 alone => transactions::add_offsets_to_txn(transactions, groups);
    EndTxn(EndTxnRequest) 0..=5 pipelined => transactions::end_txn(transactions);
    WriteTxnMarkers(WriteTxnMarkersRequest) 1..=2 pipelined => transactions::write_txn_markers(groups, topics);
    TxnOffsetCommit(TxnOffsetCommitRequest) 0..=5 pipelined => groups::txn_offset_commit(groups, topics, transactions);
    DescribeAcls(DescribeAclsRequest) 1..=3 pipelined => security::describe_acls();
    CreateAcls(CreateAclsRequest) 1..=3 pipelined => security::create_acls();
    DeleteAcls(DeleteAclsRequest) 1..=3 pipelined => security::delete_acls();
    DescribeConfigs(DescribeConfigsRequest) 1..=4 pipelined => configs::describe_configs(topics);
    AlterConfigs(AlterConfigsRequest) 0..=2 alone => configs::alter_configs(topics);
    AlterReplicaLogDirs(AlterReplicaLogDirsRequest) 1..=2 pipelined => cluster::alter_replica_log_dirs(topics);
    DescribeLogDirs(DescribeLogDirsRequest) 1..=4 pipelined => cluster::describe_log_dirs(topics);
    SaslAuthenticate(SaslAuthenticateRequest) 0..=2 pipelined => security::sasl_authenticate();
    CreatePartitions(CreatePartitionsRequest) 0..=3 alone => topics::create_partitions(topics, quotas);
    CreateDelegationToken(CreateDelegationTokenRequest) 1..=3 pipelined => security::create_delegation_token();
    RenewDelegationToken(RenewDelegationTokenRequest) 1..=2 pipelined => security::renew_delegation_token();
    ExpireDelegationToken(ExpireDelegationTokenRequest) 1..=2 pipelined => security::expire_delegation_token();
    DescribeDelegationToken(DescribeDelegationTokenRequest) 1..=3 pipelined => security::describe_delegation_token();
    DeleteGroups(DeleteGroupsRequest) 0..=2 pipelined => groups::delete_groups(shares);
    ElectLeaders(ElectLeadersRequest) 0..=2 pipelined => cluster::elect_leaders(topics);
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest) 0..=1 alone => configs::incremental_alter_configs(topics);
    AlterPartitionReassignments(AlterPartitionReassignmentsRequest) 0..=1 pipelined => cluster::alter_partition_reassignments(topics);
    ListPartitionReassignments(ListPartitionReassignmentsRequest) 0..=0 pipelined => cluster::list_partition_reassignments();
    OffsetDelete(OffsetDeleteRequest) 0..=0 pipelined => groups::offset_delete(groups, topics);
    DescribeClientQuotas(DescribeClientQuotasRequest) 0..=1 pipelined => quotas::describe_client_quotas(topics);
    AlterClientQuotas(AlterClientQuotasRequest) 0..=1 alone => quotas::alter_client_quotas(topics);
    DescribeUserScramCredentials(DescribeUserScramCredentialsRequest) 0..=0 pipelined => security::describe_user_scram_credentials(topics);
    AlterUserScramCredentials(AlterUserScramCredentialsRequest) 0..=0 alone => security::alter_user_scram_credentials(topics);
    DescribeQuorum(DescribeQuorumRequest) 0..=2 pipelined => cluster::describe_quorum(topics);
    UpdateFeatures(UpdateFeaturesRequest) 0..=2 alone => cluster::update_features(topics);
    DescribeCluster(DescribeClusterRequest) 0..=2 pipelined => cluster::describe_cluster(topics);
    DescribeProducers(DescribeProducersRequest) 0..=0 pipelined => data::describe_producers(topics);
    UnregisterBroker(UnregisterBrokerRequest) 0..=0 pipelined => cluster::unregister_broker(topics);
    DescribeTransactions(DescribeTransactionsRequest) 0..=0 pipelined => transactions::describe_transactions(transactions);
    ListTransactions(ListTransactionsRequest) 0..=2 pipelined => transactions::list_transactions(transactions);
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest) 0..=1 pipelined => groups::consumer_group_heartbeat(groups, topics);
    ConsumerGroupDescribe(ConsumerGroupDescribeRequest) 0..=1 pipelined => groups::consumer_group_describe(groups);
    ListConfigResources(ListConfigResourcesRequest) 0..=1 pipelined => configs::list_config_resources(topics);
    DescribeTopicPartitions(DescribeTopicPartitionsRequest) 0..=0 pipelined => topics::describe_topic_partitions(topics);
    ShareGroupHeartbeat(ShareGroupHeartbeatRequest) 1..=1 pipelined => shares::share_group_heartbeat(shares);
    ShareGroupDescribe(ShareGroupDescribeRequest) 1..=1 pipelined => shares::share_group_describe(shares);
    ShareFetch(ShareFetchRequest) 1..=2 pipelined => shares::share_fetch(shares);
    ShareAcknowledge(ShareAcknowledgeRequest) 1..=2 pipelined => shares::share_acknowledge(shares);
    AddRaftVoter(AddRaftVoterRequest) 0..=1 pipelined => cluster::add_raft_voter(topics);
    RemoveRaftVoter(RemoveRaftVoterRequest) 0..=0 pipelined => cluster::remove_raft_voter(topics);
    InitializeShareGroupState(InitializeShareGroupStateRequest) 0..=0 alone => shares::initialize_share_group_state(shares);
    ReadShareGroupState(ReadShareGroupStateRequest) 0..=0 alone => shares::read_share_group_state(shares);
    WriteShareGroupState(WriteShareGroupStateRequest) 0..=1 alone => shares::write_share_group_state(shares);
    DeleteShareGroupState(DeleteShareGroupStateRequest) 0..=0 alone => shares::delete_share_group_state(shares);
    ReadShareGroupStateSummary(ReadShareGroupStateSummaryRequest) 0..=1 alone => shares::read_share_group_state_summary(shares);
    StreamsGroupHeartbeat(StreamsGroupHeartbeatRequest) 0..=0 pipelined => groups::streams_group_heartbeat(groups, topics, internal_topics);
    StreamsGroupDescribe(StreamsGroupDescribeRequest) 0..=0 pipelined => groups::streams_group_describe(groups);
    DescribeShareGroupOffsets(DescribeShareGroupOffsetsRequest) 0..=1 alone => shares::describe_share_group_offsets(shares);
    AlterShareGroupOffsets(AlterShareGroupOffsetsRequest) 0..=0 alone => shares::alter_share_group_offsets(shares);
    DeleteShareGroupOffsets(DeleteShareGroupOffsetsRequest) 0..=0 alone => shares::delete_share_group_offsets(shares);
}

/// Peeks the fixed start of every request: API key, version, correlation id.
pub(crate) fn peek(frame: &Bytes) -> Option<(i16, i16, i32)> {
    let bytes = frame.first_chunk::<8>()?;
    let key = i16::from_be_bytes([bytes[0], bytes[1]]);
    let version = i16::from_be_bytes([bytes[2], bytes[3]]);
    let correlation_id = i32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    Some((key, version, correlation_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranges are compared with a running Kafka's in the suite beside Kafka; this needs none.
    #[test]
    fn the_apis_are_the_75_of_a_kafka_4_2_without_telemetry() {
        let keys: Vec<i16> = ADVERTISED.iter().map(|row| row.key.into()).collect();
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
        assert_eq!(keys.len(), 75);
        for key in [71, 72] {
            assert!(!keys.contains(&key), "telemetry needs an exporter");
        }
        for row in ADVERTISED {
            let known = row.key.decodable_versions();
            assert!(row.version_max <= *known.end(), "{}", row.key);
        }
    }
}
