//! COPY to files of the server.

use std::path::Path;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::client::{Client, PATIENCE};
use crate::fixture::Fixture;

const PLENTY: u64 = 1 << 30;

/// The tag of a COPY.
async fn exported(client: &mut Client, sql: &str) -> String {
    let replies = client.query(sql).await;
    let error = replies.iter().find(|reply| reply.kind == 'E');
    assert!(
        error.is_none(),
        "{sql}: {:?}",
        error.map(|error| error.field('M'))
    );
    let done = replies.iter().find(|reply| reply.kind == 'C').unwrap();
    done.text()
}

fn parquet(path: &Path) -> RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn parquet_has_the_values_and_their_types() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::start_exporting(folder.path(), PLENTY).await;
    let mut client = fixture.client().await;
    let sql = "COPY (SELECT *, '{\"a\": [1, \"x\"]}'->'a' AS j, '{\"a\": 1}'->'b' AS missing, NULL AS nothing, \
               INTERVAL '1 day' AS i, array['a', NULL] AS list, array['{\"a\": 1}'->'a'] AS jl, id, count(*) OVER (), \
               count(id) OVER () FROM flights) TO 'flights.parquet'";
    assert_eq!(exported(&mut client, sql).await, "COPY 3");
    let batch = parquet(&folder.path().join("flights.parquet"));
    assert_eq!(batch.num_rows(), 3);
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .unwrap_or_else(|| panic!("{name} in {:?}", batch.schema()))
    };
    assert_eq!(
        column("id").as_primitive::<Int64Type>().values(),
        &[1, 2, 3]
    );
    assert_eq!(column("delay").as_primitive::<Float64Type>().value(0), 2.5);
    assert!(column("carrier").is_null(2));
    assert_eq!(column("raw").as_binary::<i32>().value(0), b"\x00\xff");
    assert_eq!(column("fare").data_type(), &DataType::Decimal128(10, 2));
    assert_eq!(column("day").data_type(), &DataType::Date32);
    assert_eq!(
        column("at").data_type(),
        &DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
    );
    assert_eq!(
        column("at")
            .as_primitive::<TimestampMillisecondType>()
            .value(0),
        1_357_034_400_000
    );
    assert_eq!(column("j").as_string::<i32>().value(0), "[1, \"x\"]");
    assert_eq!(column("missing").null_count(), 3);
    assert_eq!(
        (
            column("nothing").data_type(),
            column("nothing").null_count()
        ),
        (&DataType::Utf8, 3)
    );
    assert!(column("i").as_string::<i32>().value(0).contains("1 day"));
    assert_eq!(
        column("list")
            .as_list::<i32>()
            .value(0)
            .as_string::<i32>()
            .value(0),
        "a"
    );
    assert_eq!(
        column("jl")
            .as_list::<i32>()
            .value(0)
            .as_string::<i32>()
            .value(0),
        "1"
    );
    // Names that come again get a number.
    assert_eq!(
        column("id_2").as_primitive::<Int64Type>().values(),
        &[1, 2, 3]
    );
    assert_eq!(column("count").as_primitive::<Int64Type>().value(0), 3);
    assert_eq!(column("count_2").as_primitive::<Int64Type>().value(0), 3);
    assert_eq!(names(folder.path()), ["flights.parquet"]);
}

