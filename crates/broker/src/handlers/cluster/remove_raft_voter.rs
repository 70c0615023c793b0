//! RemoveRaftVoter, key 81, version 0.
//!
//! The quorum is this broker and never changes, as with a Kafka whose voters are fixed (`controller.quorum.voters`):
//! UNSUPPORTED_VERSION, once the request is one at all (`KafkaRaftClient.handleRemoveVoterRequest`).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};

use super::voters::check_voter;
use crate::context::Context;
use crate::handlers::refusal::Refusal;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: RemoveRaftVoterRequest,
    topics: Arc<Topics>,
) -> RemoveRaftVoterResponse {
    let refusal = refuse(&topics, &request);
    RemoveRaftVoterResponse {
        error_code: refusal.code.into(),
        error_message: Some(refusal.message),
        ..Default::default()
    }
}

fn refuse(topics: &Topics, request: &RemoveRaftVoterRequest) -> Refusal {
    let cluster_id = request.cluster_id.as_deref();
    let directory = request.voter_directory_id;
    if let Err(refusal) = check_voter(topics, cluster_id, request.voter_id, directory) {
        return refusal;
    }
    Refusal::new(
        ErrorCode::UnsupportedVersion,
        "no voter can be removed: kraft.version is 0",
    )
}

#[cfg(test)]
mod tests {
    use protocol::Uuid;

    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn the_voters_are_fixed() {
        let fixture = Fixture::new().await;
        let good = RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: 7,
            voter_directory_id: Uuid([7; 16]),
        };
        for (request, expected) in [
            (good.clone(), ErrorCode::UnsupportedVersion),
            (
                RemoveRaftVoterRequest {
                    cluster_id: Some(fixture.topics().image().cluster_id.to_string()),
                    ..good.clone()
                },
                ErrorCode::UnsupportedVersion,
            ),
            (
                RemoveRaftVoterRequest {
                    cluster_id: Some("another".to_owned()),
                    ..good.clone()
                },
                ErrorCode::InconsistentClusterId,
            ),
            (
                RemoveRaftVoterRequest {
                    voter_id: -1,
                    ..good.clone()
                },
                ErrorCode::InvalidRequest,
            ),
            (
                RemoveRaftVoterRequest {
                    voter_directory_id: Uuid::ZERO,
                    ..good.clone()
                },
                ErrorCode::InvalidRequest,
            ),
        ] {
            let response = handle(fixture.context(0), request.clone(), fixture.topics()).await;
            assert_eq!(response.error_code, expected.code(), "{request:?}");
        }
    }
}
