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

    /// What these transactional ids are doing; those that are gone are left out.
    ///
    /// # Errors
    /// A part of the coordinator does not answer.
    pub async fn describe_transactions(
        &self,
        ids: Vec<TransactionalId>,
    ) -> Result<Vec<TransactionView>, Unanswered> {
        let transactions = &self.services.transactions;
        let mut views = Vec::with_capacity(ids.len());
        for (id, described) in transactions.describe(ids).await {
            let described = described.map_err(|reason| Unanswered {
                topic: InternalTopic::TransactionState.name(),
                reason,
            })?;
            if let Some(described) = described {
                let coordinator = transactions.partition_of(id.as_str());
                views.push(view(id, described, coordinator));
            }
        }
        Ok(views)
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
