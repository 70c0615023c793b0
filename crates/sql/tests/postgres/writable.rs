//! A server whose sessions write: topics in a data directory, and a writer that does in them what a broker would.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use env::Env;
use protocol::records::{BatchOptions, ControlRecordType};
use sql::postgres::{Limits, Server};
use sql::{NewTopic, Record, Topics, Transaction, WriteError, Writer};
use storage::{CleanupPolicy, LogSettings};
use tokio_util::sync::CancellationToken;
use types::TopicName;

use crate::client::Client;
use crate::world::{NOW_MS, World, Written, batch, batch_with};

/// What goes wrong with the next thing of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Begin,
    /// So many records are taken first.
    AppendAfter(usize),
    /// It is not committed, and that is known.
    Commit,
    /// Nobody hears whether it was.
    CommitUnheard,
    /// A record outside of a transaction.
    Single,
    /// Appending never comes to an end.
    Hang,
}

/// Writes into the topics of a [`World`].
#[derive(Debug)]
pub(crate) struct TestWriter {
    world: Arc<World>,
    producers: AtomicI64,
    pub(crate) fault: Mutex<Option<Fault>>,
    pub(crate) singles: AtomicUsize,
    pub(crate) begun: AtomicUsize,
    pub(crate) committed: AtomicUsize,
    pub(crate) aborted: AtomicUsize,
}

impl TestWriter {
    fn faulty(&self, fault: Fault) -> Result<(), WriteError> {
        let mut next = self.fault.lock().unwrap();
        if *next != Some(fault) {
            return Ok(());
        }
        *next = None;
        Err(lost())
    }

    /// Waits for the disk somewhere else.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce(&World) -> T + Send + 'static) -> T {
        let world = Arc::clone(&self.world);
        tokio::task::spawn_blocking(move || work(&world))
            .await
            .unwrap()
    }

    fn partition_of(&self, topic: &TopicName, record: &Record) -> Result<usize, WriteError> {
        let found = Topics::topic(&*self.world, topic.as_str()).unwrap();
        let found = found.ok_or_else(|| WriteError::NoTopic {
            topic: topic.clone(),
        })?;
        let of_key = || {
            let key = record.key.iter().flatten();
            key.map(|byte| usize::from(*byte)).sum::<usize>() % found.partitions.len()
        };
        Ok(record
            .partition
            .map_or_else(of_key, |partition| usize::try_from(partition).unwrap()))
    }
}

fn lost() -> WriteError {
    WriteError::Failed {
        attempted: "write to the topic",
        source: "connection refused".into(),
    }
}

fn written(record: &Record) -> Written {
    let headers = record.headers.iter();
    let headers =
        headers.map(|(key, value)| (key.to_vec(), value.as_ref().map(|value| value.to_vec())));
    Written {
        timestamp: record.timestamp_ms.unwrap_or(NOW_MS),
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        headers: headers.collect(),
    }
}

/// The writer of a fixture, as the engine has it.
#[derive(Debug)]
struct Shared(Arc<TestWriter>);

