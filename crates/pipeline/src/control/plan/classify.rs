//! What is different between a version that runs and what its file wants, and what kind of change that is.
//!
//! Invariant: how far a pipeline has read is never guessed: what it has not read under the same name before, or keeps elsewhere than
//! before, is a change of source.

use std::mem::discriminant;

use spec::{Check, FileFormat, Pipeline, Severity, Sink, Source, Start};

use super::PlanFault;
use super::wanted::{Wanted, connection};
use crate::control::record::{Class, ColumnRecord, PipelineRecord, ResolvedInput, SourceRecord};

/// What is different.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// In a few words each.
    pub(super) says: Vec<String>,
    /// Inputs that begin anew, and where.
    pub(super) begins: Vec<(String, String)>,
    /// What cannot be.
    pub(super) faults: Vec<PlanFault>,
    /// Something that is in force at once is different.
    at_once: bool,
    /// Checks are.
    checks: bool,
    /// Something else of what becomes of a record is.
    rest: bool,
}

impl Difference {
    /// What kind of change it is; none if it is none.
    pub(super) fn class(&self) -> Option<Class> {
        if !self.begins.is_empty() {
            Some(Class::SourceChange)
        } else if self.checks || self.rest {
            Some(Class::HandOver)
        } else if self.at_once {
            Some(Class::Metadata)
        } else {
            None
        }
    }

    /// Whether checks are all that is different.
    pub(super) fn is_of_checks(&self) -> bool {
        self.checks && !self.rest && !self.at_once && self.begins.is_empty()
    }

    fn at_once(&mut self, differs: bool, says: &str) {
        if differs {
            self.at_once = true;
            self.says.push(says.to_owned());
        }
    }

    fn rest(&mut self, differs: bool, says: impl Into<String>) {
        if differs {
            self.rest = true;
            self.says.push(says.into());
        }
    }
}

/// Compares a version with what its file wants.
pub(super) fn classify(
    old: &PipelineRecord,
    before: &Pipeline,
    new: &Wanted,
    fingerprint: &str,
) -> Difference {
    let mut difference = Difference::default();
    let after = &new.pipeline;
    inputs(old, before, new, &mut difference);
    sink(before, new, &mut difference);
    let is_same_query = old.query == new.query;
    difference.rest(!is_same_query, "the query is another");
    difference.rest(before.params != after.params, "parameters are others");
    checks(&before.checks, &after.checks, &mut difference);
    let halts = before.bad_records.halt_above != after.bad_records.halt_above;
    difference.at_once(halts, "halt_above is another");
    let dead = before.dead_letters() != after.dead_letters();
    let to = format!("dead letters go to {}", after.dead_letters());
    difference.rest(dead, to);
    difference.at_once(before.run != after.run, "when it runs is different");
    let resources = before.resources != after.resources;
    difference.rest(resources, "what it may take is different");
    let description = before.description != after.description;
    difference.at_once(description, "the description is another");
    difference.at_once(before.owner != after.owner, "the owner is another");
    if old.fingerprint != fingerprint && difference.class().is_none() {
        let says = "this version of Watertable computes it in another way";
        difference.rest(true, says);
    }
    difference
}

/// What is read.
fn inputs(old: &PipelineRecord, before: &Pipeline, new: &Wanted, difference: &mut Difference) {
    for (input, resolved) in new.pipeline.inputs.iter().zip(&new.inputs) {
        let name = &input.name;
        let was = old.resolved.iter().find(|was| was.name == *name);
        let input_before = before.inputs.iter().find(|before| before.name == *name);
        let (Some(was), Some(input_before)) = (was, input_before) else {
            difference.says.push(format!("{name} is read, too"));
            difference.begins.push(begin(name, &input.source, resolved));
            continue;
        };
        if is_other(&was.source, &resolved.source) {
            let (from, to) = (shown(&was.source), shown(&resolved.source));
            let says = if from == to {
                format!("{to} was made anew")
            } else {
                format!("{name} is {to}, it was {from}")
            };
            difference.says.push(says);
            difference.begins.push(begin(name, &input.source, resolved));
        } else if let Some(what) = unreadable(&input_before.source, &input.source) {
            let input = name.clone();
            difference
                .faults
                .push(PlanFault::Unreadable { input, what });
        }
        let columns = columns(&was.columns, &resolved.columns);
        if !columns.is_empty() {
            let says = format!("columns of {name}: {}", columns.join(", "));
            difference.rest(true, says);
        } else if was.contract != resolved.contract {
            difference.rest(true, format!("how {name} is read is different"));
        }
        let is_same = input_before.source == input.source && input_before.columns == input.columns;
        let is_told = !columns.is_empty() || difference.begins.iter().any(|(of, _)| of == name);
        difference.rest(
            !is_same && !is_told,
            format!("options of {name} are others"),
        );
    }
    for was in &old.resolved {
        let is_there = new.inputs.iter().any(|input| input.name == was.name);
        let says = format!("{} is not read any more", was.name);
        difference.rest(!is_there, says);
    }
}

/// Whether what is read is something else.
fn is_other(was: &SourceRecord, is: &SourceRecord) -> bool {
    match (was, is) {
        (
            SourceRecord::Topic {
                topic: was,
                topic_id: old,
            },
            SourceRecord::Topic {
                topic: is,
                topic_id: new,
            },
        ) => {
            // What was not there when it was planned can have been made since.
            let is_anew = old.is_some() && new.is_some() && old != new;
            was != is || is_anew
        }
        (was, is) => was != is,
    }
}

