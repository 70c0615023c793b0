//! Files as an input.

use crate::problem::{Cause, Problems};
use crate::secret::SECRET_PREFIX;
use crate::shape::{Object, OneOf, Rule, Shape, Word, key, later_word, word};
use crate::surroundings::escape;
use crate::units::{SPAN, Span};
use crate::value::{Value, Written};
use crate::view::{View, text_of};

/// Files that are read, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Which: a path with `*`, `?`, `[…]` and `**`.
    pub path: String,
    /// What is in them.
    pub format: FileFormat,
    /// How long a file has to be as it is before it is read.
    pub settle: Span,
    /// What happens to a file that was read.
    pub after: AfterReading,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Comma-separated values.
    Csv {
        /// Whether the first line has the names of the columns.
        header: bool,
        /// Between fields: one ASCII character.
        delimiter: u8,
        /// What stands for NULL where it is not quoted.
        null: String,
    },
    /// One value of JSON.
    Json {
        /// Where in it the records are, as `$.records`; the value itself if it is not there.
        records: Option<String>,
    },
    /// An object of JSON on each line.
    NdJson,
    /// Parquet.
    Parquet,
}

/// What happens to a file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AfterReading {
    /// It stays.
    #[default]
    Keep,
    /// It is deleted.
    Delete,
    /// It is moved to this folder.
    Archive(String),
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The file system.
    Local,
    /// S3, or what speaks as it does.
    S3,
}

/// How a file is compressed, which its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
    /// `.bz2`
    Bzip2,
}

impl Compression {
    /// What the name of a file tells.
    pub fn of(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            Some("bz2") => Self::Bzip2,
            _ => Self::None,
        }
    }
}

impl Files {
    /// Where the path leads.
    pub fn store(&self) -> Store {
        if self.path.starts_with("s3://") {
            Store::S3
        } else {
            Store::Local
        }
    }
}

const PATH_FORM: &str = "a path, as data/*.csv, file:///data/*.csv or s3://bucket/trips/*.parquet";
static PATH: Rule = Rule::new(PATH_FORM, "", path).replaced();
const FOLDER_FORM: &str = "a folder, as data/done or s3://bucket/done";
static FOLDER: Rule = Rule::new(FOLDER_FORM, "", |text| {
    path(text)?;
    let fits = !text.contains(['*', '?', '[']);
    fits.then_some(()).ok_or_else(|| unfit(text, FOLDER_FORM))
})
.replaced();

fn unfit(text: &str, rule: &'static str) -> Cause {
    let found = text.chars().take(60).collect();
    Cause::Unfit { found, rule }
}

/// The longest path.
const PATH_BYTES_MAX: usize = 4096;

fn path(text: &str) -> Result<(), Cause> {
    if text.starts_with(SECRET_PREFIX) {
        return Err(Cause::SecretHere("connection"));
    }
    if text.is_empty() || text.len() > PATH_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(unfit(text, PATH_FORM));
    }
    match text.split_once("://") {
        None | Some(("file" | "s3", _)) => {}
        Some(("gs" | "az", _)) => {
            let what = "files of other clouds than S3";
            let instead = "copy the files to S3 or to a folder";
            return Err(Cause::NotYet { what, instead });
        }
        Some(("http" | "https", _)) => {
            let what = "reading over HTTP";
            let instead = "download the files to a folder";
            return Err(Cause::NotYet { what, instead });
        }
        Some(_) => return Err(unfit(text, PATH_FORM)),
    }
    let is_closed = |part: &str| part.contains(']');
    if !text.split('[').skip(1).all(is_closed) {
        return Err(unfit(
            text,
            "a path with every [ closed by ], as data/[0-9]*.csv",
        ));
    }
    Ok(())
}

