//! [`Machine`]: the processes that pipelines live with: a broker, a worker in a process of its own or within the broker, and a
//! PostgreSQL. Each can be killed with SIGKILL and started again on what it left.

use super::{ENVIRONMENT, START_LIMIT};
use crate::kafka;
use crate::postgres::Postgres;
use crate::process::{self, Running};
use crate::server;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Broker,
    Worker,
    Postgres,
}

/// Where pipelines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In a worker's own process.
    Worker,
    /// In the broker's.
    Broker,
}

/// Where the broker is, for commands; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client(String);

impl Client {
    /// A command of the binary against this broker.
    pub(super) fn watertable(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(server::watertable_binary()?);
        command.args(arguments).env("WATERTABLE_BROKERS", &self.0);
        Ok(command)
    }
}

#[derive(Debug)]
pub(super) struct Machine {
    folder: PathBuf,
    port: u16,
    home: Home,
    broker: Running,
    worker: Option<Running>,
    postgres: Option<Postgres>,
}

impl Machine {
    /// A broker without data, and no worker yet.
    pub(super) fn start(folder: &Path, postgres: Option<Postgres>) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(folder)?;
        let port = process::free_port()?;
        let broker = start_broker(folder, port, Home::Worker)?;
        let mut machine = Self {
            folder: folder.to_path_buf(),
            port,
            home: Home::Worker,
            broker,
            worker: None,
            postgres,
        };
        machine.wait_for_broker()?;
        Ok(machine)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn client(&self) -> Client {
        Client(format!("127.0.0.1:{}", self.port))
    }

    /// Where its PostgreSQL listens.
    pub(super) fn database(&self) -> Result<String> {
        let postgres = self.postgres.as_ref().context("no PostgreSQL")?;
        Ok(postgres.address())
    }

    /// Applies the pipelines with these files.
    pub(super) fn apply(&self, pipelines: &[(&str, String)]) -> Result<()> {
        let files = self.folder.join("pipelines");
        fs::create_dir_all(&files)?;
        for (name, text) in pipelines {
            fs::write(files.join(format!("{name}.yaml")), text)?;
        }
        let plan = self.folder.join("plan.json");
        let mut command =
            self.client()
                .watertable(&["pipeline", "plan", "--env", ENVIRONMENT, "-o"])?;
        process::output(command.arg(&plan).arg(&files))?;
        process::output(self.client().watertable(&["pipeline", "apply"])?.arg(&plan))?;
        Ok(())
    }

    /// Begins to run pipelines.
    pub(super) fn start_worker(&mut self) -> Result<()> {
        self.worker = Some(self.another_worker("worker")?);
        Ok(())
    }

    /// A worker beside the machine's own.
    pub(super) fn another_worker(&self, name: &str) -> Result<Running> {
        let log = append(&self.folder.join(format!("{name}.log")))?;
        Running::start(
            self.client()
                .watertable(&["pipeline", "worker", "--client-id", name])?
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .process_group(0),
        )
    }

    /// Has pipelines run elsewhere from now on.
    pub(super) fn move_to(&mut self, home: Home) -> Result<()> {
        if let Some(mut worker) = self.worker.take() {
            worker.kill()?;
        }
        self.home = home;
        self.kill(Victim::Broker)?;
        if home == Home::Worker {
            self.start_worker()?;
        }
        self.wait_for_broker()
    }

    /// Who can be killed as it runs now.
    pub(super) fn victims(&self) -> Vec<Victim> {
        let worker = self.worker.as_ref().map(|_worker| Victim::Worker);
        let postgres = self.postgres.as_ref().map(|_postgres| Victim::Postgres);
        [Some(Victim::Broker), worker, postgres]
            .into_iter()
            .flatten()
            .collect()
    }

    /// SIGKILL, and starts it again at once, without waiting until it is up.
    pub(super) fn kill(&mut self, victim: Victim) -> Result<()> {
        match victim {
            Victim::Broker => {
                self.broker.kill()?;
                self.broker = start_broker(&self.folder, self.port, self.home)?;
            }
            Victim::Worker => {
                let mut worker = self.worker.take().context("no worker of its own")?;
                worker.kill()?;
                self.start_worker()?;
            }
            Victim::Postgres => {
                let postgres = self.postgres.as_mut().context("no PostgreSQL")?;
                postgres.kill()?;
                postgres.restart()?;
            }
        }
        Ok(())
    }

    /// Waits until all of them are there; one that ended by itself is an error.
    pub(super) fn wait_until_up(&mut self) -> Result<()> {
        self.wait_for_broker()?;
        if let Some(worker) = &mut self.worker
            && let Some(status) = worker.ended()?
        {
            let said = process::tail(&self.folder.join("worker.log"), 12);
            bail!("the worker ended with {status} by itself:\n{said}");
        }
        if let Some(postgres) = &mut self.postgres {
            process::wait_until("PostgreSQL", START_LIMIT, || postgres.is_ready_again())?;
        }
        Ok(())
    }

    fn wait_for_broker(&mut self) -> Result<()> {
        let (broker, log) = (&mut self.broker, self.folder.join("broker.log"));
        kafka::wait_until_ready(self.port, START_LIMIT, || match broker.ended()? {
            None => Ok(()),
            Some(status) => bail!(
                "the broker ended with {status} by itself:\n{}",
                process::tail(&log, 12)
            ),
        })
    }

    /// Ends pipelines at their next commit.
    pub(super) fn stop_worker(&mut self) -> Result<()> {
        if self.home == Home::Broker {
            self.home = Home::Worker;
            let status = self.broker.terminate(START_LIMIT)?;
            anyhow::ensure!(
                status.success(),
                "the broker ended with {status} after SIGTERM"
            );
            self.broker = start_broker(&self.folder, self.port, self.home)?;
            return self.wait_for_broker();
        }
        if let Some(mut worker) = self.worker.take() {
            let status = worker.terminate(START_LIMIT)?;
            anyhow::ensure!(
                status.success(),
                "the worker ended with {status} after SIGTERM"
            );
        }
        Ok(())
    }
}

fn append(path: &Path) -> Result<fs::File> {
    let file = fs::File::options().create(true).append(true).open(path);
    file.with_context(|| path.display().to_string())
}

fn start_broker(folder: &Path, port: u16, home: Home) -> Result<Running> {
    let log = append(&folder.join("broker.log"))?;
    let workers = match home {
        Home::Worker => 0,
        Home::Broker => 2,
    };
    Running::start(
        Command::new(server::watertable_binary()?)
            .arg("start")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--http-listen", "off", "--sql-listen", "off"])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args(["--set", "auto.create.topics.enable=false"])
            .args(["--set", &format!("pipeline.workers={workers}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Signals of the terminal are for this tool, which ends the broker itself.
            .process_group(0),
    )
}
