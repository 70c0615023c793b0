//! Results as files of the server: `COPY (SELECT …) TO 'file.parquet'`.
//!
//! A session must not reach the machine's files, with one exception that whoever runs the server makes on purpose: a folder
//! for exports. [`Exports`] writes there and nowhere else.
//!
//! Invariants: without a folder nothing is written; no name leads out of it ([`place`]); a file has its name only when all of it is
//! on the disk, and takes the place of another only if asked to; whatever ends an export early, nothing is left of it. Memory is
//! that of a batch and of what the format holds back, which is taken from the pool of all queries. Nothing here waits for the
//! disk on a thread that others need.

mod columns;
mod json;
mod ndjson;
mod parquet;
mod place;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::parquet::errors::ParquetError;
use futures_util::StreamExt as _;
use tokio::runtime::Handle;

pub(crate) use self::json::texts_of_union;
use self::ndjson::Ndjson;
use self::parquet::Parquet;
use self::place::Unfinished;
use crate::threads::Workers;

/// What goes to the system at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Exports of all sessions that write at the same moment.
const WRITERS: usize = 2;

/// Why a result did not become a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("this server writes no files")]
    NotAllowed,
    #[error("cannot write to \"{0}\": only to the server's folder of exports")]
    Remote(String),
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
    /// Within the folder of exports.
    pub(crate) name: String,
    /// It may take the place of another.
    pub(crate) overwrites: bool,
}

/// Where the bytes of a file go.
pub(crate) type Output = BufWriter<Counted>;

/// A file that counts what was written to it.
#[derive(Debug)]
pub(crate) struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
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

/// Writes files into the folder of exports.
#[derive(Debug)]
pub struct Exports {
    directory: Option<PathBuf>,
    bytes_max: u64,
    workers: Workers,
}

impl Exports {
    /// Writes into this folder, if there is one, files of so many bytes at most. `threads` may be busy with the disk.
    pub fn new(directory: Option<PathBuf>, bytes_max: u64, threads: Handle) -> Self {
        Self {
            directory,
            bytes_max,
            workers: Workers::new(threads, WRITERS),
        }
    }

    /// Whether there is a folder to write to.
    pub(crate) fn is_allowed(&self) -> bool {
        self.directory.is_some()
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
        let Some(directory) = self.directory.clone() else {
            return Err(ExportError::NotAllowed);
        };
        let (schema, bytes) = (stream.schema(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&bytes);
        let begin = move || {
            let (unfinished, file) = Unfinished::create(&directory, &wanted)?;
            let counted = Counted {
                file,
                bytes: counter,
            };
            let output = BufWriter::with_capacity(BUFFER_BYTES, counted);
            Ok((unfinished, encoder(&schema, output)?))
        };
        // Dropped wherever this ends early, which removes the file.
        let (unfinished, encoder) = self.run(begin).await?;
        let (encoder, rows) = self.fill(encoder, stream, memory, &bytes).await?;
        self.run(move || unfinished.finish(encoder.finish()?))
            .await?;
        Ok(rows)
    }

    async fn fill(
        &self,
        mut encoder: Box<dyn Encoder>,
        mut stream: SendableRecordBatchStream,
        memory: &Arc<dyn MemoryPool>,
        bytes: &AtomicU64,
    ) -> Result<(Box<dyn Encoder>, u64), ExportError> {
        let held = MemoryConsumer::new("export").register(memory);
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            let write = move || {
                encoder.write(&batch)?;
                Ok(encoder)
            };
            encoder = self.run(write).await?;
            if held.try_resize(encoder.held_bytes()).is_err() {
                // Smaller parts are better than none.
                let flush = move || {
                    encoder.flush()?;
                    Ok(encoder)
                };
                encoder = self.run(flush).await?;
                held.try_resize(encoder.held_bytes())?;
            }
            if bytes.load(Ordering::Relaxed) > self.bytes_max {
                let limit = self.bytes_max;
                return Err(ExportError::TooLarge { limit });
            }
        }
        Ok((encoder, rows))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
    ) -> Result<T, ExportError> {
        self.workers.run(work).await?
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

/// The file behind an output, with all of it written.
fn into_file(output: Output) -> io::Result<File> {
    let counted = output
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok(counted.file)
}

#[cfg(test)]
mod tests {
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
    async fn with_little_memory_the_parts_of_a_file_are_smaller() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::new(Some(folder.path().to_owned()), u64::MAX, Handle::current());
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
