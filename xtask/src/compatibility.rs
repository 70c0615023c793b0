//! `cargo xtask compatibility`: which APIs and which of Kafka's rules the broker keeps, each with the tests that show it.
//!
//! The APIs are the rows of the broker's table (`crates/broker/src/api.rs`); the tests of an API are those beside its
//! handler, and the files of the broker's own suite that speak it. The rules are written down by hand in
//! `clients/semantics.toml`. Invariant: a row without a test, or with one that is not there, is an error, unless it says what
//! it waits for. Tests that other pages name are looked for, too (`named_tests`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::clients::replace_section;
use crate::{named_tests, workspace};

const API_TABLE: &str = "crates/broker/src/api.rs";
const API_KEYS: &str = "crates/protocol/src/generated/api_key.rs";
const HANDLERS: &str = "crates/broker/src/handlers";
/// The broker over sockets, alone and beside Kafka.
const BROKER_SUITE: &str = "crates/broker/tests/it";
const RULES: &str = "clients/semantics.toml";
const PAGE: &str = "docs/compatibility.md";

#[derive(clap::Args, Debug)]
pub(crate) struct CompatibilityArguments {
    /// Only say whether docs/compatibility.md is current
    #[arg(long)]
    check: bool,
}

impl CompatibilityArguments {
    /// Writes nothing.
    pub(crate) const CHECK: Self = Self { check: true };
}

pub(crate) fn run(arguments: &CompatibilityArguments) -> Result<()> {
    named_tests::check()?;
    let path = workspace::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let written = replace_section(&page, "apis", &apis_section()?)?;
    let written = replace_section(&written, "semantics", &rules_section()?)?;
    if arguments.check {
        ensure!(
            written == page,
            "{PAGE} is not current, run `cargo xtask compatibility`"
        );
        println!("{PAGE} is current");
    } else {
        fs::write(&path, written)?;
        println!("wrote {PAGE}");
    }
    Ok(())
}

/// A row of the broker's table.
#[derive(Debug, PartialEq, Eq)]
struct Api {
    key: i16,
    name: String,
    versions: String,
    /// The path of the handler's file below the handlers' folder.
    handler: String,
}

fn apis_section() -> Result<String> {
    let table = read(API_TABLE)?;
    let keys = keys(&read(API_KEYS)?);
    let apis = parse_table(&table, &keys)?;
    let suite = suite_files()?;
    let rules = rules()?;
    let mut text = format!(
        "{} APIs. *Unit tests* stand beside the handler; *over sockets* names the files of the broker's own suite that speak \
         the API, of which those in `beside_kafka` compare every answer with Apache Kafka's.\n\n\
         | Key | API | Versions | Unit tests | Over sockets |\n|--:|---|---|---|---|\n",
        apis.len()
    );
    let mut without = Vec::new();
    for api in &apis {
        let (tests, link) = handler_tests(&api.handler)?;
        let spoken: Vec<String> = suite
            .iter()
            .filter(|(_, text)| speaks(text, &api.name))
            .map(|(file, _)| format!("[{file}](../{BROKER_SUITE}/{file})"))
            .collect();
        let elsewhere = rules.api.iter().find(|other| other.name == api.name);
        let elsewhere = elsewhere.map_or(&[][..], |other| &other.tests);
        let elsewhere = elsewhere.iter().map(|test| check_test(test));
        let elsewhere: Vec<(&str, &str)> = elsewhere.collect::<Result<_>>()?;
        if tests == 0 && spoken.is_empty() && elsewhere.is_empty() {
            without.push(api.name.clone());
        }
        let beside = match tests {
            0 if !elsewhere.is_empty() => links(&elsewhere),
            0 => "–".to_owned(),
            count => format!("[{count}](../{link})"),
        };
        let spoken = if spoken.is_empty() {
            "–".to_owned()
        } else {
            spoken.join(", ")
        };
        writeln!(
            text,
            "| {} | {} | {} | {beside} | {spoken} |",
            api.key, api.name, api.versions
        )?;
    }
    if !without.is_empty() {
        bail!("APIs without a test: {}", without.join(", "));
    }
    Ok(text)
}

