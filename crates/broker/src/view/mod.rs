//! [`View`]: what the broker has and is at this moment, for those in the same process who look and do not touch: SQL over
//! topics, and its schema `sys`.
//!
//! Every answer is about one thing: a partition, a group, a transaction. So who reads all of them holds no lock
//! meanwhile, and sees each as it was when its turn came. What is told of logs and metadata comes from where the handlers
//! take it; coordinators are asked through the same requests as by DescribeGroups and its like.
//!
//! Invariant: no wire structs, and nothing here changes anything, but that a log which nobody has used yet is opened.

mod groups;
mod offsets;
mod partitions;
mod settings;
mod topics;
mod transactions;

use std::fmt;
use std::sync::Arc;

use crate::accept::ConnectionMetrics;
use crate::coordinators::CoordinatorError;
use crate::services::Services;

pub use crate::connection_figures::ConnectionView;
pub use coordinator::GroupType;
pub(crate) use groups::SHARE_ASSIGNOR;
pub use groups::{GroupDescription, GroupView, MemberView};
pub use offsets::GroupOffsetView;
pub use partitions::PartitionView;
pub use topics::{TopicLog, TopicView, ViewError};
pub use transactions::TransactionView;

/// A broker to look at; cheap to clone, and never holds its stop up.
#[derive(Clone)]
pub struct View {
    services: Services,
    connections: Arc<ConnectionMetrics>,
}

/// A coordinator that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{topic} cannot be asked now: {reason}")]
pub struct Unanswered {
    /// The topic it keeps its state in.
    topic: &'static str,
    reason: CoordinatorError,
}

impl View {
    pub(crate) fn new(services: Services, connections: Arc<ConnectionMetrics>) -> Self {
        Self {
            services,
            connections,
        }
    }

    /// The connections that are open, the oldest first.
    pub fn connections(&self) -> Vec<ConnectionView> {
        self.connections.list.view()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("View").finish_non_exhaustive()
    }
}
