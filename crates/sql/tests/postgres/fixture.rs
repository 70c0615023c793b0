//! A server over tables in memory, one of which never ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMillisecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;
use datafusion::datasource::MemTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use env::Env;
use sql::postgres::{Limits, Server, Sessions};
use sql::{Exports, S3Options};
use tokio_util::sync::CancellationToken;

extensions_options! {
    /// What the engine's settings look like.
    pub struct EngineOptions {
        pub strict: bool, default = false
    }
}

impl ConfigExtension for EngineOptions {
    const PREFIX: &'static str = "watertable";
}

/// Rows of a batch of the endless table.
pub(crate) const BATCH_ROWS: u64 = 1024;

/// What the endless table has done.
#[derive(Debug, Default)]
pub(crate) struct Endless {
    /// Rows that were read from it.
    pub(crate) rows: AtomicU64,
    /// Queries that read it now.
    pub(crate) readers: AtomicI64,
}

#[derive(Debug)]
struct EndlessPartition {
    schema: SchemaRef,
    endless: Arc<Endless>,
}

/// Counts a reader for as long as it is there.
struct Reader(Arc<Endless>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PartitionStream for EndlessPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.endless.readers.fetch_add(1, Ordering::SeqCst);
        let reader = Reader(Arc::clone(&self.endless));
        let schema = Arc::clone(&self.schema);
        let batches = futures_util::stream::repeat_with(move || {
            let first = reader.0.rows.fetch_add(BATCH_ROWS, Ordering::SeqCst);
            let numbers = (first..first + BATCH_ROWS).map(|number| i64::try_from(number).unwrap());
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
            let text = "x".repeat(100);
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
                (0..BATCH_ROWS).map(|_| &text),
            ));
            Ok(RecordBatch::try_new(
                Arc::clone(&schema),
                vec![numbers, texts],
            )?)
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        ))
    }
}

#[derive(Debug)]
struct Tables {
    endless: Arc<Endless>,
    exports: Option<Arc<Exports>>,
}

impl Sessions for Tables {
    fn exports(&self) -> Option<Arc<Exports>> {
        self.exports.clone()
    }

    fn session(&self) -> SessionContext {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema("watertable", "public")
            .with_information_schema(true)
            .with_target_partitions(2);
        config
            .options_mut()
            .extensions
            .insert(EngineOptions::default());
        let mut context = SessionContext::new_with_config(config);
        datafusion_functions_json::register_all(&mut context).unwrap();
        let numbers = batch(vec![(
            "n",
            Arc::new(Int32Array::from_iter_values(1..=10_000)),
        )]);
        for (name, batch) in [
            ("flights", flights()),
            ("Odd-Topic.1", odd()),
            ("numbers", numbers),
        ] {
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
            context
                .register_table(
                    datafusion::common::TableReference::bare(name),
                    Arc::new(table),
                )
                .unwrap();
        }
        let fields = vec![
            Field::new("n", DataType::Int64, false),
            Field::new("text", DataType::Utf8, false),
        ];
        let schema = Arc::new(Schema::new(fields));
        let partition = EndlessPartition {
            schema: Arc::clone(&schema),
            endless: Arc::clone(&self.endless),
        };
        let table = StreamingTable::try_new(schema, vec![Arc::new(partition)])
            .unwrap()
            .with_infinite_table(false);
        context.register_table("endless", Arc::new(table)).unwrap();
        context
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// Three rows of every type that topics have.
fn flights() -> RecordBatch {
    let money = Decimal128Array::from(vec![Some(12_345), Some(-5), None])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let moments = TimestampMillisecondArray::from(vec![Some(1_357_034_400_000), Some(0), None])
        .with_timezone("UTC");
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        (
            "carrier",
            Arc::new(StringArray::from(vec![Some("UA"), Some("AA"), None])),
        ),
        (
            "delay",
            Arc::new(Float64Array::from(vec![Some(2.5), Some(-4.0), None])),
        ),
        (
            "ok",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        ("fare", Arc::new(money)),
        (
            "day",
            Arc::new(Date32Array::from(vec![Some(15_706), Some(0), None])),
        ),
        ("at", Arc::new(moments)),
        (
            "raw",
            Arc::new(BinaryArray::from(vec![
                Some(&b"\x00\xff"[..]),
                Some(b""),
                None,
            ])),
        ),
    ])
}

fn odd() -> RecordBatch {
    batch(vec![(
        "Weird Column",
        Arc::new(StringArray::from(vec!["a\tb", "c\"d,e", "\\N"])) as ArrayRef,
    )])
}

/// A running server.
pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) endless: Arc<Endless>,
    pub(crate) stop: CancellationToken,
    /// Cancelled when the server has ended.
    pub(crate) ended: CancellationToken,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_within(Limits::default()).await
    }

    pub(crate) async fn start_within(limits: Limits) -> Self {
        Self::start_with(limits, None).await
    }

    /// One that writes files into a folder.
    pub(crate) async fn start_exporting(folder: &Path, bytes_max: u64) -> Self {
        let threads = tokio::runtime::Handle::current();
        let exports = Exports::new(Some(folder.to_owned()), None, bytes_max, threads);
        Self::start_with(Limits::default(), Some(Arc::new(exports))).await
    }

    /// One that writes objects.
    pub(crate) async fn start_exporting_to(s3: S3Options, bytes_max: u64) -> Self {
        let threads = tokio::runtime::Handle::current();
        let exports = Exports::new(None, Some(s3), bytes_max, threads);
        Self::start_with(Limits::default(), Some(Arc::new(exports))).await
    }

    async fn start_with(limits: Limits, exports: Option<Arc<Exports>>) -> Self {
        let endless = Arc::new(Endless::default());
        let tables = Arc::new(Tables {
            endless: Arc::clone(&endless),
            exports,
        });
        let env = Env::system();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(env.clone(), any, tables, limits)
            .await
            .unwrap();
        let address = server.address().unwrap();
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let run = server.run(stop.clone());
        let end = ended.clone();
        env.spawner.spawn(Box::pin(async move {
            run.await;
            end.cancel();
        }));
        Self {
            address,
            endless,
            stop,
            ended,
        }
    }

    pub(crate) async fn client(&self) -> crate::client::Client {
        crate::client::Client::connect(self.address).await
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Endless) -> bool) {
        let wait = async {
            while !is_so(&self.endless) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(crate::client::PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("not in time: {what}"));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
