//! What the tests share: topics over a data directory, batches for them, and sessions that ask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use env::Env;
use protocol::records::{BatchBuilder, BatchOptions, ControlRecordType, EndTransactionMarker};
use sql::{Engine, EngineOptions, Partition, Topic, TopicError, Topics};
use storage::{
    AppendContext, CleanerSettings, CleanupPolicy, DirectoryOptions, LogDirectory, LogSettings,
    PartitionLog,
};
use types::{Offset, PartitionIndex, TopicId, TopicName, TopicPartition};

/// When the records of the tests are from: 2023-11-14 22:13:20 UTC.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts")
});

/// Topics over a data directory.
#[derive(Debug)]
pub(crate) struct World {
    directory: LogDirectory,
    topics: Mutex<BTreeMap<String, Topic>>,
    root: PathBuf,
    folder: Arc<tempfile::TempDir>,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Self::open(Arc::new(tempfile::tempdir().unwrap()))
    }

    fn open(folder: Arc<tempfile::TempDir>) -> Arc<Self> {
        let root = folder.path().join("data");
        let options = DirectoryOptions {
            verify_transactions: false,
            cleaner: CleanerSettings {
                enabled: false,
                ..CleanerSettings::default()
            },
            ..DirectoryOptions::default()
        };
        let _runtime = RUNTIME.enter();
        let opened = LogDirectory::open(Env::system(), &root, options).unwrap();
        Arc::new(Self {
            directory: opened.directory,
            topics: Mutex::default(),
            root,
            folder,
        })
    }

    /// Closes the directory, lets `change` loose on its files, and opens it again without topics.
    pub(crate) fn reopened(self: Arc<Self>, change: impl FnOnce(&Path)) -> Arc<Self> {
        let world = Arc::into_inner(self).expect("nobody else uses the world");
        let Self {
            directory,
            root,
            folder,
            topics,
        } = world;
        drop(topics);
        directory.close().unwrap();
        drop(directory);
        change(&root);
        Self::open(folder)
    }

    /// A new topic, or one that the directory knows, with these settings.
    pub(crate) fn topic(&self, name: &str, partitions: i32, settings: &LogSettings) {
        let mut id = [1; 16];
        for (byte, of_name) in id.iter_mut().zip(name.bytes()) {
            *byte = of_name;
        }
        let id = TopicId::new(id).unwrap();
        let partition = |number| {
            let index = PartitionIndex::new(number).unwrap();
            let name = TopicPartition {
                topic: TopicName::new(name),
                partition: index,
            };
            let log: Arc<dyn PartitionLog> =
                self.directory.log(&name, id, settings.clone()).unwrap();
            Partition { index, log }
        };
        let topic = Topic {
            name: TopicName::new(name),
            id,
            partitions: (0..partitions).map(partition).collect(),
            settings: BTreeMap::new(),
        };
        self.topics.lock().unwrap().insert(name.to_owned(), topic);
    }

    pub(crate) fn simple_topic(&self, name: &str, partitions: i32) {
        self.topic(name, partitions, &LogSettings::default());
    }

    /// A new topic with a contract.
    pub(crate) fn typed_topic(&self, name: &str, partitions: i32, contract: &str) {
        self.simple_topic(name, partitions);
        self.set(name, "watertable.contract", contract);
    }

    /// Makes a setting of a topic.
    pub(crate) fn set(&self, name: &str, setting: &str, value: &str) {
        let mut topics = self.topics.lock().unwrap();
        let topic = topics.get_mut(name).unwrap();
        topic.settings.insert(setting.to_owned(), value.to_owned());
    }

    pub(crate) fn remove(&self, name: &str) {
        let topic = self.topics.lock().unwrap().remove(name).unwrap();
        for partition in &topic.partitions {
            let name = TopicPartition {
                topic: topic.name.clone(),
                partition: partition.index,
            };
            self.directory.delete(&name, topic.id).unwrap();
        }
    }

    pub(crate) fn log(&self, name: &str, partition: usize) -> Arc<dyn PartitionLog> {
        let topics = self.topics.lock().unwrap();
        Arc::clone(&topics[name].partitions[partition].log)
    }

    /// Appends and waits; returns the base offset.
    pub(crate) fn append(&self, name: &str, partition: usize, batch: Bytes) -> i64 {
        let log = self.log(name, partition);
        let context = AppendContext::client(log.offsets().leader_epoch);
        append_as(&*log, batch, context)
    }

    /// Ends the transaction of a producer.
    pub(crate) fn end_transaction(
        &self,
        name: &str,
        partition: usize,
        producer: i64,
        kind: ControlRecordType,
    ) {
        let options = BatchOptions {
            producer_id: producer,
            producer_epoch: 0,
            ..BatchOptions::default()
        };
        let marker = EndTransactionMarker {
            coordinator_epoch: 1,
        };
        let batch = BatchBuilder::end_transaction(options, NOW_MS, kind, marker).unwrap();
        let log = self.log(name, partition);
        let context = AppendContext::coordinator(log.offsets().leader_epoch);
        append_as(&*log, batch, context);
    }

    pub(crate) fn delete_records(&self, name: &str, partition: usize, before: i64) {
        let before = Offset::new(before).unwrap();
        self.log(name, partition)
            .delete_records(Some(before))
            .unwrap();
    }

    /// Compacts whatever is due.
    pub(crate) fn compact(&self) {
        while self.directory.clean_once() {}
    }

    /// The segment files of a partition.
    pub(crate) fn segments(root: &Path, name: &str, partition: i32) -> Vec<PathBuf> {
        let folder = root.join("logs").join(format!("{name}-{partition}"));
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        files.sort();
        files
    }

    pub(crate) fn engine(self: &Arc<Self>) -> Arc<Engine> {
        self.engine_with(|_| {})
    }

    /// An engine of two threads, so that plans are the same on every machine.
    pub(crate) fn engine_with(
        self: &Arc<Self>,
        change: impl FnOnce(&mut EngineOptions),
    ) -> Arc<Engine> {
        let mut options = EngineOptions {
            threads: 2.try_into().unwrap(),
            ..EngineOptions::default()
        };
        change(&mut options);
        Engine::new(Arc::clone(self) as Arc<dyn Topics>, options).unwrap()
    }

    pub(crate) fn session(self: &Arc<Self>) -> Session {
        Session::of(self.engine())
    }
}

