//! ListTransactions, key 66, versions 0 to 2: which transactional ids there are.
//!
//! * v1: only transactions that are open for longer than a time.
//! * v2: only transactional ids that match a regular expression (KIP-1152), as a whole.

use std::sync::Arc;

use coordinator::{ListedTransaction, TransactionState as State};
use protocol::ErrorCode;
use protocol::messages::list_transactions_response::TransactionState;
use protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use regex::Regex;
use types::ProducerId;

use super::errors;
use crate::context::Context;
use crate::coordinators::TransactionCoordinator;

/// States of Kafka's that no transaction is in here when somebody looks.
const PASSING_STATES: [&str; 2] = ["Dead", "PrepareEpochFence"];

pub(crate) async fn handle(
    _context: Context,
    request: ListTransactionsRequest,
    transactions: Arc<TransactionCoordinator>,
) -> ListTransactionsResponse {
    let pattern = match pattern(request.transactional_id_pattern.as_deref()) {
        Ok(pattern) => pattern,
        Err(error) => {
            tracing::debug!(%error, "refused to list transactions");
            return refuse(ErrorCode::InvalidRegularExpression);
        }
    };
    let producers = request.producer_id_filters.iter();
    // What is no producer id, no transaction has.
    let producers = producers.filter_map(|id| ProducerId::new(*id)).collect();
    let known = |name: &String| State::ALL.into_iter().find(|state| state.name() == name);
    let listed = transactions.list(coordinator::ListTransactionsRequest {
        producers: (!request.producer_id_filters.is_empty()).then_some(producers),
        states: (!request.state_filters.is_empty())
            .then(|| request.state_filters.iter().filter_map(known).collect()),
        longer_than_ms: u64::try_from(request.duration_filter).ok(),
    });
    let listed = match listed.await {
        Ok(listed) => listed,
        Err(error) => return refuse(errors::coordinator(error)),
    };
    let matches = |listed: &ListedTransaction| {
        pattern
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(listed.id.as_str()))
    };
    let is_unknown =
        |name: &String| known(name).is_none() && !PASSING_STATES.contains(&name.as_str());
    ListTransactionsResponse {
        transaction_states: listed
            .into_iter()
            .filter(matches)
            .map(|listed| TransactionState {
                transactional_id: listed.id.as_str().to_owned(),
                producer_id: listed.producer_id.value(),
                transaction_state: listed.state.name().to_owned(),
            })
            .collect(),
        unknown_state_filters: request
            .state_filters
            .into_iter()
            .filter(is_unknown)
            .collect(),
        ..Default::default()
    }
}

/// The pattern, to be matched by a whole id; an empty one is none.
fn pattern(pattern: Option<&str>) -> Result<Option<Regex>, regex::Error> {
    let pattern = pattern.filter(|pattern| !pattern.is_empty());
    let Some(pattern) = pattern else {
        return Ok(None);
    };
    // By itself first: what is put around it must not make a bad pattern good.
    Regex::new(pattern)?;
    Regex::new(&format!("^(?:{pattern})$")).map(Some)
}

fn refuse(error: ErrorCode) -> ListTransactionsResponse {
    ListTransactionsResponse {
        error_code: error.into(),
        ..Default::default()
    }
}
