//! [`EarliestTimes`]: from which time on the records of a stretch of a log are, as far as queries have seen.
//!
//! Records need not be in the order of their times, and neither batches nor the time index say how early a record of a
//! stretch can be, so an upper bound in time proves nothing about where to end. But whoever reads all records of a stretch
//! knows, and that stays true: offsets are never used again, and cleaning only takes records away. So the second query over
//! a range of times leaves out what the first one saw to be later.
//!
//! Invariant: no record of a stretch that readers see has a timestamp below its earliest time. Records without a time are
//! in no range of times, so they do not count.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use parking_lot::Mutex;
use types::{PartitionIndex, TopicId};

use crate::intervals::Intervals;

/// Stretches that are remembered, of about 64 bytes each; then all are forgotten and learned anew. With a stretch for each
/// MiB that is read, this is enough for 128 GiB.
const STRETCHES_MAX: usize = 1 << 17;

/// A log, in one life of its topic.
pub(crate) type LogKey = (TopicId, PartitionIndex);

/// What queries have seen.
#[derive(Debug, Default)]
pub(crate) struct EarliestTimes(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By first offset: the offset behind the stretch, and its earliest time.
    logs: HashMap<LogKey, BTreeMap<i64, (i64, i64)>>,
    count: usize,
}

impl EarliestTimes {
    /// Notes that all records of `stretch` are from `earliest` or later.
    pub(crate) fn note(&self, log: LogKey, stretch: &Range<i64>, earliest: i64) {
        let mut seen = self.0.lock();
        if seen.count >= STRETCHES_MAX {
            *seen = Seen::default();
        }
        let stretches = seen.logs.entry(log).or_default();
        let is_known = stretches
            .range(..=stretch.start)
            .next_back()
            .is_some_and(|(_, (end, _))| *end >= stretch.end);
        if !is_known
            && stretches
                .insert(stretch.start, (stretch.end, earliest))
                .is_none()
        {
            seen.count += 1;
        }
    }

    /// The offsets of `log` whose records are all later than `latest`.
    pub(crate) fn later_than(&self, log: LogKey, latest: i64) -> Intervals {
        let seen = self.0.lock();
        let Some(stretches) = seen.logs.get(&log) else {
            return Intervals::none();
        };
        let later = stretches
            .iter()
            .filter(|(_, (_, earliest))| *earliest > latest)
            .map(|(start, (end, _))| *start..*end);
        Intervals::of_ranges(later)
    }
}

/// A stretch that is being read.
#[derive(Debug, Default)]
pub(crate) struct Stretch(Option<(Range<i64>, i64)>);

impl Stretch {
    /// Adds a batch with all its records, the earliest of which is from `earliest`; `None` if they were not all seen. What
    /// came before is noted if the batch does not go on behind it.
    pub(crate) fn add(
        &mut self,
        batch: Range<i64>,
        earliest: Option<i64>,
        mut note: impl FnMut(&Range<i64>, i64),
    ) {
        match (&mut self.0, earliest) {
            (Some((range, known)), Some(earliest)) if range.end == batch.start => {
                range.end = batch.end;
                *known = earliest.min(*known);
            }
            (_, earliest) => {
                self.end(&mut note);
                self.0 = earliest.map(|earliest| (batch, earliest));
            }
        }
    }

    /// Notes what was added; a new stretch begins.
    pub(crate) fn end(&mut self, note: impl FnOnce(&Range<i64>, i64)) {
        if let Some((range, earliest)) = self.0.take() {
            note(&range, earliest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(number: u8) -> LogKey {
        let id = TopicId::new([number; 16]).unwrap();
        (id, PartitionIndex::new(0).unwrap())
    }

    #[test]
    fn what_was_seen_to_be_later_is_known_and_nothing_else() {
        let times = EarliestTimes::default();
        assert_eq!(times.later_than(log(1), 0), Intervals::none());
        times.note(log(1), &(0..10), 100);
        times.note(log(1), &(10..20), 300);
        times.note(log(1), &(20..30), 301);
        times.note(log(1), &(40..50), 500);
        assert_eq!(times.later_than(log(1), 99).to_string(), "0..=29, 40..=49");
        assert_eq!(
            times.later_than(log(1), 100).to_string(),
            "10..=29, 40..=49"
        );
        assert_eq!(
            times.later_than(log(1), 300).to_string(),
            "20..=29, 40..=49"
        );
        assert_eq!(times.later_than(log(1), 500), Intervals::none());
        assert_eq!(times.later_than(log(2), 0), Intervals::none());
    }

    #[test]
    fn a_stretch_goes_on_as_long_as_batches_follow_each_other_and_were_seen() {
        let mut noted = Vec::new();
        let mut note = |range: &Range<i64>, earliest| noted.push((range.clone(), earliest));
        let mut stretch = Stretch::default();
        stretch.add(0..5, Some(7), &mut note);
        stretch.add(5..6, Some(3), &mut note);
        // A gap, and a batch that was not read.
        stretch.add(8..9, Some(4), &mut note);
        stretch.add(9..12, None, &mut note);
        stretch.add(12..13, Some(1), &mut note);
        stretch.end(&mut note);
        stretch.end(&mut note);
        assert_eq!(noted, [(0..6, 3), (8..9, 4), (12..13, 1)]);
    }

    #[test]
    fn memory_is_bounded() {
        let times = EarliestTimes::default();
        for number in 0..=i64::try_from(STRETCHES_MAX).unwrap() {
            times.note(log(1), &(number..number + 1), number);
        }
        assert_eq!(times.0.lock().count, 1);
        times.note(log(1), &(5..6), 7);
        times.note(log(1), &(5..6), 7);
        assert_eq!(times.0.lock().count, 2);
    }
}