fn append_as(log: &dyn PartitionLog, batch: Bytes, context: AppendContext) -> i64 {
    let ticket = log.append(batch, context).unwrap();
    let base = ticket.outcome.base_offset.value();
    let commit = async { tokio::time::timeout(Duration::from_secs(20), ticket.committed()).await };
    RUNTIME
        .block_on(commit)
        .expect("a commit resolves")
        .unwrap();
    base
}

impl Topics for World {
    fn names(&self) -> Vec<TopicName> {
        let topics = self.topics.lock().unwrap();
        topics.values().map(|topic| topic.name.clone()).collect()
    }

    fn topic(&self, name: &str) -> Result<Option<Topic>, TopicError> {
        Ok(self.topics.lock().unwrap().get(name).cloned())
    }
}

/// A topic that is compacted, in segments of `segment_bytes`.
pub(crate) fn compacted(segment_bytes: u32) -> LogSettings {
    LogSettings {
        segment_bytes,
        index_interval_bytes: 300,
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        min_cleanable_dirty_ratio: 0.0,
        ..LogSettings::default()
    }
}

/// A record to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

pub(crate) fn written(timestamp: i64, key: &str, value: &str) -> Written {
    Written {
        timestamp,
        key: Some(key.into()),
        value: Some(value.into()),
        headers: Vec::new(),
    }
}

pub(crate) fn batch(records: &[Written]) -> Bytes {
    batch_with(BatchOptions::default(), records)
}

