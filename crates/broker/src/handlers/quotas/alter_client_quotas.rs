//! AlterClientQuotas, key 49, versions 0 to 1 (1: flexible).
//!
//! Each entity has an outcome of its own, what is right happens in one transaction
//! (`ClientQuotaControlManager.alterClientQuotas`). Unlike in Kafka, addresses are addresses: host names are not resolved.

use std::sync::Arc;

use indexmap::IndexMap;
use metadata::{EntityKind, EntityName, QuotaAlteration, QuotaEntity, QuotaError};
use protocol::ErrorCode;
use protocol::messages::alter_client_quotas_request::EntryData;
use protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, alter_client_quotas_response as answer,
};

use crate::context::Context;
use crate::handlers::refusal::{self, Refusal};
use crate::topics::Topics;

pub(crate) async fn handle(
    _context: Context,
    request: AlterClientQuotasRequest,
    topics: Arc<Topics>,
) -> AlterClientQuotasResponse {
    let alterations: Vec<_> = request.entries.iter().map(alteration).collect();
    let outcomes = topics
        .cluster
        .alter_client_quotas(&alterations, request.validate_only)
        .await;
    let outcomes: Vec<_> = match outcomes {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|outcome| outcome.map_err(|error| refuse(&error)))
            .collect(),
        Err(error) => {
            tracing::error!(%error, "could not change quotas");
            let refusal = Refusal::new(ErrorCode::UnknownServerError, error.to_string());
            vec![Err(refusal); request.entries.len()]
        }
    };
    AlterClientQuotasResponse {
        entries: answers(request.entries, outcomes),
        ..Default::default()
    }
}

fn alteration(entry: &EntryData) -> QuotaAlteration {
    let parts = entry.entity.iter().map(|part| {
        let kind = EntityKind::of_name(&part.entity_type)
            .ok_or_else(|| QuotaError::UnknownKind(part.entity_type.clone()))?;
        Ok((kind, EntityName::from(part.entity_name.clone())))
    });
    let parts: Result<Vec<_>, QuotaError> = parts.collect();
    let changes = entry.ops.iter().map(|operation| {
        let value = (!operation.remove).then_some(operation.value);
        (operation.key.clone(), value)
    });
    QuotaAlteration {
        entity: parts.map(QuotaEntity::new),
        changes: changes.collect(),
    }
}

/// Types of an entity's parts with their names.
type Parts = Vec<(String, Option<String>)>;

/// One answer per entity, also of those that came more than once: the last outcome counts.
fn answers(entries: Vec<EntryData>, outcomes: Vec<Result<(), Refusal>>) -> Vec<answer::EntryData> {
    let mut answers: IndexMap<Parts, Result<(), Refusal>> = IndexMap::with_capacity(entries.len());
    for (entry, outcome) in entries.into_iter().zip(outcomes) {
        // Of two parts of the same type the last counts, and their order does not.
        let parts: std::collections::BTreeMap<_, _> = entry
            .entity
            .into_iter()
            .map(|part| (part.entity_type, part.entity_name))
            .collect();
        answers.insert(parts.into_iter().collect(), outcome);
    }
    let answer = |(parts, outcome): (Parts, _)| {
        let (error_code, error_message) = refusal::fields(&outcome);
        let part = |(entity_type, entity_name)| answer::EntityData {
            entity_type,
            entity_name,
        };
        answer::EntryData {
            error_code,
            error_message,
            entity: parts.into_iter().map(part).collect(),
        }
    };
    answers.into_iter().map(answer).collect()
}

