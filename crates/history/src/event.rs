//! One line of a history.
//!
//! A process is one client, or one thread of one: it does one thing at a time. It tells of each operation twice, when it
//! begins (`invoke`) and when it knows the outcome; an operation without a second line has an unknown outcome.
//!
//! ```json
//! {"time":10,"process":1,"type":"invoke","action":"run","steps":[{"send":{"key":"a-0","value":7}}]}
//! {"time":12,"process":1,"type":"ok","action":"run","steps":[{"send":{"key":"a-0","value":7,"offset":0}}]}
//! {"time":20,"process":2,"type":"ok","action":"run","steps":[{"poll":{"a-0":[[0,7]]}}]}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a client tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in any unit; never before the time of the line above it.
    pub time: u64,
    /// Who.
    pub process: u32,
    /// Whether the operation begins, or how it ended.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What is done. The line of the outcome says it again, with what was learned.
    #[serde(flatten)]
    pub action: Action,
}

/// Whether an operation begins, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen and never will.
    Fail,
    /// Nobody knows whether it happened, or will happen.
    Info,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Sends and polls in their order.
    Run {
        /// Whether they happen all or not at all, and polls see only what is committed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        transaction: bool,
        /// The sends and polls.
        steps: Vec<Step>,
    },
    /// From now on the process polls exactly these partitions, each from where it chooses.
    Assign {
        /// The partitions.
        keys: Vec<String>,
    },
    /// From now on a group tells the process what to poll, and may change that at any time.
    Subscribe {
        /// The topics.
        keys: Vec<String>,
    },
    /// The process polls again from the beginning.
    SeekToBeginning,
    /// The client is gone; the process goes on as a new client.
    Crash,
}

/// A send or a poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// One record is sent.
    Send {
        /// The partition.
        key: String,
        /// What the record says; no other record of the partition says the same.
        value: u64,
        /// Where it is, if that was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
    },
    /// What one poll returned: by partition offsets and values, in the order in which they came.
    Poll(BTreeMap<String, Vec<(i64, u64)>>),
}

impl Event {
    /// The event as a line, without its end.
    ///
    /// # Panics
    /// Never: such a value always has a form in JSON.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self)
            .expect("text, numbers and maps with text keys have a form in JSON")
    }
}
