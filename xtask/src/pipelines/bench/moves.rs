//! What vehicles send: records of 200 bytes of JSON, the pipeline that cleans them, and what has to come of them.

use crate::random::Random;

/// The topic that is read.
pub(super) const TOPIC: &str = "moves";
pub(super) const PARTITIONS: usize = 4;
/// Bytes of a value.
const BYTES: usize = 200;
const DEVICES: u64 = 10_000;
const SEED: u64 = 6;

/// How many come of a number of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) passed: u64,
    pub(super) dead: u64,
}

/// Records, and what has to come of those that were made so far.
#[derive(Debug)]
pub(super) struct Moves {
    random: Random,
    next: u64,
    end: u64,
    pub(super) expected: Expected,
}

impl Moves {
    pub(super) fn new(records: u64) -> Self {
        Self {
            random: Random::new(SEED),
            next: 0,
            end: records,
            expected: Expected::default(),
        }
    }
}

impl Iterator for Moves {
    /// Key, tab, value and the end of the line.
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.next == self.end {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let device = self.random.below(DEVICES);
        let is_parked = self.random.below(5) == 0;
        let battery = match self.random.below(1_000) {
            0 => 101,
            battery => battery % 101,
        };
        match (is_parked, battery) {
            (true, _) => {}
            (false, 101) => self.expected.dead += 1,
            (false, _) => self.expected.passed += 1,
        }
        let status = if is_parked { "parked" } else { "moving" };
        let (lat, lon) = (
            self.random.below(180_000_000),
            self.random.below(360_000_000),
        );
        let speed = self.random.below(10_000);
        let mut value = format!(
            "{{\"id\":{id},\"device\":\"d{device:05}\",\"at\":\"2026-03-{:02}T{:02}:{:02}:{:02}Z\",\"lat\":{}.{:06},\"lon\":{}.{:06},\"speed\":{}.{:02},\"battery\":{battery},\"status\":\"{status}\",\"note\":\"",
            1 + id / 86_400 % 28,
            id / 3_600 % 24,
            id / 60 % 60,
            id % 60,
            lat / 1_000_000,
            lat % 1_000_000,
            lon / 1_000_000,
            lon % 1_000_000,
            speed / 100,
            speed % 100,
        );
        while value.len() < BYTES - 2 {
            value.push('x');
        }
        Some(format!("d{device:05}\t{value}\"}}\n"))
    }
}

/// A pipeline that reads them all: decodes, leaves out those that stand, adds a column, checks, and writes with a key.
pub(super) fn pipeline(name: &str, to: &str) -> (String, String) {
    let text = format!(
        "format: 1
pipeline: {name}
run: continuous
from:
  moves:
    topic: {{ name: {TOPIC} }}
    columns:
      id: bigint not null
      device: text
      at: timestamptz
      lat: double
      lon: double
      speed: double
      battery: int
      status: text
      note: text
sql: |
  SELECT id, device, at, lat, lon, speed * 3.6 AS kmh, battery
  FROM moves WHERE status <> 'parked'
checks:
  - accepted_range: {{ column: battery, min: 0, max: 100 }}
to:
  topic: {{ name: {to}, key: device, partitions: {PARTITIONS} }}
"
    );
    (name.to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_200_bytes_of_json() {
        let mut moves = Moves::new(2_000);
        for line in moves.by_ref() {
            let (key, value) = line.trim_end().split_once('\t').unwrap();
            assert_eq!(value.len(), BYTES);
            let value: serde_json::Value = serde_json::from_str(value).unwrap();
            assert_eq!(value["device"], key);
        }
        let Expected { passed, dead } = moves.expected;
        assert!(
            passed > 1_500 && dead > 0 && passed + dead < 1_700,
            "{passed} {dead}"
        );
    }
}
