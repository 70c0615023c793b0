//! `watertable pipeline dev`, from outside.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::pipelines::until;
use crate::server::command;
use crate::sql::{answer, psql};

const DATA: &str = "id,km\n1,3\n2,4\n";

fn trips(folder: &Path, sql: &str) -> String {
    let path = folder.join("trips.csv");
    format!(
        "format: 1\npipeline: trips\nrun: once\nfrom:\n  raw:\n    files: {{ path: \"{}\", format: csv, settle: 0s }}\n    columns: {{ id: bigint, km: double }}\nsql: {sql}\nto:\n  topic: {{ name: trips }}\n",
        path.display()
    )
}

/// A process with what it has said so far.
struct Dev {
    process: Child,
    said: Arc<Mutex<String>>,
}

impl Dev {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = command()
            .args(["pipeline", "dev"])
            .arg(folder)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--http-listen",
                "off",
                "--sql-listen",
                "127.0.0.1:0",
            ])
            .args(["--set", "sql.priority=low"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let said = Arc::<Mutex<String>>::default();
        let heard = Arc::clone(&said);
        #[expect(
            clippy::disallowed_methods,
            reason = "the process' output is read beside the test"
        )]
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let mut said = heard.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { process, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn until_said(&self, what: &str) -> String {
        until(|| self.said(), |said| said.contains(what))
    }

    fn sql(&self) -> SocketAddr {
        let said = self.until_said("\n  cluster");
        let line = said
            .lines()
            .find_map(|line| line.trim_start().strip_prefix("sql "));
        line.unwrap().trim().parse().unwrap()
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::INT).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn asked(address: SocketAddr, sql: &str) -> String {
    let output = psql(address, sql).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn files_run_as_they_are_and_mistakes_leave_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("trips.csv"), DATA).unwrap();
    std::fs::write(
        at("trips.yaml"),
        trips(folder.path(), "SELECT id, km FROM raw"),
    )
    .unwrap();
    let data = at("data");
    let dev = Dev::start(
        folder.path(),
        &["--ephemeral", "--data-dir", data.to_str().unwrap()],
    );
    let sql = dev.sql();
    let count = "SELECT count(*) FROM \"dev.trips\"";
    until(|| asked(sql, count), |found| found == "2");
    dev.until_said("trips v1 running in dev");
    // A mistake is printed, and what ran goes on.
    std::fs::write(
        at("trips.yaml"),
        trips(folder.path(), "SELECT nothing FROM raw"),
    )
    .unwrap();
    let said = dev.until_said("1 mistake in 1 file");
    assert!(
        said.contains("trips.yaml:") && said.contains("nothing"),
        "{said}"
    );
    assert_eq!(
        answer(sql, "SELECT version, state FROM sys.pipelines"),
        "1|running"
    );
    // A change runs.
    std::fs::write(
        at("trips.yaml"),
        trips(folder.path(), "SELECT id, km * 2 AS km FROM raw"),
    )
    .unwrap();
    dev.until_said("trips v2 running in dev");
    // What has no file any more does not run.
    let other = trips(folder.path(), "SELECT id FROM raw")
        .replace("trips\n", "other\n")
        .replace("name: trips ", "name: other ");
    std::fs::write(at("other.yaml"), other).unwrap();
    until(
        || asked(sql, "SELECT count(*) FROM \"dev.other\""),
        |found| found == "2",
    );
    std::fs::remove_file(at("trips.yaml")).unwrap();
    dev.until_said("trips v2 removed in dev");
    assert_eq!(
        answer(
            sql,
            "SELECT pipeline FROM sys.pipelines WHERE state = 'running'"
        ),
        "other"
    );
    assert!(data.exists());
    dev.end();
    assert!(!data.exists(), "its data is deleted");
}

#[test]
fn data_is_kept_unless_it_is_ephemeral() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("trips.csv"), DATA).unwrap();
    std::fs::write(
        at("trips.yaml"),
        trips(folder.path(), "SELECT id, km FROM raw"),
    )
    .unwrap();
    let data = at("data");
    let with_data = ["--data-dir", data.to_str().unwrap()];
    let dev = Dev::start(folder.path(), &with_data);
    dev.until_said("trips v1 running in dev");
    dev.end();
    let ephemeral = command()
        .args(["pipeline", "dev"])
        .arg(folder.path())
        .arg("--ephemeral")
        .args(with_data)
        .output()
        .unwrap();
    let errors = String::from_utf8(ephemeral.stderr).unwrap();
    assert!(errors.contains("has data already"), "{errors}");
    let dev = Dev::start(folder.path(), &with_data);
    let sql = dev.sql();
    until(
        || asked(sql, "SELECT count(*) FROM \"dev.trips\""),
        |found| found == "2",
    );
    assert_eq!(answer(sql, "SELECT version FROM sys.pipelines"), "1");
    dev.end();
}
