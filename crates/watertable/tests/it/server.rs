//! A running `watertable start` on free ports, in a folder that goes away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `watertable` that inherits no settings.
pub(crate) fn command() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_watertable")))
}

/// A `watertable` that is expected to end by itself, and is ended if it does not.
pub(crate) fn short_command() -> Command {
    let mut command = Command::new("timeout");
    command
        .arg(PATIENCE.as_secs().to_string())
        .arg(env!("CARGO_BIN_EXE_watertable"));
    without_settings(command)
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WATERTABLE_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_BACKTRACE");
    command
}

pub(crate) struct Server {
    process: Child,
    pub(crate) kafka: SocketAddr,
    pub(crate) http: Option<SocketAddr>,
    /// Where clients of PostgreSQL connect.
    pub(crate) sql: SocketAddr,
    /// The lines printed at the start.
    pub(crate) lines: Vec<String>,
}

impl Server {
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_with_http(data, "127.0.0.1:0", arguments)
    }

    pub(crate) fn start_with_http(data: &Path, http: &str, arguments: &[&str]) -> Self {
        Self::start_by(command(), data, http, arguments)
    }

    /// With these variables in its environment.
    pub(crate) fn start_in(data: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = command();
        command.envs(variables.iter().copied());
        Self::start_by(command, data, "127.0.0.1:0", arguments)
    }

    fn start_by(mut command: Command, data: &Path, http: &str, arguments: &[&str]) -> Self {
        let mut process = command
            .args(["start", "--listen", "127.0.0.1:0", "--http-listen", http])
            .args(["--sql-listen", "127.0.0.1:0"])
            // Tests beside this one want all processors, and no query is to wait until they are done.
            .args(["--set", "sql.priority=low"])
            .arg("--data-dir")
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut lines = Vec::new();
        // The block ends with the cluster; without it the process has ended and so has the stream.
        while !lines
            .last()
            .is_some_and(|line: &String| line.trim_start().starts_with("cluster"))
        {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let mut errors = String::new();
                process
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut errors)
                    .unwrap();
                panic!("the broker did not start: {errors}");
            }
            lines.push(line);
        }
        let value = |name: &str| {
            let line = lines
                .iter()
                .find_map(|line| line.trim_start().strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        let http = value("http").strip_prefix("http://").map(|rest| {
            let (address, _) = rest.split_once('/').unwrap();
            address.parse().unwrap()
        });
        Self {
            kafka: value("listening on").parse().unwrap(),
            http,
            sql: value("sql").parse().unwrap(),
            lines,
            process,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).unwrap();
    }

    /// Stops the process where it is, and waits until no thread of it runs any more.
    #[allow(
        clippy::disallowed_methods,
        reason = "a test waits with a deadline of the machine's time"
    )]
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.process.id());
        let clock = env::SystemClock::new();
        let begun = env::Clock::now(&clock);
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let state = status.lines().find_map(|line| line.strip_prefix("State:"));
            state.unwrap().trim().starts_with('T')
        };
        while !std::fs::read_dir(&tasks).unwrap().all(is_stopped) {
            let waited = env::Clock::now(&clock).since(begun);
            assert!(waited < PATIENCE, "a stopped process stops");
            std::thread::yield_now();
        }
    }

    /// Waits for the end; the process and what it logged.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut errors = String::new();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        (self.process.wait().unwrap(), errors)
    }

    /// Bytes of memory that no file stands behind.
    pub(crate) fn anonymous_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .unwrap();
        let kib: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kib * 1024
    }

    /// Status and body of a page.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (status, body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
