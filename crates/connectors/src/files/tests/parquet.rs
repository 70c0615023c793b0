use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use arrow::array::{ArrayRef, AsArray as _, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int64Type};

use super::*;

/// A file with so many rows: `id` from 0, `name` its text, `size` its half; so many to a group.
pub(super) fn written(rows: i64, group: usize) -> Vec<u8> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows).map(|id| id.to_string()),
    ));
    let sizes = (0..rows).map(|id| {
        if id % 10 == 9 {
            None
        } else {
            Some(id as f64 / 2.0)
        }
    });
    let sizes: ArrayRef = Arc::new(Float64Array::from_iter(sizes));
    of([("id", ids), ("name", names), ("size", sizes)], group)
}

fn of<const N: usize>(columns: [(&str, ArrayRef); N], group: usize) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

struct Table {
    batches: Vec<RecordBatch>,
    rows: Vec<u64>,
    bad: Vec<BadRecord>,
    missing: Vec<String>,
}

async fn table(
    source: &Source,
    found: &Found,
    mut position: Position,
    limits: Limits,
) -> Result<Table, FilesError> {
    let mut table = Table {
        batches: Vec::new(),
        rows: Vec::new(),
        bad: Vec::new(),
        missing: Vec::new(),
    };
    while !position.done {
        let chunk = source.read(found, &position, limits).await?;
        position = chunk.position_after;
        if let Rows::Columns {
            batch,
            rows,
            bad,
            missing,
            bytes: _,
        } = chunk.rows
        {
            assert_eq!(batch.num_rows(), rows.len());
            assert!(rows.len() + bad.len() <= limits.rows);
            table.batches.push(batch);
            table.rows.extend(rows);
            table.bad.extend(bad);
            table.missing = missing.iter().map(|column| column.name.clone()).collect();
        }
    }
    Ok(table)
}

#[tokio::test]
async fn rows_come_in_parts_from_any_row_over_row_groups() {
    let folder = Folder::new("*.parquet", FileFormat::Parquet);
    folder.write("a.parquet", written(1000, 64));
    let (source, found) = (folder.source(), folder.one().await);
    for rows in [1, 7, 64, 100, 5000] {
        for next_row in [1, 2, 64, 65, 66, 500, 1000, 1001] {
            if rows == 1 && next_row < 500 {
                continue;
            }
            let position = Position {
                next_row,
                ..Position::start(&found)
            };
            let limits = Limits {
                rows,
                bytes: usize::MAX,
            };
            let table = table(&source, &found, position, limits).await.unwrap();
            assert!(
                table.rows.iter().copied().eq(next_row..=1000),
                "{rows} from {next_row}"
            );
            let ids = table.batches.iter().flat_map(|batch| {
                batch
                    .column(0)
                    .as_primitive::<Int64Type>()
                    .values()
                    .to_vec()
            });
            assert!(ids.eq(next_row as i64 - 1..1000), "{rows} from {next_row}");
        }
    }
    let position = Position {
        next_row: 1002,
        ..Position::start(&found)
    };
    let failed = source.read(&found, &position, ALL).await;
    assert!(
        matches!(failed, Err(FilesError::Beyond { .. })),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_limit_of_bytes_makes_parts_small() {
    let folder = Folder::new("*.parquet", FileFormat::Parquet);
    folder.write("a.parquet", written(1000, 1000));
    let (source, found) = (folder.source(), folder.one().await);
    let chunk = source
        .read(
            &found,
            &Position::start(&found),
            Limits {
                rows: 1000,
                bytes: 1000,
            },
        )
        .await
        .unwrap();
    assert!(
        chunk.position_after.next_row < 200,
        "{:?}",
        chunk.position_after
    );
}

#[tokio::test]
async fn values_become_the_declared_types_or_their_row_is_bad() {
    let mut folder = Folder::new("*.parquet", FileFormat::Parquet)
        .declaring("size smallint, name decimal(4,1), id text not null, more date");
    folder.declared.as_mut().unwrap().on_missing = OnMissingColumn::Null;
    folder.write("a.parquet", written(20, 7));
    let (source, found) = (folder.source(), folder.one().await);
    let table = table(
        &source,
        &found,
        Position::start(&found),
        Limits {
            rows: 6,
            bytes: usize::MAX,
        },
    )
    .await
    .unwrap();
    assert_eq!(table.missing, ["more"]);
    let types: Vec<_> = table.batches[0]
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(
        types,
        [
            DataType::Int16,
            DataType::Decimal128(4, 1),
            DataType::Utf8View
        ]
    );
    // Half of an odd number is no whole one; where there is none it is NULL.
    assert_eq!(table.rows, [1, 3, 5, 7, 9, 10, 11, 13, 15, 17, 19, 20]);
    let bad: Vec<_> = table.bad.iter().map(|bad| bad.row).collect();
    assert_eq!(bad, [2, 4, 6, 8, 12, 14, 16, 18]);
    assert_eq!(
        table.bad[0].message,
        "column \"size\": \"0.5\" is no smallint without loss"
    );
    assert_eq!(
        &table.bad[0].bytes[..],
        br#"{"id":"1","name":"1","size":"0.5"}"#
    );
    let first = &table.batches[0];
    assert_eq!(
        first.column(0).as_primitive::<Int16Type>().values(),
        &[0, 1, 2]
    );
    assert_eq!(
        first.column(1).as_primitive::<Decimal128Type>().values(),
        &[0, 20, 40]
    );
}

#[tokio::test]
async fn a_null_and_a_number_that_is_too_large_make_a_bad_row() {
    let folder = Folder::new("*.parquet", FileFormat::Parquet).declaring("n smallint not null");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(40_000), Some(4)]));
    folder.write("a.parquet", of([("n", numbers)], 10));
    let (source, found) = (folder.source(), folder.one().await);
    let table = table(&source, &found, Position::start(&found), ALL)
        .await
        .unwrap();
    assert_eq!(table.rows, [1, 4]);
    let messages: Vec<_> = table.bad.iter().map(|bad| bad.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "column \"n\" is NULL, and declared not null",
            "column \"n\": \"40000\" is no smallint"
        ]
    );
}

