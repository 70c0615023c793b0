//! The commands over pipeline files that need no broker, from outside: what they say, and how they end.
//!
//! What is expected stands in `tests/pipelines/*.txt`; `UPDATE_MESSAGES=1 cargo test -p watertable pipeline_files` writes it.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::server::short_command;

/// What a command said.
struct Said {
    status: i32,
    out: String,
    err: String,
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines")
}

/// Runs `watertable pipeline` in a folder.
fn say_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = short_command()
        .arg("pipeline")
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap();
    Said {
        status: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

fn say(arguments: &[&str]) -> Said {
    say_in(&cases(), arguments, &[])
}

/// Compares what was said with a file, or writes it.
fn check_golden(name: &str, found: &str) {
    let path = cases().join(name);
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        expected, found,
        "{name}: UPDATE_MESSAGES=1 cargo test -p watertable pipeline_files writes what is found"
    );
}

#[test]
fn schema_prints_the_schema_of_the_documentation() {
    let said = say(&["schema"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let documented = std::fs::read_to_string(root.join("docs/pipelines/pipeline.schema.json"));
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&said.out), json(&documented.unwrap()));
}

#[test]
fn init_writes_a_pipeline_that_is_right_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("new").join(name);
    let said = say_in(folder.path(), &["init", "new"], &[]);
    assert_eq!(said.status, 0, "{}", said.err);
    for name in [
        "trips_clean.yaml",
        "env/dev.yaml",
        "landing/trips.csv",
        "pipeline.schema.json",
    ] {
        assert!(at(name).is_file(), "{name}");
        assert!(
            said.out.contains(&format!("wrote new/{name}\n")),
            "{}",
            said.out
        );
    }
    let valid = say_in(folder.path(), &["validate", "new"], &[]);
    assert_eq!(
        (valid.status, valid.out.as_str()),
        (0, "1 file: no mistakes\n")
    );
    // What is there stays, and nothing is written beside it.
    std::fs::write(at("env/dev.yaml"), "LANDING: mine\n").unwrap();
    std::fs::remove_file(at("trips_clean.yaml")).unwrap();
    let again = say_in(folder.path(), &["init", "new"], &[]);
    assert_eq!(again.status, 1);
    assert_eq!(
        again.err,
        "error: new/env/dev.yaml is there already, and nothing is overwritten\n\
         next: name a folder that is empty or not there yet\n"
    );
    assert!(!at("trips_clean.yaml").exists());
    let kept = std::fs::read_to_string(at("env/dev.yaml")).unwrap();
    assert_eq!(kept, "LANDING: mine\n");
}

#[test]
fn validate_tells_all_mistakes_of_all_files() {
    let said = say(&["validate", "mistakes"]);
    assert_eq!(said.status, 1);
    assert_eq!(said.err, "");
    check_golden("mistakes.txt", &said.out);
    let files = std::fs::read_dir(cases().join("mistakes")).unwrap().count();
    // Each file is there for a mistake.
    let names: std::collections::BTreeSet<_> = said
        .out
        .lines()
        .filter_map(|line| line.split_once(".yaml:"))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names.len(), files, "{names:?}");

    let json = say(&["validate", "mistakes", "--json"]);
    assert_eq!(json.status, 1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["files"], files);
    let told = json["problems"].as_array().unwrap();
    assert_eq!(told.len() + 1, said.out.lines().count());
    let first = &told[0];
    let line = format!(
        "{}:{}:{}: {}: {}",
        first["file"].as_str().unwrap(),
        first["line"],
        first["column"],
        first["key"].as_str().unwrap(),
        first["message"].as_str().unwrap()
    );
    assert_eq!(said.out.lines().next(), Some(line.as_str()));
}

