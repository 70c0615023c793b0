//! `watertable group describe`: where a group stands, partition by partition.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use client::admin::{
    GroupDescription, GroupKind, MemberDescription, describe_group, share_group_offsets,
};
use client::{Cluster, GroupCoordinator, OffsetSpec, TopicPartition, fetch_committed_offsets};
use serde::Serialize;

use super::log_offsets;
use crate::output::{self, Columns, counted, or_dash};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Show the members instead of the partitions
    #[arg(long)]
    members: bool,
}

#[derive(Serialize)]
struct Described {
    group: String,
    #[serde(rename = "type")]
    kind: String,
    state: String,
    protocol_type: String,
    assignor: String,
    coordinator: i32,
    lag: i64,
    members: Vec<Member>,
    partitions: Vec<Row>,
}

#[derive(Serialize)]
struct Member {
    member_id: String,
    group_instance_id: Option<String>,
    client_id: String,
    host: String,
    partitions: Vec<String>,
    tasks: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    topic: String,
    partition: i32,
    /// For a share group: its start offset, below which everything is settled.
    committed_offset: Option<i64>,
    log_end_offset: Option<i64>,
    lag: Option<i64>,
    metadata: Option<String>,
    member_id: Option<String>,
    host: Option<String>,
    client_id: Option<String>,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let mut all = Vec::new();
    for group in &arguments.groups {
        let description = describe_group(&cluster, group).await?;
        all.push(describe(&cluster, description).await?);
    }
    if session.json {
        return output::json(&all);
    }
    let texts: Vec<String> = all
        .iter()
        .map(|group| text(group, arguments.members))
        .collect();
    output::write(texts.join("\n").as_bytes())
}

/// Where a group stands in a partition.
struct Standing {
    offset: i64,
    /// What the broker says; otherwise it is computed.
    lag: Option<i64>,
    metadata: String,
}

async fn standings(
    cluster: &Cluster,
    description: &GroupDescription,
) -> Result<BTreeMap<TopicPartition, Standing>> {
    if description.kind == GroupKind::Share {
        let offsets = share_group_offsets(cluster, &description.group_id).await?;
        let standings = offsets.into_iter().map(|(place, offset)| {
            let standing = Standing {
                offset: offset.start_offset,
                lag: offset.lag,
                metadata: String::new(),
            };
            (place, standing)
        });
        return Ok(standings.collect());
    }
    let coordinator = GroupCoordinator::new(cluster.clone(), description.group_id.as_str());
    let committed = fetch_committed_offsets(&coordinator, None).await?;
    let standings = committed.into_iter().map(|(place, committed)| {
        let standing = Standing {
            offset: committed.offset,
            lag: None,
            metadata: committed.metadata,
        };
        (place, standing)
    });
    Ok(standings.collect())
}

async fn describe(cluster: &Cluster, description: GroupDescription) -> Result<Described> {
    let standings = standings(cluster, &description).await?;
    // Members of a share group read the same partitions: no row has one reader.
    let mut readers: BTreeMap<&TopicPartition, &MemberDescription> = BTreeMap::new();
    if description.kind != GroupKind::Share {
        for member in &description.members {
            for partition in &member.partitions {
                readers.insert(partition, member);
            }
        }
    }
    let places: BTreeSet<TopicPartition> = standings
        .keys()
        .chain(readers.keys().copied())
        .cloned()
        .collect();
    let ends = log_offsets(cluster, places.iter().cloned(), OffsetSpec::Latest).await?;
    let rows: Vec<Row> = places
        .iter()
        .map(|place| {
            let standing = standings.get(place);
            let end = ends.get(place).copied();
            let reader = readers.get(place);
            Row {
                topic: place.topic.as_ref().to_owned(),
                partition: place.partition,
                committed_offset: standing.map(|standing| standing.offset),
                log_end_offset: end,
                lag: standing.and_then(|standing| match standing.lag {
                    Some(lag) => Some(lag),
                    None => Some(end? - standing.offset),
                }),
                metadata: standing
                    .map(|standing| standing.metadata.clone())
                    .filter(|metadata| !metadata.is_empty()),
                member_id: reader.map(|member| member.member_id.clone()),
                host: reader.map(|member| member.host.clone()),
                client_id: reader.map(|member| member.client_id.clone()),
            }
        })
        .collect();
    let members = description.members.iter().map(|member| Member {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        client_id: member.client_id.clone(),
        host: member.host.clone(),
        partitions: member.partitions.iter().map(ToString::to_string).collect(),
        tasks: member.tasks.iter().map(ToString::to_string).collect(),
    });
    Ok(Described {
        lag: rows.iter().filter_map(|row| row.lag).sum(),
        members: members.collect(),
        partitions: rows,
        group: description.group_id,
        kind: description.kind.to_string(),
        state: description.state,
        protocol_type: description.protocol_type,
        assignor: description.assignor,
        coordinator: description.coordinator,
    })
}

fn text(group: &Described, members: bool) -> String {
    let mut text = format!(
        "group {}  {}  {}  {}  lag {}  coordinator {}",
        group.group,
        group.kind,
        group.state,
        counted(group.members.len(), "member"),
        group.lag,
        group.coordinator
    );
    if !group.assignor.is_empty() {
        text += &format!("  assignor {}", group.assignor);
    }
    text.push('\n');
    if members {
        let is_streams = group.kind == GroupKind::Streams.to_string();
        let reads = if is_streams { "TASKS" } else { "PARTITIONS" };
        let mut columns = Columns::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", reads]);
        for member in &group.members {
            columns.row([
                member.member_id.clone(),
                or_dash(member.group_instance_id.as_ref()),
                member.client_id.clone(),
                member.host.clone(),
                if is_streams {
                    member.tasks.join(",")
                } else {
                    member.partitions.join(",")
                },
            ]);
        }
        return text + &columns.text();
    }
    if group.partitions.is_empty() {
        return text;
    }
    let mut columns = Columns::new(&[
        "TOPIC",
        "#PARTITION",
        if group.kind == GroupKind::Share.to_string() {
            "#START"
        } else {
            "#COMMITTED"
        },
        "#END",
        "#LAG",
        "MEMBER",
        "HOST",
    ]);
    for row in &group.partitions {
        columns.row([
            row.topic.clone(),
            row.partition.to_string(),
            or_dash(row.committed_offset),
            or_dash(row.log_end_offset),
            or_dash(row.lag),
            or_dash(row.member_id.as_ref()),
            or_dash(row.host.as_ref()),
        ]);
    }
    text + &columns.text()
}
