//! `watertable group describe`: where a group stands, partition by partition.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use client::admin::{GroupDescription, MemberDescription, describe_group};
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
}

#[derive(Serialize)]
struct Row {
    topic: String,
    partition: i32,
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

async fn describe(cluster: &Cluster, description: GroupDescription) -> Result<Described> {
    let coordinator = GroupCoordinator::new(cluster.clone(), description.group_id.as_str());
    let committed = fetch_committed_offsets(&coordinator, None).await?;
    let mut readers: BTreeMap<&TopicPartition, &MemberDescription> = BTreeMap::new();
    for member in &description.members {
        for partition in &member.partitions {
            readers.insert(partition, member);
        }
    }
    let places: BTreeSet<TopicPartition> = committed
        .keys()
        .chain(readers.keys().copied())
        .cloned()
        .collect();
    let ends = log_offsets(cluster, places.iter().cloned(), OffsetSpec::Latest).await?;
    let rows: Vec<Row> = places
        .iter()
        .map(|place| {
            let offset = committed.get(place);
            let end = ends.get(place).copied();
            let reader = readers.get(place);
            Row {
                topic: place.topic.as_ref().to_owned(),
                partition: place.partition,
                committed_offset: offset.map(|offset| offset.offset),
                log_end_offset: end,
                lag: offset.and_then(|offset| Some(end? - offset.offset)),
                metadata: offset
                    .map(|offset| offset.metadata.clone())
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
    });
    Ok(Described {
        lag: rows.iter().filter_map(|row| row.lag).sum(),
        members: members.collect(),
        partitions: rows,
        group: description.group_id,
        state: description.state,
        protocol_type: description.protocol_type,
        assignor: description.assignor,
        coordinator: description.coordinator,
    })
}

fn text(group: &Described, members: bool) -> String {
    let mut text = format!(
        "group {}  {}  {}  lag {}  coordinator {}",
        group.group,
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
        let mut columns = Columns::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
        for member in &group.members {
            columns.row([
                member.member_id.clone(),
                or_dash(member.group_instance_id.as_ref()),
                member.client_id.clone(),
                member.host.clone(),
                member.partitions.join(","),
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
        "#COMMITTED",
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
