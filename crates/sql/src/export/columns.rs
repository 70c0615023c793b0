//! Columns as files have them: names that are there once, and types that the format knows.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_empty_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use super::ExportError;
use super::json::texts_of_union;

/// The schema with these names; one that was there already gets a number, since readers of files know columns by name.
pub(super) fn named(schema: &SchemaRef, names: &[String]) -> SchemaRef {
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut fields = Vec::with_capacity(names.len());
    for (field, name) in schema.fields().iter().zip(names) {
        let mut numbered = (2..).map(|number| format!("{name}_{number}"));
        let name = if seen.insert(name) {
            name.clone()
        } else {
            numbered
                .find(|name| taken.insert(name.clone()))
                .unwrap_or_default()
        };
        // What the metadata says is for the wire.
        fields.push(Field::new(name, field.data_type().clone(), true));
    }
    Arc::new(Schema::new(fields))
}

/// The schema in types that Parquet has.
pub(super) fn for_parquet(schema: &Schema) -> Result<SchemaRef, ExportError> {
    let field = |field: &Arc<Field>| {
        let empty = converted(&new_empty_array(field.data_type()));
        let empty = empty.map_err(|source| of_column(field, source))?;
        Ok(Field::new(field.name(), empty.data_type().clone(), true))
    };
    let fields = schema
        .fields()
        .iter()
        .map(field)
        .collect::<Result<Vec<_>, ExportError>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The batch in the types of [`for_parquet`].
pub(super) fn batch_for_parquet(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ExportError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(array, field)| {
        let array = converted(array).map_err(|source| of_column(field, source))?;
        // In a list that is all NULL the items may be of another type.
        strictly(&array, field.data_type()).map_err(|source| of_column(field, source))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn of_column(field: &Field, source: ArrowError) -> ExportError {
    let column = field.name().clone();
    ExportError::Column { column, source }
}

fn converted(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Union(..) => match texts_of_union(array) {
            Some(texts) => Ok(Arc::new(texts)),
            None => Err(ArrowError::NotYetImplemented(format!(
                "type {}",
                array.data_type()
            ))),
        },
        DataType::List(_) => {
            let (field, offsets, items, nulls) = array.as_list::<i32>().clone().into_parts();
            let items = converted(&items)?;
            let field = Field::new(field.name(), items.data_type().clone(), true);
            Ok(Arc::new(ListArray::try_new(
                Arc::new(field),
                offsets,
                items,
                nulls,
            )?))
        }
        DataType::Struct(_) => {
            let (fields, columns, nulls) = array.as_struct().clone().into_parts();
            let columns = columns
                .iter()
                .map(converted)
                .collect::<Result<Vec<_>, _>>()?;
            let fields = fields.iter().zip(&columns);
            let fields: Fields = fields
                .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
                .collect();
            Ok(Arc::new(StructArray::try_new(fields, columns, nulls)?))
        }
        other => strictly(array, &target(other)),
    }
}

fn strictly(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, target, &options)
}

/// What Parquet has no type for becomes the nearest that it has, or text.
fn target(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Null | DataType::Interval(_) | DataType::Duration(_) | DataType::Utf8View => {
            DataType::Utf8
        }
        DataType::BinaryView => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Float16 => DataType::Float32,
        DataType::Dictionary(_, value) => target(value),
        DataType::RunEndEncoded(_, value) => target(value.data_type()),
        DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            let item = Field::new(item.name(), target(item.data_type()), true);
            DataType::List(Arc::new(item))
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        let field = |name: &str| Field::new(name, DataType::Int32, true);
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            field("a"),
            field("b"),
            field("c"),
            field("d"),
        ]));
        let names = ["count", "count", "count_2", "count"].map(str::to_owned);
        let found = named(&schema, &names);
        let found: Vec<&String> = found.fields().iter().map(|field| field.name()).collect();
        assert_eq!(found, ["count", "count_3", "count_2", "count_4"]);
    }
}
