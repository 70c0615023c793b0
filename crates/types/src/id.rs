//! Names and ids of topics, groups and members.

use std::fmt;
use std::sync::Arc;

/// Identifies one life of a topic: a topic created again under the same name has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// An id from its 16 bytes, unless they are all zero (which on the wire means "none").
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The 16 bytes, as the wire carries them.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// URL-safe base64 without padding, as Kafka's tools print it.
impl fmt::Display for TopicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let number = u128::from_be_bytes(self.0);
        // 22 characters of 6 bits hold 132 bits: the last one carries four zero bits of padding.
        for position in 0..22_u32 {
            let sextet = if position < 21 {
                (number >> (122 - 6 * position)) & 63
            } else {
                (number << 4) & 63
            };
            let character = ALPHABET
                .get(usize::try_from(sextet).unwrap_or_default())
                .copied()
                .unwrap_or(b'A');
            fmt::Write::write_char(formatter, char::from(character))?;
        }
        Ok(())
    }
}

macro_rules! shared_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it was given; rules about its form are checked where it enters.
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

shared_name! {
    /// The name of a topic; cheap to clone.
    TopicName
}
shared_name! {
    /// The name of a consumer group.
    GroupId
}
shared_name! {
    /// Names one member of a group, given by the coordinator or (KIP-848) by the client.
    MemberId
}
shared_name! {
    /// `group.instance.id`: the name a static member keeps over restarts (KIP-345).
    InstanceId
}

shared_name! {
    /// The name a transactional producer keeps over restarts (`transactional.id`).
    TransactionalId
}

/// One partition of one topic, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: crate::PartitionIndex,
}

/// `topic-partition`, as Kafka names directories and prints partitions.
impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_kafka_prints_it() {
        // java: new org.apache.kafka.common.Uuid(0x0123456789abcdefL, 0xfedcba9876543210L).toString()
        let id = TopicId::new(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes())
            .expect("not zero");
        assert_eq!(id.to_string(), "ASNFZ4mrze_-3LqYdlQyEA");
    }

    #[test]
    fn the_zero_id_means_none() {
        assert_eq!(TopicId::new([0; 16]), None);
    }
}
