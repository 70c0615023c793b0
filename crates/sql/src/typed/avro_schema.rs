//! [`Schema`]: a schema of Avro as a table of types, so that one which contains itself is no loop.

use std::collections::HashMap;

use contract::DataType;
use datafusion::arrow::datatypes::Date32Type;
use serde_json::Value;

use super::cell::Cell;
use super::compiled::ContractFault;
use super::misfit::Misfit;

/// The most types of a schema. Its text is bounded too.
const TYPES_MAX: usize = 16 << 10;

/// A schema.
#[derive(Debug)]
pub(super) struct Schema {
    types: Vec<Type>,
    /// Of the record that a datum is.
    fields: Vec<(String, usize)>,
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Type {
    pub(super) shape: Shape,
    pub(super) meaning: Meaning,
}

/// How a value is written. Other types are meant by their place in the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    List(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<(String, usize)>),
}

impl Shape {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Record(_) => "a record",
            Self::List(_) => "an array",
            Self::Map(_) => "a map",
            _ => "a value",
        }
    }
}

/// What a value stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    Plain,
    /// A number with so many digits behind the point.
    Decimal(usize),
    Date,
    /// A time in so many parts of a second, and whether it is a moment or that of a place.
    Time {
        per_second: i64,
        is_moment: bool,
    },
    Uuid,
}

impl Schema {
    pub(super) fn parse(text: &str) -> Result<Self, ContractFault> {
        let schema: Value = serde_json::from_str(text).map_err(ContractFault::of)?;
        let mut table = Table::default();
        let root = table.add(&schema, "")?;
        let Some(Shape::Record(fields)) = table.types.get(root).map(|of| &of.shape) else {
            return Err(ContractFault::of("its schema is no record"));
        };
        Ok(Self {
            fields: fields.clone(),
            types: table.types,
        })
    }

    pub(super) fn fields(&self) -> &[(String, usize)] {
        &self.fields
    }

    pub(super) fn get(&self, of: usize) -> &Type {
        static NULL: Type = plain(Shape::Null);
        self.types.get(of).unwrap_or(&NULL)
    }
}

const fn plain(shape: Shape) -> Type {
    Type {
        shape,
        meaning: Meaning::Plain,
    }
}

/// A schema that is being read. A library for Avro would do, but those there are drag what DataFusion uses along in other
/// features, so that it is compiled twice.
#[derive(Default)]
struct Table {
    types: Vec<Type>,
    /// By their full names.
    names: HashMap<String, usize>,
}

impl Table {
    /// Adds a type and those it consists of. `namespace` is that of the type around it.
    fn add(&mut self, of: &Value, namespace: &str) -> Result<usize, ContractFault> {
        match of {
            Value::String(name) => match primitive(name) {
                Some(shape) => self.push(plain(shape)),
                None => self.named(name, namespace),
            },
            Value::Array(branches) => {
                let branches: Result<_, _> = branches
                    .iter()
                    .map(|branch| self.add(branch, namespace))
                    .collect();
                self.push(plain(Shape::Union(branches?)))
            }
            Value::Object(_) => self.object(of, namespace),
            other => Err(ContractFault::of(format!("{other} is no type of Avro"))),
        }
    }

    fn push(&mut self, of: Type) -> Result<usize, ContractFault> {
        if self.types.len() == TYPES_MAX {
            return Err(ContractFault::of("its schema has too many types"));
        }
        self.types.push(of);
        Ok(self.types.len() - 1)
    }

    /// A type that was defined before.
    fn named(&self, name: &str, namespace: &str) -> Result<usize, ContractFault> {
        let found = self.names.get(&full_name(name, namespace));
        // A name without a namespace may be one of none.
        let found = found.or_else(|| self.names.get(name)).copied();
        found.ok_or_else(|| ContractFault::of(format!("its schema has no type \"{name}\"")))
    }

