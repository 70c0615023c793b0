//! [`Stage`]: what an example runs on: a broker of its own, its data, the files of the example, and the list of what held.

use super::data::Data;
use crate::postgres::Postgres;
use crate::process;
use crate::server::{self, Against, Server};
use crate::{install, workspace};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The environment that examples run in: its topics have the names of the files.
pub(super) const ENVIRONMENT: &str = "prod";
/// The longest that a pipeline may take to have done its work.
pub(super) const WORK_LIMIT: Duration = Duration::from_secs(60);
/// How a run stands, in the words of `watertable pipeline runs`.
const RUNNING: &str = "running";
pub(super) const SUCCEEDED: &str = "succeeded";
pub(super) const FAILED: &str = "failed";
/// What started a run that somebody asked for.
const MANUAL: &str = "manual";
/// The database that the files of environments name.
const NAMED_SERVER: &str = "127.0.0.1:5432";

/// Something that had to hold.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) example: &'static str,
    pub(super) what: String,
    /// What was found.
    pub(super) found: String,
    /// What should have been, if it is something else.
    pub(super) instead_of: Option<String>,
}

/// A run, as `watertable pipeline runs --json` tells it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Run {
    trigger: String,
    pub(super) state: String,
    pub(super) error: Option<String>,
}

/// A record, as `watertable consume --json` tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Debug, Deserialize)]
struct Header {
    key: String,
    value: Option<String>,
}

impl Record {
    /// The value, which is JSON.
    pub(super) fn json(&self) -> Result<serde_json::Value> {
        let value = self.value.as_deref().context("a record has no value")?;
        Ok(serde_json::from_str(value)?)
    }

    /// Why it is a dead letter.
    pub(super) fn reason(&self) -> Result<String> {
        let header = self.headers.iter().find(|header| header.key == "reason");
        if let Some(reason) = header.and_then(|header| header.value.clone()) {
            return Ok(reason);
        }
        let json = self.json()?;
        let reason = json.get("reason").and_then(|reason| reason.as_str());
        Ok(reason.context("a dead letter has no reason")?.to_owned())
    }
}

/// What an example runs on.
#[derive(Debug)]
pub(super) struct Stage {
    example: &'static str,
    server: Server,
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    checks: Vec<Check>,
}

impl Stage {
    /// A broker, and the data written.
    pub(super) fn set(example: &'static str, data: &Data) -> Result<Self> {
        let name = format!("run-book-{}", example.to_lowercase());
        let folder = workspace::target().join("xtask").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let written = folder.join("data");
        data.write(&written)?;
        let server = Server::start(Against::Watertable, folder.join("broker"))?;
        Ok(Self {
            example,
            server,
            folder,
            data: written,
            checks: Vec::new(),
        })
    }

    /// Ends the broker; what held and what did not.
    pub(super) fn strike(self) -> (Vec<Check>, Result<()>) {
        let stopped = self.server.stop().map(drop);
        (self.checks, stopped)
    }

    pub(super) fn bootstrap(&self) -> String {
        self.server.bootstrap()
    }

    /// Notes whether something is as it should be.
    pub(super) fn check<T: PartialEq + Display>(&mut self, what: &str, found: T, expected: T) {
        let instead_of = (found != expected).then(|| expected.to_string());
        self.checks.push(Check {
            example: self.example,
            what: what.to_owned(),
            found: found.to_string(),
            instead_of,
        });
    }

    /// A command of the binary, with the variables of the examples.
    pub(super) fn watertable(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(server::watertable_binary()?);
        command
            .args(arguments)
            .env("BOOK_DATA", &self.data)
            .env("WATERTABLE_BROKERS", self.bootstrap());
        Ok(command)
    }

    /// Copies the files of an example, with our PostgreSQL in place of the one that they name.
    pub(super) fn files(&self, name: &str, postgres: Option<&Postgres>) -> Result<PathBuf> {
        let copy = self.folder.join(name);
        let files = workspace::root().join("book").join(name);
        let text = |text: String| match postgres {
            Some(postgres) => text.replace(NAMED_SERVER, &postgres.address()),
            None => text,
        };
        for below in ["", "env"] {
            let (from, to) = (files.join(below), copy.join(below));
            if !from.is_dir() {
                continue;
            }
            fs::create_dir_all(&to)?;
            for entry in fs::read_dir(&from)? {
                let path = entry?.path();
                if path.is_file() {
                    let name = path.file_name().unwrap_or_default();
                    fs::write(to.join(name), text(fs::read_to_string(&path)?))?;
                }
            }
        }
        Ok(copy)
    }

    /// `watertable pipeline validate` and `test`, which need no broker.
    pub(super) fn prove(&mut self, files: &Path, environment: &str) -> Result<()> {
        for verb in ["validate", "test"] {
            let mut command = self.watertable(&["pipeline", verb])?;
            process::output(command.arg(files).args(["--env", environment]))?;
            self.check(&format!("pipeline {verb}"), "ok", "ok");
        }
        Ok(())
    }

    /// `watertable pipeline plan` and `apply`.
    pub(super) fn deploy(&mut self, files: &Path, environment: &str) -> Result<()> {
        let plan = self.folder.join(format!("plan-{environment}.json"));
        let mut command = self.watertable(&["pipeline", "plan"])?;
        command.arg(files).args(["--env", environment, "-o"]);
        process::output(command.arg(&plan))?;
        self.check(&format!("pipeline plan --env {environment}"), "ok", "ok");
        process::output(self.watertable(&["pipeline", "apply"])?.arg(&plan))?;
        self.check("pipeline apply", "ok", "ok");
        Ok(())
    }

