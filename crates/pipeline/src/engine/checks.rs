//! [`Condition`]: a check, ready to be evaluated over rows.
//!
//! Checks are looked at in the order of the file, each over the rows that no check before it took out, as a CASE does: one that
//! guards against a text does not let another one fail over it. A row fails a condition that is false; NULL passes.

use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, is_not_null, not};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use spec::Severity;

use super::step::{Piece, mask};

/// So many of the rows that fail a check are named.
pub const SAMPLES_MAX: usize = 20;

/// A check, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// Which check of the pipeline.
    pub(super) check: usize,
    pub(super) severity: Severity,
    /// What has to be true, as people read it.
    pub(super) text: String,
    pub(super) expr: Arc<dyn PhysicalExpr>,
}

/// What checks found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The rows of the input that failed, each with its check, whether it is in `failed`, and where.
    pub(super) dead: Vec<Failure>,
    /// The rows of results that failed.
    pub(super) failed: Vec<RecordBatch>,
    /// Checks with the rows of the input that failed them.
    pub(super) counts: Vec<(usize, Vec<u32>)>,
}

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) row: u32,
    pub(super) check: usize,
    pub(super) text: String,
    /// Of a row of a result.
    pub(super) is_output: bool,
}

/// The rows that pass. `is_output`: they are of the result, else of an input.
pub(super) fn sift(
    conditions: &[Condition],
    mut piece: Piece,
    is_output: bool,
    findings: &mut Findings,
) -> Result<Piece> {
    for condition in conditions {
        let value = mask(&condition.expr, &piece.batch)?;
        if value.false_count() == 0 {
            continue;
        }
        let fails = fails(&value)?;
        let rows = piece.rows.iter().zip(fails.iter());
        let rows = rows.filter(|(_, fails)| *fails == Some(true));
        let rows: Vec<u32> = rows.map(|(row, _)| *row).collect();
        match condition.severity {
            Severity::Warn => {}
            Severity::Drop => piece = piece.filter(&not(&fails)?)?,
            Severity::Error => {
                if is_output {
                    findings
                        .failed
                        .push(filter_record_batch(&piece.batch, &fails)?);
                }
                let dead = rows.iter().map(|row| Failure {
                    row: *row,
                    check: condition.check,
                    text: condition.text.clone(),
                    is_output,
                });
                findings.dead.extend(dead);
                piece = piece.filter(&not(&fails)?)?;
            }
        }
        findings.counts.push((condition.check, rows));
    }
    Ok(piece)
}

/// True where it is false, and false else.
fn fails(value: &BooleanArray) -> Result<BooleanArray> {
    let is_false = not(value)?;
    if value.null_count() == 0 {
        return Ok(is_false);
    }
    let known = is_not_null(value)?;
    Ok(BooleanArray::new(is_false.values() & known.values(), None))
}
