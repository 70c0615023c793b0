//! Rust text from definitions: one module per message.
//!
//! The generated code obeys the lints of `crates/protocol` by leaving all checks to `Reader` and `Writer`. Per struct it
//! holds the struct, `Default` with Kafka's defaults, `decode`, `encode`, and, for tests, `sample`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::definition::{FieldSpec, FieldType, Kind, MessageSpec, StructSpec, Versions};

/// `ISRNodes` → `isr_nodes`, `TopicId` → `topic_id`.
pub(super) fn snake_case(name: &str) -> String {
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
const RESERVED: [&str; 8] = [
    "reader", "writer", "version", "flexible", "tags", "tag", "size", "samples",
];

fn field_name(field: &FieldSpec) -> Result<String> {
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
fn local_name(field: &FieldSpec) -> Result<String> {
    let name = field_name(field)?;
    Ok(if RESERVED.contains(&name.as_str()) {
        format!("{name}_field")
    } else {
        name
    })
}

/// When a version range holds, as Rust.
enum Condition {
    Always,
    Never,
    If(String),
}

fn condition(versions: Versions, possible: Versions) -> Condition {
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
fn inverse(versions: Versions, possible: Versions) -> Condition {
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
struct Field<'a> {
    spec: &'a FieldSpec,
    kind: FieldType,
    name: String,
    local: String,
    /// Versions in which the struct has it.
    present: Versions,
    /// Of these, where it lies in order.
    ordered: Versions,
    /// Of these, where it is a tagged field.
    tagged: Versions,
    optional: bool,
}

struct Struct<'a> {
    spec: &'a StructSpec,
    fields: Vec<Field<'a>>,
    flexible: Versions,
}

impl<'a> Struct<'a> {
    fn new(spec: &'a StructSpec, flexible: Versions) -> Result<Self> {
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
    fn flexible_expression(&self, field: &Field<'_>, versions: Versions) -> String {
        let flexible = field.spec.flexible_versions.unwrap_or(self.flexible);
        match condition(flexible, versions) {
            Condition::Always => "true".to_owned(),
            Condition::Never => "false".to_owned(),
            Condition::If(_) => "flexible".to_owned(),
        }
    }
}

fn rust_type(kind: &FieldType) -> String {
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

fn field_type(field: &Field<'_>) -> String {
    let inner = rust_type(&field.kind);
    if field.optional {
        format!("Option<{inner}>")
    } else {
        inner
    }
}

/// The default of a field as Rust, and whether it is the type's own.
fn default_value(field: &Field<'_>) -> Result<(String, bool)> {
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
fn not_default(field: &Field<'_>) -> Result<String> {
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
fn min_size(
    spec: &StructSpec,
    all: &BTreeMap<String, StructSpec>,
    flexible: Versions,
) -> Result<usize> {
    let sizes = (spec.versions.low..=spec.versions.high)
        .map(|version| min_size_at(spec, all, flexible, version));
    let sizes = sizes.collect::<Result<Vec<_>>>()?;
    Ok(sizes.into_iter().min().unwrap_or(1).max(1))
}

fn min_size_at(
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

fn min_size_of(kind: &FieldType, compact: bool) -> usize {
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

fn primitive(kind: &FieldType) -> Option<&'static str> {
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

// Decoding.

fn read_element(
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
fn read(
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
fn read_in(
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

fn decode_body(record: &Struct<'_>, sizes: &BTreeMap<String, usize>) -> Result<String> {
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

fn decode_tags(record: &Struct<'_>, sizes: &BTreeMap<String, usize>) -> Result<String> {
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
fn with_flexible(body: &str, record: &Struct<'_>) -> String {
    let uses =
        body.contains("flexible {") || body.contains("(flexible") || body.contains(" flexible,");
    match condition(record.flexible, record.spec.versions) {
        Condition::If(when) if uses => format!("let flexible = {when};\n{body}"),
        _ => body.to_owned(),
    }
}

// Encoding.

fn write_value(
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

fn is_fallible(kind: &FieldType) -> bool {
    primitive(kind).is_none()
}

/// A statement that writes the field where `versions` hold.
fn write_in(
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

fn encode_body(record: &Struct<'_>) -> Result<String> {
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

fn encode_tags(record: &Struct<'_>) -> Result<String> {
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

// Samples.

fn sample_value(kind: &FieldType, path: &str) -> Result<String> {
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

fn sample_body(record: &Struct<'_>) -> Result<String> {
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

// Whole files.

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
    let top = *name == message.name;
    let mut fields = String::new();
    let mut defaults = String::new();
    let mut all_own = true;
    for field in &record.fields {
        writeln!(
            fields,
            "{}pub {}: {},",
            field_note(field, record.spec.versions),
            field.name,
            field_type(field)
        )?;
        let (default, own) = default_value(field)?;
        all_own &= own;
        writeln!(defaults, "{}: {default},", field.name)?;
    }
    let derive_default = if all_own { ", Default" } else { "" };
    let note = if top {
        message_note(message)
    } else {
        format!("Versions {}.", record.spec.versions)
    };
    let mut text = format!(
        "/// {note}\n#[derive(Debug, Clone, PartialEq{derive_default})]\npub struct {name} {{ {fields} }}\n"
    );
    if !all_own {
        writeln!(
            text,
            "impl Default for {name} {{ fn default() -> Self {{ Self {{ {defaults} }} }} }}"
        )?;
    }
    let decode = decode_body(record, sizes)?;
    let encode = encode_body(record)?;
    let unused = |used: bool| if used { "version" } else { "_version" };
    let (decode_version, encode_version) =
        (unused(uses_version(&decode)), unused(uses_version(&encode)));
    let reader = if decode.contains("reader") {
        "reader"
    } else {
        "_reader"
    };
    let writer = if encode.contains("writer") {
        "writer"
    } else {
        "_writer"
    };
    let decode_signature = format!(
        "fn decode({reader}: &mut Reader, {decode_version}: i16) -> Result<Self, DecodeError>"
    );
    let encode_signature = format!(
        "fn encode(&self, {writer}: &mut Writer, {encode_version}: i16) -> Result<(), EncodeError>"
    );
    if top {
        let versions = message.versions();
        let (min, max) = (versions.low, versions.high);
        let flexible = match condition(
            message.flexible(),
            Versions {
                low: min,
                high: i16::MAX,
            },
        ) {
            _ if message.flexible().is_empty() => ("_version", "false".to_owned()),
            _ if message.flexible().low == min => ("_version", "true".to_owned()),
            _ => ("version", format!("version >= {}", message.flexible().low)),
        };
        let outside = if min == max {
            format!("version != {min}")
        } else {
            format!("!({min}..={max}).contains(&version)")
        };
        let range = format!("UnsupportedVersion {{ version, min: {min}, max: {max} }}");
        write!(
            text,
            "impl Message for {name} {{
                const NAME: &'static str = \"{name}\";
                const MIN_VERSION: i16 = {min};
                const MAX_VERSION: i16 = {};
                fn is_flexible({}: i16) -> bool {{ {} }}
                fn decode({reader}: &mut Reader, version: i16) -> Result<Self, DecodeError> {{
                    if {outside} {{ return Err({reader}.error(DecodeCause::{range})); }}
                    {decode}
                }}
                fn encode(&self, {writer}: &mut Writer, version: i16) -> Result<(), EncodeError> {{
                    if {outside} {{ return Err(EncodeError::{range}); }}
                    {encode}
                }}
            }}\n",
            message.highest_stable(),
            flexible.0,
            flexible.1,
        )?;
    } else {
        write!(
            text,
            "impl {name} {{ {decode_signature} {{ {decode} }}\n {encode_signature} {{ {encode} }} }}\n"
        )?;
    }
    let sample = sample_body(record)?;
    let sample_version = unused(uses_version(&sample));
    let (visibility, header) = if top {
        ("", format!("impl Sample for {name}"))
    } else {
        ("", format!("impl {name}"))
    };
    write!(
        text,
        "#[cfg(any(test, feature = \"samples\"))]\n{header} {{
            {visibility}fn sample(samples: &mut Samples, {sample_version}: i16) -> Self {{ {sample} }}
        }}\n"
    )?;
    Ok(text)
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
    let mut body = String::new();
    for spec in &structs {
        let record = Struct::new(spec, message.flexible())?;
        body += &render_struct(&record, &sizes, message)
            .with_context(|| format!("{}.{}", message.name, spec.name))?;
    }
    body += &relation(message);
    let mut text = format!(
        "//! Kafka's {}. Generated by `cargo xtask protocol`; do not edit.\n\n",
        message.name
    );
    text += &imports(&body);
    Ok(text + &body)
}

/// Which request a response answers, which value a key has.
fn relation(message: &MessageSpec) -> String {
    let name = &message.name;
    match (message.kind, message.api_key) {
        (Kind::Request, Some(_)) => {
            let api = name.trim_end_matches("Request");
            format!(
                "impl Request for {name} {{ const KEY: ApiKey = ApiKey::{api}; type Response = super::{api}Response; }}\n"
            )
        }
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
    list("message", &["CoordinatorKey", "Message", "Request"]);
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

pub(super) fn api_keys(messages: &[MessageSpec]) -> Result<String> {
    let mut requests: Vec<_> = messages
        .iter()
        .filter(|message| message.is_broker_request())
        .collect();
    requests.sort_by_key(|message| message.api_key);
    let (mut variants, mut from, mut names, mut ranges, mut flexible, mut all) =
        <(String, String, String, String, String, String)>::default();
    for message in requests {
        let key = message.api_key.context("requests have a key")?;
        let name = message.name.trim_end_matches("Request");
        writeln!(variants, "{name} = {key},")?;
        writeln!(from, "{key} => Self::{name},")?;
        writeln!(names, "Self::{name} => \"{name}\",")?;
        writeln!(
            ranges,
            "Self::{name} => ({}, {}),",
            message.versions().low,
            message.highest_stable()
        )?;
        let first = message.flexible();
        let first = if first.is_empty() {
            "i16::MAX".to_owned()
        } else {
            first.low.to_string()
        };
        writeln!(flexible, "Self::{name} => {first},")?;
        write!(all, "Self::{name}, ")?;
    }
    Ok(format!(
        "//! The APIs of a broker's listener. Generated by `cargo xtask protocol`; do not edit.

        use std::ops::RangeInclusive;

        /// Key of an API that Kafka's broker listener has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {{ {variants} }}

        /// A key no broker listener has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error(\"unknown API key {{key}}\")]
        pub struct UnknownApiKey {{ pub key: i16 }}

        impl TryFrom<i16> for ApiKey {{
            type Error = UnknownApiKey;
            fn try_from(key: i16) -> Result<Self, UnknownApiKey> {{
                Ok(match key {{ {from} _ => return Err(UnknownApiKey {{ key }}) }})
            }}
        }}

        impl From<ApiKey> for i16 {{
            fn from(key: ApiKey) -> Self {{ key as Self }}
        }}

        impl ApiKey {{
            /// All keys in increasing order.
            pub const ALL: &'static [Self] = &[{all}];

            /// Kafka's name, such as `Fetch`.
            #[must_use]
            pub const fn name(self) -> &'static str {{ match self {{ {names} }} }}

            const fn range(self) -> (i16, i16) {{ match self {{ {ranges} }} }}

            /// The stable versions we can read. What a broker advertises is its own decision.
            #[must_use]
            pub const fn decodable_versions(self) -> RangeInclusive<i16> {{
                let (low, high) = self.range();
                low..=high
            }}

            /// First version with compact lengths and tagged fields; `i16::MAX` if there is none.
            #[must_use]
            pub const fn first_flexible_version(self) -> i16 {{ match self {{ {flexible} }} }}

            /// Version of the header before a request of this version.
            #[must_use]
            pub const fn request_header_version(self, version: i16) -> i16 {{
                if version >= self.first_flexible_version() {{ 2 }} else {{ 1 }}
            }}

            /// Version of the header before the response of this version. ApiVersions always has 0, since a client that
            /// asks with an unknown version must still be able to read the answer (KIP-511).
            #[must_use]
            pub const fn response_header_version(self, version: i16) -> i16 {{
                if !matches!(self, Self::ApiVersions) && version >= self.first_flexible_version() {{ 1 }} else {{ 0 }}
            }}
        }}

        impl std::fmt::Display for ApiKey {{
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{ formatter.write_str(self.name()) }}
        }}
        "
    ))
}

pub(super) fn module(messages: &[MessageSpec]) -> String {
    let mut text = "\nmod api_key;\n".to_owned();
    for message in messages {
        text += &format!("pub mod {};\n", snake_case(&message.name));
    }
    text += "\npub use api_key::{ApiKey, UnknownApiKey};\n";
    for message in messages {
        text += &format!("pub use {}::{};\n", snake_case(&message.name), message.name);
    }
    let list = |kinds: &[Kind]| -> String {
        messages
            .iter()
            .filter(|message| kinds.contains(&message.kind))
            .map(|message| format!("{}, ", message.name))
            .collect()
    };
    text + &format!(
        "
        /// Calls a macro with the names of all requests.
        #[cfg(any(test, feature = \"samples\"))]
        #[macro_export]
        macro_rules! for_each_request {{ ($callback:ident) => {{ $callback! {{ {} }} }}; }}

        /// Calls a macro with the names of all messages that are no requests.
        #[cfg(any(test, feature = \"samples\"))]
        #[macro_export]
        macro_rules! for_each_other_message {{ ($callback:ident) => {{ $callback! {{ {} }} }}; }}
        ",
        list(&[Kind::Request]),
        list(&[
            Kind::Response,
            Kind::Header,
            Kind::Data,
            Kind::CoordinatorKey,
            Kind::CoordinatorValue
        ]),
    )
}
