//! PostgreSQL's types, as far as values of Arrow have one, and which Arrow type stands for which.
//!
//! Invariant: one table; the catalogue's `pg_type`, the descriptions of rows and parameters, and the encoders read the same.

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// The key of a field's metadata that says which of several PostgreSQL types an Arrow type stands for.
pub(super) const TYPE_KEY: &str = "pg_type";

/// A scalar type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Bytea,
    Char,
    Name,
    Int8,
    Int2,
    Int4,
    Text,
    Oid,
    Json,
    Float4,
    Float8,
    Unknown,
    Bpchar,
    Varchar,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Numeric,
    Uuid,
    Jsonb,
}

/// A row of the table of types.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) oid: u32,
    pub(super) array_oid: u32,
    /// As in `pg_type.typname`.
    pub(super) name: &'static str,
    /// As SQL writes it, which is what `format_type` answers.
    pub(super) sql: &'static str,
    /// In bytes; -1 if it varies.
    pub(super) size: i16,
    /// As in `pg_type.typcategory`.
    pub(super) category: &'static str,
}

const fn row(
    kind: Kind,
    oid: u32,
    array_oid: u32,
    name: &'static str,
    sql: &'static str,
    size: i16,
    category: &'static str,
) -> Row {
    Row {
        kind,
        oid,
        array_oid,
        name,
        sql,
        size,
        category,
    }
}

/// The types, with the oids of `pg_type.dat`.
pub(super) const TABLE: &[Row] = &[
    row(Kind::Bool, 16, 1000, "bool", "boolean", 1, "B"),
    row(Kind::Bytea, 17, 1001, "bytea", "bytea", -1, "U"),
    row(Kind::Char, 18, 1002, "char", "\"char\"", 1, "Z"),
    row(Kind::Name, 19, 1003, "name", "name", 64, "S"),
    row(Kind::Int8, 20, 1016, "int8", "bigint", 8, "N"),
    row(Kind::Int2, 21, 1005, "int2", "smallint", 2, "N"),
    row(Kind::Int4, 23, 1007, "int4", "integer", 4, "N"),
    row(Kind::Text, 25, 1009, "text", "text", -1, "S"),
    row(Kind::Oid, 26, 1028, "oid", "oid", 4, "N"),
    row(Kind::Json, 114, 199, "json", "json", -1, "U"),
    row(Kind::Float4, 700, 1021, "float4", "real", 4, "N"),
    row(
        Kind::Float8,
        701,
        1022,
        "float8",
        "double precision",
        8,
        "N",
    ),
    row(Kind::Unknown, 705, 0, "unknown", "unknown", -2, "X"),
    row(Kind::Bpchar, 1042, 1014, "bpchar", "character", -1, "S"),
    row(
        Kind::Varchar,
        1043,
        1015,
        "varchar",
        "character varying",
        -1,
        "S",
    ),
    row(Kind::Date, 1082, 1182, "date", "date", 4, "D"),
    row(
        Kind::Time,
        1083,
        1183,
        "time",
        "time without time zone",
        8,
        "D",
    ),
    row(
        Kind::Timestamp,
        1114,
        1115,
        "timestamp",
        "timestamp without time zone",
        8,
        "D",
    ),
    row(
        Kind::Timestamptz,
        1184,
        1185,
        "timestamptz",
        "timestamp with time zone",
        8,
        "D",
    ),
    row(Kind::Interval, 1186, 1187, "interval", "interval", 16, "T"),
    row(Kind::Numeric, 1700, 1231, "numeric", "numeric", -1, "N"),
    row(Kind::Uuid, 2950, 2951, "uuid", "uuid", 16, "U"),
    row(Kind::Jsonb, 3802, 3807, "jsonb", "jsonb", -1, "U"),
];

/// A type: a scalar one, or arrays of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PgType {
    pub(super) kind: Kind,
    pub(super) is_array: bool,
}

impl PgType {
    pub(super) const TEXT: Self = Self::scalar(Kind::Text);

    pub(super) const fn scalar(kind: Kind) -> Self {
        Self {
            kind,
            is_array: false,
        }
    }

    pub(super) fn from_oid(oid: u32) -> Option<Self> {
        TABLE.iter().find_map(|row| {
            let is_array = row.array_oid == oid && oid != 0;
            (is_array || row.oid == oid).then_some(Self {
                kind: row.kind,
                is_array,
            })
        })
    }

