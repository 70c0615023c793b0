//! [`DataType`]: the types of columns, by the names PostgreSQL has for them.

use std::fmt;
use std::str::FromStr;

use crate::error::Cause;
use crate::nearest::nearest;

/// The most digits of a decimal.
pub const DECIMAL_DIGITS_MAX: u8 = 38;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// True or false.
    Boolean,
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Int,
    /// 64 bits.
    BigInt,
    /// A floating point number of 32 bits.
    Real,
    /// A floating point number of 64 bits.
    Double,
    /// Decimal digits, so many in all and so many of them behind the point.
    Decimal {
        /// In all.
        precision: u8,
        /// Behind the point.
        scale: u8,
    },
    /// Text.
    Text,
    /// Bytes.
    Bytea,
    /// A day.
    Date,
    /// A day and time of day, of no time zone.
    Timestamp,
    /// A moment.
    TimestampTz,
    /// Text that is JSON.
    Json,
}

/// What people may write. The first name of a type is the one that is written back.
const NAMES: &[(&str, DataType)] = &[
    ("boolean", DataType::Boolean),
    ("bool", DataType::Boolean),
    ("smallint", DataType::SmallInt),
    ("int2", DataType::SmallInt),
    ("int", DataType::Int),
    ("integer", DataType::Int),
    ("int4", DataType::Int),
    ("bigint", DataType::BigInt),
    ("int8", DataType::BigInt),
    ("real", DataType::Real),
    ("float4", DataType::Real),
    ("double", DataType::Double),
    ("double precision", DataType::Double),
    ("float", DataType::Double),
    ("float8", DataType::Double),
    ("text", DataType::Text),
    ("varchar", DataType::Text),
    ("bytea", DataType::Bytea),
    ("date", DataType::Date),
    ("timestamp", DataType::Timestamp),
    ("timestamp without time zone", DataType::Timestamp),
    ("timestamptz", DataType::TimestampTz),
    ("timestamp with time zone", DataType::TimestampTz),
    ("json", DataType::Json),
    ("jsonb", DataType::Json),
];
/// What people may write for [`DataType::Decimal`], with its digits in brackets.
const DECIMAL_NAMES: [&str; 2] = ["decimal", "numeric"];

impl fmt::Display for DataType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Decimal { precision, scale } = self {
            return write!(formatter, "decimal({precision},{scale})");
        }
        let name = NAMES.iter().find(|(_, named)| named == self);
        formatter.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for DataType {
    type Err = Cause;

    fn from_str(text: &str) -> Result<Self, Cause> {
        let wanted = text.trim().to_ascii_lowercase();
        if let Some((_, found)) = NAMES.iter().find(|(name, _)| *name == wanted) {
            return Ok(*found);
        }
        if let Some(found) = decimal(&wanted) {
            return found;
        }
        let names = NAMES.iter().map(|(name, _)| *name);
        Err(Cause::UnknownType {
            found: text.to_owned(),
            nearest: nearest(&wanted, names.chain(DECIMAL_NAMES)),
        })
    }
}

/// `decimal(p,s)` or `decimal(p)`; `None` if it is something else.
fn decimal(text: &str) -> Option<Result<DataType, Cause>> {
    let rest = DECIMAL_NAMES
        .iter()
        .find_map(|name| text.strip_prefix(name))?
        .trim();
    let digits = rest
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let Some(digits) = digits else {
        return rest.is_empty().then_some(Err(Cause::DecimalDigits));
    };
    let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
    let number = |text: &str| text.trim().parse::<u8>().ok();
    Some(match (number(precision), number(scale)) {
        (Some(precision), Some(scale))
            if (1..=DECIMAL_DIGITS_MAX).contains(&precision) && scale <= precision =>
        {
            Ok(DataType::Decimal { precision, scale })
        }
        _ => Err(Cause::DecimalDigits),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_by_all_their_names_and_written_by_one() {
        for (text, written) in [
            ("int", "int"),
            ("INTEGER", "int"),
            (" bigint ", "bigint"),
            ("double precision", "double"),
            ("timestamp with time zone", "timestamptz"),
            ("numeric(10, 2)", "decimal(10,2)"),
            ("decimal(38)", "decimal(38,0)"),
            ("jsonb", "json"),
        ] {
            let read: DataType = text.parse().unwrap();
            assert_eq!(read.to_string(), written);
            assert_eq!(written.parse(), Ok(read));
        }
        for (name, data_type) in NAMES {
            assert_eq!(name.parse(), Ok(*data_type));
        }
    }

    #[test]
    fn what_is_no_type_is_told_what_was_meant() {
        let said = |text: &str| text.parse::<DataType>().unwrap_err().to_string();
        assert_eq!(
            said("integr"),
            "unknown type \"integr\"; did you mean integer?"
        );
        assert!(said("thing").starts_with("unknown type \"thing\"; the types are boolean,"));
        for digits in ["", "()", "(0)", "(39)", "(3,4)", "(300,1)", "(-1)"] {
            let said = said(&format!("decimal{digits}"));
            assert!(said.contains("decimal(10,2)"), "{digits}: {said}");
        }
    }
}
