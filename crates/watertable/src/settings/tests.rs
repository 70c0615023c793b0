//! The layers together.

use std::num::NonZeroU64;

use super::*;
use ::sql::Priority;

fn flag(key: &str, text: &str) -> Given {
    Given {
        key: key.to_owned(),
        text: text.to_owned(),
        origin: Origin::Flag("--set"),
    }
}

fn with(
    flags: &[(&str, &str)],
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let flags = flags.iter().map(|(key, text)| flag(key, text)).collect();
    let environment = environment
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    resolve(flags, environment, file.map(|_| path.as_path())).map_err(|error| {
        let error = anyhow::Error::new(error);
        format!("{error:#}").replace(&path.display().to_string(), "settings.toml")
    })
}

#[test]
fn without_anything_the_defaults_hold() {
    let settings = with(&[], &[], None).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:9092");
    assert_eq!(settings.advertise, None);
    assert_eq!(settings.data_directory, PathBuf::from("./watertable-data"));
    assert_eq!(settings.http_listen.unwrap().to_string(), "127.0.0.1:8080");
    let sql = settings.sql.unwrap();
    assert_eq!(sql.listen.to_string(), "127.0.0.1:9432");
    assert_eq!((sql.memory_bytes, sql.connections), (512 << 20, 100));
    assert_eq!(sql.export_directory, None);
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.broker.node_id, 1);
    assert!(settings.origins.is_empty() && settings.warnings.is_empty());
}

#[test]
fn pipelines_run_here_unless_there_are_no_workers() {
    let pipelines = |flags: &[(&str, &str)]| with(flags, &[], None).map(|made| made.pipelines);
    let default = pipelines(&[]).unwrap().unwrap();
    assert_eq!((default.workers, default.memory_bytes), (2, 256 << 20));
    assert_eq!(default.secrets_directory, None);
    let bytes = default.yield_bytes_per_second.map(NonZeroU64::get);
    assert_eq!(bytes, Some(8 << 20));
    let any = pipelines(&[("pipeline.yield.max.bytes.per.second", "0")]);
    assert_eq!(any.unwrap().unwrap().yield_bytes_per_second, None);
    assert_eq!(pipelines(&[("pipeline.workers", "0")]).unwrap(), None);
    for wrong in [
        ("pipeline.workers", "many"),
        ("pipeline.memory.max.bytes", "1000"),
    ] {
        let error = pipelines(&[wrong]).unwrap_err();
        assert!(error.contains(wrong.0), "{error}");
    }
}

#[test]
fn queries_yield_unless_they_are_to_have_a_share() {
    let priority =
        |flags: &[(&str, &str)]| with(flags, &[], None).map(|made| made.sql.unwrap().priority);
    assert_eq!(priority(&[]).unwrap(), Priority::Idle);
    assert_eq!(
        priority(&[("sql.priority", "idle")]).unwrap(),
        Priority::Idle
    );
    assert_eq!(priority(&[("sql.priority", "low")]).unwrap(), Priority::Low);
    let error = priority(&[("sql.priority", "high")]).unwrap_err();
    assert!(
        error.contains("sql.priority: must be idle or low"),
        "{error}"
    );
}

