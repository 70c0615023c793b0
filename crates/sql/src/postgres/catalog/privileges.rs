//! What the one role may do: read everything, and append to topics if this server writes.

use datafusion::common::ScalarValue;

use super::functions::{Answer, Call};
use super::relations::PUBLIC_OID;

/// The schema that topics are in.
pub(super) const TOPICS: &str = "public";

const READING: [&str; 5] = ["SELECT", "USAGE", "CONNECT", "EXECUTE", "MEMBER"];

/// What is asked for; of several privileges one is enough.
fn wanted(call: &Call<'_>) -> String {
    let last = call.args.last();
    let wanted = last.and_then(|arg| arg.try_as_str().flatten());
    wanted.unwrap_or_default().to_ascii_uppercase()
}

fn reads(call: &Call<'_>) -> bool {
    let wanted = wanted(call);
    READING.iter().any(|allowed| wanted.contains(allowed))
}

fn answer(may: bool) -> Answer {
    Ok(ScalarValue::Boolean(Some(may)))
}

pub(super) fn may(call: &Call<'_>) -> Answer {
    answer(reads(call))
}

/// Of a table or its columns.
pub(super) fn may_with_table(call: &Call<'_>) -> Answer {
    let appends =
        || call.identity.is_writable && wanted(call).contains("INSERT") && names_topic(call);
    answer(reads(call) || appends())
}

/// Whether one of the arguments is a topic; what else they may be, a role and a column, comes before and behind it.
fn names_topic(call: &Call<'_>) -> bool {
    let subjects = 0..call.args.len().saturating_sub(1);
    subjects.into_iter().any(|index| {
        let relation = match call.text(index) {
            Some(name) => call.relations.named(call.schema, name),
            None => call
                .number(index)
                .and_then(|oid| call.relations.by_oid(oid)),
        };
        relation.is_some_and(|relation| relation.schema == TOPICS)
    })
}

/// Of a schema: topics are created in theirs.
pub(super) fn may_in_schema(call: &Call<'_>) -> Answer {
    let is_topics = || {
        let subjects = 0..call.args.len().saturating_sub(1);
        subjects.into_iter().any(|index| match call.text(index) {
            Some(name) => name == TOPICS,
            None => call.number(index) == Some(PUBLIC_OID.into()),
        })
    };
    let creates = || call.identity.is_writable && wanted(call).contains("CREATE") && is_topics();
    answer(reads(call) || creates())
}
