//! [`Cause`]: one variant for each mistake, with what it takes to say what to write instead.

use std::fmt;

use super::Position;
use crate::tree::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX};

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Cause {
    // The file.
    /// The file is too long.
    #[error(
        "a file of {bytes} bytes is longer than {FILE_BYTES_MAX}; put tests or SQL into files of their own"
    )]
    TooLarge {
        /// How long.
        bytes: usize,
    },
    /// Lists and maps in each other, too deep.
    #[error("lists and maps stand in each other more than {DEPTH_MAX} deep")]
    TooDeep,
    /// Too many values.
    #[error(
        "more than {NODES_MAX} values; put some of the tests into a pipeline file of their own"
    )]
    TooManyNodes,
    /// Bytes that are no text.
    #[error("a byte here is no UTF-8; save the file as UTF-8")]
    NotUtf8,
    /// Nothing is in it.
    #[error("the file is empty; write what belongs there, as format: 1 and pipeline: NAME")]
    Empty,
    /// It is no YAML.
    #[error("no YAML: {0}")]
    Syntax(String),
    /// It is no YAML where a variable stands.
    #[error("no YAML: {0}; within {{ }} and [ ] a text with ${{NAME}} stands in quotes")]
    SyntaxOfVariable(String),
    /// Several documents.
    #[error("a second document begins here; write one pipeline per file")]
    SeveralDocuments,
    /// An anchor.
    #[error("anchors are not read; write the value out where it is needed")]
    Anchor,
    /// An alias, or a merge.
    #[error("aliases are not read; write the value out here")]
    Alias,
    /// A tag that is not read.
    #[error("the tag {tag} is not read; the only one is !file, as in sql: !file query.sql")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// `!file` where no file can be.
    #[error("only sql is read from a file; write the value here")]
    FileHere,
    /// A key that is a list or a map.
    #[error("a key is a text, not a list or a map")]
    KeyNotText,
    /// A key for the second time.
    #[error("the key stands in line {} already; keep one of the two", .first.line)]
    DuplicateKey {
        /// Where it stands first.
        first: Position,
    },
    /// A number that loses its zero.
    #[error("{text} would be read as a number without the zero in front; write \"{text}\"")]
    LeadingZero {
        /// As it is written.
        text: String,
    },
    /// A number that is none here.
    #[error("{text} is no number that 64 bits hold; write \"{text}\" if a text is meant")]
    NoNumber {
        /// As it is written.
        text: String,
    },

    // The shape.
    /// Something of another kind.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should be there.
        expected: String,
        /// What is there.
        found: Found,
    },
    /// A number, true or false where a text is wanted.
    #[error("expected {expected}, found {found}; write it in quotes: \"{}\"", .found.written())]
    Unquoted {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: Found,
    },
    /// Null where the word "null" is wanted.
    #[error("YAML reads null as nothing; write \"null\" in quotes")]
    UnquotedNull,
    /// Nothing has this name here.
    #[error("unknown key{}", Meant(.nearest, "the keys are", .known))]
    UnknownKey {
        /// What was perhaps meant.
        nearest: Option<&'static str>,
        /// What there is.
        known: Words,
    },
    /// No such word.
    #[error("{found:?} is not known{}", Meant(.nearest, "write one of", .known))]
    UnknownWord {
        /// What is there.
        found: String,
        /// What was perhaps meant.
        nearest: Option<&'static str>,
        /// What there is.
        known: Words,
    },
    /// Something has to be there.
    #[error("{key} is missing; write {key}: {example}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What could be behind it.
        example: &'static str,
    },
    /// One of several has to be there.
    #[error("one of {known} is missing")]
    NoneOf {
        /// Of which.
        known: Words,
    },
    /// More than one of several is there.
    #[error("{first} is there already; write only one of {known}")]
    SeveralOf {
        /// The one that stands first.
        first: &'static str,
        /// Of which.
        known: Words,
    },
    /// Something of the format that does not run yet.
    #[error("not there yet: {what}; {instead}")]
    NotYet {
        /// What it will be.
        what: &'static str,
        /// What to do until then.
        instead: &'static str,
    },
    /// Text that does not fit.
    #[error("{found:?} is not {rule}")]
    Unfit {
        /// The text.
        found: String,
        /// What fits, with an example.
        rule: &'static str,
    },
    /// A number outside of its range.
    #[error("{found} is not {}", Bounds(*.least, *.most))]
    Range {
        /// The number.
        found: String,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A list or a map with nothing in it.
    #[error("nothing is in it; write what belongs there")]
    NothingIn,
    /// A list with too much in it.
    #[error("{found} are more than {most}")]
    TooMany {
        /// How many.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A text that is too long.
    #[error("a text of {bytes} bytes is longer than {most}")]
    TooLong {
        /// How long.
        bytes: usize,
        /// The most.
        most: usize,
    },
    /// The same for the second time.
    #[error("{what} is there twice; keep one of the two")]
    Twice {
        /// What.
        what: String,
    },

    // What stands for something else.
    /// A variable nobody set.
    #[error("${{{name}}} has no value; set it in the environment or in env/*.yaml")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// A variable that is not written as one.
    #[error(
        "a variable is written ${{NAME}}, of letters, digits and _; write $${{ for a ${{ of the text"
    )]
    VariableForm,
    /// A variable in SQL or another text where none is replaced.
    #[error("nothing is pasted into {into}; {instead}")]
    VariableHere {
        /// Into what.
        into: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// The value of a secret.
    #[error("a password does not belong in a file; write secret:NAME and keep it with the secrets")]
    Password,
    /// What is no connection.
    #[error(
        "this is no connection; write secret:NAME, or a URL without a password, as postgres://reader@db.example/shop"
    )]
    Connection,
    /// What is no name of a secret.
    #[error(
        "this is no name of a secret; write secret: and small letters, digits and _, a letter first, as secret:pg_app"
    )]
    SecretName,
    /// The name of a secret where none is read.
    #[error("a secret is not read here; only {0} takes one")]
    SecretHere(&'static str),
    /// A file that cannot be read.
    #[error("cannot read {path:?}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A parameter of a query that nothing declares.
    #[error("${name} is no parameter{}", DidYouMean(.nearest, "$", "write it under params, as params: { NAME: 18 }"))]
    NoParameter {
        /// Its name.
        name: String,
        /// What was perhaps meant.
        nearest: Option<String>,
    },
    /// A parameter that no query uses.
    #[error(
        "neither sql nor a check uses ${name}; write ${name} where it is meant, or leave it out"
    )]
    UnusedParameter {
        /// Its name.
        name: String,
    },

    // What goes together.
    /// A key that means nothing beside others.
    #[error("means nothing with {with}; {instead}")]
    Meaningless {
        /// With what.
        with: String,
        /// What to do.
        instead: &'static str,
    },
    /// A key that others need.
    #[error("{with} needs {key}; write {key}: {example}")]
    Needs {
        /// What needs it.
        with: &'static str,
        /// The key.
        key: &'static str,
        /// What could be behind it.
        example: &'static str,
    },
    /// Bounds the wrong way round.
    #[error("min is above max; exchange them")]
    Bounds,
    /// A check without a bound.
    #[error("it always holds without a bound; write min:, max: or both")]
    NoBound,
    /// A name for the checks of several columns.
    #[error("one name cannot be that of the checks of {0} columns; write a check for each of them")]
    NameOfSeveral(usize),
    /// SQL that is no query, or more than one.
    #[error("{found} is no query; write one SELECT, without a semicolon behind it")]
    NoQuery {
        /// What was found in its place.
        found: String,
    },
    /// SQL with a semicolon.
    #[error("a semicolon ends a query; write one SELECT, without a semicolon behind it")]
    Semicolon,
    /// SQL that ends in the midst of something.
    #[error("{0} is opened and not closed")]
    Unclosed(&'static str),
    /// An expression that leaves the brackets it is put in.
    #[error("a bracket is closed that was not opened")]
    Unopened,
    /// No such input.
    #[error("{name:?} is no input{}", DidYouMean(.nearest, "", "write one of the names under from"))]
    NoInput {
        /// The name.
        name: String,
        /// What was perhaps meant.
        nearest: Option<String>,
    },
    /// No such column of an input.
    #[error("{input} declares no column {name:?}{}", DidYouMean(.nearest, "", "write it under columns, or leave it out"))]
    NoColumn {
        /// The input.
        input: String,
        /// The column.
        name: String,
        /// What was perhaps meant.
        nearest: Option<String>,
    },
    /// A column of a test without a value that it has to have.
    #[error("{input} declares {name:?} as not null; give it a value")]
    NullColumn {
        /// The input.
        input: String,
        /// The column.
        name: String,
    },
    /// What a contract says.
    #[error("{0}")]
    Contract(contract::Cause),
    /// What the engine says of a query, a check, or what is named of a result.
    #[error("{message}{}", Hint(.hint.as_deref()))]
    Query {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A declared column of a topic that another file writes otherwise.
    #[error("{file} writes {topic} {}", Written(.column, .written.as_deref()))]
    OtherColumn {
        /// The topic.
        topic: String,
        /// The file that writes it.
        file: String,
        /// The column.
        column: String,
        /// The type that it is written with; `None` if it is not written.
        written: Option<String>,
    },
    /// A pattern that is none.
    #[error("no regular expression: {reason}")]
    Regex {
        /// Why.
        reason: String,
    },
    /// A plan of times that is none.
    #[error(
        "{found:?} is no cron pattern: {reason}; write minute, hour, day, month and weekday, as \"0 3 * * *\""
    )]
    Cron {
        /// The pattern.
        found: String,
        /// Why.
        reason: String,
    },
    /// Two checks with one name.
    #[error("two checks are called {name}; write name: for one of them")]
    SameCheck {
        /// The name.
        name: String,
    },

    // Names.
    /// A name of a topic that Kafka refuses.
    #[error(
        "{name:?} is no name of a topic: 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-', and neither . nor .."
    )]
    TopicName {
        /// The name.
        name: String,
    },
    /// A topic of the system's own.
    #[error("{name} begins with __ as the topics of the system do; write another name")]
    InternalTopic {
        /// The name.
        name: String,
    },

    // Several files.
    /// Two pipelines of one name.
    #[error("{file} has a pipeline {name} already; write another name")]
    SamePipeline {
        /// The name.
        name: String,
        /// Where the first is.
        file: String,
    },
    /// Two pipelines that write one topic.
    #[error("{file} writes {topic} already; write another topic, or one pipeline with UNION ALL")]
    SameTopic {
        /// The topic.
        topic: String,
        /// Where the first is.
        file: String,
    },
    /// Two names of topics that metrics cannot tell apart.
    #[error(
        "{topic} and {other} ({file}) differ only in '.' and '_', which Kafka takes for the same; write another name"
    )]
    CollidingTopic {
        /// This one.
        topic: String,
        /// The other.
        other: String,
        /// Where that is.
        file: String,
    },
    /// Pipelines that read what they write.
    #[error("a circle of pipelines: {}; let one of them write another topic", .names.join(" -> "))]
    Circle {
        /// Their names in the order of the records, the first again at the end.
        names: Vec<String>,
    },
    /// Two declarations of the columns of one topic.
    #[error("{file} declares other columns for {topic}; a topic has one contract")]
    OtherContract {
        /// The topic.
        topic: String,
        /// Where the first is.
        file: String,
    },
    /// A reader that gives up without a word; never seen.
    #[error("the file cannot be read, and the reader does not say why; please tell us")]
    Unsaid,
}

