//! The body of `encode`: every field a version has, and a refusal of those it does not have and that may not be ignored.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::decode::with_flexible;
use super::fields::{Condition, Field, Struct, condition, inverse, not_default, primitive};
use crate::protocol::definition::{FieldType, Versions};

pub(super) fn write_value(
    field: &Field<'_>,
    place: &str,
    flexible: &str,
    nullable: bool,
    tagged: bool,
    path: &str,
) -> Result<String> {
    let prefix = if nullable { "nullable_" } else { "" };
    // Where null is not allowed in this version although the field can hold it.
    let must = field.optional && !nullable;
    let reference = |method: &str| match (nullable, must) {
        (true, _) => format!("{place}.{method}()"),
        (_, true) => format!("required({place}.{method}(), {path})?"),
        _ => format!("&{place}"),
    };
    Ok(match &field.kind {
        FieldType::String => format!(
            "writer.{prefix}string({}, {flexible}, {path})",
            reference("as_deref")
        ),
        FieldType::Bytes => format!(
            "writer.{prefix}bytes({}, {flexible}, {path})",
            reference("as_ref")
        ),
        FieldType::Records => format!(
            "writer.{prefix}records({}, {flexible}, {path})",
            reference("as_ref")
        ),
        FieldType::Array(element) => {
            let write = match &**element {
                FieldType::Struct(_) => "|writer, item| item.encode(writer, version)".to_owned(),
                FieldType::String => {
                    format!("|writer, item| writer.string(item, {flexible}, {path})")
                }
                other => {
                    let name =
                        primitive(other).context("arrays hold structs, strings and numbers")?;
                    format!("|writer, item| {{ writer.{name}(*item); Ok(()) }}")
                }
            };
            format!(
                "writer.{prefix}array({}, {flexible}, {path}, {write})",
                reference("as_deref")
            )
        }
        FieldType::Struct(_) if nullable => {
            let method = if tagged {
                "nullable_tagged_struct"
            } else {
                "nullable_struct"
            };
            format!(
                "writer.{method}({place}.as_ref(), |writer, value| value.encode(writer, version))"
            )
        }
        FieldType::Struct(_) if must => {
            format!("required({place}.as_ref(), {path})?.encode(writer, version)")
        }
        FieldType::Struct(_) => format!("{place}.encode(writer, version)"),
        other => format!("writer.{}({place})", primitive(other).context("a number")?),
    })
}

pub(super) fn is_fallible(kind: &FieldType) -> bool {
    primitive(kind).is_none()
}

/// A statement that writes the field where `versions` hold.
pub(super) fn write_in(
    record: &Struct<'_>,
    field: &Field<'_>,
    versions: Versions,
    tagged: bool,
) -> Result<String> {
    let flexible = record.flexible_expression(field, versions);
    let place = format!("self.{}", field.name);
    let path = format!("\"{}.{}\"", record.spec.name, field.spec.name);
    let end = if is_fallible(&field.kind) { "?;" } else { ";" };
    let form = |nullable| write_value(field, &place, &flexible, nullable, tagged, &path);
    if !field.optional {
        return Ok(form(false)? + end);
    }
    Ok(match condition(field.spec.nullable_versions, versions) {
        Condition::Always => form(true)? + end,
        Condition::Never => form(false)? + end,
        Condition::If(when) => format!(
            "if {when} {{ {}{end} }} else {{ {}{end} }}",
            form(true)?,
            form(false)?
        ),
    })
}

pub(super) fn encode_body(record: &Struct<'_>) -> Result<String> {
    let mut body = String::new();
    let possible = record.spec.versions;
    for field in &record.fields {
        match condition(field.ordered, possible) {
            Condition::Never => {}
            Condition::Always => body += &write_in(record, field, field.ordered, false)?,
            Condition::If(when) => write!(
                body,
                "if {when} {{ {} }}",
                write_in(record, field, field.ordered, false)?
            )?,
        }
        body.push('\n');
        if field.spec.ignorable {
            continue;
        }
        let not_default = not_default(field)?;
        let path = format!("\"{}.{}\"", record.spec.name, field.spec.name);
        let refuse =
            format!("return Err(EncodeError::UnsupportedField {{ field: {path}, version }});");
        match inverse(field.present, possible) {
            Condition::Never => {}
            Condition::Always => bail!("{path} is in no version"),
            Condition::If(when) => writeln!(body, "if {when} && ({not_default}) {{ {refuse} }}")?,
        }
    }
    let tags = encode_tags(record)?;
    match condition(record.flexible, possible) {
        Condition::Never => {}
        Condition::Always => body += &tags,
        Condition::If(_) => write!(body, "if flexible {{ {tags} }}")?,
    }
    body += "Ok(())";
    Ok(with_flexible(&body, record))
}

pub(super) fn encode_tags(record: &Struct<'_>) -> Result<String> {
    let mut fields: Vec<_> = record
        .fields
        .iter()
        .filter(|field| !field.tagged.is_empty())
        .collect();
    if fields.is_empty() {
        return Ok("writer.no_tags();\n".to_owned());
    }
    fields.sort_by_key(|field| field.spec.tag);
    let mut body = "let mut tags = TaggedFields::new();\n".to_owned();
    for field in fields {
        let tag = field.spec.tag.context("tagged fields have a tag")?;
        let path = format!("\"{}.{}\"", record.spec.name, field.spec.name);
        let statement = write_in(record, field, field.tagged, true)?;
        let write = match statement
            .strip_suffix("?;")
            .filter(|call| !call.contains("?.") && !call.contains('}'))
        {
            Some(call) => call.to_owned(),
            None => format!("{{ {statement} Ok(()) }}"),
        };
        let add = format!("tags.add({tag}, {path}, |writer| {write})?;");
        let not_default = not_default(field)?;
        match condition(field.tagged, record.flexible) {
            Condition::Never => {}
            Condition::Always => writeln!(body, "if {not_default} {{ {add} }}")?,
            Condition::If(when) => writeln!(body, "if {when} && {not_default} {{ {add} }}")?,
        }
    }
    Ok(body + "writer.tags(tags);\n")
}
