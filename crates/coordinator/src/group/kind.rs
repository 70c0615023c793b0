//! A group of whatever protocol, and what offsets, listing, deletion and expiry ask of any group.
//!
//! Invariant: nothing outside this file and a kind's own folder looks into a group of that kind; what is asked of all
//! kinds is a method here (Kafka's `Group.java`).

use std::sync::Arc;

use types::{MemberId, Timestamp, TopicName};

use super::classic::generation::GroupState;
use super::classic::state::ClassicGroup;
use super::consumer::state::ConsumerGroup;
use super::consumer::validate;
use super::delete::DeleteGroupError;
use super::list::GroupType;
use super::offsets::commit::{self, CommitError, CommitRequest};
use super::offsets::delete::DeleteOffsetsError;
use super::offsets::expire::AgeBase;
use super::offsets::fetch::{FetchOffsetsError, FetchOffsetsRequest};
use super::record::GroupRecord;
use super::share::state::{self as share, ShareGroup};
use super::streams::state::StreamsGroup;
use super::timers::{TimerKey, Timers};

/// The protocol type that ListGroups shows for streams groups.
const STREAMS_PROTOCOL_TYPE: &str = "streams";
/// The protocol type of consumers.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// A group.
#[derive(Debug)]
pub(crate) enum Group {
    /// Members agree by JoinGroup and SyncGroup; or nobody ever joined, and there are only committed offsets.
    Classic(ClassicGroup),
    /// KIP-1071.
    Streams(StreamsGroup),
    /// Members share partitions (KIP-932).
    Share(ShareGroup),
    /// Members are told by heartbeats what they shall have.
    Consumer(ConsumerGroup),
}

