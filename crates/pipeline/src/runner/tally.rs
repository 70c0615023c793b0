//! [`Tally`]: what became of records, counted; and [`Halt`], which stops a pipeline when too many of them are bad.
//!
//! Invariant: a batch is judged before it is committed, together with those before it, so that one that is too bad is not published.
//! Pure: whoever asks says what time it is.

use std::collections::{BTreeMap, VecDeque};

use spec::{HaltAbove, Over};

/// Shares of fewer records than this mean nothing while more may come.
const RECORDS_MIN: u64 = 100;
/// The time that is looked at is cut into so many parts.
const PARTS: i64 = 60;

/// What became of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that were read.
    pub rows_in: u64,
    /// Records or rows that were written.
    pub rows_out: u64,
    /// Dead letters.
    pub dead: u64,
    /// Rows that a check left out.
    pub dropped: u64,
    /// Rows that a check let pass and counted.
    pub warned: u64,
    /// Deletions that were left out, because the sink has no keys.
    pub tombstones: u64,
    /// Of each check, by its place in the file: the rows that failed.
    pub failed: BTreeMap<usize, u64>,
    /// Dead letters by their reasons; beyond [`REASONS_MAX`] all others are [`OTHER`].
    pub reasons: BTreeMap<String, u64>,
}

/// So many reasons are counted apart.
pub const REASONS_MAX: usize = 64;
/// All others.
pub const OTHER: &str = "other";

impl Tally {
    /// Takes in another one.
    pub fn add(&mut self, other: &Self) {
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.dead += other.dead;
        self.dropped += other.dropped;
        self.warned += other.warned;
        self.tombstones += other.tombstones;
        for (check, failed) in &other.failed {
            *self.failed.entry(*check).or_default() += failed;
        }
        for (reason, count) in &other.reasons {
            self.count_reason(reason, *count);
        }
    }

    /// Counts dead letters of a reason.
    pub(crate) fn count_reason(&mut self, reason: &str, count: u64) {
        if let Some(known) = self.reasons.get_mut(reason) {
            *known += count;
            return;
        }
        let is_room = self.reasons.len() < REASONS_MAX;
        let reason = if is_room { reason } else { OTHER };
        *self.reasons.entry(reason.to_owned()).or_default() += count;
    }
}

/// Too many records are bad.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "halted: {bad} of {all} records {over} are bad, more than {limit}; nothing of the last batch was written but its dead letters, which say why. Mend the source or the checks, then: watertable pipeline resume NAME"
)]
pub struct Halted {
    bad: u64,
    all: u64,
    /// `of the run`, or `of the last 5m`.
    over: String,
    limit: spec::Share,
}

/// Looks at the share of bad records.
#[derive(Clone, Debug)]
pub(crate) struct Halt {
    limit: HaltAbove,
    /// Begin of each part, with its records and bad ones; one part is all of a run.
    parts: VecDeque<(i64, u64, u64)>,
}

impl Halt {
    pub(crate) const fn new(limit: HaltAbove) -> Self {
        Self {
            limit,
            parts: VecDeque::new(),
        }
    }

    /// Whether so many records more are too few to judge, so that a run which ends waits for the others.
    pub(crate) fn wants_more(&self, records: u64) -> bool {
        let all: u64 = self.parts.iter().map(|part| part.1).sum();
        self.limit.over == Over::Run && all + records < RECORDS_MIN
    }

    /// Takes in a batch. `is_last`: no more come.
    ///
    /// # Errors
    /// Too many are bad; the batch is to be thrown away.
    pub(crate) fn judge(
        &mut self,
        batch: &Tally,
        now_ms: i64,
        is_last: bool,
    ) -> Result<(), Halted> {
        let begin = match self.limit.over {
            Over::Run => 0,
            Over::Last(span) => {
                let ms = i64::try_from(span.duration().as_millis()).unwrap_or(i64::MAX);
                self.parts
                    .retain(|(begin, _, _)| *begin > now_ms.saturating_sub(ms));
                let part = (ms / PARTS).max(1);
                now_ms.div_euclid(part) * part
            }
        };
        match self.parts.back_mut().filter(|(last, _, _)| *last == begin) {
            Some((_, all, bad)) => {
                *all += batch.rows_in;
                *bad += batch.dead;
            }
            None => self.parts.push_back((begin, batch.rows_in, batch.dead)),
        }
        let sum = |of: fn(&(i64, u64, u64)) -> u64| self.parts.iter().map(of).sum::<u64>();
        let (all, bad) = (sum(|part| part.1), sum(|part| part.2));
        let is_judged = all >= RECORDS_MIN || is_last;
        let limit = u128::from(self.limit.share.millionths());
        if is_judged && u128::from(bad) * 1_000_000 > u128::from(all) * limit {
            return Err(Halted {
                bad,
                all,
                over: match self.limit.over {
                    Over::Run => "of the run".to_owned(),
                    Over::Last(span) => format!("of the last {span}"),
                },
                limit: self.limit.share,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(text: &str) -> Halt {
        Halt::new(text.parse().unwrap())
    }

    fn batch(rows_in: u64, dead: u64) -> Tally {
        Tally {
            rows_in,
            dead,
            ..Tally::default()
        }
    }

    #[test]
    fn reasons_are_counted_apart_up_to_a_bound() {
        let mut all = Tally::default();
        for number in 0..100 {
            let mut one = Tally::default();
            one.count_reason(&format!("r{number}"), 2);
            all.add(&one);
        }
        assert_eq!(all.reasons.len(), REASONS_MAX + 1);
        assert_eq!(all.reasons.values().sum::<u64>(), 200);
        assert_eq!(all.reasons["r0"], 2);
    }

    #[test]
    fn a_run_is_judged_as_a_whole() {
        let mut run = halt("5% over run");
        assert_eq!(run.judge(&batch(50, 50), 0, false), Ok(()));
        assert_eq!(run.clone().judge(&batch(950, 0), 1, true), Ok(()));
        let halted = run.judge(&batch(949, 0), 1, false).unwrap_err();
        assert!(
            halted
                .to_string()
                .starts_with("halted: 50 of 999 records of the run are bad, more than 5%"),
            "{halted}"
        );
        assert!(halt("5% over run").judge(&batch(2, 1), 0, true).is_err());
        assert!(halt("50% over run").judge(&batch(2, 1), 0, true).is_ok());
    }

    #[test]
    fn of_a_time_what_is_older_is_forgotten() {
        let mut halt = halt("10% over 1m");
        assert_eq!(halt.judge(&batch(99, 99), 0, false), Ok(()));
        assert_eq!(halt.judge(&batch(500, 50), 61_000, false), Ok(()));
        assert!(halt.clone().judge(&batch(10, 2), 62_000, false).is_err());
        assert_eq!(halt.judge(&batch(10, 1), 125_000, true), Ok(()));
    }
}
