//! What was acknowledged is there.

use crate::Options;
use crate::anomaly::Anomaly;
use crate::key_log::KeyLogs;
use crate::operation::{Operations, Outcome};
use crate::report::Report;

pub(crate) fn check(
    operations: &Operations,
    logs: &KeyLogs,
    options: Options,
    report: &mut Report,
) {
    for (place, operation) in operations.list.iter().enumerate() {
        if operation.outcome != Outcome::Ok {
            continue;
        }
        for send in operation.sends() {
            let log = logs.get(send.key);
            if log.polled.contains(&send.value) {
                continue;
            }
            let name = operations.name(send.key);
            let is_passed = send.offset.is_some_and(|at| log.last_polled >= Some(at));
            let anomaly = match (is_passed, options.is_complete) {
                (true, _) => Anomaly::LostWrite,
                (false, true) => Anomaly::Unseen,
                (false, false) => continue,
            };
            report.found(anomaly, || {
                let (value, offset) = (send.value, send.offset);
                let last = log.last_polled;
                format!("{name} value {value}, acknowledged at {offset:?} by operation {place}, was never polled; the last polled offset is {last:?}")
            });
        }
    }
}
