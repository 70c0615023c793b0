//! `watertable pipeline dead`: the records that a pipeline did not pass on.

use std::collections::VecDeque;

use anyhow::Result;
use client::Cluster;
use pipeline::control::{DeadLetters, Letter, Store, existing};
use serde_json::Value;
use spec::names::Environment;

use super::target::Target;
use crate::output::{self, Columns, or_dash};
use crate::report::Failure;
use crate::session::{self, Session};

/// So much of a value is shown in a line.
const VALUE_CHARS: usize = 60;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show dead letters, one a line
    List(ListArguments),
    /// Show a dead letter whole
    Show(ShowArguments),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Dead letters are a topic of the pipeline, NAME.dead unless its file names another, and in SQL sys.dead_letters.

Examples:
  watertable pipeline dead list trips_clean --env prod
  watertable pipeline dead list trips_clean --env prod --reason decode -n 10
  watertable pipeline dead list trips_clean --env prod --json | jq -r .value")]
struct ListArguments {
    #[command(flatten)]
    target: Target,
    /// With this reason only: a check, `decode`, `error`
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// How many: the last
    #[arg(long, short = 'n', default_value = "100", value_name = "COUNT")]
    number: usize,
    #[command(flatten)]
    session: Session,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watertable pipeline dead show trips_clean raw.trips/0/17 --env prod
  watertable pipeline dead show trips_clean data/trips.csv:12 --env prod --json | jq -r .value")]
struct ShowArguments {
    #[command(flatten)]
    target: Target,
    /// Where the record is, as `dead list` has it
    #[arg(value_name = "PLACE")]
    place: String,
    #[command(flatten)]
    session: Session,
}

impl Arguments {
    pub(super) fn wants_json(&self) -> bool {
        match &self.verb {
            Verb::List(arguments) => arguments.session.json,
            Verb::Show(arguments) => arguments.session.json,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.verb {
        Verb::List(arguments) => list(arguments),
        Verb::Show(arguments) => show(arguments),
    }
}

fn list(arguments: &ListArguments) -> Result<()> {
    let Target { name, env } = &arguments.target;
    let cluster = arguments.session.cluster();
    let wants = |value: &Value| {
        let reason = arguments.reason.as_deref();
        reason.is_none_or(|reason| text(value, "reason") == reason)
    };
    let letters = session::run(last(&cluster, env, name, arguments.number, wants))?;
    if arguments.session.json {
        for letter in letters {
            output::line(&letter.value.to_string())?;
        }
        return Ok(());
    }
    if letters.is_empty() {
        return output::line(&format!("no dead letters of {name} in {env}"));
    }
    let mut table = Columns::new(&["TIME", "REASON", "PLACE", "VALUE"]);
    for Letter { value, .. } in &letters {
        table.row([
            text(value, "time").to_owned(),
            text(value, "reason").to_owned(),
            place(value),
            or_dash(value.get("value").and_then(Value::as_str).map(beginning)),
        ]);
    }
    table.print()
}

fn show(arguments: &ShowArguments) -> Result<()> {
    let Target { name, env } = &arguments.target;
    let cluster = arguments.session.cluster();
    // One that was tried again is there more than once.
    let wants = |value: &Value| place(value) == arguments.place;
    let mut letters = session::run(last(&cluster, env, name, 1, wants))?;
    let Some(letter) = letters.pop_back() else {
        return Err(Failure::new(
            format!(
                "no dead letter of {name} in {env} is of {}",
                arguments.place
            ),
            format!("`watertable pipeline dead list {name} --env {env}` shows their places"),
        )
        .into());
    };
    if arguments.session.json {
        return output::json(&letter.value);
    }
    print(&letter)
}

/// The last dead letters that are wanted.
async fn last(
    cluster: &Cluster,
    env: &Environment,
    name: &str,
    number: usize,
    wants: impl Fn(&Value) -> bool,
) -> Result<VecDeque<Letter>> {
    let topic = topic(cluster, env, name).await?;
    let mut last = VecDeque::new();
    let Some(mut letters) = DeadLetters::open(cluster, &topic).await? else {
        return Ok(last);
    };
    letters
        .read_to_end(|letter| {
            // Several pipelines may share a topic.
            if text(&letter.value, "pipeline") == name && wants(&letter.value) {
                last.push_back(letter);
            }
            if last.len() > number {
                last.pop_front();
            }
        })
        .await?;
    Ok(last)
}

/// The topic of a pipeline's dead letters; also of one that was removed.
async fn topic(cluster: &Cluster, env: &Environment, name: &str) -> Result<String> {
    let store = Store::open(cluster).await?;
    let state = store.state();
    let record = match state.current(env.as_str(), name) {
        Some(record) => record,
        None => existing(state, env, name)?,
    };
    let pipeline = record.pipeline().map_err(|problems| {
        let problem = problems.first().map(ToString::to_string);
        Failure::new(
            format!("cannot read {name}: {}", problem.unwrap_or_default()),
            "a later version of Watertable wrote it; ask with that one",
        )
    })?;
    Ok(env.name(&pipeline.dead_letters()))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    let member = value.get(member).and_then(Value::as_str);
    member.unwrap_or_default()
}

/// Where the record stands: `TOPIC/PARTITION/OFFSET`, `FILE:RECORD` or `TABLE/ROW`.
fn place(value: &Value) -> String {
    let number = |member: &str| value.get(member).and_then(Value::as_i64);
    let of = text(value, "topic");
    match (number("partition"), number("offset")) {
        (Some(partition), Some(offset)) => format!("{of}/{partition}/{offset}"),
        (None, Some(offset)) => format!("{of}:{offset}"),
        _ => format!("{of}/{}", text(value, "row")),
    }
}

/// The beginning of a value, in one line.
fn beginning(value: &str) -> String {
    let mut shown: String = value
        .chars()
        .take(VALUE_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if value.chars().nth(VALUE_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn print(letter: &Letter) -> Result<()> {
    let value = &letter.value;
    let mut shown = format!("place        {}\n", place(value));
    for (label, member) in [
        ("pipeline", "pipeline"),
        ("version", "version"),
        ("reason", "reason"),
        ("message", "message"),
        ("attempt", "attempt"),
        ("time", "time"),
        ("record time", "record_time"),
        ("key", "key"),
    ] {
        match value.get(member) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => shown.push_str(&format!("{label:<13}{text}\n")),
            Some(other) => shown.push_str(&format!("{label:<13}{other}\n")),
        }
    }
    let headers = value.get("headers").and_then(Value::as_array);
    for header in headers.into_iter().flatten() {
        let (key, value) = (text(header, "key"), text(header, "value"));
        shown.push_str(&format!("header       {key}: {value}\n"));
    }
    if value.get("is_cut") == Some(&Value::Bool(true)) {
        shown.push_str("cut          it was too large to be kept whole; the source has it\n");
    }
    match value.get("value").and_then(Value::as_str) {
        Some(text) => shown.push_str(&format!("\n{text}\n")),
        None => shown.push_str("\nIt has no value.\n"),
    }
    output::write(shown.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_says_where_a_record_is_in_its_source() {
        for (value, expected) in [
            (
                json!({"topic": "raw", "partition": 0, "offset": 17}),
                "raw/0/17",
            ),
            (
                json!({"topic": "a/b.csv", "partition": null, "offset": 3}),
                "a/b.csv:3",
            ),
            (json!({"topic": "users", "row": "id=5"}), "users/id=5"),
        ] {
            assert_eq!(place(&value), expected);
        }
    }

    #[test]
    fn the_beginning_of_a_value_is_one_line() {
        assert_eq!(beginning("a\nb"), "a b");
        let long = "é".repeat(100);
        assert_eq!(beginning(&long).chars().count(), VALUE_CHARS + 1);
    }
}
