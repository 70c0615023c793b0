//! `sys.group_offsets`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use types::{GroupId, LeaderEpoch, Offset};

use super::cells::{Cell, Column, Kind, bigint, int, text, time};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::{Group, GroupOffset};

/// Where a group stands in a partition.
pub(super) struct Row {
    group: GroupId,
    stands: GroupOffset,
}

/// The table.
pub(super) struct GroupOffsets;

#[async_trait]
impl SystemTable for GroupOffsets {
    const NAME: &'static str = "group_offsets";
    const ABOUT: &'static str = "The committed offsets of all groups, and how far behind they are.";
    const NAMING: &'static [&'static str] = &["group_id"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new("group_id", Kind::Text, "The group.", |row| {
            Cell::Text(row.group.as_str())
        }),
        Column::new("topic", Kind::Text, "The topic.", |row| {
            Cell::Text(row.stands.topic.as_str())
        }),
        Column::new("partition", Kind::Int, "The partition.", |row| {
            Cell::Int(row.stands.partition.value())
        }),
        Column::new(
            "committed_offset",
            Kind::Bigint,
            "The offset it reads next; of a share group its start offset, below which everything is settled.",
            |row| Cell::Bigint(row.stands.offset),
        ),
        Column::nullable(
            "leader_epoch",
            Kind::Int,
            "The leader epoch of the last record read, if the client said.",
            |row| int(row.stands.leader_epoch.map(LeaderEpoch::value)),
        ),
        Column::nullable(
            "metadata",
            Kind::Text,
            "What the client keeps beside the offset.",
            |row| text(row.stands.metadata.as_deref()),
        ),
        Column::nullable(
            "committed_at",
            Kind::Time,
            "When it was committed; NULL for share groups.",
            |row| time(row.stands.committed),
        ),
        Column::nullable(
            "high_watermark",
            Kind::Bigint,
            "The end of what readers may see; NULL if the partition is not here.",
            |row| bigint(row.stands.high_watermark.map(Offset::value)),
        ),
        Column::nullable(
            "lag",
            Kind::Bigint,
            "Records up to there that the group has not settled; negative if it is ahead, as after records were lost.",
            |row| bigint(row.stands.lag),
        ),
    ];
    type Row = Row;
    type Part = Group;

    async fn parts(source: &Arc<Source>, wish: &Wish) -> Result<Vec<Group>> {
        parts::groups(source, wish).await
    }

    async fn rows(
        source: &Arc<Source>,
        parts: &mut VecDeque<Group>,
        _wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        while rows.len() < enough
            && let Some(group) = parts.pop_front()
        {
            let offsets = source.system.group_offsets(&group).await;
            let offsets = offsets.map_err(parts::unanswered)?;
            let row = |stands| Row {
                group: group.group.clone(),
                stands,
            };
            rows.extend(offsets.into_iter().map(row));
        }
        Ok(rows)
    }
}
