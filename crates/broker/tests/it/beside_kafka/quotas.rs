//! Setting and describing quotas of clients.

use protocol::messages::*;

use super::{Pair, hide_message};

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

pub(super) async fn quotas(pair: &mut Pair, run: &str) {
    let (alice, client) = (format!("{run}-alice"), format!("{run}-client"));
    let (alice, client) = (Some(alice.as_str()), Some(client.as_str()));
    let rate = ("producer_byte_rate", Some(1_000_000.0));
    for (entity, changes) in [
        (vec![("user", alice)], vec![rate]),
        (
            vec![("user", alice), ("client-id", client)],
            vec![("request_percentage", Some(250.5))],
        ),
        (
            vec![("user", alice), ("client-id", None)],
            vec![("consumer_byte_rate", Some(9e9))],
        ),
        (
            vec![("client-id", client)],
            vec![("controller_mutation_rate", Some(100.5))],
        ),
        (
            vec![("ip", Some("10.1.2.3"))],
            vec![("connection_creation_rate", Some(50.0))],
        ),
        (vec![("ip", Some("10.1.2.3"))], vec![rate]),
        (
            vec![("user", alice)],
            vec![("connection_creation_rate", Some(50.0))],
        ),
        (vec![("user", alice)], vec![("no_such_quota", Some(50.0))]),
        (vec![("user", alice)], vec![("no_such_quota", None)]),
        (
            vec![("user", alice)],
            vec![("producer_byte_rate", Some(0.0))],
        ),
        (
            vec![("user", alice)],
            vec![("producer_byte_rate", Some(-1.0))],
        ),
        (
            vec![("user", alice)],
            vec![("producer_byte_rate", Some(1.5))],
        ),
        (
            vec![("user", alice)],
            vec![("producer_byte_rate", Some(1e19))],
        ),
        (
            vec![("user", alice)],
            vec![("producer_byte_rate", Some(1e-20))],
        ),
        (
            vec![("user", alice)],
            vec![("producer_byte_rate", Some(0.999_999_9))],
        ),
        (
            vec![("user", alice)],
            vec![("consumer_byte_rate", Some(5e-324))],
        ),
        (
            vec![("ip", Some("10.1.2.3"))],
            vec![("connection_creation_rate", Some(1e-20))],
        ),
        (
            vec![("user", alice)],
            vec![("request_percentage", Some(1e-20))],
        ),
        (
            vec![("user", alice)],
            vec![("controller_mutation_rate", Some(1e-20))],
        ),
        (
            vec![("user", alice)],
            vec![rate, ("producer_byte_rate", None)],
        ),
        (vec![("user", alice), ("ip", None)], vec![rate]),
        (vec![("user", Some(""))], vec![rate]),
        (vec![("planet", alice)], vec![rate]),
        (vec![], vec![rate]),
        (vec![("user", alice)], vec![]),
        (
            vec![("ip", Some("no address at all"))],
            vec![("connection_creation_rate", Some(1.0))],
        ),
        (vec![("user", alice)], vec![("producer_byte_rate", None)]),
        (
            vec![("ip", Some("10.1.2.3"))],
            vec![("connection_creation_rate", None)],
        ),
    ] {
        let part =
            |(entity_type, name): &(&str, Option<&str>)| alter_client_quotas_request::EntityData {
                entity_type: (*entity_type).to_owned(),
                entity_name: name.map(str::to_owned),
            };
        let change = |(key, value): &(&str, Option<f64>)| alter_client_quotas_request::OpData {
            key: (*key).to_owned(),
            value: value.unwrap_or(0.0),
            remove: value.is_none(),
        };
        let entry = alter_client_quotas_request::EntryData {
            entity: entity.iter().map(part).collect(),
            ops: changes.iter().map(change).collect(),
        };
        for version in 0..=1 {
            for validate_only in [true, false] {
                for entries in [vec![entry.clone()], vec![entry.clone(), entry.clone()]] {
                    let request = AlterClientQuotasRequest {
                        entries,
                        validate_only,
                    };
                    pair.same(version, &request, |response| {
                        for entry in &mut response.entries {
                            hide_message(entry.error_code, &mut entry.error_message);
                            entry
                                .entity
                                .sort_by(|one, other| one.entity_type.cmp(&other.entity_type));
                        }
                    })
                    .await;
                }
            }
        }
        described(pair, alice, client).await;
    }
}

async fn described(pair: &mut Pair, alice: Option<&str>, client: Option<&str>) {
    for (components, strict) in [
        (vec![("user", EXACT, alice)], false),
        (vec![("user", EXACT, alice)], true),
        (vec![("client-id", EXACT, client)], false),
        (
            vec![("user", EXACT, alice), ("client-id", DEFAULT, None)],
            true,
        ),
        (vec![("user", EXACT, alice), ("client-id", ANY, None)], true),
        (vec![("ip", EXACT, Some("10.1.2.3"))], true),
        (vec![("ip", EXACT, Some("10.1.2.4"))], true),
        (vec![("user", EXACT, None)], true),
        (vec![("user", DEFAULT, alice)], true),
        (vec![("user", ANY, alice)], true),
        (vec![("user", 9, None)], true),
        (vec![("", ANY, None)], true),
        (vec![("planet", ANY, None)], true),
        (vec![("user", EXACT, alice), ("user", ANY, None)], true),
        (vec![("user", EXACT, alice), ("ip", ANY, None)], true),
    ] {
        let component = |(entity_type, match_type, name): &(&str, i8, Option<&str>)| {
            describe_client_quotas_request::ComponentData {
                entity_type: (*entity_type).to_owned(),
                match_type: *match_type,
                r#match: name.map(str::to_owned),
            }
        };
        let request = DescribeClientQuotasRequest {
            components: components.iter().map(component).collect(),
            strict,
        };
        for version in 0..=1 {
            pair.same_soon(version, &request, |response| {
                hide_message(response.error_code, &mut response.error_message);
                for entry in response.entries.iter_mut().flatten() {
                    entry
                        .entity
                        .sort_by(|one, other| one.entity_type.cmp(&other.entity_type));
                    entry.values.sort_by(|one, other| one.key.cmp(&other.key));
                }
                if let Some(entries) = &mut response.entries {
                    entries.sort_by_key(|entry| format!("{:?}", entry.entity));
                }
            })
            .await;
        }
    }
}
