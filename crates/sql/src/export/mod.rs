//! Results as files of the server and as objects of S3: `COPY (SELECT …) TO 'file.parquet'`.
//!
//! A session must reach neither the machine's files nor other machines, with exceptions that whoever runs the server makes on
//! purpose: a folder for exports, and buckets. [`Exports`] writes there and nowhere else.
//!
//! Invariants: what no setting allows is not written; no name leads out of a folder ([`place`]) or of what is allowed of a bucket
//! ([`s3`]); a file has its name only when all of it is on the disk, an object is there only when it is whole, and both take the
//! place of another only if asked to; whatever ends an export early, nothing is left of it. Memory is that of a batch, of what the
//! format holds back and of what is on its way to a store; the last two are taken from the pool of all queries. Nothing here
//! waits for the disk on a thread that others need.

mod columns;
mod json;
mod ndjson;
mod output;
mod parquet;
mod place;
mod s3;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::parquet::errors::ParquetError;
use futures_util::StreamExt as _;
use tokio::runtime::Handle;

pub(crate) use self::json::texts_of_union;
use self::ndjson::Ndjson;
pub(crate) use self::output::Output;
use self::output::{Counted, close};
use self::parquet::Parquet;
use self::place::Unfinished;
pub(crate) use self::s3::StoreFailure;
pub use self::s3::{S3Endpoint, S3Options, S3Prefix};
use self::s3::{SCHEME, Stores, Upload};
use crate::errors::io_error;
use crate::threads::Workers;

/// Exports of all sessions that write at the same moment.
const WRITERS: usize = 2;

/// Why a result did not become a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("this server writes no files")]
    NotAllowed,
    #[error("this server writes no objects to S3")]
    NoStores,
    #[error("cannot write to \"{0}\": only to files and to s3://")]
    Remote(String),
    #[error("cannot write to \"{name}\": this server writes to {allowed}")]
    NotThere { name: String, allowed: String },
    #[error("\"{name}\" cannot be the name of an object: {why}")]
    ObjectName { name: String, why: &'static str },
    #[error("could not write the export \"{name}\": {source}")]
    Store { name: String, source: StoreFailure },
    #[error("\"{name}\" cannot be the name of an export: {why}")]
    Name { name: String, why: &'static str },
    #[error("\"{0}\" is there already")]
    Exists(String),
    #[error("the name \"{0}\" does not tell the format")]
    NoFormat(String),
    #[error("an export is larger than the {limit} bytes that one may have")]
    TooLarge { limit: u64 },
    #[error("could not write the export \"{name}\": {source}")]
    Io { name: String, source: io::Error },
    #[error("values of column \"{column}\" cannot be written: {source}")]
    Column { column: String, source: ArrowError },
    #[error(transparent)]
    Query(#[from] DataFusionError),
}

impl From<ArrowError> for ExportError {
    fn from(error: ArrowError) -> Self {
        Self::Query(error.into())
    }
}

impl From<ParquetError> for ExportError {
    fn from(error: ParquetError) -> Self {
        Self::Query(error.into())
    }
}

impl ExportError {
    /// An error of an encoder: what the system said to it is about the file.
    fn of_file(self, name: &str) -> Self {
        let Self::Query(error) = &self else {
            return self;
        };
        match io_error(error) {
            Some(said) => Self::Io {
                name: name.to_owned(),
                source: io::Error::new(said.kind(), said.to_string()),
            },
            None => self,
        }
    }
}

/// What a file of an export consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Parquet,
    Csv,
    /// An object of JSON per line.
    Ndjson,
}

impl FileFormat {
    /// By what it is called.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// By the ending of a name.
    pub(crate) fn of_file(name: &str) -> Result<Self, ExportError> {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        Self::named(ending).ok_or_else(|| ExportError::NoFormat(name.to_owned()))
    }
}

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Within the folder of exports, or that of an object.
    pub(crate) name: String,
    /// It may take the place of another.
    pub(crate) overwrites: bool,
}

/// Writes batches in a format. Runs on threads that may wait for the disk.
pub(crate) trait Encoder: Send {
    /// Writes a batch.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError>;

    /// What is held in memory until it can be written.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Writes what is held.
    fn flush(&mut self) -> Result<(), ExportError> {
        Ok(())
    }

    /// Writes what comes at the end.
    fn finish(self: Box<Self>) -> Result<Output, ExportError>;
}

/// Writes what may be written.
#[derive(Debug)]
pub struct Exports {
    directory: Option<PathBuf>,
    stores: Option<Stores>,
    bytes_max: u64,
    workers: Workers,
}

impl Exports {
    /// Writes into this folder and to these stores, if there are any, `bytes_max` at most each time. `threads` may be busy with
    /// the disk.
    pub fn new(
        directory: Option<PathBuf>,
        s3: Option<S3Options>,
        bytes_max: u64,
        threads: Handle,
    ) -> Self {
        Self {
            directory,
            stores: s3.map(|options| Stores::new(options, threads.clone())),
            bytes_max,
            workers: Workers::new(threads, WRITERS),
        }
    }

