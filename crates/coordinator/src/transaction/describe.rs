//! DescribeTransactions.

use std::collections::BTreeSet;

use types::{Timestamp, TopicPartition};

use super::state::{Transaction, TransactionState};
use crate::machine::Producer;

/// What is told of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTransaction {
    /// The current session.
    pub producer: Producer,
    /// Where the transaction stands.
    pub state: TransactionState,
    /// How long it may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// When it began.
    pub started: Option<Timestamp>,
    /// Where its records are.
    pub partitions: BTreeSet<TopicPartition>,
}

pub(crate) fn describe(transaction: &Transaction) -> DescribedTransaction {
    DescribedTransaction {
        producer: transaction.producer,
        state: transaction.state,
        timeout_ms: transaction.timeout_ms,
        started: transaction.started,
        partitions: transaction.partitions.clone(),
    }
}
