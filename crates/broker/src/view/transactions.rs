//! Transactional ids and what they are doing.

use coordinator::{DescribedTransaction, ListTransactionsRequest};
use metadata::InternalTopic;
use types::{
    PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicPartition, TransactionalId,
};

use super::{Unanswered, View};

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionView {
    /// The transactional id.
    pub id: TransactionalId,
    /// Where its transaction stands, as Kafka's tools print it.
    pub state: &'static str,
    /// Its producer.
    pub producer: ProducerId,
    /// The producer's session.
    pub epoch: ProducerEpoch,
    /// How long a transaction may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// When its transaction began; `None` if none has.
    pub started: Option<Timestamp>,
    /// The partitions of its transaction.
    pub partitions: Vec<TopicPartition>,
    /// The partition of `__transaction_state` that it belongs to.
    pub coordinator: Option<PartitionIndex>,
}

impl View {
    /// All transactional ids.
    ///
    /// # Errors
    /// A part of the coordinator does not answer.
    pub async fn transactions(&self) -> Result<Vec<TransactionalId>, Unanswered> {
        let listed = self
            .services
            .transactions
            .list(ListTransactionsRequest::default());
        let listed = listed.await.map_err(|reason| Unanswered {
            topic: InternalTopic::TransactionState.name(),
            reason,
        })?;
        Ok(listed.into_iter().map(|listed| listed.id).collect())
    }

    /// What a transactional id is doing; `None` if it is gone.
    ///
    /// # Errors
    /// The coordinator does not answer.
    pub async fn describe_transaction(
        &self,
        id: TransactionalId,
    ) -> Result<Option<TransactionView>, Unanswered> {
        let transactions = &self.services.transactions;
        let described = transactions.describe(vec![id]).await.pop();
        let Some((id, described)) = described else {
            return Ok(None);
        };
        let described = described.map_err(|reason| Unanswered {
            topic: InternalTopic::TransactionState.name(),
            reason,
        })?;
        let coordinator = transactions.partition_of(id.as_str());
        Ok(described.map(|described| view(id, described, coordinator)))
    }
}

fn view(
    id: TransactionalId,
    described: DescribedTransaction,
    coordinator: Option<PartitionIndex>,
) -> TransactionView {
    TransactionView {
        id,
        state: described.state.name(),
        producer: described.producer.id,
        epoch: described.producer.epoch,
        timeout_ms: described.timeout_ms,
        started: described.started,
        partitions: described.partitions.into_iter().collect(),
        coordinator,
    }
}
