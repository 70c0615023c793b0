//! What a filter of a query says about partition, offset or time.
//!
//! Invariant: a row for which the filter is true has its value in [`Constraint::values`]; if the constraint is exact, the
//! filter is true for every row whose value is in there, and for no row whose value is NULL.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

use crate::columns::Column;
use crate::intervals::{Comparison, Intervals};

/// More ranges than this are not kept for one filter: looking a value up is cheap, but plans are printed and copied.
const RANGES_MAX: usize = 4096;
/// Nested deeper than this, a filter is left to the engine above.
const DEPTH_MAX: usize = 64;

/// What a filter says about one column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constraint {
    /// Partition, offset or timestamp.
    pub(crate) column: Column,
    /// The values that may pass; milliseconds for timestamps.
    pub(crate) values: Intervals,
    /// Whether they all do.
    pub(crate) is_exact: bool,
}

/// What `filter` says about one column, if anything that ranges can express.
pub(crate) fn constraint(filter: &Expr) -> Option<Constraint> {
    read(filter, DEPTH_MAX).filter(|found| found.values.len() <= RANGES_MAX)
}

fn read(filter: &Expr, depth: usize) -> Option<Constraint> {
    let depth = depth.checked_sub(1)?;
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => and(read(left, depth), read(right, depth)),
            Operator::Or => or(read(left, depth)?, read(right, depth)?),
            _ => compare(left, comparison(*op)?, right),
        },
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) => {
            let low = compare(expr, Comparison::GreaterOrEqual, low)?;
            let high = compare(expr, Comparison::LessOrEqual, high)?;
            negated_if(*negated, and(Some(low), Some(high))?)
        }
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => negated_if(*negated, in_list(expr, list)?),
        Expr::Not(inner) => negated_if(true, read(inner, depth)?),
        _ => None,
    }
}

fn and(left: Option<Constraint>, right: Option<Constraint>) -> Option<Constraint> {
    match (left, right) {
        (Some(left), Some(right)) if left.column == right.column => Some(Constraint {
            column: left.column,
            values: left.values.intersect(&right.values),
            is_exact: left.is_exact && right.is_exact,
        }),
        // What one side says holds, but is not all there is to it.
        (Some(known), _) | (None, Some(known)) => Some(Constraint {
            is_exact: false,
            ..known
        }),
        (None, None) => None,
    }
}

fn or(left: Constraint, right: Constraint) -> Option<Constraint> {
    (left.column == right.column).then(|| Constraint {
        column: left.column,
        values: left.values.union(&right.values),
        is_exact: left.is_exact && right.is_exact,
    })
}

/// A filter that is not true may be NULL, and then neither is its negation: rows without a value stay out either way. But
/// what is only an outline has no outline of its negation.
fn negated_if(negated: bool, found: Constraint) -> Option<Constraint> {
    match (negated, found.is_exact) {
        (false, _) => Some(found),
        (true, false) => None,
        (true, true) => Some(Constraint {
            values: found.values.complement(),
            ..found
        }),
    }
}

const fn comparison(operator: Operator) -> Option<Comparison> {
    match operator {
        Operator::Eq => Some(Comparison::Equal),
        Operator::NotEq => Some(Comparison::NotEqual),
        Operator::Lt => Some(Comparison::Less),
        Operator::LtEq => Some(Comparison::LessOrEqual),
        Operator::Gt => Some(Comparison::Greater),
        Operator::GtEq => Some(Comparison::GreaterOrEqual),
        _ => None,
    }
}

fn compare(left: &Expr, comparison: Comparison, right: &Expr) -> Option<Constraint> {
    if let Some(column) = Operand::of(left) {
        column.compare(comparison, right)
    } else {
        Operand::of(right)?.compare(comparison.flipped(), left)
    }
}

