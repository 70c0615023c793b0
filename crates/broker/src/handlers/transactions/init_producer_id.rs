//! InitProducerId, key 22, versions 0 to 5: who a producer is.
//!
//! * v3: the producer's current id and epoch.
//! * v4: PRODUCER_FENCED; v5: TRANSACTION_ABORTABLE. Only transactional producers meet them.
//!
//! Without a transactional id each request gets a fresh id at epoch 0, whatever the producer had before
//! (`TransactionCoordinator.handleInitProducerId`).
//!
//! With one, the coordinator of transactions would have to be asked. This broker has none yet: what can be judged without
//! it is judged as Kafka does, and everything else is COORDINATOR_NOT_AVAILABLE, what a Kafka answers while its
//! transaction log cannot be had. Clients try again until their own time is up, and begin nothing meanwhile.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use types::ProducerEpoch;

use crate::context::Context;
use crate::topics::Topics;

/// `RecordBatch.NO_PRODUCER_ID` and `NO_PRODUCER_EPOCH`.
const NO_ID: i64 = -1;
const NO_EPOCH: i16 = -1;

pub(crate) async fn handle(
    _context: Context,
    request: InitProducerIdRequest,
    topics: Arc<Topics>,
) -> InitProducerIdResponse {
    if (request.producer_id == NO_ID) != (request.producer_epoch == NO_EPOCH) {
        return refuse(ErrorCode::InvalidRequest);
    }
    if let Some(transactional_id) = &request.transactional_id {
        return refuse(transactional(
            &topics,
            transactional_id,
            request.transaction_timeout_ms,
        ));
    }
    match topics.cluster.new_producer_id().await {
        Ok(id) => InitProducerIdResponse {
            error_code: ErrorCode::None.into(),
            producer_id: id.value(),
            producer_epoch: ProducerEpoch::ZERO.value(),
            ..Default::default()
        },
        Err(error) => {
            tracing::error!(%error, "could not reserve producer ids");
            // What Kafka answers while its controller gives no new block (`RPCProducerIdManager`): try again.
            refuse(ErrorCode::CoordinatorLoadInProgress)
        }
    }
}

fn transactional(topics: &Topics, transactional_id: &str, timeout_ms: i32) -> ErrorCode {
    if transactional_id.is_empty() {
        return ErrorCode::InvalidRequest;
    }
    let timeout_max = topics.image().broker.transaction_max_timeout_ms;
    if timeout_ms <= 0 || timeout_ms > timeout_max {
        return ErrorCode::InvalidTransactionTimeout;
    }
    ErrorCode::CoordinatorNotAvailable
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
        handle(fixture.context(5), request, fixture.topics()).await
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
            (
                transactional("t", 900_000),
                ErrorCode::CoordinatorNotAvailable,
            ),
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
