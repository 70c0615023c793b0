//! Which leader epoch each offset was appended in, and where each ends; stored in Kafka's `leader-epoch-checkpoint`.
//!
//! Invariant: epochs and start offsets rise, starts strictly. Source: Kafka's `LeaderEpochFileCache`.

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

    /// The latest epoch that wrote something.
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|(epoch, _)| *epoch)
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
    pub(crate) fn truncate_start(&mut self, log_start: Offset) -> bool {
        let above = self
            .starts
            .partition_point(|(_, start)| *start <= log_start);
        let Some(keep) = above.checked_sub(1) else {
            return false;
        };
        self.starts.drain(..keep);
        match self.starts.first_mut() {
            Some((_, start)) if *start < log_start => {
                *start = log_start;
                true
            }
            _ => keep > 0,
        }
    }

    /// Forgets epochs that begin at or behind `log_end`.
    pub(crate) fn truncate_end(&mut self, log_end: Offset) {
        self.starts.retain(|(_, start)| *start < log_end);
    }

    /// The file's text: version 0, the number of entries, then epoch and start offset a line.
    pub(crate) fn encode(&self) -> String {
        use std::fmt::Write;
        let mut text = format!("0\n{}\n", self.starts.len());
        for (epoch, start) in &self.starts {
            // Writing to a String cannot fail.
            writeln!(text, "{epoch} {start}").ok();
        }
        text
    }

    /// Reads the file's text; `None` if it is not what [`LeaderEpochs::encode`] writes.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()?.trim() != "0" {
            return None;
        }
        let count: usize = lines.next()?.trim().parse().ok()?;
        let mut epochs = Self::default();
        for line in lines {
            let (epoch, start) = line.split_once(' ')?;
            let epoch = LeaderEpoch::new(epoch.parse().ok()?)?;
            let start = Offset::new(start.trim().parse().ok()?)?;
            let rises = epochs
                .starts
                .last()
                .is_none_or(|(latest, latest_start)| *latest < epoch && *latest_start < start);
            if !rises {
                return None;
            }
            epochs.starts.push((epoch, start));
        }
        (epochs.starts.len() == count).then_some(epochs)
    }

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
        assert!(epochs.truncate_start(at(25)));
        assert_eq!(epochs.at(at(24)), None);
        assert_eq!(epochs.at(at(25)), Some(epoch(4)));
        assert!(!epochs.truncate_start(at(25)));
        epochs.truncate_end(at(35));
        assert_eq!(epochs.latest(), Some(epoch(4)));
    }

    #[test]
    fn the_file_is_kafkas_text() {
        assert_eq!(epochs().encode(), "0\n3\n2 10\n4 20\n5 35\n");
        assert_eq!(LeaderEpochs::decode(&epochs().encode()), Some(epochs()));
        for bad in [
            "",
            "1\n0\n",
            "0\n2\n1 1\n",
            "0\n2\n2 1\n1 5\n",
            "0\n1\nx 1\n",
        ] {
            assert_eq!(LeaderEpochs::decode(bad), None, "{bad:?}");
        }
    }
}
