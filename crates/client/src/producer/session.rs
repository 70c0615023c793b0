//! Getting a producer id: the session in which an idempotent producer counts its batches (KIP-98).

use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use tokio::time::Instant;

use super::ProduceError;
use super::accumulator::ProducerSession;
use crate::cluster::{Cluster, Lane, Retry, Target};
use crate::connection::CallError;
use crate::refusal;

/// Asks for a producer id until there is one or it is too late.
pub(super) async fn new_session(
    cluster: Cluster,
    deadline: Instant,
) -> Result<ProducerSession, ProduceError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        // Kafka refuses zero, although it only counts for transactions.
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    let mut retry = Retry::new(deadline);
    loop {
        let answer: Result<InitProducerIdResponse, CallError> =
            cluster.call(Target::Any, Lane::Control, &request).await;
        let error = match answer {
            Ok(response) => match refusal::check(response.error_code, None) {
                Ok(()) => {
                    return Ok(ProducerSession {
                        id: response.producer_id,
                        epoch: response.producer_epoch,
                    });
                }
                Err(refusal) if refusal.is_retriable() => ProduceError::ProducerId(refusal),
                Err(refusal) => return Err(ProduceError::ProducerId(refusal)),
            },
            Err(error) if error.is_retriable() => ProduceError::Call(error),
            Err(error) => return Err(ProduceError::Call(error)),
        };
        if !retry.wait().await {
            return Err(error);
        }
    }
}
