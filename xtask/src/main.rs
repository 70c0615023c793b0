//! The project's automation: `cargo xtask --help`. This file only names the commands; each lives in its own module.
#![allow(
    clippy::print_stdout,
    reason = "a command line tool talks on standard output"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "automation runs real processes on real time; nothing here is simulated"
)]

mod bench;
mod book;
mod chaos;
mod clients;
mod compatibility;
mod dump_log;
mod flights;
mod fuzz;
mod history;
mod install;
mod interrupt;
mod kafka;
mod kills;
mod named_tests;
mod overload;
mod pipelines;
mod postgres;
mod process;
mod protocol;
mod random;
mod server;
mod sim;
mod sql;
mod suites;
mod test;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Watertable's automation")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watertable beside Apache Kafka: CPU, system calls, memory, start and restart
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// The examples of the book: their generated data, and runs that check them
    #[command(subcommand)]
    Book(book::BookCommand),
    /// Everything that must hold; parts can be named
    Test(test::TestArguments),
    /// The pinned Apache Kafka: start it, stop it, run its tools
    #[command(subcommand)]
    Kafka(kafka::KafkaCommand),
    /// Generate the wire protocol from Kafka's message definitions
    Protocol(protocol::ProtocolArguments),
    /// Compare every message with the bytes of Kafka's own classes
    Oracle,
    /// Fuzzing: what is fuzzed, runs guided by coverage, inputs again
    #[command(subcommand)]
    Fuzz(fuzz::FuzzCommand),
    /// The compatibility matrix: every pinned client against a broker; writes docs/compatibility.md
    Clients(clients::ClientsArguments),
    /// Which APIs and rules the broker keeps, each with its tests; writes docs/compatibility.md
    Compatibility(compatibility::CompatibilityArguments),
    /// The main job: real input through one client, read back by all others, also after a kill
    Flights(flights::FlightsArguments),
    /// librdkafka's own tests against a broker; results in clients/suites and docs/compatibility.md
    Librdkafka(suites::librdkafka::LibrdkafkaArguments),
    /// kcat's own test scripts against a broker; results in clients/suites and docs/compatibility.md
    Kcat(suites::kcat::KcatArguments),
    /// A transactional job while broker and job are killed; its output must be exact
    ExactlyOnce(suites::exactly_once::ExactlyOnceArguments),
    /// The release binary with real clients, while it and everything around it breaks
    Chaos(chaos::ChaosArguments),
    /// The release binary under load, killed over and over
    Kills(kills::KillsArguments),
    /// Pipelines while brokers, workers and databases are killed, and two workers for one pipeline
    #[command(subcommand)]
    Pipelines(pipelines::PipelinesCommand),
    /// Programs and command line tools of the Java release, compared with Kafka; results in clients/suites
    JavaTools(suites::java::JavaArguments),
    /// Recorded sends and polls against what a log promises
    History(history::HistoryArguments),
    /// The broker on a simulated machine, with faults: seeds and planted bugs
    Sim(sim::SimArguments),
    /// SQL over topics: questions beside PostgreSQL and DuckDB
    #[command(subcommand)]
    Sql(sql::SqlCommand),
    /// More connections and liars than a broker should have to bear, and what others notice
    Overload(overload::OverloadArguments),
    /// Kafka's own reader over the segment files of a data folder
    DumpLog(dump_log::DumpLogArguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Bench(command) => bench::run(&command),
        Command::Book(command) => book::run(&command),
        Command::Test(arguments) => test::run(&arguments),
        Command::Kafka(command) => kafka::run(command),
        Command::Protocol(arguments) => protocol::run(arguments),
        Command::Oracle => protocol::oracle::run(),
        Command::Fuzz(command) => fuzz::run(&command),
        Command::Clients(arguments) => clients::run(&arguments),
        Command::Compatibility(arguments) => compatibility::run(&arguments),
        Command::Flights(arguments) => flights::run(&arguments),
        Command::Librdkafka(arguments) => suites::librdkafka::run(&arguments),
        Command::Kcat(arguments) => suites::kcat::run(&arguments),
        Command::ExactlyOnce(arguments) => suites::exactly_once::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Kills(arguments) => kills::run(&arguments),
        Command::Pipelines(command) => pipelines::run(&command),
        Command::JavaTools(arguments) => suites::java::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Sql(command) => sql::run(&command),
        Command::Overload(arguments) => overload::run(&arguments).map(|_counts| ()),
        Command::DumpLog(arguments) => dump_log::run(&arguments),
    }
}
