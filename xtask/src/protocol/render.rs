//! Rust text from definitions: one module per message.
//!
//! The generated code obeys the lints of `crates/protocol` by leaving all checks to `Reader` and `Writer`. Per struct it
//! holds the struct, `Default` with Kafka's defaults, `decode`, `encode`, for responses `error_codes`, and, for tests,
//! `sample`.

mod decode;
mod encode;
mod errors;
mod fields;
mod module;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result};

use self::decode::decode_body;
use self::encode::encode_body;
use self::errors::{errors_body, telling};
pub(super) use self::fields::snake_case;
use self::fields::{Field, Struct, default_value, field_type, min_size};
pub(super) use self::module::{api_keys, module};
use self::sample::sample_body;
use super::definition::{Kind, MessageSpec, Versions};

fn field_note(field: &Field<'_>, possible: Versions) -> String {
    let mut notes = Vec::new();
    if field.present != possible {
        notes.push(format!(
            "versions {}",
            field.spec.versions().intersect(Versions {
                low: possible.low,
                high: i16::MAX
            })
        ));
    }
    let nullable = field.spec.nullable_versions.intersect(field.present);
    if !nullable.is_empty() && nullable != field.present {
        notes.push(format!("null in versions {}", field.spec.nullable_versions));
    }
    if !field.tagged.is_empty() {
        let tag = field.spec.tag.unwrap_or_default();
        notes.push(match field.tagged == field.present {
            true => format!("tag {tag}"),
            false => format!("tag {tag} in versions {}", field.spec.tagged_versions),
        });
    }
    if notes.is_empty() {
        return String::new();
    }
    let mut note = notes.join(", ");
    note[..1].make_ascii_uppercase();
    format!("/// {note}.\n")
}

fn render_struct(
    record: &Struct<'_>,
    sizes: &BTreeMap<String, usize>,
    message: &MessageSpec,
) -> Result<String> {
    let name = &record.spec.name;
    let is_message = *name == message.name;
    let note = match is_message {
        true => message_note(message),
        false => format!("Versions {}.", record.spec.versions),
    };
    let mut text = format!("/// {note}\n{}", declaration(record)?);
    let (decode, encode) = (decode_body(record, sizes)?, encode_body(record)?);
    text += &match is_message {
        true => message_impl(message, &decode, &encode),
        false => format!(
            "impl {name} {{
                fn decode(reader: &mut Reader, {}: i16) -> Result<Self, DecodeError> {{ {decode} }}
                fn encode(&self, writer: &mut Writer, {}: i16) -> Result<(), EncodeError> {{ {encode} }}
            }}\n",
            version_parameter(&decode),
            version_parameter(&encode)
        ),
    };
    let sample = sample_body(record)?;
    let header = if is_message { "Sample for " } else { "" };
    write!(
        text,
        "#[cfg(any(test, feature = \"samples\"))]
        impl {header}{name} {{
            fn sample(samples: &mut Samples, {}: i16) -> Self {{ {sample} }}
        }}\n",
        version_parameter(&sample)
    )?;
    Ok(text)
}

/// The struct, and `Default` where it is not that of all fields' types.
fn declaration(record: &Struct<'_>) -> Result<String> {
    let name = &record.spec.name;
    let (mut fields, mut defaults) = (String::new(), String::new());
    let mut derivable = true;
    for field in &record.fields {
        let note = field_note(field, record.spec.versions);
        writeln!(fields, "{note}pub {}: {},", field.name, field_type(field))?;
        let (default, own) = default_value(field)?;
        derivable &= own;
        writeln!(defaults, "{}: {default},", field.name)?;
    }
    let derive = if derivable { ", Default" } else { "" };
    let mut text =
        format!("#[derive(Debug, Clone, PartialEq{derive})]\npub struct {name} {{ {fields} }}\n");
    if !derivable {
        writeln!(
            text,
            "impl Default for {name} {{ fn default() -> Self {{ Self {{ {defaults} }} }} }}"
        )?;
    }
    Ok(text)
}

fn message_impl(message: &MessageSpec, decode: &str, encode: &str) -> String {
    let name = &message.name;
    let Versions {
        low: min,
        high: max,
    } = message.versions();
    let stable = message.highest_stable();
    let (parameter, is_flexible) = match message.flexible() {
        none if none.is_empty() => ("_version", "false".to_owned()),
        all if all.low == min => ("_version", "true".to_owned()),
        some => ("version", format!("version >= {}", some.low)),
    };
    let outside = match min == max {
        true => format!("version != {min}"),
        false => format!("!({min}..={max}).contains(&version)"),
    };
    let range = format!("UnsupportedVersion {{ version, min: {min}, max: {max} }}");
    format!(
        "impl Message for {name} {{
            const NAME: &'static str = \"{name}\";
            const MIN_VERSION: i16 = {min};
            const MAX_VERSION: i16 = {stable};
            fn is_flexible({parameter}: i16) -> bool {{ {is_flexible} }}
            fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {{
                if {outside} {{ return Err(reader.error(DecodeCause::{range})); }}
                {decode}
            }}
            fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {{
                if {outside} {{ return Err(EncodeError::{range}); }}
                {encode}
            }}
        }}\n"
    )
}

