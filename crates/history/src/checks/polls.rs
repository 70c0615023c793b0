//! A client sees each partition in order and leaves nothing out.
//!
//! Between two polls of one client that holds only while it chooses its partitions itself: a group may take a partition
//! away and give it back, and then the client goes on from the last commit. Within one poll it holds always.

use std::collections::HashMap;

use crate::anomaly::Anomaly;
use crate::key_log::{KeyLog, KeyLogs};
use crate::operation::{Key, Nature, Operation, Operations, Outcome};
use crate::report::Report;

/// What a process has polled.
#[derive(Debug, Default)]
struct Reader {
    is_subscribed: bool,
    /// The last offset by partition.
    positions: HashMap<Key, i64>,
}

pub(crate) fn check(operations: &Operations, logs: &KeyLogs, report: &mut Report) {
    let mut readers: HashMap<u32, Reader> = HashMap::new();
    for (place, operation) in operations.list.iter().enumerate() {
        let reader = readers.entry(operation.process).or_default();
        match operation.nature {
            Nature::Run { .. } => {}
            Nature::Assign | Nature::SeekToBeginning | Nature::Crash => {
                *reader = Reader::default();
                continue;
            }
            Nature::Subscribe => {
                *reader = Reader {
                    is_subscribed: true,
                    ..Reader::default()
                };
                continue;
            }
        }
        let mut told = Told {
            operations,
            logs,
            place,
            report,
        };
        told.operation(operation, reader);
    }
}

struct Told<'a> {
    operations: &'a Operations,
    logs: &'a KeyLogs,
    place: usize,
    report: &'a mut Report,
}

impl Told<'_> {
    fn operation(&mut self, operation: &Operation, reader: &mut Reader) {
        let mut within: HashMap<Key, i64> = HashMap::new();
        for (key, records) in operation.polls() {
            for (offset, _) in records {
                let (before, is_within) = match within.insert(key, *offset) {
                    Some(before) => (Some(before), true),
                    None if reader.is_subscribed => (None, false),
                    None => (reader.positions.get(&key).copied(), false),
                };
                if let Some(before) = before {
                    self.step(key, before, *offset, is_within);
                }
            }
        }
        // Where a client stands after an operation that failed is its own affair.
        if operation.outcome == Outcome::Ok {
            reader.positions.extend(within);
        } else {
            for key in within.keys() {
                reader.positions.remove(key);
            }
        }
    }

    fn step(&mut self, key: Key, before: i64, offset: i64, is_within: bool) {
        let (place, name) = (self.place, self.operations.name(key));
        if offset <= before {
            let anomaly = if is_within {
                Anomaly::InternalNonmonotonicPoll
            } else {
                Anomaly::NonmonotonicPoll
            };
            self.report.found(anomaly, || {
                format!("{name}: operation {place} polled offset {offset} after {before}")
            });
            return;
        }
        let skipped = self.skipped(self.logs.get(key), before, offset);
        if let Some(skipped) = skipped {
            let anomaly = if is_within {
                Anomaly::InternalPollSkip
            } else {
                Anomaly::PollSkip
            };
            self.report.found(anomaly, || {
                format!("{name}: operation {place} polled offset {offset} after {before} and left out {skipped}")
            });
        }
    }

    /// The first record between two offsets that every reader must see: one whose send is known to have happened, or one
    /// that somebody saw.
    fn skipped(&self, log: &KeyLog, before: i64, offset: i64) -> Option<i64> {
        let between = log.values.range(before + 1..offset);
        let counts = |value: &u64| {
            log.polled.contains(value)
                || log
                    .writers
                    .get(value)
                    .is_some_and(|writer| self.operations.list[*writer].outcome == Outcome::Ok)
        };
        between
            .filter(|(_, values)| values.iter().any(counts))
            .map(|(offset, _)| *offset)
            .next()
    }
}
