//! `sys.partitions`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use storage::LogOffsets;
use types::Offset;

use super::cells::{Cell, Column, Kind, bigint, count, int};
use super::parts::PartitionPart;
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::{Partition, System};

/// A partition.
pub(super) struct Row {
    part: PartitionPart,
    partition: Partition,
}

impl Row {
    fn offset(&self, of: fn(&LogOffsets) -> Offset) -> Cell<'static> {
        bigint(self.partition.offsets.as_ref().map(of).map(Offset::value))
    }
}

/// The table.
pub(super) struct Partitions;

#[async_trait]
impl SystemTable for Partitions {
    const NAME: &'static str = "partitions";
    const ABOUT: &'static str = "The partitions of all topics, and where their logs begin and end.";
    const NAMING: &'static [&'static str] = &["topic", "partition"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new("topic", Kind::Text, "The topic.", |row| {
            Cell::Text(row.part.topic.as_str())
        }),
        Column::new("partition", Kind::Int, "The partition's number.", |row| {
            Cell::Int(row.part.partition)
        }),
        Column::nullable(
            "leader",
            Kind::Int,
            "The id of the broker that leads it; NULL while none does.",
            |row| int(row.partition.leader),
        ),
        Column::new(
            "leader_epoch",
            Kind::Int,
            "The epoch in which it is led.",
            |row| Cell::Int(row.partition.leader_epoch.value()),
        ),
        Column::new(
            "is_offline",
            Kind::Flag,
            "Whether an error of the disk has taken it offline.",
            |row| Cell::Flag(row.partition.is_offline),
        ),
        Column::nullable(
            "log_start_offset",
            Kind::Bigint,
            "The first offset that can be read. This and what follows is NULL if the log is not here.",
            |row| row.offset(|offsets| offsets.log_start),
        ),
        Column::nullable(
            "last_stable_offset",
            Kind::Bigint,
            "Up to here readers with `read_committed` see records.",
            |row| row.offset(|offsets| offsets.last_stable),
        ),
        Column::nullable(
            "high_watermark",
            Kind::Bigint,
            "Up to here all other readers do: what is durable.",
            |row| row.offset(|offsets| offsets.high_watermark),
        ),
        Column::nullable(
            "log_end_offset",
            Kind::Bigint,
            "The offset that the next record gets.",
            |row| row.offset(|offsets| offsets.log_end),
        ),
        Column::nullable(
            "size_bytes",
            Kind::Bigint,
            "Bytes of its segments, without indexes.",
            |row| row.partition.size_bytes.map_or(Cell::Null, count),
        ),
    ];
    type Row = Row;
    type Part = PartitionPart;

    async fn parts(source: &Arc<Source>, wish: &Wish) -> Result<Vec<PartitionPart>> {
        parts::partitions(source, wish).await
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<PartitionPart>,
        _wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Row>> {
        parts::ask(source, parts, enough, rows).await
    }
}

fn rows(system: &dyn System, part: PartitionPart) -> Vec<Row> {
    let partition = system.partition(&part.topic, part.partition);
    let row = partition.map(|partition| Row { part, partition });
    row.into_iter().collect()
}
