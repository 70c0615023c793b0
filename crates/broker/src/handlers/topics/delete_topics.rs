//! DeleteTopics, key 20, versions 1 to 6.
//!
//! * v3: TOPIC_DELETION_DISABLED instead of INVALID_REQUEST while `delete.topic.enable` is off.
//! * v5: messages; THROTTLING_QUOTA_EXCEEDED for clients above `controller_mutation_rate`, older ones are only throttled
//!   (KIP-599).
//! * v6: topics by name or by id.
//!
//! The rules are those of `ControllerApis.deleteTopics`: a topic named twice, by whatever names, is deleted by neither.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use metadata::{ClusterImage, Topic, TopicRef};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::delete_topics_response::DeletableTopicResult;
use protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use protocol::{ErrorCode, Uuid};

use super::errors;
use crate::context::Context;
use crate::coordinators::GroupCoordinator;
use crate::handlers::blocking;
use crate::handlers::refusal::Refusal;
use crate::quotas::Quotas;
use crate::shares::Shares;
use crate::topics::Topics;

/// The first version whose clients know TOPIC_DELETION_DISABLED.
const DISABLED_SINCE: i16 = 3;
/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const QUOTA_ERROR_SINCE: i16 = 5;
/// The first version with names and ids in one list.
const STATES_SINCE: i16 = 6;

/// What is to be deleted, and what is refused.
#[derive(Default)]
struct Plan {
    delete: Vec<Arc<Topic>>,
    refused: Vec<DeletableTopicResult>,
}

pub(crate) async fn handle(
    context: Context,
    request: DeleteTopicsRequest,
    topics: Arc<Topics>,
    groups: Arc<GroupCoordinator>,
    shares: Arc<Shares>,
    quotas: Arc<Quotas>,
) -> DeleteTopicsResponse {
    let asked = if context.version >= STATES_SINCE {
        request.topics
    } else {
        let state = |name| DeleteTopicState {
            name: Some(name),
            topic_id: Uuid::ZERO,
        };
        request.topic_names.into_iter().map(state).collect()
    };
    let image = topics.image();
    if !image.broker.delete_topic_enable {
        return refuse_all(&context, asked);
    }
    let mut plan = plan(&image, &asked);
    let mut mutations = quotas.mutations(&context, QUOTA_ERROR_SINCE);
    plan.delete.retain(|topic| {
        let is_granted = mutations.take(topic.partitions);
        if !is_granted {
            let id = Uuid(topic.id.bytes());
            let refusal = errors::quota_exceeded();
            plan.refused
                .push(result(Some(topic.name.as_str()), id, Some(&refusal)));
        }
        is_granted
    });
    let mut responses = plan.refused;
    let ids = plan
        .delete
        .iter()
        .map(|topic| TopicRef::Id(topic.id))
        .collect();
    let outcomes = topics.cluster.delete_topics(ids).await;
    let mut deleted = Vec::new();
    for (topic, outcome) in plan.delete.into_iter().zip(outcomes) {
        let refusal = outcome.as_ref().err().map(errors::delete_topic);
        responses.push(result(
            Some(topic.name.as_str()),
            Uuid(topic.id.bytes()),
            refusal.as_ref(),
        ));
        deleted.extend(outcome.ok());
    }
    // What groups have read of a topic that is gone is forgotten (`GroupCoordinatorService.onPartitionsDeleted`).
    let names = deleted.iter().map(|topic| topic.name.clone()).collect();
    groups.topics_deleted(names).await;
    let ids = deleted.iter().map(|topic| topic.id).collect();
    shares.coordinator.topics_deleted(ids).await;
    delete_logs(&topics, deleted).await;
    DeleteTopicsResponse {
        throttle_time_ms: mutations.throttle_ms(),
        responses,
    }
}

/// The topics are gone once the metadata says so. Their logs follow before the answer, so that the space is free again
/// soon; after a crash in between the next start deletes them.
async fn delete_logs(topics: &Arc<Topics>, deleted: Vec<Arc<Topic>>) {
    if deleted.is_empty() {
        return;
    }
    let logs = Arc::clone(topics);
    blocking::run(&topics.env, move || {
        deleted.iter().for_each(|topic| logs.delete_logs(topic))
    })
    .await;
}

