//! Results of a suite, one file per suite and mode in `clients/suites`: for every test what Kafka's run gave and what ours
//! gave. A run replaces only the tests it ran, on its own side.

use crate::clients::Counts;
use crate::server::Against;
use crate::{kafka, workspace};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Longer notes are cut.
const NOTE_LENGTH: usize = 300;

/// How a test of a suite ended.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// The test skipped itself.
    Skipped,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "**failed**",
            Self::Skipped => "skipped",
        }
    }
}

/// One test against one broker.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Parts of the test that passed; 0 if it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) parts_passed: u32,
    /// Parts that skipped themselves.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) parts_skipped: u32,
    /// Why it did not pass, or which parts were skipped; one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
}

impl Outcome {
    /// Of a test without parts; the note becomes one line of bearable length.
    pub(crate) fn of(verdict: Verdict, note: &str) -> Self {
        Self {
            verdict,
            parts_passed: 0,
            parts_skipped: 0,
            note: shortened(note),
        }
    }
}

/// One line, not too long: a test may have failed with a whole log.
pub(crate) fn shortened(note: &str) -> String {
    let line = note.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(NOTE_LENGTH).collect()
}

/// A difference to Kafka with a reason (`clients/suites/explained.toml`).
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explained {
    pub(crate) suite: String,
    pub(crate) test: String,
    pub(crate) reason: String,
    /// Of a tool's output: texts of which each differing line contains one.
    #[serde(default)]
    pub(crate) lines: Vec<String>,
}

#[derive(Deserialize, Debug)]
struct ExplainedFile {
    #[serde(default)]
    difference: Vec<Explained>,
}

/// The explanations of a suite.
pub(crate) fn explained(suite: &str) -> Result<Vec<Explained>> {
    let path = workspace::root().join("clients/suites/explained.toml");
    let file: ExplainedFile =
        toml::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
    let mut all = file.difference;
    all.retain(|entry| entry.suite == suite);
    Ok(all)
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A test on both sides.
#[derive(Serialize, Deserialize, Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) kafka: Option<Outcome>,
    pub(crate) watertable: Option<Outcome>,
    /// Why a difference to Kafka is not a failure, from `explained.toml`.
    #[serde(skip)]
    pub(crate) explained: Option<String>,
}

/// The file of a suite.
#[derive(Serialize, Deserialize, Debug, Clone, Default)]
pub(crate) struct Results {
    #[serde(skip)]
    name: String,
    rows: BTreeMap<String, Row>,
}

impl Results {
    /// Reads `clients/suites/NAME.json`; a suite that never ran has no results.
    pub(crate) fn read(name: &str) -> Result<Self> {
        let path = file(name);
        let mut results: Self = if path.exists() {
            serde_json::from_str(&fs::read_to_string(&path)?)
                .with_context(|| path.display().to_string())?
        } else {
            Self::default()
        };
        name.clone_into(&mut results.name);
        for entry in explained(name)? {
            results.rows.entry(entry.test).or_default().explained = Some(entry.reason);
        }
        Ok(results)
    }

    pub(crate) fn record(&mut self, against: Against, test: &str, outcome: Outcome) {
        let row = self.rows.entry(test.to_owned()).or_default();
        match against {
            Against::Kafka => row.kafka = Some(outcome),
            Against::Watertable => row.watertable = Some(outcome),
        }
    }

    pub(crate) fn write(&self) -> Result<()> {
        let path = file(&self.name);
        fs::create_dir_all(path.parent().context("results lie in a folder")?)?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(&path, text)?;
        Ok(())
    }

    /// Writes the table of this suite into `docs/compatibility.md`, between the markers of its name.
    pub(crate) fn write_page(&self) -> Result<()> {
        let path = workspace::root().join("docs/compatibility.md");
        let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let page = crate::clients::replace_section(&page, &self.name, &self.section()?)?;
        fs::write(&path, page)?;
        Ok(())
    }

    /// Counts what was run now: a test that passes against Kafka, with as many parts, must pass against us, unless the
    /// difference is explained; an explanation without a difference is a failure too. Against Kafka, what passes counts.
    pub(crate) fn judge(&self, against: Against, ran: &[String]) -> Counts {
        let mut counts = Counts::default();
        for test in ran {
            let Some(row) = self.rows.get(test) else {
                continue;
            };
            match judge_row(against, row) {
                Judgement::Passed => counts.passed += 1,
                Judgement::NotApplicable => {}
                Judgement::Failed(reason) => {
                    println!("FAILED {test}: {reason}");
                    counts.failed += 1;
                }
            }
        }
        counts
    }

    /// The counts and the table of everything that did not simply pass on both sides.
    fn section(&self) -> Result<String> {
        let mut text = String::new();
        let count = |side: fn(&Row) -> Option<&Outcome>, verdict| {
            self.rows
                .values()
                .filter_map(side)
                .filter(|outcome| outcome.verdict == verdict)
                .count()
        };
        writeln!(text, "| | passed | failed | skipped |\n|---|--:|--:|--:|")?;
        type Side = fn(&Row) -> Option<&Outcome>;
        let sides: [(String, Side); 2] = [
            (format!("Apache Kafka {}", kafka::version()?), |row| {
                row.kafka.as_ref()
            }),
            (format!("Watertable {}", env!("CARGO_PKG_VERSION")), |row| {
                row.watertable.as_ref()
            }),
        ];
        for (name, side) in sides {
            writeln!(
                text,
                "| {name} | {} | {} | {} |",
                count(side, Verdict::Passed),
                count(side, Verdict::Failed),
                count(side, Verdict::Skipped)
            )?;
        }
        let rest: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, row)| !passed_everywhere(row))
            .collect();
        if rest.is_empty() {
            return Ok(text);
        }
        writeln!(
            text,
            "\nNot passed, or with skipped parts:\n\n| Test | Kafka | Watertable | Reason |\n|---|---|---|---|"
        )?;
        for (test, row) in rest {
            let (kafka, ours) = (word(row.kafka.as_ref()), word(row.watertable.as_ref()));
            writeln!(text, "| {test} | {kafka} | {ours} | {} |", reason(row))?;
        }
        Ok(text)
    }
}

