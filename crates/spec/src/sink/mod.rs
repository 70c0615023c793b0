//! [`Sink`]: what a pipeline writes.

mod postgres;
mod topic;

pub use postgres::{Batch, Create, Delivery, Mode, PostgresSink};
pub use topic::{Cleanup, TopicSink};

use crate::problem::Problems;
use crate::shape::{Object, OneOf, Shape, key, later};
use crate::value::{Value, Written};
use crate::view::View;

/// What a pipeline writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A topic.
    Topic(TopicSink),
    /// A table.
    Postgres(PostgresSink),
}

impl Sink {
    /// The topic it writes, if it writes one.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Topic(topic) => Some(&topic.name),
            Self::Postgres(_) => None,
        }
    }
}

pub(crate) static TO: Object = Object {
    what: "where rows go",
    keys: &[
        key("topic", Shape::Object(&topic::TOPIC), "A topic is written."),
        key(
            "postgres",
            Shape::Object(&postgres::POSTGRES),
            "A table of PostgreSQL is written.",
        ),
        later(
            "search",
            "writing to a search index",
            "write to a topic, and index it with Kafka Connect",
        ),
        later(
            "files",
            "writing files",
            "write to a topic, and export it with COPY … TO",
        ),
        later(
            "http",
            "calling a webhook",
            "write to a topic, and read it with a program of yours",
        ),
    ],
    one_of: OneOf::Of(&["topic", "postgres"]),
};

pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<Sink> {
    let (chosen, _) = view.chosen()?;
    match chosen {
        "topic" => topic::read(&view.map("topic", &topic::TOPIC)?, problems).map(Sink::Topic),
        _ => {
            let view = view.map("postgres", &postgres::POSTGRES)?;
            postgres::read(&view, problems).map(Sink::Postgres)
        }
    }
}

pub(crate) fn write(sink: &Sink) -> Value {
    let written = Written::default();
    match sink {
        Sink::Topic(topic) => written.with("topic", topic::write(topic)),
        Sink::Postgres(postgres) => written.with("postgres", postgres::write(postgres)),
    }
    .done()
}