impl Group {
    pub(crate) fn classic(&self) -> Option<&ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn classic_mut(&mut self) -> Option<&mut ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn consumer(&self) -> Option<&ConsumerGroup> {
        match self {
            Self::Consumer(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn consumer_mut(&mut self) -> Option<&mut ConsumerGroup> {
        match self {
            Self::Consumer(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn share(&self) -> Option<&ShareGroup> {
        match self {
            Self::Share(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn share_mut(&mut self) -> Option<&mut ShareGroup> {
        match self {
            Self::Share(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn streams(&self) -> Option<&StreamsGroup> {
        match self {
            Self::Streams(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn streams_mut(&mut self) -> Option<&mut StreamsGroup> {
        match self {
            Self::Streams(group) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn group_type(&self) -> GroupType {
        match self {
            Self::Classic(_) => GroupType::Classic,
            Self::Streams(_) => GroupType::Streams,
            Self::Share(_) => GroupType::Share,
            Self::Consumer(_) => GroupType::Consumer,
        }
    }

    /// `consumer`, `connect`, ...; `None` if nobody ever joined.
    pub(crate) fn protocol_type(&self) -> Option<Arc<str>> {
        match self {
            Self::Classic(group) => group.protocol_type().cloned(),
            Self::Streams(_) => Some(Arc::from(STREAMS_PROTOCOL_TYPE)),
            Self::Share(_) => Some(Arc::from(share::PROTOCOL_TYPE)),
            Self::Consumer(_) => Some(Arc::from(CONSUMER_PROTOCOL_TYPE)),
        }
    }

    /// The state, as Kafka's tools print it.
    pub(crate) fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Streams(group) => group.state().name(),
            Self::Share(group) => group.state_name(),
            Self::Consumer(group) => group.state().name(),
        }
    }

    /// The state as filters of ListGroups name it, whatever the case.
    pub(crate) fn state_filter_name(&self) -> &'static str {
        match self {
            Self::Classic(_) | Self::Share(_) | Self::Consumer(_) => self.state_name(),
            Self::Streams(group) => group.state().filter_name(),
        }
    }

    /// Whether nobody is in the group.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state() == GroupState::Empty,
            Self::Streams(group) => group.is_empty(),
            Self::Share(group) => group.is_empty(),
            Self::Consumer(group) => group.members().len() == 0,
        }
    }

    /// Whether a member reads `topic`.
    pub(crate) fn is_subscribed(&self, topic: &TopicName) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Streams(group) => group.is_subscribed(topic),
            Self::Share(group) => group.is_subscribed(topic),
            Self::Consumer(group) => group.is_subscribed(topic.as_str()),
        }
    }

    /// Decides whether the group takes a commit. `Some` is the member whose session it extends.
    pub(crate) fn validate_commit(
        &self,
        request: &CommitRequest,
    ) -> Result<Option<MemberId>, CommitError> {
        match self {
            Self::Classic(group) => commit::validate_classic(group, request),
            Self::Streams(group) => group.validate_commit(request),
            // Not a group of consumers.
            Self::Share(_) => Err(CommitError::UnknownGroup),
            Self::Consumer(group) => validate::commit(group, request).map(|()| None),
        }
    }

    /// Decides whether the group takes a commit within a transaction.
    pub(crate) fn validate_transactional_commit(
        &self,
        request: &CommitRequest,
    ) -> Result<(), CommitError> {
        match self {
            Self::Classic(group) => commit::validate_transactional_classic(group, request),
            Self::Streams(group) => group.validate_transactional_commit(request),
            Self::Share(_) => Err(CommitError::UnknownGroup),
            Self::Consumer(group) => validate::transactional_commit(group, request),
        }
    }

    /// Whether committed offsets may be deleted while the group is as it is.
    pub(crate) fn validate_delete_offsets(&self) -> Result<(), DeleteOffsetsError> {
        match self {
            Self::Classic(group) => {
                if group.state() != GroupState::Empty && !group.uses_consumer_protocol() {
                    return Err(DeleteOffsetsError::NonEmptyGroup);
                }
                Ok(())
            }
            Self::Streams(_) => Ok(()),
            Self::Share(_) => Err(DeleteOffsetsError::UnknownGroup),
            // Its subscriptions are known, so each topic is asked for by itself.
            Self::Consumer(_) => Ok(()),
        }
    }

    /// Decides whether a member may fetch committed offsets.
    pub(crate) fn validate_fetch_offsets(
        &self,
        request: &FetchOffsetsRequest,
    ) -> Result<(), FetchOffsetsError> {
        match self {
            Self::Classic(_) | Self::Share(_) => Ok(()),
            Self::Streams(group) => group.validate_fetch_offsets(request),
            Self::Consumer(group) => validate::fetch_offsets(group, request),
        }
    }

    /// Whether the group may be deleted.
    pub(crate) fn validate_delete(&self) -> Result<(), DeleteGroupError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DeleteGroupError::NonEmptyGroup)
        }
    }

    /// The tombstones of everything the group itself has in the log, the one that ends the group last.
    pub(crate) fn tombstones(&self, records: &mut Vec<GroupRecord>) {
        match self {
            Self::Classic(group) => records.push(GroupRecord::GroupMetadata {
                group: group.id().clone(),
                value: None,
            }),
            Self::Streams(group) => {
                let tombstones = group.tombstones().into_iter();
                records.extend(tombstones.map(|record| GroupRecord::Streams {
                    group: group.id.clone(),
                    record,
                }));
            }
            Self::Share(group) => {
                records.extend(group.tombstones().into_iter().map(GroupRecord::Share));
            }
            Self::Consumer(group) => {
                records.extend(group.tombstones().into_iter().map(|record| {
                    GroupRecord::Consumer {
                        group: group.id().clone(),
                        record,
                    }
                }));
            }
        }
    }

    /// From when the age of committed offsets counts; `None` where nothing may expire.
    pub(crate) fn age_base(&self) -> Option<AgeBase> {
        match self {
            Self::Classic(group) => classic_age_base(group),
            Self::Streams(_) => Some(AgeBase::Commit),
            Self::Share(_) => None,
            Self::Consumer(_) => Some(AgeBase::Commit),
        }
    }

    /// Whether the group goes once it is empty and nothing is committed (`Group.shouldExpire`).
    pub(crate) fn goes_without_offsets(&self) -> bool {
        match self {
            Self::Classic(_) | Self::Streams(_) | Self::Consumer(_) => true,
            Self::Share(_) => false,
        }
    }

    /// Cancels what the group waits for: it is being removed.
    pub(crate) fn cancel_timers(&self, timers: &mut Timers) {
        match self {
            // Members that were given an id and never came.
            Self::Classic(group) => {
                for member in group.pending_members() {
                    timers.cancel(&TimerKey::Session(group.id().clone(), member.clone()));
                }
            }
            Self::Streams(group) => {
                timers.cancel(&TimerKey::StreamsInitialRebalance(group.id.clone()));
            }
            Self::Share(group) => {
                for member in group.members.keys() {
                    timers.cancel(&TimerKey::Session(group.id.clone(), member.clone()));
                }
            }
            Self::Consumer(group) => {
                for member in group.members() {
                    for key in TimerKey::of_consumer(group.id(), &member.id) {
                        timers.cancel(&key);
                    }
                }
            }
        }
    }

    /// A group that only commits (`OffsetMetadataManager`: a "simple" group).
    pub(crate) fn simple(id: types::GroupId, now: Timestamp) -> Self {
        Self::Classic(ClassicGroup::new(id, now))
    }
}

/// After `ClassicGroup.offsetExpirationCondition`.
fn classic_age_base(group: &ClassicGroup) -> Option<AgeBase> {
    if group.is_simple() {
        return Some(AgeBase::Commit);
    }
    match group.state() {
        GroupState::Empty => Some(match group.state_timestamp() {
            Some(timestamp) => AgeBase::GroupState(timestamp),
            None => AgeBase::Commit,
        }),
        GroupState::Stable if group.uses_consumer_protocol() && group.knows_subscribed_topics() => {
            Some(AgeBase::Commit)
        }
        _ => None,
    }
}
