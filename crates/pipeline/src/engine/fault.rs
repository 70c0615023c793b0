//! [`Fault`]: why a pipeline cannot be compiled, where, and what to write instead.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Location;
use sql::TooMuch;

use super::{operands, words};

/// Where in a pipeline a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this byte of its SQL.
    Sql(usize),
    /// The check of this number.
    Check(usize),
    /// Under this path of keys.
    Key(Vec<String>),
}

/// Why a pipeline cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that is known.
    pub hint: Option<String>,
    /// The input whose contract is not known here, if knowing it could mend the fault.
    pub unknown: Option<String>,
}

impl Fault {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            hint: None,
            unknown: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the planner says of a query, or of an expression at `place`.
    pub(super) fn of_planning(error: &DataFusionError, sql: &str, place: Option<Place>) -> Self {
        let at = location(error).and_then(|at| words::offset(sql, at));
        // The parser does not say where the text ends.
        let is_end = || error.to_string().contains("found: EOF");
        let at = at.or_else(|| is_end().then(|| sql.trim_end().len()));
        let place = place.unwrap_or(Place::Sql(at.unwrap_or_default()));
        let (message, hint) = told(error);
        Self {
            place,
            message,
            hint,
            unknown: None,
        }
    }
}

/// Where the planner or the parser says it is.
fn location(error: &DataFusionError) -> Option<Location> {
    if let Some(span) = error.diagnostic().and_then(|diagnostic| diagnostic.span) {
        return Some(Location {
            line: span.start.line,
            column: span.start.column,
        });
    }
    let error = match error.find_root() {
        DataFusionError::SQL(error, _) => error,
        DataFusionError::External(error) => return error.downcast_ref::<TooMuch>()?.at,
        _ => return None,
    };
    let (ParserError::ParserError(text) | ParserError::TokenizerError(text)) = error.as_ref()
    else {
        return None;
    };
    let (_, line) = text.rsplit_once("Line: ")?;
    let (line, column) = line.split_once(", Column: ")?;
    Some(Location {
        line: line.parse().ok()?,
        column: column.trim().parse().ok()?,
    })
}

/// In our words, as far as they are known.
fn told(error: &DataFusionError) -> (String, Option<String>) {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => of_schema(error),
        DataFusionError::SQL(error, _) => {
            let text = error.to_string();
            let text = text.trim_start_matches("sql parser error: ");
            let end = text.rfind(" at Line: ").unwrap_or(text.len());
            let text = text.get(..end).unwrap_or(text);
            (lower(text), None)
        }
        DataFusionError::External(error) => {
            let too_much = error.downcast_ref::<TooMuch>();
            (
                error.to_string(),
                too_much.map(|error| error.hint.to_owned()),
            )
        }
        root => of_text(&root.strip_backtrace()),
    }
}

fn of_schema(error: &SchemaError) -> (String, Option<String>) {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let names = valid_fields.iter().map(|field| field.name.as_str());
            let names: Vec<_> = names.filter(|name| !name.starts_with('_')).collect();
            (no_column(&field.name), meant(&field.name, &names))
        }
        SchemaError::AmbiguousReference { field } => (
            format!("{} can be of more than one table", field.name),
            Some("write the table before it, as t.id".to_owned()),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => twice(name),
    }
}

fn of_text(text: &str) -> (String, Option<String>) {
    let text = text.trim_start_matches("Error during planning: ");
    if let Some((_, rest)) = text.split_once("Invalid function '")
        && let Some((name, rest)) = rest.split_once('\'')
    {
        let nearest = rest.split('\'').nth(1);
        let hint = nearest.map(|nearest| format!("did you mean {nearest}?"));
        return (format!("there is no function {name}"), hint);
    }
    if text.contains("Projections require unique expression names") {
        let name = text.split('"').nth(1).unwrap_or_default();
        return twice(name.rsplit('.').next().unwrap_or(name));
    }
    operands::told(text).unwrap_or_else(|| (lower(text.lines().next().unwrap_or(text)), None))
}

pub(super) fn no_column(name: &str) -> String {
    format!("there is no column {name}")
}

pub(super) fn twice(name: &str) -> (String, Option<String>) {
    (
        format!("two columns are called {name}"),
        Some("write AS and another name behind one of them".to_owned()),
    )
}

/// The nearest of the names, or all of them if they are few.
pub(super) fn meant(name: &str, names: &[&str]) -> Option<String> {
    if let Some(same) = names.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return Some(format!(
            "write \"{same}\" in quotes: names without them are in small letters"
        ));
    }
    if let Some(nearest) = contract::nearest(name, names.iter().copied()) {
        return Some(format!("did you mean {nearest}?"));
    }
    let few = (1..=20).contains(&names.len());
    few.then(|| format!("the columns are {}", names.join(", ")))
}

/// As our messages begin.
fn lower(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next();
    let second = characters.next();
    // A word that is written in capitals stays.
    if second.is_some_and(|second| !second.is_lowercase()) {
        return text.to_owned();
    }
    let rest = first.map_or(0, char::len_utf8);
    let first = first.map(|first| first.to_lowercase().to_string());
    format!("{}{}", first.unwrap_or_default(), &text[rest..])
}
