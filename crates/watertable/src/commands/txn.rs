//! `watertable txn`: look at transactions, and end those that hang.

mod abort;
mod describe;
mod describe_producers;
mod find_hanging;
mod list;

use anyhow::Result;

use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  watertable txn list --state Ongoing
  watertable txn describe transfers
  watertable txn describe-producers flights:0
  watertable txn find-hanging --older-than 15m
  watertable txn abort flights:0 --start-offset 4711"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List transactional ids with their states
    List(list::Arguments),
    /// Show what transactional ids are doing
    Describe(describe::Arguments),
    /// Show who writes to a partition, with open transactions
    DescribeProducers(describe_producers::Arguments),
    /// Find transactions that stay open in a partition although their coordinator knows nothing of them
    FindHanging(find_hanging::Arguments),
    /// Abort a transaction that hangs, in one partition
    Abort(abort::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { session, verb } = arguments;
    session::run(async move {
        match verb {
            Verb::List(arguments) => list::run(&session, &arguments).await,
            Verb::Describe(arguments) => describe::run(&session, &arguments).await,
            Verb::DescribeProducers(arguments) => {
                describe_producers::run(&session, &arguments).await
            }
            Verb::FindHanging(arguments) => find_hanging::run(&session, &arguments).await,
            Verb::Abort(arguments) => abort::run(&session, &arguments).await,
        }
    })
}

/// `TOPIC:0`.
fn partition(text: &str) -> Result<client::TopicPartition, String> {
    let (topic, partition) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("'{text}' is not TOPIC:PARTITION"))?;
    let partition = partition
        .parse()
        .map_err(|error| format!("'{partition}' is no partition: {error}"))?;
    Ok(client::TopicPartition::new(topic, partition))
}

#[cfg(test)]
mod tests {
    use super::partition;

    #[test]
    fn a_partition_is_a_topic_and_a_number() {
        assert_eq!(partition("a:b:3").unwrap().to_string(), "a:b-3");
        for text in ["flights", "flights:", "flights:x", ""] {
            assert!(partition(text).is_err(), "{text}");
        }
    }
}
