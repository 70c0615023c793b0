//! `watertable topic contract`: the declared columns of a topic, for SQL. A contract is a setting of its topic, so all of
//! this goes over Kafka's protocol.

mod infer;

pub(crate) use infer::sample_of;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use client::Cluster;
use client::admin::{
    ConfigChange, ConfigOperation, ConfigResource, ConfigSource, alter_configs, describe_configs,
};
use contract::{Contract, SETTING, TEXT_BYTES_MAX};

use super::existing;
use crate::output::{self, counted};
use crate::report::Failure;
use crate::session::Session;

/// Of a file that is longer than a contract, so much is read to see that it is.
const FILE_BYTES_MAX: u64 = TEXT_BYTES_MAX as u64 + 1;

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A contract says what the values of a topic are: their format (json, ndjson, csv, avro, protobuf) and columns with names
and types. It gives the topic's table these columns, beside those that every topic has; the records stay as they are.

  {\"format\": \"json\", \"columns\": [
    {\"name\": \"carrier\", \"type\": \"text\", \"nullable\": false},
    {\"name\": \"delay\", \"type\": \"int\"},
    {\"name\": \"time_hour\", \"type\": \"timestamptz\"}]}

Types: boolean, smallint, int, bigint, real, double, decimal(p,s), text, bytea, date, timestamp, timestamptz, json.
csv takes \"delimiter\" and \"null\", avro \"schema\", protobuf \"descriptors\" (base64) and \"message\".

Examples:
  watertable topic contract infer flights > flights.json
  watertable topic contract set flights flights.json
  watertable topic contract show flights
  watertable topic contract infer flights | watertable topic contract set flights -
  watertable topic contract drop flights"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Propose a contract from a sample of records; nothing is changed
    Infer(infer::Arguments),
    /// Give a topic a contract
    Set(Set),
    /// Show the contract of a topic
    Show(Topic),
    /// Take the contract of a topic away; its records stay
    Drop(Topic),
}

#[derive(Debug, clap::Args)]
struct Topic {
    /// The topic
    topic: String,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// The topic
    topic: String,
    /// The contract, in a file; - is standard input
    file: PathBuf,
    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    match arguments.verb {
        Verb::Infer(arguments) => infer::run(session, &arguments).await,
        Verb::Set(arguments) => set(session, &arguments).await,
        Verb::Show(Topic { topic }) => show(session, &topic).await,
        Verb::Drop(Topic { topic }) => drop_it(session, &topic).await,
    }
}

async fn set(session: &Session, arguments: &Set) -> Result<()> {
    let Set {
        topic,
        file,
        dry_run,
    } = arguments;
    let contract = read(file)?;
    let cluster = session.cluster();
    existing(&cluster, topic).await?;
    let operation = ConfigOperation::Set(contract.to_string());
    alter(&cluster, topic, operation, *dry_run).await?;
    let (format, count) = (contract.format().name(), contract.columns().len());
    if session.json {
        return output::json(&serde_json::json!({
            "topic": topic,
            "format": format,
            "columns": count,
            "dry_run": dry_run,
        }));
    }
    let could = if *dry_run {
        " (not done: --dry-run)"
    } else {
        ""
    };
    let columns = counted(count, "column");
    output::line(&format!(
        "{topic}: a contract of {columns}, {format}{could}"
    ))
}

/// The contract in a file, if values can be read by it.
fn read(file: &Path) -> Result<Contract> {
    let is_input = file == Path::new("-");
    let from: Box<dyn Read> = if is_input {
        Box::new(std::io::stdin().lock())
    } else {
        let open = std::fs::File::open(file);
        Box::new(open.with_context(|| format!("cannot open {}", file.display()))?)
    };
    let shown = if is_input {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let mut text = String::new();
    from.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {shown}"))?;
    let wrong = |fault: String| {
        Failure::new(
            format!("{shown} holds no contract: {fault}"),
            "`watertable topic contract infer TOPIC` writes one to start from; `watertable topic contract --help` shows the \
             form",
        )
    };
    let contract = Contract::parse(&text).map_err(|error| wrong(error.to_string()))?;
    sql::check_contract(&contract).map_err(|fault| wrong(fault.to_string()))?;
    Ok(contract)
}

async fn show(session: &Session, topic: &str) -> Result<()> {
    let cluster = session.cluster();
    existing(&cluster, topic).await?;
    let text = stored(&cluster, topic).await?;
    let contract = Contract::parse(&text).with_context(|| {
        format!("topic '{topic}' has a contract that this version cannot read: {text}")
    })?;
    if session.json {
        let contract: serde_json::Value = serde_json::from_str(&text)?;
        return output::json(&serde_json::json!({ "topic": topic, "contract": contract }));
    }
    output::line(&format!("{contract:#}"))
}

/// The text of a topic's contract, which has to have one.
async fn stored(cluster: &Cluster, topic: &str) -> Result<String> {
    stored_contract(cluster, topic).await?.ok_or_else(|| {
        Failure::new(
            format!("topic '{topic}' has no contract"),
            format!("propose one with `watertable topic contract infer {topic}`"),
        )
        .into()
    })
}

/// The text of a topic's contract, if it has one.
pub(crate) async fn stored_contract(cluster: &Cluster, topic: &str) -> Result<Option<String>> {
    existing(cluster, topic).await?;
    let resource = ConfigResource::Topic(topic.to_owned());
    let names = [SETTING.to_owned()];
    let configs = describe_configs(cluster, &resource, Some(&names), false).await?;
    let own = configs
        .into_iter()
        .find(|config| config.name == SETTING && config.source == ConfigSource::Topic);
    Ok(own.and_then(|config| config.value))
}

async fn drop_it(session: &Session, topic: &str) -> Result<()> {
    let cluster = session.cluster();
    existing(&cluster, topic).await?;
    stored(&cluster, topic).await?;
    alter(&cluster, topic, ConfigOperation::Delete, false).await?;
    if session.json {
        return output::json(&serde_json::json!({ "topic": topic, "dropped": true }));
    }
    output::line(&format!("{topic}: no contract any more"))
}

async fn alter(
    cluster: &Cluster,
    topic: &str,
    operation: ConfigOperation,
    dry_run: bool,
) -> Result<()> {
    let resource = ConfigResource::Topic(topic.to_owned());
    let change = ConfigChange {
        name: SETTING.to_owned(),
        operation,
    };
    alter_configs(cluster, &resource, &[change], dry_run).await?;
    Ok(())
}