    /// Whether something of this name may be written.
    pub(crate) fn check(&self, wanted: &Wanted) -> Result<(), ExportError> {
        if is_object(wanted) {
            return self.stores()?.check(&wanted.name);
        }
        if wanted.name.contains("://") {
            return Err(ExportError::Remote(wanted.name.clone()));
        }
        self.directory().map(drop)
    }

    fn stores(&self) -> Result<&Stores, ExportError> {
        self.stores.as_ref().ok_or(ExportError::NoStores)
    }

    fn directory(&self) -> Result<&PathBuf, ExportError> {
        self.directory.as_ref().ok_or(ExportError::NotAllowed)
    }

    /// Waits, not for long, until stores have forgotten exports that were given up.
    pub(crate) async fn settle(&self) {
        if let Some(stores) = &self.stores {
            stores.settle().await;
        }
    }

    /// Writes all rows of a stream, and how many there were. `encoder` begins a file of this schema.
    pub(crate) async fn write(
        &self,
        wanted: Wanted,
        stream: SendableRecordBatchStream,
        memory: &Arc<dyn MemoryPool>,
        encoder: impl FnOnce(&SchemaRef, Output) -> Result<Box<dyn Encoder>, ExportError>
        + Send
        + 'static,
    ) -> Result<u64, ExportError> {
        let (name, schema) = (wanted.name.clone(), stream.schema());
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        let mut filling = Filling {
            exports: self,
            name: &name,
            stream,
            held: MemoryConsumer::new("export").register(memory),
            bytes,
            rows: 0,
            upload: None,
        };
        // Both places drop what is not finished, which removes it.
        if is_object(&wanted) {
            let upload = self.stores()?.begin(&wanted, &self.workers).await?;
            let output = Counted::parts(upload.parts(), counter);
            filling.upload = Some(upload);
            let encoder = self.encode(&name, move || encoder(&schema, output)).await?;
            let encoder = filling.fill(encoder).await?;
            let finish = move || Ok(close(encoder.finish()?).map_err(DataFusionError::from)?);
            self.encode(&name, finish).await?;
            if let Some(upload) = filling.upload {
                upload.finish().await?;
            }
        } else {
            let directory = self.directory()?.clone();
            let begin = move || {
                let (unfinished, file) = Unfinished::create(&directory, &wanted)?;
                Ok((unfinished, encoder(&schema, Counted::file(file, counter))?))
            };
            let (unfinished, encoder) = self.encode(&name, begin).await?;
            let encoder = filling.fill(encoder).await?;
            let finish = move || unfinished.finish(encoder.finish()?);
            self.encode(&name, finish).await?;
        }
        Ok(filling.rows)
    }

    /// Lets an encoder work where the disk may be waited for.
    async fn encode<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
    ) -> Result<T, ExportError> {
        let worked = self.run(work).await;
        worked.map_err(|error| error.of_file(name))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
    ) -> Result<T, ExportError> {
        self.workers.run(work).await?
    }
}

fn is_object(wanted: &Wanted) -> bool {
    wanted.name.starts_with(SCHEME)
}

/// An export that is being filled.
struct Filling<'a> {
    exports: &'a Exports,
    name: &'a str,
    stream: SendableRecordBatchStream,
    held: MemoryReservation,
    /// What was written.
    bytes: Arc<AtomicU64>,
    rows: u64,
    /// Takes away what was written, if it goes to a store.
    upload: Option<Upload>,
}

impl Filling<'_> {
    async fn fill(
        &mut self,
        mut encoder: Box<dyn Encoder>,
    ) -> Result<Box<dyn Encoder>, ExportError> {
        while let Some(batch) = self.stream.next().await {
            let batch = batch?;
            self.rows += batch.num_rows() as u64;
            let write = move || {
                encoder.write(&batch)?;
                Ok(encoder)
            };
            encoder = self.exports.encode(self.name, write).await?;
            encoder = self.bound(encoder).await?;
            if let Some(upload) = &mut self.upload {
                upload.advance().await?;
            }
            let limit = self.exports.bytes_max;
            if self.bytes.load(Ordering::Relaxed) > limit {
                return Err(ExportError::TooLarge { limit });
            }
        }
        Ok(encoder)
    }

    /// Takes what is held from the pool, and holds less if there is not so much.
    async fn bound(
        &mut self,
        mut encoder: Box<dyn Encoder>,
    ) -> Result<Box<dyn Encoder>, ExportError> {
        if self.held.try_resize(self.held_bytes(&*encoder)).is_err() {
            // Smaller parts are better than none.
            let flush = move || {
                encoder.flush()?;
                Ok(encoder)
            };
            encoder = self.exports.encode(self.name, flush).await?;
            if let Some(upload) = &mut self.upload {
                upload.settle().await?;
            }
            self.held.try_resize(self.held_bytes(&*encoder))?;
        }
        Ok(encoder)
    }

    fn held_bytes(&self, encoder: &dyn Encoder) -> usize {
        encoder.held_bytes() + self.upload.as_ref().map_or(0, Upload::held_bytes)
    }
}

