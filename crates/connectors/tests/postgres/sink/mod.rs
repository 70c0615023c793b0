//! The sink against a real PostgreSQL.

mod commits;
mod fencing;
mod prepare;
mod refused;
mod rows;
mod tls;
mod trouble;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use connectors::postgres::{Batch, Delete, Sink, SinkError, SinkPartition, TaskName, Written};
use contract::{Column, DataType};
use spec::{Connection, Create, Delivery, Mode, PostgresSink};

pub(super) use crate::support::server::{Database, Server, role};

/// A sink with a key.
pub(super) fn upsert(table: &str, key: &[&str]) -> PostgresSink {
    PostgresSink {
        connection: Connection::Url("postgres://here".to_owned()),
        table: table.to_owned(),
        mode: Mode::Upsert {
            key: key.iter().map(|name| (*name).to_owned()).collect(),
        },
        create: Create::IfMissing,
        delivery: Delivery::ExactlyOnce,
        batch: spec::Batch::default(),
    }
}

pub(super) fn append(table: &str) -> PostgresSink {
    PostgresSink {
        mode: Mode::Append,
        ..upsert(table, &[])
    }
}

pub(super) fn task() -> TaskName {
    TaskName {
        cluster_id: "cluster".to_owned(),
        task: "prod/people/warehouse".to_owned(),
    }
}

pub(super) fn partition(number: i32) -> SinkPartition {
    SinkPartition {
        topic_id: types::TopicId::new([7; 16]).unwrap(),
        partition: number,
    }
}

/// `id bigint, name text`, which most tests write.
pub(super) fn people() -> Vec<Column> {
    vec![
        Column::new("id", DataType::BigInt).not_null(),
        Column::new("name", DataType::Text),
    ]
}

pub(super) fn batch_of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

pub(super) fn people_rows(rows: &[(i64, &str)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|(id, _)| Some(*id)).collect();
    let names: StringArray = rows.iter().map(|(_, name)| Some(*name)).collect();
    batch_of(vec![("id", Arc::new(ids)), ("name", Arc::new(names))])
}

pub(super) fn delete(after_rows: usize, key: &[&str]) -> Delete {
    Delete {
        after_rows,
        key: key.iter().map(|text| (*text).to_owned()).collect(),
    }
}

/// Connects, prepares and claims partition 0; tells where it is.
pub(super) async fn ready(address: &str, spec: &PostgresSink, columns: &[Column]) -> (Sink, i64) {
    let mut sink = Sink::connect(address, spec, columns, task()).await.unwrap();
    sink.prepare(false).await.unwrap();
    let next = claim(&mut sink).await.unwrap();
    (sink, next)
}

pub(super) async fn claim(sink: &mut Sink) -> Result<i64, SinkError> {
    let claimed = sink
        .claim(&BTreeMap::from([(partition(0), 0)]), &BTreeSet::new())
        .await?;
    Ok(claimed[&partition(0)])
}

/// Writes rows of partition 0.
pub(super) async fn write(
    sink: &mut Sink,
    from: i64,
    to: i64,
    rows: &RecordBatch,
) -> Result<Written, SinkError> {
    write_all(sink, from, to, rows, &[]).await
}

pub(super) async fn write_all(
    sink: &mut Sink,
    from: i64,
    to: i64,
    rows: &RecordBatch,
    deletes: &[Delete],
) -> Result<Written, SinkError> {
    let batch = Batch {
        rows,
        deletes,
        left_out: &BTreeSet::new(),
    };
    sink.write(partition(0), from, to, &batch).await
}
