//! The client programs of a run, `clients/chaos`: each writes histories until it is told to stop, and ends well only if it came
//! to the end of what there is. One that ends before is an error.

use crate::process::{self, Running};
use crate::{install, interrupt};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A client's own limits are shorter, so that it can say what is missing.
const END_LIMIT: Duration = Duration::from_secs(360);

/// Between the numbers of the first processes of two programs.
const PROCESSES_EACH: u32 = 1000;

/// Small, and quiet about connections that are lost.
const JAVA_FLAGS: [&str; 4] = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
];

#[derive(Debug)]
struct Client {
    name: &'static str,
    process: Running,
}

#[derive(Debug)]
pub(crate) struct Clients {
    python: PathBuf,
    bootstrap: String,
    folder: PathBuf,
    seed: u64,
    next_process: u32,
    running: Vec<Client>,
}

impl Clients {
    /// Histories go into `histories` in this folder, what the programs say beside it.
    pub(crate) fn new(port: u16, folder: &Path, seed: u64) -> Result<Self> {
        fs::create_dir_all(folder.join("histories"))?;
        Ok(Self {
            python: install::python()?,
            bootstrap: format!("127.0.0.1:{port}"),
            folder: folder.to_path_buf(),
            seed,
            next_process: 0,
            running: Vec::new(),
        })
    }

    pub(crate) fn histories(&self) -> PathBuf {
        self.folder.join("histories")
    }

    fn output(&self, name: &str) -> PathBuf {
        self.folder.join(format!("client-{name}.log"))
    }

    fn spawn(&mut self, name: &'static str, arguments: &[&str]) -> Result<Client> {
        let mut command = Command::new(&self.python);
        command
            .arg("-u")
            // Nothing is written beside the sources.
            .arg("-B")
            .arg(install::clients().join("chaos/main.py"))
            .args([name, &self.bootstrap])
            .arg(self.histories())
            .args(["--seed", &self.seed.to_string()])
            .args(["--process", &self.next_process.to_string()])
            .args(arguments);
        self.begin(name, &mut command)
    }

    fn begin(&mut self, name: &'static str, command: &mut Command) -> Result<Client> {
        let output = fs::File::create(self.output(name))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        self.next_process += PROCESSES_EACH;
        let process = Running::start(command)?;
        Ok(Client { name, process })
    }

    /// The program in Java, which has the commands `produce` and `read`.
    pub(crate) fn start_java(&mut self, name: &'static str, command: &str) -> Result<()> {
        let mut java = Command::new("java");
        java.args(JAVA_FLAGS)
            .args(["-cp", &install::java_chaos()?, "Chaos", command])
            .arg(&self.bootstrap)
            .arg(self.histories())
            .args([self.next_process.to_string(), self.seed.to_string()]);
        let client = self.begin(name, &mut java)?;
        self.running.push(client);
        Ok(())
    }

    pub(crate) fn start(&mut self, name: &'static str, arguments: &[&str]) -> Result<()> {
        let client = self.spawn(name, arguments)?;
        self.running.push(client);
        Ok(())
    }

    /// Runs one to its end and returns what it says.
    pub(crate) fn run(&mut self, name: &'static str, arguments: &[&str]) -> Result<String> {
        let client = self.spawn(name, arguments)?;
        self.wait(client)?;
        fs::read_to_string(self.output(name)).context("what the client said")
    }

    /// Fails if one has ended.
    pub(crate) fn still_run(&mut self) -> Result<()> {
        for client in &mut self.running {
            if let Some(status) = client.process.ended()? {
                let said = self.folder.join(format!("client-{}.log", client.name));
                bail!(
                    "the client `{}` ended with {status}:\n{}",
                    client.name,
                    process::tail(&said, 12)
                );
            }
        }
        Ok(())
    }

    /// Tells one to stop, and waits until it has come to its end.
    pub(crate) fn finish(&mut self, name: &'static str) -> Result<()> {
        let place = self.running.iter().position(|client| client.name == name);
        let client = self.running.remove(place.context("no such client runs")?);
        process::signal("TERM", client.process.id())?;
        self.wait(client)
    }

    fn wait(&mut self, mut client: Client) -> Result<()> {
        let deadline = Instant::now() + END_LIMIT;
        loop {
            interrupt::check()?;
            self.still_run()?;
            match client.process.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(
                    "the client `{}` ended with {status}:\n{}",
                    client.name,
                    process::tail(&self.output(client.name), 12)
                ),
                None if Instant::now() > deadline => bail!(
                    "the client `{}` does not end:\n{}",
                    client.name,
                    process::tail(&self.output(client.name), 12)
                ),
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
