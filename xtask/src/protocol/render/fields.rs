//! What decoding, encoding and samples need to know of a struct's fields: names, types, defaults, versions, sizes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::protocol::definition::{FieldSpec, FieldType, StructSpec, Versions};

/// `ISRNodes` → `isr_nodes`, `TopicId` → `topic_id`.
pub(in crate::protocol) fn snake_case(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, &character) in characters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| characters[before]);
        let starts_word = before.is_some_and(|before| {
            !before.is_uppercase()
                || characters
                    .get(index + 1)
                    .is_some_and(|next| next.is_lowercase())
        });
        if character.is_uppercase() && starts_word {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

/// Names our own code uses beside the fields in the same function.
pub(super) const RESERVED: [&str; 8] = [
    "reader", "writer", "version", "flexible", "tags", "tag", "size", "samples",
];

pub(super) fn field_name(field: &FieldSpec) -> Result<String> {
    let name = snake_case(&field.name);
    Ok(match name.as_str() {
        "type" | "match" | "use" | "move" | "ref" | "in" | "loop" | "fn" | "mod" | "where" => {
            format!("r#{name}")
        }
        "self" | "super" | "crate" => bail!("field {name} cannot be an identifier"),
        _ => name,
    })
}

/// The variable that holds a field while a struct is decoded.
pub(super) fn local_name(field: &FieldSpec) -> Result<String> {
    let name = field_name(field)?;
    Ok(if RESERVED.contains(&name.as_str()) {
        format!("{name}_field")
    } else {
        name
    })
}

/// When a version range holds, as Rust.
pub(super) enum Condition {
    Always,
    Never,
    If(String),
}

pub(super) fn condition(versions: Versions, possible: Versions) -> Condition {
    let both = versions.intersect(possible);
    if both.is_empty() {
        return Condition::Never;
    }
    match (both.low > possible.low, both.high < possible.high) {
        (false, false) => Condition::Always,
        (true, false) => Condition::If(format!("version >= {}", both.low)),
        (false, true) if both.high == possible.low => {
            Condition::If(format!("version == {}", both.high))
        }
        (false, true) => Condition::If(format!("version <= {}", both.high)),
        (true, true) if both.low == both.high => Condition::If(format!("version == {}", both.low)),
        (true, true) => Condition::If(format!("({}..={}).contains(&version)", both.low, both.high)),
    }
}

/// When a version range does not hold.
pub(super) fn inverse(versions: Versions, possible: Versions) -> Condition {
    let both = versions.intersect(possible);
    if both.is_empty() {
        return Condition::Always;
    }
    match (both.low > possible.low, both.high < possible.high) {
        (false, false) => Condition::Never,
        (true, false) => Condition::If(format!("version < {}", both.low)),
        (false, true) => Condition::If(format!("version > {}", both.high)),
        (true, true) => Condition::If(format!(
            "!({}..={}).contains(&version)",
            both.low, both.high
        )),
    }
}

/// A field of a struct with everything decided that its code depends on.
pub(super) struct Field<'a> {
    pub(super) spec: &'a FieldSpec,
    pub(super) kind: FieldType,
    pub(super) name: String,
    pub(super) local: String,
    /// Versions in which the struct has it.
    pub(super) present: Versions,
    /// Of these, where it lies in order.
    pub(super) ordered: Versions,
    /// Of these, where it is a tagged field.
    pub(super) tagged: Versions,
    pub(super) optional: bool,
}

pub(super) struct Struct<'a> {
    pub(super) spec: &'a StructSpec,
    pub(super) fields: Vec<Field<'a>>,
    pub(super) flexible: Versions,
}

impl<'a> Struct<'a> {
    pub(super) fn new(spec: &'a StructSpec, flexible: Versions) -> Result<Self> {
        let mut fields = Vec::new();
        for field in &spec.fields {
            let present = field.versions().intersect(spec.versions);
            if present.is_empty() {
                continue;
            }
            let tagged = field.tagged_versions.intersect(present);
            let kind = field.kind()?;
            let optional = !field.nullable_versions.intersect(present).is_empty()
                || kind == FieldType::Records;
            fields.push(Field {
                spec: field,
                name: field_name(field)?,
                local: local_name(field)?,
                present,
                ordered: present.before(tagged),
                tagged,
                optional,
                kind,
            });
        }
        Ok(Self {
            spec,
            fields,
            flexible: flexible.intersect(spec.versions),
        })
    }

    /// Whether lengths are compact, as Rust: a literal where all versions agree.
    pub(super) fn flexible_expression(&self, field: &Field<'_>, versions: Versions) -> String {
        let flexible = field.spec.flexible_versions.unwrap_or(self.flexible);
        match condition(flexible, versions) {
            Condition::Always => "true".to_owned(),
            Condition::Never => "false".to_owned(),
            Condition::If(_) => "flexible".to_owned(),
        }
    }
}

pub(super) fn rust_type(kind: &FieldType) -> String {
    match kind {
        FieldType::Bool => "bool".to_owned(),
        FieldType::I8 => "i8".to_owned(),
        FieldType::I16 => "i16".to_owned(),
        FieldType::U16 => "u16".to_owned(),
        FieldType::I32 => "i32".to_owned(),
        FieldType::U32 => "u32".to_owned(),
        FieldType::I64 => "i64".to_owned(),
        FieldType::F64 => "f64".to_owned(),
        FieldType::Uuid => "Uuid".to_owned(),
        FieldType::String => "String".to_owned(),
        FieldType::Bytes => "Bytes".to_owned(),
        FieldType::Records => "Records".to_owned(),
        FieldType::Struct(name) => name.clone(),
        FieldType::Array(element) => format!("Vec<{}>", rust_type(element)),
    }
}