fn refuse(error: &QuotaError) -> Refusal {
    let code = match error {
        QuotaError::NoEntity
        | QuotaError::UnknownKind(_)
        | QuotaError::EmptyName(_)
        | QuotaError::IpWithOthers
        | QuotaError::NoAddress(_)
        | QuotaError::UnknownKey(_)
        | QuotaError::DuplicateKey(_)
        | QuotaError::DuplicateEntity
        | QuotaError::Value { .. } => ErrorCode::InvalidRequest,
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use protocol::messages::alter_client_quotas_request::{EntityData, OpData};
    use protocol::messages::describe_client_quotas_request::ComponentData;
    use protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

    use super::*;
    use crate::handlers::fixture::Fixture;
    use crate::handlers::quotas::describe_client_quotas as describe;

    type Part<'a> = &'a [(&'a str, Option<&'a str>)];

    fn entry(parts: Part<'_>, changes: &[(&str, Option<f64>)]) -> EntryData {
        let part = |(entity_type, name): &(&str, Option<&str>)| EntityData {
            entity_type: (*entity_type).to_owned(),
            entity_name: name.map(str::to_owned),
        };
        let change = |(key, value): &(&str, Option<f64>)| OpData {
            key: (*key).to_owned(),
            value: value.unwrap_or(0.0),
            remove: value.is_none(),
        };
        EntryData {
            entity: parts.iter().map(part).collect(),
            ops: changes.iter().map(change).collect(),
        }
    }

    async fn ask(fixture: &Fixture, entries: Vec<EntryData>, validate_only: bool) -> Vec<i16> {
        let request = AlterClientQuotasRequest {
            entries,
            validate_only,
        };
        let response = handle(fixture.context(1), request, fixture.topics()).await;
        response.entries.iter().map(|one| one.error_code).collect()
    }

    async fn describe(
        fixture: &Fixture,
        components: &[(&str, i8, Option<&str>)],
        strict: bool,
    ) -> DescribeClientQuotasResponse {
        let component = |(entity_type, match_type, name): &(&str, i8, Option<&str>)| {
            let mut component = ComponentData {
                entity_type: (*entity_type).to_owned(),
                match_type: *match_type,
                ..Default::default()
            };
            component.r#match = name.map(str::to_owned);
            component
        };
        let request = DescribeClientQuotasRequest {
            components: components.iter().map(component).collect(),
            strict,
        };
        describe::handle(fixture.context(1), request, fixture.topics()).await
    }

    /// Entities as text, with their quotas.
    fn found(response: &DescribeClientQuotasResponse) -> Vec<(String, Vec<(&str, f64)>)> {
        let entries = response.entries.as_deref().unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let parts = entry.entity.iter();
                let parts: Vec<_> = parts
                    .map(|part| {
                        let name = part.entity_name.as_deref().unwrap_or("*");
                        format!("{}={name}", part.entity_type)
                    })
                    .collect();
                let values = entry.values.iter();
                let values = values.map(|value| (value.key.as_str(), value.value));
                (parts.join(","), values.collect())
            })
            .collect()
    }

    const ALICE: Part<'_> = &[("user", Some("alice"))];

    #[tokio::test]
    async fn quotas_are_set_found_and_removed() {
        let fixture = Fixture::new().await;
        let both: Part<'_> = &[("client-id", None), ("user", Some("alice"))];
        let entries = vec![
            entry(
                ALICE,
                &[
                    ("producer_byte_rate", Some(1000.0)),
                    ("request_percentage", Some(50.5)),
                ],
            ),
            entry(both, &[("consumer_byte_rate", Some(7.0))]),
            entry(
                &[("ip", Some("10.0.0.1"))],
                &[("connection_creation_rate", Some(3.0))],
            ),
        ];
        assert_eq!(ask(&fixture, entries.clone(), true).await, [0, 0, 0]);
        assert_eq!(found(&describe(&fixture, &[], false).await), []);
        assert_eq!(ask(&fixture, entries, false).await, [0, 0, 0]);
        let fixture = fixture.restart().await;
        let alice = (
            "user=alice".to_owned(),
            vec![("producer_byte_rate", 1000.0), ("request_percentage", 50.5)],
        );
        let default = (
            "user=alice,client-id=*".to_owned(),
            vec![("consumer_byte_rate", 7.0)],
        );
        let address = (
            "ip=10.0.0.1".to_owned(),
            vec![("connection_creation_rate", 3.0)],
        );
        for (components, strict, expected) in [
            (
                &[][..],
                false,
                vec![alice.clone(), default.clone(), address.clone()],
            ),
            (&[], true, vec![]),
            (
                &[("user", 0, Some("alice"))],
                false,
                vec![alice.clone(), default.clone()],
            ),
            (&[("user", 0, Some("alice"))], true, vec![alice.clone()]),
            (&[("user", 0, Some("bob"))], false, vec![]),
            (&[("client-id", 1, None)], false, vec![default.clone()]),
            (
                &[("user", 2, None), ("client-id", 2, None)],
                true,
                vec![default],
            ),
            (&[("ip", 2, None)], true, vec![address]),
        ] {
            let mut expected = expected;
            let response = describe(&fixture, components, strict).await;
            let mut entries = found(&response);
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            expected.sort_by(|one, other| one.0.cmp(&other.0));
            assert_eq!(entries, expected, "{components:?}");
        }
        let gone = [("producer_byte_rate", None), ("request_percentage", None)];
        assert_eq!(ask(&fixture, vec![entry(ALICE, &gone)], false).await, [0]);
        let response = describe(&fixture, &[("user", 0, Some("alice"))], true).await;
        assert_eq!(found(&response), []);
    }

    #[tokio::test]
    async fn each_mistake_is_an_invalid_request_and_others_go_on() {
        let fixture = Fixture::new().await;
        let refused = ErrorCode::InvalidRequest.code();
        let rate = [("producer_byte_rate", Some(1.0))];
        for wrong in [
            entry(&[], &rate),
            entry(&[("planet", Some("earth"))], &rate),
            entry(&[("user", Some(""))], &rate),
            entry(&[("ip", Some("10.0.0.1")), ("user", None)], &rate),
            entry(
                &[("ip", Some("not an address"))],
                &[("connection_creation_rate", Some(1.0))],
            ),
            entry(&[("client-id", None)], &[("no_such_quota", Some(1.0))]),
            entry(&[("client-id", None)], &[("producer_byte_rate", Some(0.0))]),
            entry(&[("client-id", None)], &[("producer_byte_rate", Some(1.5))]),
            entry(
                &[("client-id", None)],
                &[
                    ("producer_byte_rate", Some(1.0)),
                    ("producer_byte_rate", None),
                ],
            ),
        ] {
            let codes = ask(&fixture, vec![wrong.clone(), entry(ALICE, &rate)], false).await;
            assert_eq!(codes, [refused, 0], "{wrong:?}");
        }
        // What was said first happens.
        let twice = vec![
            entry(ALICE, &[("producer_byte_rate", Some(5.0))]),
            entry(ALICE, &[("producer_byte_rate", Some(6.0))]),
        ];
        assert_eq!(ask(&fixture, twice, false).await, [refused]);
        let response = describe(&fixture, &[], false).await;
        assert_eq!(found(&response)[0].1, [("producer_byte_rate", 5.0)]);
    }

    #[tokio::test]
    async fn filters_that_contradict_themselves_are_refused() {
        let fixture = Fixture::new().await;
        for (components, expected) in [
            (&[("", 0, Some("a"))][..], ErrorCode::InvalidRequest),
            (&[("planet", 0, Some("a"))], ErrorCode::UnsupportedVersion),
            (&[("user", 0, None)], ErrorCode::InvalidRequest),
            (&[("user", 1, Some("a"))], ErrorCode::InvalidRequest),
            (&[("user", 2, Some("a"))], ErrorCode::InvalidRequest),
            (&[("user", 9, None)], ErrorCode::InvalidRequest),
            (
                &[("user", 2, None), ("user", 1, None)],
                ErrorCode::InvalidRequest,
            ),
            (
                &[("user", 2, None), ("ip", 2, None)],
                ErrorCode::InvalidRequest,
            ),
        ] {
            let response = describe(&fixture, components, false).await;
            assert_eq!(response.error_code, expected.code(), "{components:?}");
            assert_eq!(response.entries, None);
        }
    }
}