    /// The type that the catalogue calls so, arrays with `[]`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let item = name.strip_suffix("[]");
        let row = TABLE.iter().find(|row| row.name == item.unwrap_or(name))?;
        Some(Self {
            kind: row.kind,
            is_array: item.is_some(),
        })
    }

    pub(super) fn row(self) -> &'static Row {
        TABLE
            .iter()
            .find(|row| row.kind == self.kind)
            .expect("every kind has a row")
    }

    pub(super) fn oid(self) -> u32 {
        if self.is_array {
            self.row().array_oid
        } else {
            self.row().oid
        }
    }

    pub(super) fn size(self) -> i16 {
        if self.is_array { -1 } else { self.row().size }
    }

    /// As SQL writes it.
    pub(super) fn sql(self) -> String {
        let array = if self.is_array { "[]" } else { "" };
        format!("{}{array}", self.row().sql)
    }

    /// The type that values of a field are sent as.
    pub(super) fn of_field(field: &Field) -> Self {
        let named = field.metadata().get(TYPE_KEY);
        let named = named.and_then(|name| TABLE.iter().find(|row| row.name == name));
        if let Some(row) = named {
            return Self {
                kind: row.kind,
                is_array: is_list(field.data_type()),
            };
        }
        if field.extension_type_name() == Some("arrow.uuid") {
            return Self::scalar(Kind::Uuid);
        }
        Self::of(field.data_type())
    }

    /// The type that values of an Arrow type are sent as.
    pub(super) fn of(data_type: &DataType) -> Self {
        let kind = match data_type {
            DataType::Boolean => Kind::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Kind::Int2,
            DataType::Int32 | DataType::UInt16 => Kind::Int4,
            DataType::Int64 | DataType::UInt32 => Kind::Int8,
            DataType::Float16 | DataType::Float32 => Kind::Float4,
            DataType::Float64 => Kind::Float8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Kind::Numeric,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Kind::Bytea,
            DataType::Date32 | DataType::Date64 => Kind::Date,
            DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
            DataType::Timestamp(_, None) => Kind::Timestamp,
            DataType::Timestamp(_, Some(_)) => Kind::Timestamptz,
            DataType::Interval(_) | DataType::Duration(_) => Kind::Interval,
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => Kind::Json,
            DataType::Dictionary(_, value) => return Self::of(value),
            DataType::RunEndEncoded(_, value) => return Self::of_field(value),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => {
                let item = Self::of_field(item);
                // Inner lists may differ in length, which PostgreSQL's arrays cannot do.
                let is_array = !item.is_array && item.kind != Kind::Json;
                let kind = if is_array { item.kind } else { Kind::Json };
                return Self { kind, is_array };
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Kind::Text
            }
        };
        Self::scalar(kind)
    }

    /// The Arrow type that parameters of this type become.
    pub(super) fn arrow(self) -> DataType {
        let scalar = match self.kind {
            Kind::Bool => DataType::Boolean,
            Kind::Bytea => DataType::Binary,
            Kind::Int2 => DataType::Int16,
            Kind::Int4 => DataType::Int32,
            Kind::Int8 | Kind::Oid => DataType::Int64,
            Kind::Float4 => DataType::Float32,
            Kind::Float8 => DataType::Float64,
            Kind::Date => DataType::Date32,
            Kind::Time => DataType::Time64(TimeUnit::Nanosecond),
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Kind::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Kind::Numeric => DataType::Decimal128(38, NUMERIC_SCALE),
            Kind::Char
            | Kind::Name
            | Kind::Text
            | Kind::Json
            | Kind::Jsonb
            | Kind::Unknown
            | Kind::Bpchar
            | Kind::Varchar
            | Kind::Uuid => DataType::Utf8,
        };
        if self.is_array {
            DataType::new_list(scalar, true)
        } else {
            scalar
        }
    }
}

/// Digits behind the point that a parameter of type `numeric` keeps; DataFusion's own for NUMERIC without a precision.
pub(super) const NUMERIC_SCALE: i8 = 10;

fn is_list(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_)
            | DataType::LargeList(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::FixedSizeList(..)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_are_found_again() {
        for row in TABLE {
            assert_eq!(PgType::from_oid(row.oid), Some(PgType::scalar(row.kind)));
            if row.array_oid != 0 {
                let array = PgType::from_oid(row.array_oid).unwrap();
                assert_eq!((array.kind, array.is_array), (row.kind, true));
                assert_eq!(array.oid(), row.array_oid);
            }
        }
        assert_eq!(PgType::from_oid(0), None);
    }
}