/// The name of the parameter that holds the version, by whether the body uses it.
fn version_parameter(body: &str) -> &'static str {
    if uses_version(body) {
        "version"
    } else {
        "_version"
    }
}

/// Whether the variable `version` occurs outside of text, places and field names.
fn uses_version(body: &str) -> bool {
    let code: String = body.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    code.match_indices("version").any(|(at, word)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let joins =
            |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before) && !joins(after) && before != Some('.') && after != Some(':')
    })
}

fn message_note(message: &MessageSpec) -> String {
    let mut note = format!("Versions {}", message.versions());
    if message.highest_stable() != message.versions().high {
        write!(note, ", of which {} is unstable", message.versions().high).ok();
    }
    if !message.flexible().is_empty() {
        write!(note, "; flexible from {}", message.flexible().low).ok();
    }
    if let (Some(key), Kind::Request | Kind::Response) = (message.api_key, message.kind) {
        write!(note, "; API key {key}").ok();
    }
    note + "."
}

pub(super) fn message(message: &MessageSpec) -> Result<String> {
    let structs = message.structs()?;
    let by_name: BTreeMap<_, _> = structs
        .iter()
        .map(|spec| (spec.name.clone(), spec.clone()))
        .collect();
    let mut sizes = BTreeMap::new();
    for spec in &structs {
        sizes.insert(
            spec.name.clone(),
            min_size(spec, &by_name, message.flexible())?,
        );
    }
    let telling = match message.kind {
        Kind::Response => telling(&structs)?,
        _ => BTreeSet::new(),
    };
    let (mut body, mut errors) = (String::new(), String::new());
    for spec in &structs {
        let record = Struct::new(spec, message.flexible())?;
        body += &render_struct(&record, &sizes, message)
            .with_context(|| format!("{}.{}", message.name, spec.name))?;
        if telling.contains(&spec.name) {
            let function = format!(
                "fn error_codes(&self, see: &mut dyn FnMut(i16)) {{ {} }}",
                errors_body(&record, &telling)?
            );
            if spec.name == message.name {
                errors = function;
            } else {
                writeln!(body, "impl {} {{ {function} }}", spec.name)?;
            }
        }
    }
    let is_throttled = structs.iter().any(|spec| {
        spec.name == message.name
            && spec
                .fields
                .iter()
                .any(|field| field.name == "ThrottleTimeMs")
    });
    body += &relation(message, is_throttled, &errors);
    let mut text = format!(
        "//! Kafka's {}. Generated by `cargo xtask protocol`; do not edit.\n\n",
        message.name
    );
    text += &imports(&body);
    Ok(text + &body)
}

/// Which request a response answers, whether a response tells a throttle time, which errors it tells (`errors`), which
/// value a key has.
fn relation(message: &MessageSpec, is_throttled: bool, errors: &str) -> String {
    let name = &message.name;
    match (message.kind, message.api_key) {
        (Kind::Request, Some(_)) => {
            let api = name.trim_end_matches("Request");
            format!(
                "impl Request for {name} {{ const KEY: ApiKey = ApiKey::{api}; type Response = super::{api}Response; }}\n"
            )
        }
        (Kind::Response, _) if is_throttled => format!(
            "impl ResponseMessage for {name} {{
                fn throttle_time_ms(&self) -> i32 {{ self.throttle_time_ms }}
                fn set_throttle_time_ms(&mut self, ms: i32) {{ self.throttle_time_ms = ms; }}
                {errors}
            }}\n"
        ),
        (Kind::Response, _) => format!("impl ResponseMessage for {name} {{ {errors} }}\n"),
        (Kind::CoordinatorKey, Some(key)) => {
            let value = name.trim_end_matches("Key");
            format!(
                "impl CoordinatorKey for {name} {{ const TYPE: i16 = {key}; type Value = super::{value}Value; }}\n"
            )
        }
        _ => String::new(),
    }
}

/// The imports a body uses.
fn imports(body: &str) -> String {
    let has = |word: &str| {
        body.match_indices(word).any(|(at, _)| {
            let boundary = |character: Option<char>| {
                !character.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
            };
            boundary(body[..at].chars().next_back())
                && boundary(body[at + word.len()..].chars().next())
        })
    };
    let mut text = String::new();
    if has("Bytes") {
        text += "use bytes::Bytes;\n\n";
    }
    let mut list = |module: &str, names: &[&str]| {
        let used: Vec<_> = names.iter().copied().filter(|name| has(name)).collect();
        if !used.is_empty() {
            text += &format!("use crate::{module}::{{{}}};\n", used.join(", "));
        }
    };
    list(
        "message",
        &["CoordinatorKey", "Message", "Request", "ResponseMessage"],
    );
    list("messages", &["ApiKey"]);
    list("reader", &["DecodeCause", "DecodeError", "Reader"]);
    list("slice", &["Records"]);
    list("uuid", &["Uuid"]);
    list(
        "writer",
        &["EncodeError", "TaggedFields", "Writer", "required"],
    );
    let samples: Vec<_> = ["Sample", "Samples"]
        .into_iter()
        .filter(|name| has(name))
        .collect();
    text + &format!(
        "#[cfg(any(test, feature = \"samples\"))]\nuse crate::samples::{{{}}};\n\n",
        samples.join(", ")
    )
}