#[test]
fn validate_says_which_columns_only_the_cluster_knows() {
    let said = say(&["validate", "folder"]);
    assert_eq!(said.status, 0, "{}{}", said.out, said.err);
    check_golden("folder.txt", &said.out);
    let json = say(&["validate", "folder", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "files": 2,
            "problems": [],
            "unchecked": [],
            "only_the_cluster_knows": [{ "file": "folder/far.yaml", "input": "old", "topic": "trips.old" }],
        })
    );
}

#[test]
fn a_file_is_looked_at_with_its_folder_and_without_its_mistakes() {
    // It reads what another file writes.
    let said = say(&["validate", "folder/far.yaml"]);
    assert_eq!(said.status, 0, "{}", said.out);
    assert!(
        said.out.starts_with("1 file: no mistakes\n"),
        "{}",
        said.out
    );
    let said = say(&["validate", "mistakes/key_unknown.yaml"]);
    assert_eq!(said.status, 1);
    assert_eq!(
        said.out,
        "mistakes/key_unknown.yaml:6:1: owners: unknown key; did you mean owner?\n1 mistake in 1 file\n"
    );
}

#[test]
fn variables_come_from_the_process_and_from_the_file_of_the_environment() {
    let path = |arguments: &[&str], variables: &[(&str, &str)]| {
        let arguments = [&["explain", "clean.yaml", "--json"], arguments].concat();
        let said = say_in(&cases().join("folder"), &arguments, variables);
        assert_eq!(said.status, 0, "{}{}", said.out, said.err);
        let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        json[0]["tasks"][0]["reads"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(path(&[], &[]), "trips: files /srv/dev/landing/*.csv, csv");
    assert_eq!(
        path(&["--env", "prod"], &[]),
        "trips: files s3://landing/*.csv, csv"
    );
    assert_eq!(
        path(&["--env", "prod"], &[("LANDING", "here")]),
        "trips: files here/*.csv, csv"
    );
    let said = say_in(
        &cases().join("folder"),
        &["validate", "--env", "nowhere"],
        &[],
    );
    assert_eq!(said.status, 1);
    assert!(said.out.contains("${LANDING} has no value"), "{}", said.out);
}

#[test]
fn a_mistake_in_the_file_of_an_environment_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("env")).unwrap();
    std::fs::write(folder.path().join("env/dev.yaml"), "PORT: 5432\n").unwrap();
    std::fs::copy(
        cases().join("folder/far.yaml"),
        folder.path().join("far.yaml"),
    )
    .unwrap();
    let said = say_in(folder.path(), &["validate"], &[]);
    assert_eq!(said.status, 1);
    assert!(
        said.out
            .contains("env/dev.yaml:1:7: PORT: expected a text, found the number 5432"),
        "{}",
        said.out
    );
}

#[test]
fn explain_tells_tasks_topics_and_groups() {
    let said = say(&["explain", "folder", "--env", "dev"]);
    assert_eq!(said.status, 0, "{}", said.err);
    check_golden("explain.txt", &said.out);
}

#[test]
fn a_folder_without_pipelines_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = say_in(folder.path(), &["validate"], &[]);
    assert_eq!(said.status, 1);
    assert_eq!(
        said.err,
        "error: no pipeline files (*.yaml, *.yml) in .\nnext: `watertable pipeline init DIR` writes a first one\n"
    );
}

#[test]
fn the_examples_of_the_book_are_right() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book");
    let mut examples = 0;
    for entry in std::fs::read_dir(&book).unwrap() {
        let folder = entry.unwrap().path();
        let has_pipelines = folder.is_dir()
            && std::fs::read_dir(&folder).unwrap().any(|file| {
                let path = file.unwrap().path();
                path.extension().is_some_and(|ending| ending == "yaml")
            });
        if !has_pipelines {
            continue;
        }
        examples += 1;
        let variables = [("BOOK_DATA", "/data")];
        let said = say_in(&folder, &["validate", "--env", "prod"], &variables);
        assert_eq!(said.status, 0, "{}: {}", folder.display(), said.out);
        let said = say_in(&folder, &["test", "--env", "prod"], &variables);
        assert_eq!(said.status, 0, "{}: {}", folder.display(), said.out);
        assert!(!said.out.starts_with("0 tests"), "{}", folder.display());
    }
    assert_eq!(examples, 6);
}

