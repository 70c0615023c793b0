//! Topics, partitions and settings, with revisions and watches; the local store.
//!
//! Invariant: metadata changes only through transactions of a [`MetadataStore`]; everything else here is a view of it.

mod cluster;
mod features;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod image;
mod inspect;
mod keys;
mod local;
mod names;
mod quotas;
mod redb_file;
mod scram;
pub mod settings;
mod store;

pub use cluster::{
    AlterScramError, AlterSettingsError, AssignmentError, BrokerTarget, Cluster, ClusterConfig,
    CreatePartitionsError, CreateTopicError, DeleteTopicError, InternalTopic, ListOperation,
    NewPartitions, NewTopic, OpenClusterError, PARTITIONS_PER_REQUEST_MAX, PRODUCER_ID_BLOCK_SIZE,
    ProducerIdBlock, ProducerIdError, QuotaAlteration, ReplicaAssignment, ScramDeletion,
    ScramUpsertion, SettingChange, SettingOperation, TopicRef, UpdateFeaturesError,
};
pub use features::{
    ELIGIBLE_LEADER_REPLICAS_VERSION, FEATURES, Feature, FeatureDirection, FeatureProblem,
    FeatureUpdate, FinalizedFeatures, GROUP_VERSION, KRAFT_VERSION, METADATA_VERSION,
    SHARE_VERSION, STREAMS_VERSION, TRANSACTION_VERSION, UpdateFeatureError,
};
pub use image::{ClusterImage, Topic};
pub use inspect::{InspectError, StoredMetadata, metadata_file};
pub use keys::DamagedValue;
pub use local::{LocalStore, OpenStoreError};
pub use names::{
    CONSUMER_OFFSETS, INTERNAL_TOPICS, SHARE_GROUP_STATE, TOPIC_NAME_LENGTH_MAX, TRANSACTION_STATE,
    TopicNameError, check_topic_name, is_internal_topic,
};
pub use quotas::{
    CONNECTION_CREATION_RATE, CONSUMER_BYTE_RATE, CONTROLLER_MUTATION_RATE, ClientQuotas,
    EntityKind, EntityName, PRODUCER_BYTE_RATE, QuotaEntity, QuotaError, QuotaProblem, QuotaValues,
    REQUEST_PERCENTAGE,
};
pub use scram::{
    SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN, ScramCredential, ScramCredentials, ScramMechanism,
};
pub use store::{
    Change, Commit, Compare, KeyValue, MetadataStore, Revision, TransactError, Transaction, Watch,
    WatchError,
};
