//! The broker that a suite runs against: Watertable as built here, or the pinned Apache Kafka. Both are started on
//! loopback with the same settings, so that the same run means the same on either. A broker dropped is a broker killed.

use crate::kafka::{self, KafkaBroker, Place};
use crate::process::{self, Running};
use crate::workspace;
use anyhow::{Result, bail};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Watertable starts in milliseconds; a loaded machine gets some slack.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A binary to run instead of the release build of this checkout, for example one built without optimisation. Not with
/// our prefix, which is for settings of the broker.
const BINARY_VARIABLE: &str = "BROKER_BINARY";

/// Settings with which one node passes the suites, the same for either broker: topics of several partitions, internal
/// topics with one replica, groups that form without delay, short heartbeats and locks. No authorizer.
pub(crate) const SUITE_SETTINGS: [(&str, &str); 11] = [
    ("num.partitions", "4"),
    ("auto.create.topics.enable", "true"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.consumer.heartbeat.interval.ms", "1000"),
    ("group.consumer.min.heartbeat.interval.ms", "1000"),
    ("group.share.min.record.lock.duration.ms", "1000"),
];

/// A setting over those of every suite.
pub(crate) type Setting = (&'static str, &'static str);

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
    sql_port: u16,
    data_dir: PathBuf,
    settings: Vec<Setting>,
    broker: Broker,
}

impl Server {
    /// Starts on a free port with an empty data folder.
    pub(crate) fn start(against: Against, data_dir: PathBuf) -> Result<Self> {
        Self::start_with(against, data_dir, &[])
    }

    /// As `start`, with settings over those of every suite.
    pub(crate) fn start_with(
        against: Against,
        data_dir: PathBuf,
        settings: &[Setting],
    ) -> Result<Self> {
        if data_dir.exists() {
            fs::remove_dir_all(&data_dir)?;
        }
        fs::create_dir_all(&data_dir)?;
        let port = process::free_port()?;
        let sql_port = process::free_port()?;
        let broker = start_broker(against, port, sql_port, &data_dir, settings)?;
        Ok(Self {
            against,
            port,
            sql_port,
            data_dir,
            settings: settings.to_vec(),
            broker,
        })
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where our broker takes SQL; Kafka takes none.
    pub(crate) fn sql(&self) -> String {
        format!("127.0.0.1:{}", self.sql_port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The broker's process.
    pub(crate) fn process(&self) -> u32 {
        match &self.broker {
            Broker::Watertable(process) => process.id(),
            Broker::Kafka(broker) => broker.process(),
        }
    }

    /// What our broker logs.
    pub(crate) fn log(&self) -> PathBuf {
        log_file(&self.data_dir)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Fails if the broker has ended by itself.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        let ended = match &mut self.broker {
            Broker::Watertable(process) => process.ended()?,
            Broker::Kafka(broker) => broker.ended()?,
        };
        match ended {
            None => Ok(()),
            Some(status) => bail!("the broker ended with {status} by itself"),
        }
    }

    /// SIGKILL, then start again on the same port and data.
    pub(crate) fn kill_and_restart(&mut self) -> Result<()> {
        match &mut self.broker {
            Broker::Watertable(process) => process.kill()?,
            Broker::Kafka(broker) => broker.kill()?,
        }
        self.broker = start_broker(
            self.against,
            self.port,
            self.sql_port,
            &self.data_dir,
            &self.settings,
        )?;
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

/// The release binary, built if it is not current; once per run, so that a restart does not wait for cargo. Or the one
/// that `BROKER_BINARY` names.
pub(crate) fn watertable_binary() -> Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(binary) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(binary.into());
    }
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

fn start_broker(
    against: Against,
    port: u16,
    sql_port: u16,
    data_dir: &Path,
    settings: &[Setting],
) -> Result<Broker> {
    match against {
        Against::Kafka => {
            let place = Place {
                port,
                data_dir: data_dir.to_path_buf(),
                static_quorum: true,
                settings: settings
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            };
            Ok(Broker::Kafka(KafkaBroker::start(&place)?))
        }
        Against::Watertable => Ok(Broker::Watertable(start_watertable(
            port, sql_port, data_dir, settings,
        )?)),
    }
}

/// The settings file of our broker: the suites' settings, each replaced by one of the same name in `settings`.
fn settings_file(settings: &[Setting]) -> String {
    let mut merged: BTreeMap<&str, &str> = SUITE_SETTINGS.into_iter().collect();
    merged.extend(settings.iter().copied());
    merged
        .into_iter()
        .map(|(name, value)| format!("\"{name}\" = \"{value}\"\n"))
        .collect()
}

fn start_watertable(
    port: u16,
    sql_port: u16,
    data_dir: &Path,
    settings: &[Setting],
) -> Result<Running> {
    let binary = watertable_binary()?;
    // Beside the data folder, which belongs to the broker alone.
    let file = data_dir.with_extension("toml");
    fs::write(&file, settings_file(settings))?;
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
            .args(["--sql-listen", &format!("127.0.0.1:{sql_port}")])
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Signals of the terminal are for this tool, which ends the broker itself.
            .process_group(0),
    )?;
    let mut still_alive = || match process.ended()? {
        None => Ok(()),
        Some(status) => bail!(
            "the broker ended with {status}:\n{}",
            process::tail(&log_file(data_dir), 20)
        ),
    };
    kafka::wait_until_ready(port, START_LIMIT, &mut still_alive)?;
    // SQL is there a moment later.
    process::wait_until("SQL", START_LIMIT, || {
        still_alive()?;
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, sql_port)).is_ok())
    })?;
    Ok(process)
}

fn log_file(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}