impl Cause {
    /// The same of a text as it is written in the file, in place of what its variables stand for: that may be nobody's business.
    pub(crate) fn of_written(self, text: &str) -> Self {
        let written = || text.chars().take(60).collect();
        match self {
            Self::Unfit { rule, .. } => Self::Unfit {
                found: written(),
                rule,
            },
            Self::TopicName { .. } => Self::TopicName { name: written() },
            Self::InternalTopic { .. } => Self::InternalTopic { name: written() },
            other => other,
        }
    }
}

/// What was found, for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Null.
    Nothing,
    /// True or false.
    Boolean(bool),
    /// A number, as it is written.
    Number(String),
    /// Text, or the beginning of one.
    Text(String),
    /// A list.
    List,
    /// A map.
    Map,
}

impl Found {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.chars().take(60).collect())
    }

    pub(crate) fn written(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Number(text) | Self::Text(text) => text.clone(),
            Self::Nothing | Self::List | Self::Map => String::new(),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("nothing"),
            Self::Boolean(value) => value.fmt(formatter),
            Self::Number(text) => write!(formatter, "the number {text}"),
            Self::Text(text) => write!(formatter, "the text {text:?}"),
            Self::List => formatter.write_str("a list"),
            Self::Map => formatter.write_str("a map of keys"),
        }
    }
}

