//! Quotas of clients: reading and changing them (KIP-546).

use std::collections::BTreeMap;

use protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use protocol::messages::describe_client_quotas_request::ComponentData;
use protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};

use super::AdminError;
use crate::cluster::{Cluster, Lane, Target};
use crate::refusal;

/// How a part of an entity is matched, on the wire (`ClientQuotaFilterComponent`).
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;

/// Who a quota is for: parts by type (`user`, `client-id`, `ip`), each by its name; `None` are those without a quota of
/// their own.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// An entity with its quotas.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientQuota {
    /// Who.
    pub entity: QuotaEntity,
    /// Values by the quota's name.
    pub values: BTreeMap<String, f64>,
}

/// The quotas of all entities that have these parts, and maybe others.
pub async fn describe_client_quotas(
    cluster: &Cluster,
    parts: &QuotaEntity,
) -> Result<Vec<ClientQuota>, AdminError> {
    let component = |(entity_type, name): (&String, &Option<String>)| ComponentData {
        entity_type: entity_type.clone(),
        match_type: if name.is_some() { EXACT } else { DEFAULT },
        r#match: name.clone(),
    };
    let request = DescribeClientQuotasRequest {
        components: parts.iter().map(component).collect(),
        strict: false,
    };
    let response = cluster
        .call_retrying(Target::Any, Lane::Control, &request)
        .await?;
    refusal::check(response.error_code, response.error_message.as_deref()).map_err(|source| {
        AdminError::Refused {
            attempted: "read the quotas of clients".to_owned(),
            source,
        }
    })?;
    let entries = response.entries.unwrap_or_default().into_iter();
    let quota = entries.map(|entry| ClientQuota {
        entity: entry
            .entity
            .into_iter()
            .map(|part| (part.entity_type, part.entity_name))
            .collect(),
        values: entry
            .values
            .into_iter()
            .map(|value| (value.key, value.value))
            .collect(),
    });
    Ok(quota.collect())
}

/// Sets quotas of an entity; `None` removes one. All happen or none.
pub async fn alter_client_quotas(
    cluster: &Cluster,
    entity: &QuotaEntity,
    changes: &BTreeMap<String, Option<f64>>,
    validate_only: bool,
) -> Result<(), AdminError> {
    let part = |(entity_type, entity_name): (&String, &Option<String>)| EntityData {
        entity_type: entity_type.clone(),
        entity_name: entity_name.clone(),
    };
    let change = |(key, value): (&String, &Option<f64>)| OpData {
        key: key.clone(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
    };
    let request = AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: entity.iter().map(part).collect(),
            ops: changes.iter().map(change).collect(),
        }],
        validate_only,
    };
    let response = cluster.call(Target::Any, Lane::Control, &request).await?;
    let result = response.entries.into_iter().next();
    let result = result.ok_or_else(|| AdminError::Missing {
        subject: "the entity's quotas".to_owned(),
    })?;
    refusal::check(result.error_code, result.error_message.as_deref()).map_err(|source| {
        AdminError::Refused {
            attempted: "change the quotas".to_owned(),
            source,
        }
    })
}