/// Keys by API.
fn keys(generated: &str) -> BTreeMap<String, i16> {
    let pair = |line: &str| {
        let (name, key) = line.trim().strip_suffix(',')?.split_once(" = ")?;
        Some((name.to_owned(), key.parse().ok()?))
    };
    generated.lines().filter_map(pair).collect()
}

/// Rows look like `Fetch(FetchRequest) 4..=18 pipelined => data::fetch(fetches);`.
fn parse_table(table: &str, keys: &BTreeMap<String, i16>) -> Result<Vec<Api>> {
    let rows = table
        .split_once("\napis! {\n")
        .and_then(|(_, rest)| rest.split_once("\n}\n"))
        .context("the table of APIs begins with apis! {")?
        .0;
    let mut apis = Vec::new();
    for row in rows.lines().map(str::trim) {
        if row.is_empty() || row.starts_with("//") {
            continue;
        }
        let parts = || {
            let (name, rest) = row.split_once('(')?;
            let (_, rest) = rest.split_once(") ")?;
            let (versions, rest) = rest.split_once(' ')?;
            let (low, high) = versions.split_once("..=")?;
            let (_, handler) = rest.split_once("=> ")?;
            let (handler, _) = handler.split_once('(')?;
            Some(Api {
                key: *keys.get(name)?,
                name: name.to_owned(),
                versions: if low == high {
                    low.to_owned()
                } else {
                    format!("{low} to {high}")
                },
                handler: handler.replace("::", "/"),
            })
        };
        apis.push(parts().with_context(|| format!("cannot read the row {row:?} of {API_TABLE}"))?);
    }
    Ok(apis)
}

/// How many tests stand beside a handler, and where.
fn handler_tests(handler: &str) -> Result<(usize, String)> {
    let file = format!("{HANDLERS}/{handler}.rs");
    let folder = format!("{HANDLERS}/{handler}");
    let mut files = vec![file.clone()];
    if workspace::root().join(&folder).is_dir() {
        files.extend(rust_files(Path::new(&folder))?);
    }
    let mut count = 0;
    for file in files {
        count += tests(&read(&file)?).len();
    }
    Ok((count, file))
}

/// The names of a file's tests.
pub(crate) fn tests(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let is_attribute = line.starts_with("#[");
        is_test = match is_attribute {
            true => is_test || line.ends_with("test]") || line.contains("::test("),
            false => is_test,
        };
        let name = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
            .and_then(|rest| rest.split_once('('));
        if let Some((name, _)) = name {
            if is_test {
                names.insert(name);
            }
            is_test = false;
        }
    }
    names
}

/// Whether a test sends the request, by its name.
fn speaks(text: &str, api: &str) -> bool {
    let request = format!("{api}Request");
    text.match_indices(&request).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + request.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// The files of the broker's suite, by their path below its folder.
fn suite_files() -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for file in rust_files(Path::new(BROKER_SUITE))? {
        let text = read(&file)?;
        let short = file
            .trim_start_matches(BROKER_SUITE)
            .trim_start_matches('/');
        files.insert(short.to_owned(), text);
    }
    // The requests most suites send are made in one place.
    let helpers = read("crates/testkit/src/requests.rs").unwrap_or_default();
    if speaks(&helpers, "Produce") && speaks(&helpers, "Fetch") {
        for text in files.values_mut() {
            for (helper, request) in [
                ("produce(", " ProduceRequest "),
                ("fetch(", " FetchRequest "),
                ("topic(", " CreateTopicsRequest "),
            ] {
                if text.contains("testkit::requests") && text.contains(helper) {
                    *text += request;
                }
            }
        }
    }
    Ok(files)
}