/// What to do, behind what is wrong.
struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hint| write!(formatter, "; {hint}"))
    }
}

/// How a column is written, and what to do.
struct Written<'a>(&'a str, Option<&'a str>);

impl fmt::Display for Written<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(column, written) = self;
        match written {
            Some(written) => write!(formatter, "with {column} as {written}; declare it so"),
            None => write!(formatter, "without a column {column}; leave it out"),
        }
    }
}

/// The least and the most.
pub(crate) struct Bounds(pub(crate) u64, pub(crate) u64);

impl fmt::Display for Bounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(least, most) = self;
        if least == most {
            return least.fmt(formatter);
        }
        write!(formatter, "between {least} and {most}")
    }
}

/// Words to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<&'static str>);

impl fmt::Display for Words {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(", "))
    }
}

/// What was perhaps meant, or else all that there is.
struct Meant<'a>(&'a Option<&'static str>, &'static str, &'a Words);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(formatter, "; did you mean {nearest}?"),
            None => write!(formatter, "; {} {}", self.1, self.2),
        }
    }
}

/// What was perhaps meant, with what stands in front of it, or else what to do.
struct DidYouMean<'a>(&'a Option<String>, &'static str, &'static str);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(formatter, "; did you mean {}{nearest}?", self.1),
            None => write!(formatter, "; {}", self.2),
        }
    }
}