    fn object(&mut self, of: &Value, namespace: &str) -> Result<usize, ContractFault> {
        let Some(Value::String(word)) = of.get("type") else {
            // A type of a type, as `{"type": {"type": "string"}}`.
            let inner = of.get("type");
            let inner = inner.ok_or_else(|| ContractFault::of(format!("{of} has no type")))?;
            return self.add(inner, namespace);
        };
        let shape = match word.as_str() {
            "record" | "error" | "enum" | "fixed" => return self.define(word, of, namespace),
            "array" => Shape::List(self.add(member(of, "items")?, namespace)?),
            "map" => Shape::Map(self.add(member(of, "values")?, namespace)?),
            word => match primitive(word) {
                Some(shape) => shape,
                None => return self.named(word, namespace),
            },
        };
        let meaning = meaning(of, &shape);
        self.push(Type { shape, meaning })
    }

    /// A type with a name.
    fn define(&mut self, word: &str, of: &Value, namespace: &str) -> Result<usize, ContractFault> {
        let own = of.get("namespace").and_then(Value::as_str);
        let name = full_name(text(of, "name")?, own.unwrap_or(namespace));
        // Until it is known; a type may name itself.
        let place = self.push(plain(Shape::Null))?;
        if self.names.insert(name.clone(), place).is_some() {
            return Err(ContractFault::of(format!(
                "its schema has two types \"{name}\""
            )));
        }
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let shape = match word {
            "enum" => Shape::Enum(symbols(of)?),
            "fixed" => Shape::Fixed(size(of)?),
            _ => Shape::Record(self.record(of, namespace)?),
        };
        let meaning = meaning(of, &shape);
        if let Some(known) = self.types.get_mut(place) {
            *known = Type { shape, meaning };
        }
        Ok(place)
    }

    fn record(
        &mut self,
        of: &Value,
        namespace: &str,
    ) -> Result<Vec<(String, usize)>, ContractFault> {
        let fields = list(of, "fields")?.iter();
        fields
            .map(|field| {
                let name = text(field, "name")?.to_owned();
                Ok((name, self.add(member(field, "type")?, namespace)?))
            })
            .collect()
    }
}

fn primitive(word: &str) -> Option<Shape> {
    Some(match word {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::Text,
        _ => return None,
    })
}

/// What a type stands for. What is not known or does not fit its type does not count, as Avro wants it.
fn meaning(of: &Value, shape: &Shape) -> Meaning {
    let time = |per_second, is_moment| Meaning::Time {
        per_second,
        is_moment,
    };
    let word = of.get("logicalType").and_then(Value::as_str);
    match (word.unwrap_or_default(), shape) {
        ("date", Shape::Int) => Meaning::Date,
        ("timestamp-millis", Shape::Long) => time(1_000, true),
        ("timestamp-micros", Shape::Long) => time(1_000_000, true),
        ("timestamp-nanos", Shape::Long) => time(1_000_000_000, true),
        ("local-timestamp-millis", Shape::Long) => time(1_000, false),
        ("local-timestamp-micros", Shape::Long) => time(1_000_000, false),
        ("local-timestamp-nanos", Shape::Long) => time(1_000_000_000, false),
        ("decimal", Shape::Bytes | Shape::Fixed(_)) => {
            let scale = of.get("scale").and_then(Value::as_u64).unwrap_or(0);
            usize::try_from(scale).map_or(Meaning::Plain, Meaning::Decimal)
        }
        ("uuid", Shape::Fixed(16)) => Meaning::Uuid,
        _ => Meaning::Plain,
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn member<'a>(of: &'a Value, key: &str) -> Result<&'a Value, ContractFault> {
    let found = of.get(key);
    found.ok_or_else(|| ContractFault::of(format!("a type of its schema has no {key}: {of}")))
}

fn text<'a>(of: &'a Value, key: &str) -> Result<&'a str, ContractFault> {
    let found = member(of, key)?.as_str();
    found.ok_or_else(|| ContractFault::of(format!("the {key} of a type is no text: {of}")))
}

fn list<'a>(of: &'a Value, key: &str) -> Result<&'a [Value], ContractFault> {
    let found = member(of, key)?.as_array();
    let found = found.map(Vec::as_slice);
    found.ok_or_else(|| ContractFault::of(format!("the {key} of a type are no list: {of}")))
}

