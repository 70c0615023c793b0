//! The rules about topics' names (`org.apache.kafka.common.internals.Topic`).

use std::borrow::Cow;

/// Longest name; with a partition number and a suffix behind it, it still fits a file name.
pub const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// Topics that belong to the broker. Clients learn that they are internal and leave them out of patterns.
pub const INTERNAL_TOPICS: [&str; 3] = [CONSUMER_OFFSETS, TRANSACTION_STATE, SHARE_GROUP_STATE];
/// Committed offsets and groups.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";
/// Share groups.
pub const SHARE_GROUP_STATE: &str = "__share_group_state";
/// Kafka's metadata log; the name is reserved.
pub(crate) const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Why a text is no name of a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// There is no text.
    #[error("topic name is invalid: the empty string is not allowed")]
    Empty,
    /// `.` and `..` are folders.
    #[error("topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    /// More than [`TOPIC_NAME_LENGTH_MAX`] characters.
    #[error(
        "topic name is invalid: {0} characters are more than the allowed {TOPIC_NAME_LENGTH_MAX}"
    )]
    TooLong(usize),
    /// A character outside of ASCII letters, digits, `.`, `_` and `-`.
    #[error(
        "topic name is invalid: {0:?} has characters other than ASCII letters, digits, '.', '_' and '-'"
    )]
    Character(String),
}

/// Checks that `name` can be a topic's name.
///
/// # Errors
/// The first rule it breaks, in Kafka's order.
pub fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() {
        Err(TopicNameError::Empty)
    } else if name == "." || name == ".." {
        Err(TopicNameError::Dots(name.to_owned()))
    } else if name.len() > TOPIC_NAME_LENGTH_MAX {
        Err(TopicNameError::TooLong(name.chars().count()))
    } else if !name.bytes().all(is_legal) {
        Err(TopicNameError::Character(name.to_owned()))
    } else {
        Ok(())
    }
}

/// True for the broker's own topics.
pub fn is_internal_topic(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// What two names that collide have in common: metrics' names cannot tell `.` from `_`.
pub(crate) fn unified(name: &str) -> Cow<'_, str> {
    if name.contains('.') {
        Cow::Owned(name.replace('.', "_"))
    } else {
        Cow::Borrowed(name)
    }
}
