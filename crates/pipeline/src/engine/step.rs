//! [`Step`]: what happens to rows on their way; [`Piece`]: rows, each with the row of the input it comes from.
//!
//! Invariants: rows keep their order; what a step makes stays below a bound of bytes, and rows are counted before they are made.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, RecordBatchOptions,
    UInt32Array, new_empty_array,
};
use datafusion::arrow::compute::{cast, filter_record_batch, take};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::resources_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;

/// Rows of one input.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) batch: RecordBatch,
    /// For each row that of the input which it comes from.
    pub(super) rows: Vec<u32>,
}

/// What becomes of a column when others are unnested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnested {
    /// Its value stands beside each item.
    Repeated,
    /// Its items become rows.
    Items,
    /// Its fields become columns.
    Fields,
}

/// What happens to rows.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Others are made of them.
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
    /// Some of them are left out.
    Filter(Arc<dyn PhysicalExpr>),
    /// Each becomes as many as its lists have items.
    Unnest {
        /// Columns of the input with what becomes of them, in the order of the result.
        columns: Vec<(usize, Unnested)>,
        schema: SchemaRef,
    },
}

impl Step {
    pub(super) fn apply(&self, piece: Piece, bytes_max: usize) -> Result<Piece> {
        let piece = match self {
            Self::Project(exprs, schema) => project(piece, exprs, schema)?,
            Self::Filter(condition) => {
                let passes = mask(condition, &piece.batch)?;
                return piece.filter(&passes);
            }
            Self::Unnest { columns, schema } => unnest(&piece, columns, schema, bytes_max)?,
        };
        let bytes = bytes_of(&piece.batch);
        if bytes > bytes_max {
            return Err(too_large(bytes, bytes_max));
        }
        Ok(piece)
    }
}

pub(super) fn too_large(bytes: usize, bytes_max: usize) -> DataFusionError {
    resources_datafusion_err!(
        "the rows of a batch would take {bytes} bytes, and {bytes_max} are allowed"
    )
}

/// About how many bytes the rows take. What several of them share, as the text of views, is not counted.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    let bytes = columns.map(|column| match column.data_type() {
        DataType::Utf8View => {
            let lengths = column.as_string_view().lengths();
            lengths.map(|length| 16 + length as usize).sum()
        }
        DataType::BinaryView => {
            let lengths = column.as_binary_view().lengths();
            lengths.map(|length| 16 + length as usize).sum()
        }
        _ => column
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_error| column.get_array_memory_size()),
    });
    bytes.fold(0, usize::saturating_add)
}

/// What a condition says of each row.
pub(super) fn mask(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let value = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    let value = match value.data_type() {
        DataType::Boolean => value,
        _ => cast(&value, &DataType::Boolean)?,
    };
    Ok(value.as_boolean().clone())
}

impl Piece {
    /// The rows for which it is true.
    pub(super) fn filter(self, passes: &BooleanArray) -> Result<Self> {
        if passes.true_count() == self.rows.len() {
            return Ok(self);
        }
        let rows = self.rows.iter().zip(passes.iter());
        Ok(Self {
            batch: filter_record_batch(&self.batch, passes)?,
            rows: rows
                .filter(|(_, passes)| *passes == Some(true))
                .map(|(row, _)| *row)
                .collect(),
        })
    }
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::clone(schema);
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

fn project(piece: Piece, exprs: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Result<Piece> {
    let count = piece.rows.len();
    let columns = exprs
        .iter()
        .map(|expr| expr.evaluate(&piece.batch)?.into_array(count));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Piece {
        batch: batch_of(schema, columns, count)?,
        rows: piece.rows,
    })
}

fn unnest(
    piece: &Piece,
    columns: &[(usize, Unnested)],
    schema: &SchemaRef,
    bytes_max: usize,
) -> Result<Piece> {
    let mut lists = Vec::new();
    for (index, unnested) in columns {
        if *unnested == Unnested::Items {
            lists.push((*index, list_of(piece.batch.column(*index))?));
        }
    }
    let lengths: Vec<u32> = (0..piece.rows.len())
        .map(|row| {
            let lengths = lists.iter().map(|(_, list)| length(list, row));
            lengths.max().unwrap_or(1)
        })
        .collect();
    let count = lengths
        .iter()
        .fold(0, |sum: usize, length| sum.saturating_add(*length as usize));
    let least_bytes = count.saturating_mul(16).saturating_mul(columns.len());
    if least_bytes > bytes_max {
        return Err(too_large(least_bytes, bytes_max));
    }
    let repeat = || {
        let rows = (0_u32..).zip(&lengths);
        rows.flat_map(|(row, length)| std::iter::repeat_n(row, *length as usize))
    };
    let repeated: UInt32Array = repeat().collect();
    let mut arrays = Vec::with_capacity(schema.fields().len());
    for (index, unnested) in columns {
        let array = piece.batch.column(*index);
        match unnested {
            Unnested::Repeated => arrays.push(take(array, &repeated, None)?),
            Unnested::Fields => {
                let fields = array.as_struct_opt().ok_or_else(|| {
                    DataFusionError::Internal("what is unnested is no struct".to_owned())
                })?;
                for field in fields.columns() {
                    arrays.push(take(field, &repeated, None)?);
                }
            }
            Unnested::Items => {
                let list = lists.iter().find(|(of, _)| of == index);
                let (_, list) =
                    list.ok_or_else(|| DataFusionError::Internal("a list is missing".to_owned()))?;
                arrays.push(items(list, &lengths)?);
            }
        }
    }
    let rows = repeat().filter_map(|row| piece.rows.get(row as usize).copied());
    Ok(Piece {
        batch: batch_of(schema, arrays, count)?,
        rows: rows.collect(),
    })
}

/// All kinds of lists as one.
fn list_of(array: &ArrayRef) -> Result<ListArray> {
    let item = match array.data_type() {
        DataType::List(_) => return Ok(array.as_list::<i32>().clone()),
        DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Arc::clone(item),
        DataType::Null => {
            let item = Arc::new(Field::new_list_field(DataType::Null, true));
            return Ok(ListArray::new_null(item, array.len()));
        }
        other => {
            return Err(DataFusionError::Internal(format!(
                "what is unnested is no list but {other}"
            )));
        }
    };
    let list = cast(array, &DataType::List(item))?;
    Ok(list.as_list::<i32>().clone())
}

fn length(list: &ListArray, row: usize) -> u32 {
    if list.is_null(row) {
        return 0;
    }
    u32::try_from(list.value_length(row)).unwrap_or(0)
}

/// The items one below the other, and NULL where a row has more of them in another list.
fn items(list: &ListArray, lengths: &[u32]) -> Result<ArrayRef> {
    let mut places: Vec<Option<u32>> = Vec::new();
    for (row, wanted) in lengths.iter().enumerate() {
        let begin = u32::try_from(list.value_offsets()[row]).unwrap_or(0);
        let length = length(list, row);
        places.extend((0..*wanted).map(|item| (item < length).then_some(begin + item)));
    }
    if list.values().is_empty() && places.is_empty() {
        return Ok(new_empty_array(list.values().data_type()));
    }
    Ok(take(list.values(), &UInt32Array::from(places), None)?)
}
