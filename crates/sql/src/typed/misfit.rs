//! Why a value does not fit: [`Misfit`] for one column, [`Faults`] for a record.

use std::borrow::Cow;
use std::fmt;

use contract::DataType;
use contract::csv::CsvError;

/// So much of a value is repeated.
const EXCERPT_CHARS: usize = 60;
/// `_error` names no more columns than this.
const FAULTS_MAX: usize = 8;

/// Why a value does not fit its column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Misfit<'a> {
    /// It is something else.
    Not {
        text: Cow<'a, str>,
        of: DataType,
    },
    /// It is a number, but too large or too small.
    Range {
        text: Cow<'a, str>,
        of: DataType,
    },
    /// It is of another kind.
    Kind {
        found: &'static str,
        of: DataType,
    },
    /// A time with a zone where there is none.
    Zone {
        text: Cow<'a, str>,
    },
    /// PostgreSQL's text has none.
    ZeroByte,
    /// Its bytes are no text.
    NotText,
    /// It would be too large.
    TooLarge,
    Missing,
    Null,
}

impl fmt::Display for Misfit<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Not { text, of } => {
                let advice = advice(is_number(text), *of);
                write!(formatter, "{} is no {of}{advice}", Excerpt(text))
            }
            Self::Range { text, of } => {
                write!(formatter, "{} is out of range for {of}", Excerpt(text))
            }
            Self::Kind { found, of } => {
                let advice = advice(*found == NUMBER, *of);
                write!(formatter, "{found} is no {of}{advice}")
            }
            Self::Zone { text } => write!(
                formatter,
                "{} has a time zone, which timestamptz takes and timestamp does not",
                Excerpt(text)
            ),
            Self::ZeroByte => formatter.write_str("text with a zero byte"),
            Self::NotText => formatter.write_str("bytes that are no UTF-8"),
            Self::TooLarge => formatter.write_str("too large to be shown as json"),
            Self::Missing => formatter.write_str("missing, but not nullable"),
            Self::Null => formatter.write_str("null, but not nullable"),
        }
    }
}

/// What a number is called where something else is declared.
pub(super) const NUMBER: &str = "a number";

fn is_number(text: &str) -> bool {
    let text = text.trim_ascii();
    text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
        && text.parse::<f64>().is_ok()
}

/// What to do with a number where a time is declared: whether it counts seconds or milliseconds only its writer knows, so it is
/// not guessed.
fn advice(is_number: bool, of: DataType) -> &'static str {
    let is_time = matches!(of, DataType::Timestamp | DataType::TimestampTz);
    if is_number && is_time {
        "; declare bigint and ask for to_timestamp_millis(column), or _seconds or _micros"
    } else {
        ""
    }
}

/// The beginning of a text, in quotes.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(EXCERPT_CHARS);
        match end {
            None => write!(formatter, "{:?}", self.0),
            Some((end, _)) => write!(formatter, "{:?}…", self.0.get(..end).unwrap_or_default()),
        }
    }
}

/// Why a value is not of its format. Then no column of it is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRecord {
    #[error("no UTF-8 at byte {0}")]
    NotText(usize),
    #[error("no JSON at byte {at}: {cause}")]
    NotJson {
        at: usize,
        cause: jiter::JiterErrorType,
    },
    #[error("{0} instead of an object")]
    NotObject(&'static str),
    #[error("no CSV: {0}")]
    NotCsv(#[from] CsvError),
    #[error("{found} fields, but {expected} columns")]
    FieldCount { found: usize, expected: usize },
    #[error("no datum of the Avro schema at byte {at}: {cause}")]
    NotAvro { at: usize, cause: &'static str },
    #[error("no message of Protobuf at byte {at}: {cause}")]
    NotProtobuf { at: usize, cause: &'static str },
}

/// What is wrong with a record, for `_error` or to fail with.
#[derive(Debug)]
pub(super) struct Faults {
    /// Whether anybody wants to know.
    are_told: bool,
    text: String,
    count: usize,
}

impl Faults {
    pub(super) fn new(are_told: bool) -> Self {
        Self {
            are_told,
            text: String::new(),
            count: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.count = 0;
    }

    pub(super) fn add(&mut self, column: &str, misfit: &Misfit<'_>) {
        if self.are_told && self.count < FAULTS_MAX {
            let separator = if self.text.is_empty() { "" } else { "; " };
            self.append(format_args!("{separator}{column}: {misfit}"));
        }
        self.count += 1;
    }

    /// The whole value is wrong.
    pub(super) fn set(&mut self, cause: &NoRecord) {
        self.clear();
        if self.are_told {
            self.append(format_args!("{cause}"));
        }
        self.count = 1;
    }

    fn append(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _written = fmt::Write::write_fmt(&mut self.text, text);
    }

    /// What is wrong, if anything is.
    pub(super) fn text(&mut self) -> Option<&str> {
        if self.count > FAULTS_MAX {
            let more = self.count - FAULTS_MAX;
            self.count = FAULTS_MAX;
            self.append(format_args!("; and {more} more"));
        }
        (self.count > 0).then_some(self.text.as_str())
    }
}

/// A record does not fit, and the session is strict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record does not fit the contract of its topic: {0}")]
pub struct Fault(pub(super) String);

impl Fault {
    /// What of it does not fit.
    pub fn reason(&self) -> &str {
        &self.0
    }
}
