//! From files into a topic.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as Codec;
use parquet::file::properties::WriterProperties;

use super::desk::Desk;

const ITEMS: &str = "\
format: 1
pipeline: items
run: continuous
from:
  items:
    files: { path: \"in/*\", settle: 0s, FORMAT }
    columns: { id: bigint not null, name: text }
sql: SELECT id, name FROM items
to:
  topic: { name: items, key: id }
";

fn items(format: &str) -> String {
    ITEMS.replace("FORMAT", format)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn snappy(ids: &[i64]) -> Vec<u8> {
    let names: Vec<_> = ids.iter().map(|id| format!("n{id}")).collect();
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from(ids.to_vec()))),
        ("name", Arc::new(StringArray::from(names))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Codec::SNAPPY)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_gives_the_same_rows() {
    let ndjson = "{\"id\":1,\"name\":\"n1\"}\n{\"id\":2,\"name\":\"n2\"}\n";
    let document = r#"{"meta":{},"records":[{"id":1,"name":"n1"},{"id":2,"name":"n2"}]}"#;
    for (format, name, bytes) in [
        ("format: csv", "a.csv.gz", gzip("name,id\nn1,1\nn2,2\n")),
        ("format: ndjson", "a.ndjson", ndjson.as_bytes().to_vec()),
        (
            "format: json, records: $.records",
            "a.json",
            document.as_bytes().to_vec(),
        ),
        ("format: parquet", "a.parquet", snappy(&[1, 2])),
    ] {
        let desk = Desk::start().await;
        desk.write(&format!("in/{name}"), &bytes);
        desk.deploy(&items(format)).await;
        let worker = desk.worker();
        let values = desk.all_values("items", 2).await;
        assert_eq!(
            values,
            [r#"{"id":1,"name":"n1"}"#, r#"{"id":2,"name":"n2"}"#],
            "{format}"
        );
        desk.stop(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_parquet_are_those_of_the_file() {
    let desk = Desk::start().await;
    desk.write("in/a.parquet", snappy(&[1, 2]));
    let undeclared =
        items("format: parquet").replace("    columns: { id: bigint not null, name: text }\n", "");
    let plan = desk.deploy(&undeclared).await;
    let columns = &plan.pipelines[0].record.resolved[0].columns;
    let types: Vec<_> = columns
        .iter()
        .map(|column| column.data_type.as_str())
        .collect();
    assert_eq!(types, ["bigint", "text"]);
    let worker = desk.worker();
    assert_eq!(desk.all_values("items", 2).await.len(), 2);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_deleted_may_come_again() {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id,name\n1,x\n");
    desk.deploy(&items("format: csv, after: delete")).await;
    let worker = desk.worker();
    let path = desk.folder().join("in/a.csv");
    for id in 1..4 {
        assert_eq!(desk.all_values("items", id).await.len(), id);
        testkit::eventually("the file goes", async || !path.exists()).await;
        desk.write("in/a.csv", format!("id,name\n{},x\n", id + 1));
    }
    let values = desk.all_values("items", 4).await;
    let ids: Vec<_> = values.iter().map(|value| &value[..7]).collect();
    assert_eq!(
        ids,
        [r#"{"id":1"#, r#"{"id":2"#, r#"{"id":3"#, r#"{"id":4"#]
    );
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_goes_to_the_archive_beside_the_pipeline() {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id,name\n1,x\n");
    std::fs::create_dir(desk.folder().join("done")).unwrap();
    desk.deploy(&items("format: csv, after: { archive: done }"))
        .await;
    let worker = desk.worker();
    assert_eq!(desk.all_values("items", 1).await.len(), 1);
    let (here, there) = (desk.folder().join("in/a.csv"), desk.folder().join("done"));
    testkit::eventually("the file is archived", async || {
        let archived = std::fs::read_dir(&there).unwrap().count();
        !here.exists() && archived == 1
    })
    .await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_come_again_between_two_runs_that_end() {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id,name\n1,x\n");
    let yaml = items("format: csv, after: delete");
    let yaml = yaml.replace("run: continuous", "run: { every: 1s }");
    desk.deploy(&format!(
        "{yaml}bad_records: {{ halt_above: 50% over run }}\n"
    ))
    .await;
    let worker = desk.worker();
    let path = desk.folder().join("in/a.csv");
    for id in 1..4 {
        assert_eq!(desk.all_values("items", id).await.len(), id);
        testkit::eventually("the file goes", async || !path.exists()).await;
        desk.write("in/a.csv", format!("id,name\n{},x\n", id + 1));
    }
    assert_eq!(desk.all_values("items", 4).await.len(), 4);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_away_is_told_and_not_read_again() {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id,name\n1,x\n");
    // A file where the folder should be.
    desk.write("done", "");
    let yaml = items("format: csv, after: { archive: done }");
    desk.deploy(&yaml).await;
    let worker = desk.worker();
    assert_eq!(desk.all_values("items", 1).await.len(), 1);
    desk.told("items", "done").await;
    worker.stop().await;
    // The folder is empty at one start, as one that is mounted late.
    std::fs::rename(desk.folder().join("in"), desk.folder().join("away")).unwrap();
    std::fs::create_dir(desk.folder().join("in")).unwrap();
    let worker = desk.worker();
    desk.write("in/b.csv", "id,name\n2,x\n");
    assert_eq!(desk.all_values("items", 2).await.len(), 2);
    worker.stop().await;
    let away = desk.folder().join("away/a.csv");
    std::fs::rename(away, desk.folder().join("in/a.csv")).unwrap();
    std::fs::remove_file(desk.folder().join("done")).unwrap();
    let worker = desk.worker();
    let there = desk.folder().join("done/a.csv");
    testkit::eventually("it is put away", async || there.exists()).await;
    desk.write("in/c.csv", "id,name\n3,x\n");
    let values = desk.all_values("items", 3).await;
    let ids: Vec<_> = values.iter().map(|value| &value[..7]).collect();
    assert_eq!(ids, [r#"{"id":1"#, r#"{"id":2"#, r#"{"id":3"#]);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_two_names_is_read_once_and_the_other_name_is_told() {
    let desk = Desk::start().await;
    desk.write("in/a.csv", "id,name\n1,x\n");
    let (one, two) = (
        desk.folder().join("in/a.csv"),
        desk.folder().join("in/b.csv"),
    );
    std::fs::hard_link(one, two).unwrap();
    desk.deploy(&items("format: csv, after: delete")).await;
    let worker = desk.worker();
    desk.told("items", "is not read again").await;
    desk.write("in/c.csv", "id,name\n2,x\n");
    assert_eq!(desk.all_values("items", 2).await.len(), 2);
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_of_parquet_is_kept_also_where_json_has_no_such_number() {
    let desk = Desk::start().await;
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("size", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    desk.write("in/a.parquet", writer.into_inner().unwrap());
    let yaml = items("format: parquet")
        .replace("name: text", "size: double")
        .replace("SELECT id, name", "SELECT id, size");
    desk.deploy(&yaml).await;
    let worker = desk.worker();
    testkit::eventually("the dead letter comes", async || {
        desk.dead("items", "value").await == [r#"{"id":2,"size":"NaN"}"#]
    })
    .await;
    desk.stop(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_committed_together() {
    let desk = Desk::start().await;
    let files = 500;
    for id in 0..files {
        desk.write(&format!("in/{id}.csv"), format!("id,name\n{id},x\n"));
    }
    let yaml = items("format: csv").replace("run: continuous", "run: once");
    desk.deploy(&yaml).await;
    let worker = desk.worker();
    let values = desk.all_values("items", files).await;
    let each: std::collections::BTreeSet<_> = values.iter().collect();
    assert_eq!((values.len(), each.len()), (files, files));
    // Each transaction ends with a marker of its own in the topic.
    let ends = desk.end_of("items").await;
    assert!(ends < files as i64 + 100, "{ends}");
    desk.stop(worker).await;
}
