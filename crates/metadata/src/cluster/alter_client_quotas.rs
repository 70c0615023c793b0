//! Setting and removing quotas of clients (`ClientQuotaControlManager.alterClientQuotas`).

use std::collections::BTreeMap;

use super::Cluster;
use crate::image::ClusterImage;
use crate::keys;
use crate::quotas::{QuotaEntity, QuotaError, QuotaValues, check_value};
use crate::store::{TransactError, Transaction};

/// What is to happen to one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaAlteration {
    /// Whose quotas; an error if the client named a kind of entity that there is not.
    pub entity: Result<QuotaEntity, QuotaError>,
    /// New values by name; `None` removes.
    pub changes: Vec<(String, Option<f64>)>,
}

impl Cluster {
    /// Alters quotas: an outcome for each alteration, in order. What is right happens, in one transaction, whatever is wrong
    /// with others.
    ///
    /// # Errors
    /// The store's, of the request as a whole.
    pub async fn alter_client_quotas(
        &self,
        alterations: &[QuotaAlteration],
        validate_only: bool,
    ) -> Result<Vec<Result<(), QuotaError>>, TransactError> {
        self.transact(|image| {
            let mut planned = BTreeMap::new();
            let outcomes = alterations
                .iter()
                .map(|alteration| plan(image, alteration, &mut planned))
                .collect();
            let transaction = if validate_only {
                Transaction::default()
            } else {
                write(image, &planned)
            };
            (transaction, outcomes)
        })
        .await
    }
}

type Planned<'a> = BTreeMap<&'a QuotaEntity, QuotaValues>;

fn plan<'a>(
    image: &ClusterImage,
    alteration: &'a QuotaAlteration,
    planned: &mut Planned<'a>,
) -> Result<(), QuotaError> {
    let entity = alteration.entity.as_ref().map_err(Clone::clone)?;
    if planned.contains_key(entity) {
        return Err(QuotaError::DuplicateEntity);
    }
    let mut changes = BTreeMap::new();
    for (name, value) in &alteration.changes {
        if changes.insert(name, value).is_some() {
            return Err(QuotaError::DuplicateKey(name.clone()));
        }
    }
    let keys = entity.check()?;
    let mut values = image.quotas.of(entity).cloned().unwrap_or_default();
    for (name, value) in changes {
        match value {
            // What is not there can be removed, whatever its name.
            None => drop(values.remove(name)),
            Some(value) => {
                check_value(keys, name, *value)?;
                values.insert(name.clone(), *value);
            }
        }
    }
    planned.insert(entity, values);
    Ok(())
}

fn write(image: &ClusterImage, planned: &Planned<'_>) -> Transaction {
    let mut transaction = Transaction::default();
    for (entity, values) in planned {
        let unchanged = match image.quotas.of(entity) {
            Some(before) => before == values,
            None => values.is_empty(),
        };
        if unchanged {
            continue;
        }
        let key = keys::quotas(entity);
        transaction.expect(key.clone(), image.settings_revision(&key));
        if values.is_empty() {
            transaction.delete(key);
        } else {
            transaction.put(key, keys::write_quotas(values));
        }
    }
    transaction
}
