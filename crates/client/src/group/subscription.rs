//! What members tell each other through the coordinator: the topics they want and the partitions they get
//! (`ConsumerProtocol.java`).
//!
//! Invariant: both begin with a version, and whatever version another member wrote is read as the highest known one
//! (later versions only add fields at the end).

use std::sync::Arc;

use bytes::Bytes;
use protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use protocol::messages::{consumer_protocol_assignment, consumer_protocol_subscription};
use protocol::{DecodeError, EncodeError, Message, Reader, encode_versioned};

use crate::assignor::{MemberSubscription, TopicPartition};

/// Owned partitions came with version 1, the generation with 2 (KIP-429, KIP-792); 3 adds racks, which we do not use.
const SUBSCRIPTION_VERSION: i16 = 2;
const ASSIGNMENT_VERSION: i16 = 0;

/// Why bytes are neither.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// They end too early or say something impossible.
    #[error("cannot read a subscription or assignment")]
    Decode(#[from] DecodeError),
    /// Something does not fit.
    #[error("cannot write a subscription or assignment")]
    Encode(#[from] EncodeError),
}

pub(super) fn encode_subscription(
    topics: &[Arc<str>],
    owned: &[TopicPartition],
    generation_id: i32,
) -> Result<Bytes, SubscriptionError> {
    let mut topics: Vec<String> = topics
        .iter()
        .map(|topic| topic.as_ref().to_owned())
        .collect();
    topics.sort();
    topics.dedup();
    let subscription = ConsumerProtocolSubscription {
        topics,
        owned_partitions: by_topic(owned)
            .into_iter()
            .map(
                |(topic, partitions)| consumer_protocol_subscription::TopicPartition {
                    topic,
                    partitions,
                },
            )
            .collect(),
        generation_id,
        ..ConsumerProtocolSubscription::default()
    };
    Ok(encode_versioned(&subscription, SUBSCRIPTION_VERSION)?)
}

/// What a member wants. Empty bytes, which some clients send, mean nothing.
pub fn decode_subscription(
    member_id: &str,
    group_instance_id: Option<&str>,
    bytes: Bytes,
) -> Result<MemberSubscription, SubscriptionError> {
    let subscription: ConsumerProtocolSubscription = decode(bytes)?;
    Ok(MemberSubscription {
        member_id: member_id.to_owned(),
        group_instance_id: group_instance_id.map(str::to_owned),
        topics: subscription.topics.into_iter().map(Arc::from).collect(),
        owned: flatten(
            subscription
                .owned_partitions
                .into_iter()
                .map(|owned| (owned.topic, owned.partitions)),
        ),
        generation_id: subscription.generation_id,
    })
}

pub(super) fn encode_assignment(partitions: &[TopicPartition]) -> Result<Bytes, SubscriptionError> {
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: by_topic(partitions)
            .into_iter()
            .map(
                |(topic, partitions)| consumer_protocol_assignment::TopicPartition {
                    topic,
                    partitions,
                },
            )
            .collect(),
        user_data: None,
    };
    Ok(encode_versioned(&assignment, ASSIGNMENT_VERSION)?)
}

/// What a member gets. Empty bytes mean nothing.
pub fn decode_assignment(bytes: Bytes) -> Result<Vec<TopicPartition>, SubscriptionError> {
    let assignment: ConsumerProtocolAssignment = decode(bytes)?;
    Ok(flatten(
        assignment
            .assigned_partitions
            .into_iter()
            .map(|assigned| (assigned.topic, assigned.partitions)),
    ))
}

fn decode<M: Message>(bytes: Bytes) -> Result<M, DecodeError> {
    if bytes.is_empty() {
        return Ok(M::default());
    }
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    M::decode(&mut reader, version.clamp(M::MIN_VERSION, M::MAX_VERSION))
}

fn by_topic(partitions: &[TopicPartition]) -> Vec<(String, Vec<i32>)> {
    let mut topics: Vec<(String, Vec<i32>)> = Vec::new();
    for partition in partitions {
        match topics
            .last_mut()
            .filter(|(topic, _)| **topic == *partition.topic)
        {
            Some((_, numbers)) => numbers.push(partition.partition),
            None => topics.push((
                partition.topic.as_ref().to_owned(),
                vec![partition.partition],
            )),
        }
    }
    topics
}

fn flatten(topics: impl Iterator<Item = (String, Vec<i32>)>) -> Vec<TopicPartition> {
    let topics: Vec<_> = topics.collect();
    // A list that grows is there twice for a moment.
    let count = topics.iter().map(|(_, partitions)| partitions.len()).sum();
    let mut flat = Vec::with_capacity(count);
    for (topic, partitions) in topics {
        let topic: Arc<str> = Arc::from(topic);
        let partitions = partitions.into_iter();
        flat.extend(partitions.map(|partition| TopicPartition::new(Arc::clone(&topic), partition)));
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let topics = [Arc::from("b"), Arc::from("a")];
        let owned = [TopicPartition::new("a", 0), TopicPartition::new("a", 2)];
        let bytes = encode_subscription(&topics, &owned, 7).expect("fits");
        let read = decode_subscription("m", Some("i"), bytes).expect("well formed");
        assert_eq!(read.topics, [Arc::from("a"), Arc::from("b")]);
        assert_eq!(read.owned, owned);
        assert_eq!(read.generation_id, 7);
        let assignment = encode_assignment(&owned).expect("fits");
        assert_eq!(decode_assignment(assignment).expect("well formed"), owned);
    }

    #[test]
    fn a_later_version_is_read_as_the_newest_known_one() {
        let mut bytes = encode_assignment(&[TopicPartition::new("a", 1)])
            .expect("fits")
            .to_vec();
        bytes[1] = 99;
        let read = decode_assignment(Bytes::from(bytes)).expect("well formed");
        assert_eq!(read, [TopicPartition::new("a", 1)]);
    }

    #[test]
    fn nothing_means_nothing_and_garbage_is_an_error() {
        assert_eq!(decode_assignment(Bytes::new()).expect("nothing"), []);
        assert!(decode_assignment(Bytes::from_static(&[0])).is_err());
        assert!(decode_subscription("m", None, Bytes::from_static(&[0, 0, 127])).is_err());
    }
}
