//! What Produce and TxnOffsetCommit do before they write into a partition for a transaction: the transaction
//! coordinator says whether the partition belongs to it, or takes it in (KIP-890; Kafka's `AddPartitionsToTxnManager`
//! and `ReplicaManager.maybeSendPartitionsToTransactionCoordinator`).
//!
//! The log is told first and hands out a guard, then the coordinator is asked, then the batch goes to the log with the
//! guard. A transaction that ends in between takes the guard away, so that no batch arrives after its end. A partition
//! whose transaction is open already is asked about by nobody.

use coordinator::{
    AddPartitionsError, AddPartitionsRequest, ClaimedProducer, TransactionVersion,
    VerifyPartitionsError, VerifyPartitionsRequest,
};
use env::Clock;
use protocol::ErrorCode;
use std::pin::pin;
use std::time::Duration;
use storage::VerificationGuard;
use types::{Instant, TopicPartition, TransactionalId};

use crate::coordinators::TransactionCoordinator;
use crate::handlers::groups;
use crate::topics::Topics;

/// What a client speaks, by the version of its request (`TransactionSupportedOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// It adds partitions itself and does not know TRANSACTION_ABORTABLE.
    Verify,
    /// It adds partitions itself and knows TRANSACTION_ABORTABLE.
    VerifyAbortable,
    /// It leaves adding to the broker: transactions v2.
    Add,
}

impl Support {
    /// By the version of Produce.
    pub(crate) fn of_produce(version: i16) -> Self {
        match version {
            12.. => Self::Add,
            11 => Self::VerifyAbortable,
            _ => Self::Verify,
        }
    }

    /// By the version of TxnOffsetCommit.
    pub(crate) fn of_offset_commit(version: i16) -> Self {
        match version {
            5.. => Self::Add,
            4 => Self::VerifyAbortable,
            _ => Self::Verify,
        }
    }

    /// Whether each transaction of the client has an epoch of its own.
    pub(crate) fn has_own_epochs(self) -> bool {
        self == Self::Add
    }
}

/// Who takes part in a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) id: TransactionalId,
    pub(crate) producer: ClaimedProducer,
    pub(crate) support: Support,
}

/// A partition that somebody wants to write to, and what its log said.
pub(crate) type Wanted = (TopicPartition, Result<Option<VerificationGuard>, ErrorCode>);
/// Whether it may be written to, with the guard if the log wants one.
pub(crate) type Admission = Result<Option<VerificationGuard>, ErrorCode>;

/// How long the broker itself tries again when the last transaction has not ended yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    until: Instant,
    pause: Duration,
}

impl Retry {
    /// By the broker's settings (`add.partitions.to.txn.retry.backoff.*`), from now on.
    pub(crate) fn from_now(topics: &Topics) -> Self {
        let image = topics.image();
        let values = &image.broker.values;
        let ms = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        Self {
            until: topics
                .env
                .clock
                .now()
                .plus(ms(values.add_partitions_to_txn_retry_backoff_max_ms)),
            pause: ms(values.add_partitions_to_txn_retry_backoff_ms),
        }
    }
}

impl Participant {
    /// Whether anybody has to be asked at all (`transaction.partition.verification.enable`).
    pub(crate) fn is_verified(&self, topics: &Topics) -> bool {
        let image = topics.image();
        self.support == Support::Add
            || image
                .broker
                .values
                .transaction_partition_verification_enable
    }