static DELIMITER: Rule = Rule::new(
    "a delimiter: one ASCII character that stands between fields, as \";\" or \"\\t\"",
    "",
    |text| {
        let format = contract::Format::Csv {
            delimiter: match text.as_bytes() {
                [byte] => *byte,
                _ => return Err(Cause::Contract(contract::Cause::Delimiter)),
            },
            null: String::new(),
        };
        // What may separate is for contracts to say.
        let column = contract::Column::new("a", contract::DataType::Text);
        let contract = contract::Contract::new(format, vec![column]);
        contract
            .map(drop)
            .map_err(|error| Cause::Contract(error.cause))
    },
);
const NULL_FORM: &str = "a text without quotes and line ends, as NA";
static NULL: Rule = Rule::new(NULL_FORM, "", |text| {
    let fits = text.len() <= 100 && !text.contains(['"', '\r', '\n']);
    fits.then_some(()).ok_or_else(|| unfit(text, NULL_FORM))
});
const RECORDS_FORM: &str = "a path in JSON: $ and names behind points, as $.data.records";
static RECORDS: Rule = Rule::new(RECORDS_FORM, r"^\$(\.[^.\[\]]+)*$", |text| {
    let mut steps = text.split('.');
    let is_name = |step: &str| !step.is_empty() && !step.contains(['[', ']', '*', '$', '\'', '"']);
    let fits = steps.next() == Some("$") && steps.all(is_name) && text.len() <= 1000;
    fits.then_some(()).ok_or_else(|| unfit(text, RECORDS_FORM))
});

static FORMAT: [Word; 5] = [
    word("csv", "Comma-separated values."),
    word("json", "One value of JSON, with a list of records in it."),
    word("ndjson", "An object of JSON on each line."),
    word("parquet", "Parquet."),
    later_word(
        "avro",
        "files of Avro",
        "write csv, json, ndjson or parquet",
    ),
];
static AFTER: [Word; 2] = [
    word("keep", "The file stays."),
    word("delete", "The file is deleted."),
];
static ARCHIVE: Object = Object {
    what: "a folder to move files to",
    keys: &[key(
        "archive",
        Shape::Text(&FOLDER),
        "The folder that a file is moved to.",
    )
    .required("data/done")],
    one_of: OneOf::None,
};
pub(crate) static FILES: Object = Object {
    what: "files to read",
    keys: &[
        key("path", Shape::Text(&PATH), "Which files: a path with `*`, `?`, `[…]` and `**`, of the file system or `s3://`. `.gz`, `.zst` and `.bz2` are read by their suffix.").required("data/*.csv"),
        key("format", Shape::Words(&FORMAT), "What is in them.").required("csv"),
        key("header", Shape::Flag, "With `csv`: whether the first line has the names of the columns.").default("true"),
        key("delimiter", Shape::Text(&DELIMITER), "With `csv`: what stands between fields.").default(","),
        key("nullstr", Shape::Text(&NULL), "With `csv`: the text that is NULL where it is not quoted.").default("the empty text"),
        key("records", Shape::Text(&RECORDS), "With `json`: where the list of records is.").default("`$`, the value itself"),
        key("settle", Shape::Text(&SPAN), "How long a file has to be as it is before it is read.").default("30s"),
        key("after", Shape::Either(&[Shape::Words(&AFTER), Shape::Object(&ARCHIVE)]), "What happens to a file that was read: `keep`, `delete` or `{ archive: FOLDER }`.").default("keep"),
    ],
    one_of: OneOf::None,
};
const SETTLE: Span = Span::from_ms(30_000);
const OF_CSV: [&str; 3] = ["header", "delimiter", "nullstr"];
const OF_JSON: [&str; 1] = ["records"];

