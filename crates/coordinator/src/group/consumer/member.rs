//! One member of a consumer group (`ConsumerGroupMember.java`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use types::{MemberId, TopicId, TopicName};

use super::record::{
    AWAY_EPOCH, ClassicMemberMetadata, ConsumerMemberMetadata, CurrentAssignment, MemberState,
};
use crate::group::classic::member::Client;
use crate::group::modern::epoch::Epoch;
use crate::group::modern::partitions::TopicPartitions;

/// The rebalance timeout of a member that never said one: Kafka stores −1, and its timer then fires at once.
const NO_REBALANCE_TIMEOUT: Duration = Duration::ZERO;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerMember {
    pub(crate) id: MemberId,
    pub(crate) metadata: ConsumerMemberMetadata,
    pub(crate) current: CurrentAssignment,
}

impl ConsumerMember {
    /// A member that has said and been given nothing.
    pub(crate) fn new(id: MemberId) -> Self {
        Self {
            id,
            metadata: ConsumerMemberMetadata {
                instance: None,
                rack: None,
                client: Client {
                    id: Arc::from(""),
                    host: Arc::from(""),
                },
                topics: BTreeSet::new(),
                regex: None,
                rebalance_timeout: None,
                assignor: None,
                classic: None,
            },
            current: CurrentAssignment {
                epoch: 0,
                previous_epoch: -1,
                state: MemberState::Stable,
                assigned: TopicPartitions::new(),
                revoking: TopicPartitions::new(),
            },
        }
    }

    /// The member of the same instance under another id: it begins at epoch zero, with what the old one had.
    pub(crate) fn replaced_by(&self, id: MemberId) -> Self {
        let mut member = self.clone();
        member.id = id;
        member.current.epoch = 0;
        member.current.previous_epoch = 0;
        member
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.current.epoch
    }

    /// Whether a static member has left for a while.
    pub(crate) fn is_away(&self) -> bool {
        self.current.epoch == AWAY_EPOCH
    }

    /// Whether it has what it shall have at `target`.
    pub(crate) fn is_reconciled_to(&self, target: Epoch) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == target.value()
    }

    pub(crate) fn classic(&self) -> Option<&ClassicMemberMetadata> {
        self.metadata.classic.as_ref()
    }

    pub(crate) fn uses_classic_protocol(&self) -> bool {
        self.metadata.classic.is_some()
    }

    pub(crate) fn rebalance_timeout(&self) -> Duration {
        self.metadata
            .rebalance_timeout
            .unwrap_or(NO_REBALANCE_TIMEOUT)
    }

    /// Everything the member has, also what it must give back.
    pub(crate) fn owned(&self) -> impl Iterator<Item = (TopicId, types::PartitionIndex)> {
        self.current
            .assigned
            .iter()
            .chain(self.current.revoking.iter())
    }

    /// The topics the member is subscribed to by name or by pattern.
    pub(crate) fn subscribed<'a>(
        &'a self,
        of_regex: impl FnOnce(&str) -> Option<&'a BTreeSet<TopicName>>,
    ) -> impl Iterator<Item = &'a TopicName> {
        let matching = self.metadata.regex.as_deref().and_then(of_regex);
        let more = matching.into_iter().flatten();
        self.metadata.topics.iter().chain(more)
    }
}
