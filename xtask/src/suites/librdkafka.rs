//! `cargo xtask librdkafka`: librdkafka's own test-runner against a broker. Every test number runs in a process of its own
//! under a time limit, so that one that hangs or aborts takes no other with it; a few run at once.

mod build;
mod catalogue;
mod output;

use crate::clients::Counts;
use crate::process::Running;
use crate::server::{Against, Server, Setting};
use crate::suites::kafka_home;
use crate::suites::results::{Outcome, Results, Verdict, shortened};
use crate::workspace;
use anyhow::{Result, bail};
use catalogue::{DEFAULT_SCENARIO, Job};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The longest tests take some minutes on an idle machine.
const JOB_LIMIT: Duration = Duration::from_secs(1500);

/// Waiting times inside the tests, times this: they were set for faster machines than a loaded one with two cores.
const TIMEOUT_MULTIPLIER: f64 = 2.0;

/// Numbers of the tests of share consumers, which know neither group protocols nor idempotent producers: other modes would
/// only repeat them, and they are the longest.
const SHARE_CONSUMERS: std::ops::Range<&str> = "0170".."0186";
const DEFAULT_MODE: (Protocol, bool) = (Protocol::Classic, false);

/// The group protocol of the tests' consumers.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Classic,
    Consumer,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct LibrdkafkaArguments {
    /// The broker to start
    #[arg(long, value_enum, default_value_t = Against::Watertable)]
    against: Against,
    #[arg(long, value_enum, default_value_t = Protocol::Classic)]
    protocol: Protocol,
    /// Every producer of the tests is idempotent
    #[arg(long)]
    idempotent: bool,
    /// Only these tests, by number, separated by commas
    #[arg(long, value_delimiter = ',')]
    tests: Vec<String>,
    /// Only sub-tests whose name contains this
    #[arg(long)]
    subtests: Option<String>,
    /// Fewer iterations, and without the sub-tests that librdkafka leaves out of quick runs; the results are not kept
    #[arg(long)]
    quick: bool,
    /// What librdkafka logs, for example `broker,protocol`
    #[arg(long)]
    debug: Option<String>,
    /// Run everything so often; a test passes if it does in every run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Test processes at once
    #[arg(long, default_value_t = 2)]
    parallel: usize,
    /// Leave results and documentation as they are
    #[arg(long)]
    dry: bool,
}

impl LibrdkafkaArguments {
    /// The results file: one per mode, because a mode is a run of its own.
    fn results_name(&self) -> String {
        let mut name = format!("librdkafka-{}", self.protocol.name());
        if self.idempotent {
            name.push_str("-idempotent");
        }
        name
    }
}

pub(crate) fn run(arguments: &LibrdkafkaArguments) -> Result<()> {
    let counts = run_suite(arguments)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("{} of librdkafka's tests failed", counts.failed);
    }
    Ok(())
}

fn run_suite(arguments: &LibrdkafkaArguments) -> Result<Counts> {
    let tests = build::tests()?;
    let mut jobs = catalogue::jobs(&fs::read_to_string(tests.join("test.c"))?)?;
    jobs = catalogue::split(jobs, |file| Ok(fs::read_to_string(tests.join(file))?))?;
    if !arguments.tests.is_empty() {
        jobs.retain(|job| arguments.tests.contains(&job.number));
    }
    if arguments.tests.is_empty() && (arguments.protocol, arguments.idempotent) != DEFAULT_MODE {
        jobs.retain(|job| !SHARE_CONSUMERS.contains(&&*job.number));
    }
    if jobs.is_empty() {
        bail!("no test with a broker has such a number");
    }
    let folder = workspace::target().join(format!(
        "xtask/run-{}-{}",
        arguments.results_name(),
        arguments.against.name()
    ));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut by_scenario: BTreeMap<String, Vec<Job>> = BTreeMap::new();
    for job in jobs {
        by_scenario
            .entry(job.scenario.clone())
            .or_default()
            .push(job);
    }
    let run = Run {
        arguments,
        tests,
        kafka_home: kafka_home::make()?,
        folder: &folder,
    };
    let mut outcomes = Vec::new();
    for (scenario, jobs) in by_scenario {
        for _ in 0..arguments.repeat {
            outcomes.extend(run.scenario(&scenario, jobs.clone())?);
        }
    }
    let mut results = Results::read(&arguments.results_name())?;
    let mut ran = Vec::new();
    for (test, outcome) in of_all_runs(outcomes) {
        results.record(arguments.against, &test, outcome);
        ran.push(test);
    }
    ran.sort();
    if !arguments.dry && !arguments.quick && arguments.subtests.is_none() {
        results.write()?;
        results.write_page()?;
    }
    Ok(results.judge(arguments.against, &ran))
}

struct Run<'a> {
    arguments: &'a LibrdkafkaArguments,
    tests: PathBuf,
    kafka_home: PathBuf,
    folder: &'a Path,
}

