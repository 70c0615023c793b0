//! Which tests there are, read from the table `tests[]` of librdkafka's `test.c`. The runner chooses tests by number, so a
//! job is a number with all its entries of one scenario.

use anyhow::{Context, Result, bail};

/// The scenario of tests that name none.
pub(super) const DEFAULT_SCENARIO: &str = "default";

/// Entries that share number and scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) number: String,
    pub(super) scenario: String,
    pub(super) tests: Vec<String>,
    /// Only this function of the test; the name of its sub-tests begins with it.
    pub(super) part: Option<String>,
}

impl Job {
    /// A name for files.
    pub(super) fn name(&self) -> String {
        let part = self.part.as_deref().map(|part| format!("-{part}"));
        format!(
            "{}-{}{}",
            self.number,
            self.scenario,
            part.unwrap_or_default()
        )
    }
}

/// Tests whose functions run one by one, each a job, and the file they stand in: independent of each other, but the first
/// that fails would hide the rest, and on one node without an authorizer some must fail.
const SPLIT: [(&str, &str); 1] = [("0081", "0081-admin.c")];

/// The functions that only call others.
const CALLERS: [&str; 1] = ["do_test_apis"];

/// Replaces each job of a test that is to be split; `read` gives the text of a source file.
pub(super) fn split(jobs: Vec<Job>, read: impl Fn(&str) -> Result<String>) -> Result<Vec<Job>> {
    let mut all = Vec::new();
    for job in jobs {
        let Some((_, file)) = SPLIT.iter().find(|(number, _)| *number == job.number) else {
            all.push(job);
            continue;
        };
        for function in functions(&read(file)?) {
            all.push(Job {
                part: Some(function),
                ..job.clone()
            });
        }
    }
    Ok(all)
}

/// Names of the functions that hold sub-tests, each once, in order.
fn functions(source: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (start, _) in source.match_indices("do_test_") {
        let rest = &source[start..];
        let end = rest
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let is_known = CALLERS.contains(&name) || found.iter().any(|known| known == name);
        if rest.starts_with('(') && !is_known {
            found.push(name.to_owned());
        }
    }
    found
}

/// Every entry that needs a broker and runs by itself: not local, not manual, not a known issue.
pub(super) fn jobs(source: &str) -> Result<Vec<Job>> {
    let table = source
        .split_once("struct test tests[] = {")
        .and_then(|(_, rest)| rest.split_once("{NULL}};"))
        .context("test.c has no table of tests")?
        .0;
    let mut jobs: Vec<Job> = Vec::new();
    for entry in table.split("_TEST(").skip(1) {
        let name = entry
            .split([',', ')'])
            .next()
            .context("an entry begins with its name")?
            .trim();
        // TEST_F_KNOWN_ISSUE_WIN32 and _OSX are of no concern here.
        let flags: Vec<_> = entry
            .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .filter(|word| word.starts_with("TEST_F_"))
            .collect();
        let left_out = ["TEST_F_LOCAL", "TEST_F_MANUAL", "TEST_F_KNOWN_ISSUE"];
        if flags.iter().any(|flag| left_out.contains(flag)) {
            continue;
        }
        let scenario = entry
            .split_once(".scenario")
            .and_then(|(_, rest)| rest.split('"').nth(1))
            .and_then(|list| list.split(',').next())
            .unwrap_or(DEFAULT_SCENARIO);
        let number = name.split('_').next().unwrap_or(name);
        let known = jobs
            .iter_mut()
            .find(|job| job.number == number && job.scenario == scenario);
        match known {
            Some(job) => job.tests.push(name.to_owned()),
            None => jobs.push(Job {
                number: number.to_owned(),
                scenario: scenario.to_owned(),
                tests: vec![name.to_owned()],
                part: None,
            }),
        }
    }
    if jobs.is_empty() {
        bail!("test.c names no test that needs a broker");
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::{functions, jobs};

    #[test]
    fn functions_are_found_where_they_are_called_or_defined() {
        let source = "static void do_test_A(int a) {} do_test_apis(); rd_do_test_B(); do_test_A(1); do_test_x;";
        assert_eq!(functions(source), ["do_test_A", "do_test_B"]);
    }

    #[test]
    fn entries_of_a_number_and_scenario_are_one_job() {
        let source = r#"
            struct test tests[] = {
                {.name = "<MAIN>", .flags = TEST_F_LOCAL},
                _TEST(0004_conf, TEST_F_LOCAL),
                _TEST(0045_update, 0, TEST_BRKVER(0, 9, 0, 0)),
                _TEST(0045_remove, 0, .scenario = "noautocreate"),
                _TEST(0045_again, TEST_F_KNOWN_ISSUE_WIN32),
                _TEST(0047_partial, TEST_F_KNOWN_ISSUE),
                _TEST(0103_transactions, 0, .scenario = "default,ak23"),
                {NULL}};"#;
        let jobs = jobs(source).unwrap();
        let found: Vec<_> = jobs
            .iter()
            .map(|job| (job.number.as_str(), job.scenario.as_str(), job.tests.len()))
            .collect();
        assert_eq!(
            found,
            [
                ("0045", "default", 2),
                ("0045", "noautocreate", 1),
                ("0103", "default", 1)
            ]
        );
    }
}
