//! Which quota a client has: the most specific one (`ClientQuotaManager`).
//!
//! The order: this user with this client id, this user with other client ids, this user; other users with this client id,
//! with other client ids, other users; this client id, other client ids. Each kind of quota is looked for by itself.

use std::collections::HashMap;
use std::net::IpAddr;

use metadata::{
    CONNECTION_CREATION_RATE, CONSUMER_BYTE_RATE, CONTROLLER_MUTATION_RATE, ClientQuotas,
    EntityKind, EntityName, PRODUCER_BYTE_RATE, QuotaValues, REQUEST_PERCENTAGE,
};

/// The quotas of users and client ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientQuota {
    /// Bytes produced a second.
    Produce,
    /// Bytes fetched a second.
    Fetch,
    /// Per cent of one thread's time.
    Request,
    /// Partitions created and deleted a second.
    Mutation,
}

impl ClientQuota {
    const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Request, Self::Mutation];

    const fn key(self) -> &'static str {
        match self {
            Self::Produce => PRODUCER_BYTE_RATE,
            Self::Fetch => CONSUMER_BYTE_RATE,
            Self::Request => REQUEST_PERCENTAGE,
            Self::Mutation => CONTROLLER_MUTATION_RATE,
        }
    }
}

/// The limits of one entity, in the order of [`ClientQuota::ALL`].
type Limits = [Option<f64>; 4];

/// Entities of one kind by name, and what the others have.
#[derive(Debug)]
struct ByName<T> {
    named: HashMap<String, T>,
    default: Option<T>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self {
            named: HashMap::new(),
            default: None,
        }
    }
}

impl<T: Default> ByName<T> {
    fn entry(&mut self, name: &EntityName) -> &mut T {
        match name {
            EntityName::Default => self.default.get_or_insert_default(),
            EntityName::Named(name) => self.named.entry(name.clone()).or_default(),
        }
    }
}

/// Who shares a limit: clients of the same user and client id, or of the same one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) user: Option<String>,
    pub(crate) client_id: Option<String>,
}

/// All quotas, by whom they are for.
#[derive(Debug, Default)]
pub(crate) struct QuotaTable {
    users_with_clients: ByName<ByName<Limits>>,
    users: ByName<Limits>,
    clients: ByName<Limits>,
    addresses: HashMap<IpAddr, f64>,
    other_addresses: Option<f64>,
}

impl QuotaTable {
    pub(crate) fn new(quotas: &ClientQuotas) -> Self {
        let mut table = Self::default();
        for (entity, values) in quotas.iter() {
            let (user, client) = (
                entity.part(EntityKind::User),
                entity.part(EntityKind::ClientId),
            );
            match (user, client, entity.part(EntityKind::Ip)) {
                (Some(user), Some(client), _) => {
                    *table.users_with_clients.entry(user).entry(client) = limits(values);
                }
                (Some(user), None, _) => *table.users.entry(user) = limits(values),
                (None, Some(client), _) => *table.clients.entry(client) = limits(values),
                (None, None, Some(address)) => table.add_address(address, values),
                (None, None, None) => {}
            }
        }
        table
    }

    fn add_address(&mut self, address: &EntityName, values: &QuotaValues) {
        let Some(rate) = values.get(CONNECTION_CREATION_RATE).copied() else {
            return;
        };
        match address.as_deref().map(str::parse::<IpAddr>) {
            None => self.other_addresses = Some(rate),
            Some(Ok(address)) => drop(self.addresses.insert(address.to_canonical(), rate)),
            // Only addresses are stored.
            Some(Err(_)) => {}
        }
    }

