//! Which error codes a response tells: every `int16` field of it and of the structs in it whose name ends in `ErrorCode`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;

use super::fields::{Field, Struct};
use crate::protocol::definition::{FieldType, StructSpec, Versions};

/// The names of those structs of a message that tell errors, themselves or by what is in them.
pub(super) fn telling(structs: &[StructSpec]) -> Result<BTreeSet<String>> {
    let mut parsed = BTreeMap::new();
    for spec in structs {
        let record = Struct::new(spec, Versions::NONE)?;
        parsed.insert(spec.name.clone(), record.fields);
    }
    let mut telling = BTreeSet::new();
    loop {
        let more: Vec<_> = parsed
            .iter()
            .filter(|(name, fields)| {
                !telling.contains(*name) && fields.iter().any(|field| tells(field, &telling))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return Ok(telling);
        }
        telling.extend(more);
    }
}

fn tells(field: &Field<'_>, telling: &BTreeSet<String>) -> bool {
    is_code(field) || element(&field.kind).is_some_and(|name| telling.contains(name))
}

fn is_code(field: &Field<'_>) -> bool {
    field.kind == FieldType::I16 && field.spec.name.ends_with("ErrorCode")
}

/// The struct that a field holds, or holds many of.
fn element(kind: &FieldType) -> Option<&str> {
    match kind {
        FieldType::Struct(name) => Some(name),
        FieldType::Array(element) => match &**element {
            FieldType::Struct(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// The body of `error_codes`: shows each code that is one to `see`.
pub(super) fn errors_body(record: &Struct<'_>, telling: &BTreeSet<String>) -> Result<String> {
    let mut body = String::new();
    for field in &record.fields {
        let name = &field.name;
        if is_code(field) {
            writeln!(body, "if self.{name} != 0 {{ see(self.{name}); }}")?;
        } else if tells(field, telling) {
            let is_array = matches!(field.kind, FieldType::Array(_));
            match (is_array, field.optional) {
                (false, false) => writeln!(body, "self.{name}.error_codes(see);")?,
                (false, true) => {
                    writeln!(
                        body,
                        "if let Some(item) = &self.{name} {{ item.error_codes(see); }}"
                    )?;
                }
                (true, false) => {
                    writeln!(
                        body,
                        "for item in &self.{name} {{ item.error_codes(see); }}"
                    )?;
                }
                (true, true) => writeln!(
                    body,
                    "for item in self.{name}.iter().flatten() {{ item.error_codes(see); }}"
                )?,
            }
        }
    }
    Ok(body)
}
