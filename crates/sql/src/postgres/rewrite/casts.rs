//! Casts to PostgreSQL's own types, and what the parser calls types.
//!
//! `'name'::regclass` is the number of a relation, `number::regclass` shows its name. PostgreSQL has one type for both; here
//! literals become the number and all else the name, which is how clients use it. Functions have no numbers: `'name'::regproc` is
//! the name without its schema, and its number an error that says that there is no such function.
//!
//! A parameter keeps its cast, whose type it has: [`Parameters`] makes it plain once the type is known.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, ExactNumberInfo, Expr, Ident, ObjectName, TimezoneInfo, Value,
    VisitorMut,
};

use super::super::types::{Kind, PgType};
use super::{arrays, call_with, is_named, null, take};

/// The function that a literal of type `regproc` becomes.
const FUNCTION_NAME: &str = "pg_regproc_name";
/// The function that all but a literal of type `regclass` becomes.
const RELATION_NAME: &str = "pg_regclass_name";

pub(super) fn rewrite(expr: &mut Expr) {
    let Expr::Cast {
        expr: inner,
        data_type,
        ..
    } = expr
    else {
        return;
    };
    match catalogue_name(data_type).as_deref() {
        Some("regclass") => {
            let function = if is_literal(inner) {
                "to_regclass"
            } else {
                RELATION_NAME
            };
            *expr = call_with(function, vec![take(inner)]);
        }
        Some("regtype") => {
            *expr = if is_literal(inner) {
                call_with("to_regtype", vec![take(inner)])
            } else {
                call_with("format_type", vec![take(inner), null()])
            };
        }
        Some("regproc" | "regprocedure") if is_literal(inner) => {
            *expr = call_with(FUNCTION_NAME, vec![take(inner)]);
        }
        Some("oid") if is_call(inner, FUNCTION_NAME) => {
            *expr = call_with("pg_regproc_oid", vec![take(inner)]);
        }
        // The number again, of which the cast inside has made a name.
        Some("oid") if is_call(inner, RELATION_NAME) => {
            let mut call = take(inner);
            if let Expr::Function(function) = &mut call {
                function.name = ObjectName::from(vec![Ident::new("to_regclass")]);
            }
            *expr = call;
        }
        Some("regnamespace" | "regrole") if !is_literal(inner) => {
            let function = if catalogue_name(data_type).as_deref() == Some("regrole") {
                "pg_get_userbyid"
            } else {
                "pg_namespace_name"
            };
            *expr = call_with(function, vec![take(inner)]);
        }
        _ if is_parameter(inner) => {}
        _ => {
            if let Some(plain) = plain(data_type) {
                *data_type = plain;
            }
            if matches!(data_type, DataType::Array(_)) {
                arrays::of_literal(inner);
            }
        }
    }
}

/// Casts of parameters, which [`rewrite`] leaves as they are.
pub(in super::super) struct Parameters;

impl VisitorMut for Parameters {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast {
            expr: inner,
            data_type,
            ..
        } = expr
            && is_parameter(inner)
            && let Some(plain) = plain(data_type)
        {
            *data_type = plain;
        }
        ControlFlow::Continue(())
    }
}

fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        Expr::Nested(inner) => is_parameter(inner),
        _ => false,
    }
}

fn is_call(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Function(function) if is_named(&function.name, name))
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(
            value.value,
            Value::SingleQuotedString(_) | Value::Placeholder(_)
        ),
        Expr::Nested(inner) => is_literal(inner),
        Expr::Cast {
            expr: inner,
            data_type: DataType::Text,
            ..
        } => is_literal(inner),
        _ => false,
    }
}

/// The name of a type that only the catalogue knows.
fn catalogue_name(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Regclass => Some("regclass".to_owned()),
        DataType::Custom(name, modifiers) if modifiers.is_empty() => last(name),
        _ => None,
    }
}

fn last(name: &ObjectName) -> Option<String> {
    let part = name.0.last()?.as_ident()?;
    Some(part.value.to_ascii_lowercase())
}

