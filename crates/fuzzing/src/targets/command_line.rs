//! What people write: settings, command lines, records as lines of JSON, formats.

use metadata::settings::Scope;
use protocol::records::{BatchBuilder, BatchOptions, BatchView};
use watertable::fuzzing;

use super::target;
use crate::Target;
use crate::counting::{Limit, within};
use crate::input::{Input, pack};

pub(super) const SETTINGS: Target = target(
    "settings",
    "the settings file, environment and flags of a broker, and every setting's parser: a value that is taken is taken again as it is told",
    settings_seeds,
    settings,
);

pub(super) const COMMAND_LINE: Target = target(
    "command-line",
    "all commands and their values: sizes, durations, times, places in a log, separators, addresses; what can be written is read again",
    command_line_seeds,
    command_line,
);

pub(super) const RECORD_LINES: Target = target(
    "record-lines",
    "JSON lines of produce and formats of consume: what is written is read without loss",
    record_line_seeds,
    record_line,
);

/// All settings of a broker, resolved, and what is wrong with them; of a file every key and value on its own.
const RESOLVING: Limit = Limit {
    fixed: 2 << 20,
    per_byte: 200,
};
/// A command with all its arguments takes most of it.
const COMMAND: Limit = Limit {
    fixed: 4 << 20,
    per_byte: 200,
};
const LINE: Limit = Limit {
    fixed: 16 * 1024,
    per_byte: 200,
};

/// Bytes that are no UTF-8 come to no parser: replaced, as shells and editors do.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An even first byte: a piece for the file, then pairs of pieces for the environment and, behind a byte that is odd, for
/// flags. An odd one: a number for a setting, and a text for it.
fn settings(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() % 2 == 1 {
        let number = usize::from(input.u16());
        return one_setting(number, &text(input.rest()));
    }
    let file = text(input.piece());
    let (mut environment, mut flags) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        let pairs = if input.byte().is_multiple_of(2) {
            &mut environment
        } else {
            &mut flags
        };
        pairs.push((text(input.piece()), text(input.piece())));
    }

    let environment: Vec<_> = environment.iter().map(as_texts).collect();
    let flags: Vec<_> = flags.iter().map(as_texts).collect();
    within(RESOLVING, data.len(), || {
        fuzzing::settings(&file, &environment, &flags)
    });
}

fn as_texts((name, text): &(String, String)) -> (&str, &str) {
    (name, text)
}

const SCOPES: [Scope; 4] = [
    Scope::Topic,
    Scope::Broker,
    Scope::Group,
    Scope::ClientMetrics,
];

fn one_setting(number: usize, text: &str) {
    let scope = SCOPES[number % SCOPES.len()];
    let mut settings: Vec<_> = scope.settings().collect();
    settings.sort_by_key(|setting| setting.name);
    let setting = settings[number / SCOPES.len() % settings.len()];
    let parsed = within(LINE, text.len(), || scope.parse(setting.name, text));
    match parsed {
        Ok(value) => {
            let told = value.to_string();
            assert_eq!(
                scope.parse(setting.name, &told),
                Ok(value),
                "{}={told}",
                setting.name
            );
        }
        Err(error) => {
            // It says what is wrong, within bounds.
            assert!(error.to_string().len() < 4096, "{error}");
        }
    }
    // Names are as free as values.
    drop(scope.parse(text, ""));
}

