//! `watertable pipeline plan`, `apply` and what comes after, against a broker, as people and scripts use them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::server::{Server, short_command};

/// A broker, and a folder of pipeline files.
struct Desk {
    server: Server,
    _data: tempfile::TempDir,
    folder: tempfile::TempDir,
}

/// What a command said.
struct Said {
    status: i32,
    out: String,
    err: String,
}

const TRIPS: &str = "\
format: 1
pipeline: trips_clean
run: { every: 5m }
from: { raw: { topic: { name: trips } } }
sql: SELECT id, city FROM raw WHERE id IS NOT NULL
checks: [{ not_null: city }]
to: { topic: { name: trips.clean, key: id, partitions: 2 } }
";

impl Desk {
    /// Nothing runs pipelines here, so that what is said is the same each time.
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &["--set", "pipeline.workers=0"]);
        let desk = Self {
            server,
            _data: data,
            folder: tempfile::tempdir().unwrap(),
        };
        desk.write("trips.yaml", TRIPS);
        desk
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn say_in(&self, folder: &Path, arguments: &[&str]) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = short_command()
            .args(arguments)
            .args(["--brokers", &self.server.kafka.to_string()])
            .env("USER", "ada")
            .current_dir(folder)
            .output()
            .unwrap();
        Said {
            status: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    fn say(&self, arguments: &[&str]) -> Said {
        let arguments = [&["pipeline"], arguments].concat();
        self.say_in(self.folder.path(), &arguments)
    }

    /// What a command says that has to end well.
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.say(arguments);
        assert_eq!(said.status, 0, "{arguments:?}: {}{}", said.out, said.err);
        said.out
    }

    /// A topic to read.
    fn source(&self, name: &str) {
        let contract = r#"watertable.contract={"format":"json","columns":[{"name":"id","type":"bigint"},{"name":"city","type":"text"}]}"#;
        let arguments = ["topic", "create", name, "-p", "1", "-c", contract];
        let said = self.say_in(self.folder.path(), &arguments);
        assert_eq!(said.status, 0, "{}", said.err);
    }

    fn apply(&self) -> String {
        self.ok(&["plan", "--env", "prod", "-o", "plan.json"]);
        self.ok(&["apply", "plan.json"])
    }
}

/// Without the base, which is a hash.
fn without_base(text: &str) -> String {
    let (front, rest) = text.split_once("base ").unwrap();
    let (_, behind) = rest.split_at(8);
    format!("{front}base …{behind}")
}