enum Judgement {
    Passed,
    Failed(String),
    /// Kafka does not pass it either.
    NotApplicable,
}

fn judge_row(against: Against, row: &Row) -> Judgement {
    let (ours, reference) = match against {
        Against::Kafka => (row.kafka.as_ref(), None),
        Against::Watertable => (row.watertable.as_ref(), row.kafka.as_ref()),
    };
    let Some(ours) = ours else {
        return Judgement::Failed("was not run".to_owned());
    };
    if against == Against::Kafka {
        return match ours.verdict {
            Verdict::Passed => Judgement::Passed,
            // The reference decides what is applicable.
            Verdict::Failed | Verdict::Skipped => Judgement::NotApplicable,
        };
    }
    let difference = match reference {
        None => Some("Kafka's result is not known".to_owned()),
        Some(reference) => difference(reference, ours),
    };
    match (difference, &row.explained) {
        (None, None) if ours.verdict == Verdict::Passed => Judgement::Passed,
        (None, None) | (Some(_), Some(_)) => Judgement::NotApplicable,
        (Some(difference), None) => Judgement::Failed(difference),
        (None, Some(_)) => {
            Judgement::Failed("is explained, but there is nothing to explain".to_owned())
        }
    }
}

/// What Kafka passes and we do not.
fn difference(reference: &Outcome, ours: &Outcome) -> Option<String> {
    if reference.verdict != Verdict::Passed {
        return None;
    }
    if ours.verdict != Verdict::Passed {
        return Some(format!("{}: {}", ours.verdict.word(), ours.note));
    }
    (ours.parts_passed < reference.parts_passed).then(|| {
        format!(
            "{} parts passed, {} against Kafka: {}",
            ours.parts_passed, reference.parts_passed, ours.note
        )
    })
}

fn passed_everywhere(row: &Row) -> bool {
    let passed = |outcome: &Option<Outcome>| {
        outcome
            .as_ref()
            .is_some_and(|known| known.verdict == Verdict::Passed && known.parts_skipped == 0)
    };
    passed(&row.kafka) && passed(&row.watertable)
}

fn word(outcome: Option<&Outcome>) -> String {
    let Some(outcome) = outcome else {
        return "not run".to_owned();
    };
    let mut text = outcome.verdict.word().to_owned();
    if outcome.parts_skipped > 0 {
        text.push_str(&format!(
            " ({} parts, {} skipped)",
            outcome.parts_passed, outcome.parts_skipped
        ));
    }
    text
}

/// Why it did not pass: the explanation if there is one, else what the test said, ours first.
fn reason(row: &Row) -> String {
    let note = |outcome: &Option<Outcome>| {
        outcome
            .as_ref()
            .map(|known| known.note.clone())
            .filter(|note| !note.is_empty())
    };
    row.explained
        .clone()
        .or_else(|| note(&row.watertable))
        .or_else(|| note(&row.kafka))
        .unwrap_or_default()
        .replace('|', "/")
}

fn file(name: &str) -> PathBuf {
    workspace::root().join(format!("clients/suites/{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::{Judgement, Outcome, Row, Verdict, judge_row};
    use crate::server::Against;

    fn outcome(verdict: Verdict, parts_passed: u32) -> Option<Outcome> {
        Some(Outcome {
            verdict,
            parts_passed,
            parts_skipped: 0,
            note: String::new(),
        })
    }

    #[test]
    fn what_kafka_passes_must_pass_with_as_many_parts() {
        let (passed, failed, skipped) = (Verdict::Passed, Verdict::Failed, Verdict::Skipped);
        let cases = [
            (outcome(passed, 3), outcome(passed, 3), None, Some(true)),
            (outcome(passed, 3), outcome(passed, 2), None, Some(false)),
            (outcome(passed, 0), outcome(failed, 0), None, Some(false)),
            (outcome(passed, 0), outcome(skipped, 0), None, Some(false)),
            (outcome(passed, 0), outcome(failed, 0), Some("why"), None),
            (
                outcome(passed, 0),
                outcome(passed, 0),
                Some("why"),
                Some(false),
            ),
            (outcome(skipped, 0), outcome(skipped, 0), None, None),
            (outcome(failed, 0), outcome(passed, 0), None, Some(true)),
            (outcome(passed, 0), None, None, Some(false)),
            (None, outcome(passed, 0), None, Some(false)),
        ];
        for (number, (kafka, watertable, explained, expected)) in cases.into_iter().enumerate() {
            let row = Row {
                kafka,
                watertable,
                explained: explained.map(str::to_owned),
            };
            let counted = match judge_row(Against::Watertable, &row) {
                Judgement::Passed => Some(true),
                Judgement::Failed(_) => Some(false),
                Judgement::NotApplicable => None,
            };
            assert_eq!(counted, expected, "case {number}");
        }
    }
}
