//! Puts a task together: takes over its transactional id, reads how far it is, opens what it reads, begins where it has not begun.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use client::admin::{AdminError, ConfigResource, describe_configs};
use client::{Cluster, TopicPartition, TopicSelection};
use connectors::files;
use connectors::postgres::{self, ChangeKind, SinkPartition, TaskName};
use contract::Column;
use env::Env;
use protocol::ErrorCode;
use spec::{Delivery, PostgresSink, Rows, Sink, Source, Start};
use sql::compute::Decoder;
use types::TopicId;

use super::dead_letter;
use super::deployed::Deployed;
use super::file_reader::{FileInput, FileReader};
use super::hand_over::HandOver;
use super::lag::LagReporter;
use super::pace::Pace;
use super::positions::{self, Owner, PartitionPosition, Positions};
use super::progress::Progress;
use super::readers::{ReadError, Readers, Topics, begun};
use super::table_reader::{TableReadError, TableReader};
use super::table_writer::{TableWriter, database};
use super::tally::Halt;
use super::task::{Parts, TaskError, Writer};
use super::topic_output::{Takes, TopicOutput};
use super::topic_reader::{Limits, Topic, TopicReadError, TopicReader};
use super::topic_writer::{DeadLetters, TopicWriter};
use super::transaction::{Session, TransactionWriter, WriteError};
use crate::secrets::Secrets;
use crate::tasks::{From, Role, Task, Writes};

/// What a topic takes in a record unless it says so (`max.message.bytes`).
const RECORD_BYTES_MAX: usize = 1_048_588;

/// What tasks are opened with.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) env: Env,
    pub(crate) cluster: Cluster,
    pub(crate) limits: Limits,
    pub(crate) secrets: Secrets,
    pub(crate) pace: Option<Pace>,
}

impl Surroundings {
    /// The name of the cluster, by which a database tells the offsets of several apart.
    async fn cluster_id(&self) -> Result<String, TaskError> {
        let described = self.cluster.metadata(TopicSelection::None).await;
        let described = described.map_err(TaskError::Cluster)?;
        Ok(described.cluster_id.unwrap_or_default())
    }
}

/// Puts a task together. `is_bounded`: it ends with what is there now.
pub(crate) async fn open(
    surroundings: &Surroundings,
    deployed: &Arc<Deployed>,
    task: &Task,
    session: Session,
    hand_over: &HandOver,
    is_bounded: bool,
    progress: Arc<Progress>,
) -> Result<Parts, TaskError> {
    let Surroundings {
        env,
        cluster,
        limits,
        ..
    } = surroundings;
    check_topics(cluster, task).await?;
    let owner = Owner {
        environment: deployed.record.env.clone(),
        pipeline: deployed.record.pipeline.clone(),
        task: task.role.name(),
        version: deployed.record.version,
    };
    let (mut writer, mut ended) =
        TransactionWriter::open(cluster, &task.transactional_id, owner, session).await?;
    // What another worker has done is known behind the fence.
    let hand_over = hand_over.of_task(task.role, &mut ended);
    let hand_over = hand_over.map_err(TopicReadError::from)?;
    let rewound = hand_over.rewound();
    let mut positions = rewound.clone().unwrap_or_else(|| ended.clone());
    let reading = Reading {
        surroundings,
        deployed,
        task,
        positions: &positions,
    };
    let mut reader = reading
        .topics(&mut writer, hand_over.skips_deleted())
        .await?;
    let dead = DeadLetters {
        topic: Arc::from(task.dead_letters.as_str()),
        owner: dead_letter::Owner {
            environment: deployed.record.env.clone(),
            pipeline: deployed.record.pipeline.clone(),
            version: deployed.record.version,
        },
    };
    let mut limits = *limits;
    let (output, writer) = match (&task.writes, &deployed.pipeline.sink) {
        (Writes::Table, Sink::Postgres(sink)) => {
            limits.rows = usize::try_from(sink.batch.rows).unwrap_or(usize::MAX);
            limits.gather = Some(sink.batch.every.duration());
            let opening = Table {
                surroundings,
                deployed,
                task,
                sink,
                rewinds: rewound.is_some(),
                is_new: ended.0.is_empty(),
                positions: &positions,
            };
            let (table, claimed) = opening.open(reader.as_mut(), writer, dead, &ended).await?;
            ended.0.extend(claimed.0);
            (None, Writer::Table(Box::new(table)))
        }
        (Writes::Topic(topic), _) => {
            let output = output(cluster, deployed, task, topic).await?;
            let topic = Arc::from(topic.as_str());
            let writer = TopicWriter::new(writer, topic, dead, output.has_keys());
            (Some(output), Writer::Topic(Box::new(writer)))
        }
        (Writes::Table, Sink::Topic(_)) => return Err(TaskError::NoTable),
    };
    let mut writer = writer;
    let now_ms = env.clock.wall().ms();
    if let (Some(reader), Writer::Table(_), None) = (&reader, &writer, &rewound) {
        positions.0.extend(reader.kept());
    }
    let left_out = reader.as_mut().map(TopicReader::end_leaving_out);
    let left_out = left_out.unwrap_or_default();
    let transactions = writer.transactions();
    let carried_out = hand_over.carry_out(&ended, &left_out, transactions, now_ms);
    let carried_out = carried_out.await;
    writer.transactions().or_abort(carried_out).await?;
    for left_out in &left_out {
        progress.note(left_out.to_string());
    }
    let topics = match reader {
        Some(reader) => {
            let decoders = decoders(deployed, task)?;
            let is_table = task.writes == Writes::Table;
            Some(Topics::new(reader, decoders, is_bounded, is_table).await?)
        }
        None => None,
    };
    let files = read_files(deployed, task, &positions, is_bounded)?;
    let tables = read_tables(surroundings, deployed, task, &positions, is_bounded).await?;
    Ok(Parts {
        env: env.clone(),
        is_bounded,
        readers: Readers {
            topics,
            files,
            tables,
            ended: BTreeSet::new(),
        },
        deployed: Arc::clone(deployed),
        runs_query: task.runs_query,
        output,
        writer,
        halt: deployed.pipeline.bad_records.halt_above.map(Halt::new),
        lag: LagReporter::new(cluster.clone(), task.group.clone()),
        progress,
        limits,
        pace: surroundings.pace.clone(),
    })
}