pub(crate) fn batch_with(options: BatchOptions, records: &[Written]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
            .collect();
        builder
            .push(
                record.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            )
            .unwrap();
    }
    builder.build().unwrap()
}

/// A batch of a transaction.
pub(crate) fn transactional(producer: i64, sequence: i32, values: &[&str]) -> Bytes {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: 0,
        base_sequence: sequence,
        is_transactional: true,
        ..BatchOptions::default()
    };
    let records: Vec<_> = values
        .iter()
        .map(|value| written(NOW_MS, "k", value))
        .collect();
    batch_with(options, &records)
}

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) context: SessionContext,
}

impl Session {
    pub(crate) fn of(engine: Arc<Engine>) -> Self {
        let context = engine.session();
        Self { engine, context }
    }

    /// The physical plan of a query.
    pub(crate) fn plan(&self, sql: &str) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let (session, sql) = (self.clone(), sql.to_owned());
        self.block_on(async move {
            let plan = session.engine.plan(&session.context, &sql).await?;
            let frame = session.context.execute_logical_plan(plan).await?;
            frame.create_physical_plan().await
        })
    }

    /// The rows of a query.
    pub(crate) fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
        self.block_on(self.clone().batches_of(sql.to_owned()))
    }

    pub(crate) async fn batches_of(self, sql: String) -> Result<Vec<RecordBatch>, DataFusionError> {
        let plan = self.engine.plan(&self.context, &sql).await?;
        let frame = self.context.execute_logical_plan(plan).await?;
        frame.collect().await
    }

    /// The rows of a query as text, NULL as `NULL`.
    pub(crate) fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, DataFusionError> {
        Ok(rows_of(&self.batches(sql)?))
    }

    /// The rows of a query that has to succeed, columns between `|`.
    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        let rows = self
            .rows(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.into_iter().map(|row| row.join("|")).collect()
    }

    /// What is wrong with a query, and the hint.
    pub(crate) fn refusal(&self, sql: &str) -> String {
        match self.rows(sql) {
            Ok(rows) => panic!("{sql} gave {rows:?}"),
            Err(error) => format!("{error} HINT: {}", sql::hint(&error).unwrap_or_default()),
        }
    }

    /// The figures of the scan of a query, after it ran.
    pub(crate) fn figures(&self, sql: &str) -> BTreeMap<String, usize> {
        let plan = self.plan(sql).unwrap();
        let context = self.context.task_ctx();
        let running = Arc::clone(&plan);
        self.block_on(async move { datafusion::physical_plan::collect(running, context).await })
            .unwrap();
        let mut figures = BTreeMap::new();
        add_figures(&plan, &mut figures);
        figures
    }

    /// Waits until nothing is held for queries; what was ended ends at its next step.
    pub(crate) fn memory_comes_back(&self) {
        let pool = Arc::clone(&self.context.runtime_env().memory_pool);
        self.block_on(async move {
            let gone = async {
                while pool.reserved() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            let waited = tokio::time::timeout(Duration::from_secs(20), gone).await;
            waited.expect("memory comes back");
        });
    }

    pub(crate) fn block_on<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let task = self.engine.handle().spawn(work);
        self.engine.handle().block_on(task).unwrap()
    }
}

fn add_figures(plan: &Arc<dyn ExecutionPlan>, figures: &mut BTreeMap<String, usize>) {
    if ["TopicScan", "LatestScan"].contains(&plan.name()) {
        let metrics = plan.metrics().unwrap();
        for metric in metrics.iter() {
            let value = metric.value();
            *figures.entry(value.name().to_owned()).or_default() += value.as_usize();
        }
    }
    for child in plan.children() {
        add_figures(child, figures);
    }
}

pub(crate) fn rows_of(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &datafusion::arrow::array::ArrayRef| {
                if column.is_null(row) {
                    "NULL".to_owned()
                } else {
                    array_value_to_string(column, row).unwrap()
                }
            };
            rows.push(batch.columns().iter().map(cell).collect());
        }
    }
    rows
}