#[test]
fn exports_to_s3_go_where_prefixes_say_and_nowhere_without_them() {
    let s3 =
        |flags: &[(&str, &str)]| with(flags, &[], None).map(|made| made.sql.unwrap().export_s3);
    let endpoint = ("sql.export.s3.endpoint", "http://127.0.0.1:9000/");
    let region = ("sql.export.s3.region", "eu-central-1");
    assert_eq!(s3(&[endpoint, region]).unwrap(), None);
    assert_eq!(s3(&[("sql.export.s3.prefixes", " ")]).unwrap(), None);
    let prefixes = ("sql.export.s3.prefixes", "s3://one, s3://two/daily/");
    let made = s3(&[prefixes, endpoint, region]).unwrap().unwrap();
    let shown: Vec<_> = made.prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["s3://one/", "s3://two/daily/"]);
    assert!(made.endpoint.is_some() && made.region.is_some());
    for (name, text) in [
        ("sql.export.s3.prefixes", "bucket"),
        ("sql.export.s3.prefixes", "s3://one,,s3://two"),
        ("sql.export.s3.prefixes", "s3://one/../two"),
        ("sql.export.s3.prefixes", "s3://*"),
        ("sql.export.s3.endpoint", "127.0.0.1:9000"),
        ("sql.export.s3.endpoint", "http://key:secret@127.0.0.1:9000"),
        ("sql.export.s3.endpoint", "ftp://127.0.0.1"),
        ("sql.export.s3.endpoint", "https://host/?x"),
        ("sql.export.s3.region", "eu central"),
    ] {
        let error = s3(&[(name, text)]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn exports_have_a_folder_if_one_is_named() {
    let folder = |text| with(&[("sql.export.dir", text)], &[], None).unwrap();
    let folder = |text| folder(text).sql.unwrap().export_directory;
    assert_eq!(folder("/exports"), Some(PathBuf::from("/exports")));
    assert_eq!(folder(""), None);
}

#[test]
fn flags_win_over_environment_and_that_over_the_file() {
    let file = Some("num.partitions = 1\nlog.retention.ms = 1\ndefault.replication.factor = 1");
    let environment = [
        ("WATERTABLE_NUM_PARTITIONS", "2"),
        ("WATERTABLE_LOG_RETENTION_MS", "2"),
    ];
    let settings = with(&[("num.partitions", "3")], &environment, file).unwrap();
    assert_eq!(settings.broker.num_partitions, 3);
    assert_eq!(settings.broker.topic_defaults.retention_ms, Some(2));
    let origin = |key: &str| settings.origins.get(key).unwrap();
    assert_eq!(origin("num.partitions"), &Origin::Flag("--set"));
    assert_eq!(
        origin("log.retention.ms"),
        &Origin::Environment("WATERTABLE_LOG_RETENTION_MS".to_owned())
    );
    assert!(matches!(
        origin("default.replication.factor"),
        Origin::File(_)
    ));
}

#[test]
fn the_short_names_are_names_of_kafkas_settings() {
    let environment = [
        ("WATERTABLE_DATA_DIR", "/data"),
        ("WATERTABLE_HTTP_LISTEN", "off"),
    ];
    let flags = [
        ("listen", "0.0.0.0:19092"),
        ("advertise", "broker:9"),
        ("log.format", "JSON"),
        ("sql.listen", "Off"),
    ];
    let file = "\"listeners\" = \"PLAINTEXT://:1\"\n\"log.dir\" = \"elsewhere\"";
    let settings = with(&flags, &environment, Some(file)).unwrap();
    assert_eq!(settings.listen.to_string(), "0.0.0.0:19092");
    assert_eq!(settings.advertise.unwrap().to_string(), "broker:9");
    assert_eq!(settings.data_directory, PathBuf::from("/data"));
    assert_eq!(settings.http_listen, None);
    assert_eq!(settings.sql, None);
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.broker.log_dirs, ["/data"]);
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(Pairs, Pairs, Option<&str>, &str); 17] = [
        (
            &[("num.partitons", "3")],
            &[],
            None,
            "unknown setting \"num.partitons\" in --set; did you mean num.partitions?",
        ),
        (
            &[],
            &[("WATERTABLE_DATADIR", "x")],
            None,
            "unknown setting \"datadir\" in environment variable WATERTABLE_DATADIR; did you mean data.dir?",
        ),
        (
            &[],
            &[],
            Some("[log]\nretension.ms = 1"),
            "unknown setting \"log.retension.ms\" in settings.toml; did you mean log.retention.ms?",
        ),
        (
            &[],
            &[("WATERTABLE_NUM_PARTITIONS", "0")],
            None,
            "invalid value \"0\" for num.partitions: must be at least 1 (from environment variable WATERTABLE_NUM_PARTITIONS)",
        ),
        (
            &[("log.format", "xml")],
            &[],
            None,
            "invalid value \"xml\" for log.format: must be text or json (from --set)",
        ),
        (
            &[("http.listen", "8080")],
            &[],
            None,
            "http.listen cannot be used (from --set): \"8080\" is no HOST:PORT",
        ),
        (
            &[("sql.listen", "9432")],
            &[],
            None,
            "sql.listen cannot be used (from --set): \"9432\" is no HOST:PORT",
        ),
        (
            &[("sql.listen", "off"), ("sql.memory.max.bytes", "512MB")],
            &[],
            None,
            "invalid value \"512MB\" for sql.memory.max.bytes: must be a number of bytes, at least 16777216 (from --set)",
        ),
        (
            &[],
            &[("WATERTABLE_SQL_MAX_CONNECTIONS", "0")],
            None,
            "invalid value \"0\" for sql.max.connections: must be a number from 1 to 10000 (from environment variable \
             WATERTABLE_SQL_MAX_CONNECTIONS)",
        ),
        (
            &[("listen", ":9092")],
            &[],
            None,
            "advertised.listeners cannot be used: clients cannot connect to :9092: say with --advertise HOST:PORT \
             (or advertised.listeners) what they are to connect to",
        ),
        (
            &[("listeners", "SSL://h:1")],
            &[],
            None,
            "listeners cannot be used (from --set): listener \"SSL://h:1\" needs the protocol SSL; only PLAINTEXT is supported",
        ),
        (
            &[("data.dir", "a,b")],
            &[],
            None,
            "log.dirs has 2 directories; exactly one is supported",
        ),
        (
            &[("listen", "h:1"), ("listeners", "PLAINTEXT://h:2")],
            &[],
            None,
            "listen=PLAINTEXT://h:1 and listeners=PLAINTEXT://h:2 set the same: the command line says listeners twice",
        ),
        (
            &[("group.min.session.timeout.ms", "1900000")],
            &[],
            None,
            "invalid value \"1900000\" for group.min.session.timeout.ms: must be at most \
             group.max.session.timeout.ms (1800000) (from --set)",
        ),
        (
            &[("authorizer.class.name", "org.example.Authorizer")],
            &[],
            None,
            "invalid value \"org.example.Authorizer\" for authorizer.class.name: must be empty: what it asks for is not \
             supported (from --set)",
        ),
        (
            &[("node.id", "-1")],
            &[],
            None,
            "invalid value \"-1\" for node.id: must be at least 0 (from --set)",
        ),
        (
            &[("queued.max.request.bytes", "1048576")],
            &[],
            None,
            "invalid value 1048576 for queued.max.request.bytes: must be negative for no limit, or at least 16777216: with \
             less, a few dozen clients that send half a request hold all of it, and others wait until they are cut (from --set)",
        ),
    ];
    for (flags, environment, file, expected) in cases {
        assert_eq!(with(flags, environment, file).unwrap_err(), expected);
    }
}

