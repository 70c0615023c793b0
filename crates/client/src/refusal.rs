//! What a broker says when it refuses: Kafka's error code, its message, and what a person can do next.

use std::fmt;

use protocol::ErrorCode;

/// An error code with the broker's own words, if it had any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    number: i16,
    message: Option<String>,
}

impl Refusal {
    /// A refusal by code.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            number: code.code(),
            message: None,
        }
    }

    /// The code, unless it is newer than this client.
    pub fn code(&self) -> Option<ErrorCode> {
        ErrorCode::from_i16(self.number)
    }

    /// Whether the broker gave this code.
    pub fn is(&self, code: ErrorCode) -> bool {
        self.number == code.code()
    }

    /// Whether trying again may help, by Kafka's own classification.
    pub fn is_retriable(&self) -> bool {
        self.code().is_some_and(ErrorCode::retriable)
    }

    /// What the broker wrote beside the code.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// What a person can do about it, in one sentence, where there is something to do.
    pub fn next_step(&self) -> Option<&'static str> {
        use ErrorCode as E;
        Some(match self.code()? {
            E::UnknownTopicOrPartition | E::UnknownTopicId => {
                "check the name and the partition against the list of topics"
            }
            E::TopicAlreadyExists => "choose another name, or leave the topic as it is",
            E::InvalidReplicationFactor => "ask for at most as many replicas as there are brokers",
            E::InvalidPartitions => "partitions can only be added, never taken away",
            E::MessageTooLarge | E::RecordListTooLarge => {
                "send smaller records, or raise max.message.bytes of the topic"
            }
            E::OffsetOutOfRange => {
                "ask for the topic's offsets; records before the start offset are gone"
            }
            E::NonEmptyGroup | E::GroupSubscribedToTopic => {
                "stop the group's members first, or wait until their sessions end"
            }
            E::GroupIdNotFound => "check the name against the list of groups",
            E::TransactionalIdNotFound => "check the id against the list of transactions",
            E::CoordinatorNotAvailable | E::LeaderNotAvailable | E::NotLeaderOrFollower => {
                "the cluster is electing a leader; try again in a moment"
            }
            E::NotEnoughReplicas | E::NotEnoughReplicasAfterAppend => {
                "wait for replicas to return, or lower min.insync.replicas of the topic"
            }
            E::InconsistentGroupProtocol => {
                "use the assignor that the other members use, or another group"
            }
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed => "ask whoever runs the cluster for the permission",
            E::UnsupportedForMessageFormat | E::UnsupportedVersion => {
                "the broker is too old for this"
            }
            E::KafkaStorageError => "look into the broker's log: a disk does not take writes",
            _ => return None,
        })
    }
}

/// The code's name and the broker's message: `TOPIC_ALREADY_EXISTS: Topic 'flights' already exists.`
impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => formatter.write_str(code.name())?,
            None => write!(formatter, "error code {}", self.number)?,
        }
        match &self.message {
            Some(message) => write!(formatter, ": {}", message.trim_end().trim_end_matches('.')),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// An error if `number` is one.
pub(crate) fn check(number: i16, message: Option<&str>) -> Result<(), Refusal> {
    if number == ErrorCode::None.code() {
        return Ok(());
    }
    Err(Refusal {
        number,
        // Brokers send the text of the code itself when they have no more to say; an empty one says nothing.
        message: message
            .filter(|message| !message.is_empty())
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_prints_its_code_and_the_brokers_words() {
        let refusal = check(36, Some("Topic 'a' already exists.")).expect_err("an error");
        assert_eq!(
            refusal.to_string(),
            "TOPIC_ALREADY_EXISTS: Topic 'a' already exists"
        );
        assert!(refusal.is(ErrorCode::TopicAlreadyExists));
        assert!(refusal.next_step().is_some());
        assert_eq!(
            check(31_000, Some("")).expect_err("an error").to_string(),
            "error code 31000"
        );
        assert_eq!(check(0, Some("ignored")), Ok(()));
    }
}
