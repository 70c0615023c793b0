//! A file of Parquet. What is not of its types is text; the types are Parquet's own, without those of Arrow beside them, so that
//! every reader sees the same.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use super::columns::{batch_for_parquet, for_parquet};
use super::{Encoder, ExportError, Output};

/// A row group is written when it has so many bytes: it is held in memory until then.
const ROW_GROUP_BYTES: usize = 32 << 20;

pub(super) struct Parquet {
    writer: ArrowWriter<Output>,
    schema: SchemaRef,
}

impl Parquet {
    pub(super) fn begin(schema: SchemaRef, output: Output) -> Result<Self, ExportError> {
        let schema = for_parquet(&schema)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("watertable {}", env!("CARGO_PKG_VERSION")))
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(output, schema.clone(), options)?;
        Ok(Self { writer, schema })
    }
}

impl Encoder for Parquet {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        self.writer
            .write(&batch_for_parquet(batch, &self.schema)?)?;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        Ok(self.writer.flush()?)
    }

    fn held_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    fn finish(self: Box<Self>) -> Result<Output, ExportError> {
        Ok(self.writer.into_inner()?)
    }
}
