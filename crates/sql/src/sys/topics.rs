//! `sys.topics`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;

use super::cells::{Cell, Column, Kind, bigint, count};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::{System, Topic};

/// A topic with what its partitions take.
pub(super) struct Row {
    topic: Topic,
    size_bytes: Option<u64>,
}

/// The table.
pub(super) struct Topics;

const SIZE: &str = "size_bytes";

#[async_trait]
impl SystemTable for Topics {
    const NAME: &'static str = "topics";
    const ABOUT: &'static str = "The topics, internal ones too.";
    const NAMING: &'static [&'static str] = &["topic"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new("topic", Kind::Text, "The topic's name.", |row| {
            Cell::Text(row.topic.name.as_str())
        }),
        Column::new(
            "topic_id",
            Kind::Text,
            "Its id; a topic that is made again under the same name has another.",
            |row| Cell::Made(row.topic.id.to_string()),
        ),
        Column::new(
            "partitions",
            Kind::Int,
            "How many partitions it has, numbered from 0.",
            |row| Cell::Int(row.topic.partitions),
        ),
        Column::new(
            "replication_factor",
            Kind::Int,
            "Replicas of each partition.",
            |row| Cell::Int(row.topic.replication_factor.into()),
        ),
        Column::new(
            "is_internal",
            Kind::Flag,
            "Whether it is one of the broker's own.",
            |row| Cell::Flag(row.topic.is_internal),
        ),
        Column::new(
            "cleanup_policy",
            Kind::Text,
            "`cleanup.policy` in force.",
            |row| Cell::Text(&row.topic.cleanup_policy),
        ),
        Column::nullable(
            "retention_ms",
            Kind::Bigint,
            "`retention.ms` in force; NULL if nothing is deleted by age.",
            |row| bigint(row.topic.retention_ms),
        ),
        Column::nullable(
            "retention_bytes",
            Kind::Bigint,
            "`retention.bytes` in force, for each partition; NULL if nothing is deleted by size.",
            |row| bigint(row.topic.retention_bytes),
        ),
        Column::nullable(
            SIZE,
            Kind::Bigint,
            "Bytes of the segments of its partitions that are here, without indexes.",
            |row| row.size_bytes.map_or(Cell::Null, count),
        ),
    ];
    type Row = Row;
    type Part = Topic;

    async fn parts(source: &Arc<Source>, wish: &Wish) -> Result<Vec<Topic>> {
        let (system, wish) = (Arc::clone(&source.system), wish.clone());
        let list = move || {
            let mut topics = system.topics();
            topics.retain(|topic| wish.allows("topic", topic.name.as_str()));
            topics
        };
        source.asking.run(list).await
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<Topic>,
        wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Row>> {
        let rows = if wish.wants(SIZE) { sized } else { unsized_ };
        parts::ask(source, parts, enough, rows).await
    }
}

fn unsized_(_system: &dyn System, topic: Topic) -> Vec<Row> {
    vec![Row {
        topic,
        size_bytes: None,
    }]
}

fn sized(system: &dyn System, topic: Topic) -> Vec<Row> {
    let partitions = 0..topic.partitions;
    let sizes = partitions.filter_map(|index| system.partition(&topic.name, index)?.size_bytes);
    let size_bytes = Some(sizes.sum());
    vec![Row { topic, size_bytes }]
}
