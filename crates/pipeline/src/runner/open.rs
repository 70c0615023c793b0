//! Puts a task together: takes over its transactional id, reads how far it is, opens what it reads, begins where it has not begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::admin::{AdminError, ConfigResource, describe_configs};
use client::Cluster;
use contract::Column;
use env::Env;
use spec::{Sink, Source, Start};

use super::dead_letter;
use super::deployed::Deployed;
use super::lag::LagReporter;
use super::positions::{Owner, Positions};
use super::progress::Progress;
use super::readers::{Readers, Topics, begun};
use super::tally::Halt;
use super::task::{Parts, TaskError};
use super::topic_output::TopicOutput;
use super::topic_reader::{Limits, Topic, TopicReader};
use super::topic_writer::{DeadLetters, TopicWriter};
use super::transaction::{Session, TransactionWriter};
use crate::tasks::{From, Role, Task, Writes};

/// What a topic takes in a record unless it says so (`max.message.bytes`).
const RECORD_BYTES_MAX: usize = 1_048_588;

/// What tasks are opened with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) env: Env,
    pub(crate) cluster: Cluster,
    pub(crate) limits: Limits,
}

/// Puts a task together that writes a topic. `is_bounded`: it ends with what is there now.
pub(crate) async fn open(
    surroundings: &Surroundings,
    deployed: &Arc<Deployed>,
    task: &Task,
    session: Session,
    is_bounded: bool,
    progress: Arc<Progress>,
) -> Result<Parts, TaskError> {
    let Surroundings {
        env,
        cluster,
        limits,
    } = surroundings;
    let owner = Owner {
        environment: deployed.record.env.clone(),
        pipeline: deployed.record.pipeline.clone(),
        task: task.role.name(),
        version: deployed.record.version,
    };
    let (mut writer, positions) =
        TransactionWriter::open(cluster, &task.transactional_id, owner, session).await?;
    let topics = topics(surroundings, deployed, task, &positions, &mut writer, is_bounded).await?;
    let output = output(cluster, deployed, task).await?;
    let Writes::Topic(topic) = &task.writes else {
        todo!("tables")
    };
    let dead = DeadLetters {
        topic: Arc::from(task.dead_letters.as_str()),
        owner: dead_letter::Owner {
            environment: deployed.record.env.clone(),
            pipeline: deployed.record.pipeline.clone(),
            version: deployed.record.version,
        },
    };
    let writer = TopicWriter::new(writer, Arc::from(topic.as_str()), dead, output.has_keys());
    Ok(Parts {
        env: env.clone(),
        is_bounded,
        readers: Readers { topics },
        deployed: Arc::clone(deployed),
        runs_query: task.runs_query,
        output,
        writer,
        halt: deployed.pipeline.bad_records.halt_above.map(Halt::new),
        lag: LagReporter::new(cluster.clone(), task.group.clone()),
        progress,
        limits: *limits,
    })
}

async fn topics(
    surroundings: &Surroundings,
    deployed: &Deployed,
    task: &Task,
    positions: &Positions,
    writer: &mut TransactionWriter,
    is_bounded: bool,
) -> Result<Option<Topics>, TaskError> {
    let mut topics = Vec::new();
    let mut decoders = BTreeMap::new();
    for read in &task.reads {
        let From::Topic(name) = &read.from else {
            continue;
        };
        let source = deployed.pipeline.inputs.get(read.input);
        let start = match source.map(|input| &input.source) {
            Some(Source::Topic(topic)) => topic.start,
            // What landed is read from its first record.
            _ => Start::Earliest,
        };
        topics.push(Topic {
            input: read.input,
            input_name: deployed.input_name(read.input).to_owned(),
            name: Arc::from(name.as_str()),
            start,
        });
        decoders.insert(read.input, deployed.decoder(read.input, task.runs_query)?);
    }
    if topics.is_empty() {
        return Ok(None);
    }
    let (reader, first) =
        TopicReader::open(surroundings.cluster.clone(), topics, positions).await?;
    begin(writer, &begun(&first), surroundings.env.clock.wall().ms()).await?;
    Ok(Some(Topics::new(reader, decoders, is_bounded).await?))
}

/// Keeps where sources begin, before anything is read of them.
async fn begin(
    writer: &mut TransactionWriter,
    begun: &Positions,
    now_ms: i64,
) -> Result<(), TaskError> {
    if begun.0.is_empty() {
        return Ok(());
    }
    writer.begin()?;
    for (source, position) in &begun.0 {
        let position = Some(position.clone());
        writer.send_position(source, position, now_ms).await?;
    }
    writer.commit().await?;
    Ok(())
}

async fn output(
    cluster: &Cluster,
    deployed: &Deployed,
    task: &Task,
) -> Result<TopicOutput, TaskError> {
    let (columns, sink): (&[Column], _) = match (&deployed.pipeline.sink, task.role) {
        (Sink::Topic(sink), _) => (deployed.compiled.output(), Some(sink)),
        (Sink::Postgres(_), Role::Land) => {
            let landed = task.reads.first().map_or(0, |read| read.input);
            (deployed.inputs.get(landed).map_or(&[], |input| input.columns()), None)
        }
        (Sink::Postgres(_), _) => (deployed.compiled.output(), None),
    };
    let most = match &task.writes {
        Writes::Topic(topic) => record_bytes_max(cluster, topic).await?,
        Writes::Table => usize::MAX,
    };
    TopicOutput::new(columns, sink, most).map_err(TaskError::Encode)
}

/// What a topic takes in a record.
async fn record_bytes_max(cluster: &Cluster, topic: &str) -> Result<usize, AdminError> {
    const NAME: &str = "max.message.bytes";
    let resource = ConfigResource::Topic(topic.to_owned());
    let entries = describe_configs(cluster, &resource, Some(&[NAME.to_owned()]), false).await?;
    let entry = entries.into_iter().find(|entry| entry.name == NAME);
    let value = entry.and_then(|entry| entry.value?.parse().ok());
    Ok(value.unwrap_or(RECORD_BYTES_MAX))
}