/// A type that DataFusion has, for one that it does not know by this name.
fn plain(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) => {
            let item = plain(item)?;
            Some(DataType::Array(ArrayElemTypeDef::SquareBracket(
                Box::new(item),
                None,
            )))
        }
        DataType::JSON | DataType::JSONB | DataType::Uuid => Some(DataType::Text),
        // As wide as its binary digits need.
        DataType::Float(ExactNumberInfo::Precision(1..=24)) => Some(DataType::Real),
        DataType::Float(_) => Some(DataType::DoublePrecision),
        _ => Some(of_pg(from_catalogue_name(&catalogue_name(data_type)?)?)),
    }
}

fn from_catalogue_name(name: &str) -> Option<PgType> {
    let kind = match name {
        "int2vector" | "oidvector" | "regproc" | "regprocedure" | "regnamespace" | "regrole"
        | "cstring" | "pg_node_tree" | "aclitem" => Kind::Text,
        "xid" | "cid" | "regoper" | "regoperator" => Kind::Int8,
        name => {
            super::super::types::TABLE
                .iter()
                .find(|row| row.name == name)?
                .kind
        }
    };
    Some(PgType::scalar(kind))
}

/// PostgreSQL's type as the parser would have read it.
pub(in super::super) fn of_pg(kind: PgType) -> DataType {
    let scalar = match kind.kind {
        Kind::Bool => DataType::Boolean,
        Kind::Bytea => DataType::Bytea,
        Kind::Int2 => DataType::SmallInt(None),
        Kind::Int4 => DataType::Integer(None),
        Kind::Int8 | Kind::Oid => DataType::BigInt(None),
        Kind::Float4 => DataType::Real,
        Kind::Float8 => DataType::DoublePrecision,
        Kind::Date => DataType::Date,
        Kind::Time => DataType::Time(None, TimezoneInfo::None),
        Kind::Timestamp => DataType::Timestamp(None, TimezoneInfo::None),
        Kind::Timestamptz => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        Kind::Interval => DataType::Interval {
            fields: None,
            precision: None,
        },
        Kind::Numeric => DataType::Numeric(ExactNumberInfo::None),
        Kind::Char
        | Kind::Name
        | Kind::Text
        | Kind::Json
        | Kind::Jsonb
        | Kind::Unknown
        | Kind::Bpchar
        | Kind::Varchar
        | Kind::Uuid => DataType::Text,
    };
    if kind.is_array {
        DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(scalar), None))
    } else {
        scalar
    }
}

/// The type that SQL names so.
pub(in super::super) fn to_pg(data_type: &DataType) -> Option<PgType> {
    let kind = match data_type {
        DataType::Bool | DataType::Boolean => Kind::Bool,
        DataType::Bytea => Kind::Bytea,
        DataType::SmallInt(_) | DataType::Int2(_) => Kind::Int2,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => Kind::Int4,
        DataType::BigInt(_) | DataType::Int8(_) => Kind::Int8,
        DataType::Real | DataType::Float4 => Kind::Float4,
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => {
            Kind::Float8
        }
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => Kind::Numeric,
        DataType::Date => Kind::Date,
        DataType::Time(..) => Kind::Time,
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => Kind::Timestamptz,
        DataType::Timestamp(..) => Kind::Timestamp,
        DataType::Interval { .. } => Kind::Interval,
        DataType::Uuid => Kind::Uuid,
        DataType::JSON => Kind::Json,
        DataType::JSONB => Kind::Jsonb,
        DataType::Text
        | DataType::Varchar(_)
        | DataType::CharacterVarying(_)
        | DataType::Char(_)
        | DataType::Character(_) => Kind::Text,
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) => {
            let item = to_pg(item).filter(|item| !item.is_array)?;
            return Some(PgType {
                is_array: true,
                ..item
            });
        }
        DataType::Custom(name, _) => return from_catalogue_name(&last(name)?),
        _ => return None,
    };
    Some(PgType::scalar(kind))
}
