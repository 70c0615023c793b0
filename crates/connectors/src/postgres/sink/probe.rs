//! Which rows of a batch the table refuses.
//!
//! The batch is written in parts, each behind a savepoint; a part that is refused is halved until it is one row. Then all is rolled back.
//! The parts come in the order of the batch and stay, so each row is judged with everything before it in place, and at the end everything
//! that is not refused went together. A row that refers to one behind it is tried again when that one is there.

use std::ops::Range;

use crate::postgres::failure::{Failure, Kind};

use super::batch::Refusal;
use super::encode::Encoded;
use super::transaction::Writer;

/// A foreign key finds nothing.
const FOREIGN_KEY: &str = "23503";
/// How often rows with such a key are tried again, each time that helped.
const ROUNDS_MAX: usize = 8;

/// The rows that are refused; none if all went well this time.
pub(super) async fn probe(
    writer: &Writer,
    doing: &str,
    batch: &Encoded,
) -> Result<Vec<Refusal>, Failure> {
    writer.begin(doing, batch).await?;
    writer.copy(doing, batch).await?;
    let end = i32::try_from(batch.places.len()).unwrap_or(i32::MAX);
    let mut refused = halve(writer, doing, batch, 0..end).await?;
    for _round in 0..ROUNDS_MAX {
        let is_again = |failure: &Failure| failure.sqlstate.as_deref() == Some(FOREIGN_KEY);
        let (again, stay): (Vec<_>, Vec<_>) = refused
            .into_iter()
            .partition(|(_, failure)| is_again(failure));
        refused = stay;
        let before = again.len();
        let mut left = 0;
        for (number, _failure) in again {
            let found = halve(writer, doing, batch, number..number + 1).await?;
            left += found.len();
            refused.extend(found);
        }
        if left == 0 || left == before {
            break;
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

/// Writes what can be of a range, and gives the rest with the reasons.
async fn halve(
    writer: &Writer,
    doing: &str,
    batch: &Encoded,
    range: Range<i32>,
) -> Result<Vec<(i32, Failure)>, Failure> {
    let mut refused = Vec::new();
    let mut open = vec![range];
    while let Some(range) = open.pop() {
        if range.is_empty() {
            continue;
        }
        writer.session.execute(doing, "SAVEPOINT part").await?;
        match writer.apply(doing, range.clone(), batch.has_deletes).await {
            Ok(_written) => {
                writer
                    .session
                    .execute(doing, "RELEASE SAVEPOINT part")
                    .await?
            }
            Err(failure) if failure.kind() == Kind::Rows => {
                let undo = "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part";
                writer.session.execute(doing, undo).await?;
                let middle = range.start + (range.end - range.start) / 2;
                if middle == range.start {
                    refused.push((range.start, failure));
                } else {
                    // The first half is on top.
                    open.push(middle..range.end);
                    open.push(range.start..middle);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(refused)
}