#[test]
fn tests_pass_or_say_what_differs() {
    let said = say(&["test", "folder"]);
    assert_eq!(said.status, 0, "{}{}", said.out, said.err);
    check_golden("passing.txt", &said.out);
    let said = say(&["test", "failing"]);
    assert_eq!(said.status, 1);
    assert_eq!(said.err, "");
    check_golden("failing.txt", &said.out);
    let json = say(&["test", "failing/differs.yaml", "--json"]);
    assert_eq!(json.status, 1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let passed: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|test| test["passed"].as_bool().unwrap())
        .collect();
    assert_eq!(passed, [true, false, false, false]);
}

#[test]
fn tests_are_not_run_where_there_are_mistakes() {
    let said = say(&["test", "mistakes/column_unknown.yaml"]);
    assert_eq!(said.status, 1);
    assert_eq!(
        said.out,
        "mistakes/column_unknown.yaml:6:22: sql: there is no column ridr; did you mean rider?\n1 mistake in 1 file\n"
    );
}

#[test]
fn update_writes_what_came_out_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("differs.yaml");
    std::fs::copy(cases().join("failing/differs.yaml"), &copy).unwrap();
    let said = say_in(folder.path(), &["test", "--update"], &[]);
    assert_eq!(said.status, 0, "{}{}", said.out, said.err);
    assert_eq!(said.err, "wrote differs.yaml\n");
    assert!(
        said.out.ends_with("4 tests: 1 passed, 3 updated\n"),
        "{}",
        said.out
    );
    check_golden("updated.txt", &std::fs::read_to_string(&copy).unwrap());
    let again = say_in(folder.path(), &["test"], &[]);
    assert!(
        again.out.ends_with("4 tests: 4 passed, 0 failed\n"),
        "{}",
        again.out
    );
    // A test on one line would have to be cut apart: it is left to people, and the file stays as it is.
    let one_line = std::fs::read_to_string(cases().join("failing/column_unknown.yaml")).unwrap();
    let (head, _) = one_line.split_once("tests:").unwrap();
    let one_line = format!(
        "{head}tests: [{{ name: a, given: {{ trips: [{{ trip_id: 1 }}] }}, expect: [] }}]\n"
    );
    std::fs::write(&copy, &one_line).unwrap();
    let said = say_in(folder.path(), &["test", "--update"], &[]);
    assert_eq!(said.status, 1);
    assert!(
        said.err.contains("its tests cannot be written here"),
        "{}",
        said.err
    );
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), one_line);
}