/// What a task reads, from where it is.
struct Reading<'a> {
    surroundings: &'a Surroundings,
    deployed: &'a Deployed,
    task: &'a Task,
    positions: &'a Positions,
}

impl Reading<'_> {
    /// The topics of the task.
    async fn topics(
        &self,
        writer: &mut TransactionWriter,
        skips_deleted: bool,
    ) -> Result<Option<TopicReader>, TaskError> {
        let mut topics = Vec::new();
        for read in &self.task.reads {
            let From::Topic(name) = &read.from else {
                continue;
            };
            let source = self.deployed.pipeline.inputs.get(read.input);
            let start = match source.map(|input| &input.source) {
                Some(Source::Topic(topic)) => topic.start,
                // What landed is read from its first record.
                _ => Start::Earliest,
            };
            topics.push(Topic {
                input: read.input,
                input_name: self.deployed.input_name(read.input).to_owned(),
                name: Arc::from(name.as_str()),
                start,
            });
        }
        if topics.is_empty() {
            return Ok(None);
        }
        let cluster = self.surroundings.cluster.clone();
        let is_table = self.task.writes == Writes::Table;
        let opening = TopicReader::open(cluster, topics, self.positions, skips_deleted, is_table);
        let (reader, first) = opening.await?;
        begin(
            writer,
            &begun(&first),
            self.surroundings.env.clock.wall().ms(),
        )
        .await?;
        Ok(Some(reader))
    }
}

/// The files of a task, from where it is.
fn read_files(
    deployed: &Deployed,
    task: &Task,
    positions: &Positions,
    is_bounded: bool,
) -> Result<Vec<FileReader>, TaskError> {
    let mut readers = Vec::new();
    for read in task.reads.iter().filter(|read| read.from == From::Outside) {
        let (Some(input), Some(known)) = (
            deployed.pipeline.inputs.get(read.input),
            deployed.inputs.get(read.input),
        ) else {
            continue;
        };
        let Source::Files(files) = &input.source else {
            continue;
        };
        let used = deployed
            .compiled
            .input_columns_used()
            .into_iter()
            .nth(read.input);
        let used = used.filter(|_| task.runs_query);
        let wanted = used.map(|schema| {
            schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect()
        });
        let mut begun = HashMap::new();
        for source in positions.0.keys() {
            if let Some(path) = source.path(&input.name) {
                let position = positions.read(source).map_err(TopicReadError::from)?;
                begun.extend(position.map(|position| (path.to_owned(), position)));
            }
        }
        let opened = FileReader::open(
            FileInput {
                input: read.input,
                name: &input.name,
                files,
                declared: input.columns.as_ref(),
                columns: known.columns(),
                wanted,
                is_bounded,
            },
            begun,
            files::Options {
                s3: files::S3Access::of(std::env::vars_os()),
                ..files::Options::of(".")
            },
        );
        readers.push(opened.map_err(ReadError::from)?);
    }
    Ok(readers)
}

