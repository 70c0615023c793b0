//! Precisions, scales and lengths of columns' types.

use datafusion::arrow::datatypes::DataType;

use super::super::types::{Kind, PgType};
use super::define::{Cell, Row};

/// The digits of a decimal, and those of them behind the point.
fn decimal(data_type: &DataType) -> Option<(i64, i64)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some(((*precision).into(), (*scale).into())),
        _ => None,
    }
}

/// What a type has in parentheses, as `numeric.c` packs it; -1 if it has nothing.
pub(super) fn modifier(data_type: &DataType) -> i64 {
    match decimal(data_type) {
        Some((precision, scale)) => ((precision << 16) | (scale & 0x7ff)) + 4,
        None => -1,
    }
}

/// What `information_schema.columns` tells of a type. Floats and integers are counted in binary digits.
pub(super) fn of(kind: PgType, data_type: &DataType) -> Row {
    let numeric = |precision: i64, radix: i64, scale: Option<i64>| {
        let mut row = Row::from([
            ("numeric_precision", Cell::Number(precision)),
            ("numeric_precision_radix", Cell::Number(radix)),
        ]);
        row.extend(scale.map(|scale| ("numeric_scale", Cell::Number(scale))));
        row
    };
    let one = |name, number| Row::from([(name, Cell::Number(number))]);
    match kind.kind {
        _ if kind.is_array => Row::new(),
        Kind::Int2 => numeric(16, 2, Some(0)),
        Kind::Int4 => numeric(32, 2, Some(0)),
        Kind::Int8 => numeric(64, 2, Some(0)),
        Kind::Float4 => numeric(24, 2, None),
        Kind::Float8 => numeric(53, 2, None),
        Kind::Numeric => match decimal(data_type) {
            Some((precision, scale)) => numeric(precision, 10, Some(scale)),
            None => one("numeric_precision_radix", 10),
        },
        Kind::Date => one("datetime_precision", 0),
        Kind::Time | Kind::Timestamp | Kind::Timestamptz | Kind::Interval => {
            one("datetime_precision", 6)
        }
        // A gigabyte, as PostgreSQL has it.
        Kind::Text | Kind::Varchar | Kind::Bpchar => one("character_octet_length", 1 << 30),
        _ => Row::new(),
    }
}