#[tokio::test]
async fn columns_that_fit_no_declared_one_are_told() {
    let read = async |columns: &str, on_new| {
        let mut folder = Folder::new("*.parquet", FileFormat::Parquet).declaring(columns);
        folder.declared.as_mut().unwrap().on_new = on_new;
        folder.write("a.parquet", written(3, 7));
        folder.read().await
    };
    let failed = read("id timestamptz", OnNewColumn::Ignore).await;
    assert!(
        matches!(failed, Err(FilesError::Uncastable { .. })),
        "{failed:?}"
    );
    let failed = read("id bigint, x text", OnNewColumn::Ignore).await;
    assert!(
        matches!(failed, Err(FilesError::MissingColumns { .. })),
        "{failed:?}"
    );
    let failed = read("id bigint", OnNewColumn::Fail).await;
    assert!(
        matches!(&failed, Err(FilesError::NewColumns { columns, .. }) if columns == &["name", "size"]),
        "{failed:?}"
    );
    assert!(read("id bigint", OnNewColumn::Add).await.is_ok());
}

#[tokio::test]
async fn what_is_no_parquet_or_damaged_is_told() {
    let folder = Folder::new("*.parquet", FileFormat::Parquet);
    folder.write("a.parquet", "PAR1 no PAR1");
    let failed = folder.read().await;
    assert!(
        matches!(failed, Err(FilesError::Parquet { row: 1, .. })),
        "{failed:?}"
    );
    let whole = written(1000, 100);
    folder.write("a.parquet", &whole[..whole.len() - 10]);
    let failed = folder.read().await;
    assert!(
        matches!(failed, Err(FilesError::Parquet { row: 1, .. })),
        "{failed:?}"
    );
    // Whatever byte is another one, it is rows or an error.
    for at in (0..whole.len()).step_by(211) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        folder.write("a.parquet", &damaged);
        let found = folder.one().await;
        match table(&folder.source(), &found, Position::start(&found), ALL).await {
            Ok(table) => assert!(table.rows.len() <= 1000),
            Err(error) => assert!(
                matches!(error, FilesError::Parquet { .. } | FilesError::Broke { .. }),
                "{error}"
            ),
        }
    }
}

#[tokio::test]
async fn a_sample_of_parquet_has_its_columns() {
    let folder = Folder::new("*.parquet", FileFormat::Parquet);
    folder.write("a.parquet", written(3, 7));
    let sample = folder.source().sample(ALL).await.unwrap().unwrap();
    let columns = sample.columns.unwrap();
    let columns: Vec<_> = columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.data_type))
        .collect();
    assert_eq!(columns, ["id bigint", "name text", "size double"]);
}

