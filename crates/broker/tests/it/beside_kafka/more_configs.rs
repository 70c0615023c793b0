//! Settings of brokers, groups and subscriptions to clients' metrics, both ways of altering them, and what is listed.

use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::*;

use super::{Pair, configs, hide_message};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const METRICS: i8 = 16;
const GROUP: i8 = 32;

/// Settings by name; no value deletes, or is null in the legacy request.
type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

pub(super) async fn more_configs(pair: &mut Pair, run: &str) {
    let (one, group, metrics) = (
        format!("{run}-one"),
        format!("{run}-group"),
        format!("{run}-metrics"),
    );
    let steps: &[(i8, &str, Changes<'_>)] = &[
        (
            GROUP,
            &group,
            &[("share.record.lock.duration.ms", Some("20000"))],
        ),
        (
            GROUP,
            &group,
            &[("share.record.lock.duration.ms", Some("999"))],
        ),
        (
            GROUP,
            &group,
            &[("share.record.lock.duration.ms", Some("60001"))],
        ),
        (
            GROUP,
            &group,
            &[("share.session.timeout.ms", Some("44999"))],
        ),
        (
            GROUP,
            &group,
            &[("share.heartbeat.interval.ms", Some("15001"))],
        ),
        (
            GROUP,
            &group,
            &[("share.isolation.level", Some("read_committed"))],
        ),
        (GROUP, &group, &[("share.isolation.level", Some("dirty"))]),
        (
            GROUP,
            &group,
            &[("share.auto.offset.reset", Some("by_duration:PT1H"))],
        ),
        (GROUP, &group, &[("share.auto.offset.reset", Some("never"))]),
        (
            GROUP,
            &group,
            &[("streams.num.standby.replicas", Some("2"))],
        ),
        (
            GROUP,
            &group,
            &[("streams.num.standby.replicas", Some("3"))],
        ),
        (
            GROUP,
            &group,
            &[("streams.session.timeout.ms", Some("60001"))],
        ),
        (
            GROUP,
            &group,
            &[("consumer.heartbeat.interval.ms", Some("999"))],
        ),
        (
            GROUP,
            &group,
            &[("consumer.heartbeat.interval.ms", Some("15000"))],
        ),
        (
            GROUP,
            &group,
            &[("consumer.session.timeout.ms", Some("60001"))],
        ),
        (GROUP, &group, &[("no.such.setting", Some("1"))]),
        (GROUP, &group, &[]),
        (METRICS, &metrics, &[("interval.ms", Some("1000"))]),
        (METRICS, &metrics, &[("interval.ms", Some("99"))]),
        (METRICS, &metrics, &[("interval.ms", Some("x"))]),
        (METRICS, &metrics, &[("metrics", Some("org.apache.,other"))]),
        (METRICS, &metrics, &[("match", Some("client_id=app.*"))]),
        (METRICS, &metrics, &[("match", Some("planet=earth"))]),
        (METRICS, &metrics, &[("match", Some("client_id"))]),
        (METRICS, &metrics, &[("no.such.setting", Some("1"))]),
        (METRICS, "", &[("interval.ms", Some("1000"))]),
        (BROKER, "", &[("log.flush.interval.messages", Some("7777"))]),
        (
            BROKER,
            "1",
            &[("log.flush.interval.messages", Some("8888"))],
        ),
        (BROKER, "1", &[("min.insync.replicas", Some("1"))]),
        (BROKER, "", &[("min.insync.replicas", None)]),
        (BROKER, "", &[("node.id", Some("9"))]),
        (BROKER, "", &[("num.partitions", Some("9"))]),
        (BROKER, "1", &[("log.flush.interval.messages", None)]),
        (BROKER, "", &[("log.flush.interval.messages", None)]),
        (LOGGER, "7", &[("root", Some("INFO"))]),
        (LOGGER, "x", &[("root", Some("INFO"))]),
        (LOGGER, "1", &[("no such logger", Some("INFO"))]),
        (TOPIC, &one, &[("flush.ms", Some("77"))]),
    ];
    for (resource_type, name, changes) in steps {
        incremental(pair, *resource_type, name, changes).await;
        described(pair, *resource_type, name).await;
    }
    for (resource_type, name, changes) in steps {
        // A broker must keep what belongs to the cluster, and a name without a value is null.
        legacy(pair, *resource_type, name, changes).await;
        described(pair, *resource_type, name).await;
    }
    // What the older request cannot take back would be found by whoever compares with the same Kafka next.
    for name in ["1", ""] {
        let back = &[("log.flush.interval.messages", None)];
        incremental(pair, BROKER, name, back).await;
        described(pair, BROKER, name).await;
    }
    legacy(pair, 99, "x", &[]).await;
    listed(pair, &[&one, &group, &metrics]).await;
}

async fn incremental(pair: &mut Pair, resource_type: i8, name: &str, changes: Changes<'_>) {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let change = |(name, value): &(&str, Option<&str>)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: i8::from(value.is_none()),
        value: value.map(str::to_owned),
    };
    for validate_only in [true, false] {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type,
                resource_name: name.to_owned(),
                configs: changes.iter().map(change).collect(),
            }],
            validate_only,
        };
        pair.same(1, &request, |response| {
            for result in &mut response.responses {
                hide_message(result.error_code, &mut result.error_message);
            }
        })
        .await;
    }
}

async fn legacy(pair: &mut Pair, resource_type: i8, name: &str, changes: Changes<'_>) {
    use alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let change = |(name, value): &(&str, Option<&str>)| AlterableConfig {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    };
    for version in 0..=2 {
        for validate_only in [true, false] {
            let request = AlterConfigsRequest {
                resources: vec![AlterConfigsResource {
                    resource_type,
                    resource_name: name.to_owned(),
                    configs: changes.iter().map(change).collect(),
                }],
                validate_only,
            };
            pair.same(version, &request, |response| {
                for result in &mut response.responses {
                    hide_message(result.error_code, &mut result.error_message);
                }
            })
            .await;
        }
    }
}

async fn described(pair: &mut Pair, resource_type: i8, name: &str) {
    // Loggers, and the settings of one broker, are of the set-up.
    if resource_type == LOGGER || (resource_type == BROKER && !name.is_empty()) {
        return;
    }
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        include_synonyms: true,
        include_documentation: false,
    };
    pair.same_soon(4, &request, |response| {
        for result in &mut response.results {
            hide_message(result.error_code, &mut result.error_message);
            result
                .configs
                .sort_by(|one, other| one.name.cmp(&other.name));
            result
                .configs
                .retain(|config| !configs::is_of_one(&config.name));
        }
    })
    .await;
}

async fn listed(pair: &mut Pair, names: &[&str]) {
    for (version, types) in [
        (0, &[][..]),
        (1, &[TOPIC, GROUP]),
        (1, &[BROKER]),
        (1, &[LOGGER]),
        (1, &[METRICS]),
        (1, &[]),
        (1, &[99]),
        (1, &[TOPIC, 0]),
    ] {
        let request = ListConfigResourcesRequest {
            resource_types: types.to_vec(),
        };
        pair.same_soon(version, &request, |response| {
            // A Kafka that was asked before knows more; one that had settings of a group lists it without any.
            response.config_resources.retain(|resource| {
                let is_ours = names.contains(&resource.resource_name.as_str());
                matches!(resource.resource_type, BROKER | LOGGER)
                    || (is_ours && resource.resource_type != GROUP)
            });
            response.config_resources.sort_by(|one, other| {
                (one.resource_type, &one.resource_name)
                    .cmp(&(other.resource_type, &other.resource_name))
            });
        })
        .await;
    }
}
