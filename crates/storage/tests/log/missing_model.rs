//! Segments whose files go between lives of a process, whatever else happens to the log: what is left is read, what is gone
//! is told, and no offset is given out again.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;

use storage::{Isolation, LocalLog, LogDirectory, LogSettings, PartitionLog, ReadError};
use types::Timestamp;

use crate::compaction::logs_of;
use crate::support::*;

const SEEDS: u64 = 30;
const STEPS: u64 = 40;

/// A sequence that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

struct Model {
    world: World,
    open: Option<(LogDirectory, Arc<LocalLog>)>,
    records: BTreeMap<i64, String>,
    lost: Vec<Range<i64>>,
    start: i64,
    end: i64,
}

fn settings() -> LogSettings {
    LogSettings {
        file_delete_delay_ms: 0,
        ..small_segments(300)
    }
}

impl Model {
    fn log(&self) -> &LocalLog {
        &self.open.as_ref().unwrap().1
    }

    fn directory(&self) -> &LogDirectory {
        &self.open.as_ref().unwrap().0
    }

    fn reopen(&mut self) {
        let directory = self.world.open();
        let log = log(&directory, settings());
        // Where the oldest are gone the log begins behind them.
        let now = log.offsets().log_start.value();
        let first = self
            .records
            .range(self.start..)
            .next()
            .map_or(self.end, |(first, _)| *first);
        assert!(
            (self.start..=first).contains(&now),
            "{} {now} {first}",
            self.start
        );
        self.start = now;
        self.open = Some((directory, log));
    }

    fn stop(&mut self, is_closed: bool) {
        let (directory, log) = self.open.take().unwrap();
        if is_closed {
            directory.close().unwrap();
        }
        drop((log, directory));
    }

    /// All that the log has is in the last checkpoint, and a segment's file goes.
    fn lose(&mut self, is_closed: bool, dice: &mut Dice) {
        self.directory().checkpoint().unwrap();
        let start = self.log().offsets().log_start.value();
        self.stop(is_closed);
        let bases = logs_of(&self.world);
        // After a crash a last segment that is gone ends the log before it.
        let count = match is_closed {
            true => bases.len(),
            false => bases.len().saturating_sub(1),
        };
        if count > 0 {
            let number = dice.below(count as u64) as usize;
            let base = bases[number];
            fs::remove_file(self.world.segment(base)).unwrap();
            let end = bases.get(number + 1).copied().unwrap_or(self.end);
            // A file may be gone between these two already.
            let next_lost = self
                .lost
                .iter()
                .map(|lost| lost.start)
                .filter(|lost| *lost > base)
                .min();
            let end = next_lost.map_or(end, |next| next.min(end));
            if end > start {
                self.lost.push(base..end);
            }
            self.records
                .retain(|offset, _| !(base..end).contains(offset));
        }
        self.reopen();
        // What is gone is written down soon.
        self.directory().checkpoint().unwrap();
    }

    fn check(&self) {
        let offsets = self.log().offsets();
        assert_eq!(offsets.log_end, at(self.end));
        assert_eq!(offsets.log_start, at(self.start));
        for from in self.start..self.end {
            let plan = self
                .log()
                .read(at(from), 1, Isolation::ReadUncommitted, true);
            match self.records.get(&from) {
                Some(value) => {
                    let read = read(self.log(), from, 1).unwrap();
                    assert_eq!((read[0].offset, &read[0].value), (from, value));
                }
                None => {
                    assert!(self.lost.iter().any(|lost| lost.contains(&from)));
                    assert!(
                        matches!(plan, Err(ReadError::Lost { .. })),
                        "{from}: {plan:?}"
                    );
                }
            }
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        // Nothing is on disk before.
        let what = if self.end == 0 { 0 } else { dice.below(12) };
        match what {
            0..=4 => {
                for _ in 0..=dice.below(4) {
                    let value = format!("value-{}", self.end);
                    assert_eq!(write(self.log(), batch(&[&value])), self.end);
                    self.records.insert(self.end, value);
                    self.end += 1;
                }
            }
            5 => self.directory().checkpoint().unwrap(),
            6 | 7 => {
                self.stop(dice.below(2) == 0);
                self.reopen();
            }
            8 | 9 => {
                let is_closed = dice.below(2) == 0;
                self.lose(is_closed, dice);
            }
            10 => {
                let to = self.start + dice.below((self.end - self.start + 1) as u64) as i64;
                self.log().delete_records(Some(at(to))).unwrap();
                self.start = self.start.max(to);
            }
            _ => {
                let limit = 300 + dice.below(1500);
                let bounded = LogSettings {
                    retention_bytes: Some(limit),
                    ..settings()
                };
                self.log().configure(bounded);
                self.directory().run_retention(Timestamp::from_ms(NOW_MS));
                self.log().configure(settings());
                let start = self.log().offsets().log_start.value();
                assert!(start >= self.start);
                self.start = start;
            }
        }
    }
}

#[test]
fn whatever_segment_goes_the_rest_is_read_and_no_offset_is_used_again() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let mut model = Model {
            world: World::new(),
            open: None,
            records: BTreeMap::new(),
            lost: Vec::new(),
            start: 0,
            end: 0,
        };
        model.reopen();
        for step in 0..STEPS {
            let _told = Told(seed, step);
            model.step(&mut dice);
            model.check();
        }
    }
}

/// Says where a run failed.
struct Told(u64, u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} step {}", self.0, self.1);
        }
    }
}
