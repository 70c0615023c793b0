//! [`Rows`]: records become columns.
//!
//! Invariant: only the columns that are asked for are filled, and values are copied once, into buffers that hold nothing
//! else: a row that is kept keeps neither its batch nor its neighbours in memory.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryViewBuilder, Int32Array, Int64Builder, ListArray, RecordBatch,
    RecordBatchOptions, StringViewBuilder, StructArray, TimestampMillisecondBuilder,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::scalar::ScalarValue;
use protocol::records::{Headers, NO_TIMESTAMP};

use crate::columns::{Column, Form, UTC, as_text, header_fields};
use crate::typed::{Fault, Selection, TypedRows};

/// One record, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) offset: i64,
    /// -1 for none.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Option<Headers<'a>>,
}

/// Rows of one partition.
#[derive(Debug)]
pub(crate) struct Rows {
    topic: String,
    partition: i32,
    schema: SchemaRef,
    columns: Vec<Column>,
    form: Form,
    offsets: Option<Int64Builder>,
    timestamps: Option<TimestampMillisecondBuilder>,
    keys: Option<Cells>,
    values: Option<Cells>,
    headers: Option<HeaderLists>,
    typed: Option<TypedRows>,
    count: usize,
    bytes: usize,
}

impl Rows {
    /// `schema` has the `columns` in their order.
    pub(crate) fn new(
        topic: &str,
        partition: i32,
        schema: SchemaRef,
        columns: Vec<Column>,
        form: Form,
        typed: Option<&Selection>,
    ) -> Self {
        let wants = |column| columns.contains(&column);
        Self {
            topic: topic.to_owned(),
            partition,
            offsets: wants(Column::Offset).then(Int64Builder::new),
            timestamps: wants(Column::Timestamp).then(TimestampMillisecondBuilder::new),
            keys: wants(Column::Key).then(|| Cells::new(form)),
            values: wants(Column::Value).then(|| Cells::new(form)),
            headers: wants(Column::Headers).then(|| HeaderLists::new(form)),
            typed: typed.map(TypedRows::new),
            schema,
            columns,
            form,
            count: 0,
            bytes: 0,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes a record of so many bytes takes at most, beside its own.
    pub(crate) fn row_bytes(&self, record_bytes: usize) -> usize {
        let typed = self.typed.as_ref();
        typed.map_or(0, |typed| typed.row_bytes(record_bytes))
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        if let Some(typed) = &mut self.typed {
            self.bytes += typed.push(row.value)?;
        }
        self.push_untyped(row);
        Ok(())
    }

    /// Adds a record of which no typed column is asked for.
    pub(crate) fn push_untyped(&mut self, row: &Row<'_>) {
        self.count += 1;
        // Offset, timestamp, topic and partition.
        self.bytes += 40;
        if let Some(offsets) = &mut self.offsets {
            offsets.append_value(row.offset);
        }
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.append_option((row.timestamp != NO_TIMESTAMP).then_some(row.timestamp));
        }
        if let Some(keys) = &mut self.keys {
            self.bytes += keys.push(row.key);
        }
        if let Some(values) = &mut self.values {
            self.bytes += values.push(row.value);
        }
        if let (Some(lists), Some(headers)) = (&mut self.headers, row.headers) {
            self.bytes += lists.push(headers);
        }
    }

    /// Adds `count` records of which nothing is asked but that they are there.
    pub(crate) fn push_uncounted(&mut self, count: usize) {
        self.count += count;
    }

    /// Whether nothing but the number of rows is asked for.
    pub(crate) fn are_only_counted(&self) -> bool {
        self.columns.is_empty()
    }

    /// The rows so far as a batch; there are none afterwards.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let count = std::mem::take(&mut self.count);
        self.bytes = 0;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut typed_place = 0;
        for column in &self.columns {
            let array: Option<ArrayRef> = match column {
                Column::Topic => Some(
                    ScalarValue::Utf8View(Some(self.topic.clone()))
                        .to_array_of_size(count)
                        .map_err(|error| ArrowError::ExternalError(Box::new(error)))?,
                ),
                Column::Partition => Some(Arc::new(Int32Array::from_value(self.partition, count))),
                Column::Offset => self
                    .offsets
                    .as_mut()
                    .map(|offsets| Arc::new(offsets.finish()) as _),
                Column::Timestamp => self
                    .timestamps
                    .as_mut()
                    .map(|times| Arc::new(times.finish().with_timezone(UTC)) as _),
                Column::Key => self.keys.as_mut().map(Cells::finish),
                Column::Value => self.values.as_mut().map(Cells::finish),
                Column::Headers => match &mut self.headers {
                    Some(lists) => Some(lists.finish(self.form)?),
                    None => None,
                },
                Column::Typed(_) => {
                    let place = typed_place;
                    typed_place += 1;
                    self.typed.as_mut().and_then(|typed| typed.finish(place))
                }
                Column::Error => self.typed.as_mut().and_then(TypedRows::finish_errors),
            };
            arrays.extend(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
    }
}

/// A column of bytes, or of text for bytes.
#[derive(Debug)]
pub(crate) enum Cells {
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
}

impl Cells {
    pub(crate) fn new(form: Form) -> Self {
        match form {
            Form::Text => Self::Text(StringViewBuilder::new()),
            Form::Bytes => Self::Bytes(BinaryViewBuilder::new()),
        }
    }

    /// Returns about how many bytes it takes.
    pub(crate) fn push(&mut self, cell: Option<&[u8]>) -> usize {
        const VIEW_BYTES: usize = 16;
        let Some(cell) = cell else {
            match self {
                Self::Text(cells) => cells.append_null(),
                Self::Bytes(cells) => cells.append_null(),
            }
            return VIEW_BYTES;
        };
        match self {
            Self::Bytes(cells) => {
                cells.append_value(cell);
                VIEW_BYTES + cell.len()
            }
            Self::Text(cells) => match as_text(cell) {
                Ok(text) => {
                    cells.append_value(text);
                    VIEW_BYTES + text.len()
                }
                Err(text) => {
                    cells.append_value(&text);
                    VIEW_BYTES + text.len()
                }
            },
        }
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(cells) => Arc::new(cells.finish()),
            Self::Bytes(cells) => Arc::new(cells.finish()),
        }
    }
}

/// Lists of headers.
#[derive(Debug)]
pub(crate) struct HeaderLists {
    lengths: Vec<usize>,
    keys: Cells,
    values: Cells,
}

impl HeaderLists {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            lengths: Vec::new(),
            keys: Cells::new(Form::Text),
            values: Cells::new(form),
        }
    }

    pub(crate) fn push<'a>(
        &mut self,
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> usize {
        let (mut bytes, mut length) = (8, 0);
        for (key, value) in headers {
            length += 1;
            bytes += self.keys.push(Some(key)) + self.values.push(value);
        }
        self.lengths.push(length);
        bytes
    }

    pub(crate) fn finish(&mut self, form: Form) -> Result<ArrayRef, ArrowError> {
        let lengths = std::mem::take(&mut self.lengths);
        let fields = header_fields(form);
        let item = Field::new_list_field(DataType::Struct(fields.clone()), false);
        let columns = vec![self.keys.finish(), self.values.finish()];
        let headers = StructArray::try_new(fields, columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let lists = ListArray::try_new(Arc::new(item), offsets, Arc::new(headers), None)?;
        Ok(Arc::new(lists))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::datatypes::{Int64Type, TimestampMillisecondType};
    use protocol::records::{BatchBuilder, BatchOptions, BatchView};

    use super::*;
    use crate::columns::Columns;

    fn rows(form: Form) -> RecordBatch {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        let headers = [(&b"h"[..], Some(&b"\xff"[..])), (&b"h"[..], None)];
        builder
            .push(5, Some(b"k"), Some(b"text"), &headers)
            .unwrap();
        builder.push(-1, None, None, &[]).unwrap();
        builder.push(7, Some(b""), Some(b"\x00\x01"), &[]).unwrap();
        let bytes = builder.build().unwrap();
        let view = BatchView::parse(&bytes).unwrap();
        let mut rows = Rows::new(
            "a topic with a name",
            3,
            Columns::new(form, None).schema,
            Column::METADATA.to_vec(),
            form,
            None,
        );
        for record in view.records(view.record_bytes()) {
            let record = record.unwrap();
            rows.push_untyped(&Row {
                offset: view.offset_of(record.offset_delta),
                timestamp: view.timestamp_of(record.timestamp_delta),
                key: record.key,
                value: record.value,
                headers: Some(record.headers),
            });
        }
        assert_eq!(rows.count(), 3);
        assert!(rows.bytes() > 100);
        let batch = rows.take().unwrap();
        assert_eq!((rows.count(), rows.bytes()), (0, 0));
        batch
    }

    #[test]
    fn records_become_rows_of_text() {
        let batch = rows(Form::Text);
        assert_eq!(
            batch.column(0).as_string_view().value(2),
            "a topic with a name"
        );
        assert_eq!(
            batch.column(2).as_primitive::<Int64Type>().values(),
            &[0, 1, 2]
        );
        let times = batch.column(3).as_primitive::<TimestampMillisecondType>();
        assert!(times.is_null(1));
        assert_eq!(times.value(2), 7);
        let values = batch.column(5).as_string_view();
        assert_eq!(
            values.iter().collect::<Vec<_>>(),
            [Some("text"), None, Some("\\x0001")]
        );
        let lists = batch.column(6).as_list::<i32>();
        let headers = lists.value(0);
        let headers = headers.as_struct();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.column(1).as_string_view().value(0), "\\xff");
        assert!(headers.column(1).is_null(1));
        assert_eq!(lists.value_length(1), 0);
        assert!(!lists.is_null(1));
    }

    #[test]
    fn records_become_rows_of_bytes() {
        let batch = rows(Form::Bytes);
        let keys = batch.column(4).as_binary_view();
        assert_eq!(
            keys.iter().collect::<Vec<_>>(),
            [Some(&b"k"[..]), None, Some(b"")]
        );
        let values = batch.column(5).as_binary_view();
        assert_eq!(values.value(2), b"\x00\x01");
    }
}
