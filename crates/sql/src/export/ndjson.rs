//! An object of JSON per line. NULL is there as null, bytes are hexadecimal digits as PostgreSQL writes them, times are RFC 3339.

use std::sync::Arc;

use arrow_json::writer::{LineDelimited, Writer, WriterBuilder};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use super::json::Unions;
use super::{Encoder, ExportError, Output};
use crate::columns::hexadecimal;

pub(super) struct Ndjson {
    writer: Writer<Output, LineDelimited>,
    schema: SchemaRef,
}

impl Ndjson {
    pub(super) fn begin(schema: SchemaRef, output: Output) -> Self {
        let builder = WriterBuilder::new()
            .with_explicit_nulls(true)
            .with_encoder_factory(Arc::new(Unions));
        let fields = schema.fields().iter().map(|field| {
            let data_type = if is_bytes(field.data_type()) {
                DataType::Utf8
            } else {
                field.data_type().clone()
            };
            Field::new(field.name(), data_type, true)
        });
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            writer: builder.build(output),
        }
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

impl Encoder for Ndjson {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        let columns = batch.columns().iter().map(|array| {
            if is_bytes(array.data_type()) {
                digits(array)
            } else {
                Ok(Arc::clone(array))
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(self.writer.write(&batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<Output, ExportError> {
        self.writer.finish()?;
        Ok(self.writer.into_inner())
    }
}

fn digits(array: &ArrayRef) -> Result<ArrayRef, ExportError> {
    let bytes = cast(array, &DataType::LargeBinary)?;
    let values = bytes.as_binary::<i64>().iter();
    let texts: StringArray = values.map(|value| value.map(hexadecimal)).collect();
    Ok(Arc::new(texts))
}
