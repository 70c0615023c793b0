//! `cargo xtask test`: everything that must hold, in the order in which it is cheapest to learn that it does not. A
//! failed step does not stop the others; the last line counts what passed and failed, and the exit status says so too.

mod direction;
mod licences;
mod selects;

use crate::book;
use crate::chaos;
use crate::clients::{self, Counts};
use crate::compatibility::{self, CompatibilityArguments};
use crate::flights;
use crate::install;
use crate::kills;
use crate::overload::{self, OverloadArguments};
use crate::pipelines;
use crate::protocol::{self, ProtocolArguments};
use crate::server::{self, Against, Server};
use crate::sim;
use crate::sql;
use crate::suites::exactly_once;
use crate::workspace;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Parts that can be run alone.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Formatting, lints, tests, crate direction, licences, generated files
    Rust,
    /// The compatibility matrix against Watertable
    Clients,
    /// The main job on real input, with a kill; jobs and clients while the broker is killed and disturbed
    Flights,
}

#[derive(clap::Args, Debug)]
pub(crate) struct TestArguments {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
}

struct Step {
    part: Part,
    name: &'static str,
    run: fn() -> Result<Counts>,
}

/// A short run; `cargo xtask exactly-once` kills as often as one likes.
const EXACTLY_ONCE_KILLS: u32 = 6;
const EXACTLY_ONCE_SEED: u64 = 1;

const STEPS: [Step; 23] = [
    Step {
        part: Part::Rust,
        name: "formatting",
        run: || cargo(&["fmt", "--all", "--check"]),
    },
    Step {
        part: Part::Rust,
        name: "crate direction",
        run: || direction::check().map(|()| Counts::ONE),
    },
    Step {
        part: Part::Rust,
        name: "order of selects",
        run: || selects::check().map(|()| Counts::ONE),
    },
    Step {
        part: Part::Rust,
        name: "licences",
        run: || licences::check().map(|()| Counts::ONE),
    },
    Step {
        part: Part::Rust,
        name: "lints",
        run: || {
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ])
        },
    },
    Step {
        part: Part::Rust,
        name: "generated protocol",
        run: || protocol::run(ProtocolArguments { check: true }).map(|()| Counts::ONE),
    },
    Step {
        part: Part::Rust,
        name: "compatibility page",
        run: || compatibility::run(&CompatibilityArguments::CHECK).map(|()| Counts::ONE),
    },
    Step {
        part: Part::Rust,
        name: "protocol against Kafka",
        run: || protocol::oracle::run().map(|()| Counts::ONE),
    },
    Step {
        part: Part::Rust,
        name: "tests",
        run: tests,
    },
    Step {
        part: Part::Rust,
        name: "planted bugs",
        run: || sim::find_planted().map(|()| Counts::ONE),
    },
    Step {
        part: Part::Rust,
        name: "broker beside Kafka",
        run: beside_kafka,
    },
    Step {
        part: Part::Clients,
        name: "release build",
        run: || server::watertable_binary().map(|_| Counts::ONE),
    },
    Step {
        part: Part::Clients,
        name: "client matrix",
        run: || clients::run_all(Against::Watertable),
    },
    Step {
        part: Part::Clients,
        name: "PostgreSQL's clients",
        run: sql::client_matrix,
    },
    Step {
        part: Part::Flights,
        name: "questions in SQL",
        run: sql::questions,
    },
    Step {
        part: Part::Flights,
        name: "exports to S3",
        run: sql::exports,
    },
    Step {
        part: Part::Flights,
        name: "the book's examples",
        run: book::run_all,
    },
    Step {
        part: Part::Flights,
        name: "pipelines killed",
        run: pipelines::run_short,
    },
    Step {
        part: Part::Flights,
        name: "overload",
        run: || overload::run(&OverloadArguments::SMALL),
    },
    Step {
        part: Part::Flights,
        name: "exactly once",
        run: || exactly_once::run_job(Against::Watertable, EXACTLY_ONCE_KILLS, EXACTLY_ONCE_SEED),
    },
    Step {
        part: Part::Flights,
        name: "kills",
        run: kills::run_short,
    },
    Step {
        part: Part::Flights,
        name: "chaos",
        run: chaos::run_short,
    },
    Step {
        part: Part::Flights,
        name: "main job",
        run: || {
            flights::run_steps(Against::Watertable, true).map(|passed| Counts { passed, failed: 0 })
        },
    },
];

pub(crate) fn run(arguments: &TestArguments) -> Result<()> {
    let mut total = Counts::default();
    let mut summary = Vec::new();
    for step in &STEPS {
        if !arguments.parts.is_empty() && !arguments.parts.contains(&step.part) {
            continue;
        }
        println!("== {}", step.name);
        let started = Instant::now();
        let counts = (step.run)().unwrap_or_else(|error| {
            println!("{error:#}");
            Counts {
                passed: 0,
                failed: 1,
            }
        });
        let word = if counts.failed == 0 { "ok" } else { "FAILED" };
        let seconds = started.elapsed().as_secs_f64();
        summary.push(format!(
            "{word:<7}{:<24}{:>6} passed {:>4} failed {seconds:>7.1} s",
            step.name, counts.passed, counts.failed
        ));
        total.passed += counts.passed;
        total.failed += counts.failed;
    }
    println!("\n{}\n", summary.join("\n"));
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

fn cargo_command(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace::root());
    command
}

fn cargo(arguments: &[&str]) -> Result<Counts> {
    crate::process::run(&mut cargo_command(arguments))?;
    Ok(Counts::ONE)
}

/// `cargo test`, shown while it runs, with the counts of its closing lines added up.
fn tests() -> Result<Counts> {
    // Some ask the broker with psql, and some of `connectors` start a PostgreSQL, also with certificates.
    install::system_packages(&["postgresql-client", "postgresql", "openssl"])?;
    let mut child = cargo_command(&[
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
        "--quiet",
    ])
    .stdout(Stdio::piped())
    .spawn()?;
    let output = child.stdout.take().context("standard output is a pipe")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        if let Some((passed, failed)) = closing_line(&line) {
            counts.passed += passed;
            counts.failed += failed;
        }
    }
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        bail!("cargo test ended with {status}");
    }
    Ok(counts)
}

/// The same requests to our broker and to a fresh Kafka, whose answers must not differ.
fn beside_kafka() -> Result<Counts> {
    let kafka = Server::start(Against::Kafka, workspace::target().join("beside-kafka"))?;
    let mut command = cargo_command(&["test", "--locked", "--quiet", "-p", "broker"]);
    command.args(["--test", "it", "beside_kafka", "--", "--ignored"]);
    let outcome = crate::process::run(command.env("WATERTABLE_KAFKA", kafka.bootstrap()));
    kafka.stop()?;
    outcome.map(|()| Counts::ONE)
}

/// Counts of `test result: ok. 12 passed; 0 failed; ...`.
fn closing_line(line: &str) -> Option<(usize, usize)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut parts = counts.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

/// What `cargo metadata` says about the workspace and everything it depends on.
fn metadata() -> Result<serde_json::Value> {
    let mut command = cargo_command(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--all-features",
    ]);
    // Without the filter it wants the sources of crates for other systems too.
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let text = crate::process::output(&mut command)?;
    serde_json::from_str(&text).context("output of cargo metadata")
}

#[cfg(test)]
mod tests {
    use super::closing_line;

    #[test]
    fn closing_lines_of_cargo_test_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(closing_line(line), Some((12, 3)));
        assert_eq!(closing_line("test a::b ... ok"), None);
    }
}