fn symbols(of: &Value) -> Result<Vec<String>, ContractFault> {
    let symbols = list(of, "symbols")?.iter();
    let symbols: Option<_> = symbols
        .map(|symbol| symbol.as_str().map(str::to_owned))
        .collect();
    symbols.ok_or_else(|| ContractFault::of(format!("a symbol of a type is no text: {of}")))
}

fn size(of: &Value) -> Result<usize, ContractFault> {
    let size = member(of, "size")?.as_u64();
    let size = size.and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| ContractFault::of(format!("the size of a type is no number: {of}")))
}

impl Meaning {
    /// A number as a time.
    pub(super) fn time<'a>(self, value: i64, column: DataType) -> Result<Cell<'a>, Misfit<'a>> {
        let range = || Misfit::Range {
            text: value.to_string().into(),
            of: column,
        };
        match (self, column) {
            (_, DataType::Text) => {
                let text = self.time_text(value).unwrap_or_else(|| value.to_string());
                Ok(Cell::Text(text.into()))
            }
            (Self::Date, DataType::Date) => Ok(Cell::Int(value)),
            (Self::Time { per_second, .. }, DataType::Timestamp | DataType::TimestampTz) => {
                let micros = micros(value, per_second).ok_or_else(range)?;
                Ok(Cell::Int(micros))
            }
            _ => Err(Misfit::Kind {
                found: "a time of another kind",
                of: column,
            }),
        }
    }

    /// A number as the time it stands for, as ISO 8601 writes it.
    pub(super) fn time_text(self, value: i64) -> Option<String> {
        match self {
            Self::Date => {
                let days = i32::try_from(value).ok()?;
                Some(Date32Type::to_naive_date_opt(days)?.to_string())
            }
            Self::Time {
                per_second,
                is_moment,
            } => {
                let time = chrono::DateTime::from_timestamp_micros(micros(value, per_second)?)?;
                let zone = if is_moment { "Z" } else { "" };
                Some(format!("{:?}{zone}", time.naive_utc()))
            }
            Self::Plain | Self::Decimal(_) | Self::Uuid => None,
        }
    }

    /// Bytes as what they stand for, and whether that is a number.
    pub(super) fn bytes_text(self, bytes: &[u8]) -> Option<(String, bool)> {
        match self {
            Self::Decimal(scale) => Some((decimal_text(bytes, scale)?, true)),
            Self::Uuid => {
                let bytes = bytes.try_into().ok()?;
                let digits = format!("{:032x}", u128::from_be_bytes(bytes));
                let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
                let parts: Vec<_> = parts
                    .into_iter()
                    .filter_map(|part| digits.get(part))
                    .collect();
                Some((parts.join("-"), false))
            }
            _ => None,
        }
    }
}

fn micros(value: i64, per_second: i64) -> Option<i64> {
    const MICROS: i64 = 1_000_000;
    if per_second > MICROS {
        Some(value.div_euclid(per_second / MICROS))
    } else {
        value.checked_mul(MICROS / per_second)
    }
}

/// With more digits than this behind the point, a number is written with an exponent.
const POINT_DIGITS_MAX: usize = 40;

/// A number in two's complement, the highest byte first; `None` if it has more bits than 128.
fn decimal_text(bytes: &[u8], scale: usize) -> Option<String> {
    let is_negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let filler = if is_negative { 0xff } else { 0 };
    let mut wide = [filler; 16];
    let start = wide.len().checked_sub(bytes.len())?;
    wide.get_mut(start..)?.copy_from_slice(bytes);
    let value = i128::from_be_bytes(wide);
    let sign = if value < 0 { "-" } else { "" };
    let mut digits = value.unsigned_abs().to_string();
    if scale > POINT_DIGITS_MAX {
        return Some(format!("{sign}{digits}e-{scale}"));
    }
    let missing = (scale + 1).saturating_sub(digits.len());
    digits.insert_str(0, &"0".repeat(missing));
    if scale > 0 {
        digits.insert(digits.len() - scale, '.');
    }
    Some(format!("{sign}{digits}"))
}
