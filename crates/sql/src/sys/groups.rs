//! `sys.groups`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use types::PartitionIndex;

use super::cells::{Cell, Column, Kind, int, text};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::Group;

/// A group.
pub(super) struct Row {
    group: Group,
    protocol: Option<Arc<str>>,
    epoch: Option<i32>,
    members: usize,
}

/// The table.
pub(super) struct Groups;

const PROTOCOL: &str = "protocol";
const EPOCH: &str = "group_epoch";
const MEMBERS: &str = "members";

#[async_trait]
impl SystemTable for Groups {
    const NAME: &'static str = "groups";
    const ABOUT: &'static str = "The groups of all types.";
    const NAMING: &'static [&'static str] = &["group_id", "type"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new("group_id", Kind::Text, "The group.", |row| {
            Cell::Text(row.group.group.as_str())
        }),
        Column::new(
            "type",
            Kind::Text,
            "Its protocol: `classic`, `consumer`, `share` or `streams`.",
            |row| Cell::Text(row.group.kind.name()),
        ),
        Column::new(
            "state",
            Kind::Text,
            "Its state, as Kafka's tools print it: `Stable`, `Empty`, ...",
            |row| Cell::Text(row.group.state),
        ),
        Column::nullable(
            "protocol_type",
            Kind::Text,
            "What its members are: `consumer`, `connect`, ...; NULL if nobody ever joined.",
            |row| {
                text(
                    row.group
                        .protocol_type
                        .as_deref()
                        .filter(|name| !name.is_empty()),
                )
            },
        ),
        Column::nullable(
            PROTOCOL,
            Kind::Text,
            "The assignor in use; NULL while there is none.",
            |row| text(row.protocol.as_deref()),
        ),
        Column::nullable(
            EPOCH,
            Kind::Int,
            "Counts changes of the group; NULL for the type `classic`.",
            |row| int(row.epoch),
        ),
        Column::new(MEMBERS, Kind::Int, "How many members it has.", |row| {
            Cell::Int(i32::try_from(row.members).unwrap_or(i32::MAX))
        }),
        Column::nullable(
            "coordinator_partition",
            Kind::Int,
            "The partition of `__consumer_offsets` that keeps it.",
            |row| int(row.group.coordinator.map(PartitionIndex::value)),
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
        wish: &Wish,
        enough: usize,
    ) -> Result<Vec<Row>> {
        let is_asked = |column: &&str| wish.wants(column);
        let has_more = [PROTOCOL, EPOCH, MEMBERS].iter().any(is_asked);
        let mut rows = Vec::new();
        while rows.len() < enough
            && let Some(group) = parts.pop_front()
        {
            let described = match has_more {
                true => source.system.describe_group(&group).await,
                false => Ok(None),
            };
            let described = described.map_err(parts::unanswered)?.unwrap_or_default();
            rows.push(Row {
                group,
                protocol: described.protocol,
                epoch: described.epoch,
                members: described.members.len(),
            });
        }
        Ok(rows)
    }
}