/// Begins a file of Parquet or JSON. The names are those of the columns.
pub(crate) fn encoder(
    format: FileFormat,
    names: &[String],
    schema: &SchemaRef,
    output: Output,
) -> Result<Box<dyn Encoder>, ExportError> {
    let schema = columns::named(schema, names);
    Ok(match format {
        FileFormat::Parquet => Box::new(Parquet::begin(schema, output)?),
        FileFormat::Csv | FileFormat::Ndjson => Box::new(Ndjson::begin(schema, output)),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;

    /// A number that looks like no other, as SplitMix64 makes it.
    fn scattered(number: i64) -> u64 {
        let mixed = number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Batches of texts that do not compress well.
    fn batches(count: i64) -> SendableRecordBatchStream {
        let batch = |number: i64| {
            let numbers = Int64Array::from_iter_values(number * 1000..(number + 1) * 1000);
            let text = |number: i64| {
                let digits = (0..20).map(|part| scattered(20 * number + part));
                digits
                    .map(|number| format!("{number:016x}"))
                    .collect::<String>()
            };
            let texts = StringArray::from_iter_values(numbers.values().iter().copied().map(text));
            let columns: [(&str, ArrayRef); 2] =
                [("n", Arc::new(numbers)), ("text", Arc::new(texts))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let schema = batch(0).schema();
        let batches = futures_util::stream::iter((0..count).map(move |number| Ok(batch(number))));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    #[tokio::test]
    async fn with_little_memory_an_object_is_written_with_less_under_way() {
        let s3 = testkit::s3::S3::start().await;
        let variable = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let options = S3Options {
            allowed: vec![S3Prefix::parse("s3://bucket").unwrap()],
            endpoint: S3Endpoint::parse(&s3.endpoint()),
            region: None,
            environment: vec![
                variable("AWS_ACCESS_KEY_ID", testkit::s3::ACCESS_KEY),
                variable("AWS_SECRET_ACCESS_KEY", "secret"),
            ],
        };
        let exports = Exports::new(None, Some(options), u64::MAX, Handle::current());
        // No more than a part and what was written behind it.
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(10 << 20));
        let wanted = Wanted {
            name: "s3://bucket/a.ndjson".to_owned(),
            overwrites: false,
        };
        let names = ["n".to_owned(), "text".to_owned()];
        let begin =
            move |schema: &SchemaRef, output| encoder(FileFormat::Ndjson, &names, schema, output);
        let rows = exports.write(wanted, batches(100), &memory, begin).await;
        assert_eq!(rows.unwrap(), 100_000);
        assert_eq!(memory.reserved(), 0);
        let text = String::from_utf8(s3.object("a.ndjson").unwrap()).unwrap();
        assert_eq!(text.lines().count(), 100_000);
        assert!(text.len() > 3 * output::PART_BYTES);
        // With less than a part there is no way.
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(4 << 20));
        let wanted = Wanted {
            name: "s3://bucket/b.ndjson".to_owned(),
            overwrites: false,
        };
        let names = ["n".to_owned(), "text".to_owned()];
        let begin =
            move |schema: &SchemaRef, output| encoder(FileFormat::Ndjson, &names, schema, output);
        let refused = exports.write(wanted, batches(100), &memory, begin).await;
        let Err(ExportError::Query(DataFusionError::ResourcesExhausted(said))) = refused else {
            panic!("{refused:?}");
        };
        assert!(said.contains("export"), "{said}");
        assert_eq!(s3.object("b.ndjson"), None);
    }

    #[tokio::test]
    async fn with_little_memory_the_parts_of_a_file_are_smaller() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::new(
            Some(folder.path().to_owned()),
            None,
            u64::MAX,
            Handle::current(),
        );
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(4 << 20));
        let wanted = Wanted {
            name: "a.parquet".to_owned(),
            overwrites: false,
        };
        let names = ["n".to_owned(), "text".to_owned()];
        let begin =
            move |schema: &SchemaRef, output| encoder(FileFormat::Parquet, &names, schema, output);
        let rows = exports
            .write(wanted, batches(50), &memory, begin)
            .await
            .unwrap();
        assert_eq!(rows, 50_000);
        assert_eq!(memory.reserved(), 0);
        let file = File::open(folder.path().join("a.parquet")).unwrap();
        let file = SerializedFileReader::new(file).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 50_000);
        assert!(file.metadata().num_row_groups() > 1);
    }
}
