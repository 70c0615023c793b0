//! The body of `decode`: every field into a variable, tagged fields in a loop, then the struct.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::fields::{Condition, Field, Struct, condition, default_value, min_size_of, primitive};
use crate::protocol::definition::{FieldType, Versions};

pub(super) fn read_element(
    element: &FieldType,
    flexible: &str,
    sizes: &BTreeMap<String, usize>,
) -> Result<(String, String)> {
    Ok(match element {
        FieldType::Struct(name) => (
            sizes.get(name).context("struct is known")?.to_string(),
            format!("|reader| {name}::decode(reader, version)"),
        ),
        FieldType::String => {
            let size = match flexible {
                "true" => "1",
                "false" => "2",
                _ => "if flexible { 1 } else { 2 }",
            };
            (
                size.to_owned(),
                format!("|reader| reader.string({flexible})"),
            )
        }
        other => {
            let name = primitive(other).context("arrays hold structs, strings and numbers")?;
            (
                min_size_of(other, false).to_string(),
                format!("Reader::{name}"),
            )
        }
    })
}

/// An expression that reads the field; `nullable` and `tagged` choose the form.
pub(super) fn read(
    field: &Field<'_>,
    flexible: &str,
    nullable: bool,
    tagged: bool,
    sizes: &BTreeMap<String, usize>,
) -> Result<String> {
    let prefix = if nullable { "nullable_" } else { "" };
    Ok(match &field.kind {
        FieldType::String => format!("reader.{prefix}string({flexible})?"),
        FieldType::Bytes => format!("reader.{prefix}bytes({flexible})?"),
        FieldType::Records => format!("reader.{prefix}records({flexible})?"),
        FieldType::Array(element) => {
            let (size, read) = read_element(element, flexible, sizes)?;
            format!("reader.{prefix}array({flexible}, {size}, {read})?")
        }
        FieldType::Struct(name) if nullable && tagged => {
            format!("reader.nullable_tagged_struct(|reader| {name}::decode(reader, version))?")
        }
        FieldType::Struct(name) if nullable => {
            format!("reader.nullable_struct(|reader| {name}::decode(reader, version))?")
        }
        FieldType::Struct(name) => format!("{name}::decode(reader, version)?"),
        other => format!("reader.{}()?", primitive(other).context("a number")?),
    })
}

/// Reads the field where `versions` hold; the value has the field's type.
pub(super) fn read_in(
    record: &Struct<'_>,
    field: &Field<'_>,
    versions: Versions,
    tagged: bool,
    sizes: &BTreeMap<String, usize>,
) -> Result<String> {
    let flexible = record.flexible_expression(field, versions);
    if !field.optional {
        return read(field, &flexible, false, tagged, sizes);
    }
    let plain = || {
        Ok::<_, anyhow::Error>(format!(
            "Some({})",
            read(field, &flexible, false, tagged, sizes)?
        ))
    };
    match condition(field.spec.nullable_versions, versions) {
        Condition::Always => read(field, &flexible, true, tagged, sizes),
        Condition::Never => plain(),
        Condition::If(when) => Ok(format!(
            "if {when} {{ {} }} else {{ {} }}",
            read(field, &flexible, true, tagged, sizes)?,
            plain()?
        )),
    }
}

pub(super) fn decode_body(record: &Struct<'_>, sizes: &BTreeMap<String, usize>) -> Result<String> {
    let mut body = String::new();
    let possible = record.spec.versions;
    for field in &record.fields {
        let mutable = if field.tagged.is_empty() { "" } else { "mut " };
        let (default, _) = default_value(field)?;
        let local = &field.local;
        match condition(field.ordered, possible) {
            Condition::Never => writeln!(body, "let {mutable}{local} = {default};")?,
            Condition::Always => {
                writeln!(
                    body,
                    "let {mutable}{local} = {};",
                    read_in(record, field, field.ordered, false, sizes)?
                )?;
            }
            Condition::If(when) => {
                let value = read_in(record, field, field.ordered, false, sizes)?;
                writeln!(
                    body,
                    "let {mutable}{local} = if {when} {{ {value} }} else {{ {default} }};"
                )?;
            }
        }
    }
    let tags = decode_tags(record, sizes)?;
    match condition(record.flexible, possible) {
        Condition::Never => {}
        Condition::Always => body += &tags,
        Condition::If(_) => write!(body, "if flexible {{ {tags} }}")?,
    }
    let mut fields = String::new();
    for field in &record.fields {
        if field.name == field.local {
            write!(fields, "{}, ", field.name)?;
        } else {
            write!(fields, "{}: {}, ", field.name, field.local)?;
        }
    }
    write!(body, "Ok(Self {{ {fields} }})")?;
    Ok(with_flexible(&body, record))
}

pub(super) fn decode_tags(record: &Struct<'_>, sizes: &BTreeMap<String, usize>) -> Result<String> {
    let mut arms = String::new();
    for field in record
        .fields
        .iter()
        .filter(|field| !field.tagged.is_empty())
    {
        let tag = field.spec.tag.context("tagged fields have a tag")?;
        let value = read_in(record, field, field.tagged, true, sizes)?;
        let value = value
            .strip_suffix('?')
            .filter(|value| !value.contains('?') || value.starts_with("reader."));
        let read = match value {
            Some(call) => format!("reader.tagged(size, |reader| {call})?"),
            None => format!(
                "reader.tagged(size, |reader| Ok({}))?",
                read_in(record, field, field.tagged, true, sizes)?
            ),
        };
        let local = &field.local;
        match condition(field.tagged, record.flexible) {
            Condition::Never => {}
            Condition::Always => writeln!(arms, "{tag} => {local} = {read},")?,
            Condition::If(when) => {
                writeln!(arms, "{tag} if {when} => {local} = {read},")?;
                writeln!(
                    arms,
                    "{tag} => return Err(reader.error(DecodeCause::UnexpectedTag {{ tag }})),"
                )?;
            }
        }
    }
    if arms.is_empty() {
        return Ok("reader.skip_tags()?;\n".to_owned());
    }
    Ok(format!(
        "let mut tags = reader.tags()?;
        while let Some((tag, size)) = reader.next_tag(&mut tags)? {{
            match tag {{ {arms} _ => reader.skip(size)?, }}
        }}\n"
    ))
}

/// Declares `flexible` if the text uses it.
pub(super) fn with_flexible(body: &str, record: &Struct<'_>) -> String {
    let uses =
        body.contains("flexible {") || body.contains("(flexible") || body.contains(" flexible,");
    match condition(record.flexible, record.spec.versions) {
        Condition::If(when) if uses => format!("let flexible = {when};\n{body}"),
        _ => body.to_owned(),
    }
}
