//! Rows of a topic as they come: the rows that are wanted of those that are there, then those that are written.
//!
//! Invariant: each row is printed once and none is passed over, in the order of its partition. `seen` has, by partition, the
//! offset up to which rows were printed. The server is asked how far records can be read (the last stable offset, or the high
//! watermark): below it nothing can appear any more, since neither moves back and transactions below are decided. Then the query
//! is run over [seen, end) of each partition and `seen` is moved there, whether or not the range had rows: what is missing in it
//! was aborted, compacted away, or did not pass the condition. A later query may see more than the end it is given, never less.
//!
//! What is removed before it was printed (retention, DeleteRecords) is told, as is a topic that was made anew.

mod query;
mod readable;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

pub use self::query::Unfollowable;

use self::query::Followed;
use crate::error::PromptError;
use crate::print::{Format, Printer, printer};
use crate::session::{Session, tell};
use crate::sink::Sink;
use crate::wire::{Event, Row};

/// Between two looks at the topic: this after there was something, then twice as long each time, up to the second.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_millis(200);
/// Offsets of one query, at most: its rows are sorted, and only between queries is it known how far one is.
const RANGE_MAX: i64 = 100_000;

/// Where to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// With the first record there is.
    Beginning,
    /// With the next record.
    #[default]
    Now,
}

/// Follows a query until Ctrl-C, or until nobody reads on.
pub(crate) async fn run(mut session: Session, sql: &str, from: From) -> Result<(), PromptError> {
    let followed = Followed::of(sql.trim().trim_end_matches(';'))?;
    let mut follow = Follow {
        format: session.settings.format(),
        sink: Sink::stdout(),
        printer: None,
        seen: BTreeMap::new(),
        followed,
    };
    follow.probe(&mut session, sql).await?;
    let readable = follow.readable(&mut session).await?;
    for (partition, offsets) in readable {
        let first = match from {
            From::Beginning => offsets.start,
            From::Now => offsets.end,
        };
        follow.seen.insert(partition, first);
    }
    let mut rest = REST_MIN;
    loop {
        match follow.step(&mut session).await? {
            Step::News => rest = REST_MIN,
            Step::Nothing => {
                tokio::select! {
                    biased;
                    () = session.interrupted() => break,
                    () = tokio::time::sleep(rest) => {}
                }
                rest = (rest * 2).min(REST_MAX);
            }
            Step::Stopped => break,
        }
    }
    follow.finish()?;
    session.close().await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    News,
    Nothing,
    /// By Ctrl-C.
    Stopped,
}

struct Follow {
    format: Format,
    followed: Followed,
    sink: Sink,
    printer: Option<Box<dyn Printer>>,
    /// By partition, the first offset that was not looked at.
    seen: BTreeMap<i32, i64>,
}

impl Follow {
    /// Asks whether the server understands the query, and whether its rows stand for records.
    async fn probe(&self, session: &mut Session, sql: &str) -> Result<(), PromptError> {
        // The query itself first: what is wrong with it shall be told by its own text.
        let itself = format!("EXPLAIN {sql}");
        for question in [&itself, &self.followed.probe()] {
            if let Err(error) = session.ask(question).await? {
                tell(error.shown(question).trim_end());
                return Err(PromptError::Told);
            }
        }
        Ok(())
    }

    /// What of each partition can be read now.
    async fn readable(
        &self,
        session: &mut Session,
    ) -> Result<BTreeMap<i32, Range<i64>>, PromptError> {
        let question = readable::question(&self.followed.table());
        match session.ask(&question).await? {
            Ok(plan) => {
                let lines: Vec<String> = plan.iter().map(Row::texts).collect();
                readable::bounds(&lines.join("\n"))
                    .ok_or_else(|| Unfollowable::Source("something else than a topic").into())
            }
            Err(error) => {
                tell(error.shown(&question).trim_end());
                Err(PromptError::Told)
            }
        }
    }

    /// Prints what has come since.
    async fn step(&mut self, session: &mut Session) -> Result<Step, PromptError> {
        let mut step = Step::Nothing;
        for (partition, readable) in self.readable(session).await? {
            let Some(mut rest) = self.unseen(partition, &readable) else {
                continue;
            };
            while !rest.is_empty() {
                let end = rest.end.min(rest.start.saturating_add(RANGE_MAX));
                let range = rest.start..end;
                if !self.print(session, partition, &range).await? {
                    return Ok(Step::Stopped);
                }
                self.seen.insert(partition, end);
                rest.start = end;
            }
            step = Step::News;
        }
        Ok(step)
    }

    /// What is to be read of a partition, if anything is.
    fn unseen(&mut self, partition: i32, readable: &Range<i64>) -> Option<Range<i64>> {
        // A partition that was added is read from its start: all of it came since.
        let seen = *self.seen.entry(partition).or_insert(readable.start);
        let first = if seen > readable.end {
            tell(&format!(
                "partition {partition} ends at offset {}, before {seen}: the topic was made anew; going on at its start",
                readable.end
            ));
            readable.start
        } else if seen < readable.start {
            tell(&format!(
                "offsets {seen} to {} of partition {partition} were removed before they were printed",
                readable.start - 1
            ));
            readable.start
        } else {
            seen
        };
        self.seen.insert(partition, first);
        (first < readable.end).then_some(first..readable.end)
    }

    /// Prints the rows of a range. False if Ctrl-C came in between.
    async fn print(
        &mut self,
        session: &mut Session,
        partition: i32,
        range: &Range<i64>,
    ) -> Result<bool, PromptError> {
        let sql = self.followed.within(partition, range);
        session.send(&sql).await?;
        let mut failed = false;
        loop {
            // What was received is printed; the server sees that nobody is there any more.
            let Some(event) = session.event().await? else {
                return Ok(false);
            };
            match event {
                Event::Columns(columns) if self.printer.is_none() => {
                    self.printer = Some(printer(self.format, columns));
                }
                Event::Row(row) => {
                    if let Some(printer) = &mut self.printer {
                        printer.row(row, &mut self.sink)?;
                    }
                }
                Event::Failed(error) => {
                    tell(error.shown(&sql).trim_end());
                    failed = true;
                }
                Event::Notice(notice) => tell(notice.shown(&sql).trim_end()),
                Event::Ready => break,
                _ => {}
            }
        }
        self.show()?;
        if failed {
            Err(PromptError::Told)
        } else {
            Ok(true)
        }
    }

    /// What was printed so far is seen.
    fn show(&mut self) -> Result<(), PromptError> {
        if let Some(printer) = &mut self.printer {
            printer.settle(&mut self.sink)?;
        }
        Ok(self.sink.finish()?)
    }

    fn finish(&mut self) -> Result<(), PromptError> {
        self.show()?;
        if let Some(printer) = &mut self.printer
            && self.format == Format::Json
        {
            printer.finish(&mut self.sink)?;
        }
        Ok(self.sink.finish()?)
    }
}
