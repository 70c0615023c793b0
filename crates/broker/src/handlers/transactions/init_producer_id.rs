//! InitProducerId, key 22, versions 0 to 5: who a producer is.
//!
//! * v3: the producer's current id and epoch.
//! * v4: PRODUCER_FENCED; v5: TRANSACTION_ABORTABLE. Only transactional producers meet them.
//!
//! Without a transactional id each request gets a fresh id at epoch 0, whatever the producer had before. With one, the
//! coordinator of that id answers: older sessions are fenced, an open transaction is aborted first
//! (`TransactionCoordinator.handleInitProducerId`).

use std::sync::Arc;

use coordinator::{ClaimedProducer, Producer};
use protocol::ErrorCode;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use types::{ProducerEpoch, TransactionalId};

use super::errors;
use crate::context::Context;
use crate::coordinators::TransactionCoordinator;
use crate::topics::Topics;

/// `RecordBatch.NO_PRODUCER_ID` and `NO_PRODUCER_EPOCH`.
const NO_ID: i64 = -1;
const NO_EPOCH: i16 = -1;

pub(crate) async fn handle(
    context: Context,
    request: InitProducerIdRequest,
    topics: Arc<Topics>,
    transactions: Arc<TransactionCoordinator>,
) -> InitProducerIdResponse {
    if (request.producer_id == NO_ID) != (request.producer_epoch == NO_EPOCH) {
        return refuse(ErrorCode::InvalidRequest);
    }
    if let Some(transactional_id) = &request.transactional_id {
        return match transactional(&context, &topics, &transactions, transactional_id, &request)
            .await
        {
            Ok(producer) => grant(producer.id.value(), producer.epoch),
            Err(error) => refuse(error),
        };
    }
    match topics.cluster.new_producer_id().await {
        Ok(id) => grant(id.value(), ProducerEpoch::ZERO),
        Err(error) => {
            tracing::error!(%error, "could not reserve producer ids");
            // What Kafka answers while its controller gives no new block (`RPCProducerIdManager`): try again.
            refuse(ErrorCode::CoordinatorLoadInProgress)
        }
    }
}

async fn transactional(
    context: &Context,
    topics: &Topics,
    transactions: &TransactionCoordinator,
    transactional_id: &str,
    request: &InitProducerIdRequest,
) -> Result<Producer, ErrorCode> {
    if transactional_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let timeout_ms = request.transaction_timeout_ms;
    let timeout_max = topics.image().broker.transaction_max_timeout_ms;
    if timeout_ms <= 0 || timeout_ms > timeout_max {
        return Err(ErrorCode::InvalidTransactionTimeout);
    }
    let named = ClaimedProducer::from_wire(request.producer_id, request.producer_epoch);
    let expected = (request.producer_id != NO_ID).then_some(named);
    let id = TransactionalId::new(transactional_id);
    let begun = transactions.init_producer(id, timeout_ms, expected).await;
    begun
        .map_err(errors::coordinator)?
        .map_err(|error| errors::init_producer(error, context.version))
}

fn grant(id: i64, epoch: ProducerEpoch) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: ErrorCode::None.into(),
        producer_id: id,
        producer_epoch: epoch.value(),
        ..Default::default()
    }
}

fn refuse(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: error.into(),
        producer_id: NO_ID,
        producer_epoch: NO_EPOCH,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    /// What a producer without transactions sends.
    fn idempotent(producer_id: i64, producer_epoch: i16) -> InitProducerIdRequest {
        InitProducerIdRequest {
            transactional_id: None,
            producer_id,
            producer_epoch,
            ..Default::default()
        }
    }

    async fn ask(fixture: &Fixture, request: InitProducerIdRequest) -> InitProducerIdResponse {
        handle(
            fixture.context(5),
            request,
            fixture.topics(),
            fixture.transactions(),
        )
        .await
    }

    #[tokio::test]
    async fn each_request_gets_an_id_of_its_own() {
        let fixture = Fixture::new().await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            let response = ask(&fixture, idempotent(NO_ID, NO_EPOCH)).await;
            assert_eq!((response.error_code, response.producer_epoch), (0, 0));
            ids.push(response.producer_id);
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }

    #[tokio::test]
    async fn ids_are_never_given_again_after_a_restart() {
        let fixture = Fixture::new().await;
        let before = ask(&fixture, idempotent(NO_ID, NO_EPOCH)).await;
        let fixture = fixture.restart().await;
        let after = ask(&fixture, idempotent(NO_ID, NO_EPOCH)).await;
        assert!(
            after.producer_id > before.producer_id,
            "{after:?} after {before:?}"
        );
    }

    #[tokio::test]
    async fn an_idempotent_producer_that_has_an_id_gets_another_at_epoch_zero() {
        let fixture = Fixture::new().await;
        let request = idempotent(7, 3);
        let response = ask(&fixture, request).await;
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        assert_ne!(response.producer_id, 7);
    }

    #[tokio::test]
    async fn what_is_refused_gives_no_id() {
        let fixture = Fixture::new().await;
        let transactional = |id: &str, timeout_ms| InitProducerIdRequest {
            transactional_id: Some(id.to_owned()),
            transaction_timeout_ms: timeout_ms,
            ..Default::default()
        };
        for (request, expected) in [
            (idempotent(7, -1), ErrorCode::InvalidRequest),
            (idempotent(-1, 0), ErrorCode::InvalidRequest),
            (transactional("", 1000), ErrorCode::InvalidRequest),
            (transactional("t", 0), ErrorCode::InvalidTransactionTimeout),
            (
                transactional("t", 900_001),
                ErrorCode::InvalidTransactionTimeout,
            ),
            // Nobody has asked for a coordinator yet.
            (transactional("t", 900_000), ErrorCode::NotCoordinator),
        ] {
            let response = ask(&fixture, request.clone()).await;
            assert_eq!(response.error_code, expected.code(), "{request:?}");
            assert_eq!(
                (response.producer_id, response.producer_epoch),
                (NO_ID, NO_EPOCH)
            );
        }
    }
}
