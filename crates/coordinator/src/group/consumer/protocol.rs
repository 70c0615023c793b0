//! The bytes that members of the classic protocol put into JoinGroup and are given by SyncGroup, as far as the
//! coordinator must understand them to serve such members in a consumer group
//! (`ConsumerProtocolSubscription.json`, `ConsumerProtocolAssignment.json`).
//!
//! ```text
//! subscription: version: i16 >= 0 | topics: [text] | user data: bytes?
//!               | v1: owned: [text, [i32]] | v2: generation: i32 | v3: rack: text?
//! assignment:   version: i16 >= 0 | assigned: [text, [i32]] | user data: bytes?
//! ```
//!
//! A version above the newest known is read as that one. Nothing is reserved beyond what the bytes can hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use types::{PartitionIndex, TopicName, TopicPartition};

use crate::group::modern::partitions::TopicPartitions;
use crate::group::modern::topics::TopicsImage;

/// The newest version of both.
const VERSION_MAX: i16 = 3;
/// From here on a subscription says what its member has.
const OWNED_SINCE: i16 = 1;
const GENERATION_SINCE: i16 = 2;
const RACK_SINCE: i16 = 3;

/// What a member of the classic protocol reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    /// The version it is written in, at most the newest known.
    pub(super) version: i16,
    pub(super) topics: BTreeSet<TopicName>,
    pub(super) owned: Vec<NamedPartitions>,
    pub(super) rack: Option<Arc<str>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedPartitions {
    topic: TopicName,
    partitions: Vec<PartitionIndex>,
}

/// What a leader has assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) partitions: Vec<NamedPartitions>,
    /// Whether the assignor keeps something of its own there, which would be lost.
    pub(super) has_user_data: bool,
}

/// Those of the partitions whose topics exist.
pub(super) fn resolve(partitions: &[NamedPartitions], topics: &TopicsImage) -> TopicPartitions {
    let mut resolved = TopicPartitions::new();
    for named in partitions {
        if let Some(topic) = topics.by_name(named.topic.as_str()) {
            resolved.extend_from(named.partitions.iter().map(|index| (topic.id, *index)));
        }
    }
    resolved
}

/// `None` if the bytes are no subscription.
pub(super) fn read_subscription(bytes: &[u8]) -> Option<Subscription> {
    let mut reader = Reader(bytes);
    let version = reader.version()?;
    let topics = reader.array(Reader::topic)?.into_iter().collect();
    let _user_data = reader.bytes()?;
    let mut subscription = Subscription {
        version,
        topics,
        ..Subscription::default()
    };
    if version >= OWNED_SINCE {
        subscription.owned = reader.array(Reader::partitions)?;
    }
    if version >= GENERATION_SINCE {
        let _generation = reader.int32()?;
    }
    if version >= RACK_SINCE {
        subscription.rack = reader.nullable_text()?.map(Arc::from);
    }
    Some(subscription)
}

/// The partitions that a leader has assigned, as it named them; `None` if the bytes are no assignment.
pub fn assigned_partitions(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let named = read_assignment(bytes)?.partitions.into_iter();
    let each = |named: NamedPartitions| {
        let topic = named.topic;
        let partitions = named.partitions.into_iter();
        partitions.map(move |partition| TopicPartition {
            topic: topic.clone(),
            partition,
        })
    };
    Some(named.flat_map(each).collect())
}

/// `None` if the bytes are no assignment.
pub(super) fn read_assignment(bytes: &[u8]) -> Option<Assigned> {
    let mut reader = Reader(bytes);
    reader.version()?;
    let partitions = reader.array(Reader::partitions)?;
    let has_user_data = reader.bytes()?.is_some_and(|bytes| !bytes.is_empty());
    Some(Assigned {
        partitions,
        has_user_data,
    })
}

