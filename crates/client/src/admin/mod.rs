//! Administration: topics, settings, groups, the cluster. One function per operation, each with its own error; results
//! are per topic, partition or group where the request is, so that one refusal does not hide the others' success.

mod cluster;
mod configs;
mod groups;
mod quotas;
mod records;
mod topics;
mod transactions;

pub use cluster::{
    BrokerStatus, ClusterDescription, LogDir, LogDirPartition, api_versions, describe_cluster,
    describe_log_dirs,
};
pub use configs::{
    ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource, ConfigSynonym,
    alter_configs, describe_configs,
};
pub use groups::{
    GroupDescription, GroupKind, GroupListing, MemberDescription, ShareOffset, StreamsTask,
    TaskRole, alter_share_group_offsets, delete_groups, delete_offsets, delete_share_group_offsets,
    describe_group, list_groups, share_group_offsets,
};
pub use quotas::{ClientQuota, QuotaEntity, alter_client_quotas, describe_client_quotas};
pub use records::delete_records;
pub use topics::{ByName, CreatedTopic, NewTopic, create_partitions, create_topics, delete_topics};
pub use transactions::{
    ProducerState, TransactionDescription, TransactionFilter, TransactionListing,
    TransactionMarker, abort_transaction, describe_producers, describe_transaction,
    list_transactions,
};

use crate::cluster::MetadataError;
use crate::connection::CallError;
use crate::group::{CoordinatorError, SubscriptionError};
use crate::refusal::Refusal;

/// Why an administrative request as a whole failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdminError {
    /// No broker answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Brokers, topics or leaders could not be looked up.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The group's coordinator did not answer.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// The broker refused.
    #[error("cannot {attempted}")]
    Refused {
        /// What was asked.
        attempted: String,
        /// The broker's answer.
        #[source]
        source: Refusal,
    },
    /// What members told each other cannot be read.
    #[error("cannot read the members of group '{group}'")]
    Members {
        /// Which group.
        group: String,
        /// What is wrong.
        #[source]
        source: SubscriptionError,
    },
    /// The broker left out what was asked for.
    #[error("the broker's answer says nothing about {subject}")]
    Missing {
        /// What was asked for.
        subject: String,
    },
}