    /// The limit of a client and who shares it; `None`: no limit.
    pub(crate) fn limit(
        &self,
        quota: ClientQuota,
        user: &str,
        client_id: &str,
    ) -> Option<(f64, Owner)> {
        let of = |limits: Option<&Limits>| limits.and_then(|limits| limits[quota as usize]);
        let own = self.users_with_clients.named.get(user);
        let other = self.users_with_clients.default.as_ref();
        let with_client = |clients: Option<&ByName<Limits>>| {
            of(clients.and_then(|clients| clients.named.get(client_id)))
                .or_else(|| of(clients.and_then(|clients| clients.default.as_ref())))
        };
        let owner = |has_user: bool, has_client: bool| Owner {
            user: has_user.then(|| user.to_owned()),
            client_id: has_client.then(|| client_id.to_owned()),
        };
        let both = |limit| (limit, owner(true, true));
        let by_user = |limit| (limit, owner(true, false));
        let by_client = |limit| (limit, owner(false, true));
        with_client(own)
            .map(both)
            .or_else(|| of(self.users.named.get(user)).map(by_user))
            .or_else(|| with_client(other).map(both))
            .or_else(|| of(self.users.default.as_ref()).map(by_user))
            .or_else(|| of(self.clients.named.get(client_id)).map(by_client))
            .or_else(|| of(self.clients.default.as_ref()).map(by_client))
    }

    /// Connections a second that an address may open; `None`: no limit.
    pub(crate) fn connection_rate(&self, address: IpAddr) -> Option<f64> {
        let own = self.addresses.get(&address.to_canonical());
        own.copied().or(self.other_addresses)
    }
}

fn limits(values: &QuotaValues) -> Limits {
    ClientQuota::ALL.map(|quota| values.get(quota.key()).copied())
}

#[cfg(test)]
mod tests {
    use metadata::QuotaEntity;

    use super::*;

    /// A user and a client id; `*` is the default, empty is not there.
    fn entity(user: &str, client_id: &str) -> QuotaEntity {
        let part = |kind, name: &str| {
            let name = match name {
                "" => return None,
                "*" => EntityName::Default,
                name => EntityName::Named(name.to_owned()),
            };
            Some((kind, name))
        };
        let parts = [
            part(EntityKind::User, user),
            part(EntityKind::ClientId, client_id),
        ];
        QuotaEntity::new(parts.into_iter().flatten())
    }

    #[test]
    fn the_most_specific_quota_counts() {
        // In the order of precedence.
        let entities = [
            ("alice", "app"),
            ("alice", "*"),
            ("alice", ""),
            ("*", "app"),
            ("*", "*"),
            ("*", ""),
            ("", "app"),
            ("", "*"),
        ];
        let sharing = [
            (true, true),
            (true, true),
            (true, false),
            (true, true),
            (true, true),
            (true, false),
            (false, true),
            (false, true),
        ];
        for first in 0..entities.len() {
            let table = table(
                entities
                    .iter()
                    .enumerate()
                    .skip(first)
                    .map(|(index, (user, client))| (entity(user, client), index as f64 + 1.0)),
            );
            let (limit, owner) = table
                .limit(ClientQuota::Produce, "alice", "app")
                .expect("all match");
            assert_eq!(limit, first as f64 + 1.0, "{:?}", entities[first]);
            let shared = (owner.user.is_some(), owner.client_id.is_some());
            assert_eq!(shared, sharing[first], "{:?}", entities[first]);
            assert_eq!(table.limit(ClientQuota::Fetch, "alice", "app"), None);
        }
    }

    #[test]
    fn others_have_what_is_said_of_the_default() {
        let table = table([
            (entity("alice", "app"), 1.0),
            (entity("*", "app"), 2.0),
            (entity("", "*"), 3.0),
        ]);
        let limit = |user, client| {
            let found = table.limit(ClientQuota::Produce, user, client);
            found.map(|(limit, _)| limit)
        };
        assert_eq!(limit("alice", "app"), Some(1.0));
        assert_eq!(limit("bob", "app"), Some(2.0));
        assert_eq!(limit("bob", "other"), Some(3.0));
        assert_eq!(limit("alice", "other"), Some(3.0));
    }

    fn table(entities: impl IntoIterator<Item = (QuotaEntity, f64)>) -> QuotaTable {
        let mut table = QuotaTable::default();
        for (entity, rate) in entities {
            let values = QuotaValues::from([(PRODUCER_BYTE_RATE.to_owned(), rate)]);
            let (user, client) = (
                entity.part(EntityKind::User),
                entity.part(EntityKind::ClientId),
            );
            match (user, client) {
                (Some(user), Some(client)) => {
                    *table.users_with_clients.entry(user).entry(client) = limits(&values);
                }
                (Some(user), None) => *table.users.entry(user) = limits(&values),
                (None, Some(client)) => *table.clients.entry(client) = limits(&values),
                (None, None) => {}
            }
        }
        table
    }
}
