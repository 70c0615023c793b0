//! What the coordinator writes to `__consumer_offsets`, as typed values.
//!
//! The shapes follow Kafka's `OffsetCommitKey/Value.json` and `GroupMetadataKey/Value.json` of the group coordinator;
//! turning them into bytes and back is the runtime's work, because this crate knows no wire format. A missing value
//! is a tombstone.

use std::sync::Arc;
use std::time::Duration;

use types::{
    GroupId, InstanceId, LeaderEpoch, MemberId, PartitionIndex, Timestamp, TopicId, TopicName,
};

use super::classic::generation::Generation;
use super::classic::member::Client;
use super::consumer::record::ConsumerRecord;
use super::share::record::ShareGroupRecord;
use super::streams::record::StreamsRecord;

/// One record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// GroupMetadataKey and GroupMetadataValue: the last stable state of a classic group.
    GroupMetadata {
        /// The group.
        group: GroupId,
        /// `None` is a tombstone: the group is gone.
        value: Option<GroupMetadata>,
    },
    /// A record of a consumer group.
    Consumer {
        /// The group.
        group: GroupId,
        /// What it says.
        record: ConsumerRecord,
    },
    /// OffsetCommitKey and OffsetCommitValue: how far a group has read one partition.
    OffsetCommit {
        /// The group.
        group: GroupId,
        /// The topic, by name: Kafka's key has no id.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
        /// `None` is a tombstone: nothing is committed any more.
        value: Option<CommittedOffset>,
    },
    /// A record of a streams group.
    Streams {
        /// The group.
        group: GroupId,
        /// What changed.
        record: StreamsRecord,
    },
    /// A record of a share group.
    Share(ShareGroupRecord),
}

/// GroupMetadataValue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `consumer`, `connect`, ...; `None` (the empty string on disk) while no member ever joined.
    pub protocol_type: Option<Arc<str>>,
    /// The generation.
    pub generation: Generation,
    /// The chosen protocol (assignor); `None` for a group without members.
    pub protocol: Option<Arc<str>>,
    /// The leader.
    pub leader: Option<MemberId>,
    /// When the group entered its state; missing in records before version 2.
    pub state_timestamp: Option<Timestamp>,
    /// The members; none means the group is Empty, some that it is Stable.
    pub members: Vec<MemberMetadata>,
}

/// One member within [`GroupMetadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The member.
    pub member: MemberId,
    /// Its static name, if it has one.
    pub instance: Option<InstanceId>,
    /// Who it said it is.
    pub client: Client,
    /// How long it may take to join again. Records of version 0 lack it; a reader then uses the session timeout.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Its metadata for the chosen protocol.
    pub subscription: Arc<[u8]>,
    /// What the leader assigned to it.
    pub assignment: Arc<[u8]>,
}

/// OffsetCommitValue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset the group wants to read next. A bare number, because Kafka stores whatever a client sends.
    pub offset: i64,
    /// The leader epoch of the last record read, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Text the client keeps beside the offset; may be empty.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, if the client chose (OffsetCommit v2 to v4).
    pub expire_timestamp: Option<Timestamp>,
    /// The topic's id, if the client addressed the topic by id (OffsetCommit v10).
    pub topic_id: Option<TopicId>,
}

/// Bytes of a batch with one such record besides its texts and blobs, rounded up: the batch's 61, the record's framing
/// of 32 at most, fixed fields and length prefixes.
const FRAMING_BYTES: usize = 128;
/// The same for each member.
const MEMBER_FRAMING_BYTES: usize = 32;

impl GroupMetadata {
    /// An upper bound of the size in bytes of a batch with this record alone.
    pub fn encoded_bytes_max(&self, group: &GroupId) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let head = FRAMING_BYTES
            + group.as_str().len()
            + text(&self.protocol_type)
            + text(&self.protocol)
            + self
                .leader
                .as_ref()
                .map_or(0, |leader| leader.as_str().len());
        self.members.iter().fold(head, |bytes, member| {
            let instance = member.instance.as_ref();
            bytes
                + MEMBER_FRAMING_BYTES
                + member.member.as_str().len()
                + instance.map_or(0, |instance| instance.as_str().len())
                + member.client.id.len()
                + member.client.host.len()
                + member.subscription.len()
                + member.assignment.len()
        })
    }
}
