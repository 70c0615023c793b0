//! Where records go: standard output, in the chosen form, until enough were printed.

use anyhow::{Context, Result};
use client::RecordBatch;
use indicatif::ProgressBar;

use super::Arguments;
use crate::format::Format;
use crate::output::Output;
use crate::{progress, record_json};

/// How records are printed.
enum Form {
    Text(Format),
    Json,
}

/// Prints records.
pub(super) struct Sink {
    form: Form,
    output: Output,
    line: Vec<u8>,
    /// Records that may still be printed.
    left: u64,
    bar: ProgressBar,
}

impl Sink {
    pub(super) fn new(arguments: &Arguments, expected: Option<u64>) -> Self {
        let form = if arguments.session.json {
            Form::Json
        } else {
            let separator = arguments.key_separator.clone().map(|separator| separator.0);
            let format = arguments.format.clone();
            Form::Text(format.unwrap_or_else(|| Format::lines(separator)))
        };
        let left = arguments.records_max.unwrap_or(u64::MAX);
        let expected = expected.map(|expected| expected.min(left));
        Self {
            form,
            output: Output::new(),
            line: Vec::new(),
            left,
            bar: progress::bar(expected, "records", progress::stdout_is_terminal()),
        }
    }

    /// Whether no more are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Prints the records of a batch below `limit`, as long as more are wanted; gives the offset after the last one
    /// that was printed or needed no printing.
    pub(super) fn print(&mut self, batch: &RecordBatch, limit: Option<i64>) -> Result<i64> {
        let (topic, partition) = (&batch.partition.topic, batch.partition.partition);
        let mut printed = 0;
        let mut next = batch.next_offset;
        for record in batch.records() {
            let record =
                record.with_context(|| format!("cannot read a record of {}", batch.partition))?;
            if self.left == 0 || limit.is_some_and(|limit| record.offset >= limit) {
                next = record.offset;
                break;
            }
            self.line.clear();
            match &self.form {
                Form::Text(format) => format.print(topic, partition, &record, &mut self.line),
                Form::Json => record_json::write(topic, partition, &record, &mut self.line)?,
            }
            self.output.write(&self.line)?;
            self.left -= 1;
            printed += 1;
        }
        self.bar.inc(printed);
        Ok(next)
    }

    /// Makes everything visible.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.bar.finish_and_clear();
        self.output.flush()
    }
}
