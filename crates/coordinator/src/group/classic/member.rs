//! One member of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use types::{InstanceId, MemberId};

use crate::group::request::ReplyToken;

/// Who sent a request, as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client.id` of the request header; may be empty.
    pub id: Arc<str>,
    /// The address it came from, as Kafka prints it (`/127.0.0.1`).
    pub host: Arc<str>,
}

/// A protocol (assignor) a member supports, with what it tells the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberProtocol {
    /// The name, for example `range`.
    pub name: Arc<str>,
    /// Bytes for the leader; for consumers a ConsumerProtocolSubscription.
    pub metadata: Arc<[u8]>,
}

/// A member that has joined.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    /// Present for static members (KIP-345).
    pub(crate) instance: Option<InstanceId>,
    pub(crate) client: Client,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) session_timeout: Duration,
    /// In order of preference, without repeated names, never empty.
    pub(crate) protocols: Vec<MemberProtocol>,
    /// Empty until the leader has assigned something in this generation.
    pub(crate) assignment: Arc<[u8]>,
    /// The JoinGroup that waits for the join phase to end.
    pub(crate) parked_join: Option<ReplyToken>,
    /// The SyncGroup that waits for the leader's assignment.
    pub(crate) parked_sync: Option<ReplyToken>,
    /// Until its first join is answered: it has no id to heartbeat with, so waiting does not keep it alive for ever.
    pub(crate) is_new: bool,
}

impl Member {
    pub(crate) fn metadata(&self, protocol: &str) -> Option<&Arc<[u8]>> {
        self.protocols
            .iter()
            .find(|supported| supported.name.as_ref() == protocol)
            .map(|supported| &supported.metadata)
    }

    /// The most preferred protocol among `candidates`.
    pub(crate) fn vote<'a>(&self, candidates: &BTreeSet<&'a str>) -> Option<&'a str> {
        self.protocols
            .iter()
            .find_map(|protocol| candidates.get(protocol.name.as_ref()).copied())
    }

    /// Whether the member is excused from heartbeats because it waits for us.
    pub(crate) fn waits_for_coordinator(&self) -> bool {
        !self.is_new && (self.parked_join.is_some() || self.parked_sync.is_some())
    }
}
