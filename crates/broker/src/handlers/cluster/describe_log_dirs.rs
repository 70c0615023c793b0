//! DescribeLogDirs, key 35, versions 1 to 4.
//!
//! * v3: an error code for the whole answer.
//! * v4: the size of the volume and what may still be written to it (KIP-827).
//!
//! There is one directory. Its partitions are those this broker has; others that are asked for are left out
//! (`ReplicaManager.describeLogDirs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata::Topic;
use protocol::ErrorCode;
use protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use crate::context::Context;
use crate::handlers::blocking;
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: DescribeLogDirsRequest,
    topics: Arc<Topics>,
) -> DescribeLogDirsResponse {
    let env = topics.env.clone();
    blocking::run(&env, move || answer(&topics, &request)).await
}

fn answer(topics: &Topics, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let directory = topics.config.data_directory.as_path();
    let absolute = topics.config.absolute_data_directory();
    let mut result = DescribeLogDirsResult {
        log_dir: absolute.to_string_lossy().into_owned(),
        ..Default::default()
    };
    let disk = &topics.env.disk;
    match disk
        .total_bytes(directory)
        .and_then(|total| Ok((total, disk.free_bytes(directory)?)))
    {
        Ok((total, free)) => {
            result.total_bytes = i64::try_from(total).unwrap_or(i64::MAX);
            result.usable_bytes = i64::try_from(free).unwrap_or(i64::MAX);
            result.topics = describe(topics, request.topics.as_deref());
        }
        Err(error) => {
            tracing::error!(%error, directory = %directory.display(), "could not ask for the space of the volume");
            result.error_code = ErrorCode::KafkaStorageError.into();
        }
    }
    DescribeLogDirsResponse {
        results: vec![result],
        ..Default::default()
    }
}

/// `asked`: `None` is all.
fn describe(
    topics: &Topics,
    asked: Option<&[DescribableLogDirTopic]>,
) -> Vec<DescribeLogDirsTopic> {
    let image = topics.image();
    let described = match asked {
        None => image
            .topics()
            .map(|topic| partitions(topics, topic, 0..topic.partitions))
            .collect::<Vec<_>>(),
        Some(asked) => {
            let mut wanted: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
            for asked in asked {
                wanted
                    .entry(&asked.topic)
                    .or_default()
                    .extend(&asked.partitions);
            }
            let known = wanted
                .into_iter()
                .filter_map(|(name, indexes)| Some((image.topic(name)?, indexes)));
            known
                .map(|(topic, indexes)| partitions(topics, topic, indexes.into_iter()))
                .collect()
        }
    };
    described
        .into_iter()
        .filter(|topic| !topic.partitions.is_empty())
        .collect()
}

fn partitions(
    topics: &Topics,
    topic: &Topic,
    indexes: impl Iterator<Item = i32>,
) -> DescribeLogDirsTopic {
    let partition = |index| {
        let led = topics.leading(topic, index, -1).ok()?;
        Some(DescribeLogDirsPartition {
            partition_index: index,
            partition_size: i64::try_from(led.log.size_bytes()).unwrap_or(i64::MAX),
            // The leader's log is never behind itself; a log that will replace another one there is not.
            offset_lag: 0,
            is_future_key: false,
        })
    };
    DescribeLogDirsTopic {
        name: topic.name.as_str().to_owned(),
        partitions: indexes.filter_map(partition).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    async fn ask(
        fixture: &Fixture,
        topics: Option<Vec<DescribableLogDirTopic>>,
    ) -> DescribeLogDirsResult {
        let mut response = handle(
            fixture.context(4),
            DescribeLogDirsRequest { topics },
            fixture.topics(),
        )
        .await;
        assert_eq!(response.error_code, 0);
        assert_eq!(response.results.len(), 1);
        response.results.swap_remove(0)
    }

    #[tokio::test]
    async fn the_one_directory_has_all_partitions_and_the_volumes_size() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 2).await;
        fixture.create_topic("others", 1).await;
        fixture.produce("events", 1, &[(1, "a")]).await;
        let result = ask(&fixture, None).await;
        assert_eq!(result.error_code, 0);
        assert!(std::path::Path::new(&result.log_dir).is_absolute());
        assert!(
            result.total_bytes >= result.usable_bytes && result.usable_bytes > 0,
            "{result:?}"
        );
        let partitions: Vec<_> = result
            .topics
            .iter()
            .flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|one| (&*topic.name, one.partition_index, one.partition_size > 0))
            })
            .collect();
        assert_eq!(
            partitions,
            [
                ("events", 0, false),
                ("events", 1, true),
                ("others", 0, false)
            ]
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_left_out() {
        let fixture = Fixture::new().await;
        fixture.create_topic("events", 2).await;
        let asked = |name: &str, partitions: &[i32]| DescribableLogDirTopic {
            topic: name.to_owned(),
            partitions: partitions.to_vec(),
        };
        let result = ask(
            &fixture,
            Some(vec![
                asked("events", &[1, 2]),
                asked("missing", &[0]),
                asked("events", &[1]),
            ]),
        )
        .await;
        let [topic] = result.topics.as_slice() else {
            panic!("one topic")
        };
        assert_eq!(topic.name, "events");
        let indexes: Vec<_> = topic
            .partitions
            .iter()
            .map(|partition| partition.partition_index)
            .collect();
        assert_eq!(indexes, [1]);
        assert!(ask(&fixture, Some(Vec::new())).await.topics.is_empty());
    }
}