fn in_list(value: &Expr, list: &[Expr]) -> Option<Constraint> {
    let operand = Operand::of(value)?;
    let mut points = Vec::with_capacity(list.len().min(RANGES_MAX));
    for element in list {
        let found = operand.compare(Comparison::Equal, element)?;
        points.push(found.values);
    }
    // Two at a time, so that a list of n takes n log n steps.
    while points.len() > 1 {
        let halves = points.chunks(2);
        points = halves
            .map(|pair| match pair {
                [left, right] => left.union(right),
                rest => rest.first().cloned().unwrap_or_else(Intervals::none),
            })
            .collect();
    }
    Some(Constraint {
        column: operand.column,
        values: points.pop().unwrap_or_else(Intervals::none),
        is_exact: operand.is_exact,
    })
}

/// A column, or a cast of one that changes no comparison.
#[derive(Clone, Copy, Debug)]
struct Operand {
    column: Column,
    /// Whether a cast can fail, so that the comparison has to stay for its error.
    is_exact: bool,
}

impl Operand {
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Column(column) => {
                let column = Column::from_name(&column.name)?;
                let is_ordered = matches!(
                    column,
                    Column::Partition | Column::Offset | Column::Timestamp
                );
                is_ordered.then_some(Self {
                    column,
                    is_exact: true,
                })
            }
            Expr::Cast(cast) => {
                let inner = Self::of(&cast.expr)?;
                match (inner.column, cast.field.data_type()) {
                    (Column::Partition, DataType::Int32 | DataType::Int64)
                    | (Column::Offset, DataType::Int64) => Some(inner),
                    // A finer unit overflows for times that are far away.
                    (
                        Column::Timestamp,
                        DataType::Timestamp(
                            TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond,
                            _,
                        ),
                    ) => Some(Self {
                        is_exact: false,
                        ..inner
                    }),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn compare(self, comparison: Comparison, literal: &Expr) -> Option<Constraint> {
        let Expr::Literal(literal, _) = literal else {
            return None;
        };
        let (value, scale) = match self.column {
            Column::Timestamp => time(literal)?,
            _ => (integer(literal)?, 1),
        };
        Some(Constraint {
            column: self.column,
            values: Intervals::comparing(comparison, value, scale),
            is_exact: self.is_exact,
        })
    }
}

fn integer(literal: &ScalarValue) -> Option<i128> {
    Some(match literal {
        ScalarValue::Int8(Some(value)) => (*value).into(),
        ScalarValue::Int16(Some(value)) => (*value).into(),
        ScalarValue::Int32(Some(value)) => (*value).into(),
        ScalarValue::Int64(Some(value)) => (*value).into(),
        ScalarValue::UInt8(Some(value)) => (*value).into(),
        ScalarValue::UInt16(Some(value)) => (*value).into(),
        ScalarValue::UInt32(Some(value)) => (*value).into(),
        ScalarValue::UInt64(Some(value)) => (*value).into(),
        _ => return None,
    })
}

/// A moment, and how many of its units a millisecond has. Seconds are brought to milliseconds.
fn time(literal: &ScalarValue) -> Option<(i128, i128)> {
    Some(match literal {
        ScalarValue::TimestampSecond(Some(value), _) => (i128::from(*value) * 1000, 1),
        ScalarValue::TimestampMillisecond(Some(value), _) => ((*value).into(), 1),
        ScalarValue::TimestampMicrosecond(Some(value), _) => ((*value).into(), 1000),
        ScalarValue::TimestampNanosecond(Some(value), _) => ((*value).into(), 1_000_000),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{cast, col, lit};

    use super::*;

    fn check(filter: Expr, column: Column, values: &str, is_exact: bool) {
        let found = constraint(&filter).unwrap_or_else(|| panic!("nothing known of {filter}"));
        assert_eq!(found.column, column, "{filter}");
        assert_eq!(found.values.to_string(), values, "{filter}");
        assert_eq!(found.is_exact, is_exact, "{filter}");
    }

    fn at(ms: i64) -> Expr {
        lit(ScalarValue::TimestampMillisecond(
            Some(ms),
            Some("+00:00".into()),
        ))
    }

    #[test]
    fn comparisons_with_literals_are_exact_on_both_sides() {
        check(col("_offset").gt(lit(5_i64)), Column::Offset, "6..", true);
        check(lit(5_i64).gt(col("_offset")), Column::Offset, "..=4", true);
        check(col("_offset").eq(lit(7_i64)), Column::Offset, "7", true);
        check(
            col("_partition").not_eq(lit(1_i32)),
            Column::Partition,
            "..=0, 2..",
            true,
        );
        check(
            col("_offset").between(lit(2_i64), lit(4_i64)),
            Column::Offset,
            "2..=4",
            true,
        );
        check(
            col("_offset").not_between(lit(2_i64), lit(4_i64)),
            Column::Offset,
            "..=1, 5..",
            true,
        );
    }

    #[test]
    fn lists_and_alternatives_are_unions() {
        let list = vec![lit(3_i32), lit(1_i32), lit(2_i32), lit(9_i32), lit(9_i32)];
        check(
            col("_partition").in_list(list.clone(), false),
            Column::Partition,
            "1..=3, 9",
            true,
        );
        check(
            col("_partition").in_list(list, true),
            Column::Partition,
            "..=0, 4..=8, 10..",
            true,
        );
        let either = col("_offset")
            .lt(lit(3_i64))
            .or(col("_offset").gt_eq(lit(8_i64)));
        check(either.clone(), Column::Offset, "..=2, 8..", true);
        check(Expr::Not(Box::new(either)), Column::Offset, "3..=7", true);
    }

    #[test]
    fn one_side_of_a_conjunction_is_an_outline() {
        let mixed = col("_offset")
            .gt(lit(5_i64))
            .and(col("_value").eq(lit("x")));
        check(mixed.clone(), Column::Offset, "6..", false);
        assert_eq!(constraint(&Expr::Not(Box::new(mixed))), None);
        let apart = col("_offset")
            .gt(lit(5_i64))
            .or(col("_partition").eq(lit(1_i32)));
        assert_eq!(constraint(&apart), None);
    }

    #[test]
    fn times_of_every_unit_are_compared_in_milliseconds() {
        check(
            col("_timestamp").gt_eq(at(1500)),
            Column::Timestamp,
            "1500..",
            true,
        );
        let nanoseconds = |value| lit(ScalarValue::TimestampNanosecond(Some(value), None));
        let column = || {
            cast(
                col("_timestamp"),
                DataType::Timestamp(TimeUnit::Nanosecond, None),
            )
        };
        check(
            column().gt_eq(nanoseconds(1_500_000_001)),
            Column::Timestamp,
            "1501..",
            false,
        );
        check(
            column().lt(nanoseconds(1_500_000_001)),
            Column::Timestamp,
            "..=1500",
            false,
        );
        check(column().eq(nanoseconds(1)), Column::Timestamp, "", false);
    }

    #[test]
    fn what_ranges_cannot_say_is_left_alone() {
        let of = |filter: Expr| constraint(&filter);
        assert_eq!(of(col("_value").eq(lit("x"))), None);
        assert_eq!(of(col("_offset").gt(col("_partition"))), None);
        assert_eq!(of(col("_offset").eq(lit(ScalarValue::Int64(None)))), None);
        assert_eq!(
            of(cast(col("_offset"), DataType::Float64).gt(lit(1.5))),
            None
        );
        assert_eq!(
            of(cast(col("_offset"), DataType::Int32).gt(lit(1_i32))),
            None
        );
        let seconds = cast(
            col("_timestamp"),
            DataType::Timestamp(TimeUnit::Second, None),
        );
        assert_eq!(of(seconds.gt(at(1))), None);
        let many = (0..5000).map(|offset| lit(2_i64 * offset)).collect();
        assert_eq!(of(col("_offset").in_list(many, false)), None);
    }
}
