//! What a check found, in words.

use std::collections::BTreeMap;
use std::fmt;

use crate::anomaly::{Anomaly, Finding};

/// Examples told of each kind.
const EXAMPLES_MAX: usize = 8;

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    events: usize,
    operations: usize,
    records: usize,
    findings: BTreeMap<Anomaly, Finding>,
}

impl Report {
    pub(crate) fn new(events: usize, operations: usize, records: usize) -> Self {
        Self {
            events,
            operations,
            records,
            findings: BTreeMap::new(),
        }
    }

    pub(crate) fn found(&mut self, anomaly: Anomaly, example: impl FnOnce() -> String) {
        let finding = self.findings.entry(anomaly).or_default();
        finding.count += 1;
        if finding.examples.len() < EXAMPLES_MAX {
            finding.examples.push(example());
        }
    }

    /// Whether no promise was broken.
    pub fn is_clean(&self) -> bool {
        self.findings.keys().all(|anomaly| !anomaly.is_error())
    }

    /// What was found, by kind.
    pub fn findings(&self) -> &BTreeMap<Anomaly, Finding> {
        &self.findings
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events,
            operations,
            records,
            findings,
        } = self;
        writeln!(
            formatter,
            "{events} events, {operations} operations, {records} records seen"
        )?;
        for (anomaly, finding) in findings {
            let note = if anomaly.is_error() { "" } else { " (allowed)" };
            writeln!(formatter, "{anomaly}{note}: {}", finding.count)?;
            for example in &finding.examples {
                writeln!(formatter, "    {example}")?;
            }
        }
        let verdict = if self.is_clean() {
            "clean"
        } else {
            "promises were broken"
        };
        write!(formatter, "{verdict}")
    }
}
