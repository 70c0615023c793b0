//! Reads what test-runner prints: the summary's line of each test, and before it the lines of sub-tests. A process that
//! was killed or aborted has no summary; its tests are then known by the line of the first failure or the closing line.

use crate::suites::results::{Outcome, Verdict};
use crate::suites::without_colours;
use std::collections::BTreeMap;

/// Outcomes by name of the test.
pub(super) fn outcomes(text: &str) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut parts: BTreeMap<String, Parts> = BTreeMap::new();
    let mut lines = text.lines().map(without_colours).peekable();
    while let Some(line) = lines.next() {
        if let Some((test, part)) = part_line(&line) {
            parts.entry(test).or_default().add(part);
        } else if let Some((test, outcome)) = summary_line(&line) {
            outcomes.insert(test, outcome);
        } else if let Some((test, place)) = failure_line(&line) {
            let message = lines.peek().map_or("", String::as_str);
            // The first failure is the cause of those that follow.
            outcomes
                .entry(test)
                .or_insert_with(|| Outcome::of(Verdict::Failed, &format!("{place}: {message}")));
        } else if let Some((test, verdict)) = closing_line(&line) {
            outcomes
                .entry(test)
                .or_insert_with(|| Outcome::of(verdict, ""));
        }
    }
    for (test, parts) in parts {
        if let Some(outcome) = outcomes.get_mut(&test) {
            parts.into_outcome(outcome);
        }
    }
    outcomes
}

/// What sub-tests of one test did.
#[derive(Default)]
struct Parts {
    passed: u32,
    skipped: Vec<String>,
}

impl Parts {
    fn add(&mut self, part: Part) {
        match part {
            Part::Passed => self.passed += 1,
            Part::Skipped(reason) => self.skipped.push(reason),
        }
    }

    fn into_outcome(self, outcome: &mut Outcome) {
        outcome.parts_passed = self.passed;
        outcome.parts_skipped = u32::try_from(self.skipped.len()).unwrap_or(u32::MAX);
        if outcome.note.is_empty() {
            let mut reasons = self.skipped;
            reasons.sort();
            reasons.dedup();
            outcome.note = reasons.join("; ");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Passed,
    Skipped(String),
}

/// `[0081_admin                  / 12.345s] [ do_test_x:12: text: PASS (0.10s) ]`
fn part_line(line: &str) -> Option<(String, Part)> {
    let (head, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let test = head.split(['/', ' ']).next()?.to_owned();
    let body = rest.trim().strip_prefix("[ ")?.strip_suffix(" ]")?;
    if let Some((_, reason)) = body.split_once(": SKIP: ") {
        return Some((test, Part::Skipped(reason.trim().to_owned())));
    }
    body.contains(": PASS (").then_some((test, Part::Passed))
}

/// `| 0001_multiobj             |     PASSED |   1.234s | reason`
fn summary_line(line: &str) -> Option<(String, Outcome)> {
    let mut columns = line.strip_prefix('|')?.splitn(4, '|').map(str::trim);
    let test = columns.next()?;
    let verdict = match columns.next()? {
        "PASSED" => Verdict::Passed,
        "FAILED" | "RUNNING" => Verdict::Failed,
        "SKIPPED" => Verdict::Skipped,
        _ => return None,
    };
    columns.next()?;
    if !test.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let note = columns.next().unwrap_or_default();
    Some((test.to_owned(), Outcome::of(verdict, note)))
}

/// `### Test "0081_admin (do_test:12)" failed at 0081-admin.c:1622:do_test() at Sun ...: ###`
fn failure_line(line: &str) -> Option<(String, String)> {
    let (name, rest) = line
        .strip_prefix("### Test \"")?
        .split_once("\" failed at ")?;
    let test = name.split(' ').next()?.to_owned();
    let (place, _) = rest.split_once(" at ")?;
    Some((test, place.to_owned()))
}

/// `[...] ================= Test 0001_multiobj PASSED =================`
fn closing_line(line: &str) -> Option<(String, Verdict)> {
    let (_, rest) = line.split_once("================= Test ")?;
    let (test, rest) = rest.split_once(' ')?;
    let verdict = match rest.split(' ').next()? {
        "PASSED" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        "SKIPPED" => Verdict::Skipped,
        _ => return None,
    };
    Some((test.to_owned(), verdict))
}

#[cfg(test)]
mod tests {
    use super::outcomes;
    use crate::suites::results::Verdict;

    #[test]
    fn tests_and_their_parts_are_read() {
        let text = "\
[0081_admin                  /  1.234s] \u{1b}[35m[ do_test:10: a topic ]\n\
[0081_admin                  /  2.234s] \u{1b}[32m[ do_test:10: a topic: PASS (0.10s) ]\n\
[0081_admin                  /  3.234s] \u{1b}[33m[ do_other:20: SKIP: no such broker ]\n\
|\u{1b}[32m 0081_admin                               |     PASSED |   3.500s \u{1b}[0m|\n\
|\u{1b}[31m 0001_multiobj                            |     FAILED |   3.500s \u{1b}[0m|\u{1b}[31m it broke\u{1b}[0m\n\
|\u{1b}[31m <MAIN>                                   |     PASSED |   3.500s \u{1b}[0m|\n";
        let found = outcomes(text);
        assert_eq!(found.len(), 2);
        let admin = &found["0081_admin"];
        assert_eq!(
            (admin.verdict, admin.parts_passed, admin.parts_skipped),
            (Verdict::Passed, 1, 1)
        );
        assert_eq!(admin.note, "no such broker");
        assert_eq!(found["0001_multiobj"].note, "it broke");
    }

    #[test]
    fn without_a_summary_the_first_failure_counts() {
        let text = "\
[0001_multiobj              /  1.234s] ================= Test 0001_multiobj PASSED =================\n\
\u{1b}[31m### Test \"0081_admin (do_test:10)\" failed at a.c:12:do_test() at Sun Nov 22: ###\n\
expected this\n\
### Test \"0081_admin\" failed at test.c:1:wait() at Sun Nov 22: ###\n\
threads\n";
        let found = outcomes(text);
        assert_eq!(found["0001_multiobj"].verdict, Verdict::Passed);
        assert_eq!(found["0081_admin"].verdict, Verdict::Failed);
        assert_eq!(found["0081_admin"].note, "a.c:12:do_test(): expected this");
    }
}
