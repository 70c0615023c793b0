//! The broker that a suite runs against: Watertable as built here, or the pinned Apache Kafka. Both are started on
//! loopback with the same settings, so that the same run means the same on either. A broker dropped is a broker killed.

use crate::kafka::{self, KafkaBroker, Place};
use crate::process::{self, Running};
use crate::workspace;
use anyhow::{Result, bail};
use clap::ValueEnum;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Watertable starts in milliseconds; a loaded machine gets some slack.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Settings that differ from Kafka's defaults, so that groups form without delay and created topics have several
/// partitions. `KafkaBroker` sets the same.
const WATERTABLE_SETTINGS: &str =
    "\"num.partitions\" = 4\n\"group.initial.rebalance.delay.ms\" = 0\n";

/// Which broker a suite runs against.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    Watertable,
    Kafka,
}

impl Against {
    /// As named in `clients/explained.toml` and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Watertable => "watertable",
            Self::Kafka => "kafka",
        }
    }
}

#[derive(Debug)]
enum Broker {
    Watertable(Running),
    Kafka(KafkaBroker),
}

/// A broker of our own with its data folder.
#[derive(Debug)]
pub(crate) struct Server {
    against: Against,
    port: u16,
    data_dir: PathBuf,
    broker: Broker,
}

impl Server {
    /// Starts on a free port with an empty data folder.
    pub(crate) fn start(against: Against, data_dir: PathBuf) -> Result<Self> {
        if data_dir.exists() {
            fs::remove_dir_all(&data_dir)?;
        }
        fs::create_dir_all(&data_dir)?;
        let port = process::free_port()?;
        let broker = start_broker(against, port, &data_dir)?;
        Ok(Self {
            against,
            port,
            data_dir,
            broker,
        })
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL, then start again on the same port and data.
    pub(crate) fn kill_and_restart(&mut self) -> Result<()> {
        match &mut self.broker {
            Broker::Watertable(process) => process.kill()?,
            Broker::Kafka(broker) => broker.kill()?,
        }
        self.broker = start_broker(self.against, self.port, &self.data_dir)?;
        Ok(())
    }

    /// SIGTERM; an exit that is not clean is an error. Returns the data folder.
    pub(crate) fn stop(self) -> Result<PathBuf> {
        match self.broker {
            Broker::Kafka(broker) => broker.stop()?,
            Broker::Watertable(mut process) => {
                let status = process.terminate(START_LIMIT)?;
                if !status.success() {
                    bail!(
                        "the broker ended with {status} after SIGTERM:\n{}",
                        process::tail(&log_file(&self.data_dir), 20)
                    );
                }
            }
        }
        Ok(self.data_dir)
    }
}

/// The release binary, built if it is not current; once per run, so that a restart does not wait for cargo.
pub(crate) fn watertable_binary() -> Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(binary) = BUILT.get() {
        return Ok(binary.clone());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    process::run(
        Command::new(cargo)
            .args([
                "build",
                "--release",
                "--locked",
                "--quiet",
                "--package",
                "watertable",
            ])
            .current_dir(workspace::root()),
    )?;
    Ok(BUILT
        .get_or_init(|| workspace::target().join("release/watertable"))
        .clone())
}

fn start_broker(against: Against, port: u16, data_dir: &Path) -> Result<Broker> {
    match against {
        Against::Kafka => {
            let place = Place {
                port,
                data_dir: data_dir.to_path_buf(),
                static_quorum: false,
                settings: Vec::new(),
            };
            Ok(Broker::Kafka(KafkaBroker::start(&place)?))
        }
        Against::Watertable => Ok(Broker::Watertable(start_watertable(port, data_dir)?)),
    }
}

fn start_watertable(port: u16, data_dir: &Path) -> Result<Running> {
    let binary = watertable_binary()?;
    // Beside the data folder, which belongs to the broker alone.
    let settings = data_dir.with_extension("toml");
    fs::write(&settings, WATERTABLE_SETTINGS)?;
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(log_file(data_dir))?;
    let mut process = Running::start(
        Command::new(binary)
            .arg("start")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args([
                "--http-listen",
                &format!("127.0.0.1:{}", process::free_port()?),
            ])
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--config")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Signals of the terminal are for this tool, which ends the broker itself.
            .process_group(0),
    )?;
    kafka::wait_until_ready(port, START_LIMIT, || match process.ended()? {
        None => Ok(()),
        Some(status) => bail!(
            "the broker ended with {status}:\n{}",
            process::tail(&log_file(data_dir), 20)
        ),
    })?;
    Ok(process)
}

fn log_file(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}
