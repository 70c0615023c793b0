//! The command line: one file per noun, one list of them here.

mod bench;
mod check;
mod cluster;
mod completion;
mod consume;
mod group;
mod pipeline;
mod produce;
mod sql;
mod start;
mod topic;
mod txn;

use clap::{Parser, Subcommand};

/// Watertable: a topic is a log, a topic is a table, a pipeline is a SQL statement.
#[derive(Debug, Parser)]
#[command(
    name = "watertable",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "\
Try:
  watertable topic create flights --partitions 3
  echo 'AA:first flight' | watertable produce flights -k :
  watertable consume flights --from-beginning --json -n 1

Every command but `start` and `check` talks to the brokers in --brokers or WATERTABLE_BROKERS, ours or Apache Kafka's."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker
    Start(start::Arguments),
    /// Look for damage in the data directory of a broker that does not run, and repair what is safe to repair
    Check(check::Arguments),
    /// Create, list, describe, change and delete topics
    Topic(topic::Arguments),
    /// Write records, one per line of standard input
    Produce(produce::Arguments),
    /// Read records
    Consume(consume::Arguments),
    /// Ask topics as tables: a prompt, statements, rows as they come
    Sql(sql::Arguments),
    /// Write, check and test pipelines
    Pipeline(pipeline::Arguments),
    /// List, describe, reset and delete consumer groups
    Group(group::Arguments),
    /// Look at transactions, and end those that hang
    Txn(txn::Arguments),
    /// Look at the cluster: brokers, settings, health
    Cluster(cluster::Arguments),
    /// Measure throughput and latency of any Kafka-compatible broker
    Bench(bench::Arguments),
    /// Print a completion script for a shell
    Completion(completion::Arguments),
}

impl Command {
    /// Whether errors should be readable by machines, as the results are.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Start(_) | Self::Completion(_) | Self::Sql(_) => false,
            Self::Check(arguments) => arguments.json,
            Self::Topic(arguments) => arguments.session.json,
            Self::Produce(arguments) => arguments.session.json,
            Self::Consume(arguments) => arguments.session.json,
            Self::Pipeline(arguments) => arguments.wants_json(),
            Self::Group(arguments) => arguments.session.json,
            Self::Txn(arguments) => arguments.session.json,
            Self::Cluster(arguments) => arguments.session.json,
            Self::Bench(arguments) => arguments.session.json,
        }
    }

    /// The exit status of a failure. That of a check lies apart from what it finds.
    pub(crate) fn failure_status(&self) -> u8 {
        match self {
            Self::Check(_) => 2,
            _ => 1,
        }
    }

    pub(crate) fn run(self, give_back_memory: fn()) -> anyhow::Result<()> {
        match self {
            Self::Start(arguments) => start::run(&arguments, give_back_memory),
            Self::Check(arguments) => check::run(&arguments),
            Self::Topic(arguments) => topic::run(arguments),
            Self::Produce(arguments) => produce::run(arguments),
            Self::Consume(arguments) => consume::run(arguments),
            Self::Sql(arguments) => sql::run(arguments),
            Self::Pipeline(arguments) => pipeline::run(arguments, give_back_memory),
            Self::Group(arguments) => group::run(arguments),
            Self::Txn(arguments) => txn::run(arguments),
            Self::Cluster(arguments) => cluster::run(arguments),
            Self::Bench(arguments) => bench::run(arguments),
            Self::Completion(arguments) => completion::run(&arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
