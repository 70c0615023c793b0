//! DescribeClientQuotas, key 48, versions 0 to 1 (1: flexible).
//!
//! A filter names parts of entities: one by its name, the default, or any. Strict: the entity has these parts and no others
//! (`ClientQuotasImage.describe`).

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::{EntityKind, EntityName, QuotaEntity, QuotaValues};
use protocol::ErrorCode;
use protocol::messages::describe_client_quotas_request::ComponentData;
use protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use crate::context::Context;
use crate::handlers::refusal::Refusal;
use crate::topics::Topics;

/// `ClientQuotaFilterComponent` on the wire.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// What a part must be; `None`: any.
type Filter = BTreeMap<EntityKind, Option<EntityName>>;

pub(crate) async fn handle(
    _context: Context,
    request: DescribeClientQuotasRequest,
    topics: Arc<Topics>,
) -> DescribeClientQuotasResponse {
    let filter = match filter(request.components) {
        Ok(filter) => filter,
        Err(refusal) => {
            return DescribeClientQuotasResponse {
                error_code: refusal.code.into(),
                error_message: Some(refusal.message),
                entries: None,
                ..Default::default()
            };
        }
    };
    let image = topics.image();
    let entries = image
        .quotas
        .iter()
        .filter(|(entity, _)| matches(entity, &filter, request.strict))
        .map(|(entity, values)| entry(entity, values));
    DescribeClientQuotasResponse {
        entries: Some(entries.collect()),
        ..Default::default()
    }
}

fn filter(components: Vec<ComponentData>) -> Result<Filter, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let mut filter = Filter::new();
    for component in components {
        let name = &component.entity_type;
        if name.is_empty() {
            return invalid("an entity type must not be empty".to_owned());
        }
        let Some(kind) = EntityKind::of_name(name) else {
            let message = format!("unknown entity type {name:?}");
            return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
        };
        if filter.contains_key(&kind) {
            return invalid(format!("entity type {name} is named more than once"));
        }
        let wanted = match (component.match_type, component.r#match) {
            (EXACT, Some(name)) => Some(EntityName::Named(name)),
            (DEFAULT, None) => Some(EntityName::Default),
            (ANY, None) => None,
            (EXACT, None) => return invalid(format!("no {name} is given to match")),
            (DEFAULT | ANY, Some(_)) => {
                return invalid(format!("a {name} is given where none is matched"));
            }
            (other, _) => return invalid(format!("unknown match type {other}")),
        };
        filter.insert(kind, wanted);
    }
    if filter.contains_key(&EntityKind::Ip) && filter.len() > 1 {
        return invalid("an ip cannot be combined with a user or a client id".to_owned());
    }
    Ok(filter)
}

fn matches(entity: &QuotaEntity, filter: &Filter, strict: bool) -> bool {
    if strict && entity.parts().len() != filter.len() {
        return false;
    }
    filter.iter().all(|(kind, wanted)| {
        let part = entity.part(*kind);
        part.is_some_and(|part| wanted.as_ref().is_none_or(|wanted| part == wanted))
    })
}

fn entry(entity: &QuotaEntity, values: &QuotaValues) -> EntryData {
    let part = |(kind, name): (EntityKind, &EntityName)| EntityData {
        entity_type: kind.name().to_owned(),
        entity_name: name.as_deref().map(str::to_owned),
    };
    let value = |(key, value): (&String, &f64)| ValueData {
        key: key.clone(),
        value: *value,
    };
    EntryData {
        entity: entity.parts().map(part).collect(),
        values: values.iter().map(value).collect(),
    }
}
