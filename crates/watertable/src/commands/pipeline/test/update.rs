//! The text of a file with what came out of its tests in place of what was expected. The rest of it stays as it is.
//!
//! Invariant: where the text is not of the form that is known here, there is no new text.

use pipeline::fixtures::Tested;
use spec::{File, Fixture, Row};

use crate::commands::pipeline::yaml;

const KEYS: [&str; 2] = ["expect", "expect_dead"];

/// The lines of a part of a test: those with its key and what stands below it.
struct Block {
    first: usize,
    /// Behind the last.
    end: usize,
}

/// The new text, or nothing if a test is not written over lines of its own.
pub(super) fn rewritten(text: &str, file: &File, tested: &[Tested]) -> Option<String> {
    // Each line has what ends it on Windows, if it does.
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    // From the last on, so that the places of those before stay.
    for (number, test) in tested.iter().enumerate().rev() {
        if test.failures.is_empty() {
            continue;
        }
        let fixture = file.pipeline.tests.get(number)?;
        let path = ["tests", &number.to_string()];
        let first = file.place(&path).line.checked_sub(1)?;
        let indent = indent_of_keys(lines.get(first)?)?;
        let end = end_of(&lines, first, indent);
        replace(&mut lines, first, end, indent, fixture, test)?;
    }
    Some(lines.join("\n"))
}

/// How far the keys of a test are from the margin: `  - name: …` has them at 4.
fn indent_of_keys(line: &str) -> Option<usize> {
    let name = line.trim_start().strip_prefix("- ")?.trim_start();
    let is_key = name.starts_with(|character: char| character.is_ascii_lowercase());
    is_key.then(|| line.len() - name.len())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Behind the last line that stands at least so far from the margin, without empty lines and comments at the end.
fn end_of(lines: &[String], first: usize, least: usize) -> usize {
    let mut end = first + 1;
    for (number, line) in lines.iter().enumerate().skip(first + 1) {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if indent(line) < least {
            break;
        }
        end = number + 1;
    }
    end
}

fn block(lines: &[String], first: usize, end: usize, at: usize, key: &str) -> Option<Block> {
    let found = (first..end).find(|number| {
        let content = lines[*number].get(at..).unwrap_or_default();
        let is_there = indent(&lines[*number]) == at || *number == first;
        is_there
            && content
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with(':'))
    })?;
    // A list may stand as far from the margin as its key.
    let mut end_of_block = end_of(&lines[..end], found, at + 1);
    while end_of_block < end
        && lines[end_of_block]
            .get(at..)
            .is_some_and(|line| line.starts_with("- "))
    {
        end_of_block = end_of(&lines[..end], end_of_block, at + 1);
    }
    Some(Block {
        first: found,
        end: end_of_block,
    })
}

fn replace(
    lines: &mut Vec<String>,
    first: usize,
    end: usize,
    at: usize,
    fixture: &Fixture,
    test: &Tested,
) -> Option<()> {
    let written = [
        (KEYS[0], named(&test.actual.rows, &fixture.expect, &[])),
        (
            KEYS[1],
            named(&test.actual.dead, &fixture.expect_dead, &["reason"]),
        ),
    ];
    let is_nothing = written.iter().all(|(_, rows)| rows.is_empty());
    let margin = " ".repeat(at);
    let end_of_line = if lines.get(first)?.ends_with('\r') {
        "\r"
    } else {
        ""
    };
    let mut new = Vec::new();
    for (key, rows) in &written {
        if rows.is_empty() {
            // A test expects something, if only that nothing comes out.
            if is_nothing && *key == KEYS[0] {
                new.push(format!("{margin}{key}: []{end_of_line}"));
            }
            continue;
        }
        new.push(format!("{margin}{key}:{end_of_line}"));
        new.extend(
            rows.iter()
                .map(|row| format!("{margin}  - {}{end_of_line}", yaml::row(row))),
        );
    }
    let mut end = end;
    // What is expected now stands where the last of the two stood.
    for key in [KEYS[1], KEYS[0]] {
        if let Some(block) = block(lines, first, end, at, key) {
            if block.first == first {
                return None;
            }
            end -= block.end - block.first;
            lines.drain(block.first..block.end);
        }
    }
    lines.splice(end..end, new);
    Some(())
}

