//! Altering settings and describing them.

use metadata::settings::{
    ConfigEntry, ConfigSource, Effect, Scope, SettingType, Update, Value, is_removed,
};
use metadata::{
    AlterSettingsError, BrokerTarget, Cluster, ListOperation, SettingChange, SettingOperation,
};

use crate::fixture::{Folder, texts, topic, with_settings};

fn set(name: &str, value: &str) -> SettingChange {
    change(name, SettingOperation::Set(value.to_owned()))
}

fn change(name: &str, operation: SettingOperation) -> SettingChange {
    SettingChange {
        name: name.to_owned(),
        operation,
    }
}

async fn topic_t() -> (Folder, std::sync::Arc<Cluster>) {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let created = cluster.create_topics(vec![topic("t")], false).await;
    created[0].as_ref().unwrap();
    (folder, cluster)
}

fn find<'a>(entries: &'a [ConfigEntry], name: &str) -> &'a ConfigEntry {
    entries.iter().find(|entry| entry.name == name).unwrap()
}

#[test]
fn the_tables_are_sound() {
    for (scope, count) in [(Scope::Topic, 35), (Scope::Group, 11)] {
        assert_eq!(scope.settings().count(), count);
    }
    for scope in [Scope::Topic, Scope::Broker, Scope::Group] {
        for setting in scope.settings() {
            let name = setting.name;
            assert!(setting.doc.ends_with('.'), "{name} has a sentence");
            if let Some(default) = setting.default {
                let value = setting.parse(default);
                assert_eq!(value.as_ref(), Ok(&setting.default_value()), "{name}");
                assert_ne!(value, Ok(Value::Null), "{name}");
            }
            for synonym in setting.synonyms {
                let broker = Scope::Broker.find(synonym).unwrap();
                assert_eq!(
                    broker.kind == SettingType::List,
                    setting.kind == SettingType::List
                );
            }
            assert!(!is_removed(name), "{name} is known and removed");
            let is_dynamic = setting.update != Update::ReadOnly;
            assert!(scope == Scope::Broker || !is_dynamic, "{name}");
        }
    }
}

#[test]
fn texts_are_read_as_kafka_reads_them() {
    // Each line was tried on LogConfig.validate of Kafka 4.2.1; NaN is our own refusal.
    let cases = [
        ("cleanup.policy", "", true),
        ("cleanup.policy", "delete,delete", true),
        ("cleanup.policy", " compact , delete ", true),
        ("cleanup.policy", "compact,,delete", false),
        ("cleanup.policy", "Compact", false),
        ("retention.ms", "-2", false),
        ("retention.ms", "1.5", false),
        ("retention.ms", " 5 ", true),
        ("retention.ms", "+5", true),
        ("retention.ms", "", false),
        ("retention.ms", "9223372036854775808", false),
        ("retention.bytes", "-7", true),
        ("compression.type", "GZIP", false),
        ("compression.gzip.level", "0", false),
        ("compression.gzip.level", "-1", true),
        ("min.cleanable.dirty.ratio", "NaN", false),
        ("min.cleanable.dirty.ratio", "1.1", false),
        ("min.cleanable.dirty.ratio", "1e-1", true),
        ("min.cleanable.dirty.ratio", "Infinity", false),
        ("preallocate", "TRUE", true),
        ("preallocate", "yes", false),
        ("leader.replication.throttled.replicas", "*", true),
        ("leader.replication.throttled.replicas", "0:1,1:2", true),
        ("leader.replication.throttled.replicas", "0:1,x", false),
        ("leader.replication.throttled.replicas", "", true),
        ("leader.replication.throttled.replicas", "*,0:1", false),
        ("leader.replication.throttled.replicas", "none", false),
        ("message.timestamp.type", "logappendtime", false),
        ("segment.bytes", "3000000000", false),
        ("segment.bytes", "1048575", false),
        ("max.compaction.lag.ms", "0", false),
        ("min.compaction.lag.ms", "9223372036854775807", true),
    ];
    for (name, text, accepted) in cases {
        let outcome = Scope::Topic.parse(name, text);
        assert_eq!(outcome.is_ok(), accepted, "{name}={text}: {outcome:?}");
    }
    for (text, accepted) in [
        ("latest", true),
        ("EARLIEST", true),
        ("by_duration:PT1H", true),
        ("by_duration:P1DT2H3M4.5S", true),
        ("by_duration:P1D", true),
        ("by_duration:", false),
        ("by_duration:P", false),
        ("by_duration:PT", false),
        ("by_duration:PT-1H", false),
        ("by_duration:PT1S1M", false),
        ("none", false),
    ] {
        let outcome = Scope::Group.parse("share.auto.offset.reset", text);
        assert_eq!(outcome.is_ok(), accepted, "{text}: {outcome:?}");
    }
    for (text, accepted) in [
        ("127.0.0.1:5", true),
        (" 10.0.0.1:0 , ::1:7", true),
        ("", true),
        ("localhost:5", false),
        ("127.0.0.1", false),
        ("127.0.0.1:-1", false),
    ] {
        let outcome = Scope::Broker.parse("max.connections.per.ip.overrides", text);
        assert_eq!(outcome.is_ok(), accepted, "{text}: {outcome:?}");
    }
    for (text, accepted) in [
        (
            r#"{"format":"json","columns":[{"name":"a","type":"int"}]}"#,
            true,
        ),
        (
            r#"{"format":"json","columns":[{"name":"a","type":"integr"}]}"#,
            false,
        ),
        ("", false),
    ] {
        let outcome = Scope::Topic.parse("watertable.contract", text);
        assert_eq!(outcome.is_ok(), accepted, "{text}: {outcome:?}");
    }
    let long = "x".repeat(65 * 1024);
    assert!(Scope::Broker.parse("broker.rack", &long).is_err());
}

