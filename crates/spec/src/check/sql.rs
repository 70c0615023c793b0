//! Checks as expressions of SQL.
//!
//! Invariant: whatever stands in a check, its expression is one expression: names and texts are quoted, and an expression that
//! people wrote stays within its brackets. An expression is NULL or true for rows that pass.

use contract::DataType;

use super::{Check, Condition, Test};
use crate::sql_text::{identifier, literal};
use crate::value::Value;

const EMAIL: &str = r"^[^@\s]+@[^@\s]+\.[^@\s.]+$";
const URL: &str = r"^[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+\S*$";
const UUID: &str = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$";

/// The expression of a check: false for the rows that fail.
pub fn condition(check: &Check) -> String {
    match &check.condition {
        // A comment of one line would take in the bracket that closes it.
        Condition::Expression(text) if text.contains("--") => format!("({text}\n)"),
        Condition::Expression(text) => format!("({text})"),
        Condition::Column { column, test } => on_column(&identifier(column), test),
    }
}

/// The column of reasons: for each row that of the first check which it fails, in the order given, and NULL for rows that pass.
/// `None` without checks.
pub fn reasons<'a>(checks: impl IntoIterator<Item = &'a Check>) -> Option<String> {
    let mut cases = String::new();
    for check in checks {
        let condition = condition(check);
        let reason = literal(&check.reason);
        cases.push_str(&format!(" WHEN NOT ({condition}) THEN {reason}"));
    }
    (!cases.is_empty()).then(|| format!("CASE{cases} END"))
}

fn on_column(column: &str, test: &Test) -> String {
    match test {
        Test::NotNull => format!("{column} IS NOT NULL"),
        Test::NotEmptyString => format!("{column} IS NOT NULL AND {column} <> ''"),
        Test::AcceptedValues(values) => format!("{column} IN ({})", list(values)),
        Test::NotAcceptedValues(values) => format!("{column} NOT IN ({})", list(values)),
        Test::AcceptedRange(min, max) => {
            let bound = |sign: &str, value: &Value| format!("{column} {sign} {}", of_value(value));
            let min = min.as_ref().map(|min| bound(">=", min));
            both(min, max.as_ref().map(|max| bound("<=", max)))
        }
        Test::StringLength(min, max) => {
            let min = min.map(|min| format!("character_length({column}) >= {min}"));
            both(
                min,
                max.map(|max| format!("character_length({column}) <= {max}")),
            )
        }
        Test::MatchRegex(pattern) => matches(column, pattern),
        Test::NotMatchRegex(pattern) => format!("NOT {}", matches(column, pattern)),
        Test::MatchLike(pattern) => format!("{column} LIKE {}", literal(pattern)),
        Test::ValidEmail => matches(column, EMAIL),
        Test::ValidUrl => matches(column, URL),
        Test::ValidUuid => matches(column, UUID),
        Test::ValidTimestamp => is_read_as(column, "TIMESTAMP"),
        Test::Type(data_type) => is_read_as(column, &cast_type(*data_type).unwrap_or_default()),
    }
}

fn both(first: Option<String>, second: Option<String>) -> String {
    let each: Vec<_> = [first, second].into_iter().flatten().collect();
    each.join(" AND ")
}

fn matches(column: &str, pattern: &str) -> String {
    format!("regexp_like({column}, {})", literal(pattern))
}

fn is_read_as(column: &str, name: &str) -> String {
    format!("{column} IS NULL OR TRY_CAST({column} AS {name}) IS NOT NULL")
}

fn list(values: &[Value]) -> String {
    let each: Vec<_> = values.iter().map(of_value).collect();
    each.join(", ")
}

/// A literal. Values of checks are numbers, texts, true and false.
fn of_value(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => format!("{value:?}"),
        Value::Text(text) => literal(text),
        Value::Null | Value::List(_) | Value::Map(_) => "NULL".to_owned(),
    }
}