fn plan(image: &ClusterImage, asked: &[DeleteTopicState]) -> Plan {
    let mut plan = Plan::default();
    let (mut names, mut ids) = (Vec::new(), Vec::new());
    for topic in asked {
        match (topic.name.as_deref(), topic.topic_id) {
            (None, Uuid::ZERO) => plan.refuse(
                None,
                Uuid::ZERO,
                "neither a topic name nor a topic id was given",
            ),
            (None, id) => ids.push(id),
            (Some(name), Uuid::ZERO) => names.push(name),
            (Some(name), id) => {
                plan.refuse(Some(name), id, "a topic name and a topic id were given")
            }
        }
    }
    let (names, names_twice) = split_duplicates(names);
    let (ids, ids_twice) = split_duplicates(ids);
    for name in names_twice {
        plan.refuse(Some(name), Uuid::ZERO, "duplicate topic name");
    }
    for id in &ids_twice {
        plan.refuse(None, *id, "duplicate topic id");
    }
    let mut named_by_id = HashSet::new();
    let mut found = Vec::new();
    for id in ids {
        match Topics::by_id(image, id) {
            Ok(topic) => {
                named_by_id.insert(id);
                found.push(topic);
            }
            Err(_unknown) => {
                plan.refused
                    .push(result(None, id, Some(&unknown(ErrorCode::UnknownTopicId))))
            }
        }
    }
    for name in names {
        let Some(topic) = image.topic(name) else {
            let unknown = unknown(ErrorCode::UnknownTopicOrPartition);
            plan.refused
                .push(result(Some(name), Uuid::ZERO, Some(&unknown)));
            continue;
        };
        let id = Uuid(topic.id.bytes());
        if named_by_id.contains(&id) || ids_twice.contains(&id) {
            found.retain(|found| found.id != topic.id);
            plan.refuse(
                Some(name),
                id,
                "the topic of this name was given by its id too",
            );
        } else {
            found.push(topic);
        }
    }
    plan.delete = found.into_iter().cloned().collect();
    plan
}

impl Plan {
    fn refuse(&mut self, name: Option<&str>, id: Uuid, message: &str) {
        self.refused.push(result(
            name,
            id,
            Some(&Refusal::new(ErrorCode::InvalidRequest, message)),
        ));
    }
}

/// Items that come once, and those that come more often, each in the order of the request.
fn split_duplicates<T: Copy + Eq + std::hash::Hash>(items: Vec<T>) -> (Vec<T>, Vec<T>) {
    let mut times: HashMap<T, usize> = HashMap::new();
    for item in &items {
        *times.entry(*item).or_default() += 1;
    }
    let mut seen = HashSet::new();
    items
        .into_iter()
        .filter(|item| seen.insert(*item))
        .partition(|item| times.get(item) == Some(&1))
}

fn unknown(code: ErrorCode) -> Refusal {
    let message = match code {
        ErrorCode::UnknownTopicId => "no topic has this id",
        _ => "no topic has this name",
    };
    Refusal::new(code, message)
}

fn result(name: Option<&str>, id: Uuid, refusal: Option<&Refusal>) -> DeletableTopicResult {
    DeletableTopicResult {
        name: name.map(str::to_owned),
        topic_id: id,
        error_code: refusal
            .map_or(ErrorCode::None, |refusal| refusal.code)
            .into(),
        error_message: refusal.map(|refusal| refusal.message.clone()),
    }
}

