//! `sys.group_members`.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use types::{GroupId, InstanceId};

use super::cells::{Cell, Column, Kind, int, text};
use super::table::SystemTable;
use super::wish::Wish;
use super::{Source, parts};
use crate::system::{Group, Member};

/// A member of a group.
pub(super) struct Row {
    group: GroupId,
    member: Member,
}

/// The table.
pub(super) struct GroupMembers;

#[async_trait]
impl SystemTable for GroupMembers {
    const NAME: &'static str = "group_members";
    const ABOUT: &'static str = "The members of all groups, and what they have.";
    const NAMING: &'static [&'static str] = &["group_id"];
    const COLUMNS: &'static [Column<Row>] = &[
        Column::new("group_id", Kind::Text, "The group.", |row| {
            Cell::Text(row.group.as_str())
        }),
        Column::new("member_id", Kind::Text, "The member.", |row| {
            Cell::Text(row.member.member.as_str())
        }),
        Column::nullable(
            "group_instance_id",
            Kind::Text,
            "`group.instance.id` of a static member.",
            |row| text(row.member.instance.as_ref().map(InstanceId::as_str)),
        ),
        Column::new(
            "client_id",
            Kind::Text,
            "`client.id`; may be empty.",
            |row| Cell::Text(&row.member.client_id),
        ),
        Column::new(
            "client_host",
            Kind::Text,
            "Where it came from, as Kafka prints it: `/127.0.0.1`.",
            |row| Cell::Text(&row.member.client_host),
        ),
        Column::nullable("client_rack", Kind::Text, "`client.rack`.", |row| {
            text(row.member.rack.as_deref())
        }),
        Column::nullable(
            "member_epoch",
            Kind::Int,
            "Its epoch; NULL in groups of the type `classic`.",
            |row| int(row.member.epoch),
        ),
        Column::new(
            "assignment",
            Kind::Texts,
            "The partitions it has, as `topic-partition`; of a streams group its active tasks. Empty if only the members \
             themselves can read it, as with Connect.",
            |row| Cell::Texts(&row.member.assignment),
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
            let described = source.system.describe_group(&group).await;
            let described = described.map_err(parts::unanswered)?.unwrap_or_default();
            let row = |member| Row {
                group: group.group.clone(),
                member,
            };
            rows.extend(described.members.into_iter().map(row));
        }
        Ok(rows)
    }

    fn bytes(row: &Row) -> usize {
        size_of::<Row>() + parts::bytes(&row.member.assignment)
    }
}
