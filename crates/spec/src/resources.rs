//! [`Resources`]: what a pipeline may take.

use crate::shape::{Object, OneOf, Shape, key};
use crate::units::{BYTES, Bytes};
use crate::value::{Value, Written};
use crate::view::View;

/// What a pipeline may take; what is not there is for the worker to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Memory of its queries.
    pub memory: Option<Bytes>,
    /// Threads of its queries.
    pub threads: Option<u64>,
}

pub(crate) static RESOURCES: Object = Object {
    what: "what a pipeline may take",
    keys: &[
        key("memory", Shape::Text(&BYTES), "The memory of its queries.")
            .default("what the worker gives"),
        key(
            "threads",
            Shape::Whole(1, 1024),
            "The threads of its queries.",
        )
        .default("what the worker gives"),
    ],
    one_of: OneOf::None,
};

pub(crate) fn read(view: &View<'_>) -> Resources {
    Resources {
        memory: view.text("memory").and_then(|text| text.parse().ok()),
        threads: view.whole("threads"),
    }
}

pub(crate) fn write(resources: &Resources) -> Option<Value> {
    let threads = resources
        .threads
        .map(|threads| i64::try_from(threads).unwrap_or(i64::MAX));
    let written = Written::default()
        .maybe(
            "memory",
            resources
                .memory
                .map(|memory| Value::text(memory.to_string())),
        )
        .maybe("threads", threads.map(Value::Integer));
    (!written.is_empty()).then(|| written.done())
}
