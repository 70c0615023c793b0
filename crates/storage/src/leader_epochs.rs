//! Which leader epoch each offset was appended in, and where each ends.
//!
//! Stored in the checkpoint, and in each batch: the history can be read from the log again. Invariant: epochs and start
//! offsets rise, both strictly. Source: Kafka's `LeaderEpochFileCache`.

use types::{LeaderEpoch, Offset};

use crate::EpochEnd;

/// The epochs of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl LeaderEpochs {
    /// Notes that `epoch` begins at `start`, if it is news. Returns whether it is.
    pub(crate) fn begin(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        match self.starts.last() {
            Some((latest, _)) if *latest >= epoch => false,
            Some((_, latest_start)) if *latest_start >= start => {
                // The latest epoch wrote nothing: its place belongs to the new one.
                self.starts.pop();
                self.begin(epoch, start);
                true
            }
            _ => {
                self.starts.push((epoch, start));
                true
            }
        }
    }

    /// See [`crate::PartitionLog::end_offset_for_epoch`]. `current` is the epoch of the leader, which may not have
    /// written anything yet.
    pub(crate) fn end_of(
        &self,
        epoch: LeaderEpoch,
        current: LeaderEpoch,
        log_end: Offset,
    ) -> Option<EpochEnd> {
        if epoch > current {
            return None;
        }
        if epoch == current {
            return Some(EpochEnd {
                epoch,
                end: log_end,
            });
        }
        let above = self.starts.partition_point(|(known, _)| *known <= epoch);
        let end = self.starts.get(above).map_or(log_end, |(_, start)| *start);
        let found = above
            .checked_sub(1)
            .and_then(|index| self.starts.get(index))
            .map_or(epoch, |(known, _)| *known);
        Some(EpochEnd { epoch: found, end })
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.starts.partition_point(|(_, start)| *start <= offset);
        let (epoch, _) = self.starts.get(above.checked_sub(1)?)?;
        Some(*epoch)
    }

    /// Forgets epochs that ended at or before `log_start`; the one that holds it begins there now.
    pub(crate) fn truncate_start(&mut self, log_start: Offset) {
        let above = self
            .starts
            .partition_point(|(_, start)| *start <= log_start);
        let Some(keep) = above.checked_sub(1) else {
            return;
        };
        self.starts.drain(..keep);
        if let Some((_, start)) = self.starts.first_mut() {
            *start = log_start.max(*start);
        }
    }

    /// Forgets epochs that begin at or behind `log_end`.
    pub(crate) fn truncate_end(&mut self, log_end: Offset) {
        self.starts.retain(|(_, start)| *start < log_end);
    }

    /// The epochs and where each begins.
    pub(crate) fn starts(&self) -> &[(LeaderEpoch, Offset)] {
        &self.starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(value: i32) -> LeaderEpoch {
        LeaderEpoch::new(value).unwrap()
    }

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn epochs() -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (number, start) in [(2, 10), (4, 20), (5, 35)] {
            assert!(epochs.begin(epoch(number), at(start)));
        }
        epochs
    }

    #[test]
    fn ends_are_those_of_kafka() {
        let cases = [
            (1, Some((1, 10))),
            (2, Some((2, 20))),
            (3, Some((2, 20))),
            (4, Some((4, 35))),
            (5, Some((5, 50))),
            (6, Some((5, 50))),
            (7, Some((7, 50))),
            (8, None),
        ];
        for (asked, expected) in cases {
            let end = epochs().end_of(epoch(asked), epoch(7), at(50));
            let end = end.map(|end| (end.epoch.value(), end.end.value()));
            assert_eq!(end, expected, "epoch {asked}");
        }
    }

    #[test]
    fn an_epoch_that_wrote_nothing_leaves_no_trace() {
        let mut epochs = epochs();
        assert!(epochs.begin(epoch(8), at(35)));
        assert_eq!(epochs.at(at(36)), Some(epoch(8)));
        assert!(!epochs.begin(epoch(8), at(40)));
        assert!(!epochs.begin(epoch(7), at(41)));
    }

    #[test]
    fn truncation_moves_the_first_start_and_drops_late_ones() {
        let mut epochs = epochs();
        epochs.truncate_start(at(25));
        assert_eq!(epochs.at(at(24)), None);
        assert_eq!(epochs.at(at(25)), Some(epoch(4)));
        epochs.truncate_end(at(35));
        assert_eq!(epochs.at(at(99)), Some(epoch(4)));
    }
}
