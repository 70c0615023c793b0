//! Offsets nobody needs any more.
//!
//! After `OffsetMetadataManager.cleanupExpiredOffsets`, `ClassicGroup.offsetExpirationCondition` and
//! `OffsetExpirationConditionImpl.java`. An offset's age counts
//! - in an Empty group that had members: from when it became Empty (from the commit, if its record is too old to say);
//! - in a Stable consumer group: from the commit, and only for topics that no member is subscribed to;
//! - in a simple group: from the commit.
//!
//! During a rebalance, and in groups whose subscriptions cannot be read, nothing expires. An expiry time chosen by the
//! client (OffsetCommit v2 to v4) counts instead of the age. Nothing expires that an open transaction may replace.

use types::{GroupId, Timestamp};

use super::delete::tombstone;
use super::store::OffsetStore;
use crate::group::kind::Group;
use crate::group::record::{CommittedOffset, GroupRecord};
use crate::group::settings::GroupSettings;

/// From when an offset's age counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AgeBase {
    Commit,
    GroupState(Timestamp),
}

/// What is to be forgotten of one group.
#[derive(Debug)]
pub(crate) struct Expired {
    /// Tombstones of the expired offsets.
    pub(crate) records: Vec<GroupRecord>,
    /// Whether nothing is left after them.
    pub(crate) nothing_left: bool,
}

pub(crate) fn expire(
    id: &GroupId,
    group: &Group,
    store: &OffsetStore,
    now: Timestamp,
    settings: &GroupSettings,
) -> Expired {
    let mut expired = Expired {
        records: Vec::new(),
        nothing_left: true,
    };
    // A group lives as long as an open transaction may still commit offsets for it.
    expired.nothing_left = !store.pending().has_group(id);
    let Some(topics) = store.group(id) else {
        return expired;
    };
    let Some(base) = group.age_base() else {
        expired.nothing_left = false;
        return expired;
    };
    for (topic, partitions) in topics {
        let subscribed = group.is_subscribed(topic);
        for (partition, offset) in partitions {
            let pending = store.pending().contains(id, topic, *partition);
            if !subscribed && !pending && is_expired(offset, base, now, settings) {
                expired.records.push(tombstone(id, topic, *partition));
            } else {
                expired.nothing_left = false;
            }
        }
    }
    expired
}

fn is_expired(
    offset: &CommittedOffset,
    base: AgeBase,
    now: Timestamp,
    settings: &GroupSettings,
) -> bool {
    if let Some(expire) = offset.expire_timestamp {
        return now >= expire;
    }
    let since = match base {
        AgeBase::Commit => offset.commit_timestamp,
        AgeBase::GroupState(timestamp) => timestamp,
    };
    let age_ms = i128::from(now.ms()) - i128::from(since.ms());
    u128::try_from(age_ms).is_ok_and(|age_ms| age_ms >= settings.offsets_retention.as_millis())
}
