//! [`Check`]: what has to hold of each row before it is committed.
//!
//! A check that names several columns is as many checks, one for each. Their order is that of the file, and decides which one a
//! row that fails several is told of.

mod kinds;
mod sql;

pub(crate) use kinds::CHECK;
pub use sql::{condition, reasons};

use contract::DataType;

use crate::problem::{Cause, Position, Problems};
use crate::shape::Object;
use crate::tree::{Node, Tree};
use crate::value::{Value, Written};
use crate::view::View;
use kinds::{
    EXPRESSION, LENGTH, OF_COLUMNS, OF_LIKE, OF_REGEX, OF_TYPE, OF_VALUES, RANGE, VALUES_MAX,
};

/// What has to hold of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The reason that is told of rows which fail: its name in the file, or the check with its column, as `not_null(id)`.
    pub reason: String,
    /// What becomes of rows that fail.
    pub severity: Severity,
    /// The input whose rows are checked; those of the result if it is not there.
    pub of: Option<String>,
    /// What has to hold.
    pub condition: Condition,
}

/// What becomes of rows that fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// They go to the dead letters.
    #[default]
    Error,
    /// They pass, and are counted.
    Warn,
    /// They are left out, and counted.
    Drop,
}

impl Severity {
    /// The word for it, as files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Drop => "drop",
        }
    }
}

/// What has to hold. NULL passes, but for the two that say so.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Of a column.
    Column {
        /// The column.
        column: String,
        /// What.
        test: Test,
    },
    /// An expression of SQL is true.
    Expression(String),
}

/// What has to hold of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is not NULL.
    NotNull,
    /// It is neither NULL nor empty.
    NotEmptyString,
    /// It is one of these.
    AcceptedValues(Vec<Value>),
    /// It is none of these.
    NotAcceptedValues(Vec<Value>),
    /// It is between two values, both included; one of them at least is there.
    AcceptedRange(Option<Value>, Option<Value>),
    /// It has so many characters; one of the bounds at least is there.
    StringLength(Option<u64>, Option<u64>),
    /// It matches a regular expression.
    MatchRegex(String),
    /// It does not.
    NotMatchRegex(String),
    /// It is like a pattern.
    MatchLike(String),
    /// It looks like an address of e-mail.
    ValidEmail,
    /// It looks like a URL.
    ValidUrl,
    /// It is a UUID.
    ValidUuid,
    /// It is read as a timestamp.
    ValidTimestamp,
    /// It is read as this type.
    Type(DataType),
}

impl Test {
    /// The name of the check.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotNull => "not_null",
            Self::NotEmptyString => "not_empty_string",
            Self::AcceptedValues(_) => "accepted_values",
            Self::NotAcceptedValues(_) => "not_accepted_values",
            Self::AcceptedRange(..) => "accepted_range",
            Self::StringLength(..) => "string_length",
            Self::MatchRegex(_) => "match_regex",
            Self::NotMatchRegex(_) => "not_match_regex",
            Self::MatchLike(_) => "match_like",
            Self::ValidEmail => "valid_email",
            Self::ValidUrl => "valid_url",
            Self::ValidUuid => "valid_uuid",
            Self::ValidTimestamp => "valid_timestamp",
            Self::Type(_) => "type",
        }
    }
}

const SEVERITIES: [(&str, Severity); 3] = [
    (Severity::Error.name(), Severity::Error),
    (Severity::Warn.name(), Severity::Warn),
    (Severity::Drop.name(), Severity::Drop),
];

/// Where a check stands, for what is looked at when all of the file is known.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) at: Position,
    pub(crate) path: String,
}

/// The checks of an item of the list.
pub(crate) fn read(node: &Node, path: String, problems: &mut Problems) -> Vec<(Check, Place)> {
    let place = Place {
        at: node.at,
        path: path.clone(),
    };
    let read = View::at_path(node, &CHECK, path).and_then(|view| checks(&view, problems));
    let each = read.unwrap_or_default().into_iter();
    each.map(|check| (check, place.clone())).collect()
}

