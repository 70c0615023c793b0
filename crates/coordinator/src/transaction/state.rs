//! What is known of one transactional id (`TransactionMetadata.java`, `TransactionState.java`).

use std::collections::BTreeSet;

use types::{ProducerEpoch, ProducerId, Timestamp, TopicPartition, TransactionalId};

use crate::machine::Producer;

/// Where a transaction stands. Kafka's Dead and PrepareEpochFence never outlive a call here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// No transaction since the producer was initialized.
    Empty,
    /// Partitions were added.
    Ongoing,
    /// Will be committed; the markers are on their way.
    PrepareCommit,
    /// Will be aborted; the markers are on their way.
    PrepareAbort,
    /// Was committed.
    CompleteCommit,
    /// Was aborted.
    CompleteAbort,
}

impl TransactionState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The state's number in the transaction log.
    pub const fn id(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    /// The state with a number of the transaction log.
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// What clients call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// The outcome is decided, but not every partition knows: nothing else may happen.
    pub(crate) const fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// The feature level of transactions a client spoke when it last changed its transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// The original protocol (Kafka's 0 and 1; 1 only allows other records).
    #[default]
    V0,
    /// See [`Self::V0`].
    V1,
    /// KIP-890: each end of a transaction bumps the epoch, partitions are added by what is sent to them.
    V2,
}

impl TransactionVersion {
    /// The level as records and markers carry it.
    pub const fn level(self) -> i16 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The version with a level.
    pub const fn from_level(level: i16) -> Option<Self> {
        match level {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// Whether the end of a transaction bumps the epoch.
    pub(crate) const fn bumps_epoch(self) -> bool {
        matches!(self, Self::V2)
    }
}

/// The largest epoch a client is ever given: one more must be left to fence it with.
pub(crate) const LAST_EPOCH_OF_CLIENTS: i16 = i16::MAX - 1;

/// The epochs of a producer id are used up (`TransactionMetadata.isEpochExhausted`).
pub(crate) fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.value() >= LAST_EPOCH_OF_CLIENTS
}

/// The epoch after `epoch`. The largest stays: it is given to nobody, so nobody can tell.
pub(crate) fn next_epoch(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch::new(epoch.value().saturating_add(1)).unwrap_or(epoch)
}

/// What the transaction log keeps of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who may write: the current session.
    pub producer: Producer,
    /// The producer id before the last change, if that change gave a new one: a retry may still name it.
    pub previous_id: Option<ProducerId>,
    /// The producer id from the end of this transaction on, if the epochs of the current one are used up.
    pub next_id: Option<ProducerId>,
    /// How long a transaction may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// Where it stands.
    pub state: TransactionState,
    /// Where the transaction's records are.
    pub partitions: BTreeSet<TopicPartition>,
    /// When the transaction began.
    pub started: Option<Timestamp>,
    /// When anything changed.
    pub updated: Timestamp,
    /// What the client spoke.
    pub client_version: TransactionVersion,
}

/// Bytes of a batch with one such record besides its texts and numbers of partitions, rounded up.
const FRAMING_BYTES: usize = 192;
/// The same for each topic.
const TOPIC_FRAMING_BYTES: usize = 16;
/// Each partition's number.
const PARTITION_BYTES: usize = 4;

impl Transaction {
    /// An upper bound of the size in bytes of a batch with this transaction's record alone.
    pub fn encoded_bytes_max(&self, id: &TransactionalId) -> usize {
        let mut bytes = FRAMING_BYTES + id.as_str().len();
        let mut last_topic = None;
        for partition in &self.partitions {
            if last_topic != Some(&partition.topic) {
                bytes += TOPIC_FRAMING_BYTES + partition.topic.as_str().len();
                last_topic = Some(&partition.topic);
            }
            bytes += PARTITION_BYTES;
        }
        bytes
    }
}
