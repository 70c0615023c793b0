//! The kinds of anomalies, and what was found of each.

use std::fmt;

/// What no log may do. The names are those of Jepsen's `kafka` workload where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// Two values at one offset.
    InconsistentOffset,
    /// One value at two offsets.
    Duplicate,
    /// An acknowledged record below what was polled was never polled.
    LostWrite,
    /// An acknowledged record was not there when everything was polled at the end.
    Unseen,
    /// A record was polled that nobody sent.
    NeverSent,
    /// A record was polled whose send, or whose transaction, did not happen (G1a).
    AbortedRead,
    /// A transaction polled what it sent itself, before it was committed.
    PrecommittedRead,
    /// A later poll of one client left records out.
    PollSkip,
    /// A later poll of one client went back.
    NonmonotonicPoll,
    /// Within one poll or transaction records were left out.
    InternalPollSkip,
    /// Within one poll or transaction offsets went back.
    InternalNonmonotonicPoll,
    /// A later send of one client has a lower offset.
    NonmonotonicSend,
    /// Within one operation a later send has a lower offset.
    InternalNonmonotonicSend,
    /// A send that began after an offset was known has a lower one.
    RealTimeOrder,
    /// Transactions saw each other's records in a circle (G1c over what was read).
    Cycle,
    /// Transactions' records lie between each other's. Kafka's model allows it, since writes are not isolated.
    WriteCycle,
    /// A transaction saw one of another's records and not the next one. Kafka's model allows it, since polls are no snapshot.
    ReadSkew,
}

impl Anomaly {
    /// Whether it breaks a promise; the others are only counted.
    pub fn is_error(self) -> bool {
        !matches!(self, Self::WriteCycle | Self::ReadSkew)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::InconsistentOffset => "inconsistent-offset",
            Self::Duplicate => "duplicate",
            Self::LostWrite => "lost-write",
            Self::Unseen => "unseen",
            Self::NeverSent => "never-sent",
            Self::AbortedRead => "G1a",
            Self::PrecommittedRead => "precommitted-read",
            Self::PollSkip => "poll-skip",
            Self::NonmonotonicPoll => "nonmonotonic-poll",
            Self::InternalPollSkip => "int-poll-skip",
            Self::InternalNonmonotonicPoll => "int-nonmonotonic-poll",
            Self::NonmonotonicSend => "nonmonotonic-send",
            Self::InternalNonmonotonicSend => "int-nonmonotonic-send",
            Self::RealTimeOrder => "real-time-order",
            Self::Cycle => "G1c",
            Self::WriteCycle => "G0",
            Self::ReadSkew => "G-single",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What was found of one kind.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// How often.
    pub count: usize,
    /// The first of them, in words.
    pub examples: Vec<String>,
}
