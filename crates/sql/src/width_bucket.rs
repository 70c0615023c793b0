//! `width_bucket(value, low, high, count)`, as PostgreSQL has it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// The function of this name: in which of `count` equal parts of the range from `low` up to `high` a value lies, counted from 1; 0
/// before them, `count + 1` behind them. The range may go down as well.
pub(crate) fn width_bucket() -> ScalarUDF {
    let number = DataType::Float64;
    create_udf(
        "width_bucket",
        vec![number.clone(), number.clone(), number, DataType::Int64],
        DataType::Int32,
        Volatility::Immutable,
        Arc::new(evaluate),
    )
}

fn evaluate(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let [value, low, high, count] = arrays.as_slice() else {
        return Err(exec_datafusion_err!("width_bucket takes four arguments"));
    };
    let numbers = |array: &ArrayRef| array.as_primitive::<Float64Type>().clone();
    let (values, lows, highs) = (numbers(value), numbers(low), numbers(high));
    let counts = count.as_primitive::<Int64Type>();
    let buckets = (0..values.len()).map(|row| {
        let is_null = [value, low, high, count]
            .iter()
            .any(|array| array.is_null(row));
        if is_null {
            return Ok(None);
        }
        bucket(
            values.value(row),
            lows.value(row),
            highs.value(row),
            counts.value(row),
        )
        .map(Some)
    });
    let buckets: Int32Array = buckets.collect::<Result<_>>()?;
    Ok(ColumnarValue::Array(Arc::new(buckets)))
}

/// As `width_bucket_float8` of PostgreSQL, with its errors.
fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<i32> {
    let out_of_range = || exec_datafusion_err!("integer out of range");
    let count = i32::try_from(count).map_err(|_larger| out_of_range())?;
    if count <= 0 {
        return Err(exec_datafusion_err!("count must be greater than zero"));
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(exec_datafusion_err!(
            "operand, lower bound, and upper bound cannot be NaN"
        ));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(exec_datafusion_err!(
            "lower and upper bounds must be finite"
        ));
    }
    let (is_before, is_behind) = if low < high {
        (value < low, value >= high)
    } else if low > high {
        (value > low, value <= high)
    } else {
        return Err(exec_datafusion_err!("lower bound cannot equal upper bound"));
    };
    if is_before {
        return Ok(0);
    }
    if is_behind {
        let behind = count.checked_add(1);
        return behind.ok_or_else(out_of_range);
    }
    // Halves, since the difference of two numbers may be none.
    let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it lies between 0 and a count of 32 bits"
    )]
    let parts = (share * f64::from(count)) as i32;
    // Rounding does not lead behind the end.
    Ok(parts.min(count - 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_postgresql() {
        for (value, low, high, count, expected) in [
            (5.35, 0.024, 10.06, 5, 3),
            (0.0, 0.0, 10.0, 10, 1),
            (-0.1, 0.0, 10.0, 10, 0),
            (10.0, 0.0, 10.0, 10, 11),
            (9.999_999_999_999_999, 0.0, 10.0, 10, 10),
            (10.0, 10.0, 0.0, 10, 1),
            (0.0, 10.0, 0.0, 10, 11),
            (11.0, 10.0, 0.0, 10, 0),
            (4.5, 10.0, 0.0, 10, 6),
            (0.0, f64::MIN, f64::MAX, 4, 3),
            (f64::INFINITY, 0.0, 1.0, 3, 4),
            (f64::NEG_INFINITY, 0.0, 1.0, 3, 0),
        ] {
            let found = bucket(value, low, high, count).unwrap();
            assert_eq!(found, expected, "{value} {low} {high} {count}");
        }
    }

    #[test]
    fn what_postgresql_refuses_is_refused() {
        for (value, low, high, count, says) in [
            (1.0, 0.0, 1.0, 0, "count must be greater"),
            (1.0, 1.0, 1.0, 3, "cannot equal"),
            (f64::NAN, 0.0, 1.0, 3, "cannot be NaN"),
            (1.0, 0.0, f64::INFINITY, 3, "must be finite"),
            (2.0, 0.0, 1.0, i32::MAX.into(), "out of range"),
            (2.0, 0.0, 1.0, i64::MAX, "out of range"),
        ] {
            let error = bucket(value, low, high, count).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
