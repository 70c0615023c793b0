//! What began after an offset was known lies behind it: across clients, since all of them see one log.
//!
//! A sweep over beginnings and ends in the order of time: at each end of an operation its offsets become known, and what
//! begins later must lie behind the highest of them. Linear but for the sorting.

use std::collections::HashMap;

use crate::anomaly::Anomaly;
use crate::operation::{Key, Operations, Outcome, Send};
use crate::report::Report;

pub(crate) fn check(operations: &Operations, report: &mut Report) {
    let mut moments = Vec::with_capacity(operations.list.len() * 2);
    for (place, operation) in operations.list.iter().enumerate() {
        // At the same time a beginning comes before an end: then the two are concurrent.
        moments.push((operation.begun, false, place));
        if operation.outcome != Outcome::Unknown {
            moments.push((operation.ended, true, place));
        }
    }
    moments.sort_unstable();
    let mut known: HashMap<Key, i64> = HashMap::new();
    for (_, is_end, place) in moments {
        let operation = &operations.list[place];
        if !is_end {
            if operation.outcome != Outcome::Fail {
                for send in operation.sends() {
                    compare(
                        operations,
                        place,
                        send,
                        known.get(&send.key).copied(),
                        report,
                    );
                }
            }
            continue;
        }
        let mut learn = |key: Key, offset: i64| {
            let highest = known.entry(key).or_insert(offset);
            *highest = (*highest).max(offset);
        };
        if operation.outcome == Outcome::Ok {
            for send in operation.sends() {
                send.offset.into_iter().for_each(|at| learn(send.key, at));
            }
        }
        for (key, records) in operation.polls() {
            records.iter().for_each(|(offset, _)| learn(key, *offset));
        }
    }
}

fn compare(
    operations: &Operations,
    place: usize,
    send: &Send,
    bound: Option<i64>,
    report: &mut Report,
) {
    if let (Some(offset), Some(bound)) = (send.offset, bound)
        && offset <= bound
    {
        let name = operations.name(send.key);
        report.found(Anomaly::RealTimeOrder, || {
            format!("{name}: operation {place} began when offset {bound} was known and sent to offset {offset}")
        });
    }
}
