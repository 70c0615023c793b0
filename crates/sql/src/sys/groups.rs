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
use crate::system::{Group, GroupDescription};

/// A group.
pub(super) struct Row {
    group: Group,
    described: GroupDescription,
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
            |row| text(row.described.protocol.as_deref()),
        ),
        Column::nullable(
            EPOCH,
            Kind::Int,
            "Counts changes of the group; NULL for the type `classic`.",
            |row| int(row.described.epoch),
        ),
        Column::new(MEMBERS, Kind::Int, "How many members it has.", |row| {
            Cell::Int(i32::try_from(row.described.members.len()).unwrap_or(i32::MAX))
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
        _enough: usize,
    ) -> Result<Vec<Row>> {
        let groups = parts::some(parts);
        let is_listed = |column: &&str| wish.wants(column);
        let mut described = if [PROTOCOL, EPOCH, MEMBERS].iter().any(is_listed) {
            let asked = source.system.describe_groups(&groups).await;
            asked.map_err(parts::unanswered)?
        } else {
            Default::default()
        };
        let row = |group: Group| Row {
            described: described.remove(&group.group).unwrap_or_default(),
            group,
        };
        Ok(groups.into_iter().map(row).collect())
    }
}