impl Run<'_> {
    /// All jobs of a scenario against one fresh broker.
    fn scenario(&self, scenario: &str, jobs: Vec<Job>) -> Result<Vec<(String, Outcome)>> {
        let settings: &[Setting] = if scenario == DEFAULT_SCENARIO {
            &[]
        } else {
            &[("auto.create.topics.enable", "false")]
        };
        let data_dir = self.folder.join(format!("broker-{scenario}"));
        if data_dir.exists() {
            fs::remove_dir_all(&data_dir)?;
        }
        let mut server = Server::start_with(self.arguments.against, data_dir, settings)?;
        let bootstrap = server.bootstrap();
        let configuration = self.folder.join(format!("test-{scenario}.conf"));
        fs::write(&configuration, configuration_text(&bootstrap)?)?;
        let queue = Mutex::new(jobs.into_iter());
        let outcomes = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.arguments.parallel.max(1))
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        loop {
                            let next = queue.lock().expect("no worker panics with it").next();
                            let Some(job) = next else { return Ok(()) };
                            let ended = self.job(&job, &bootstrap, &configuration)?;
                            outcomes
                                .lock()
                                .expect("no worker panics with it")
                                .extend(ended);
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.join().expect("workers return errors")?;
            }
            anyhow::Ok(())
        })?;
        server.still_runs()?;
        server.stop()?;
        Ok(outcomes.into_inner().expect("no worker panicked"))
    }

    /// One test number in a process of its own.
    fn job(
        &self,
        job: &Job,
        bootstrap: &str,
        configuration: &Path,
    ) -> Result<Vec<(String, Outcome)>> {
        let log = self.folder.join(format!("{}.log", job.name()));
        let file = fs::File::create(&log)?;
        let mut command = Command::new("./test-runner");
        command.args(["-L", "-K", "-p1", "-s", &job.scenario]);
        if self.arguments.quick {
            command.arg("-Q");
        }
        if self.arguments.idempotent {
            command.arg("-P");
        }
        if let Some(part) = &job.part {
            command.env("SUBTESTS", format!("{part}:"));
        }
        if let Some(subtests) = &self.arguments.subtests {
            command.env("SUBTESTS", subtests);
        }
        if let Some(debug) = &self.arguments.debug {
            command.env("TEST_DEBUG", debug);
        }
        command
            .current_dir(&self.tests)
            .env("LD_LIBRARY_PATH", "../src:../src-cpp")
            .env("TEST_KAFKA_VERSION", "4.2.0")
            .env(
                "TEST_CONSUMER_GROUP_PROTOCOL",
                self.arguments.protocol.name(),
            )
            .env("RDKAFKA_TEST_CONF", configuration)
            .env("TESTS", &job.number)
            .env("KAFKA_PATH", &self.kafka_home)
            .env("BROKERS", bootstrap)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let started = Instant::now();
        let mut process = Running::start(&mut command)?;
        let ended = process.wait(JOB_LIMIT);
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let mut found = output::outcomes(&text);
        let end = match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("the process ended with {status}")),
            Err(error) => Some(error.to_string()),
        };
        let mut outcomes = Vec::new();
        for name in &job.tests {
            let mut outcome = found.remove(name).unwrap_or_else(|| {
                let reason = end.as_deref().unwrap_or("the test did not run");
                Outcome::of(Verdict::Failed, reason)
            });
            // Notes are kept, so they say nothing of this machine.
            let home = self.kafka_home.display().to_string();
            let note = outcome.note.replace(&home, "$KAFKA_PATH");
            outcome.note = shortened(&note.replace(bootstrap, "$BROKERS"));
            let row = match &job.part {
                Some(part) => format!("{name} {part}"),
                None => name.clone(),
            };
            let parts = outcome.parts_passed + outcome.parts_skipped;
            if job.part.is_some() && outcome.verdict == Verdict::Passed && parts == 0 {
                // Left out of quick runs.
                continue;
            }
            println!(
                "{row}: {:?}, {} parts, {:.0} s {}",
                outcome.verdict,
                outcome.parts_passed,
                started.elapsed().as_secs_f64(),
                outcome.note
            );
            outcomes.push((row, outcome));
        }
        Ok(outcomes)
    }
}

/// One outcome a test: the first that was not a pass, with how many runs passed, if not all did.
fn of_all_runs(outcomes: Vec<(String, Outcome)>) -> BTreeMap<String, Outcome> {
    let mut by_test: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    for (test, outcome) in outcomes {
        by_test.entry(test).or_default().push(outcome);
    }
    let of_all = |(test, outcomes): (String, Vec<Outcome>)| {
        let runs = outcomes.len();
        let is_passed = |outcome: &&Outcome| outcome.verdict == Verdict::Passed;
        let passed = outcomes.iter().filter(is_passed).count();
        let mut outcomes = outcomes.into_iter();
        let first = outcomes.next()?;
        if passed == runs || passed == 0 {
            return Some((test, first));
        }
        let other = |outcome: &Outcome| outcome.verdict != Verdict::Passed;
        let mut outcome = std::iter::once(first).chain(outcomes).find(other)?;
        outcome.note = shortened(&format!(
            "passed in {passed} of {runs} runs: {}",
            outcome.note
        ));
        Some((test, outcome))
    };
    by_test.into_iter().filter_map(of_all).collect()
}

fn configuration_text(bootstrap: &str) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "bootstrap.servers={bootstrap}")?;
    writeln!(text, "test.timeout.multiplier={TIMEOUT_MULTIPLIER}")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_passes_if_it_does_in_every_run() {
        fn runs(verdicts: &[(Verdict, &str)]) -> Outcome {
            let runs = verdicts.iter();
            let runs = runs.map(|(verdict, note)| ("0045".to_owned(), Outcome::of(*verdict, note)));
            of_all_runs(runs.collect()).remove("0045").unwrap()
        }
        let outcome = Outcome::of;
        let (passed, failed) = (Verdict::Passed, Verdict::Failed);
        assert_eq!(runs(&[(passed, ""), (passed, "")]), outcome(passed, ""));
        assert_eq!(runs(&[(failed, "a"), (failed, "b")]), outcome(failed, "a"));
        let mixed = runs(&[(passed, ""), (failed, "late"), (passed, "")]);
        assert_eq!(mixed, outcome(failed, "passed in 2 of 3 runs: late"));
    }
}
