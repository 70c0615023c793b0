//! `cargo xtask java-tools`: programs of the Java release against a broker. First those that give a verdict of their own
//! (compatibility test, verifiable producer and consumers, transactional copier, Streams, Connect), then every command line
//! tool, step by step, whose output is compared with what it prints for Kafka.

mod normalise;
mod programs;
mod steps;

use crate::clients::Counts;
use crate::server::{Against, Server};
use crate::suites::results::{Outcome, Results, Verdict};
use crate::{kafka, workspace};
use anyhow::{Result, bail};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args, Debug)]
pub(crate) struct JavaArguments {
    /// The broker to start
    #[arg(long, value_enum, default_value_t = Against::Watertable)]
    against: Against,
    /// Only programs and steps whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Only the programs, or only the steps
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Leave results and documentation as they are
    #[arg(long)]
    dry: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Programs,
    Steps,
}

/// What programs and steps run with.
#[derive(Debug)]
struct Place {
    against: Against,
    bootstrap: String,
    /// For their files; the broker's data lies in `broker` of it.
    folder: PathBuf,
}

pub(crate) fn run(arguments: &JavaArguments) -> Result<()> {
    let counts = run_suite(arguments)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("{} of the Java tools' tests failed", counts.failed);
    }
    Ok(())
}

fn run_suite(arguments: &JavaArguments) -> Result<Counts> {
    let folder = workspace::target().join(format!("xtask/run-java-{}", arguments.against.name()));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    // Before the broker starts, so that a first resolution does not count as its time.
    kafka::class_path()?;
    let mut results = Results::read("java-tools")?;
    let mut ran = Vec::new();
    if arguments.part != Some(Part::Steps) {
        programs(arguments, &folder, &mut results, &mut ran)?;
    }
    if arguments.part != Some(Part::Programs) {
        let place = Place {
            against: arguments.against,
            bootstrap: String::new(),
            folder: folder.join("steps"),
        };
        for (name, outcome) in steps::run(place, arguments.only.as_deref(), arguments.dry)? {
            results.record(arguments.against, &name, outcome);
            ran.push(name);
        }
    }
    if !arguments.dry {
        results.write()?;
        results.write_page()?;
    }
    Ok(results.judge(arguments.against, &ran))
}

/// Each program against one broker, one after the other: they are heavy.
fn programs(
    arguments: &JavaArguments,
    folder: &std::path::Path,
    results: &mut Results,
    ran: &mut Vec<String>,
) -> Result<()> {
    let mut server = Server::start(arguments.against, folder.join("programs/broker"))?;
    let place = Place {
        against: arguments.against,
        bootstrap: server.bootstrap(),
        folder: folder.join("programs"),
    };
    for (name, program) in programs::PROGRAMS {
        if arguments
            .only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        let started = Instant::now();
        let outcome = match program(&place) {
            Ok(()) => Outcome::of(Verdict::Passed, ""),
            Err(error) => Outcome::of(Verdict::Failed, &format!("{error:#}")),
        };
        println!(
            "{name}: {:?}, {:.0} s {}",
            outcome.verdict,
            started.elapsed().as_secs_f64(),
            outcome.note
        );
        results.record(arguments.against, name, outcome);
        ran.push(name.to_owned());
        server.still_runs()?;
    }
    server.stop()?;
    Ok(())
}