fn refuse_all(context: &Context, asked: Vec<DeleteTopicState>) -> DeleteTopicsResponse {
    let code = if context.version < DISABLED_SINCE {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::TopicDeletionDisabled
    };
    let refusal = Refusal::new(code, "topic deletion is disabled (delete.topic.enable)");
    let refuse =
        |topic: DeleteTopicState| result(topic.name.as_deref(), topic.topic_id, Some(&refusal));
    DeleteTopicsResponse {
        responses: asked.into_iter().map(refuse).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fixture::Fixture;

    fn named(name: &str) -> DeleteTopicState {
        DeleteTopicState {
            name: Some(name.to_owned()),
            topic_id: Uuid::ZERO,
        }
    }

    fn by_id(id: Uuid) -> DeleteTopicState {
        DeleteTopicState {
            name: None,
            topic_id: id,
        }
    }

    async fn ask(
        fixture: &Fixture,
        version: i16,
        asked: Vec<DeleteTopicState>,
    ) -> Vec<DeletableTopicResult> {
        let request = if version >= STATES_SINCE {
            DeleteTopicsRequest {
                topics: asked,
                ..Default::default()
            }
        } else {
            let topic_names = asked.into_iter().filter_map(|topic| topic.name).collect();
            DeleteTopicsRequest {
                topic_names,
                ..Default::default()
            }
        };
        handle(
            fixture.context(version),
            request,
            fixture.topics(),
            fixture.groups(),
            fixture.shares(),
            fixture.quotas(),
        )
        .await
        .responses
    }

    fn exists(fixture: &Fixture, name: &str) -> bool {
        fixture.topics().image().topic(name).is_some()
    }

    #[tokio::test]
    async fn topics_go_by_name_in_every_version() {
        let fixture = Fixture::new().await;
        for version in 1..=6 {
            fixture.create_topic("events", 1).await;
            let results = ask(&fixture, version, vec![named("events")]).await;
            let [result] = results.as_slice() else {
                panic!("one result")
            };
            assert_eq!(
                (result.error_code, result.name.as_deref()),
                (0, Some("events")),
                "version {version}"
            );
            assert!(!exists(&fixture, "events"));
        }
    }

    #[tokio::test]
    async fn topics_go_by_id() {
        let fixture = Fixture::new().await;
        let id = fixture.create_topic("events", 1).await;
        let results = ask(&fixture, 6, vec![by_id(id)]).await;
        assert_eq!(
            (
                results[0].error_code,
                results[0].name.as_deref(),
                results[0].topic_id
            ),
            (0, Some("events"), id)
        );
        assert!(!exists(&fixture, "events"));
    }

    #[tokio::test]
    async fn a_topic_created_again_is_empty_and_has_another_id() {
        let fixture = Fixture::new().await;
        let before = fixture.create_topic("events", 1).await;
        fixture.produce("events", 0, &[(1, "old")]).await;
        ask(&fixture, 6, vec![by_id(before)]).await;
        let after = fixture.create_topic("events", 1).await;
        assert_ne!(before, after);
        assert_eq!(fixture.log("events", 0).offsets().log_end.value(), 0);
        let results = ask(&fixture, 6, vec![by_id(before)]).await;
        assert_eq!(results[0].error_code, ErrorCode::UnknownTopicId.code());
    }

    #[tokio::test]
    async fn each_mistake_has_kafkas_code_and_deletes_nothing() {
        let fixture = Fixture::new().await;
        let id = fixture.create_topic("events", 1).await;
        let unknown = Uuid([7; 16]);
        let both = DeleteTopicState {
            name: Some("events".to_owned()),
            topic_id: id,
        };
        for (asked, expected) in [
            (
                vec![named("missing")],
                vec![ErrorCode::UnknownTopicOrPartition],
            ),
            (vec![by_id(unknown)], vec![ErrorCode::UnknownTopicId]),
            (vec![by_id(Uuid::ZERO)], vec![ErrorCode::InvalidRequest]),
            (vec![both], vec![ErrorCode::InvalidRequest]),
            (
                vec![named("events"), named("events")],
                vec![ErrorCode::InvalidRequest],
            ),
            (vec![by_id(id), by_id(id)], vec![ErrorCode::InvalidRequest]),
            (
                vec![named("events"), by_id(id)],
                vec![ErrorCode::InvalidRequest],
            ),
            (
                vec![by_id(id), by_id(id), named("events")],
                vec![ErrorCode::InvalidRequest; 2],
            ),
        ] {
            let results = ask(&fixture, 6, asked.clone()).await;
            let codes: Vec<_> = results.iter().map(|result| result.error_code).collect();
            let expected: Vec<_> = expected.into_iter().map(ErrorCode::code).collect();
            assert_eq!(codes, expected, "{asked:?}");
            assert!(exists(&fixture, "events"), "{asked:?}");
        }
    }

    #[tokio::test]
    async fn deletion_can_be_turned_off() {
        let fixture = Fixture::with_settings(&[("delete.topic.enable", "false")]).await;
        fixture.create_topic("events", 1).await;
        for (version, expected) in [
            (2, ErrorCode::InvalidRequest),
            (3, ErrorCode::TopicDeletionDisabled),
        ] {
            let results = ask(&fixture, version, vec![named("events")]).await;
            assert_eq!(results[0].error_code, expected.code());
        }
        assert!(exists(&fixture, "events"));
    }
}
