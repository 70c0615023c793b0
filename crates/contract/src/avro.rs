//! The fields of a record of Avro as columns. What a schema means in full is known where values are read; here its JSON is
//! enough.

use std::collections::HashMap;

use crate::nearest::nearest;
use crate::node::Node;
use crate::{Cause, Column, ContractError, DECIMAL_DIGITS_MAX, DataType};

const SCHEMA: &str = "schema";

/// The columns of a schema, each as its field.
pub(crate) fn columns(schema: &str) -> Result<Vec<Column>, ContractError> {
    let schema = read(schema)?;
    let mut names = HashMap::new();
    let mut columns = Vec::new();
    for field in fields(&schema)? {
        let Some((name, of)) = name(field).zip(field.get("type")) else {
            continue;
        };
        let (of, nullable) = without_null(of);
        let data_type = of.map_or(DataType::Json, |of| data_type(of, &mut names));
        columns.push(Column {
            name: name.to_owned(),
            data_type,
            nullable,
        });
    }
    Ok(columns)
}

/// Checks that there is a field for every column.
pub(crate) fn check(schema: &str, columns: &[Column]) -> Result<(), ContractError> {
    let schema = read(schema)?;
    let names: Vec<&str> = fields(&schema)?.iter().filter_map(name).collect();
    let known: std::collections::HashSet<&str> = names.iter().copied().collect();
    let unknown = columns
        .iter()
        .enumerate()
        .find(|(_, column)| !known.contains(column.name.as_str()));
    let Some((index, column)) = unknown else {
        return Ok(());
    };
    let cause = Cause::NoField {
        name: column.name.clone(),
        nearest: nearest(&column.name, names).map(str::to_owned),
    };
    Err(ContractError::at(format!("columns[{index}].name"), cause))
}

fn read(schema: &str) -> Result<Node, ContractError> {
    let node = serde_json::from_str(schema);
    node.map_err(|error| ContractError::at(SCHEMA, Cause::Syntax(error.to_string())))
}

fn fields(schema: &Node) -> Result<&[Node], ContractError> {
    let is_record = schema.get("type").and_then(Node::as_text) == Some("record");
    let fields = schema.get("fields").and_then(Node::as_list);
    fields
        .filter(|_| is_record)
        .ok_or_else(|| ContractError::at(SCHEMA, Cause::NoRecord))
}

fn name(field: &Node) -> Option<&str> {
    field.get("name").and_then(Node::as_text)
}

/// A type beside null, if it is a single one, and whether null is there.
fn without_null(of: &Node) -> (Option<&Node>, bool) {
    let Node::List(members) = of else {
        return (Some(of), false);
    };
    let is_null = |member: &&Node| member.as_text() == Some("null");
    let nullable = members.iter().any(|member| is_null(&member));
    let mut others = members.iter().filter(|member| !is_null(member));
    match (others.next(), others.next()) {
        (Some(only), None) => (Some(only), nullable),
        _ => (None, nullable),
    }
}

/// `names` are the named types that were seen before.
fn data_type(of: &Node, names: &mut HashMap<String, DataType>) -> DataType {
    let Some(word) = of
        .as_text()
        .or_else(|| of.get("type").and_then(Node::as_text))
    else {
        // A type of a type, as `{"type": {"type": "string"}}`.
        return of
            .get("type")
            .filter(|inner| inner.get("type").is_some())
            .map_or(DataType::Json, |inner| data_type(inner, names));
    };
    let found = logical(of).unwrap_or_else(|| match word {
        "boolean" => DataType::Boolean,
        "int" => DataType::Int,
        "long" => DataType::BigInt,
        "float" => DataType::Real,
        "double" => DataType::Double,
        "string" | "enum" => DataType::Text,
        "bytes" | "fixed" => DataType::Bytea,
        named => names.get(named).copied().unwrap_or(DataType::Json),
    });
    if let Some(name) = name(of) {
        names.insert(name.to_owned(), found);
    }
    found
}

fn logical(of: &Node) -> Option<DataType> {
    Some(match of.get("logicalType")?.as_text()? {
        "date" => DataType::Date,
        "timestamp-millis" | "timestamp-micros" | "timestamp-nanos" => DataType::TimestampTz,
        "local-timestamp-millis" | "local-timestamp-micros" | "local-timestamp-nanos" => {
            DataType::Timestamp
        }
        "decimal" => {
            let precision = u8::try_from(of.get("precision")?.as_number()?).ok()?;
            let scale = of.get("scale").and_then(Node::as_number).unwrap_or(0);
            let scale = u8::try_from(scale).ok()?;
            let fits = (1..=DECIMAL_DIGITS_MAX).contains(&precision) && scale <= precision;
            fits.then_some(DataType::Decimal { precision, scale })?
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_field_has_a_type() {
        let fields = [
            (r#""boolean""#, "boolean"),
            (r#""int""#, "int"),
            (r#""long""#, "bigint"),
            (r#""float""#, "real"),
            (r#""double""#, "double"),
            (r#""string""#, "text"),
            (r#""bytes""#, "bytea"),
            (r#"{"type":"int","logicalType":"date"}"#, "date"),
            (
                r#"{"type":"long","logicalType":"timestamp-millis"}"#,
                "timestamptz",
            ),
            (
                r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
                "timestamp",
            ),
            (
                r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#,
                "decimal(10,2)",
            ),
            (
                r#"{"type":"bytes","logicalType":"decimal","precision":99}"#,
                "bytea",
            ),
            (r#"{"type":"enum","name":"e","symbols":["A"]}"#, "text"),
            (r#""e""#, "text"),
            (r#"{"type":"fixed","name":"f","size":2}"#, "bytea"),
            (r#"{"type":"array","items":"int"}"#, "json"),
            (r#"{"type":{"type":"string"}}"#, "text"),
            (r#"{"type":"record","name":"r","fields":[]}"#, "json"),
            (r#"["int","string"]"#, "json"),
            (r#"["null",{"type":"int","logicalType":"date"}]"#, "date"),
        ];
        let written: Vec<_> = fields
            .iter()
            .enumerate()
            .map(|(number, (of, _))| format!(r#"{{"name":"c{number}","type":{of}}}"#))
            .collect();
        let schema = format!(
            r#"{{"type":"record","name":"t","fields":[{}]}}"#,
            written.join(",")
        );
        let columns = columns(&schema).unwrap();
        let types: Vec<_> = columns
            .iter()
            .map(|column| column.data_type.to_string())
            .collect();
        let expected: Vec<_> = fields.iter().map(|(_, expected)| *expected).collect();
        assert_eq!(types, expected);
        assert!(columns.last().unwrap().nullable);
        assert!(!columns[0].nullable);
    }
}
