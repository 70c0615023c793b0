//! The two brokers as processes: started on a folder, killed, started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::Options;
use super::wire::Wire;
use crate::kafka::{self, Place};
use crate::process::{self, Running};
use crate::server;

const START_LIMIT: Duration = Duration::from_secs(600);
const STOP_LIMIT: Duration = Duration::from_secs(120);
/// Start-up is measured in milliseconds, so a started broker is asked this often.
const ASK_INTERVAL: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Watertable,
    Kafka,
}

/// When a produced batch is acked; rivals are compared within a class only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// From the page cache: survives the end of the process.
    C,
    /// From the disk: survives loss of power.
    D,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Watertable => "Watertable",
            Self::Kafka => "Apache Kafka",
        }
    }

    /// The settings that put a topic into `class`; acks are `all` in both.
    pub(crate) fn topic_settings(self, class: Class) -> &'static [(&'static str, &'static str)] {
        match (self, class) {
            (Self::Watertable, Class::C) => &[("write.caching", "true")],
            (Self::Kafka, Class::D) => &[("flush.messages", "1")],
            (Self::Watertable, Class::D) | (Self::Kafka, Class::C) => &[],
        }
    }
}

/// A running broker with its folder; killed when dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) peer: Peer,
    pub(crate) port: u16,
    running: Running,
    started: Instant,
    data_dir: PathBuf,
    watertable: PathBuf,
}

impl Broker {
    /// Starts on a fresh folder and waits for the first answer to ApiVersions.
    pub(crate) fn start(peer: Peer, options: &Options) -> Result<Self> {
        let data_dir = options
            .data_dir()
            .join(peer.name().replace(' ', "-").to_lowercase());
        if data_dir.exists() {
            fs::remove_dir_all(&data_dir)
                .with_context(|| format!("clearing {}", data_dir.display()))?;
        }
        fs::create_dir_all(&data_dir)?;
        let watertable = match (&options.watertable, peer) {
            (Some(path), _) => path.clone(),
            (None, Peer::Watertable) => server::watertable_binary()?,
            (None, Peer::Kafka) => PathBuf::new(),
        };
        let mut broker = Self::spawn(peer, data_dir, watertable)?;
        broker.wait_until_it_answers()?;
        Ok(broker)
    }

    /// Starts the same broker again on its folder, after it has ended. Returns before it answers.
    pub(crate) fn start_again(self) -> Result<Self> {
        let (peer, data_dir, watertable) =
            (self.peer, self.data_dir.clone(), self.watertable.clone());
        drop(self);
        Self::spawn(peer, data_dir, watertable)
    }

    fn spawn(peer: Peer, data_dir: PathBuf, watertable: PathBuf) -> Result<Self> {
        let port = process::free_port()?;
        let running = match peer {
            Peer::Kafka => kafka::spawn(&Place {
                port,
                data_dir: data_dir.clone(),
                static_quorum: false,
                settings: Vec::new(),
            })?,
            Peer::Watertable => {
                let log = fs::File::create(data_dir.join("broker.log"))?;
                Running::start(
                    Command::new(&watertable)
                        .arg("start")
                        .args(["--listen", &format!("127.0.0.1:{port}")])
                        .args([
                            "--http-listen",
                            &format!("127.0.0.1:{}", process::free_port()?),
                        ])
                        .args([
                            "--sql-listen",
                            &format!("127.0.0.1:{}", process::free_port()?),
                        ])
                        // As Kafka is started: a group of one need not wait for others.
                        .args(["--set", "group.initial.rebalance.delay.ms=0"])
                        .arg("--data-dir")
                        .arg(data_dir.join("data"))
                        .stdin(Stdio::null())
                        .stdout(log.try_clone()?)
                        .stderr(log),
                )?
            }
        };
        Ok(Self {
            peer,
            port,
            running,
            started: Instant::now(),
            data_dir,
            watertable,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.id()
    }

    /// Time since the process was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn wait_until_it_answers(&mut self) -> Result<Duration> {
        self.wait_for("answer to ApiVersions", |wire| wire.api_versions())
    }

    /// Tries `request` on a new connection until it succeeds; returns the age of the process then.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        mut request: impl FnMut(&mut Wire) -> Result<()>,
    ) -> Result<Duration> {
        loop {
            let outcome = Wire::connect(self.port).and_then(|mut wire| request(&mut wire));
            let age = self.age();
            let Err(error) = outcome else { return Ok(age) };
            if let Some(status) = self.running.ended()? {
                bail!(
                    "{} ended with {status}:\n{}",
                    self.peer.name(),
                    process::tail(&self.log_file(), 30)
                );
            }
            if age > START_LIMIT {
                return Err(error.context(format!("{}: no {what}", self.peer.name())));
            }
            std::thread::sleep(ASK_INTERVAL);
        }
    }

    pub(crate) fn wire(&self) -> Result<Wire> {
        Wire::connect(self.port).with_context(|| format!("connecting to {}", self.peer.name()))
    }

    /// Creates a topic and waits until all its partitions have leaders.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: usize,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut wire = self.wire()?;
        wire.create_topic(name, partitions, settings)
            .with_context(|| self.peer.name())?;
        process::wait_until(&format!("leaders of {name}"), START_LIMIT, || {
            Ok(wire.partitions_with_leader(name)? == partitions)
        })
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.running.kill()
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        self.running.terminate(STOP_LIMIT)?;
        Ok(())
    }

    /// Ends the broker and removes its folder.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.terminate()?;
        fs::remove_dir_all(&self.data_dir)
            .with_context(|| format!("removing {}", self.data_dir.display()))
    }

    /// Takes the broker's files out of the page cache, so that a restart reads what it reads from the disk.
    pub(crate) fn evict_files(&self) -> Result<()> {
        process::run(Command::new("sync").arg("-f").arg(&self.data_dir))?;
        for file in files_below(&self.data_dir)? {
            process::output(
                Command::new("dd")
                    .arg(format!("if={}", file.display()))
                    .args(["iflag=nocache", "count=0", "status=none"]),
            )?;
        }
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.data_dir.join("broker.log")
    }
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
