//! `watertable pipeline explain`: the tasks that files compile to, with the topics, groups and transactions that these have.
//!
//! Invariant: what it says is made from the tasks that a worker runs, not from a description of its own.

use anyhow::Result;
use pipeline::tasks::{self, From, Task, Writes};
use serde::Serialize;
use spec::names::Environment;
use spec::{
    Delivery, FileFormat, Input, Mode, Pipeline, PostgresSink, Rows, Sink, Source, Times, Trigger,
};

use super::folder::Place;
use super::validate;
use crate::output::{self, counted};
use crate::report::{Failure, Status};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watertable pipeline explain trips_clean.yaml
  watertable pipeline explain trips_clean.yaml --env prod --json

Names of topics, groups and transactional ids are those of the environment: all but prod have its name in front.")]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Write JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What a pipeline compiles to.
#[derive(Debug, Serialize)]
struct View {
    pipeline: String,
    environment: String,
    runs: String,
    tasks: Vec<TaskView>,
    dead_letters: String,
    group: String,
}

#[derive(Debug, Serialize)]
struct TaskView {
    task: &'static str,
    reads: Vec<String>,
    runs: String,
    writes: String,
    commits: &'static str,
    transactional_id: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.place.read()?;
    let looked = validate::compile(&folder);
    if !looked.problems.is_empty() {
        validate::print(&folder, &looked.problems)?;
        return Err(Status(1).into());
    }
    let mut views = Vec::new();
    for resolved in &looked.files {
        let file = &resolved.file;
        views.push(view(
            &file.pipeline,
            arguments.place.environment(),
            &file.name,
        )?);
    }
    if arguments.json {
        return output::json(&views);
    }
    let texts: Vec<_> = views.iter().map(text).collect();
    output::write(texts.join("\n").as_bytes())
}

fn view(pipeline: &Pipeline, environment: &Environment, file: &str) -> Result<View> {
    let tasks = tasks::compile(pipeline, environment).map_err(|error| {
        Failure::new(
            format!("{file}: {error}"),
            "`watertable pipeline validate` tells all that is wrong",
        )
    })?;
    let name = |task: fn(&Task) -> &String| tasks.first().map(task).cloned().unwrap_or_default();
    Ok(View {
        pipeline: pipeline.name.clone(),
        environment: environment.to_string(),
        runs: when(&pipeline.run.trigger),
        dead_letters: name(|task| &task.dead_letters),
        group: name(|task| &task.group),
        tasks: tasks.iter().map(|task| task_view(pipeline, task)).collect(),
    })
}

fn task_view(pipeline: &Pipeline, task: &Task) -> TaskView {
    let reads = task.reads.iter().map(|read| {
        let input = pipeline.inputs.get(read.input);
        let name = input.map_or("", |input| input.name.as_str());
        match &read.from {
            From::Topic(topic) => format!("{name}: topic {topic}"),
            From::Outside => format!("{name}: {}", input.map_or_else(String::new, source)),
        }
    });
    let checks = match pipeline.checks.len() {
        0 => String::new(),
        count => format!(" and {}", counted(count, "check")),
    };
    let (writes, commits) = match (&task.writes, &pipeline.sink) {
        (Writes::Table, Sink::Postgres(table)) => (table_line(table), of_table(table.delivery)),
        (Writes::Table, Sink::Topic(_)) => (String::new(), OF_TOPIC),
        (Writes::Topic(topic), Sink::Topic(sink)) => {
            let key = match sink.key.as_slice() {
                [] => String::new(),
                key => format!(", key {}", key.join(", ")),
            };
            let partitions = usize::try_from(sink.partitions).unwrap_or(usize::MAX);
            (
                format!("topic {topic}{key}, {}", counted(partitions, "partition")),
                OF_TOPIC,
            )
        }
        (Writes::Topic(topic), Sink::Postgres(_)) => (format!("topic {topic}"), OF_TOPIC),
    };
    TaskView {
        task: task.role.name(),
        reads: reads.collect(),
        runs: if task.runs_query {
            format!("the query{checks}")
        } else {
            "nothing: records pass as they are".to_owned()
        },
        writes,
        commits,
        transactional_id: task.transactional_id.clone(),
    }
}

const OF_TOPIC: &str =
    "records, dead letters and positions in one transaction of Kafka: exactly once";

fn of_table(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::ExactlyOnce => "rows and offsets in one transaction of PostgreSQL: exactly once",
        Delivery::AtLeastOnce => "rows, and offsets after them: at least once",
    }
}

fn table_line(table: &PostgresSink) -> String {
    match &table.mode {
        Mode::Upsert { key } => {
            format!("table {}, rows replaced by {}", table.table, key.join(", "))
        }
        Mode::Append => format!("table {}, rows added", table.table),
    }
}

fn source(input: &Input) -> String {
    match &input.source {
        Source::Topic(topic) => format!("topic {}", topic.name),
        Source::Files(files) => {
            let format = match &files.format {
                FileFormat::Csv { .. } => "csv",
                FileFormat::Json { .. } => "json",
                FileFormat::NdJson => "ndjson",
                FileFormat::Parquet => "parquet",
            };
            format!("files {}, {format}", files.path)
        }
        Source::Postgres(postgres) => match &postgres.rows {
            Rows::Table(table) => format!("table {table}"),
            Rows::Query(_) => "a query of PostgreSQL".to_owned(),
        },
    }
}

fn when(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Continuous => "all the time".to_owned(),
        Trigger::Once => "once".to_owned(),
        Trigger::Scheduled(schedule) => match &schedule.times {
            Times::Every(span) => format!("every {span}"),
            Times::Cron { pattern, timezone } => format!("by cron {pattern:?}, {timezone}"),
        },
    }
}

fn text(view: &View) -> String {
    let mut text = format!(
        "{} in {}, runs {}\n",
        view.pipeline, view.environment, view.runs
    );
    for task in &view.tasks {
        text.push_str(&format!("\n  task {}\n", task.task));
        for read in &task.reads {
            text.push_str(&format!("    reads    {read}\n"));
        }
        for (what, line) in [
            ("runs", task.runs.as_str()),
            ("writes", &task.writes),
            ("commits", task.commits),
            ("id", &task.transactional_id),
        ] {
            text.push_str(&format!("    {what:<9}{line}\n"));
        }
    }
    text.push_str(&format!(
        "\n  dead letters  topic {}\n  group         {}\n",
        view.dead_letters, view.group
    ));
    text
}
