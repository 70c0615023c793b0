//! [`Ledger`]: what was put in beside what came out.
//!
//! Invariant: every record is known by an id; what came out more often, less often, changed, or in another order within the place
//! that it comes from (a partition, a file, a row) is a violation, and told with the record.

use std::collections::BTreeMap;

/// Violations that are told one by one.
const TOLD_MAX: usize = 20;

/// A record that was put in.
#[derive(Clone, Debug)]
pub(super) struct Put {
    /// What has to come out.
    pub(super) body: String,
    /// Where it comes from, and its number there.
    pub(super) place: String,
    pub(super) number: i64,
    /// Whether it has to come out; a version of a row that was changed before anybody looked need not.
    pub(super) is_needed: bool,
    /// Whether a second copy is no violation.
    pub(super) may_repeat: bool,
}

/// A record that came out, in the order of its partition.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) id: String,
    pub(super) body: String,
    /// Where it lies: records of different ones have no order.
    pub(super) lies_in: i64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) put: usize,
    pub(super) came: usize,
    pub(super) lost: usize,
    pub(super) duplicated: usize,
    /// Those that may come again, and did.
    pub(super) repeated: usize,
    pub(super) wrong: usize,
    pub(super) disordered: usize,
    /// Positions that are not at the end, files that were not put away.
    pub(super) behind: usize,
    told: Vec<String>,
}

impl Ledger {
    /// Compares.
    pub(super) fn of(put: &BTreeMap<String, Put>, came: &[Came]) -> Self {
        let mut ledger = Self {
            put: put.len(),
            came: came.len(),
            ..Self::default()
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut last: BTreeMap<(i64, &str), i64> = BTreeMap::new();
        for record in came {
            let Some(expected) = put.get(&record.id) else {
                ledger.wrong += 1;
                ledger.tell(|| format!("nobody put in {}: {}", record.id, record.body));
                continue;
            };
            let count = counts.entry(&record.id).or_default();
            *count += 1;
            let is_again = *count > 1;
            if is_again && expected.may_repeat {
                ledger.repeated += 1;
            } else if is_again {
                ledger.duplicated += 1;
                ledger.tell(|| format!("twice or more: {}: {}", record.id, record.body));
            }
            if expected.body != record.body {
                ledger.wrong += 1;
                let (id, body, found) = (&record.id, &expected.body, &record.body);
                ledger.tell(|| format!("changed: {id}: {found} in place of {body}"));
            }
            let seen = last
                .entry((record.lies_in, &expected.place))
                .or_insert(expected.number);
            if *seen > expected.number && !is_again {
                ledger.disordered += 1;
                let (place, number, behind) = (&expected.place, expected.number, *seen);
                ledger.tell(|| {
                    format!(
                        "out of order: {}, number {number} of {place}, behind {behind}",
                        record.id
                    )
                });
            }
            *seen = (*seen).max(expected.number);
        }
        for (id, expected) in put {
            if expected.is_needed && !counts.contains_key(id.as_str()) {
                ledger.lost += 1;
                let Put {
                    body,
                    place,
                    number,
                    ..
                } = expected;
                ledger.tell(|| format!("lost: {id}, number {number} of {place}: {body}"));
            }
        }
        ledger
    }

    fn tell(&mut self, violation: impl FnOnce() -> String) {
        if self.told.len() < TOLD_MAX {
            self.told.push(violation());
        }
    }

    /// A source that is not read to its end, or something that should be there and is not.
    pub(super) fn is_behind(&mut self, text: String) {
        self.behind += 1;
        self.told.push(text);
    }

    pub(super) fn violations(&self) -> usize {
        self.lost + self.duplicated + self.wrong + self.disordered + self.behind
    }

    /// Adds the counts of another one.
    pub(super) fn add(&mut self, other: &Self) {
        self.put += other.put;
        self.came += other.came;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.repeated += other.repeated;
        self.wrong += other.wrong;
        self.disordered += other.disordered;
        self.behind += other.behind;
    }

    /// The violations, a line each.
    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        for violation in &self.told {
            text += &format!("  {violation}\n");
        }
        let more = self.violations().saturating_sub(self.told.len());
        if more > 0 {
            text += &format!("  and {more} more\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(ids: &[&str]) -> BTreeMap<String, Put> {
        let each = ids.iter().zip(0..).map(|(id, number)| {
            let put = Put {
                body: format!("body of {id}"),
                place: "p".to_owned(),
                number,
                is_needed: true,
                may_repeat: *id == "again",
            };
            ((*id).to_owned(), put)
        });
        each.collect()
    }

    fn came(ids: &[&str]) -> Vec<Came> {
        let each = ids.iter().map(|id| Came {
            id: (*id).to_owned(),
            body: format!("body of {id}"),
            lies_in: 0,
        });
        each.collect()
    }

    #[test]
    fn what_is_as_it_was_put_in_is_no_violation() {
        let ledger = Ledger::of(&put(&["a", "b", "c"]), &came(&["a", "b", "c"]));
        assert_eq!((ledger.violations(), ledger.put, ledger.came), (0, 3, 3));
    }

    #[test]
    fn each_kind_of_violation_is_found_and_told() {
        let put = put(&["a", "b", "c"]);
        let check = |ids: &[&str]| Ledger::of(&put, &came(ids));
        assert_eq!(check(&["a", "c"]).lost, 1);
        assert_eq!(check(&["a", "a", "b", "c"]).duplicated, 1);
        assert_eq!(check(&["b", "a", "c"]).disordered, 1);
        assert_eq!(check(&["a", "b", "c", "d"]).wrong, 1);
        let mut changed = came(&["a", "b", "c"]);
        changed[1].body.clear();
        assert_eq!(Ledger::of(&put, &changed).wrong, 1);
        let told = check(&["b", "a", "d", "a"]).told();
        for word in [
            "lost: c",
            "twice or more: a",
            "out of order: a",
            "nobody put in d",
        ] {
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn what_may_repeat_is_counted_and_no_violation() {
        let ledger = Ledger::of(&put(&["again", "b"]), &came(&["again", "b", "again"]));
        assert_eq!((ledger.violations(), ledger.repeated), (0, 1));
    }
}