/// The tables of a task, from where it is.
async fn read_tables(
    surroundings: &Surroundings,
    deployed: &Deployed,
    task: &Task,
    positions: &Positions,
    is_bounded: bool,
) -> Result<Vec<TableReader>, TaskError> {
    let mut readers = Vec::new();
    for read in task.reads.iter().filter(|read| read.from == From::Outside) {
        let Some(input) = deployed.pipeline.inputs.get(read.input) else {
            continue;
        };
        let Source::Postgres(table) = &input.source else {
            continue;
        };
        let name = match &table.rows {
            Rows::Table(table) => table.clone(),
            Rows::Query(_) => "query".to_owned(),
        };
        let place = positions::Source::table(&input.name, &name);
        let position = positions.read(&place).map_err(TopicReadError::from)?;
        let connection = surroundings.secrets.connection(&table.connection)?;
        let opening =
            postgres::Source::connect(&connection, table, input.columns.as_ref(), &task.group);
        let opened = opening
            .await
            .map_err(TableReadError::from)
            .map_err(ReadError::from)?;
        let used = deployed
            .compiled
            .input_columns_used()
            .into_iter()
            .nth(read.input);
        let used = used.filter(|_| task.runs_query);
        let wanted = |column: &str| {
            let used = used.as_ref();
            used.is_none_or(|used| used.column_with_name(column).is_some())
        };
        let reader = TableReader::open(
            read.input, place, name, opened, position, wanted, is_bounded,
        );
        readers.push(reader.map_err(ReadError::from)?);
    }
    Ok(readers)
}

fn decoders(deployed: &Deployed, task: &Task) -> Result<BTreeMap<usize, Decoder>, TaskError> {
    let mut decoders = BTreeMap::new();
    for read in task.reads.iter().filter(|read| read.from != From::Outside) {
        decoders.insert(read.input, deployed.decoder(read.input, task.runs_query)?);
    }
    Ok(decoders)
}

/// A table that is opened.
struct Table<'a> {
    surroundings: &'a Surroundings,
    deployed: &'a Deployed,
    task: &'a Task,
    sink: &'a PostgresSink,
    /// The database goes on where the reader is, and not the other way round.
    rewinds: bool,
    /// It has never run.
    is_new: bool,
    positions: &'a Positions,
}