#[test]
fn infer_proposes_what_a_file_has_and_keeps_zeros_in_front() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("people.csv", "name,zip,age\nAnn,08730,40\nBo,87102,\n");
    write("half.csv", "a;b\n1;NA\n2;x\n");
    write("one.csv", "id\n7\n8\n");
    write("empty.csv", "");
    write(
        "data.json",
        "{\"records\": [{\"zip\": \"08730\", \"n\": 1.5}]}",
    );
    write(
        "lines.ndjson",
        "{\"id\": 1, \"at\": \"2026-01-31T10:00:00Z\"}\n",
    );
    for (source, expected) in [
        (
            "people.csv",
            "from:\n  people:\n    files: { path: \"people.csv\", format: csv }\n    columns:\n      name: text\n      zip: text\n      age: int\n",
        ),
        (
            "half.csv",
            "from:\n  half:\n    files: { path: \"half.csv\", format: csv, delimiter: \";\", nullstr: \"NA\" }\n    columns:\n      a: int\n      b: text\n",
        ),
        (
            "one.csv",
            "from:\n  one:\n    files: { path: \"one.csv\", format: csv }\n    columns:\n      id: int\n",
        ),
        (
            "data.json",
            "from:\n  data:\n    files: { path: \"data.json\", format: json, records: $.records }\n    columns:\n      zip: text\n      n: double\n",
        ),
        (
            "*.ndjson",
            "from:\n  input:\n    files: { path: \"*.ndjson\", format: ndjson }\n    columns:\n      id: int\n      at: timestamptz\n",
        ),
    ] {
        let said = say_in(folder.path(), &["infer", source], &[]);
        assert_eq!(said.status, 0, "{source}: {}", said.err);
        assert_eq!(said.out, expected, "{source}");
        // It can stand in a pipeline file as it is.
        let file = format!(
            "format: 1\npipeline: a\nrun: once\n{}sql: SELECT 1 AS n FROM {}\nto: {{ topic: {{ name: b }} }}\n",
            said.out,
            said.out
                .lines()
                .nth(1)
                .unwrap()
                .trim()
                .trim_end_matches(':')
        );
        write("a.yaml", &file);
        let said = say_in(folder.path(), &["validate", "a.yaml"], &[]);
        assert_eq!(said.status, 0, "{source}: {}", said.out);
    }
    for (arguments, message) in [
        (
            &["infer", "no.csv"][..],
            "there is no file no.csv with something in it",
        ),
        (
            &["infer", "empty.csv"],
            "there is no file empty.csv with something in it",
        ),
        (&["infer", "a/b"], "a/b does not say what is in it"),
        (&["infer", "people.csv", "--table", "a"], "is no database"),
        (&["infer", "secret:pg"], "a database has many tables"),
        (
            &["infer", "secret:pg", "--table", "users"],
            "WATERTABLE_SECRET_PG",
        ),
        (
            &["infer", "postgres://a:geheim@b/c", "--table", "users"],
            "password",
        ),
    ] {
        let said = say_in(folder.path(), arguments, &[]);
        assert_eq!(said.status, 1, "{arguments:?}");
        assert!(said.err.contains(message), "{arguments:?}: {}", said.err);
        assert!(!said.err.contains("geheim"), "{}", said.err);
    }
}

#[test]
fn infer_proposes_what_the_records_of_a_topic_have() {
    let data = tempfile::tempdir().unwrap();
    let server = crate::server::Server::start(data.path(), &[]);
    let brokers = server.kafka.to_string();
    let run = |arguments: &[&str], input: &[u8]| {
        let mut process = short_command()
            .args(arguments)
            .env("WATERTABLE_BROKERS", &brokers)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut process.stdin.take().unwrap(), input).unwrap();
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (ok, _, error) = run(
        &["produce", "web.clicks"],
        b"{\"page\": \"a\", \"user\": \"007\"}\n{\"page\": \"b\", \"user\": \"8\"}\n",
    );
    assert!(ok, "{error}");
    let infer = ["pipeline", "infer", "web.clicks"];
    let (ok, said, error) = run(&infer, b"");
    assert!(ok, "{error}");
    assert_eq!(
        said,
        "from:\n  web_clicks:\n    topic: { name: \"web.clicks\" }\n    columns:\n      page: text\n      user: text\n"
    );
    // What has a contract needs no columns.
    let (ok, proposal, _) = run(&["topic", "contract", "infer", "web.clicks"], b"");
    assert!(ok);
    let set = ["topic", "contract", "set", "web.clicks", "-"];
    assert!(run(&set, proposal.as_bytes()).0);
    let (ok, said, error) = run(&infer, b"");
    assert!(ok);
    assert_eq!(
        said,
        "from:\n  web_clicks:\n    topic: { name: \"web.clicks\" }\n"
    );
    assert!(error.contains("has a contract"), "{error}");
    let (ok, _, error) = run(&["pipeline", "infer", "nothing"], b"");
    assert!(
        !ok && error.contains("there is no topic 'nothing'"),
        "{error}"
    );
}
