//! An offset holds one record, and a record has one offset.

use crate::anomaly::Anomaly;
use crate::key_log::KeyLogs;
use crate::operation::Operations;
use crate::report::Report;

pub(crate) fn check(operations: &Operations, logs: &KeyLogs, report: &mut Report) {
    for (key, log) in logs.all() {
        let name = operations.name(key);
        for (offset, values) in log.values.iter().filter(|(_, values)| values.len() > 1) {
            report.found(Anomaly::InconsistentOffset, || {
                format!("{name} offset {offset} holds the values {values:?}")
            });
        }
        let mut twice: Vec<_> = log.offsets.iter().filter(|(_, at)| at.len() > 1).collect();
        twice.sort_unstable();
        for (value, offsets) in twice {
            report.found(Anomaly::Duplicate, || {
                format!("{name} value {value} is at the offsets {offsets:?}")
            });
        }
    }
}
