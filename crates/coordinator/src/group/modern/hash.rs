//! A hash over the topics a group reads: when it changes, the group is assigned anew (KIP-1101).
//!
//! After `Utils.computeTopicHash` and `computeGroupHash`: XXH3, 64 bits, numbers little-endian, texts as UTF-16 units
//! followed by their count. Racks are left out, because partitions of one node have none.

use types::TopicName;
use xxhash_rust::xxh3::Xxh3;

use super::topics::{TopicImage, TopicsImage};

/// The first byte of what is hashed for a topic, for a later change of the form.
const TOPIC_HASH_VERSION: u8 = 0;

/// The hash of the topics of `names` that exist; 0 if none does. `names` must come in order.
pub(crate) fn metadata_hash<'a>(
    names: impl IntoIterator<Item = &'a TopicName>,
    topics: &TopicsImage,
) -> i64 {
    let mut hasher = Xxh3::new();
    let mut any = false;
    for name in names {
        if let Some(topic) = topics.by_name(name.as_str()) {
            any = true;
            hasher.update(&topic_hash(topic).to_le_bytes());
        }
    }
    if any {
        hasher.digest().cast_signed()
    } else {
        0
    }
}

fn topic_hash(topic: &TopicImage) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&[TOPIC_HASH_VERSION]);
    let id = u128::from_be_bytes(topic.id.bytes());
    // The upper half first, each half little-endian.
    let (upper, lower) = ((id >> 64) as u64, id as u64);
    hasher.update(&upper.to_le_bytes());
    hasher.update(&lower.to_le_bytes());
    let mut units = 0_i32;
    for unit in topic.name.as_str().encode_utf16() {
        hasher.update(&unit.to_le_bytes());
        units = units.saturating_add(1);
    }
    hasher.update(&units.to_le_bytes());
    hasher.update(&topic.partitions.to_le_bytes());
    for partition in 0..topic.partitions {
        hasher.update(&partition.to_le_bytes());
    }
    hasher.digest()
}
