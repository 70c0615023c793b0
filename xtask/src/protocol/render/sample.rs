//! The body of `sample`, which fills a message for tests.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::fields::{Condition, Struct, condition, default_value, primitive, snake_case};
use crate::protocol::definition::FieldType;

pub(super) fn sample_value(kind: &FieldType, path: &str) -> Result<String> {
    Ok(match kind {
        FieldType::String => format!("samples.string({path})"),
        FieldType::Bytes => format!("samples.bytes({path})"),
        FieldType::Records => format!("samples.records({path})"),
        FieldType::Struct(name) => format!("{name}::sample(samples, version)"),
        FieldType::Array(element) => format!(
            "samples.array({path}, |samples| {})",
            sample_value(element, path)?
        ),
        other => format!("samples.{}({path})", primitive(other).context("a number")?),
    })
}

pub(super) fn sample_body(record: &Struct<'_>) -> Result<String> {
    let mut body = String::new();
    for field in &record.fields {
        let path = format!("\"{}.{}\"", record.spec.name, snake_case(&field.spec.name));
        let mut value = sample_value(&field.kind, &path)?;
        if field.optional {
            let nullable = match condition(field.spec.nullable_versions, field.present) {
                Condition::Always => "true".to_owned(),
                Condition::Never => "false".to_owned(),
                Condition::If(when) => when,
            };
            value = format!("samples.nullable({path}, {nullable}, |samples| {value})");
        }
        let (default, _) = default_value(field)?;
        let value = match condition(field.present, record.spec.versions) {
            Condition::If(when) => format!("if {when} {{ {value} }} else {{ {default} }}"),
            _ => value,
        };
        writeln!(body, "{}: {value},", field.name)?;
    }
    let unused = if record.fields.is_empty() {
        "let _ = (samples, version);\n"
    } else {
        ""
    };
    Ok(format!("{unused}Self {{ {body} }}"))
}