fn settings_seeds() -> Vec<Vec<u8>> {
    let files = [
        "",
        "\"num.partitions\" = 3\n\"log.dirs\" = [\"d\"]\nlog.retention.ms = -1\n",
        "[log]\nretention.ms = 5\n[log.cleaner]\nmin.cleanable.ratio = 0.5\n",
        "num.partitions=3\nlog.dirs=/tmp/kafka-logs\n",
        "listeners = \"PLAINTEXT://127.0.0.1:9092\"\nadvertised.listeners = \"PLAINTEXT://10.0.0.1:9092\"\n",
    ];
    let mut seeds = Vec::new();
    for file in files {
        let mut seed = vec![0];
        pack(&mut seed, file.as_bytes());
        for (which, name, text) in [
            (0, "WATERTABLE_LOG_RETENTION_MS", "7"),
            (0, "WATERTABLE_LISTEN", "127.0.0.1:0"),
            (1, "http.listen", "off"),
            (1, "sql.listen", "off"),
            (1, "log.format", "json"),
        ] {
            seed.push(which);
            pack(&mut seed, name.as_bytes());
            pack(&mut seed, text.as_bytes());
        }
        seeds.push(seed);
    }
    for (scope_number, scope) in SCOPES.iter().enumerate() {
        let mut settings: Vec<_> = scope.settings().collect();
        settings.sort_by_key(|setting| setting.name);
        for (number, setting) in settings.iter().enumerate() {
            let number = u16::try_from(number * SCOPES.len() + scope_number);
            let mut seed = vec![1];
            seed.extend_from_slice(&number.expect("there are few settings").to_be_bytes());
            seed.extend_from_slice(setting.default_value().to_string().as_bytes());
            seeds.push(seed);
        }
    }
    seeds
}

/// Words, each behind its length; the first is also read as every kind of value.
fn command_line(data: &[u8]) {
    let mut input = Input::new(data);
    let mut words = Vec::new();
    while !input.is_empty() {
        words.push(text(input.piece()));
    }
    if let Some(first) = words.first() {
        within(LINE, first.len(), || fuzzing::value(first));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    within(COMMAND, data.len(), || fuzzing::command_line(&words));
}

fn command_line_seeds() -> Vec<Vec<u8>> {
    let lines: [&[&str]; 26] = [
        &[
            "500ms",
            "start",
            "--set",
            "num.partitions=3",
            "--listen",
            "127.0.0.1:0",
        ],
        &[
            "16KiB",
            "start",
            "--config",
            "w.toml",
            "--http-listen",
            "off",
            "--data-dir",
            "d",
        ],
        &[
            "1h 30m",
            "topic",
            "create",
            "t",
            "-p",
            "3",
            "-c",
            "cleanup.policy=compact",
        ],
        &["-3", "topic", "list", "--json"],
        &[
            "@2023-11-14T22:13:20Z",
            "topic",
            "alter",
            "t",
            "--partitions",
            "4",
        ],
        &["@1970-01-02", "topic", "delete", "t", "--yes"],
        &["@-1h", "topic", "delete-records", "t", "--before", "end"],
        &[
            "2026-01-31 13:00:00",
            "topic",
            "offsets",
            "t",
            "--at",
            "@1700000000000",
        ],
        &[
            "max-timestamp",
            "produce",
            "t",
            "-k",
            ":",
            "-H",
            "a=b",
            "-z",
            "zstd",
        ],
        &[
            "\\x00\\t",
            "produce",
            "t",
            "--acks",
            "1",
            "--batch-size",
            "1MiB",
            "-p",
            "0",
        ],
        &[
            "name=value",
            "consume",
            "t",
            "--from-beginning",
            "-f",
            "%t %o %k\\n",
            "-n",
            "1",
        ],
        &[
            "[::1]:9092",
            "consume",
            "t",
            "--from",
            "-3",
            "--until-end",
            "--group",
            "g",
        ],
        &[
            "localhost:9092",
            "group",
            "list",
            "--state",
            "stable,empty",
            "--type",
            "consumer",
        ],
        &[":0", "group", "describe", "g", "--json"],
        &[
            "1700000000000",
            "group",
            "reset-offsets",
            "g",
            "--topic",
            "t:0,1",
            "--to-datetime",
            "2023-11-14",
        ],
        &[
            "1700000000000ms",
            "group",
            "reset-offsets",
            "g",
            "--all-topics",
            "--shift-by",
            "-3",
            "--execute",
        ],
        &["18446744073709551615", "group", "delete", "g"],
        &["x", "group", "delete-offsets", "g", "t:0"],
        &[
            "x",
            "txn",
            "list",
            "--state",
            "ongoing",
            "--longer-than",
            "10s",
        ],
        &[
            "x",
            "txn",
            "find-hanging",
            "--older-than",
            "15m",
            "--topic",
            "t",
        ],
        &[
            "x",
            "txn",
            "abort",
            "t:0",
            "--producer-id",
            "7",
            "--start-offset",
            "3",
        ],
        &[
            "x",
            "cluster",
            "config",
            "set",
            "log.retention.ms=5",
            "--broker",
            "1",
        ],
        &[
            "x",
            "cluster",
            "quotas",
            "set",
            "user=u",
            "producer_byte_rate=5",
        ],
        &[
            "x",
            "bench",
            "produce",
            "t",
            "--record-size",
            "1KiB",
            "--duration",
            "10s",
        ],
        &["x", "check", "d", "--repair", "--json"],
        &["x", "completion", "bash"],
    ];
    let packed = |words: &&[&str]| {
        let mut seed = Vec::new();
        for word in *words {
            pack(&mut seed, word.as_bytes());
        }
        seed
    };
    lines.iter().map(packed).collect()
}

/// A byte: even for a line of JSON, odd for a record in pieces (key, value, header) and a format.
fn record_line(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    if kind.is_multiple_of(2) {
        let line = input.rest();
        let read = within(LINE, line.len(), || fuzzing::read_record(line));
        if let Some((partition, timestamp, key, value, headers)) = read {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_slice(), value.as_deref()))
                .collect();
            round_trip(
                partition,
                timestamp,
                key.as_deref(),
                value.as_deref(),
                &headers,
                "%h",
            );
        }
        return;
    }
    let key = (kind & 2 > 0).then(|| input.piece());
    let value = (kind & 4 > 0).then(|| input.piece());
    let name = text(input.piece());
    let timestamp = input.i64();
    let header = [(name.as_bytes(), value)];
    round_trip(
        Some(3),
        Some(timestamp),
        key,
        value,
        &header,
        &text(input.rest()),
    );
}