#[test]
fn a_folder_is_planned_applied_changed_and_rolled_back() {
    let desk = Desk::start();
    desk.source("trips");
    let plan = ["plan", "--env", "prod", "-o", "plan.json", "--exit-code"];
    let said = desk.say(&plan);
    assert_eq!(said.status, 2, "{}", said.err);
    assert_eq!(
        without_base(&said.out),
        "  + trips_clean  v1  NEW
      reads   trips @ earliest
      topic   + trips.clean (2 partitions)
      topic   + trips_clean.dead (1 partition, dead letters)
Plan: 1 new, 0 changed, 0 with other checks, 0 removed, 0 unchanged.  base …  → plan.json
"
    );
    let applied = "created the topic trips.clean
created the topic trips_clean.dead
trips_clean v1 running in prod
";
    assert_eq!(desk.ok(&["apply", "plan.json"]), applied);
    let again = desk.ok(&["apply", "plan.json"]);
    assert!(
        again.starts_with("the plan was applied before, by ada at 20"),
        "{again}"
    );
    let said = desk.say(&plan);
    assert_eq!(said.status, 0);
    assert_eq!(
        without_base(&said.out),
        "Plan: nothing changes; prod runs what the files say.  base …  → plan.json\n"
    );
    // Reformatted, it does the same.
    desk.write(
        "trips.yaml",
        &TRIPS.replace("SELECT id, city", "select   id,city"),
    );
    assert_eq!(desk.say(&plan).status, 0);
    desk.write(
        "trips.yaml",
        &TRIPS.replace("id, city", "id, upper(city) AS city, length(city) AS long"),
    );
    let said = desk.say(&plan);
    assert_eq!(
        without_base(&said.out),
        "  ~ trips_clean  v1 → v2  HAND-OVER (stateless): the query is another; no re-reading; pause about one batch
      topic   ~ trips.clean (its contract changes)
      output  + long int (compatible with its readers)
Plan: 0 new, 1 changed, 0 with other checks, 0 removed, 0 unchanged.  base …  → plan.json
"
    );
    let changed = "changed the topic trips.clean\ntrips_clean v2 running in prod\n";
    assert_eq!(
        desk.ok(&["apply", "plan.json", "-m", "upper case"]),
        changed
    );
    let target = ["trips_clean", "--env", "prod"];
    let of = |command: &'static str, more: &[&'static str]| {
        desk.say(&[&[command], &target[..], more].concat())
    };
    let said = of("rollback", &["--to", "v2"]);
    assert_eq!(
        (said.status, said.err.as_str()),
        (1, "error: v2 of trips_clean runs already\n")
    );
    let said = of("rollback", &["--rewind"]);
    assert!(
        said.err.contains("roll back without --rewind"),
        "{}",
        said.err
    );
    assert_eq!(of("rollback", &[]).out, "trips_clean v2 → v1 in prod\n");
    assert_eq!(of("pause", &[]).out, "trips_clean paused in prod\n");
    assert_eq!(of("pause", &[]).out, "trips_clean is paused already\n");
    let said = of("run", &[]);
    assert_eq!(said.err, "error: trips_clean is paused; resume it first\n");
    assert_eq!(of("resume", &[]).out, "trips_clean resumed in prod\n");
    let said = of("resume", &[]);
    let as_it_does = "trips_clean is not paused, and goes on as it does\n";
    assert_eq!((said.status, said.out.as_str()), (0, as_it_does));
    assert!(
        of("run", &[])
            .out
            .starts_with("a run of trips_clean was asked for")
    );
    assert_eq!(of("runs", &[]).out, "trips_clean has not run in prod\n");
    for command in ["runs", "logs"] {
        for (target, near) in [
            (
                ["trips_clear", "--env", "prod"],
                "; did you mean trips_clean?",
            ),
            (["trips_clean", "--env", "never"], ""),
        ] {
            let said = desk.say(&[&[command], &target[..]].concat());
            let [pipeline, _, environment] = target;
            let expected = format!(
                "error: no pipeline {pipeline} runs in {environment}{near}; `watertable pipeline status --env {environment}` shows those that do\n"
            );
            assert_eq!((said.status, said.err), (1, expected));
        }
    }
    let exported = of("export", &["--version", "v2"]).out;
    assert!(
        exported.contains("upper(city)") && exported.starts_with("format: 1\n"),
        "{exported}"
    );
    desk.write("trips.yaml", &exported);
    let plan = desk.ok(&["plan", "--env", "prod"]);
    assert!(plan.contains("v1 → v3  HAND-OVER"), "{plan}");
    let status = desk.ok(&["status", "--env", "prod"]);
    let line = status.lines().nth(1).unwrap();
    assert!(
        line.starts_with("trips_clean  v1       running"),
        "{status}"
    );
    let past = of("status", &[]).out;
    let actions: Vec<_> = past
        .lines()
        .filter(|line| line.starts_with("20"))
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(
        actions,
        ["apply", "apply", "rollback", "pause", "resume", "run"]
    );
    assert!(past.contains("upper case"), "{past}");
    assert_eq!(of("remove", &[]).out, "trips_clean removed from prod\n");
    let said = of("pause", &[]);
    assert!(
        said.err.contains("was removed; plan and apply its file"),
        "{}",
        said.err
    );
    // The control topics are tables.
    let said = desk.say_in(
        desk.folder.path(),
        &["topic", "describe", "__pipelines", "__deployments"],
    );
    assert_eq!(said.status, 0, "{}", said.err);
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_done() {
    let desk = Desk::start();
    let said = desk.say(&["plan", "--env", "dev"]);
    assert_eq!(said.status, 1);
    assert_eq!(
        said.out,
        "trips.yaml: trips_clean: reads the topic dev.trips, which is not there; names of the environment dev begin with dev.; create it with \
         `watertable topic create dev.trips`\nno plan: 1 fault\n"
    );
    desk.source("dev.trips");
    desk.write("trips.yaml", &TRIPS.replace("SELECT id", "SELECT ide"));
    let said = desk.say(&["plan", "--env", "dev"]);
    assert_eq!(said.status, 1);
    assert!(
        said.out.contains("trips.yaml:5:13: sql:") && said.out.contains("ide"),
        "{}",
        said.out
    );
    let said = desk.say(&["plan", "--env", "dev", "--json"]);
    let view: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(view["problems"][0]["line"], 5, "{view}");
    let said = desk.say(&["plan"]);
    assert!(said.err.contains("--env <ENV>"), "{}", said.err);
    desk.write("plan.json", "{}");
    let said = desk.say(&["apply", "plan.json"]);
    assert!(
        said.err
            .starts_with("error: plan.json is no plan: missing field")
            && said
                .err
                .contains("next: `watertable pipeline plan --env ENV -o FILE` writes one"),
        "{}",
        said.err
    );
    let said = desk.say(&["pause", "trips", "--env", "prod"]);
    assert_eq!(
        said.err,
        "error: no pipeline trips runs in prod; `watertable pipeline status --env prod` shows those that do\n"
    );
    let status = desk.ok(&["status", "--env", "dev"]);
    assert!(status.starts_with("no pipeline runs in dev; "), "{status}");
}

