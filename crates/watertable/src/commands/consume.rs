//! `watertable consume`: reads records of partitions, or as a member of a group.

mod groups;
mod partitions;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use client::{Assignor, Cluster, ConsumerConfig, Isolation};

use crate::arguments;
use crate::format::{FORMAT_HELP, Format};
use crate::moment::Position;
use crate::session::{self, Session};

#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  watertable consume flights --from-beginning
  watertable consume flights --offset -10 --until-end
  watertable consume flights --offset @2026-01-31 --partition 0,2 --json | jq .value
  watertable consume flights --from-beginning -n 100 -f '%p:%o %k %v\\n'
  watertable consume flights --group counters --from-beginning

Formats:
{FORMAT_HELP}"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Begin with the first record; in a group only where it has committed nothing
    #[arg(long, short = 'b', conflicts_with = "offset")]
    from_beginning: bool,
    /// Where to begin: start, end, an offset, -N for N before the end, @TIME [default: end, or start with --until-end]
    #[arg(long, short, value_name = "PLACE", allow_hyphen_values = true)]
    offset: Option<Position>,
    /// Only these partitions
    #[arg(
        long,
        short,
        value_name = "NUMBER",
        value_delimiter = ',',
        conflicts_with = "group"
    )]
    partition: Vec<i32>,
    /// Read as a member of this group, which shares the partitions and remembers how far it got
    #[arg(long, short, value_name = "GROUP")]
    group: Option<String>,
    /// End after so many records
    #[arg(long = "max-records", short = 'n', value_name = "COUNT")]
    records_max: Option<u64>,
    /// End where the topics end now
    #[arg(long, short = 'e')]
    until_end: bool,
    /// End when no record has come for so long
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    idle_timeout: Option<Duration>,
    /// How to print a record; see below
    #[arg(long, short, value_name = "FORMAT", conflicts_with_all = ["json", "key_separator"])]
    format: Option<Format>,
    /// Print the key too, and this between key and value (\t, \x00 and so on work)
    #[arg(long, short, value_name = "TEXT", value_parser = arguments::separator, conflicts_with = "json")]
    key_separator: Option<arguments::Separator>,
    /// Which records of transactions to show
    #[arg(long, value_enum, default_value_t = IsolationLevel::ReadUncommitted)]
    isolation: IsolationLevel,
    /// How the group shares partitions: range, roundrobin, sticky, cooperative-sticky
    #[arg(long, value_name = "NAME", default_value = "range", requires = "group")]
    assignor: Vec<Assignor>,
    /// The name of a static member of the group, which keeps its partitions over a restart
    #[arg(long, value_name = "NAME", requires = "group")]
    instance_id: Option<String>,
    /// Leave the group's committed offsets as they are
    #[arg(long, requires = "group")]
    no_commit: bool,
    /// The most a broker sends at once
    #[arg(long, default_value = "50MiB", value_name = "SIZE", value_parser = arguments::size)]
    fetch_max: usize,
    /// The most a broker sends of one partition at once
    #[arg(long, default_value = "1MiB", value_name = "SIZE", value_parser = arguments::size)]
    partition_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum IsolationLevel {
    /// All records
    #[value(alias = "read_uncommitted")]
    ReadUncommitted,
    /// Only records of committed transactions, and those outside of transactions
    #[value(alias = "read_committed")]
    ReadCommitted,
}

impl Arguments {
    fn isolation(&self) -> Isolation {
        match self.isolation {
            IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
            IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        }
    }

    fn consumer_config(&self) -> ConsumerConfig {
        ConsumerConfig {
            isolation: self.isolation(),
            fetch_bytes_max: i32::try_from(self.fetch_max).unwrap_or(i32::MAX),
            partition_bytes_max: i32::try_from(self.partition_max).unwrap_or(i32::MAX),
            ..ConsumerConfig::default()
        }
    }

    fn topics(&self) -> Vec<Arc<str>> {
        self.topics
            .iter()
            .map(|topic| Arc::from(topic.as_str()))
            .collect()
    }

    /// Where to begin. Up to the end of a log there is only something to read if one begins before it.
    fn start(&self) -> Position {
        match self.offset {
            Some(position) => position,
            None if self.from_beginning || self.until_end => Position::Start,
            None => Position::End,
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    session::run(async move {
        let cluster = arguments.session.cluster();
        check_topics(&cluster, &arguments).await?;
        match &arguments.group {
            Some(group) => groups::run(&cluster, &arguments, group).await,
            None => partitions::run(&cluster, &arguments).await,
        }
    })
}

/// A misspelled topic is an error at once, not an empty topic that never has records.
async fn check_topics(cluster: &Cluster, arguments: &Arguments) -> Result<()> {
    for topic in arguments.topics() {
        match cluster.topic(&topic).await {
            Err(client::MetadataError::Topic { source, .. })
                if source.is(protocol::ErrorCode::UnknownTopicOrPartition) =>
            {
                let all = cluster.metadata(client::TopicSelection::All).await?;
                return Err(super::topic::no_topic(&topic, all.topics.keys()));
            }
            other => other?,
        };
    }
    Ok(())
}
