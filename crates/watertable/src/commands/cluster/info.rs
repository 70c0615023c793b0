//! `watertable cluster info`.

use anyhow::Result;
use client::admin::{LogDir, api_versions, describe_cluster, describe_log_dirs};
use client::{Cluster, Target, TopicSelection};
use protocol::ApiKey;
use serde::Serialize;

use crate::output::{self, Columns, bytes, or_dash};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also every request with its versions
    #[arg(long)]
    apis: bool,
    /// Also the folders and sizes of the brokers' logs
    #[arg(long)]
    log_dirs: bool,
}

#[derive(Serialize)]
struct Info {
    cluster_id: String,
    controller: Option<i32>,
    brokers: Vec<BrokerRow>,
    topics: usize,
    partitions: usize,
    features: Vec<Feature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_dirs: Option<Vec<LogDirRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apis: Option<Vec<Api>>,
}

#[derive(Serialize)]
struct BrokerRow {
    id: i32,
    address: Option<String>,
    rack: Option<String>,
    is_controller: bool,
}

#[derive(Serialize)]
struct Feature {
    name: String,
    level: i16,
}

#[derive(Serialize)]
struct LogDirRow {
    broker: i32,
    path: String,
    error: Option<String>,
    partitions: usize,
    size_bytes: u64,
    total_bytes: Option<i64>,
    usable_bytes: Option<i64>,
}

#[derive(Serialize)]
struct Api {
    key: i16,
    name: Option<&'static str>,
    min: i16,
    max: i16,
}

pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let cluster = session.cluster();
    let info = gather(&cluster, arguments).await?;
    if session.json {
        return output::json(&info);
    }
    output::write(text(&info).as_bytes())
}

async fn gather(cluster: &Cluster, arguments: &Arguments) -> Result<Info> {
    let description = describe_cluster(cluster).await?;
    let metadata = cluster.metadata(TopicSelection::All).await?;
    let versions = api_versions(cluster, Target::Any).await?;
    let topics = metadata
        .topics
        .values()
        .filter_map(|topic| topic.as_ref().ok());
    let log_dirs = if arguments.log_dirs {
        Some(log_dirs(cluster).await?)
    } else {
        None
    };
    let apis = arguments.apis.then(|| {
        let ranges = versions.ranges.iter();
        ranges
            .map(|(key, range)| Api {
                key: *key,
                name: ApiKey::try_from(*key).ok().map(ApiKey::name),
                min: range.min,
                max: range.max,
            })
            .collect()
    });
    let features = versions.features.into_iter();
    let features = features.map(|feature| Feature {
        name: feature.name,
        level: feature.level,
    });
    // Brokers tell them in any order.
    let mut features: Vec<_> = features.collect();
    features.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Info {
        topics: topics.clone().count(),
        partitions: topics.map(|topic| topic.partitions.len()).sum(),
        controller: description.controller_id,
        brokers: description
            .brokers
            .into_iter()
            .map(|broker| BrokerRow {
                id: broker.id,
                address: broker.address.map(|address| address.to_string()),
                rack: broker.rack,
                is_controller: description.controller_id == Some(broker.id),
            })
            .collect(),
        cluster_id: description.cluster_id,
        features,
        log_dirs,
        apis,
    })
}

async fn log_dirs(cluster: &Cluster) -> Result<Vec<LogDirRow>> {
    let mut rows = Vec::new();
    for (broker, dirs) in describe_log_dirs(cluster).await? {
        for dir in dirs? {
            rows.push(LogDirRow {
                broker,
                size_bytes: size(&dir),
                error: dir.error.map(|refusal| refusal.to_string()),
                partitions: dir.partitions.len(),
                path: dir.path,
                total_bytes: dir.total_bytes,
                usable_bytes: dir.usable_bytes,
            });
        }
    }
    Ok(rows)
}

fn size(dir: &LogDir) -> u64 {
    let sizes = dir.partitions.iter().map(|partition| partition.size_bytes);
    u64::try_from(sizes.sum::<i64>()).unwrap_or_default()
}

fn text(info: &Info) -> String {
    let mut text = format!(
        "cluster {}  {} topics, {} partitions\n\n",
        info.cluster_id, info.topics, info.partitions
    );
    let mut brokers = Columns::new(&["#BROKER", "ADDRESS", "RACK", "CONTROLLER"]);
    for broker in &info.brokers {
        brokers.row([
            broker.id.to_string(),
            or_dash(broker.address.as_ref()),
            or_dash(broker.rack.as_ref()),
            if broker.is_controller { "yes" } else { "" }.to_owned(),
        ]);
    }
    text += &brokers.text();
    if !info.features.is_empty() {
        let mut features = Columns::new(&["FEATURE", "#LEVEL"]);
        for feature in &info.features {
            features.row([feature.name.clone(), feature.level.to_string()]);
        }
        text += &format!("\n{}", features.text());
    }
    if let Some(rows) = &info.log_dirs {
        let mut dirs = Columns::new(&[
            "#BROKER",
            "FOLDER",
            "#PARTITIONS",
            "#SIZE",
            "#FREE",
            "ERROR",
        ]);
        for row in rows {
            let free = row.usable_bytes.and_then(|free| u64::try_from(free).ok());
            dirs.row([
                row.broker.to_string(),
                row.path.clone(),
                row.partitions.to_string(),
                bytes(row.size_bytes),
                or_dash(free.map(bytes)),
                row.error.clone().unwrap_or_default(),
            ]);
        }
        text += &format!("\n{}", dirs.text());
    }
    if let Some(apis) = &info.apis {
        let mut columns = Columns::new(&["#KEY", "REQUEST", "#MIN", "#MAX"]);
        for api in apis {
            columns.row([
                api.key.to_string(),
                api.name.unwrap_or("unknown").to_owned(),
                api.min.to_string(),
                api.max.to_string(),
            ]);
        }
        text += &format!("\n{}", columns.text());
    }
    text
}