fn checks(view: &View<'_>, problems: &mut Problems) -> Option<Vec<Check>> {
    let (kind, node) = view.chosen()?;
    if kind == "expression" {
        let below = view.map(kind, &EXPRESSION)?;
        let condition = Condition::Expression(below.text("is_true")?.trim().to_owned());
        let reason = below.owned("name")?;
        return Some(vec![common(&below, condition, reason)]);
    }
    let short = match kind {
        "not_null" => Some(Test::NotNull),
        "not_empty_string" => Some(Test::NotEmptyString),
        "valid_email" => Some(Test::ValidEmail),
        "valid_url" => Some(Test::ValidUrl),
        "valid_uuid" => Some(Test::ValidUuid),
        "valid_timestamp" => Some(Test::ValidTimestamp),
        _ => None,
    };
    match short {
        Some(test) if matches!(node.tree, Tree::Map(_)) => {
            of_columns(&view.map(kind, &OF_COLUMNS)?, &test, problems)
        }
        Some(test) => {
            let plain = |column| {
                let reason = reason(&test, column);
                Check {
                    reason,
                    severity: Severity::default(),
                    of: None,
                    condition: on(column, test.clone()),
                }
            };
            Some(
                view.texts(kind)
                    .iter()
                    .map(|column| plain(column))
                    .collect(),
            )
        }
        None => of_column(view, kind, problems).map(|check| vec![check]),
    }
}

fn reason(test: &Test, column: &str) -> String {
    format!("{}({column})", test.name())
}

fn on(column: &str, test: Test) -> Condition {
    let column = column.to_owned();
    Condition::Column { column, test }
}

fn common(view: &View<'_>, condition: Condition, reason: String) -> Check {
    Check {
        reason,
        severity: view.word("severity", &SEVERITIES).unwrap_or_default(),
        of: view.owned("of"),
        condition,
    }
}

fn of_columns(view: &View<'_>, test: &Test, problems: &mut Problems) -> Option<Vec<Check>> {
    let columns = view.texts("column");
    let name = view.text("name");
    if name.is_some() && columns.len() > 1 {
        view.problem("name", Cause::NameOfSeveral(columns.len()), problems);
        return None;
    }
    let check = |column: &String| {
        let reason = name.map_or_else(|| reason(test, column), str::to_owned);
        common(view, on(column, test.clone()), reason)
    };
    Some(columns.iter().map(check).collect())
}

/// A check of one column with more to say.
fn of_column(view: &View<'_>, kind: &str, problems: &mut Problems) -> Option<Check> {
    let object: &'static Object = match kind {
        "accepted_values" | "not_accepted_values" => &OF_VALUES,
        "accepted_range" => &RANGE,
        "string_length" => &LENGTH,
        "match_regex" | "not_match_regex" => &OF_REGEX,
        "match_like" => &OF_LIKE,
        _ => &OF_TYPE,
    };
    let view = view.map(kind, object)?;
    let test = match kind {
        "accepted_values" => Test::AcceptedValues(values(&view, problems)?),
        "not_accepted_values" => Test::NotAcceptedValues(values(&view, problems)?),
        "accepted_range" => range(&view, problems)?,
        "string_length" => {
            let (min, max) = (view.whole("min"), view.whole("max"));
            check_bounds(
                &view,
                min.zip(max).is_some_and(|(min, max)| min > max),
                problems,
            )?;
            Test::StringLength(min, max)
        }
        "match_regex" => Test::MatchRegex(view.owned("pattern")?),
        "not_match_regex" => Test::NotMatchRegex(view.owned("pattern")?),
        "match_like" => Test::MatchLike(view.owned("pattern")?),
        _ => Test::Type(view.text("as")?.parse().ok()?),
    };
    let column = view.text("column")?;
    let default = || reason(&test, column);
    let reason = view.owned("name").unwrap_or_else(default);
    Some(common(&view, on(column, test), reason))
}