pub(super) fn field_type(field: &Field<'_>) -> String {
    let inner = rust_type(&field.kind);
    if field.optional {
        format!("Option<{inner}>")
    } else {
        inner
    }
}

/// The default of a field as Rust, and whether it is the type's own.
pub(super) fn default_value(field: &Field<'_>) -> Result<(String, bool)> {
    let text = field.spec.default_text();
    let number = |zero: &str| match text.strip_prefix("0x") {
        Some(digits) => Ok((i64::from_str_radix(digits, 16)?.to_string(), false)),
        None if text.is_empty() => Ok((zero.to_owned(), true)),
        None => text
            .parse::<i64>()
            .map(|value| (value.to_string(), value == 0)),
    };
    let (value, own) = match &field.kind {
        _ if text == "null" => {
            if !field.optional {
                bail!("{} is null by default and cannot be", field.spec.name);
            }
            return Ok(("None".to_owned(), true));
        }
        FieldType::Records => return Ok(("None".to_owned(), true)),
        FieldType::Bool => (
            if text == "true" { "true" } else { "false" }.to_owned(),
            text != "true",
        ),
        FieldType::I8
        | FieldType::I16
        | FieldType::U16
        | FieldType::I32
        | FieldType::U32
        | FieldType::I64 => number("0")?,
        FieldType::F64 if text.is_empty() => ("0.0".to_owned(), true),
        FieldType::F64 => (format!("{:?}", text.parse::<f64>()?), false),
        FieldType::String if !text.is_empty() => (format!("{text:?}.to_owned()"), false),
        FieldType::String => ("String::new()".to_owned(), true),
        _ if !text.is_empty() => bail!("default {text} of {} is not understood", field.spec.name),
        FieldType::Uuid => ("Uuid::ZERO".to_owned(), true),
        FieldType::Bytes => ("Bytes::new()".to_owned(), true),
        FieldType::Struct(name) => (format!("{name}::default()"), true),
        FieldType::Array(_) => ("Vec::new()".to_owned(), true),
    };
    if field.optional {
        Ok((format!("Some({value})"), false))
    } else {
        Ok((value, own))
    }
}

/// Rust that is true when the field differs from its default.
pub(super) fn not_default(field: &Field<'_>) -> Result<String> {
    let place = format!("self.{}", field.name);
    let (default, _) = default_value(field)?;
    if default == "None" {
        return Ok(format!("{place}.is_some()"));
    }
    let plain = match (&field.kind, field.spec.default_text().as_str()) {
        (FieldType::Bool, "true") => return Ok(format!("!{place}")),
        (FieldType::Bool, _) => return Ok(place),
        (FieldType::String, text) if !text.is_empty() => format!("value != {text:?}"),
        (FieldType::String | FieldType::Array(_) | FieldType::Bytes, _) => {
            "!value.is_empty()".to_owned()
        }
        (FieldType::Struct(name), _) => format!("*value != {name}::default()"),
        _ => return Ok(format!("{place} != {default}")),
    };
    Ok(if field.optional {
        format!("{place}.as_ref().is_none_or(|value| {plain})")
    } else {
        plain.replace("*value", &place).replace("value", &place)
    })
}

/// Least bytes of a struct over all its versions, at least one.
pub(super) fn min_size(
    spec: &StructSpec,
    all: &BTreeMap<String, StructSpec>,
    flexible: Versions,
) -> Result<usize> {
    let sizes = (spec.versions.low..=spec.versions.high)
        .map(|version| min_size_at(spec, all, flexible, version));
    let sizes = sizes.collect::<Result<Vec<_>>>()?;
    Ok(sizes.into_iter().min().unwrap_or(1).max(1))
}

pub(super) fn min_size_at(
    spec: &StructSpec,
    all: &BTreeMap<String, StructSpec>,
    flexible: Versions,
    version: i16,
) -> Result<usize> {
    let is_flexible = flexible.contains(version);
    let mut total = usize::from(is_flexible);
    for field in &spec.fields {
        if !field.versions().contains(version) || field.tagged_versions.contains(version) {
            continue;
        }
        let compact = field
            .flexible_versions
            .map_or(is_flexible, |own| own.contains(version));
        total += match field.kind()? {
            FieldType::Struct(_) if field.nullable_versions.contains(version) => 1,
            FieldType::Struct(name) => min_size_at(
                all.get(&name).context("struct is known")?,
                all,
                flexible,
                version,
            )?,
            kind => min_size_of(&kind, compact),
        };
    }
    Ok(total)
}

pub(super) fn min_size_of(kind: &FieldType, compact: bool) -> usize {
    match kind {
        FieldType::Bool | FieldType::I8 => 1,
        FieldType::I16 | FieldType::U16 => 2,
        FieldType::I32 | FieldType::U32 => 4,
        FieldType::I64 | FieldType::F64 => 8,
        FieldType::Uuid => 16,
        FieldType::String if !compact => 2,
        FieldType::Bytes | FieldType::Records | FieldType::Array(_) if !compact => 4,
        FieldType::String | FieldType::Bytes | FieldType::Records | FieldType::Array(_) => 1,
        FieldType::Struct(_) => 1,
    }
}

pub(super) fn primitive(kind: &FieldType) -> Option<&'static str> {
    Some(match kind {
        FieldType::Bool => "bool",
        FieldType::I8 => "i8",
        FieldType::I16 => "i16",
        FieldType::U16 => "u16",
        FieldType::I32 => "i32",
        FieldType::U32 => "u32",
        FieldType::I64 => "i64",
        FieldType::F64 => "f64",
        FieldType::Uuid => "uuid",
        _ => return None,
    })
}
