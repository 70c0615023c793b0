//! From files into a topic.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
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