fn values(view: &View<'_>, problems: &mut Problems) -> Option<Vec<Value>> {
    let values: Vec<_> = view
        .list("values")
        .iter()
        .filter_map(|(node, _)| Value::of(node))
        .collect();
    if values.len() > VALUES_MAX {
        let (found, most) = (values.len(), VALUES_MAX);
        view.problem("values", Cause::TooMany { found, most }, problems);
        return None;
    }
    Some(values)
}

fn range(view: &View<'_>, problems: &mut Problems) -> Option<Test> {
    for key in ["min", "max"] {
        if let Some(Value::Boolean(value)) = view.value(key) {
            let expected = "a number, or a text with a date or time".to_owned();
            let found = crate::problem::Found::Boolean(value);
            view.problem(key, Cause::Expected { expected, found }, problems);
            return None;
        }
    }
    let (min, max) = (view.value("min"), view.value("max"));
    let above = match (&min, &max) {
        (Some(min), Some(max)) => number(min)
            .zip(number(max))
            .is_some_and(|(min, max)| min > max),
        _ => false,
    };
    check_bounds(view, above, problems)?;
    Some(Test::AcceptedRange(min, max))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "it tells which of two bounds is greater"
)]
const fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Number(value) => Some(*value),
        _ => None,
    }
}

fn check_bounds(view: &View<'_>, above: bool, problems: &mut Problems) -> Option<()> {
    if !view.has("min") && !view.has("max") {
        view.problem_here(Cause::NoBound, problems);
        return None;
    }
    if above {
        view.problem("min", Cause::Bounds, problems);
        return None;
    }
    Some(())
}

pub(crate) fn write(check: &Check) -> Value {
    let severity = check.severity.name();
    let of = check.of.as_ref().map(Value::text);
    let (kind, written) = match &check.condition {
        Condition::Expression(is_true) => {
            let written = Written::default()
                .with("name", Value::text(&check.reason))
                .with("is_true", Value::text(is_true))
                .unless("severity", severity, "error");
            ("expression", written.maybe("of", of).done())
        }
        Condition::Column { column, test } => {
            let default = reason(test, column);
            let written = write_test(Written::default().with("column", Value::text(column)), test)
                .unless("severity", severity, "error")
                .maybe("of", of)
                .unless("name", &check.reason, default);
            (test.name(), in_short(written.done()))
        }
    };
    Value::Map(vec![(kind.to_owned(), written)])
}

/// The column alone, where nothing else is said of it.
fn in_short(written: Value) -> Value {
    match written {
        Value::Map(mut members) if members.len() == 1 => {
            members.pop().map_or(Value::Null, |(_, column)| column)
        }
        other => other,
    }
}

fn write_test(written: Written, test: &Test) -> Written {
    let whole = |value: &u64| Value::Integer(i64::try_from(*value).unwrap_or(i64::MAX));
    match test {
        Test::AcceptedValues(values) | Test::NotAcceptedValues(values) => {
            written.with("values", Value::List(values.clone()))
        }
        Test::AcceptedRange(min, max) => {
            written.maybe("min", min.clone()).maybe("max", max.clone())
        }
        Test::StringLength(min, max) => {
            let (min, max) = (min.as_ref().map(whole), max.as_ref().map(whole));
            written.maybe("min", min).maybe("max", max)
        }
        Test::MatchRegex(pattern) | Test::NotMatchRegex(pattern) | Test::MatchLike(pattern) => {
            written.with("pattern", Value::text(pattern))
        }
        Test::Type(data_type) => written.with("as", Value::text(data_type.to_string())),
        Test::NotNull
        | Test::NotEmptyString
        | Test::ValidEmail
        | Test::ValidUrl
        | Test::ValidUuid
        | Test::ValidTimestamp => written,
    }
}
