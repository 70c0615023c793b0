//! What the planner says of values whose types do not go together, with the names that types have in contracts.

/// The message and what to do, if it is one of these.
pub(super) fn told(text: &str) -> Option<(String, Option<String>)> {
    let cast = || Some("cast one of them, as CAST(… AS double)".to_owned());
    if let Some(rest) = behind(text, "Cannot coerce arithmetic expression ") {
        let rest = rest.strip_suffix(" to valid types").unwrap_or(rest);
        let (left, operator, right) = operation(rest)?;
        return Some((format!("there is no {left} {operator} {right}"), cast()));
    }
    let comparison = "Cannot infer common argument type for comparison operation ";
    if let Some(rest) = behind(text, comparison) {
        let (left, _, right) = operation(rest)?;
        let message = format!("{left} and {right} cannot be compared");
        return Some((message, cast()));
    }
    if let Some(rest) = behind(text, "Cannot create filter with non-boolean predicate '") {
        let (expression, data_type) = rest.rsplit_once("' returning ")?;
        let message = format!("WHERE is no condition: {expression} is {}", name(data_type));
        let hint = "write a comparison, as amount >= 0".to_owned();
        return Some((message, Some(hint)));
    }
    None
}

/// What stands on the line of a text behind these words.
fn behind<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(words)?;
    rest.lines().next().map(str::trim_end)
}

/// `Timestamp(µs) + Float64`
fn operation(text: &str) -> Option<(String, &str, String)> {
    // A type may have blanks in it: `Timestamp(µs, "+00:00")`.
    let end = match text.find('(') {
        Some(open) if open < text.find(' ').unwrap_or(text.len()) => text.find(')')? + 1,
        _ => text.find(' ')?,
    };
    let (left, rest) = text.split_at(end);
    let (operator, right) = rest.trim_start().split_once(' ')?;
    Some((name(left), operator, name(right)))
}

/// A type of Arrow as contracts call it; as it is where they have none.
fn name(arrow: &str) -> String {
    let arrow = arrow.trim();
    let name = match arrow {
        "Utf8" | "Utf8View" | "LargeUtf8" => "text",
        "Boolean" => "boolean",
        "Int16" => "smallint",
        "Int32" => "int",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double",
        "Binary" | "BinaryView" | "LargeBinary" => "bytea",
        "Date32" => "date",
        "Null" => "NULL",
        _ if arrow.starts_with("Timestamp(") && arrow.contains('"') => "timestamptz",
        _ if arrow.starts_with("Timestamp(") => "timestamp",
        _ if arrow.starts_with("Decimal") => "decimal",
        _ => arrow,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_do_not_go_together_are_told_as_contracts_call_them() {
        for (text, message) in [
            (
                "Error during planning: Cannot coerce arithmetic expression Timestamp(µs) + Float64 to valid types",
                "there is no timestamp + double",
            ),
            (
                "Cannot coerce arithmetic expression Timestamp(µs, \"+00:00\") * Utf8View to valid types",
                "there is no timestamptz * text",
            ),
            (
                "Cannot infer common argument type for comparison operation Decimal128(10, 2) > Boolean",
                "decimal and boolean cannot be compared",
            ),
            (
                "Cannot infer common argument type for comparison operation Int64 = List(Int64)",
                "bigint and List(Int64) cannot be compared",
            ),
            (
                "Cannot create filter with non-boolean predicate 'trips.rider' returning Utf8View",
                "WHERE is no condition: trips.rider is text",
            ),
        ] {
            let told = told(text);
            assert_eq!(told.map(|(message, _)| message).as_deref(), Some(message));
        }
        for text in ["", "Cannot coerce arithmetic expression ", "something else"] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
