//! A real PostgreSQL on loopback, to compare answers with. From the system's packages; its data lies in a folder of the run
//! and goes with it.

use crate::process::{self, Running};
use crate::{install, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(60);
/// The account that Debian's packages make for it: it refuses to run as root.
const ACCOUNT: &str = "postgres";

/// How long it may take to end without finishing anything.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Whether what it has committed has to survive its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Safety {
    /// It is never killed, and quick.
    Relaxed,
    /// As it is delivered.
    Durable,
}

/// A running PostgreSQL; ended when dropped, and its folder removed.
#[derive(Debug)]
pub(crate) struct Postgres {
    port: u16,
    folder: PathBuf,
    log: PathBuf,
    safety: Safety,
    process: Running,
}

impl Postgres {
    /// Starts one on a free port, with an empty database `postgres` whose superuser needs no password.
    pub(crate) fn start(name: &str) -> Result<Self> {
        Self::start_with(name, Safety::Relaxed)
    }

    /// As `start`, but one that keeps what it committed when it is killed.
    pub(crate) fn start_durable(name: &str) -> Result<Self> {
        Self::start_with(name, Safety::Durable)
    }

    fn start_with(name: &str, safety: Safety) -> Result<Self> {
        install::system_packages(&["postgresql", "postgresql-client"])?;
        // Where that account may write.
        let folder = std::env::temp_dir().join(format!("watertable-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        own(&folder)?;
        let user = ["--username", ACCOUNT, "--auth", "trust", "--no-sync"];
        process::output(
            account(&programs()?.join("initdb"))
                .args(user)
                .args(["--encoding", "UTF8", "--locale", "C", "--pgdata"])
                .arg(folder.join("data")),
        )?;
        let port = process::free_port()?;
        let log = workspace::target().join(format!("xtask/{name}-postgres.log"));
        fs::File::create(&log)?;
        let process = spawn(&folder, port, &log, safety)?;
        let mut postgres = Self {
            port,
            folder,
            log,
            safety,
            process,
        };
        process::wait_until("PostgreSQL", START_LIMIT, || {
            if let Some(status) = postgres.process.ended()? {
                bail!(
                    "PostgreSQL ended with {status}:\n{}",
                    process::tail(&postgres.log, 20)
                );
            }
            postgres.is_ready()
        })?;
        Ok(postgres)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL to all of its processes: one that is left of them keeps the next start away, for as long as it is busy.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let parent = self.process.id().to_string();
        let others = process::output(Command::new("ps").args(["-o", "pid=", "--ppid", &parent]));
        self.process.kill()?;
        for other in others.unwrap_or_default().split_whitespace() {
            // Most have noticed by now, and are gone.
            let mut kill = Command::new("kill");
            drop(process::output(kill.args(["-KILL", other])));
        }
        Ok(())
    }

    /// Starts it again after a kill; it is ready when `is_ready` says so.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.process = spawn(&self.folder, self.port, &self.log, self.safety)?;
        Ok(())
    }

    /// Whether it takes connections. One that did not come up is started again: what is left of the last one may have been in its
    /// way.
    pub(crate) fn is_ready_again(&mut self) -> Result<bool> {
        if self.process.ended()?.is_some() {
            self.restart()?;
        }
        self.is_ready()
    }

    fn is_ready(&self) -> Result<bool> {
        let mut asked = Command::new(programs()?.join("pg_isready"));
        asked.args([
            "--quiet",
            "-h",
            "127.0.0.1",
            "-U",
            ACCOUNT,
            "-d",
            "postgres",
        ]);
        asked.args(["-p", &self.port.to_string()]);
        Ok(process::output(&mut asked).is_ok())
    }
}

fn spawn(folder: &Path, port: u16, log: &Path, safety: Safety) -> Result<Running> {
    let output = fs::File::options().append(true).open(log)?;
    let mut command = account(&programs()?.join("postgres"));
    command
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Signals of the terminal are for this tool, which ends it itself.
        .process_group(0);
    if safety == Safety::Relaxed {
        command.args(["-c", "fsync=off"]);
    }
    Running::start(&mut command)
}

/// What psql prints of statements, as lines of CSV without a header.
pub(crate) fn ask(address: &str, database: &str, sql: &str) -> Result<String> {
    let (host, port) = address.split_once(':').context("an address")?;
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-t", "-v", "ON_ERROR_STOP=1", "--csv"])
        .args(["-h", host, "-p", port, "-U", ACCOUNT, "-d", database])
        .args(["-c", sql]);
    process::output(&mut command)
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its own word for "at once", which ends its processes, too. What is left of the folder hurts nobody.
        if let Ok(None) = self.process.ended() {
            let ended = process::signal("QUIT", self.process.id())
                .and_then(|()| self.process.wait(STOP_LIMIT));
            if let Err(error) = ended {
                eprintln!("PostgreSQL does not end: {error:#}");
            }
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The newest version's folder of programs, which are not on the path.
fn programs() -> Result<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql");
    let found = fs::read_dir(versions).with_context(|| versions.display().to_string())?;
    let mut found: Vec<PathBuf> = found
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().context("no PostgreSQL has initdb")
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn own(folder: &Path) -> Result<()> {
    if is_root() {
        process::run(Command::new("chown").arg(ACCOUNT).arg(folder))?;
    }
    Ok(())
}

/// A command of that account where we are root, and ours elsewhere. It replaces the process that was started, so that ending
/// that one ends it.
fn account(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"])
        .arg(program)
        .current_dir("/");
    command
}