fn round_trip(
    partition: Option<i32>,
    timestamp: Option<i64>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
    format: &str,
) {
    let timestamp = timestamp.unwrap_or_default();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    if builder.push(timestamp, key, value, headers).is_err() {
        return;
    }
    let Ok(bytes) = builder.build() else { return };
    let batch = BatchView::parse(&bytes).expect("it was built");
    let payload = batch.payload(usize::MAX).expect("it is not compressed");
    let record = batch
        .records(&payload)
        .next()
        .expect("it has one")
        .expect("it was built");
    let record = client::RecordRef {
        offset: 7,
        timestamp_ms: timestamp,
        key: record.key,
        value: record.value,
        headers: record.headers,
    };
    fuzzing::format(format, &record);
    let partition = partition.unwrap_or_default();
    let line = fuzzing::write_record(partition, &record);
    let read = fuzzing::read_record(&line).expect("what consume writes produce reads");
    assert_eq!((read.0, read.1), (Some(partition), Some(timestamp)));
    assert_eq!((read.2.as_deref(), read.3.as_deref()), (key, value));
    let found: Vec<_> = read
        .4
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_deref()))
        .collect();
    assert_eq!(found, headers);
}

fn record_line_seeds() -> Vec<Vec<u8>> {
    let lines = [
        r#"{"topic":"t","partition":0,"offset":7,"timestamp":1700000000000,"key":"k","value":"v","headers":[{"key":"a","value":"1"}]}"#,
        r#"{"key_base64":"//4=","value":null,"headers":[{"key":"a","value_base64":"AA=="}]}"#,
        r#"{"key":7,"value":{"a":[1,2.5e300,null,true]}}"#,
        r#"{"value":"\ud83d\ude00 \u0000"}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| [b"\0", line.as_bytes()].concat())
        .collect();
    for format in [
        "%t/%p@%o %k=%v\\n",
        "%h %T %d %K %V %s %S",
        "100%%\\t\\x41\\\\",
    ] {
        for kind in [1, 3, 5, 7] {
            let mut seed = vec![kind];
            for piece in [&b"key \xff"[..], b"value", b"name"]
                .iter()
                .skip(usize::from(kind < 7))
            {
                pack(&mut seed, piece);
            }
            seed.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
            seed.extend_from_slice(format.as_bytes());
            seeds.push(seed);
        }
    }
    seeds
}