#[test]
fn a_plan_is_applied_to_what_it_was_made_from_alone() {
    let desk = Desk::start();
    desk.source("trips");
    desk.ok(&["plan", "--env", "prod", "-o", "old.json"]);
    desk.write("trips.yaml", &TRIPS.replace("5m", "6m"));
    desk.apply();
    let said = desk.say(&["apply", "old.json"]);
    assert_eq!(said.status, 1);
    assert_eq!(
        said.err,
        "error: the plan was made from another state: prod was changed since; run plan again, and look at what it says now\n"
    );
}

#[test]
fn a_plan_tells_what_a_changed_check_would_have_done_to_recent_records() {
    let desk = Desk::start();
    desk.source("trips");
    let mut producing = short_command()
        .args([
            "produce",
            "trips",
            "--brokers",
            &desk.server.kafka.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let records = "{\"id\":1,\"city\":\"Aachen\"}\n{\"id\":2}\n{\"id\":30,\"city\":\"Bonn\"}\n{\"id\":\"x\"}\n";
    let mut input = producing.stdin.take().unwrap();
    input.write_all(records.as_bytes()).unwrap();
    drop(input);
    assert!(producing.wait().unwrap().success());
    desk.apply();
    let check = "checks: [{ not_null: city }, { accepted_range: { column: id, max: 20 } }]";
    desk.write(
        "trips.yaml",
        &TRIPS.replace("checks: [{ not_null: city }]", check),
    );
    let plan = desk.ok(&["plan", "--env", "prod"]);
    assert_eq!(
        without_base(&plan),
        "  ! trips_clean  v1 → v2  HAND-OVER (stateless): 1 check added; no re-reading; pause about one batch
      test    of the last 4 records it would have sent 3 to the dead letters, now 2
Plan: 0 new, 0 changed, 1 with other check, 0 removed, 0 unchanged.  base …
"
    );
}

/// One set of files, two environments: names, variables and versions are apart.
#[test]
fn environments_are_made_from_one_set_of_files() {
    let desk = Desk::start();
    desk.write("trips.yaml", &TRIPS.replace("trips.clean", "\"${CLEAN}\""));
    desk.write("env/test.yaml", "CLEAN: clean.small\n");
    desk.write("env/prod.yaml", "CLEAN: clean.all\n");
    for source in ["trips", "test.trips"] {
        desk.source(source);
    }
    for (env, topic) in [("test", "test.clean.small"), ("prod", "clean.all")] {
        desk.ok(&["plan", "--env", env, "-o", "plan.json"]);
        let said = desk.ok(&["apply", "plan.json"]);
        assert!(
            said.starts_with(&format!("created the topic {topic}\n")),
            "{said}"
        );
        let exported = desk.ok(&["export", "trips_clean", "--env", env]);
        let name = topic.strip_prefix("test.").unwrap_or(topic);
        assert!(exported.contains(&format!("name: {name}")), "{exported}");
    }
    desk.ok(&["pause", "trips_clean", "--env", "test"]);
    let status = desk.ok(&["status", "--env", "prod", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["state"], "running");
}

/// The name of a secret is told, and its value is nowhere.
#[test]
fn values_of_secrets_are_never_told() {
    let desk = Desk::start();
    desk.source("trips");
    let (head, _) = TRIPS.split_once("to: ").unwrap();
    let sink = "to: { postgres: { connection: \"secret:pg_app\", table: trips, mode: upsert, key: id } }\n";
    desk.write("trips.yaml", &format!("{head}{sink}"));
    let said = desk.say(&["plan", "--env", "prod"]);
    assert_eq!(said.status, 1);
    assert!(
        said.out
            .contains("trips.yaml: trips_clean: where it writes: there is no secret pg_app: set WATERTABLE_SECRET_PG_APP"),
        "{}",
        said.out
    );
    // Nobody listens there.
    desk.write(
        "secrets/pg_app",
        "postgres://app:hunter2@127.0.0.1:1/shop\n",
    );
    for json in [&[][..], &["--json"]] {
        let arguments = ["plan", "--env", "prod", "--secrets", "secrets"];
        let said = desk.say(&[&arguments[..], json].concat());
        assert_eq!(said.status, 1);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("127.0.0.1"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_plan_names_files_by_their_whole_paths_and_takes_columns_that_nobody_declared() {
    let desk = Desk::start();
    fs::remove_file(desk.folder.path().join("trips.yaml")).unwrap();
    let people = "\
format: 1
pipeline: people
run: once
from: { people: { files: { path: ../data/*.FORMAT, format: FORMAT } } }
sql: SELECT name, zip FROM people
to: { topic: { name: people, key: name } }
";
    desk.write("pipelines/people.yaml", &people.replace("FORMAT", "csv"));
    desk.write("data/a.csv", "name,zip\nann,01234\n");
    let plan = ["plan", "pipelines", "--env", "prod", "-o", "plan.json"];
    let whole = desk.folder.path().canonicalize().unwrap();
    let whole = whole.join("data/*.csv").display().to_string();
    let said = desk.ok(&plan);
    assert!(
        said.contains(&format!("reads   {whole} @ the first file\n")),
        "{said}"
    );
    desk.ok(&["apply", "plan.json"]);
    let exported = desk.ok(&["export", "people", "--env", "prod"]);
    assert!(
        exported.contains(&whole) && exported.contains("zip: text"),
        "{exported}"
    );
    assert!(desk.ok(&plan).starts_with("Plan: nothing changes"));
    desk.write("pipelines/people.yaml", &people.replace("FORMAT", "ndjson"));
    let said = desk.say(&plan);
    let expected = "the columns of people are not known: declare columns: under it; `watertable pipeline infer '";
    assert!(
        said.status == 1 && said.out.contains(expected),
        "{}{}",
        said.out,
        said.err
    );
}