pub(crate) fn read(
    view: &View<'_>,
    declares_columns: bool,
    problems: &mut Problems,
) -> Option<Files> {
    let format = view.text("format")?;
    for (keys, needed) in [(&OF_CSV[..], "csv"), (&OF_JSON[..], "json")] {
        for key in keys.iter().filter(|key| needed != format && view.has(key)) {
            let with = format!("format: {format}");
            let instead = "leave it out";
            view.problem_of_key(key, Cause::Meaningless { with, instead }, problems);
        }
    }
    let format = match format {
        "csv" => FileFormat::Csv {
            header: view.flag("header").unwrap_or(true),
            delimiter: view
                .text("delimiter")
                .and_then(|text| text.bytes().next())
                .unwrap_or(b','),
            null: view.owned("nullstr").unwrap_or_default(),
        },
        "json" => FileFormat::Json {
            records: view.owned("records").filter(|records| records != "$"),
        },
        "ndjson" => FileFormat::NdJson,
        _ => FileFormat::Parquet,
    };
    let has_names = !matches!(format, FileFormat::Csv { header: false, .. });
    if !has_names && !declares_columns {
        let cause = Cause::Needs {
            with: "header: false",
            key: "columns",
            example: "{ NAME: text } beside files, in the order of the fields",
        };
        view.problem_of_key("header", cause, problems);
    }
    Some(Files {
        path: view.owned("path")?,
        format,
        settle: view
            .text("settle")
            .and_then(|text| text.parse().ok())
            .unwrap_or(SETTLE),
        after: after(view).unwrap_or_default(),
    })
}

fn after(view: &View<'_>) -> Option<AfterReading> {
    match text_of(view.get("after")?) {
        Some("keep") => Some(AfterReading::Keep),
        Some(_) => Some(AfterReading::Delete),
        None => {
            let archive = view.map("after", &ARCHIVE)?;
            Some(AfterReading::Archive(archive.owned("archive")?))
        }
    }
}

pub(crate) fn write(files: &Files) -> Value {
    let written = Written::default().with("path", Value::Text(escape(&files.path)));
    let written = match &files.format {
        FileFormat::Csv {
            header,
            delimiter,
            null,
        } => written
            .with("format", Value::text("csv"))
            .maybe("header", (!header).then_some(Value::Boolean(false)))
            .unless("delimiter", char::from(*delimiter), ',')
            .unless("nullstr", null, ""),
        FileFormat::Json { records } => written
            .with("format", Value::text("json"))
            .maybe("records", records.as_ref().map(Value::text)),
        FileFormat::NdJson => written.with("format", Value::text("ndjson")),
        FileFormat::Parquet => written.with("format", Value::text("parquet")),
    };
    let after = match &files.after {
        AfterReading::Keep => None,
        AfterReading::Delete => Some(Value::text("delete")),
        AfterReading::Archive(folder) => {
            let archive = Written::default().with("archive", Value::Text(escape(folder)));
            Some(archive.done())
        }
    };
    written
        .unless("settle", files.settle, SETTLE)
        .maybe("after", after)
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_tells_how_a_file_is_compressed() {
        for (name, expected) in [
            ("a.csv.gz", Compression::Gzip),
            ("a.ndjson.zst", Compression::Zstd),
            ("a.bz2", Compression::Bzip2),
            ("a.csv", Compression::None),
            ("gz", Compression::None),
        ] {
            assert_eq!(Compression::of(name), expected, "{name}");
        }
    }

    #[test]
    fn paths_lead_to_stores_that_are_there() {
        for text in [
            "a.csv",
            "/data/**/[0-9]?.csv",
            "file:///a",
            "s3://bucket/*.gz",
        ] {
            assert_eq!(path(text), Ok(()), "{text}");
        }
        for text in ["gs://b/a", "az://b/a", "https://h/a"] {
            assert!(matches!(path(text), Err(Cause::NotYet { .. })), "{text}");
        }
        for text in ["", "ftp://h/a", "a\nb", "data/[0-9.csv"] {
            assert!(matches!(path(text), Err(Cause::Unfit { .. })), "{text}");
        }
        assert!(matches!(path("secret:a"), Err(Cause::SecretHere(_))));
    }
}
