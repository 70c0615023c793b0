//! The broker under test: the release binary, killed, stopped and started again on the same port and data. It tells how long
//! each restart took and what it read.

use crate::process::{self, Running};
use crate::server::{self, SUITE_SETTINGS, Setting};
use crate::{interrupt, kafka};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A start that takes longer counts as one that never comes to an end.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Nothing that is checked may go by age, however the clock jumps; small segments, so that there are many; a topic that is
/// forgotten does not come back empty.
const SETTINGS: [Setting; 6] = [
    ("auto.create.topics.enable", "false"),
    ("log.retention.ms", "-1"),
    ("log.segment.bytes", "1048576"),
    ("offsets.retention.minutes", "2147483647"),
    ("producer.id.expiration.ms", "2147483647"),
    ("transactional.id.expiration.ms", "2147483647"),
];

/// Where and how it runs.
#[derive(Debug)]
pub(crate) struct Launch {
    /// Where its settings and its log go.
    pub(crate) folder: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) port: u16,
    /// What clients connect to.
    pub(crate) advertised: u16,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Launch {
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn write_settings(&self) -> Result<()> {
        let mut settings: BTreeMap<&str, &str> = SUITE_SETTINGS.into_iter().collect();
        settings.extend(SETTINGS);
        let text: String = settings
            .into_iter()
            .map(|(name, value)| format!("\"{name}\" = \"{value}\"\n"))
            .collect();
        Ok(fs::write(self.folder.join("broker.toml"), text)?)
    }

    fn command(&self) -> Result<Command> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())?;
        let mut command = Command::new(server::watertable_binary()?);
        command
            .arg("start")
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--advertise", &format!("127.0.0.1:{}", self.advertised)])
            .args(["--http-listen", "off"])
            .args(["--sql-listen", "off"])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--config")
            .arg(self.folder.join("broker.toml"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Signals of the terminal are for this tool, which ends the broker itself.
            .process_group(0);
        Ok(command)
    }
}

/// What a start after a kill took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    /// From SIGKILL to the first answered request.
    pub(crate) took: Duration,
    /// Bytes that its reads returned until then, and those of them that came from the disk.
    pub(crate) read: u64,
    pub(crate) read_from_disk: u64,
}

#[derive(Debug)]
pub(crate) struct Broker {
    launch: Launch,
    process: Running,
    killed: Option<Instant>,
    restarts: Vec<Restart>,
}

impl Broker {
    pub(crate) fn start(launch: Launch) -> Result<Self> {
        launch.write_settings()?;
        let process = start(&launch)?;
        Ok(Self {
            launch,
            process,
            killed: None,
            restarts: Vec::new(),
        })
    }

    pub(crate) fn launch(&self) -> &Launch {
        &self.launch
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn restarts(&self) -> &[Restart] {
        &self.restarts
    }

    /// Fails if it has ended by itself.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        match self.process.ended()? {
            None => Ok(()),
            Some(status) => bail!("the broker ended with {status} by itself"),
        }
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.killed = Some(Instant::now());
        self.process.kill()
    }

    /// After `kill`; also again if it fails.
    pub(crate) fn restart(&mut self) -> Result<Restart> {
        let killed = self.killed.context("it was killed before")?;
        self.process = start(&self.launch)?;
        let took = killed.elapsed();
        let (read, read_from_disk) = bytes_read(self.process.id())?;
        let restart = Restart {
            took,
            read,
            read_from_disk,
        };
        self.restarts.push(restart);
        Ok(restart)
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        process::signal(name, self.id())
    }

    /// SIGTERM; an exit that is not clean is an error. Gives back where it ran.
    pub(crate) fn stop(mut self) -> Result<Launch> {
        let status = self.process.terminate(START_LIMIT)?;
        if !status.success() {
            bail!("the broker ended with {status} after SIGTERM");
        }
        Ok(self.launch)
    }
}

fn start(launch: &Launch) -> Result<Running> {
    let mut process = Running::start(&mut launch.command()?)?;
    let deadline = Instant::now() + START_LIMIT;
    while kafka::answers_api_versions(launch.port).is_err() {
        interrupt::check()?;
        if let Some(status) = process.ended()? {
            bail!(
                "the broker ended with {status}:\n{}",
                process::tail(&launch.log(), 5)
            );
        }
        if Instant::now() > deadline {
            bail!("the broker does not answer within {START_LIMIT:?}");
        }
        // Short, since it is part of what is measured.
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(process)
}

/// What a process has read: `rchar` and `read_bytes` of its `io`.
fn bytes_read(process: u32) -> Result<(u64, u64)> {
    let path = format!("/proc/{process}/io");
    let text = fs::read_to_string(Path::new(&path)).with_context(|| format!("read {path}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok())
            .with_context(|| format!("{name} in {path}"))
    };
    Ok((field("rchar:")?, field("read_bytes:")?))
}
