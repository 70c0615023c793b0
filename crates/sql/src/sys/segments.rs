//! `sys.segments`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use storage::LogSegment;

use super::cells::{Cell, Column, Kind, count, time};
use super::parts::PartitionPart;
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::System;

/// A segment.
pub(super) struct Row {
    part: PartitionPart,
    segment: LogSegment,
}

/// The table.
pub(super) struct Segments;

#[async_trait]
impl SystemTable for Segments {
    const NAME: &'static str = "segments";
    const ABOUT: &'static str =
        "The segments of the logs that are here: the files that records are in.";
    const NAMING: &'static [&'static str] = &["topic", "partition"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new("topic", Kind::Text, "The topic.", |row| {
            Cell::Text(row.part.topic.as_str())
        }),
        Column::new("partition", Kind::Int, "The partition.", |row| {
            Cell::Int(row.part.partition)
        }),
        Column::new(
            "base_offset",
            Kind::Bigint,
            "The offset it begins at; its file is named by it.",
            |row| Cell::Bigint(row.segment.base.value()),
        ),
        Column::new(
            "end_offset",
            Kind::Bigint,
            "The offset behind its last record.",
            |row| Cell::Bigint(row.segment.end.value()),
        ),
        Column::new(
            "size_bytes",
            Kind::Bigint,
            "Bytes of its records, without indexes.",
            |row| count(row.segment.bytes),
        ),
        Column::nullable(
            "largest_timestamp",
            Kind::Time,
            "The largest timestamp of its records, which `retention.ms` goes by; NULL if none has one.",
            |row| time(row.segment.largest_timestamp),
        ),
        Column::new(
            "last_appended",
            Kind::Time,
            "When it was last appended to, by the broker's clock.",
            |row| Cell::Time(row.segment.appended),
        ),
        Column::new(
            "is_active",
            Kind::Flag,
            "Whether it is the one that is appended to.",
            |row| Cell::Flag(row.segment.is_active),
        ),
        Column::new(
            "is_lost",
            Kind::Flag,
            "Whether its file was gone when the broker started.",
            |row| Cell::Flag(row.segment.is_lost),
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
    let segments = system.segments(&part.topic, part.partition).into_iter();
    let row = |segment| Row {
        part: part.clone(),
        segment,
    };
    segments.map(row).collect()
}
