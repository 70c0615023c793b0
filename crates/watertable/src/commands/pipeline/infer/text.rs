//! A proposal as the part of a pipeline file that it is for.

use std::fmt::Write;

use super::Finding;
use crate::commands::pipeline::yaml::scalar;

/// The longest name of an input.
const NAME_BYTES_MAX: usize = 63;

/// `from:` with the input.
pub(super) fn yaml(found: &Finding) -> String {
    let Finding {
        name,
        source: (kind, source),
        columns,
        ..
    } = found;
    let mut text = format!("from:\n  {name}:\n    {kind}: {source}\n");
    if !columns.is_empty() {
        text.push_str("    columns:\n");
    }
    for column in columns {
        let not_null = if column.nullable { "" } else { " not null" };
        let (name, data_type) = (scalar(&column.name), &column.data_type);
        // Writing to a string does not fail.
        writeln!(text, "      {name}: {data_type}{not_null}").ok();
    }
    text
}

/// A path or a name between quotes, with what would be a variable kept from being one.
pub(super) fn literal(text: &str) -> String {
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}

/// A name for an input: what is left of a text in small letters, digits and `_`.
pub(super) fn input_name(text: &str) -> String {
    let mut name = String::new();
    for character in text.chars().map(|character| character.to_ascii_lowercase()) {
        if character.is_ascii_lowercase() || (character.is_ascii_digit() && !name.is_empty()) {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if name.len() >= NAME_BYTES_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('_');
    if name.is_empty() {
        "input".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use contract::{Column, DataType};

    use super::*;

    #[test]
    fn an_input_is_called_after_its_source() {
        for (source, name) in [
            ("web.clicks", "web_clicks"),
            ("2019-Trips!", "trips"),
            ("*", "input"),
            ("O'Brien", "o_brien"),
        ] {
            assert_eq!(input_name(source), name);
        }
        assert_eq!(input_name(&"ab".repeat(100)).len(), 63);
        assert_eq!(literal("a/${B}/*.csv"), "\"a/$${B}/*.csv\"");
    }

    #[test]
    fn what_is_proposed_can_stand_in_a_pipeline_file() {
        let columns = vec![
            Column::new("trip_id", DataType::BigInt).not_null(),
            Column::new("null", DataType::Text),
            Column::new(
                "a: b",
                DataType::Decimal {
                    precision: 10,
                    scale: 2,
                },
            ),
        ];
        let found = Finding {
            name: "trips".to_owned(),
            source: ("topic", format!("{{ name: {} }}", literal("web.clicks"))),
            columns: columns.clone(),
            notes: Vec::new(),
        };
        let file = format!(
            "format: 1\npipeline: a\nrun: once\n{}sql: SELECT 1 AS one\nto: {{ topic: {{ name: b }} }}\n",
            yaml(&found)
        );
        let file = spec::File::read("a.yaml", file.as_bytes(), &spec::Surroundings::NONE).unwrap();
        let declared = file.pipeline.inputs[0].columns.as_ref().unwrap();
        assert_eq!(declared.columns, columns);
    }
}
