//! What one client sends one after the other lies in that order.

use std::collections::HashMap;

use crate::anomaly::Anomaly;
use crate::operation::{Key, Operations, Outcome};
use crate::report::Report;

pub(crate) fn check(operations: &Operations, report: &mut Report) {
    let mut last: HashMap<(u32, Key), i64> = HashMap::new();
    for (place, operation) in operations.list.iter().enumerate() {
        if operation.outcome == Outcome::Fail {
            continue;
        }
        let mut within: HashMap<Key, i64> = HashMap::new();
        for send in operation.sends() {
            let Some(offset) = send.offset else {
                continue;
            };
            let (before, anomaly) = match within.insert(send.key, offset) {
                Some(before) => (Some(before), Anomaly::InternalNonmonotonicSend),
                None => {
                    let before = last.get(&(operation.process, send.key)).copied();
                    (before, Anomaly::NonmonotonicSend)
                }
            };
            if let Some(before) = before.filter(|before| *before >= offset) {
                let name = operations.name(send.key);
                report.found(anomaly, || {
                    format!("{name}: operation {place} sent to offset {offset} after {before}")
                });
            }
        }
        for (key, offset) in within {
            last.insert((operation.process, key), offset);
        }
    }
}
