//! What the APIs about voters of the quorum have in common: which requests are any.

use protocol::{ErrorCode, Uuid};

use crate::handlers::refusal::Refusal;
use crate::topics::Topics;

/// Refuses what means another cluster or no voter (`RaftUtil` and `KafkaRaftClient.handleAddVoterRequest`).
pub(super) fn check_voter(
    topics: &Topics,
    cluster_id: Option<&str>,
    voter_id: i32,
    directory: Uuid,
) -> Result<(), Refusal> {
    let own = &topics.image().cluster_id;
    if let Some(cluster_id) = cluster_id.filter(|id| **id != **own) {
        return Err(Refusal::new(
            ErrorCode::InconsistentClusterId,
            format!("the cluster is {own}, not {cluster_id}"),
        ));
    }
    if voter_id < 0 || directory.is_zero() {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "a voter has an id and a directory",
        ));
    }
    Ok(())
}
