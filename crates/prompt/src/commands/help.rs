//! What `\?` and `\h` say.

use std::fmt::Write as _;

use super::COMMANDS;

/// The commands.
pub(super) fn commands() -> String {
    let mut text = String::new();
    for command in &COMMANDS {
        let usage = format!("\\{} {}", command.name, command.arguments);
        writeln!(text, "  {usage:<28} {}", command.help)
            .expect("writing to a string does not fail");
    }
    text.push_str(
        "\nA statement ends with ; and may have many lines. Tab completes, Ctrl-C cancels what runs, Ctrl-D leaves.\n",
    );
    text
}

/// A statement of SQL: its first words, how it is written, what it is for.
struct Statement(&'static str, &'static str, &'static str);

const STATEMENTS: [Statement; 11] = [
    Statement(
        "SELECT",
        "SELECT expression, … FROM topic [JOIN topic ON …] [WHERE …] [GROUP BY …] [ORDER BY …] [LIMIT n]",
        "asks topics; every topic has _topic, _partition, _offset, _timestamp, _key, _value and _headers",
    ),
    Statement(
        "JSON",
        "_value->>'name', _value->'list'->>0, (_value->>'km')::float",
        "parts of a value that is JSON: ->> gives text, -> gives JSON",
    ),
    Statement(
        "EXPLAIN",
        "EXPLAIN [ANALYZE] SELECT …",
        "which partitions, offsets and columns a query reads; with ANALYZE it runs and is measured",
    ),
    Statement(
        "INSERT",
        "INSERT INTO topic (column, …) VALUES (…), … | SELECT …",
        "appends records",
    ),
    Statement(
        "CREATE TABLE",
        "CREATE TABLE topic (column type, …)",
        "makes a topic and declares the columns of its values",
    ),
    Statement("DROP TABLE", "DROP TABLE topic", "deletes a topic"),
    Statement(
        "COPY",
        "COPY (SELECT …) TO 'file.parquet' [WITH (format parquet|csv|ndjson, overwrite true)] | TO STDOUT",
        "rows to a file of the server, in the folder of its setting sql.export.dir; \\copy writes one of yours",
    ),
    Statement(
        "SET",
        "SET watertable.isolation = 'read_uncommitted'; SET timezone = 'Europe/Berlin'",
        "settings of this session; SHOW ALL lists them, RESET takes one back",
    ),
    Statement("SHOW", "SHOW name | ALL", "settings of this session"),
    Statement(
        "BEGIN",
        "BEGIN; …; COMMIT | ROLLBACK",
        "a transaction, for cursors: each query sees what there is when it begins",
    ),
    Statement(
        "DECLARE",
        "DECLARE name CURSOR FOR SELECT …; FETCH n FROM name; CLOSE name",
        "a result by parts",
    ),
];

/// The statements whose first words these are, or all.
pub(super) fn statements(wanted: &str) -> String {
    let wanted = wanted.trim_end_matches(';').to_ascii_uppercase();
    let found = STATEMENTS
        .iter()
        .filter(|Statement(name, ..)| name.starts_with(&wanted));
    let mut text = String::new();
    for Statement(_, usage, purpose) in found {
        writeln!(text, "{usage}\n    {purpose}").expect("writing to a string does not fail");
    }
    if text.is_empty() {
        let names = STATEMENTS.map(|Statement(name, ..)| name).join(", ");
        text = format!("there is nothing about {wanted}; there is about {names}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_told() {
        let text = commands();
        for command in &COMMANDS {
            assert!(text.contains(&format!("  \\{} ", command.name)), "{text}");
        }
    }

    #[test]
    fn statements_are_found_by_their_first_letters() {
        assert!(statements("sel").starts_with("SELECT "));
        assert!(statements("create table;").starts_with("CREATE TABLE "));
        assert!(statements("vacuum").contains("nothing about VACUUM"));
        assert_eq!(statements("").lines().count(), STATEMENTS.len() * 2);
    }
}