#[async_trait]
impl Writer for Shared {
    async fn append(&self, topic: &TopicName, record: Record) -> Result<(), WriteError> {
        self.0.faulty(Fault::Single)?;
        let partition = self.0.partition_of(topic, &record)?;
        let topic = topic.clone();
        self.0.singles.fetch_add(1, Ordering::SeqCst);
        self.0
            .aside(move |world| world.append(topic.as_str(), partition, batch(&[written(&record)])))
            .await;
        Ok(())
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, WriteError> {
        self.0.faulty(Fault::Begin)?;
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(TestTransaction {
            writer: Arc::clone(&self.0),
            producer: self.0.producers.fetch_add(1, Ordering::SeqCst),
            sequences: Vec::new(),
            count: 0,
        }))
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<(), WriteError> {
        let name = topic.name.clone();
        if Topics::topic(&*self.0.world, name.as_str())
            .unwrap()
            .is_some()
        {
            return Err(WriteError::TopicExists { topic: name });
        }
        if topic.settings.contains_key("no.such.setting") {
            return Err(WriteError::Definition {
                topic: name,
                source: "INVALID_CONFIG: unknown topic config name: no.such.setting".into(),
            });
        }
        let topic = topic.clone();
        self.0
            .aside(move |world| {
                let settings = LogSettings {
                    cleanup: CleanupPolicy {
                        delete: true,
                        compact: false,
                    },
                    ..LogSettings::default()
                };
                world.topic(
                    topic.name.as_str(),
                    topic.partitions.unwrap_or(1),
                    &settings,
                );
                for (setting, value) in &topic.settings {
                    world.set(topic.name.as_str(), setting, value);
                }
            })
            .await;
        Ok(())
    }

    async fn drop_topic(&self, name: &TopicName) -> Result<(), WriteError> {
        let name = name.clone();
        self.0.aside(move |world| world.remove(name.as_str())).await;
        Ok(())
    }
}

/// A transaction in the logs, by a producer of its own.
#[derive(Debug)]
struct TestTransaction {
    writer: Arc<TestWriter>,
    producer: i64,
    /// Records so far of each partition.
    sequences: Vec<((TopicName, usize), i32)>,
    count: usize,
}

impl TestTransaction {
    async fn end(&self, kind: ControlRecordType) {
        let (places, producer) = (self.sequences.clone(), self.producer);
        self.writer
            .aside(move |world| {
                for ((topic, partition), _) in places {
                    world.end_transaction(topic.as_str(), partition, producer, kind);
                }
            })
            .await;
    }
}

#[async_trait]
impl Transaction for TestTransaction {
    async fn append(&mut self, topic: &TopicName, records: Vec<Record>) -> Result<(), WriteError> {
        for record in records {
            if *self.writer.fault.lock().unwrap() == Some(Fault::Hang) {
                std::future::pending::<()>().await;
            }
            self.writer.faulty(Fault::AppendAfter(self.count))?;
            let place = (topic.clone(), self.writer.partition_of(topic, &record)?);
            let known = self.sequences.iter_mut().find(|(known, _)| *known == place);
            let sequence = match known {
                Some((_, sequence)) => {
                    *sequence += 1;
                    *sequence
                }
                None => {
                    self.sequences.push((place.clone(), 0));
                    0
                }
            };
            let options = BatchOptions {
                producer_id: self.producer,
                producer_epoch: 0,
                base_sequence: sequence,
                is_transactional: true,
                ..BatchOptions::default()
            };
            let batch = batch_with(options, &[written(&record)]);
            self.writer
                .aside(move |world| world.append(place.0.as_str(), place.1, batch))
                .await;
            self.count += 1;
        }
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), WriteError> {
        if let Err(error) = self.writer.faulty(Fault::Commit) {
            self.end(ControlRecordType::Abort).await;
            return Err(error);
        }
        self.end(ControlRecordType::Commit).await;
        self.writer.committed.fetch_add(1, Ordering::SeqCst);
        self.writer
            .faulty(Fault::CommitUnheard)
            .map_err(|error| WriteError::Unknown {
                source: Box::new(error),
            })
    }

    async fn abort(self: Box<Self>) {
        self.end(ControlRecordType::Abort).await;
        self.writer.aborted.fetch_add(1, Ordering::SeqCst);
    }
}

/// A running server whose sessions write.
pub(crate) struct Writable {
    pub(crate) address: SocketAddr,
    pub(crate) writer: Arc<TestWriter>,
    stop: CancellationToken,
}

impl Writable {
    pub(crate) async fn start() -> Self {
        Self::start_within(Limits::default()).await
    }

    pub(crate) async fn start_within(limits: Limits) -> Self {
        let prepare = move || {
            let world = World::new();
            let writer = Arc::new(TestWriter {
                world: Arc::clone(&world),
                producers: AtomicI64::new(1),
                fault: Mutex::new(None),
                singles: AtomicUsize::new(0),
                begun: AtomicUsize::new(0),
                committed: AtomicUsize::new(0),
                aborted: AtomicUsize::new(0),
            });
            let shared: Arc<dyn Writer> = Arc::new(Shared(Arc::clone(&writer)));
            (
                world.engine_with(|options| options.writer = Some(shared)),
                writer,
            )
        };
        let (engine, writer) = tokio::task::spawn_blocking(prepare).await.unwrap();
        let env = Env::system();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(env.clone(), any, engine, limits);
        let server = server.await.unwrap();
        let address = server.address().unwrap();
        let stop = CancellationToken::new();
        env.spawner.spawn(Box::pin(server.run(stop.clone())));
        Self {
            address,
            writer,
            stop,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// What goes wrong next.
    pub(crate) fn plant(&self, fault: Fault) {
        *self.writer.fault.lock().unwrap() = Some(fault);
    }

    /// Records outside of transactions, transactions that were committed, and those that were aborted.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        let writer = &self.writer;
        (
            count(&writer.singles),
            count(&writer.committed),
            count(&writer.aborted),
        )
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn((usize, usize, usize)) -> bool) {
        let wait = async {
            while !is_so(self.counts()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(crate::client::PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("not in time: {what}"));
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Client {
    /// The tag of a statement that must succeed.
    pub(crate) async fn tag(&mut self, sql: &str) -> String {
        let replies = self.query(sql).await;
        let complete = replies.iter().find(|reply| reply.kind == 'C');
        complete
            .unwrap_or_else(|| panic!("{sql}: {replies:?} {:?}", message_of(&replies)))
            .text()
    }
}

fn message_of(replies: &[crate::client::Reply]) -> Option<String> {
    replies.iter().find(|reply| reply.kind == 'E')?.field('M')
}
