//! Reads the topics out of a consumer's metadata.
//!
//! The bytes are a ConsumerProtocolSubscription (`ConsumerProtocolSubscription.json`). Only the prefix common to all
//! versions is read, as Kafka does (`ClassicGroup.computeSubscribedTopics`):
//!
//! ```text
//! version: i16 >= 0 | topic count: i32 | per topic: length: i16 >= 0, UTF-8 bytes | (user data and later fields)
//! ```

use types::TopicName;

/// The subscribed topics, or `None` if the bytes are not a subscription.
pub(crate) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<TopicName>> {
    let (version, rest) = metadata.split_first_chunk()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    // Each topic takes at least its length prefix, so a count beyond that is a lie and must not reserve memory.
    if count > rest.len() / size_of::<i16>() {
        return None;
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, text) = rest.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (topic, after) = text.split_at_checked(length)?;
        topics.push(TopicName::new(std::str::from_utf8(topic).ok()?));
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metadata: &[u8], expected: Option<&[&str]>) {
        let topics = subscribed_topics(metadata);
        let topics = topics
            .as_ref()
            .map(|topics| topics.iter().map(TopicName::as_str).collect::<Vec<_>>());
        assert_eq!(topics.as_deref(), expected);
    }

    #[test]
    fn topics_of_any_version_are_read() {
        check(&[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], Some(&[]));
        check(
            &[0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c', 9, 9],
            Some(&["a", "bc"]),
        );
    }

    #[test]
    fn malformed_subscriptions_are_refused_without_reserving_memory() {
        check(&[], None);
        check(&[0], None);
        check(&[0xff, 0xff, 0, 0, 0, 0], None);
        check(&[0, 0, 0xff, 0xff, 0xff, 0xff], None);
        check(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0], None);
        check(&[0, 0, 0, 0, 0, 1, 0, 2, b'a'], None);
        check(&[0, 0, 0, 0, 0, 1, 0xff, 0xff], None);
        check(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff], None);
    }
}
