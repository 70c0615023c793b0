//! A real PostgreSQL on loopback, to compare answers with. From the system's packages; its data lies in a folder of the run
//! and goes with it.

use crate::process::{self, Running};
use crate::{install, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(60);
/// The account that Debian's packages make for it: it refuses to run as root.
const ACCOUNT: &str = "postgres";

/// How long it may take to end without finishing anything.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running PostgreSQL; ended when dropped, and its folder removed.
#[derive(Debug)]
pub(crate) struct Postgres {
    port: u16,
    folder: PathBuf,
    process: Running,
}

impl Postgres {
    /// Starts one on a free port, with an empty database `postgres` whose superuser needs no password.
    pub(crate) fn start(name: &str) -> Result<Self> {
        install::system_packages(&["postgresql"])?;
        let programs = programs()?;
        // Where that account may write.
        let folder = std::env::temp_dir().join(format!("watertable-{name}-{}", std::process::id()));
        let data = folder.join("data");
        fs::create_dir_all(&folder)?;
        own(&folder)?;
        let user = ["--username", ACCOUNT, "--auth", "trust", "--no-sync"];
        process::output(
            account(&programs.join("initdb"))
                .args(user)
                .args(["--encoding", "UTF8", "--locale", "C", "--pgdata"])
                .arg(&data),
        )?;
        let port = process::free_port()?;
        let log = workspace::target().join(format!("xtask/{name}-postgres.log"));
        let output = fs::File::create(&log)?;
        let process = Running::start(
            account(&programs.join("postgres"))
                .arg("-D")
                .arg(&data)
                .args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()])
                .args(["-c", "fsync=off"])
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output),
        )?;
        let mut postgres = Self {
            port,
            folder,
            process,
        };
        let ready = programs.join("pg_isready");
        process::wait_until("PostgreSQL", START_LIMIT, || {
            if let Some(status) = postgres.process.ended()? {
                bail!(
                    "PostgreSQL ended with {status}:\n{}",
                    process::tail(&log, 20)
                );
            }
            let mut asked = Command::new(&ready);
            asked.args(["--quiet", "-h", "127.0.0.1", "-p", &port.to_string()]);
            Ok(process::output(&mut asked).is_ok())
        })?;
        Ok(postgres)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its own word for "at once", which ends its processes, too. What is left of the folder hurts nobody.
        let ended =
            process::signal("QUIT", self.process.id()).and_then(|()| self.process.wait(STOP_LIMIT));
        if let Err(error) = ended {
            eprintln!("PostgreSQL does not end: {error:#}");
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
