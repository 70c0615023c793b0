//! The table of offsets: how far each partition of a task came, and who may write it.
//!
//! Invariants: `next` moves only in the transaction that writes the rows before it. `epoch` only grows; whoever raised it last is the
//! owner, and a transaction of anybody else finds no row to move.

use tokio_postgres::Statement;

use crate::postgres::failure::Failure;
use crate::postgres::session::{Session, get};

use super::{SinkPartition, TaskName};

/// What is created, exactly.
pub(super) const SCHEMA: &str = "CREATE SCHEMA IF NOT EXISTS watertable";
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS watertable.offsets (cluster_id text, task text, topic_id uuid, partition int, next bigint NOT NULL, epoch bigint NOT NULL, PRIMARY KEY (cluster_id, task, topic_id, partition))";
/// Its columns with their types, to know it again.
pub(super) const COLUMNS: [(&str, &str); 6] = [
    ("cluster_id", "text"),
    ("task", "text"),
    ("topic_id", "uuid"),
    ("partition", "int4"),
    ("next", "int8"),
    ("epoch", "int8"),
];
pub(super) const KEY: [&str; 4] = ["cluster_id", "task", "topic_id", "partition"];
pub(super) const NAME: &str = "watertable.offsets";

const OF_PARTITION: &str = "cluster_id = $1::text AND task = $2::text AND topic_id = $3::text::uuid AND partition = $4::int";
const CLAIM: &str = "INSERT INTO watertable.offsets AS o (cluster_id, task, topic_id, partition, next, epoch) \
    VALUES ($1::text, $2::text, $3::text::uuid, $4::int, $5::bigint, 1) \
    ON CONFLICT (cluster_id, task, topic_id, partition) DO UPDATE SET epoch = o.epoch + 1 RETURNING next, epoch";

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) next: i64,
    pub(super) epoch: i64,
}

/// Raises the epoch of a partition and tells where it is; one without a row gets one at `first`, and without that there is none.
pub(super) async fn claim(
    session: &Session,
    doing: &str,
    task: &TaskName,
    partition: SinkPartition,
    first: Option<i64>,
) -> Result<Option<Stored>, Failure> {
    let topic = partition.topic_text();
    let of_partition: [crate::postgres::session::Value<'_>; 4] =
        [&task.cluster_id, &task.task, &topic, &partition.partition];
    let rows = match &first {
        Some(first) => {
            let [cluster_id, task, topic, partition] = of_partition;
            let values = [cluster_id, task, topic, partition, first];
            session.query(doing, CLAIM, &values).await?
        }
        None => {
            let sql = format!(
                "UPDATE watertable.offsets SET epoch = epoch + 1 WHERE {OF_PARTITION} RETURNING next, epoch"
            );
            session.query(doing, &sql, &of_partition).await?
        }
    };
    rows.first().map(|row| stored(doing, row)).transpose()
}

/// What puts the row of a partition back, once `NEXT` is what it was.
pub(super) fn put_back(task: &TaskName, partition: SinkPartition) -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    format!(
        "INSERT INTO watertable.offsets VALUES ('{}', '{}', '{}', {}, NEXT, 1)",
        quoted(&task.cluster_id),
        quoted(&task.task),
        partition.topic_text(),
        partition.partition
    )
}

/// The statement that moves a partition.
pub(super) async fn prepare_move(session: &Session, doing: &str) -> Result<Statement, Failure> {
    let sql = format!(
        "UPDATE watertable.offsets SET next = $5::bigint WHERE {OF_PARTITION} AND next = $6::bigint AND epoch = $7::bigint"
    );
    session.prepare(doing, &sql).await
}

/// Moves a partition from one offset to another, if it is there and this epoch is the owner's. The row stays locked until the transaction
/// ends.
pub(super) async fn advance(
    session: &Session,
    doing: &str,
    statement: &Statement,
    task: &TaskName,
    partition: SinkPartition,
    (from, to, epoch): (i64, i64, i64),
) -> Result<bool, Failure> {
    let topic = partition.topic_text();
    let values: [crate::postgres::session::Value<'_>; 7] = [
        &task.cluster_id,
        &task.task,
        &topic,
        &partition.partition,
        &to,
        &from,
        &epoch,
    ];
    Ok(session.run(doing, statement, &values).await? == 1)
}

/// Puts a partition elsewhere, if this epoch is the owner's.
pub(super) async fn put(
    session: &Session,
    doing: &str,
    task: &TaskName,
    partition: SinkPartition,
    (next, epoch): (i64, i64),
) -> Result<bool, Failure> {
    let topic = partition.topic_text();
    let sql = format!(
        "UPDATE watertable.offsets SET next = $5::bigint WHERE {OF_PARTITION} AND epoch = $6::bigint RETURNING next"
    );
    let values: [crate::postgres::session::Value<'_>; 6] = [
        &task.cluster_id,
        &task.task,
        &topic,
        &partition.partition,
        &next,
        &epoch,
    ];
    Ok(session.query(doing, &sql, &values).await?.len() == 1)
}

/// The row of a partition, after every transaction that is at it has ended.
pub(super) async fn read(
    session: &Session,
    doing: &str,
    task: &TaskName,
    partition: SinkPartition,
) -> Result<Option<Stored>, Failure> {
    let topic = partition.topic_text();
    let sql = format!("SELECT next, epoch FROM watertable.offsets WHERE {OF_PARTITION} FOR UPDATE");
    let values: [crate::postgres::session::Value<'_>; 4] =
        [&task.cluster_id, &task.task, &topic, &partition.partition];
    let rows = session.query(doing, &sql, &values).await?;
    rows.first().map(|row| stored(doing, row)).transpose()
}

fn stored(doing: &str, row: &tokio_postgres::Row) -> Result<Stored, Failure> {
    Ok(Stored {
        next: get(doing, row, 0)?,
        epoch: get(doing, row, 1)?,
    })
}
