//! Questions of functions about one relation, schema or type.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::super::types::{Kind, PgType, TABLE};
use super::relations::{Name, OWNER_OID, names, namespaces};
use super::{NAME, Source};

/// The relations by their numbers, looked up once for all rows of a call.
pub(super) struct Relations<'a> {
    source: &'a Source,
    by_oid: OnceCell<HashMap<i64, Name>>,
}

impl<'a> Relations<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self {
            source,
            by_oid: OnceCell::new(),
        }
    }

    fn all(&self) -> &HashMap<i64, Name> {
        self.by_oid.get_or_init(|| {
            let names = names(self.source).into_iter();
            names.map(|name| (i64::from(name.oid), name)).collect()
        })
    }

    pub(super) fn by_oid(&self, oid: i64) -> Option<&Name> {
        self.all().get(&oid)
    }

    /// The relation that is called so: `name`, `schema.name`, either part in double quotes.
    pub(super) fn named(&self, schema: &str, text: &str) -> Option<&Name> {
        let parts = identifier_parts(text)?;
        let found = |schema: &str, name: &str| {
            let mut all = self.all().values();
            all.find(|other| other.schema == schema && other.name == name)
        };
        match parts.as_slice() {
            [name] => found(NAME, name).or_else(|| found(schema, name)),
            [schema, name] | [_, schema, name] => found(schema, name),
            _ => None,
        }
    }

    /// The relation of this number, as one writes it in this search path.
    pub(super) fn written(&self, schema: &str, oid: i64) -> Option<String> {
        let name = self.by_oid(oid)?;
        let quoted = quote_identifier(&name.name);
        let is_visible = name.schema == schema || name.schema == NAME;
        Some(if is_visible {
            quoted
        } else {
            format!("{}.{quoted}", quote_identifier(&name.schema))
        })
    }
}

pub(super) fn namespace_name(source: &Source, oid: i64) -> Option<String> {
    let found = namespaces(source)
        .into_iter()
        .find(|namespace| i64::from(namespace.oid) == oid);
    found.map(|namespace| quote_identifier(&namespace.name))
}

pub(super) fn role_name(user: &str, oid: i64) -> String {
    if oid == i64::from(OWNER_OID) {
        user.to_owned()
    } else {
        format!("unknown (OID={oid})")
    }
}

/// The type of this number as SQL writes it; `modifier` has lengths and precisions.
pub(super) fn format_type(oid: i64, modifier: Option<i64>) -> String {
    let kind = u32::try_from(oid)
        .ok()
        .filter(|oid| *oid != 0)
        .and_then(PgType::from_oid);
    let Some(kind) = kind else {
        return if oid == 0 {
            "-".to_owned()
        } else {
            "???".to_owned()
        };
    };
    match (kind.kind, modifier) {
        (Kind::Varchar | Kind::Bpchar, Some(modifier)) if modifier > 4 => {
            format!("{}({})", kind.sql(), modifier - 4)
        }
        (Kind::Numeric, Some(modifier)) if modifier >= 4 && !kind.is_array => {
            let (precision, scale) = ((modifier - 4) >> 16, (modifier - 4) & 0x7ff);
            format!("{}({precision},{scale})", kind.sql())
        }
        _ => kind.sql(),
    }
}

/// The number of a type by the name that SQL or the catalogue has for it.
pub(super) fn type_oid(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix("pg_catalog.").unwrap_or(&text);
    let (name, is_array) = match text.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (text, false),
    };
    let name = match name {
        "int" => "int4",
        "decimal" => "numeric",
        other => other,
    };
    let row = TABLE
        .iter()
        .find(|row| row.name == name || row.sql == name)?;
    Some(i64::from(if is_array { row.array_oid } else { row.oid }))
}

/// In double quotes if SQL would read it differently without.
pub(super) fn quote_identifier(name: &str) -> String {
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// In single quotes, so that SQL reads this text.
pub(super) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// The parts of a name as SQL reads them.
pub(super) fn identifier_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let part = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut behind = quoted;
            loop {
                let (inner, after) = behind.split_once('"')?;
                part.push_str(inner);
                match after.strip_prefix('"') {
                    Some(more) => {
                        part.push('"');
                        behind = more;
                    }
                    None => {
                        rest = after;
                        break part;
                    }
                }
            }
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let part = rest[..end].trim().to_lowercase();
            rest = &rest[end..];
            part
        };
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let parts = |text| identifier_parts(text).map(|parts| parts.join("|"));
        assert_eq!(parts("Flights").as_deref(), Some("flights"));
        assert_eq!(
            parts("public.\"A.b\"\"c\"").as_deref(),
            Some("public|A.b\"c")
        );
        assert_eq!(parts("\"open"), None);
        assert_eq!(parts("\"a\"b"), None);
        assert_eq!(quote_identifier("topic-1"), "\"topic-1\"");
        assert_eq!(quote_identifier("__offsets"), "__offsets");
    }

    #[test]
    fn types_have_the_names_of_sql() {
        assert_eq!(format_type(1184, None), "timestamp with time zone");
        assert_eq!(format_type(1009, Some(-1)), "text[]");
        assert_eq!(format_type(1043, Some(14)), "character varying(10)");
        assert_eq!(format_type(1700, Some(655366)), "numeric(10,2)");
        assert_eq!(format_type(1700, Some(-1)), "numeric");
        assert_eq!(format_type(0, None), "-");
        assert_eq!(type_oid("integer"), Some(23));
        assert_eq!(type_oid("pg_catalog.int8[]"), Some(1016));
        assert_eq!(type_oid("nothing"), None);
    }
}