/// Rows with the columns that were expected before, and these; all columns if none of those are there: a row without columns would be
/// like any other.
fn named(rows: &[Row], before: &[Row], always: &[&str]) -> Vec<Row> {
    let was_named = |name: &str| before.iter().flatten().any(|(known, _)| known == name);
    let is_any_named = rows.iter().flatten().any(|(name, _)| was_named(name));
    let is_named = |name: &str| !is_any_named || always.contains(&name) || was_named(name);
    let of = |row: &Row| {
        row.iter()
            .filter(|(name, _)| is_named(name))
            .cloned()
            .collect()
    };
    rows.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use pipeline::fixtures::{Actual, Failure};
    use spec::{Surroundings, Value};

    use super::*;

    const HEAD: &str = "format: 1\npipeline: a\nrun: once\nfrom: { t: { topic: { name: t } } }\nsql: SELECT 1 AS n\nto: { topic: { name: b } }\n";

    fn row(members: &[(&str, Value)]) -> Row {
        let owned = members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        owned.collect()
    }

    fn updated(tests: &str, actual: Actual) -> Option<String> {
        let text = format!("{HEAD}{tests}");
        let file = File::read("a.yaml", text.as_bytes(), &Surroundings::NONE).unwrap();
        let failed = Tested {
            name: "x".to_owned(),
            actual,
            failures: vec![Failure::Run("it differs".to_owned())],
        };
        let passed = Tested {
            failures: Vec::new(),
            ..failed.clone()
        };
        let count = file.pipeline.tests.len();
        let mut tested = vec![passed; count];
        tested[0] = failed;
        let text = rewritten(&text, &file, &tested)?;
        Some(text.strip_prefix(HEAD).unwrap().to_owned())
    }

    fn actual() -> Actual {
        Actual {
            rows: vec![row(&[("n", Value::Integer(1)), ("m", Value::Null)])],
            dead: vec![row(&[
                ("k", Value::Integer(2)),
                ("z", Value::Null),
                ("reason", Value::Text("not_null(n)".to_owned())),
            ])],
        }
    }

    #[test]
    fn what_came_out_takes_the_place_of_what_was_expected_and_the_rest_stays() {
        let tests = "\
# of tests
tests:
  - name: x   # first
    given:
      t: [{ n: 1 }]
    # what comes out
    expect:
      - { n: 5 }
      # a second
      - { n: 6 }

  # the second one
  - name: y
    given: { t: [] }
    expect: []
# the end
";
        let expected = "\
# of tests
tests:
  - name: x   # first
    given:
      t: [{ n: 1 }]
    # what comes out
    expect:
      - { n: 1 }
    expect_dead:
      - { k: 2, z: null, reason: \"not_null(n)\" }

  # the second one
  - name: y
    given: { t: [] }
    expect: []
# the end
";
        assert_eq!(updated(tests, actual()).as_deref(), Some(expected));
    }

    #[test]
    fn lists_at_the_margin_of_their_key_and_keys_in_another_order_are_found() {
        let tests = "tests:\n- name: x\n  expect_dead:\n  - { k: 1 }\n  expect:\n  - { m: 5 }\n  given: { t: [] }\n- { name: y, given: { t: [] }, expect: [] }\n";
        let expected = "tests:\n- name: x\n  given: { t: [] }\n  expect:\n    - { m: null }\n  expect_dead:\n    - { k: 2, reason: \"not_null(n)\" }\n- { name: y, given: { t: [] }, expect: [] }\n";
        assert_eq!(updated(tests, actual()).as_deref(), Some(expected));
    }

    #[test]
    fn rows_have_all_columns_where_none_of_those_expected_are_there() {
        let tests = "tests:\n  - name: x\n    given: { t: [] }\n    expect: [ { q: 1 } ]\n";
        let expected =
            "tests:\n  - name: x\n    given: { t: [] }\n    expect:\n      - { n: 1, m: null }\n";
        let rows = Actual {
            dead: Vec::new(),
            ..actual()
        };
        assert_eq!(updated(tests, rows).as_deref(), Some(expected));
    }

    #[test]
    fn lines_end_as_they_did() {
        let tests = "tests:\r\n  - name: x\r\n    given: { t: [] }\r\n    expect: [{ n: 5 }]\r\n\r\n# end\r\n";
        let expected = "tests:\r\n  - name: x\r\n    given: { t: [] }\r\n    expect:\r\n      - { n: 1 }\r\n    expect_dead:\r\n      - { k: 2, z: null, reason: \"not_null(n)\" }\r\n\r\n# end\r\n";
        assert_eq!(updated(tests, actual()).as_deref(), Some(expected));
        let without = "tests:\n  - name: x\n    given: { t: [] }\n    expect: []";
        let updated = updated(without, Actual::default());
        assert_eq!(updated.as_deref(), Some(without));
    }

    #[test]
    fn a_test_on_one_line_is_not_written() {
        let tests = "tests:\n  - { name: x, given: { t: [] }, expect: [] }\n";
        assert_eq!(updated(tests, actual()), None);
        let tests = "tests: [{ name: x, given: { t: [] }, expect: [] }]\n";
        assert_eq!(updated(tests, actual()), None);
    }

    #[test]
    fn nothing_that_comes_out_is_expected_as_nothing() {
        let tests = "tests:\n  - name: x\n    given: { t: [] }\n    expect: [{ n: 1 }]\n    expect_dead: [{ n: 1 }]\n";
        let expected = "tests:\n  - name: x\n    given: { t: [] }\n    expect: []\n";
        assert_eq!(updated(tests, Actual::default()).as_deref(), Some(expected));
    }
}
