//! Child processes with deadlines. Invariant: a process started here is ended when its handle is dropped,
//! and nothing waits for ever.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds; an error names `what` was waited for.
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !condition()? {
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Runs to the end with inherited output; a failure is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and returns standard output; standard error is shown only with a failure.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    output_of(command, &[])
}

/// As `output`, with this on standard input. The input must fit in a pipe's buffer or be read while the process writes
/// little: it is written whole before output is read.
pub(crate) fn output_of(command: &mut Command, input: &[u8]) -> Result<String> {
    let bytes = bytes_of(command, input)?;
    String::from_utf8(bytes).with_context(|| format!("output of {}", shown(command)))
}

/// As `output_of`, of a process whose output is no text.
pub(crate) fn bytes_of(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", shown(command)))?;
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    stdin
        .write_all(input)
        .with_context(|| format!("write to {}", shown(command)))?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}

/// Whether a program can be found in `PATH`.
pub(crate) fn on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

/// Where a program lies that can be found in `PATH`.
pub(crate) fn find_on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A loopback port that nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A running child; dropped means killed.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = shown(command);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if it was started with a pipe and nobody has taken it.
    pub(crate) fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The exit status if the process has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end; past the limit the process is killed and that is an error.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        let mut status = None;
        let waited = wait_until(&format!("end of {}", self.name), limit, || {
            status = child.try_wait()?;
            Ok(status.is_some())
        });
        if waited.is_err() {
            self.kill()?;
        }
        waited?;
        status.context("the process ended without a status")
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits for the end.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        signal("TERM", self.id())?;
        self.wait(limit)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Nothing is left to do about a child that cannot be killed.
            drop(self.kill());
        }
    }
}

/// Sends a signal by name to one process.
pub(crate) fn signal(name: &str, process: u32) -> Result<()> {
    run(Command::new("kill")
        .arg(format!("-{name}"))
        .arg(process.to_string()))
}

/// The last lines of a log, for error messages.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text));
    if let Err(error) = read {
        return format!("({}: {error})", path.display());
    }
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    // A class path of a hundred jars says nothing.
    let arguments: Vec<_> = command
        .get_args()
        .map(OsStr::to_string_lossy)
        .filter(|argument| argument.len() < 200)
        .collect();
    format!("{} {}", program.to_string_lossy(), arguments.join(" "))
}
