//! A topic as an input.

use crate::names::TOPIC as TOPIC_NAME;
use crate::shape::{Object, OneOf, Shape, Word, key, later, word};
use crate::surroundings::escape;
use crate::value::{Value, Written};
use crate::view::View;

/// A topic that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name, without the environment's prefix.
    pub name: String,
    /// Where reading begins the first time.
    pub start: Start,
}

/// Where reading begins the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    #[default]
    Earliest,
    /// Behind the last.
    Latest,
}

static START: [Word; 2] = [
    word("earliest", "At the first record there is."),
    word("latest", "Behind the last record."),
];
const STARTS: [(&str, Start); 2] = [("earliest", Start::Earliest), ("latest", Start::Latest)];
pub(crate) static TOPIC: Object = Object {
    what: "a topic to read",
    keys: &[
        key("name", Shape::Text(&TOPIC_NAME), "Its name.").required("trips.clean"),
        key(
            "start",
            Shape::Words(&START),
            "Where reading begins the first time.",
        )
        .default("earliest"),
        later(
            "as",
            "a compacted topic as a table to join with",
            "leave the join out, and join in psql until then",
        ),
    ],
    one_of: OneOf::None,
};

pub(crate) fn read(view: &View<'_>) -> Option<Topic> {
    Some(Topic {
        name: view.owned("name")?,
        start: view.word("start", &STARTS).unwrap_or_default(),
    })
}

pub(crate) fn write(topic: &Topic) -> Value {
    let start = match topic.start {
        Start::Earliest => "earliest",
        Start::Latest => "latest",
    };
    Written::default()
        .with("name", Value::Text(escape(&topic.name)))
        .unless("start", start, "earliest")
        .done()
}
