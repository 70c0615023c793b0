//! Describing and altering settings.

use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use protocol::messages::*;

use super::{Pair, hide_message};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

/// `write.caching` is ours alone.
pub(super) fn is_of_one(name: &str) -> bool {
    name == "write.caching"
}

/// Settings whose values describe the machine, the release or this set-up.
fn is_of_the_set_up(name: &str) -> bool {
    [
        "listener",
        "advertised",
        "log.dir",
        "controller",
        "process.roles",
        "node.id",
        "queued.max.request.bytes",
        "broker.id",
        "authorizer",
        "allow.everyone.if.no.acl.found",
        "group.initial.rebalance.delay.ms",
        "replication.factor",
        ".min.isr",
    ]
    .iter()
    .any(|part| name.contains(part))
}

pub(super) async fn configs(pair: &mut Pair, run: &str) {
    let describe = |resource_type, name: &str, keys: Option<&[&str]>| DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        }],
        include_synonyms: true,
        include_documentation: false,
    };
    let normalise = |response: &mut DescribeConfigsResponse| {
        for result in &mut response.results {
            hide_message(result.error_code, &mut result.error_message);
            result
                .configs
                .sort_by(|one, other| one.name.cmp(&other.name));
            result
                .configs
                .retain(|config| !is_of_one(&config.name) && !is_of_the_set_up(&config.name));
        }
    };
    let (one, kept) = (format!("{run}-one"), format!("{run}-kept"));
    for version in 1..=4 {
        pair.same_soon(
            version,
            &DescribeConfigsRequest {
                include_documentation: false,
                ..describe(TOPIC, &one, None)
            },
            normalise,
        )
        .await;
    }
    for request in [
        describe(TOPIC, &kept, None),
        describe(TOPIC, &one, Some(&["retention.ms", "nothing"])),
        describe(TOPIC, &one, Some(&[])),
        describe(TOPIC, "missing", None),
        describe(TOPIC, "sp ace", None),
        describe(TOPIC, "", None),
        describe(BROKER, "", None),
        describe(BROKER, "7", None),
        describe(BROKER, "one", None),
        describe(GROUP, "readers", None),
        describe(GROUP, "", None),
        describe(8, "", None),
        describe(8, "7", None),
        describe(99, "x", None),
    ] {
        pair.same_soon(4, &request, normalise).await;
    }
    broker_configs(pair, &describe(BROKER, "1", None)).await;

    let change = |name: &str, config_operation, value: Option<&str>| AlterableConfig {
        name: name.to_owned(),
        config_operation,
        value: value.map(str::to_owned),
    };
    let alter = |resource_type, name: &str, configs: Vec<AlterableConfig>| AlterConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configs,
    };
    let normal_altered = |response: &mut IncrementalAlterConfigsResponse| {
        response
            .responses
            .sort_by(|one, other| one.resource_name.cmp(&other.resource_name));
        for result in &mut response.responses {
            hide_message(result.error_code, &mut result.error_message);
        }
    };
    let set = |name, value| change(name, 0, Some(value));
    for (resources, described) in [
        (
            vec![alter(
                TOPIC,
                &one,
                vec![set("retention.ms", "5000"), set("flush.ms", "7")],
            )],
            (TOPIC, one.as_str()),
        ),
        (
            vec![alter(TOPIC, &one, vec![change("retention.ms", 1, None)])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("cleanup.policy", 2, Some("compact"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("cleanup.policy", 3, Some("delete"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("cleanup.policy", 3, Some("compact"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![change("retention.ms", 2, Some("1"))],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, &one, vec![set("no.such.setting", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, &one, vec![set("retention.ms", "x")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, &one, vec![change("retention.ms", 0, None)])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![set("retention.ms", "1"), change("retention.ms", 1, None)],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                TOPIC,
                &one,
                vec![
                    set("min.compaction.lag.ms", "9"),
                    set("max.compaction.lag.ms", "8"),
                ],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, "missing", vec![set("retention.ms", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, "", vec![set("retention.ms", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(TOPIC, "sp ace", vec![set("retention.ms", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                BROKER,
                "",
                vec![set("log.retention.bytes", "12345678")],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                BROKER,
                "1",
                vec![set("log.retention.bytes", "23456789")],
            )],
            (TOPIC, &one),
        ),
        (vec![alter(BROKER, "", vec![])], (BROKER, "")),
        (
            vec![alter(
                BROKER,
                "1",
                vec![change("log.retention.bytes", 1, None)],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                BROKER,
                "",
                vec![change("log.retention.bytes", 1, None)],
            )],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "1", vec![set("node.id", "5")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "", vec![set("log.retention.bytes", "x")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "7", vec![set("log.retention.bytes", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(BROKER, "one", vec![set("log.retention.bytes", "1")])],
            (TOPIC, &one),
        ),
        (
            vec![alter(
                GROUP,
                "readers",
                vec![set("consumer.session.timeout.ms", "50000")],
            )],
            (GROUP, "readers"),
        ),
        (
            vec![alter(
                GROUP,
                "readers",
                vec![set("consumer.session.timeout.ms", "1")],
            )],
            (GROUP, "readers"),
        ),
        (
            vec![alter(GROUP, "readers", vec![set("no.such.setting", "1")])],
            (GROUP, "readers"),
        ),
        (
            vec![alter(
                GROUP,
                "readers",
                vec![change("consumer.session.timeout.ms", 1, None)],
            )],
            (GROUP, "readers"),
        ),
        (
            vec![alter(
                GROUP,
                "",
                vec![set("consumer.session.timeout.ms", "50000")],
            )],
            (GROUP, "readers"),
        ),
        (vec![alter(99, "x", vec![set("a", "b")])], (TOPIC, &one)),
        (
            vec![
                alter(TOPIC, &one, vec![set("retention.ms", "1")]),
                alter(TOPIC, &one, vec![]),
            ],
            (TOPIC, &one),
        ),
    ] {
        for validate_only in [true, false] {
            let request = IncrementalAlterConfigsRequest {
                resources: resources.clone(),
                validate_only,
            };
            for version in [0, 1] {
                pair.same(version, &request, normal_altered).await;
            }
            pair.same_soon(4, &describe(described.0, described.1, None), normalise)
                .await;
        }
    }
}

/// The settings of a broker that both know: type, whether they can be altered, whether they are secret, and the value.
async fn broker_configs(pair: &mut Pair, request: &DescribeConfigsRequest) {
    let kafka = pair
        .kafka_answers(4, request, &|_| {})
        .await
        .unwrap()
        .results
        .remove(0)
        .configs;
    let ours = pair
        .we_answer(4, request, &|_| {})
        .await
        .unwrap()
        .results
        .remove(0)
        .configs;
    for expected in &kafka {
        let Some(found) = ours.iter().find(|config| config.name == expected.name) else {
            pair.differences
                .push(format!("the broker setting {} is unknown", expected.name));
            continue;
        };
        let shape = |config: &describe_configs_response::DescribeConfigsResourceResult| {
            let value = if is_of_the_set_up(&config.name) {
                None
            } else {
                config.value.clone()
            };
            (
                config.config_type,
                config.read_only,
                config.is_sensitive,
                value,
            )
        };
        // The authorizer's own, which Kafka's table of settings does not know.
        if expected.name != "allow.everyone.if.no.acl.found" && shape(expected) != shape(found) {
            let difference = format!(
                "{}:\n  kafka: {:?}\n  ours:  {:?}",
                expected.name,
                shape(expected),
                shape(found)
            );
            pair.differences.push(difference);
        }
    }
}