    /// Asks for all partitions that `begin` gives, in order. With `retry`, again while the last transaction is ending:
    /// as soon as it has ended, and after each pause in case its end was not heard.
    pub(crate) async fn admit(
        &self,
        transactions: &TransactionCoordinator,
        clock: &dyn Clock,
        retry: Option<Retry>,
        begin: impl Fn() -> Vec<Wanted> + Send + Sync,
    ) -> Vec<Admission> {
        loop {
            // Before anybody is asked: an end that comes right after the answer counts.
            let mut ending = pin!(transactions.ending(&self.id));
            ending.as_mut().enable();
            let mut wanted = begin();
            let asked: Vec<_> = wanted
                .iter()
                .filter(|(_, begun)| matches!(begun, Ok(Some(_))))
                .map(|(partition, _)| partition.clone())
                .collect();
            let mut codes = if asked.is_empty() {
                Vec::new()
            } else {
                self.ask(transactions, asked).await
            };
            let is_ending = codes.contains(&ErrorCode::ConcurrentTransactions);
            if let Some(retry) = retry.filter(|retry| is_ending && clock.now() < retry.until) {
                let pause = clock.sleep_until(clock.now().plus(retry.pause));
                tokio::select! {
                    biased;
                    () = ending => {}
                    () = pause => {}
                }
                continue;
            }
            let mut codes = codes.drain(..);
            for (_, begun) in &mut wanted {
                if let Ok(Some(_)) = begun
                    && let Some(code) = codes.next().filter(|code| *code != ErrorCode::None)
                {
                    *begun = Err(code);
                }
            }
            return wanted.into_iter().map(|(_, begun)| begun).collect();
        }
    }

    /// What the coordinator says of each partition.
    async fn ask(
        &self,
        transactions: &TransactionCoordinator,
        partitions: Vec<TopicPartition>,
    ) -> Vec<ErrorCode> {
        let count = partitions.len();
        if self.id.as_str().is_empty() {
            return vec![ErrorCode::InvalidRequest; count];
        }
        let code = if self.support == Support::Add {
            let request = AddPartitionsRequest {
                id: self.id.clone(),
                producer: self.producer,
                version: TransactionVersion::V2,
                partitions,
            };
            match transactions.add_partitions(request).await {
                Ok(Ok(())) => ErrorCode::None,
                Ok(Err(error)) => added(error),
                Err(error) => groups::errors::coordinator(error),
            }
        } else {
            let request = VerifyPartitionsRequest {
                id: self.id.clone(),
                producer: self.producer,
                partitions,
            };
            match transactions.verify_partitions(request).await {
                Ok(Ok(verified)) => {
                    let code = |belongs| self.belongs(belongs);
                    return verified.iter().map(|answer| code(answer.belongs)).collect();
                }
                Ok(Err(error)) => verified(error),
                Err(error) => groups::errors::coordinator(error),
            }
        };
        vec![code; count]
    }

    fn belongs(&self, belongs: bool) -> ErrorCode {
        match (belongs, self.support) {
            (true, _) => ErrorCode::None,
            (false, Support::Verify) => ErrorCode::InvalidTxnState,
            (false, Support::VerifyAbortable | Support::Add) => ErrorCode::TransactionAbortable,
        }
    }
}

/// Producers look for INVALID_PRODUCER_EPOCH, not PRODUCER_FENCED, in what they send records with.
fn added(error: AddPartitionsError) -> ErrorCode {
    match error {
        AddPartitionsError::UnknownProducer => ErrorCode::InvalidProducerIdMapping,
        AddPartitionsError::Fenced => ErrorCode::InvalidProducerEpoch,
        AddPartitionsError::Concurrent => ErrorCode::ConcurrentTransactions,
        AddPartitionsError::TooManyPartitions => ErrorCode::UnknownServerError,
    }
}

fn verified(error: VerifyPartitionsError) -> ErrorCode {
    match error {
        VerifyPartitionsError::UnknownProducer => ErrorCode::InvalidProducerIdMapping,
        VerifyPartitionsError::Fenced => ErrorCode::InvalidProducerEpoch,
        VerifyPartitionsError::Concurrent => ErrorCode::ConcurrentTransactions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_what_clients_speak() {
        for (version, support) in [
            (3, Support::Verify),
            (10, Support::Verify),
            (11, Support::VerifyAbortable),
            (12, Support::Add),
            (13, Support::Add),
        ] {
            assert_eq!(Support::of_produce(version), support, "{version}");
        }
        for (version, support) in [
            (0, Support::Verify),
            (3, Support::Verify),
            (4, Support::VerifyAbortable),
            (5, Support::Add),
        ] {
            assert_eq!(Support::of_offset_commit(version), support, "{version}");
        }
    }
}