/// All Rust files below a folder, as paths from the root.
fn rust_files(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(workspace::root().join(&folder))? {
            let entry = entry?;
            let path: PathBuf = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What Kafka's clients rely on beyond the messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rule: Vec<Rule>,
    /// APIs whose handlers only pass on what others do, and the tests of those.
    #[serde(default)]
    api: Vec<PassedOn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PassedOn {
    name: String,
    /// As those of a rule.
    tests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// What the rule is about; rules of one area stand together.
    area: String,
    /// The rule.
    text: String,
    /// `path::test`, the path from the root.
    #[serde(default)]
    tests: Vec<String>,
    /// Instead of tests: what a rule waits for that is not kept yet.
    waits_for: Option<String>,
}

fn rules() -> Result<Rules> {
    toml::from_str(&read(RULES)?).with_context(|| RULES.to_owned())
}

fn links(tests: &[(&str, &str)]) -> String {
    let link = |(path, name): &(&str, &str)| format!("[{}](../{path})", name.replace('_', " "));
    tests.iter().map(link).collect::<Vec<_>>().join("; ")
}

fn rules_section() -> Result<String> {
    let rules = rules()?;
    let mut problems = Vec::new();
    let mut text = String::new();
    let mut area = "";
    for rule in &rules.rule {
        if rule.area != area {
            area = &rule.area;
            let gap = if text.is_empty() { "" } else { "\n" };
            write!(text, "{gap}| {area} | Test |\n|---|---|\n")?;
        }
        if rule.tests.is_empty() == rule.waits_for.is_none() {
            problems.push(format!("tests, or what it waits for: {}", rule.text));
        }
        let mut tests = Vec::new();
        for test in &rule.tests {
            match check_test(test) {
                Ok(test) => tests.push(test),
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        let shown = match &rule.waits_for {
            None => links(&tests),
            Some(reason) => format!("not there yet: {reason}"),
        };
        writeln!(text, "| {} | {shown} |", rule.text.trim())?;
    }
    if !problems.is_empty() {
        bail!("{RULES}:\n{}", problems.join("\n"));
    }
    Ok(text)
}

fn check_test(test: &str) -> Result<(&str, &str)> {
    let (path, name) = test
        .rsplit_once("::")
        .with_context(|| format!("{test} is not path::test"))?;
    let file = read(path)?;
    ensure!(tests(&file).contains(name), "{path} has no test {name}");
    Ok((path, name))
}

fn read(path: &str) -> Result<String> {
    let path = workspace::root().join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn rows_of_the_table_are_read() -> Result<()> {
        let table = "x\napis! {\n    Fetch(FetchRequest) 4..=18 pipelined => data::fetch(a, b);\n    // A note.\n    \
                     OffsetDelete(OffsetDeleteRequest) 0..=0 alone => groups::offset_delete();\n}\n";
        let keys = keys("    Fetch = 1,\n    OffsetDelete = 47,\n");
        let apis = parse_table(table, &keys)?;
        let shown: Vec<_> = apis
            .iter()
            .map(|api| (api.key, api.versions.as_str(), api.handler.as_str()))
            .collect();
        let expected = [
            (1, "4 to 18", "data/fetch"),
            (47, "0", "groups/offset_delete"),
        ];
        assert_eq!(shown, expected);
        assert!(parse_table("\napis! {\nNothing\n}\n", &keys).is_err());
        Ok(())
    }

    #[test]
    fn tests_are_told_from_helpers() {
        let text = "fn helper() {}\n#[tokio::test]\nasync fn one() {}\n#[test]\n#[ignore = \"why\"]\nfn two() {}\n\
                    #[tokio::test(start_paused = true)]\nasync fn three() {}\n#[derive(Debug)]\nfn four() {}";
        assert_eq!(tests(text), BTreeSet::from(["one", "two", "three"]));
    }

    #[test]
    fn requests_are_told_by_their_whole_name() {
        assert!(speaks("&FetchRequest {", "Fetch"));
        assert!(!speaks("OffsetFetchRequest", "Fetch") && !speaks("FetchRequests", "Fetch"));
    }
}
