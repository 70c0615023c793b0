//! Pairs the events of a history to operations, with names turned into numbers.
//!
//! Invariant: each operation ends after it began, and a process does one at a time.

use std::collections::HashMap;

use crate::event::{Action, Event, Kind, Step};

/// The number of a partition in [`Operations::keys`].
pub(crate) type Key = u32;

/// Why events are no history.
#[derive(Debug, thiserror::Error)]
pub enum MalformedHistory {
    /// Time goes back.
    #[error("event {event} has an earlier time than the one before it")]
    TimeGoesBack {
        /// Which event, from 1.
        event: usize,
    },
    /// A process began an operation before its last one ended.
    #[error("event {event}: process {process} begins an operation before its last one ended")]
    Overlapping {
        /// Which event, from 1.
        event: usize,
        /// Which process.
        process: u32,
    },
    /// An outcome of an operation that never began.
    #[error("event {event}: process {process} ends an operation that it did not begin")]
    NotBegun {
        /// Which event, from 1.
        event: usize,
        /// Which process.
        process: u32,
    },
    /// A value was sent twice to one partition, so nobody can tell which of them was polled.
    #[error("event {event}: value {value} is sent a second time to {key}")]
    SentTwice {
        /// Which event, from 1.
        event: usize,
        /// The partition.
        key: String,
        /// The value.
        value: u64,
    },
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Fail,
    Unknown,
}

/// One send within an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Send {
    pub(crate) key: Key,
    pub(crate) value: u64,
    pub(crate) offset: Option<i64>,
}

/// What an operation did, in order.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Send(Send),
    /// By partition what was returned.
    Poll(Vec<(Key, Vec<(i64, u64)>)>),
}

/// What kind of operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Run { transaction: bool },
    Assign,
    Subscribe,
    SeekToBeginning,
    Crash,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) process: u32,
    pub(crate) begun: u64,
    /// Never, if nobody knows.
    pub(crate) ended: u64,
    pub(crate) outcome: Outcome,
    pub(crate) nature: Nature,
    pub(crate) parts: Vec<Part>,
}

impl Operation {
    pub(crate) fn sends(&self) -> impl Iterator<Item = &Send> {
        self.parts.iter().filter_map(|part| match part {
            Part::Send(send) => Some(send),
            Part::Poll(_) => None,
        })
    }

    /// What it polled, by partition, one item for each poll.
    pub(crate) fn polls(&self) -> impl Iterator<Item = (Key, &[(i64, u64)])> {
        let polls = self.parts.iter().filter_map(|part| match part {
            Part::Poll(records) => Some(records),
            Part::Send(_) => None,
        });
        polls
            .flatten()
            .map(|(key, records)| (*key, records.as_slice()))
    }
}

/// A history.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    /// In the order in which they began.
    pub(crate) list: Vec<Operation>,
    /// The names of partitions.
    pub(crate) keys: Vec<String>,
    numbers: HashMap<String, Key>,
}

impl Operations {
    fn key(&mut self, name: &str) -> Key {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = Key::try_from(self.keys.len()).expect("there are fewer names than events");
        self.keys.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(crate) fn name(&self, key: Key) -> &str {
        &self.keys[key as usize]
    }

    fn parts(&mut self, action: &Action) -> Vec<Part> {
        let Action::Run { steps, .. } = action else {
            return Vec::new();
        };
        let part = |step: &Step| match step {
            Step::Send { key, value, offset } => Part::Send(Send {
                key: self.key(key),
                value: *value,
                offset: *offset,
            }),
            Step::Poll(records) => Part::Poll(
                records
                    .iter()
                    .map(|(key, records)| (self.key(key), records.clone()))
                    .collect(),
            ),
        };
        steps.iter().map(part).collect()
    }
}

fn nature(action: &Action) -> Nature {
    match action {
        Action::Run { transaction, .. } => Nature::Run {
            transaction: *transaction,
        },
        Action::Assign { .. } => Nature::Assign,
        Action::Subscribe { .. } => Nature::Subscribe,
        Action::SeekToBeginning => Nature::SeekToBeginning,
        Action::Crash => Nature::Crash,
    }
}

/// Pairs events to operations.
pub(crate) fn pair(events: &[Event]) -> Result<Operations, MalformedHistory> {
    let mut operations = Operations::default();
    let mut running: HashMap<u32, usize> = HashMap::new();
    let mut last_time = 0;
    for (index, event) in events.iter().enumerate() {
        let number = index + 1;
        if event.time < last_time {
            return Err(MalformedHistory::TimeGoesBack { event: number });
        }
        last_time = event.time;
        let process = event.process;
        if event.kind == Kind::Invoke {
            let parts = operations.parts(&event.action);
            // A client that is gone leaves its last operation behind.
            let is_crash = event.action == Action::Crash;
            if running.insert(process, operations.list.len()).is_some() && !is_crash {
                return Err(MalformedHistory::Overlapping {
                    event: number,
                    process,
                });
            }
            operations.list.push(Operation {
                process,
                begun: event.time,
                ended: u64::MAX,
                outcome: Outcome::Unknown,
                nature: nature(&event.action),
                parts,
            });
            continue;
        }
        let Some(place) = running.remove(&process) else {
            return Err(MalformedHistory::NotBegun {
                event: number,
                process,
            });
        };
        let parts = operations.parts(&event.action);
        let operation = &mut operations.list[place];
        operation.parts = parts;
        (operation.outcome, operation.ended) = match event.kind {
            Kind::Ok => (Outcome::Ok, event.time),
            Kind::Fail => (Outcome::Fail, event.time),
            Kind::Invoke | Kind::Info => (Outcome::Unknown, u64::MAX),
        };
    }
    refuse_twice(&operations)?;
    Ok(operations)
}

fn refuse_twice(operations: &Operations) -> Result<(), MalformedHistory> {
    let mut sent = std::collections::HashSet::new();
    for (index, operation) in operations.list.iter().enumerate() {
        for send in operation.sends() {
            if !sent.insert((send.key, send.value)) {
                return Err(MalformedHistory::SentTwice {
                    event: index + 1,
                    key: operations.name(send.key).to_owned(),
                    value: send.value,
                });
            }
        }
    }
    Ok(())
}