impl Table<'_> {
    /// Claims the partitions in the database, and has the reader go on where it says. Beside it where the task was, by the database, which
    /// knows best.
    async fn open(
        &self,
        reader: Option<&mut TopicReader>,
        mut writer: TransactionWriter,
        dead: DeadLetters,
        ended: &Positions,
    ) -> Result<(TableWriter, Positions), TaskError> {
        let connection = self
            .surroundings
            .secrets
            .connection(&self.sink.connection)?;
        let name = TaskName {
            cluster_id: self.surroundings.cluster_id().await?,
            task: format!("{}.{}", self.task.group, self.task.role),
        };
        let columns = self.deployed.compiled.output();
        let mut sink = postgres::Sink::connect(&connection, self.sink, columns, name).await?;
        self.check_table(&sink).await?;
        sink.prepare(false).await?;
        let mut partitions = BTreeMap::new();
        let mut stood = Positions::default();
        let mut written = BTreeSet::new();
        if let Some(reader) = reader {
            let mut first = BTreeMap::new();
            for (partition, source, topic, offset) in reader.places() {
                // A broker that gives topics no ids cannot tell one that was made anew.
                let topic_id = TopicId::new(u128::from(topic).to_be_bytes());
                let claimed = SinkPartition {
                    topic_id: topic_id.ok_or(TaskError::NoTopicId)?,
                    partition: partition.partition,
                };
                if self.has_written(&source)? {
                    written.insert(claimed);
                }
                first.insert(claimed, offset);
                partitions.insert(partition, claimed);
            }
            let claimed = sink.claim(&first, &written).await?;
            let offsets = |of: &BTreeMap<SinkPartition, i64>| {
                let offset = |(partition, place): (&TopicPartition, &SinkPartition)| {
                    Some((partition.clone(), *of.get(place)?))
                };
                partitions.iter().filter_map(offset).collect()
            };
            if self.sink.delivery != Delivery::AtLeastOnce {
                stood = Positions(reader.kept_at(&offsets(&claimed)).into_iter().collect());
            }
            if self.rewinds {
                // It may have been moved already, by somebody who could not say so any more: then they have said where it was.
                stood.keep_later(ended).map_err(TopicReadError::from)?;
                let now_ms = self.surroundings.env.clock.wall().ms();
                begin(&mut writer, &stood, now_ms).await?;
                sink.rewind(&first).await?;
                reader.go_to(offsets(&first)).await?;
            } else {
                reader.go_to(offsets(&claimed)).await?;
            }
            let left_out = reader.left_out().filter_map(|(partition, to)| {
                let place = partitions.get(partition)?;
                Some((*place, to))
            });
            let left_out: BTreeMap<_, _> = left_out.collect();
            sink.rewind(&left_out).await?;
        }
        let table = TableWriter::new(sink, writer, dead, partitions, written, self.sink, columns);
        Ok((table.map_err(TaskError::Encode)?, stood))
    }

    /// Whether the database has to know where a partition goes on. One that goes back is told.
    fn has_written(&self, source: &positions::Source) -> Result<bool, TaskError> {
        if self.rewinds || self.sink.delivery == Delivery::AtLeastOnce {
            return Ok(false);
        }
        let kept = self.positions.read::<PartitionPosition>(source);
        let written_to = kept.map_err(TopicReadError::from)?;
        let written_to = written_to.and_then(|kept| kept.written_to);
        Ok(written_to.is_some_and(|to| to == database(&self.sink.connection)))
    }

    /// A table that was written and is gone is not made by the way: nobody would see that its rows are missing. Nor is that of offsets, in
    /// which the place of what was written would be missing.
    async fn check_table(&self, sink: &postgres::Sink) -> Result<(), TaskError> {
        if self.is_new || self.rewinds {
            return Ok(());
        }
        let mut has_written = false;
        for source in self.positions.0.keys() {
            has_written |= self.has_written(source)?;
        }
        for change in sink.describe().await?.changes {
            match change.kind {
                ChangeKind::Table => {
                    return Err(TaskError::NoTableLeft {
                        table: self.sink.table.clone(),
                        ddl: change.ddl,
                    });
                }
                ChangeKind::Offsets if has_written => return Err(TaskError::NoOffsetsLeft),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Topics that are written and gone are not waited for: what is sent to them would be tried for long, within a transaction.
async fn check_topics(cluster: &Cluster, task: &Task) -> Result<(), TaskError> {
    let mut names: Vec<Arc<str>> = vec![Arc::from(task.dead_letters.as_str())];
    if let Writes::Topic(topic) = &task.writes {
        names.push(Arc::from(topic.as_str()));
    }
    let described = cluster.metadata(TopicSelection::Named(&names)).await?;
    let is_gone = |name: &&Arc<str>| match described.topics.get(*name) {
        Some(Err(refusal)) => refusal.is(ErrorCode::UnknownTopicOrPartition),
        Some(Ok(_)) => false,
        None => true,
    };
    match names.iter().find(is_gone) {
        None => Ok(()),
        Some(name) => Err(TaskError::NoTopic {
            topic: name.as_ref().to_owned(),
        }),
    }
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
    let written = write_positions(writer, begun, now_ms).await;
    Ok(writer.or_abort(written).await?)
}

async fn write_positions(
    writer: &mut TransactionWriter,
    positions: &Positions,
    now_ms: i64,
) -> Result<(), WriteError> {
    writer.begin()?;
    for (source, position) in &positions.0 {
        let position = Some(position.clone());
        writer.send_position(source, position, now_ms).await?;
    }
    writer.commit().await
}

async fn output(
    cluster: &Cluster,
    deployed: &Deployed,
    task: &Task,
    topic: &str,
) -> Result<TopicOutput, TaskError> {
    let (columns, sink): (&[Column], _) = match (&deployed.pipeline.sink, task.role) {
        (Sink::Topic(sink), _) => (deployed.compiled.output(), Some(sink)),
        (Sink::Postgres(_), Role::Land) => {
            let landed = task.reads.first().map_or(0, |read| read.input);
            (deployed.input_columns(landed), None)
        }
        (Sink::Postgres(_), _) => (deployed.compiled.output(), None),
    };
    let takes = takes(cluster, topic).await?;
    TopicOutput::new(columns, sink, takes).map_err(TaskError::Encode)
}

/// What a topic takes: settings that a broker does not know bind nobody.
async fn takes(cluster: &Cluster, topic: &str) -> Result<Takes, AdminError> {
    const BYTES: &str = "max.message.bytes";
    const KIND: &str = "message.timestamp.type";
    const BEFORE: &str = "message.timestamp.before.max.ms";
    const AFTER: &str = "message.timestamp.after.max.ms";
    let resource = ConfigResource::Topic(topic.to_owned());
    let names = [BYTES, KIND, BEFORE, AFTER].map(str::to_owned);
    let entries = describe_configs(cluster, &resource, Some(&names), false).await?;
    let value = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name);
        entry.and_then(|entry| entry.value.as_deref())
    };
    let ms = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
    let keeps_times = value(KIND) != Some("LogAppendTime");
    let bound = |name: &str| ms(name).filter(|_| keeps_times).unwrap_or(u64::MAX);
    let bytes = value(BYTES).and_then(|value| value.parse().ok());
    Ok(Takes {
        record_bytes: bytes.unwrap_or(RECORD_BYTES_MAX),
        before_ms: bound(BEFORE),
        after_ms: bound(AFTER),
    })
}
