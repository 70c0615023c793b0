//! A topic as a sink.

use std::collections::HashSet;

use crate::names::{COLUMN, WRITTEN_TOPIC};
use crate::problem::{Cause, Problems};
use crate::shape::{Object, OneOf, Shape, Word, key, later_word, word};
use crate::surroundings::escape;
use crate::value::{Value, Written};
use crate::view::View;

/// A topic that is written, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSink {
    /// Its name, without the environment's prefix.
    pub name: String,
    /// The columns whose values are the key; none for records without one.
    pub key: Vec<String>,
    /// The column with the records' time; the time of writing without one.
    pub timestamp: Option<String>,
    /// How many partitions it is created with.
    pub partitions: u64,
    /// What happens to old records.
    pub cleanup: Cleanup,
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cleanup {
    /// They are deleted after a while.
    #[default]
    Delete,
    /// The last one of each key stays.
    Compact,
}

static FORMAT: [Word; 3] = [
    word("json", "An object of JSON for each row."),
    later_word(
        "avro",
        "Avro, which needs a schema registry",
        "write format: json",
    ),
    later_word(
        "protobuf",
        "Protobuf, which needs a schema registry",
        "write format: json",
    ),
];
static CLEANUP: [Word; 2] = [
    word("delete", "Records are deleted after a while."),
    word("compact", "The last record of each key stays."),
];
const CLEANUPS: [(&str, Cleanup); 2] = [("delete", Cleanup::Delete), ("compact", Cleanup::Compact)];
pub(crate) static KEY: Shape = Shape::OneOrMany(&Shape::Text(&COLUMN));
/// More partitions are a mistake more often than a wish.
const PARTITIONS_MAX: u64 = 10_000;
pub(crate) static TOPIC: Object = Object {
    what: "a topic to write",
    keys: &[
        key("name", Shape::Text(&WRITTEN_TOPIC), "Its name.").required("trips.clean"),
        key(
            "key",
            KEY,
            "The column, or the list of columns, whose values are the records' key.",
        ),
        key(
            "timestamp",
            Shape::Text(&COLUMN),
            "The column with the records' time.",
        )
        .default("the time of writing"),
        key(
            "partitions",
            Shape::Whole(1, PARTITIONS_MAX),
            "How many partitions it is created with.",
        )
        .default("1"),
        key("format", Shape::Words(&FORMAT), "What a value is.").default("json"),
        key(
            "cleanup",
            Shape::Words(&CLEANUP),
            "What happens to old records.",
        )
        .default("delete"),
    ],
    one_of: OneOf::None,
};

pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<TopicSink> {
    let cleanup = view.word("cleanup", &CLEANUPS).unwrap_or_default();
    let key = key_columns(view, problems);
    if cleanup == Cleanup::Compact && !view.has("key") {
        let cause = Cause::Needs {
            with: "cleanup: compact",
            key: "key",
            example: "COLUMN",
        };
        view.problem("cleanup", cause, problems);
    }
    Some(TopicSink {
        name: view.owned("name")?,
        key,
        timestamp: view.owned("timestamp"),
        partitions: view.whole("partitions").unwrap_or(1),
        cleanup,
    })
}

/// The columns of a key, none twice.
pub(super) fn key_columns(view: &View<'_>, problems: &mut Problems) -> Vec<String> {
    let key = view.texts("key");
    let mut seen = HashSet::new();
    for column in &key {
        if !seen.insert(column) {
            let what = format!("the column {column}");
            view.problem("key", Cause::Twice { what }, problems);
        }
    }
    key
}

pub(crate) fn write(topic: &TopicSink) -> Value {
    let key = (!topic.key.is_empty()).then(|| Value::one_or_many(&topic.key));
    let cleanup = match topic.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    };
    Written::default()
        .with("name", Value::Text(escape(&topic.name)))
        .maybe("key", key)
        .maybe("timestamp", topic.timestamp.as_ref().map(Value::text))
        .number_unless("partitions", topic.partitions, 1)
        .unless("cleanup", cleanup, "delete")
        .done()
}
