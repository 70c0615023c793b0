//! Which rows of a batch the table refuses.
//!
//! The batch is written in parts, each behind a savepoint; a part that is refused is halved until it is one row. Then all is rolled back.
//! The parts come in the order of the batch and stay, so each row is judged with everything before it in place, and at the end everything
//! that is not refused went together. A row that refers to one behind it is tried again when that one is there.
//!
//! Codes of values and of constraints are of rows. Any other is, if other rows are taken and the same statements go through without any
//! row; else it is trouble of the database, and no row is blamed for it.

use std::iter::once;
use std::ops::Range;

use crate::postgres::failure::{Failure, Kind};

use super::batch::Refusal;
use super::encode::Encoded;
use super::transaction::Writer;

/// A foreign key finds nothing.
const FOREIGN_KEY: &str = "23503";
/// How often rows with such a key are tried again, each time that helped.
const ROUNDS_MAX: usize = 8;
/// No row.
const NONE: Range<i32> = 0..0;

/// Rows by their numbers, each with why it is refused.
type Refused = Vec<(i32, Failure)>;

/// The rows that are refused; none if all went well this time. `failure`: what the batch was refused with.
pub(super) async fn probe(
    writer: &Writer,
    doing: &str,
    batch: &Encoded,
    failure: &Failure,
) -> Result<Vec<Refusal>, Failure> {
    writer.begin(doing, batch).await?;
    if failure.kind() != Kind::Rows {
        writer.apply(doing, NONE, batch.has_deletes).await?;
    }
    let mut probing = Probing {
        writer,
        doing,
        batch,
        has_taken: false,
    };
    let mut refused = probing.halve(Step::Stage, once(batch.all())).await?;
    let staged = between(batch.all(), &refused);
    refused.extend(probing.halve(Step::Apply, staged).await?);
    for _round in 0..ROUNDS_MAX {
        let is_again = |failure: &Failure| failure.sqlstate.as_deref() == Some(FOREIGN_KEY);
        let (again, stay): (Vec<_>, Vec<_>) = refused
            .into_iter()
            .partition(|(_, failure)| is_again(failure));
        refused = stay;
        let before = again.len();
        let mut left = 0;
        for (number, _failure) in again {
            let found = probing.halve(Step::Apply, once(number..number + 1)).await?;
            left += found.len();
            refused.extend(found);
        }
        if left == 0 || left == before {
            break;
        }
    }
    let is_of_row = |(_, failure): &(i32, Failure)| failure.kind() == Kind::Rows;
    if !refused.iter().all(is_of_row) {
        if probing.has_taken {
            // Nor did the trouble begin in between.
            writer.apply(doing, NONE, batch.has_deletes).await?;
        } else if refused.iter().any(is_of_row) {
            // Perhaps what is behind these is taken without them.
            refused.retain(is_of_row);
        } else if let Some((_, failure)) = refused.pop() {
            return Err(failure);
        }
    }
    writer.session.execute(doing, "ROLLBACK").await?;
    refused.sort_by_key(|(number, _)| *number);
    let refusals = refused.into_iter().filter_map(|(number, failure)| {
        let place = batch.places.get(usize::try_from(number).ok()?)?;
        Some(Refusal::new(*place, &failure))
    });
    Ok(refusals.collect())
}

/// What lies between rows that are refused.
fn between(all: Range<i32>, refused: &Refused) -> Vec<Range<i32>> {
    let mut ranges = Vec::new();
    let mut start = all.start;
    for (number, _failure) in refused {
        ranges.push(start..*number);
        start = number + 1;
    }
    ranges.push(start..all.end);
    ranges
}

/// A probe under way.
struct Probing<'a> {
    writer: &'a Writer,
    doing: &'a str,
    batch: &'a Encoded,
    /// Whether the table has taken a row.
    has_taken: bool,
}

/// What is done with rows.
#[derive(Clone, Copy)]
enum Step {
    /// They go into the stage, which does not take a row that is larger than any table has.
    Stage,
    /// They go from there into the table.
    Apply,
}

impl Probing<'_> {
    async fn step(&mut self, step: Step, range: &Range<i32>) -> Result<(), Failure> {
        let (writer, batch) = (self.writer, self.batch);
        match step {
            Step::Stage => writer.copy(self.doing, batch, range).await,
            Step::Apply => {
                let range = range.clone();
                writer.apply(self.doing, range, batch.has_deletes).await?;
                self.has_taken = true;
                Ok(())
            }
        }
    }

    /// Does what can be done with ranges in their order, and gives the rest with the reasons.
    async fn halve(
        &mut self,
        step: Step,
        ranges: impl IntoIterator<Item = Range<i32>>,
    ) -> Result<Refused, Failure> {
        let session = &self.writer.session;
        let mut refused = Vec::new();
        // The first one is on top.
        let mut open: Vec<_> = ranges.into_iter().collect();
        open.reverse();
        while let Some(range) = open.pop() {
            if range.is_empty() {
                continue;
            }
            session.execute(self.doing, "SAVEPOINT part").await?;
            match self.step(step, &range).await {
                Ok(()) => {
                    let keep = "RELEASE SAVEPOINT part";
                    session.execute(self.doing, keep).await?;
                }
                Err(failure) if failure.may_be_of_rows() => {
                    let undo = "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part";
                    session.execute(self.doing, undo).await?;
                    let middle = range.start + (range.end - range.start) / 2;
                    if middle == range.start {
                        refused.push((range.start, failure));
                    } else {
                        open.push(middle..range.end);
                        open.push(range.start..middle);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(refused)
    }
}
