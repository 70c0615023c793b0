//! The services handlers can be given, by the names the API table uses. No handler sees this struct: its row names what
//! it gets.

use std::sync::Arc;

use crate::coordinators::{GroupCoordinator, TransactionCoordinator};
use crate::fetches::Fetches;
use crate::internal_topics::InternalTopics;
use crate::quotas::Quotas;
use crate::request_metrics::RequestMetrics;
use crate::shares::Shares;
use crate::topics::Topics;

/// One of each; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    /// Topics, their partitions' logs, and what the cluster is made of.
    pub(crate) topics: Arc<Topics>,
    /// Fetch sessions and waiting fetches.
    pub(crate) fetches: Arc<Fetches>,
    /// Groups and their committed offsets.
    pub(crate) groups: Arc<GroupCoordinator>,
    /// Transactional producers and their transactions.
    pub(crate) transactions: Arc<TransactionCoordinator>,
    /// Share groups beside their coordinator.
    pub(crate) shares: Arc<Shares>,
    /// Topics made for streams groups.
    pub(crate) internal_topics: Arc<InternalTopics>,
    /// What clients with quotas did.
    pub(crate) quotas: Arc<Quotas>,
    /// Requests counted by API.
    pub(crate) metrics: Arc<RequestMetrics>,
}
