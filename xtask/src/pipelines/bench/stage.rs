//! [`Stage`]: a broker and, where pipelines run apart from it, a worker; and what they are asked by commands of the binary.

use crate::process::{self, Running};
use crate::server::{self, Against, Server, Setting};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::ENVIRONMENT;

/// The longest that records may take through a pipeline.
const WORK_LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
    server: Server,
}

impl Stage {
    /// A broker without data, whose log is durable before it acknowledges (class D).
    pub(super) fn start(name: &str, settings: &[Setting]) -> Result<Self> {
        let folder = super::super::folder(&format!("bench-{name}"));
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder)?;
        let server = Server::start_with(Against::Watertable, folder.join("broker"), settings)?;
        Ok(Self { folder, server })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn bootstrap(&self) -> String {
        self.server.bootstrap()
    }

    /// The broker's process.
    pub(super) fn broker(&self) -> u32 {
        self.server.process()
    }

    /// A command of the binary against this broker.
    pub(super) fn watertable(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(server::watertable_binary()?);
        command
            .args(arguments)
            .env("WATERTABLE_BROKERS", self.server.bootstrap())
            .env("WATERTABLE_SQL_SERVER", self.server.sql());
        Ok(command)
    }

    /// A worker in a process of its own.
    pub(super) fn start_worker(&self) -> Result<Running> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("worker.log"))?;
        Running::start(
            self.watertable(&["pipeline", "worker"])?
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .process_group(0),
        )
    }

    pub(super) fn create(&self, topic: &str, partitions: usize) -> Result<()> {
        let partitions = partitions.to_string();
        process::output(&mut self.watertable(&[
            "topic",
            "create",
            topic,
            "--partitions",
            &partitions,
        ])?)?;
        Ok(())
    }

    /// Writes lines with a key, a tab and a value into a topic.
    pub(super) fn produce(&self, topic: &str, lines: impl Iterator<Item = String>) -> Result<()> {
        let mut command =
            self.watertable(&["produce", topic, "-k", "\\t", "--batch-size", "256KiB"])?;
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut process = Running::start(&mut command)?;
        let mut input = BufWriter::new(process.take_input().context("standard input is a pipe")?);
        for line in lines {
            input.write_all(line.as_bytes())?;
        }
        input.flush()?;
        drop(input);
        let status = process.wait(WORK_LIMIT)?;
        ensure!(status.success(), "watertable produce ended with {status}");
        Ok(())
    }

    /// Has these files run, by name, and nothing that had a file before.
    pub(super) fn apply(&self, pipelines: &[(String, String)]) -> Result<()> {
        let plan = self.plan(pipelines)?;
        self.apply_plan(&plan)
    }

    /// A plan to have these files run.
    pub(super) fn plan(&self, pipelines: &[(String, String)]) -> Result<PathBuf> {
        let files = self.folder.join("pipelines");
        if files.exists() {
            fs::remove_dir_all(&files)?;
        }
        write_files(&files, pipelines)?;
        let plan = self.folder.join("plan.json");
        let mut command = self.watertable(&["pipeline", "plan", "--env", ENVIRONMENT, "-o"])?;
        process::output(command.arg(&plan).arg(&files))?;
        Ok(plan)
    }

    pub(super) fn apply_plan(&self, plan: &Path) -> Result<()> {
        process::output(self.watertable(&["pipeline", "apply"])?.arg(plan))?;
        Ok(())
    }

    pub(super) fn remove(&self, pipeline: &str) -> Result<()> {
        process::output(&mut self.watertable(&[
            "pipeline",
            "remove",
            pipeline,
            "--env",
            ENVIRONMENT,
        ])?)?;
        Ok(())
    }

    /// The state of the last run of a pipeline, `None` before there is one.
    pub(super) fn state(&self, pipeline: &str) -> Result<Option<String>> {
        let mut command = self.watertable(&[
            "pipeline",
            "runs",
            pipeline,
            "--env",
            ENVIRONMENT,
            "--json",
            "-n",
            "1",
        ])?;
        let runs: Value = serde_json::from_str(&process::output(&mut command)?)?;
        let state = runs.pointer("/0/state").and_then(Value::as_str);
        Ok(state.map(str::to_owned))
    }

    /// One number from SQL.
    pub(super) fn number(&self, sql: &str) -> Result<u64> {
        let mut command = self.watertable(&["sql", "--format", "json", "-c", sql])?;
        let rows: Value = serde_json::from_str(&process::output(&mut command)?)?;
        let row = rows.pointer("/0").and_then(Value::as_object);
        let number = row.and_then(|row| row.values().next()?.as_u64());
        number.with_context(|| format!("{sql}: {rows}"))
    }

    pub(super) fn count(&self, topic: &str) -> Result<u64> {
        self.number(&format!("SELECT count(*) FROM \"{topic}\""))
    }

    /// The ends of the partitions of a topic, added up: no less than the records in it, since markers of transactions have offsets too.
    fn ends(&self, topic: &str) -> Result<u64> {
        let found = process::output(&mut self.watertable(&["topic", "offsets", topic, "--json"])?)?;
        let found: Value = serde_json::from_str(&found)?;
        let partitions = found.as_array().with_context(|| found.to_string())?;
        let ends = partitions.iter().map(|partition| partition["end"].as_u64());
        let sum: Option<u64> = ends.sum();
        sum.with_context(|| found.to_string())
    }

    /// Waits until a topic has that many committed records; more of them is an error.
    pub(super) fn wait_for_count(&self, topic: &str, count: u64) -> Result<()> {
        process::wait_until(&format!("{count} records in {topic}"), WORK_LIMIT, || {
            if self.ends(topic)? < count {
                std::thread::sleep(Duration::from_millis(100));
                return Ok(false);
            }
            let there = self.count(topic)?;
            ensure!(
                there <= count,
                "{topic} has {there} records, which is more than {count}"
            );
            Ok(there == count)
        })
    }

    /// Waits until all these pipelines run.
    pub(super) fn wait_until_running(&self, pipelines: &[(String, String)]) -> Result<()> {
        for (name, _) in pipelines {
            process::wait_until(&format!("{name} to run"), WORK_LIMIT, || {
                Ok(self.state(name)?.as_deref() == Some("running"))
            })?;
        }
        Ok(())
    }

    pub(super) fn stop(self) -> Result<()> {
        self.server.stop()?;
        // What is measured next has the page cache and the disk for itself.
        fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

/// Writes the files of pipelines into a folder, which is made.
pub(super) fn write_files(folder: &Path, pipelines: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in pipelines {
        fs::write(folder.join(format!("{name}.yaml")), text)?;
    }
    Ok(())
}
