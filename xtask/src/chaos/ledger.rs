//! The plainest account of a run: which of the acknowledged records are there, how often, and in which order.

use history::{Action, Event, Kind, Step};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Producers count up, each in its own range of values.
const PRODUCER_SHIFT: u32 = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) acked: usize,
    /// Those that were sent and of which the client never learned.
    pub(crate) unacked: usize,
    pub(crate) found: usize,
    pub(crate) unacked_found: usize,
    pub(crate) lost: usize,
    pub(crate) duplicated: usize,
    /// Records before which a later one of the same producer lies in the same partition.
    pub(crate) out_of_order: usize,
}

impl Ledger {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0
    }

    /// Of everything that was sent in these events, and what their last reader, of which `is_last` knows the process, found.
    pub(crate) fn of(events: &[Event], is_last: impl Fn(u32) -> bool) -> Self {
        let mut acked: HashSet<(&str, u64)> = HashSet::new();
        let mut unacked = HashSet::new();
        let mut found: BTreeMap<&str, BTreeMap<i64, u64>> = BTreeMap::new();
        for event in events {
            let Action::Run { steps, .. } = &event.action else {
                continue;
            };
            for step in steps {
                match step {
                    Step::Send { key, value, .. } if event.kind == Kind::Ok => {
                        acked.insert((key, *value));
                    }
                    Step::Send { key, value, .. } if event.kind == Kind::Info => {
                        unacked.insert((key.as_str(), *value));
                    }
                    Step::Poll(polled) if is_last(event.process) => {
                        for (key, records) in polled {
                            found
                                .entry(key)
                                .or_default()
                                .extend(records.iter().copied());
                        }
                    }
                    _ => {}
                }
            }
        }
        let mut ledger = Self {
            acked: acked.len(),
            unacked: unacked.len(),
            ..Self::default()
        };
        let mut seen = HashSet::new();
        for (key, records) in &found {
            let mut last: HashMap<u64, u64> = HashMap::new();
            for value in records.values() {
                ledger.found += 1;
                if !seen.insert((*key, *value)) {
                    ledger.duplicated += 1;
                    continue;
                }
                ledger.unacked_found += usize::from(unacked.contains(&(*key, *value)));
                let last = last.entry(value >> PRODUCER_SHIFT).or_insert(*value);
                ledger.out_of_order += usize::from(*last > *value);
                *last = (*last).max(*value);
            }
        }
        ledger.lost = acked.iter().filter(|one| !seen.contains(one)).count();
        ledger
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acked,
            unacked,
            found,
            unacked_found,
            lost,
            duplicated,
            out_of_order,
        } = self;
        write!(
            formatter,
            "{acked} acked, {unacked} never answered; {found} found, {unacked_found} of them unacked; {lost} lost, {duplicated} duplicated, {out_of_order} out of order"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use history::{Action, Event, Kind, Step};

    fn run(time: u64, process: u32, kind: Kind, steps: Vec<Step>) -> Event {
        let action = Action::Run {
            transaction: false,
            steps,
        };
        Event {
            time,
            process,
            kind,
            action,
        }
    }

    fn send(value: u64) -> Step {
        let (key, offset) = ("a-0".to_owned(), None);
        Step::Send { key, value, offset }
    }

    fn check(read: &[(i64, u64)]) -> Ledger {
        let polled = Step::Poll([("a-0".to_owned(), read.to_vec())].into());
        let events = [
            run(1, 1, Kind::Ok, vec![send(1), send(2)]),
            run(2, 2, Kind::Info, vec![send(3)]),
            run(3, 9, Kind::Ok, vec![polled]),
        ];
        Ledger::of(&events, |process| process == 9)
    }

    #[test]
    fn what_is_lost_twice_or_out_of_order_is_counted() {
        let clean = check(&[(0, 1), (1, 2), (2, 3)]);
        assert!(clean.is_clean());
        assert_eq!((clean.acked, clean.found, clean.unacked_found), (2, 3, 1));
        assert_eq!(check(&[(0, 1), (1, 3)]).lost, 1);
        assert_eq!(check(&[(0, 1), (1, 2), (2, 2)]).duplicated, 1);
        assert_eq!(check(&[(0, 2), (1, 1)]).out_of_order, 1);
    }
}