/// What a type is called where text is cast to it; `None` for those that every text is, or that no cast tells.
pub(super) fn cast_type(data_type: DataType) -> Option<String> {
    let name = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::SmallInt => "SMALLINT",
        DataType::Int => "INT",
        DataType::BigInt => "BIGINT",
        DataType::Real => "REAL",
        DataType::Double => "DOUBLE",
        DataType::Decimal { precision, scale } => {
            return Some(format!("DECIMAL({precision},{scale})"));
        }
        DataType::Date => "DATE",
        DataType::Timestamp => "TIMESTAMP",
        DataType::TimestampTz => "TIMESTAMP WITH TIME ZONE",
        DataType::Text | DataType::Bytea | DataType::Json => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::Severity;

    fn check(column: &str, test: Test) -> Check {
        Check {
            reason: super::super::reason(&test, column),
            severity: Severity::Error,
            of: None,
            condition: Condition::Column {
                column: column.to_owned(),
                test,
            },
        }
    }

    fn expression(text: &str) -> Check {
        Check {
            condition: Condition::Expression(text.to_owned()),
            ..check("", Test::NotNull)
        }
    }

    #[test]
    fn each_check_is_an_expression() {
        let text = |text: &str| Value::text(text);
        for (test, expected) in [
            (Test::NotNull, r#""a" IS NOT NULL"#),
            (Test::NotEmptyString, r#""a" IS NOT NULL AND "a" <> ''"#),
            (
                Test::AcceptedValues(vec![text("it's"), Value::Integer(-1), Value::Boolean(true)]),
                r#""a" IN ('it''s', -1, true)"#,
            ),
            (
                Test::NotAcceptedValues(vec![Value::Number(0.5)]),
                r#""a" NOT IN (0.5)"#,
            ),
            (
                Test::AcceptedRange(Some(Value::Integer(0)), Some(Value::Number(2.0))),
                r#""a" >= 0 AND "a" <= 2.0"#,
            ),
            (
                Test::AcceptedRange(None, Some(text("2019-06-03"))),
                r#""a" <= '2019-06-03'"#,
            ),
            (
                Test::StringLength(Some(1), Some(5)),
                r#"character_length("a") >= 1 AND character_length("a") <= 5"#,
            ),
            (
                Test::MatchRegex("^[0-9]{5}$".to_owned()),
                r#"regexp_like("a", '^[0-9]{5}$')"#,
            ),
            (
                Test::NotMatchRegex("'".to_owned()),
                r#"NOT regexp_like("a", '''')"#,
            ),
            (Test::MatchLike("A%".to_owned()), r#""a" LIKE 'A%'"#),
            (
                Test::ValidTimestamp,
                r#""a" IS NULL OR TRY_CAST("a" AS TIMESTAMP) IS NOT NULL"#,
            ),
            (
                Test::Type("decimal(10,2)".parse().unwrap()),
                r#""a" IS NULL OR TRY_CAST("a" AS DECIMAL(10,2)) IS NOT NULL"#,
            ),
        ] {
            assert_eq!(condition(&check("a", test)), expected);
        }
        assert_eq!(
            condition(&check("a\"b", Test::NotNull)),
            r#""a""b" IS NOT NULL"#
        );
        assert_eq!(condition(&expression("a > b")), "(a > b)");
        assert_eq!(condition(&expression("a > b -- so")), "(a > b -- so\n)");
    }

    #[test]
    fn the_reason_is_that_of_the_first_check_in_the_order_of_the_file() {
        let checks = [check("a", Test::NotNull), check("it's", Test::NotNull)];
        assert_eq!(
            reasons(&checks).unwrap(),
            r#"CASE WHEN NOT ("a" IS NOT NULL) THEN 'not_null(a)' WHEN NOT ("it's" IS NOT NULL) THEN 'not_null(it''s)' END"#
        );
        assert_eq!(reasons([]), None);
    }

    proptest! {
        /// It stays one expression: what is in it opens and closes its own brackets and quotes.
        #[test]
        fn nothing_breaks_out_of_an_expression(column in ".{1,8}", text in ".{0,8}") {
            for test in [Test::NotNull, Test::MatchLike(text.clone()), Test::AcceptedValues(vec![Value::Text(text.clone())])] {
                let sql = reasons(&[check(&column, test)]).unwrap().replace("${", "");
                prop_assert!(crate::sql_text::expression(&sql).is_ok(), "{}", sql);
            }
            if crate::sql_text::expression(&text).is_ok() {
                let sql = reasons(&[expression(&text)]).unwrap();
                prop_assert!(crate::sql_text::expression(&sql).is_ok(), "{}", sql);
            }
        }
    }
}
