//! `sys.lag`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;

use super::cells::{Cell, Column, Kind, double, time};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::Lag;

/// The table.
pub(super) struct Lags;

#[async_trait]
impl SystemTable for Lags {
    const NAME: &'static str = "lag";
    const ABOUT: &'static str = "How far pipelines are behind the topics they read: a row for each partition that a task has begun to read, \
        wherever it runs.";
    const NAMING: &'static [&'static str] = &[];
    const COLUMNS: &'static [Column<Lag>] = &[
        Column::new("environment", Kind::Text, "The environment.", |row| {
            Cell::Text(&row.environment)
        }),
        Column::new("pipeline", Kind::Text, "The pipeline.", |row| {
            Cell::Text(&row.pipeline)
        }),
        Column::new(
            "task",
            Kind::Text,
            "The part of the pipeline: `main` or `load`.",
            |row| Cell::Text(row.task),
        ),
        Column::new("input", Kind::Text, "The input.", |row| {
            Cell::Text(&row.input)
        }),
        Column::new("topic", Kind::Text, "The topic.", |row| {
            Cell::Text(&row.topic)
        }),
        Column::new("partition", Kind::Int, "The partition.", |row| {
            Cell::Int(row.partition)
        }),
        Column::new(
            "next_offset",
            Kind::Bigint,
            "The offset from which on nothing is committed.",
            |row| Cell::Bigint(row.next_offset),
        ),
        Column::new(
            "end_offset",
            Kind::Bigint,
            "Where what can be read ends: the last stable offset.",
            |row| Cell::Bigint(row.end_offset),
        ),
        Column::new(
            "lag_records",
            Kind::Bigint,
            "Offsets from the first unread record to the end; 0 if there is none.",
            |row| Cell::Bigint(row.records),
        ),
        Column::nullable(
            "next_record_time",
            Kind::Time,
            "The time of the first unread record; NULL if there is none.",
            |row| time(row.next_time),
        ),
        Column::nullable(
            "lag_seconds",
            Kind::Double,
            "How long ago that was; 0 if nothing is unread, NULL if it could not be read in time.",
            |row| double(row.seconds),
        ),
    ];
    type Row = Lag;
    type Part = ();

    async fn parts(_source: &Arc<Source>, _wish: &Wish) -> Result<Vec<()>> {
        Ok(vec![()])
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<()>,
        _wish: &Wish,
        _enough: usize,
    ) -> Result<Vec<Lag>> {
        parts.clear();
        source.system.lag().await.map_err(parts::unanswered)
    }

    fn bytes(row: &Lag) -> usize {
        let texts = [&row.environment, &row.pipeline, &row.input, &row.topic];
        let texts = texts.into_iter().map(String::len);
        size_of::<Lag>() + texts.sum::<usize>()
    }
}