#[tokio::test]
async fn csv_and_lines_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::start_exporting(folder.path(), PLENTY).await;
    let mut client = fixture.client().await;
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let query = "(SELECT id, carrier, raw, at, fare FROM flights ORDER BY id)";
    assert_eq!(
        exported(&mut client, &format!("COPY {query} TO 'a.csv'")).await,
        "COPY 3"
    );
    assert_eq!(
        read("a.csv"),
        "id,carrier,raw,at,fare\n1,UA,\\x00ff,2013-01-01 10:00:00+00,123.45\n2,AA,\\x,1970-01-01 00:00:00+00,-0.05\n3,,,,\n"
    );
    let sql = format!(
        "COPY {query} TO 'b.txt' WITH (FORMAT csv, HEADER false, DELIMITER ';', NULL 'none')"
    );
    exported(&mut client, &sql).await;
    assert!(
        read("b.txt").ends_with("3;none;none;none;none\n"),
        "{}",
        read("b.txt")
    );
    let sql = "COPY (SELECT id, carrier, raw, at, fare, '{\"a\":\n1}'->'a' AS a, '{\"b\": {\"c\":\n[]}}'->'b' AS b FROM flights \
               ORDER BY id LIMIT 1) TO 'c.ndjson'";
    exported(&mut client, sql).await;
    assert_eq!(
        read("c.ndjson"),
        "{\"id\":1,\"carrier\":\"UA\",\"raw\":\"\\\\x00ff\",\"at\":\"2013-01-01T10:00:00Z\",\"fare\":123.45,\"a\":1,\"b\":{\"c\": []}}\n"
    );
    exported(
        &mut client,
        "COPY (SELECT id, carrier FROM flights WHERE id = 3) TO 'd.jsonl'",
    )
    .await;
    assert_eq!(read("d.jsonl"), "{\"id\":3,\"carrier\":null}\n");
    // Nothing is a file, too.
    for name in ["e.csv", "e.ndjson", "e.parquet"] {
        assert_eq!(
            exported(
                &mut client,
                &format!("COPY (SELECT id FROM flights WHERE id > 9) TO '{name}'")
            )
            .await,
            "COPY 0"
        );
    }
    assert_eq!(
        (read("e.csv").as_str(), read("e.ndjson").as_str()),
        ("id\n", "")
    );
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::start_exporting(folder.path(), PLENTY).await;
    let mut client = fixture.client().await;
    for (target, state, hint) in [
        ("'../a.csv'", "42602", "sql.export.dir"),
        ("'/tmp/a.csv'", "42602", "sql.export.dir"),
        ("'s3://bucket/a.parquet'", "42501", "sql.export.s3.prefixes"),
        ("'gs://bucket/a.parquet'", "0A000", "s3://bucket/key"),
        ("'nothere/a.csv'", "58P01", "Folders are not made"),
        ("'a'", "42601", ".parquet"),
        ("'a.csv' (FORMAT xml)", "0A000", "parquet"),
    ] {
        let error = client.error(&format!("COPY flights TO {target}")).await;
        assert_eq!(
            error.field('C').as_deref(),
            Some(state),
            "{target}: {:?}",
            error.field('M')
        );
        assert!(
            error.field('H').unwrap_or_default().contains(hint),
            "{target}: {:?}",
            error.field('H')
        );
    }
    exported(&mut client, "COPY flights TO 'a.csv'").await;
    let error = client.error("COPY flights TO 'a.csv'").await;
    assert_eq!(error.field('C').as_deref(), Some("58P02"));
    exported(&mut client, "COPY flights TO 'a.csv' WITH (OVERWRITE true)").await;
    assert_eq!(names(folder.path()), ["a.csv"]);

    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let error = client.error("COPY flights TO 'a.csv'").await;
    assert_eq!(error.field('C').as_deref(), Some("42501"));
    let hint = error.field('H').unwrap_or_default();
    assert!(
        hint.contains("sql.export.dir") && hint.contains("\\copy"),
        "{hint}"
    );
}

#[tokio::test]
async fn nothing_is_left_of_what_fails_or_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::start_exporting(folder.path(), 10_000_000).await;
    let mut client = fixture.client().await;
    for name in ["a.parquet", "a.csv", "a.ndjson"] {
        let failing = format!("COPY (SELECT 1 / (n - 10000) FROM numbers) TO '{name}'");
        assert_eq!(client.state(&failing).await, "22012", "{name}");
        let endless =
            format!("COPY (SELECT n, text || md5(n::text) AS t FROM endless) TO '{name}'");
        assert_eq!(client.state(&endless).await, "54000", "{name}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
    assert_eq!(client.value("SELECT 1").await, "1");
}

/// Waits until the folder has these files.
async fn until_names(folder: &Path, is_so: impl Fn(&[String]) -> bool) {
    let wait = async {
        while !is_so(&names(folder)) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{:?}", names(folder));
}

#[tokio::test]
async fn a_cancelled_export_and_one_whose_client_is_gone_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::start_exporting(folder.path(), u64::MAX).await;
    let mut client = fixture.client().await;
    // Few bytes, so that it is the end of the export that ends it, not that of the disk.
    let sql = "COPY (SELECT n FROM endless WHERE n % 100000 = 0) TO 'a.parquet'";
    client.send_query(sql).await;
    until_names(folder.path(), |names| names.len() == 1).await;
    assert!(
        names(folder.path())[0].starts_with(".export-"),
        "{:?}",
        names(folder.path())
    );
    let mut canceller = Client::open(fixture.address).await;
    canceller
        .send_packet(&[&80_877_102_i32.to_be_bytes()[..], &client.key].concat())
        .await;
    let replies = client.until_ready().await;
    let error = replies.iter().find(|reply| reply.kind == 'E').unwrap();
    assert_eq!(error.field('C').as_deref(), Some("57014"));
    until_names(folder.path(), <[String]>::is_empty).await;

    client.send_query(sql).await;
    until_names(folder.path(), |names| names.len() == 1).await;
    drop(client);
    until_names(folder.path(), <[String]>::is_empty).await;
    fixture
        .until("the query ends", |endless| {
            endless.readers.load(std::sync::atomic::Ordering::SeqCst) == 0
        })
        .await;
}

#[tokio::test]
async fn a_prepared_copy_has_parameters() {
    use crate::client::{bind, execute, kinds, parse, sync};
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::start_exporting(folder.path(), PLENTY).await;
    let mut client = fixture.client().await;
    let sql = "COPY (SELECT id FROM flights WHERE id > $1) TO 'a.csv'";
    let messages = [
        parse("", sql, &[20]),
        bind("", "", 0, &[Some(b"1")], 0),
        execute("", 0),
        sync(),
    ];
    client.send_raw(&messages.concat()).await;
    let replies = client.until_ready().await;
    assert_eq!(kinds(&replies), "12CZ");
    assert_eq!(replies[2].text(), "COPY 2");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("a.csv")).unwrap(),
        "id\n2\n3\n"
    );
}