#[test]
fn memory_for_requests_is_without_limit_or_enough_for_many_clients() {
    for (text, expected) in [
        ("-1", None),
        ("16777216", Some(16 << 20)),
        ("268435456", Some(256 << 20)),
    ] {
        let settings = with(&[("queued.max.request.bytes", text)], &[], None).unwrap();
        assert_eq!(settings.broker.queued_max_request_bytes, expected);
    }
    assert!(with(&[("queued.max.request.bytes", "0")], &[], None).is_err());
}

#[test]
fn settings_that_kafka_removed_only_warn() {
    let file = "\"zookeeper.connect\" = \"localhost:2181\"\nlog.message.format.version = \"3.0\"";
    let settings = with(&[], &[], Some(file)).unwrap();
    assert_eq!(settings.warnings.len(), 2);
    assert!(
        settings
            .warnings
            .iter()
            .any(|warning| warning.contains("zookeeper.connect"))
    );
}

#[test]
fn settings_of_one_listener_are_kept() {
    let flags = [("listener.name.inside.max.connections", "7")];
    let settings = with(&flags, &[], None).unwrap();
    let kept = settings.broker.layers.start();
    assert_eq!(kept["listener.name.inside.max.connections"], "7");
    assert!(with(&[("listener.name.inside.max.connections", "x")], &[], None).is_err());
}

#[test]
fn kafkas_own_sample_file_works_once_it_is_toml() {
    // config/server.properties of Kafka 4.2, translated, with the listener it has for its controller.
    let file = r#"
        "process.roles" = "broker,controller"
        "node.id" = 1
        "listeners" = "PLAINTEXT://127.0.0.1:9092,CONTROLLER://:9093"
        "inter.broker.listener.name" = "PLAINTEXT"
        "advertised.listeners" = "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"
        "controller.listener.names" = "CONTROLLER"
        "listener.security.protocol.map" = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
        "num.network.threads" = 3
        "num.io.threads" = 8
        "socket.send.buffer.bytes" = 102400
        "socket.receive.buffer.bytes" = 102400
        "socket.request.max.bytes" = 104857600
        "log.dirs" = "/tmp/kraft-combined-logs"
        "num.partitions" = 1
        "num.recovery.threads.per.data.dir" = 1
        "offsets.topic.replication.factor" = 1
        "share.coordinator.state.topic.replication.factor" = 1
        "share.coordinator.state.topic.min.isr" = 1
        "transaction.state.log.replication.factor" = 1
        "transaction.state.log.min.isr" = 1
        "log.retention.hours" = 168
        "log.segment.bytes" = 1073741824
        "log.retention.check.interval.ms" = 300000
        "controller.quorum.bootstrap.servers" = "localhost:9093"
    "#;
    let settings = with(&[], &[], Some(file)).unwrap();
    assert_eq!(settings.advertise.unwrap().to_string(), "localhost:9092");
}

#[test]
fn settings_without_an_effect_yet_are_said() {
    let flags = [
        ("log.cleaner.threads", "2"),
        ("share.coordinator.write.timeout.ms", "4000"),
    ];
    let settings = with(&flags, &[], None).unwrap();
    assert_eq!(
        settings.warnings,
        ["share.coordinator.write.timeout.ms (from --set) has no effect yet"]
    );
}
