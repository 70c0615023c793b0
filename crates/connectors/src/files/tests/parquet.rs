use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
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
        "column \"size\": \"0.5\" is no smallint"
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