    /// `watertable pipeline run NAME`, and how the run ended.
    pub(super) fn run(&self, pipeline: &str, environment: &str) -> Result<Run> {
        let manual = |run: &Run| run.trigger == MANUAL;
        let before = self.runs(pipeline, environment)?;
        let before = before.into_iter().filter(manual).count();
        let run = ["pipeline", "run", pipeline, "--env", environment];
        process::output(&mut self.watertable(&run)?)?;
        self.wait_for_run(pipeline, environment, |runs| {
            runs.iter().filter(|run| manual(run)).nth(before).cloned()
        })
    }

    /// How the first run ended, which begins by itself when a pipeline that runs once is applied.
    pub(super) fn first_run(&self, pipeline: &str, environment: &str) -> Result<Run> {
        self.wait_for_run(pipeline, environment, |runs| runs.first().cloned())
    }

    fn wait_for_run(
        &self,
        pipeline: &str,
        environment: &str,
        chosen: impl Fn(&[Run]) -> Option<Run>,
    ) -> Result<Run> {
        let mut ended = None;
        let waited =
            process::wait_until(&format!("end of a run of {pipeline}"), WORK_LIMIT, || {
                ended =
                    chosen(&self.runs(pipeline, environment)?).filter(|run| run.state != RUNNING);
                Ok(ended.is_some())
            });
        waited.with_context(|| format!("{:?}", self.runs(pipeline, environment)))?;
        ended.context("a run that ended")
    }

    /// The runs of a pipeline, the first of them first.
    fn runs(&self, pipeline: &str, environment: &str) -> Result<Vec<Run>> {
        let runs = ["pipeline", "runs", pipeline, "--env", environment];
        let runs = process::output(self.watertable(&runs)?.args(["--json", "-n", "1000"]))?;
        Ok(serde_json::from_str(&runs)?)
    }

    /// All of it for an example that is one folder, with its pipelines that run once.
    pub(super) fn play(&mut self, files: &Path, pipelines: &[&str]) -> Result<()> {
        self.prove(files, ENVIRONMENT)?;
        self.deploy(files, ENVIRONMENT)?;
        for pipeline in pipelines {
            let run = self.first_run(pipeline, ENVIRONMENT)?;
            self.check_run(&format!("first run of {pipeline}"), &run);
        }
        Ok(())
    }

    /// A run has to have succeeded.
    pub(super) fn check_run(&mut self, what: &str, run: &Run) {
        let error = run.error.as_ref();
        let found = error.map_or_else(
            || run.state.clone(),
            |error| format!("{}: {error}", run.state),
        );
        self.check(what, found, SUCCEEDED.to_owned());
    }

    /// The committed records of a topic; none if it is not there.
    pub(super) fn records(&self, topic: &str) -> Result<Vec<Record>> {
        let exists = self
            .watertable(&["topic", "describe", topic])?
            .output()?
            .status
            .success();
        if !exists {
            return Ok(Vec::new());
        }
        let mut command = self.watertable(&["consume", topic, "--from-beginning"])?;
        command.args(["--until-end", "--json", "--isolation", "read-committed"]);
        let lines = process::output(&mut command)?;
        let records = lines.lines().map(serde_json::from_str::<Record>);
        Ok(records.collect::<Result<_, _>>()?)
    }

    /// The reasons of the dead letters in a topic, each with how often it is there.
    pub(super) fn dead(&self, topic: &str) -> Result<BTreeMap<String, usize>> {
        let mut reasons = BTreeMap::new();
        for record in self.records(topic)? {
            *reasons.entry(record.reason()?).or_default() += 1;
        }
        Ok(reasons)
    }

    /// What psql prints of a file of SQL over our topics, as CSV.
    pub(super) fn psql(&self, file: &Path) -> Result<String> {
        let mut command = psql(&self.server.sql(), "watertable", "watertable")?;
        process::output(command.arg("-f").arg(file))
    }
}

/// What psql prints of a statement of a real PostgreSQL, as CSV.
pub(super) fn ask(postgres: &Postgres, database: &str, sql: &str) -> Result<String> {
    process::output(psql(&postgres.address(), "postgres", database)?.args(["-t", "-c", sql]))
}

/// Runs a file of statements, which may connect to databases that it makes.
pub(super) fn load(postgres: &Postgres, file: &Path) -> Result<()> {
    let mut command = psql(&postgres.address(), "postgres", "postgres")?;
    process::output(command.arg("-f").arg(file)).map(drop)
}

fn psql(address: &str, user: &str, database: &str) -> Result<Command> {
    install::system_packages(&["postgresql-client"])?;
    let Some((host, port)) = address.split_once(':') else {
        bail!("{address} is no address");
    };
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "--csv"])
        .args(["-h", host, "-p", port, "-U", user, "-d", database]);
    Ok(command)
}

/// Counts by reason on one line: `2 decode, 3 error`.
pub(super) fn counted(reasons: &BTreeMap<String, usize>) -> String {
    let each: Vec<_> = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if each.is_empty() {
        "none".to_owned()
    } else {
        each.join(", ")
    }
}