/// What of the source makes nonsense of how far it was read.
fn unreadable(before: &Source, after: &Source) -> Option<&'static str> {
    let cursor = |source: &Source| match source {
        Source::Postgres(postgres) => postgres.incremental.as_ref().map(|incremental| {
            let tie_breaker = incremental.tie_breaker.clone();
            (incremental.cursor.clone(), tie_breaker)
        }),
        _ => None,
    };
    let format = |source: &Source| match source {
        Source::Files(files) => Some((discriminant(&files.format), records(&files.format))),
        _ => None,
    };
    if cursor(before) != cursor(after) {
        Some("its cursor")
    } else if format(before) != format(after) {
        Some("the format of its files")
    } else {
        None
    }
}

/// Where the records of a file are; those of another place have other numbers.
fn records(format: &FileFormat) -> Option<String> {
    match format {
        FileFormat::Json { records } => records.clone(),
        _ => None,
    }
}

fn shown(source: &SourceRecord) -> String {
    match source {
        SourceRecord::Topic { topic, .. } => format!("the topic {topic}"),
        SourceRecord::Files { path } => format!("the files {path}"),
        SourceRecord::Postgres { connection, table } => format!("{table} of {connection}"),
    }
}

/// An input that begins anew, and where.
pub(super) fn begin(name: &str, source: &Source, resolved: &ResolvedInput) -> (String, String) {
    let at = match source {
        Source::Topic(topic) => match topic.start {
            Start::Earliest => "earliest",
            Start::Latest => "latest",
        },
        Source::Files(_) => "the first file",
        Source::Postgres(_) => "a snapshot",
    };
    let what = match &resolved.source {
        SourceRecord::Topic { topic, .. } => topic.clone(),
        SourceRecord::Files { path } => path.clone(),
        SourceRecord::Postgres { table, .. } => table.clone(),
    };
    (name.to_owned(), format!("{what} @ {at}"))
}

/// What is written. How far a pipeline has read stands in the cluster, or in the database that it writes.
fn sink(before: &Pipeline, new: &Wanted, difference: &mut Difference) {
    let after = &new.pipeline;
    if before.sink == after.sink {
        return;
    }
    let kept = |sink: &Sink| match sink {
        Sink::Topic(_) => None,
        Sink::Postgres(sink) => Some((connection(&sink.connection), sink.delivery)),
    };
    if kept(&before.sink) != kept(&after.sink) {
        let says = "how far it has read is kept somewhere else";
        difference.says.push(says.to_owned());
        for (input, resolved) in after.inputs.iter().zip(&new.inputs) {
            if !difference
                .begins
                .iter()
                .any(|(name, _)| *name == input.name)
            {
                let begin = begin(&input.name, &input.source, resolved);
                difference.begins.push(begin);
            }
        }
        return;
    }
    let says = match (&before.sink, &after.sink) {
        (Sink::Topic(was), Sink::Topic(is)) if was.name != is.name => {
            format!("rows go to {}, no longer to {}", is.name, was.name)
        }
        (Sink::Postgres(was), Sink::Postgres(is)) if was.table != is.table => {
            format!("rows go to {}, no longer to {}", is.table, was.table)
        }
        _ => "options of the sink are others".to_owned(),
    };
    difference.rest(true, says);
}

/// What has to hold. The severity of a check is in force at once.
fn checks(before: &[Check], after: &[Check], difference: &mut Difference) {
    let of = |checks: &[Check], reason: &str| -> Option<Check> {
        checks.iter().find(|check| check.reason == reason).cloned()
    };
    let (mut added, mut changed, mut severities) = (0, 0, 0);
    for check in after {
        match of(before, &check.reason) {
            None => added += 1,
            Some(was) if without_severity(&was) != without_severity(check) => changed += 1,
            Some(was) if was.severity != check.severity => severities += 1,
            Some(_) => {}
        }
    }
    let is_gone = |check: &&Check| of(after, &check.reason).is_none();
    let gone = before.iter().filter(is_gone).count();
    let reasons = |checks: &[Check]| -> Vec<String> {
        checks.iter().map(|check| check.reason.clone()).collect()
    };
    let is_reordered = added + changed + gone == 0 && reasons(before) != reasons(after);
    for (count, what) in [(added, "added"), (changed, "changed"), (gone, "removed")] {
        if count > 0 {
            difference.checks = true;
            let s = if count == 1 { "" } else { "s" };
            difference.says.push(format!("{count} check{s} {what}"));
        }
    }
    if is_reordered {
        difference.checks = true;
        let says = "the order of checks is another";
        difference.says.push(says.to_owned());
    }
    difference.at_once(severities > 0, "severities of checks are others");
}

fn without_severity(check: &Check) -> Check {
    Check {
        severity: Severity::default(),
        ..check.clone()
    }
}

/// What is different between two lists of columns, column by column.
pub(super) fn columns(before: &[ColumnRecord], after: &[ColumnRecord]) -> Vec<String> {
    let of = |columns: &[ColumnRecord], name: &str| -> Option<ColumnRecord> {
        columns.iter().find(|column| column.name == name).cloned()
    };
    let typed = |column: &ColumnRecord| {
        let not_null = if column.not_null { " not null" } else { "" };
        format!("{}{not_null}", column.data_type)
    };
    let mut says = Vec::new();
    for column in after {
        match of(before, &column.name) {
            None => says.push(format!("+ {} {}", column.name, typed(column))),
            Some(was) if was != *column => {
                let (from, to) = (typed(&was), typed(column));
                says.push(format!("~ {} {from} → {to}", column.name));
            }
            Some(_) => {}
        }
    }
    for column in before {
        if of(after, &column.name).is_none() {
            says.push(format!("- {}", column.name));
        }
    }
    let names = |columns: &[ColumnRecord]| -> Vec<String> {
        columns.iter().map(|column| column.name.clone()).collect()
    };
    if says.is_empty() && names(before) != names(after) {
        says.push("in another order".to_owned());
    }
    says
}