/// What becomes of each value of a column, declared as this: as text, or why it is none.
async fn become_of(column: ArrayRef, declared: &str) -> Vec<String> {
    let folder = Folder::new("*.parquet", FileFormat::Parquet).declaring(&format!("v {declared}"));
    folder.write("a.parquet", of([("v", column)], 1000));
    let (source, found) = (folder.source(), folder.one().await);
    let table = table(&source, &found, Position::start(&found), ALL)
        .await
        .unwrap();
    let mut all = std::collections::BTreeMap::new();
    let mut rows = table.rows.iter();
    for batch in &table.batches {
        let options = arrow::util::display::FormatOptions::default();
        let values =
            arrow::util::display::ArrayFormatter::try_new(batch.column(0), &options).unwrap();
        for index in 0..batch.num_rows() {
            all.insert(*rows.next().unwrap(), values.value(index).to_string());
        }
    }
    for bad in table.bad {
        let (_, why) = bad.message.split_once(" is no ").unwrap();
        all.insert(bad.row, format!("no {why}"));
    }
    all.into_values().collect()
}

#[tokio::test]
async fn no_value_loses_a_part_of_itself_silently() {
    use arrow::array::{Decimal128Array, TimestampMicrosecondArray, TimestampNanosecondArray};
    let texts = |texts: &[&str]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    let day = 86_400_000_000;
    for (column, declared, expected) in [
        (
            Arc::new(TimestampMicrosecondArray::from(vec![day, day + 1])) as ArrayRef,
            "date",
            &["1970-01-02", "no date without loss"][..],
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![day, day + 1]).with_timezone("UTC")),
            "date",
            &["1970-01-02", "no date without loss"],
        ),
        (
            texts(&[
                "2013-01-31",
                "2013-01-31 00:00:00",
                "2013-01-31 05:00:00",
                "x",
            ]),
            "date",
            &[
                "2013-01-31",
                "2013-01-31",
                "no date without loss",
                "no date",
            ],
        ),
        // Microseconds are the finest that there are.
        (
            Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_999])),
            "timestamp",
            &["1970-01-01T00:00:00.000001", "1970-01-01T00:00:00.000001"],
        ),
        (
            Arc::new(Int64Array::from(vec![1 << 53, (1 << 53) + 1, i64::MAX])),
            "double",
            &[
                "9007199254740992.0",
                "no double without loss",
                "no double without loss",
            ],
        ),
        (
            Arc::new(Int64Array::from(vec![1 << 24, (1 << 24) + 1])),
            "real",
            &["16777216.0", "no real without loss"],
        ),
        (
            Arc::new(Float64Array::from(vec![0.1, 1e300, f64::INFINITY])),
            "real",
            &["0.1", "no real without loss", "inf"],
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![12_345, 123_456_789_012_345_678_901_234])
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
            "double",
            &["123.45", "no double without loss"],
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![12_340, 12_345])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
            "decimal(10,1)",
            &["123.4", "no decimal(10,1) without loss"],
        ),
        (
            texts(&["12.3", "12.30", "12.345", "99999", "-0.05"]),
            "decimal(5,1)",
            &[
                "12.3",
                "12.3",
                "no decimal(5,1) without loss",
                "no decimal(5,1)",
                "no decimal(5,1) without loss",
            ],
        ),
        (texts(&["1", "1.5"]), "bigint", &["1", "no bigint"]),
        (texts(&["true", "x"]), "boolean", &["true", "no boolean"]),
    ] {
        let what = format!("{} as {declared}", column.data_type());
        assert_eq!(become_of(column, declared).await, expected, "{what}");
    }
}

#[tokio::test]
async fn a_value_that_many_rows_share_takes_its_memory_once_and_counts_in_each() {
    use arrow::array::{DictionaryArray, Int32Array};
    use arrow::datatypes::Int32Type;
    let long = "x".repeat(64 << 10);
    let rows = 1_000;
    let keys = Int32Array::from(vec![0; rows]);
    let values: ArrayRef = Arc::new(StringArray::from(vec![long.as_str()]));
    let column: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
    let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    assert!(bytes.len() < 2 * long.len(), "{}", bytes.len());
    let folder = Folder::new("*.parquet", FileFormat::Parquet).declaring("a text");
    folder.write("a.parquet", bytes);
    let (source, found) = (folder.source(), folder.one().await);
    let limits = Limits {
        rows: 100,
        bytes: 256 << 10,
    };
    let chunk = source.read(&found, &Position::start(&found), limits).await;
    let Rows::Columns { batch, bytes, .. } = chunk.unwrap().rows else {
        panic!("rows");
    };
    // What is taken of each row is its length and what points to it.
    assert_eq!((batch.num_rows(), bytes), (3, 3 * (long.len() + 16)));
    let texts = batch.column(0).as_string_view();
    assert!(texts.iter().all(|text| text == Some(long.as_str())));
    let table = table(&source, &found, Position::start(&found), ALL)
        .await
        .unwrap();
    assert_eq!(table.rows.last(), Some(&(rows as u64)));
    let memory: usize = table
        .batches
        .iter()
        .map(RecordBatch::get_array_memory_size)
        .sum();
    assert!(memory < 1 << 20, "{memory}");
}
