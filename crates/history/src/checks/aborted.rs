//! Nobody sees what did not happen, and a transaction does not see itself.

use std::collections::HashSet;

use crate::anomaly::Anomaly;
use crate::key_log::KeyLogs;
use crate::operation::{Nature, Operations, Outcome};
use crate::report::Report;

pub(crate) fn check(operations: &Operations, logs: &KeyLogs, report: &mut Report) {
    let mut told = HashSet::new();
    for (place, operation) in operations.list.iter().enumerate() {
        for (key, records) in operation.polls() {
            let name = operations.name(key);
            for (offset, value) in records {
                let writer = logs.get(key).writers.get(value).copied();
                let anomaly = match writer {
                    None => Anomaly::NeverSent,
                    Some(writer) if writer == place => {
                        let is_transaction = operation.nature == Nature::Run { transaction: true };
                        if !is_transaction {
                            continue;
                        }
                        Anomaly::PrecommittedRead
                    }
                    Some(writer) if operations.list[writer].outcome == Outcome::Fail => {
                        Anomaly::AbortedRead
                    }
                    Some(_) => continue,
                };
                if told.insert((key, *value, anomaly)) {
                    report.found(anomaly, || {
                        format!("{name} offset {offset} value {value}, sent by operation {writer:?}, was polled by operation {place}")
                    });
                }
            }
        }
    }
}
