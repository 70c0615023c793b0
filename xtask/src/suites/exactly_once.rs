//! `cargo xtask exactly-once`: a consume-transform-produce job with transactions, while its broker and the job itself are
//! killed with SIGKILL at random moments. What `read_committed` shows in the end must be the input, transformed: every
//! record once, in order.

use crate::clients::Counts;
use crate::process::{self, Running};
use crate::random::Random;
use crate::server::{Against, Server};
use crate::{install, workspace};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Input between two kills: so many transactions that the job is still at it when the kill falls.
const RECORDS_PER_KILL: u32 = 240;

/// A kill falls at a random moment of this span, after the job has shown that it goes on.
const KILL_SPAN_MS: u64 = 400;

/// A job that has not committed anything by then is stuck.
const PROGRESS_LIMIT: Duration = Duration::from_secs(90);

/// The program says so when only a new producer can go on, as after a fence.
const NEEDS_NEW_PRODUCER: i32 = 3;

#[derive(clap::Args, Debug)]
pub(crate) struct ExactlyOnceArguments {
    /// The broker to start
    #[arg(long, value_enum, default_value_t = Against::Watertable)]
    against: Against,
    /// How often something is killed
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Decides who is killed when
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(arguments: &ExactlyOnceArguments) -> Result<()> {
    run_job(arguments.against, arguments.kills, arguments.seed).map(drop)
}

/// The whole job; one check.
pub(crate) fn run_job(against: Against, kills: u32, seed: u64) -> Result<Counts> {
    let folder = workspace::target().join(format!("xtask/run-exactly-once-{}", against.name()));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let python = install::python()?;
    let mut server = Server::start(against, folder.join("broker"))?;
    let job = Job {
        python,
        bootstrap: server.bootstrap(),
        folder,
    };
    job.run(&["create"])?;
    let mut random = Random::new(seed);
    let mut worker = job.start()?;
    let (mut fed, mut brokers, mut jobs) = (0, 0, 0);
    for kill in 1..=kills {
        let next = fed + RECORDS_PER_KILL;
        job.run(&["feed", &fed.to_string(), &next.to_string()])?;
        fed = next;
        worker.progress(&job)?;
        std::thread::sleep(Duration::from_millis(random.next() % KILL_SPAN_MS));
        if random.next().is_multiple_of(2) {
            brokers += 1;
            server.kill_and_restart()?;
        } else {
            jobs += 1;
            worker.kill()?;
            worker = job.start()?;
        }
        if kill % 20 == 0 || kill == kills {
            println!("{kill} kills: {brokers} of the broker, {jobs} of the job");
        }
    }
    println!("{}", worker.verified(&job, fed)?.trim());
    worker.kill()?;
    server.stop()?;
    Ok(Counts::ONE)
}

/// The program and where it runs.
struct Job {
    python: PathBuf,
    bootstrap: String,
    folder: PathBuf,
}

impl Job {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg("-u")
            .arg(install::clients().join("suites/exactly_once.py"))
            .arg(&self.bootstrap)
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        process::output(&mut self.command(arguments))
    }

    fn start(&self) -> Result<Worker> {
        let (output, errors) = (self.folder.join("work.out"), self.folder.join("work.err"));
        let errors = fs::File::options().create(true).append(true).open(errors)?;
        let process = Running::start(
            self.command(&["work"])
                .stdin(Stdio::null())
                .stdout(fs::File::create(&output)?)
                .stderr(errors),
        )?;
        Ok(Worker {
            process,
            output,
            commits: 0,
        })
    }
}

/// The running job.
struct Worker {
    process: Running,
    output: PathBuf,
    /// Those that were seen.
    commits: usize,
}

impl Worker {
    /// Waits for a commit that was not seen before. A job that needs a new producer is started again.
    fn progress(&mut self, job: &Job) -> Result<()> {
        let deadline = Instant::now() + PROGRESS_LIMIT;
        loop {
            self.revive(job)?;
            let now = commits(&self.output)?;
            if now > self.commits {
                self.commits = now;
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "no commit within {} s: {}",
                PROGRESS_LIMIT.as_secs(),
                process::tail(&job.folder.join("work.err"), 5)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn revive(&mut self, job: &Job) -> Result<()> {
        if let Some(status) = self.process.ended()? {
            ensure!(
                status.code() == Some(NEEDS_NEW_PRODUCER),
                "the job ended with {status}: {}",
                process::tail(&job.folder.join("work.err"), 10)
            );
            *self = job.start()?;
        }
        Ok(())
    }

    /// Checks the output while the job works off what is left.
    fn verified(&mut self, job: &Job, count: u32) -> Result<String> {
        let output = job.folder.join("verify.out");
        let errors = job.folder.join("verify.err");
        let mut check = Running::start(
            job.command(&["verify", &count.to_string()])
                .stdin(Stdio::null())
                .stdout(fs::File::create(&output)?)
                .stderr(fs::File::create(&errors)?),
        )?;
        loop {
            if let Some(status) = check.ended()? {
                ensure!(status.success(), "{}", process::tail(&errors, 5));
                return fs::read_to_string(&output).context("what the check says");
            }
            self.revive(job)?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn kill(&mut self) -> Result<()> {
        if self.process.ended()?.is_none() {
            self.process.kill()?;
        }
        Ok(())
    }
}

fn commits(output: &Path) -> Result<usize> {
    let text = fs::read_to_string(output)?;
    Ok(text
        .lines()
        .filter(|line| line.starts_with("committed"))
        .count())
}
