//! ListPartitionReassignments, key 46, version 0.
//!
//! With one broker no partition ever moves, so none is listed, whether it exists or not
//! (`ReplicationControlManager.listPartitionReassignments`).

use protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use crate::context::Context;

pub(crate) async fn handle(
    _context: Context,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_message: None,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

    use super::*;
    use crate::handlers::fixture::Fixture;

    #[tokio::test]
    async fn nothing_moves_on_one_broker() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 1).await;
        let events = ListPartitionReassignmentsTopics {
            name: "events".to_owned(),
            partition_indexes: vec![0, 9],
        };
        for topics in [None, Some(vec![]), Some(vec![events])] {
            let request = ListPartitionReassignmentsRequest {
                topics,
                ..Default::default()
            };
            let response = handle(fixture.context(0), request).await;
            assert_eq!((response.error_code, response.topics.len()), (0, 0));
        }
    }
}