#[test]
fn errors_name_the_key_the_value_and_what_is_allowed() {
    let cases = [
        (
            Scope::Topic,
            "retention.ms",
            "-2",
            r#"invalid value "-2" for retention.ms: must be at least -1"#,
        ),
        (
            Scope::Topic,
            "compression.type",
            "rar",
            r#"invalid value "rar" for compression.type: must be one of uncompressed, zstd, lz4, snappy, gzip, producer"#,
        ),
        (
            Scope::Topic,
            "retension.ms",
            "1",
            r#"unknown topic setting "retension.ms"; did you mean retention.ms?"#,
        ),
        (
            Scope::Broker,
            "log_retention_ms",
            "1",
            r#"unknown broker setting "log_retention_ms"; did you mean log.retention.ms?"#,
        ),
        (
            Scope::Broker,
            "completely.different.thing",
            "1",
            r#"unknown broker setting "completely.different.thing""#,
        ),
        (
            Scope::Broker,
            "transaction.two.phase.commit.enable",
            "true",
            r#"invalid value "true" for transaction.two.phase.commit.enable: must be false: what it asks for is not supported"#,
        ),
        (
            Scope::Broker,
            "node.id",
            "-4",
            r#"invalid value "-4" for node.id: must be at least 0"#,
        ),
    ];
    for (scope, name, text, expected) in cases {
        assert_eq!(scope.parse(name, text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn settings_of_one_listener_are_known_by_their_base() {
    for (name, known) in [
        ("listener.name.external.ssl.client.auth", true),
        ("listener.name.external.plain.sasl.jaas.config", true),
        ("listener.name.external.max.connections", true),
        ("listener.name.external.num.partitions", false),
        ("listener.name.external", false),
        ("listener.name..", false),
    ] {
        assert_eq!(Scope::Broker.get(name).is_ok(), known, "{name}");
    }
    let error = Scope::Broker.parse("listener.name.x.ssl.client.auth", "maybe");
    assert!(error.is_err());
}

#[test]
fn settings_that_kafka_removed_are_known() {
    for name in [
        "zookeeper.connect",
        "inter.broker.protocol.version",
        "log.message.format.version",
        "password.encoder.secret",
        "offsets.commit.required.acks",
    ] {
        assert!(is_removed(name), "{name}");
    }
    assert!(!is_removed("zookeeper"));
}

#[tokio::test]
async fn retention_has_three_spellings_and_the_finest_wins() {
    type Case = (&'static [(&'static str, &'static str)], Option<u64>);
    let cases: [Case; 6] = [
        (&[], Some(168 * 3_600_000)),
        (&[("log.retention.hours", "2")], Some(2 * 3_600_000)),
        (
            &[("log.retention.hours", "2"), ("log.retention.minutes", "3")],
            Some(3 * 60_000),
        ),
        (
            &[("log.retention.minutes", "3"), ("log.retention.ms", "4")],
            Some(4),
        ),
        (&[("log.retention.hours", "-1")], None),
        (
            &[("log.retention.ms", "-1"), ("log.retention.hours", "5")],
            None,
        ),
    ];
    for (settings, expected) in cases {
        let cluster = Folder::new().open_with(settings).await.unwrap();
        let broker = &cluster.image().broker;
        assert_eq!(broker.topic_defaults.retention_ms, expected, "{settings:?}");
    }
    for name in ["log.retention.ms", "log.retention.hours"] {
        let error = Folder::new().open_with(&[(name, "0")]).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn settings_at_start_that_contradict_each_other_are_refused() {
    for settings in [
        [
            ("group.min.session.timeout.ms", "10"),
            ("group.max.session.timeout.ms", "9"),
        ],
        [
            ("group.consumer.session.timeout.ms", "1000"),
            ("group.consumer.heartbeat.interval.ms", "6000"),
        ],
        [
            ("log.cleaner.min.compaction.lag.ms", "10"),
            ("log.cleaner.max.compaction.lag.ms", "9"),
        ],
    ] {
        let outcome = Folder::new().open_with(&settings).await;
        assert!(outcome.is_err(), "{settings:?}");
    }
}

#[tokio::test]
async fn a_topics_settings_are_set_deleted_appended_and_subtracted() {
    let (_folder, cluster) = topic_t().await;
    let own = || cluster.image().topic("t").unwrap().settings.clone();
    let alter = async |changes| cluster.alter_topic_settings("t", changes, false).await;

    alter(vec![set("retention.ms", "5"), set("flush.messages", "1")])
        .await
        .unwrap();
    assert_eq!(
        own(),
        texts(&[("retention.ms", "5"), ("flush.messages", "1")])
    );
    assert_eq!(
        cluster.image().topic("t").unwrap().resolved.flush_messages,
        1
    );

    alter(vec![change("retention.ms", SettingOperation::Delete)])
        .await
        .unwrap();
    alter(vec![change("never.there", SettingOperation::Delete)])
        .await
        .unwrap();
    assert_eq!(own(), texts(&[("flush.messages", "1")]));

    let append = |items: &str| SettingOperation::Append(items.to_owned());
    let subtract = |items: &str| SettingOperation::Subtract(items.to_owned());
    alter(vec![change("cleanup.policy", append("compact,delete"))])
        .await
        .unwrap();
    assert_eq!(
        own()["cleanup.policy"],
        "delete,compact",
        "appended to the default"
    );
    alter(vec![change("cleanup.policy", subtract("delete,never"))])
        .await
        .unwrap();
    assert_eq!(own()["cleanup.policy"], "compact");

    let before = own();
    let refused = [
        (vec![set("retention.ms", "x")], "invalid value"),
        (
            vec![set("retention.mss", "1")],
            "did you mean retention.ms?",
        ),
        (
            vec![set("segment.ms", "7"), set("segment.ms", "8")],
            "more than once",
        ),
        (
            vec![set("segment.ms", "7"), set("segment.bytes", "1")],
            "segment.bytes",
        ),
        (vec![change("retention.ms", append("1"))], "cannot append"),
        (
            vec![change("retention.ms", subtract("1"))],
            "cannot subtract",
        ),
        (vec![change("nope", append("1"))], "unknown topic setting"),
    ];
    for (changes, expected) in refused {
        let error = alter(changes).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    cluster
        .alter_topic_settings("t", vec![set("segment.ms", "7")], true)
        .await
        .unwrap();
    assert_eq!(
        own(),
        before,
        "refused and validated changes change nothing"
    );
    let error = cluster
        .alter_topic_settings("nope", vec![], false)
        .await
        .unwrap_err();
    assert!(matches!(error, AlterSettingsError::UnknownTopic));
}

#[tokio::test]
async fn append_and_subtract_are_for_lists() {
    let (_folder, cluster) = topic_t().await;
    let changes = vec![change(
        "retention.ms",
        SettingOperation::Append("1".to_owned()),
    )];
    assert!(matches!(
        cluster.alter_topic_settings("t", changes, false).await,
        Err(AlterSettingsError::NotAList {
            operation: ListOperation::Append,
            ..
        })
    ));
}

#[tokio::test]
async fn replacing_deletes_what_is_not_named() {
    let (_folder, cluster) = topic_t().await;
    let replace = async |settings| cluster.replace_topic_settings("t", settings, false).await;
    replace(texts(&[("retention.ms", "5")])).await.unwrap();
    replace(texts(&[("segment.ms", "7")])).await.unwrap();
    assert_eq!(
        cluster.image().topic("t").unwrap().settings,
        texts(&[("segment.ms", "7")])
    );
    assert!(replace(texts(&[("nope", "7")])).await.is_err());
}

#[tokio::test]
async fn a_brokers_dynamic_settings_win_and_survive_a_restart() {
    let folder = Folder::new();
    let start = [
        ("log.flush.interval.messages", "10"),
        ("num.partitions", "2"),
    ];
    let cluster = folder.open_with(&start).await.unwrap();
    cluster.create_topics(vec![topic("t")], false).await;
    let in_force = |cluster: &Cluster| cluster.image().topic("t").unwrap().resolved.flush_messages;
    assert_eq!(in_force(&cluster), 10);
    let alter = async |target, changes| cluster.alter_broker_settings(target, changes, false).await;
    let flush = |value| vec![set("log.flush.interval.messages", value)];
    alter(BrokerTarget::All, flush("20")).await.unwrap();
    assert_eq!(in_force(&cluster), 20);
    alter(BrokerTarget::One(1), flush("30")).await.unwrap();
    assert_eq!(in_force(&cluster), 30);

    let image = cluster.image();
    let entries = image.describe_broker();
    let entry = find(&entries, "log.flush.interval.messages");
    assert_eq!(entry.value.as_deref(), Some("30"));
    assert_eq!(entry.source, ConfigSource::DynamicBroker);
    assert!(!entry.read_only);
    let places: Vec<_> = entry
        .synonyms
        .iter()
        .map(|place| (place.value.as_deref().unwrap(), place.source))
        .collect();
    assert_eq!(
        places,
        [
            ("30", ConfigSource::DynamicBroker),
            ("20", ConfigSource::DynamicDefaultBroker),
            ("10", ConfigSource::StaticBroker),
            ("9223372036854775807", ConfigSource::Default),
        ]
    );
    let entry = find(&entries, "num.partitions");
    assert!(entry.read_only && entry.source == ConfigSource::StaticBroker);
    let defaults = image.describe_broker_defaults();
    // `min.insync.replicas` is the cluster's from its first start on.
    assert_eq!(defaults.len(), 2);
    let flush = find(&defaults, "log.flush.interval.messages");
    assert_eq!(flush.value.as_deref(), Some("20"));
    assert_eq!(flush.synonyms.len(), 1);

    cluster.close();
    drop(cluster);
    let cluster = folder.open_with(&start).await.unwrap();
    assert_eq!(in_force(&cluster), 30);
    let delete = change("log.flush.interval.messages", SettingOperation::Delete);
    cluster
        .alter_broker_settings(BrokerTarget::One(1), vec![delete.clone()], false)
        .await
        .unwrap();
    assert_eq!(in_force(&cluster), 20);
    cluster
        .alter_broker_settings(BrokerTarget::All, vec![delete], false)
        .await
        .unwrap();
    assert_eq!(in_force(&cluster), 10);
}

#[tokio::test]
async fn what_a_running_broker_cannot_change_is_refused() {
    let (_folder, cluster) = topic_t().await;
    let before = cluster.image().revision;
    let all = BrokerTarget::All;
    let this = BrokerTarget::One(1);
    use AlterSettingsError as Error;
    type Case = (BrokerTarget, SettingChange, fn(&Error) -> bool);
    let cases: Vec<Case> = vec![
        (this, set("num.partitions", "3"), |error| {
            matches!(error, Error::ReadOnly(_))
        }),
        (all, set("listeners", "PLAINTEXT://:1"), |error| {
            matches!(error, Error::PerBrokerOnly(_))
        }),
        (this, set("ssl.keystore.type", "PEM"), |error| {
            matches!(error, Error::PerListenerOnly(_))
        }),
        (
            all,
            set("listener.name.x.ssl.keystore.type", "PEM"),
            |error| matches!(error, Error::PerBrokerOnly(_)),
        ),
        (this, set("log.retention.ms", "x"), |error| {
            matches!(error, Error::BrokerSetting(_))
        }),
        (this, set("log.retention.mss", "1"), |error| {
            matches!(error, Error::Setting(_))
        }),
        (
            this,
            set("log.cleaner.max.compaction.lag.ms", "0"),
            |error| matches!(error, Error::BrokerSetting(_)),
        ),
        (
            BrokerTarget::One(9),
            set("log.retention.ms", "1"),
            |error| {
                matches!(
                    error,
                    Error::OtherBroker {
                        expected: 1,
                        found: 9
                    }
                )
            },
        ),
    ];
    for (target, change, expected) in cases {
        let outcome = cluster
            .alter_broker_settings(target, vec![change.clone()], false)
            .await;
        let error = outcome.unwrap_err();
        assert!(expected(&error), "{change:?}: {error:?}");
    }
    assert_eq!(cluster.image().revision, before);
}

#[tokio::test]
async fn a_topic_is_described_with_every_setting_and_its_source() {
    let folder = Folder::new();
    let cluster = folder
        .open_with(&[
            ("log.retention.hours", "2"),
            ("log.segment.bytes", "2097152"),
        ])
        .await
        .unwrap();
    cluster
        .create_topics(
            vec![with_settings("t", &[("retention.bytes", "10")])],
            false,
        )
        .await;
    let image = cluster.image();
    let entries = image.describe_topic(image.topic("t").unwrap());
    assert_eq!(entries.len(), 34);
    let told = |name: &str| {
        let entry = find(&entries, name);
        let places: Vec<_> = entry
            .synonyms
            .iter()
            .map(|place| place.name.as_str())
            .collect();
        (entry.value.clone().unwrap(), entry.source, places)
    };
    assert_eq!(
        told("retention.bytes"),
        (
            "10".to_owned(),
            ConfigSource::Topic,
            vec!["retention.bytes", "log.retention.bytes"]
        )
    );
    assert_eq!(
        told("segment.bytes"),
        (
            "2097152".to_owned(),
            ConfigSource::StaticBroker,
            vec!["log.segment.bytes", "log.segment.bytes"]
        )
    );
    // As Kafka: the hours count, but do not show as the source.
    assert_eq!(
        told("retention.ms"),
        ("7200000".to_owned(), ConfigSource::Default, vec![])
    );
    assert_eq!(told("min.cleanable.dirty.ratio").0, "0.5");
    assert_eq!(told("write.caching").0, "false");
    assert_eq!(told("leader.replication.throttled.replicas").0, "");
}

#[tokio::test]
async fn a_broker_is_described_with_every_setting() {
    let folder = Folder::new();
    let cluster = folder
        .open_with(&[
            ("ssl.key.password", "secret"),
            ("listener.name.x.ssl.key.password", "secret"),
            ("listener.name.x.ssl.client.auth", "required"),
        ])
        .await
        .unwrap();
    let entries = cluster.image().describe_broker();
    assert_eq!(entries.len(), Scope::Broker.settings().count() + 2);
    for name in ["ssl.key.password", "listener.name.x.ssl.key.password"] {
        let entry = find(&entries, name);
        assert!(entry.sensitive && entry.value.is_none());
        assert!(entry.synonyms.iter().all(|place| place.value.is_none()));
        assert_eq!(entry.source, ConfigSource::StaticBroker);
    }
    let entry = find(&entries, "listener.name.x.ssl.client.auth");
    assert_eq!(entry.value.as_deref(), Some("required"));
    assert_eq!(
        find(&entries, "log.retention.ms").value,
        None,
        "null by default"
    );
    assert_eq!(
        find(&entries, "log.cleaner.io.max.bytes.per.second")
            .value
            .as_deref(),
        Some("1.7976931348623157E308")
    );
}

#[tokio::test]
async fn groups_have_settings_of_their_own() {
    let (_folder, cluster) = topic_t().await;
    let alter =
        async |group: &str, changes| cluster.alter_group_settings(group, changes, false).await;
    alter("g", vec![set("consumer.session.timeout.ms", "50000")])
        .await
        .unwrap();
    let image = cluster.image();
    assert_eq!(
        image.group_settings("g").consumer_session_timeout_ms,
        50_000
    );
    assert_eq!(
        image.group_settings("other").consumer_session_timeout_ms,
        45_000
    );
    assert_eq!(image.groups_with_settings().collect::<Vec<_>>(), ["g"]);
    let entries = image.describe_group("g");
    let entry = find(&entries, "consumer.session.timeout.ms");
    assert_eq!((entry.source, entries.len()), (ConfigSource::Group, 11));
    for (group, name, value) in [
        ("", "consumer.session.timeout.ms", "50000"),
        ("g", "consumer.session.timeout.ms", "44999"),
        ("g", "consumer.session.timeout.ms", "60001"),
        ("g", "consumer.heartbeat.interval.ms", "4999"),
        ("g", "nope", "1"),
    ] {
        assert!(
            alter(group, vec![set(name, value)]).await.is_err(),
            "{name}={value}"
        );
    }
    alter(
        "g",
        vec![change(
            "consumer.session.timeout.ms",
            SettingOperation::Delete,
        )],
    )
    .await
    .unwrap();
    assert_eq!(cluster.image().groups_with_settings().count(), 0);
}

#[test]
fn no_setting_that_is_refused_has_another_default_than_off() {
    let refused = [Scope::Topic, Scope::Broker]
        .into_iter()
        .flat_map(Scope::settings)
        .filter(|setting| setting.effect == Effect::DefaultOnly);
    for setting in refused {
        let accepted = setting
            .default
            .is_none_or(|default| setting.parse(default).is_ok());
        assert!(accepted, "{}", setting.name);
    }
}
