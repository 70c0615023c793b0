//! AddRaftVoter, key 80, versions 0 to 1.
//!
//! * v1: whether the answer waits for the change (KIP-1186).
//!
//! The quorum is this broker and never changes, as with a Kafka whose voters are fixed (`controller.quorum.voters`):
//! UNSUPPORTED_VERSION, once the request is one at all (`KafkaRaftClient.handleAddVoterRequest`).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse};

use super::voters::check_voter;
use crate::context::Context;
use crate::handlers::refusal::Refusal;
use crate::topics::Topics;

/// The listener a voter needs where `controller.listener.names` says nothing else.
const CONTROLLER: &str = "CONTROLLER";

pub(crate) async fn handle(
    _context: Context,
    request: AddRaftVoterRequest,
    topics: Arc<Topics>,
) -> AddRaftVoterResponse {
    let refusal = refuse(&topics, &request);
    AddRaftVoterResponse {
        error_code: refusal.code.into(),
        error_message: Some(refusal.message),
        ..Default::default()
    }
}

fn refuse(topics: &Topics, request: &AddRaftVoterRequest) -> Refusal {
    let cluster_id = request.cluster_id.as_deref();
    let directory = request.voter_directory_id;
    if let Err(refusal) = check_voter(topics, cluster_id, request.voter_id, directory) {
        return refusal;
    }
    let default_listener = topics.config.settings.controller_listener_names.first();
    let default_listener = default_listener.map_or(CONTROLLER, String::as_str);
    if !request
        .listeners
        .iter()
        .any(|listener| listener.name.eq_ignore_ascii_case(default_listener))
    {
        return Refusal::new(
            ErrorCode::InvalidRequest,
            format!("the voter has no listener {default_listener}"),
        );
    }
    Refusal::new(
        ErrorCode::UnsupportedVersion,
        "no voter can be added: kraft.version is 0",
    )
}

#[cfg(test)]
mod tests {
    use protocol::messages::add_raft_voter_request::Listener;

    use protocol::Uuid;

    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn the_voters_are_fixed() {
        let fixture = Fixture::new().await;
        let good = AddRaftVoterRequest {
            cluster_id: None,
            voter_id: 7,
            voter_directory_id: Uuid([7; 16]),
            listeners: vec![Listener {
                name: CONTROLLER.to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        for (request, expected) in [
            (good.clone(), ErrorCode::UnsupportedVersion),
            (
                AddRaftVoterRequest {
                    cluster_id: Some(fixture.topics().image().cluster_id.to_string()),
                    ..good.clone()
                },
                ErrorCode::UnsupportedVersion,
            ),
            (
                AddRaftVoterRequest {
                    cluster_id: Some("another".to_owned()),
                    ..good.clone()
                },
                ErrorCode::InconsistentClusterId,
            ),
            (
                AddRaftVoterRequest {
                    voter_id: -1,
                    ..good.clone()
                },
                ErrorCode::InvalidRequest,
            ),
            (
                AddRaftVoterRequest {
                    voter_directory_id: Uuid::ZERO,
                    ..good.clone()
                },
                ErrorCode::InvalidRequest,
            ),
            (
                AddRaftVoterRequest {
                    listeners: Vec::new(),
                    ..good.clone()
                },
                ErrorCode::InvalidRequest,
            ),
        ] {
            let response = handle(fixture.context(1), request.clone(), fixture.topics()).await;
            assert_eq!(response.error_code, expected.code(), "{request:?}");
        }
    }
}