/// An assignment in the version of its member's subscription. Topics that do not exist any more are left out.
pub(super) fn write_assignment(
    version: i16,
    assigned: &TopicPartitions,
    topics: &TopicsImage,
) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    bytes.extend(version.to_be_bytes());
    let known: Vec<_> = assigned
        .topics()
        .filter_map(|(id, partitions)| Some((topics.by_id(id)?, partitions)))
        .collect();
    bytes.extend(length(known.len()).to_be_bytes());
    for (topic, partitions) in known {
        let name = topic.name.as_str();
        // Names of topics that exist are at most 249 bytes long.
        bytes.extend(i16::try_from(name.len()).unwrap_or(i16::MAX).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(length(partitions.len()).to_be_bytes());
        for partition in partitions {
            bytes.extend(partition.value().to_be_bytes());
        }
    }
    let no_user_data: i32 = -1;
    bytes.extend(no_user_data.to_be_bytes());
    Arc::from(bytes)
}

fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*bytes))
    }

    fn int32(&mut self) -> Option<i32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*bytes))
    }

    fn version(&mut self) -> Option<i16> {
        let version = self.int16()?;
        (version >= 0).then_some(version.min(VERSION_MAX))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.int16()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn nullable_text(&mut self) -> Option<Option<&'a str>> {
        let length = self.int16()?;
        if length < 0 {
            return Some(None);
        }
        let text = self.take(usize::try_from(length).ok()?)?;
        Some(Some(std::str::from_utf8(text).ok()?))
    }

    /// Nullable bytes.
    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.int32()?;
        if length < 0 {
            return Some(None);
        }
        let bytes = self.take(usize::try_from(length).ok()?)?;
        Some(Some(bytes))
    }

    fn array<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.int32()?).ok()?;
        // Each item takes at least two bytes, so a count beyond that is a lie and must not reserve memory.
        if count > self.0.len() / 2 {
            return None;
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn topic(&mut self) -> Option<TopicName> {
        self.text().map(TopicName::new)
    }

    fn partitions(&mut self) -> Option<NamedPartitions> {
        Some(NamedPartitions {
            topic: self.topic()?,
            partitions: self.array(|reader| PartitionIndex::new(reader.int32()?))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use types::TopicId;

    use super::*;
    use crate::group::modern::topics::TopicImage;

    fn image() -> TopicsImage {
        let topic = TopicImage {
            id: TopicId::new([1; 16]).expect("not zero"),
            name: TopicName::new("ab"),
            partitions: 9,
        };
        TopicsImage::new(1, [topic])
    }

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let image = image();
        let id = image.by_name("ab").expect("exists").id;
        let index = |index| PartitionIndex::new(index).expect("not negative");
        let assigned: TopicPartitions = [(id, index(0)), (id, index(7))].into_iter().collect();
        let bytes = write_assignment(1, &assigned, &image);
        let expected = [
            0, 1, 0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff,
            0xff, 0xff,
        ];
        assert_eq!(*bytes, expected);
        let read = read_assignment(&bytes).expect("an assignment");
        assert_eq!(resolve(&read.partitions, &image), assigned);
        assert!(!read.has_user_data);
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        let topics = [0, 0, 0, 1, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff];
        let owned = [0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 1, 0, 0, 0, 4];
        let later = [0, 0, 0, 9, 0, 1, b'r'];
        for version in 0..5_u8 {
            let mut bytes = vec![0, version];
            bytes.extend(topics);
            bytes.extend(owned);
            bytes.extend(later);
            let read = read_subscription(&bytes).expect("a subscription");
            assert_eq!(read.version, i16::from(version.min(3)));
            assert_eq!(read.topics.len(), 1);
            assert_eq!(read.owned.len(), usize::from(version >= 1));
            assert_eq!(read.rack.is_some(), version >= 3);
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            &[][..],
            &[0],
            &[0xff, 0xff, 0, 0, 0, 0],
            &[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0],
            &[0, 0, 0, 0, 0, 1, 0, 9, b'x'],
            &[0, 0, 0, 0, 0, 0],
            &[0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(read_subscription(bytes), None, "{bytes:?}");
        }
        assert_eq!(read_assignment(&[0, 0, 0, 0]), None);
    }
}
