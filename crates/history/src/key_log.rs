//! Each partition's log as the history knows it: which values were seen at which offsets, and who sent them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::operation::{Key, Operations, Outcome};

/// What is known of one partition.
#[derive(Debug, Default)]
pub(crate) struct KeyLog {
    /// Values by offset; more than one is an anomaly. From polls, and from sends that were told an offset.
    pub(crate) values: BTreeMap<i64, BTreeSet<u64>>,
    /// The offsets by value.
    pub(crate) offsets: HashMap<u64, BTreeSet<i64>>,
    /// The operation that sent a value.
    pub(crate) writers: HashMap<u64, usize>,
    /// Values that were polled.
    pub(crate) polled: BTreeSet<u64>,
    /// The highest offset that was polled.
    pub(crate) last_polled: Option<i64>,
}

impl KeyLog {
    fn saw(&mut self, offset: i64, value: u64) {
        self.values.entry(offset).or_default().insert(value);
        self.offsets.entry(value).or_default().insert(offset);
    }

    /// The first offset behind `offset` that is known to hold a record that counts.
    pub(crate) fn next_after(&self, offset: i64) -> Option<i64> {
        let from = offset.checked_add(1)?;
        self.values.range(from..).next().map(|(offset, _)| *offset)
    }
}

/// All partitions.
#[derive(Debug)]
pub(crate) struct KeyLogs(Vec<KeyLog>);

impl KeyLogs {
    pub(crate) fn get(&self, key: Key) -> &KeyLog {
        &self.0[key as usize]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Key, &KeyLog)> {
        (0..).zip(&self.0)
    }

    /// Records that are known.
    pub(crate) fn records(&self) -> usize {
        self.0.iter().map(|log| log.values.len()).sum()
    }
}

/// What the operations tell of each partition.
pub(crate) fn build(operations: &Operations) -> KeyLogs {
    let mut logs: Vec<KeyLog> = operations.keys.iter().map(|_| KeyLog::default()).collect();
    for (place, operation) in operations.list.iter().enumerate() {
        for send in operation.sends() {
            let log = &mut logs[send.key as usize];
            log.writers.insert(send.value, place);
            // What is told of an aborted transaction's records is true, but nobody may see them.
            if let Some(offset) = send.offset
                && operation.outcome != Outcome::Fail
            {
                log.saw(offset, send.value);
            }
        }
        for (key, records) in operation.polls() {
            let log = &mut logs[key as usize];
            for (offset, value) in records {
                log.saw(*offset, *value);
                log.polled.insert(*value);
                log.last_polled = log.last_polled.max(Some(*offset));
            }
        }
    }
    KeyLogs(logs)
}
