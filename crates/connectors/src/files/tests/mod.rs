//! Files as they are written, and what is read of them.

mod bounds;
mod chosen;
mod csv;
mod finished;
mod folders;
mod json;
mod parquet;
mod resumed;
mod s3;
mod trouble;

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use contract::Column;
use spec::{AfterReading, Columns, FileFormat, Files, OnMissingColumn, OnNewColumn, Span};
use tempfile::TempDir;

use super::*;

const ALL: Limits = Limits {
    rows: usize::MAX,
    bytes: usize::MAX,
};
/// Long after each file of a test was written.
const LATER: i64 = i64::MAX;

fn files(path: &str, format: FileFormat) -> Files {
    Files {
        path: path.to_owned(),
        format,
        settle: Span::from_ms(30_000),
        after: AfterReading::Keep,
    }
}

fn csv() -> FileFormat {
    FileFormat::Csv {
        header: true,
        delimiter: b',',
        null: String::new(),
    }
}

fn json(records: &str) -> FileFormat {
    let records = (records != "$").then(|| records.to_owned());
    FileFormat::Json { records }
}

/// `a bigint, b text not null`
fn declared(columns: &str) -> Columns {
    let columns = columns.split(", ").map(|column| {
        let (name, data_type) = column.split_once(' ').unwrap();
        match data_type.strip_suffix(" not null") {
            Some(data_type) => Column::new(name, data_type.parse().unwrap()).not_null(),
            None => Column::new(name, data_type.parse().unwrap()),
        }
    });
    Columns {
        columns: columns.collect(),
        on_new: OnNewColumn::Ignore,
        on_missing: OnMissingColumn::Fail,
    }
}

/// A folder with one source over it.
struct Folder {
    dir: TempDir,
    files: Files,
    declared: Option<Columns>,
    record_bytes_max: usize,
}

impl Folder {
    fn new(path: &str, format: FileFormat) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            files: files(path, format),
            declared: None,
            record_bytes_max: 16 << 20,
        }
    }

    fn declaring(mut self, columns: &str) -> Self {
        self.declared = Some(declared(columns));
        self
    }

    fn after(mut self, after: AfterReading) -> Self {
        self.files.after = after;
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn source(&self) -> Source {
        let mut options = Options::of(self.path());
        options.record_bytes_max = self.record_bytes_max;
        Source::open(&self.files, self.declared.as_ref(), options).unwrap()
    }

    async fn found(&self) -> Vec<Found> {
        self.source().list(LATER).await.unwrap().files
    }

    /// The only file.
    async fn one(&self) -> Found {
        let mut found = self.found().await;
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// All records of the only file.
    async fn read(&self) -> Result<Read, FilesError> {
        let found = self.one().await;
        read_from(&self.source(), &found, Position::start(&found), ALL).await
    }
}

/// What was read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Read {
    /// Row, byte and text of each record.
    records: Vec<(u64, u64, String)>,
    /// Row and message of each bad record.
    bad: Vec<(u64, String)>,
    /// The columns of the contract with their types, as `a bigint`.
    columns: Vec<String>,
    ignored: Vec<String>,
    missing: Vec<String>,
    /// Behind each chunk.
    positions: Vec<Position>,
}

impl Read {
    fn texts(&self) -> Vec<&str> {
        self.records
            .iter()
            .map(|(_, _, text)| text.as_str())
            .collect()
    }

    fn add(&mut self, chunk: Chunk) {
        if let Rows::Raw {
            columns,
            records,
            bad,
        } = chunk.rows
        {
            let names = columns.contract.columns().iter();
            self.columns = names
                .map(|column| format!("{} {}", column.name, column.data_type))
                .collect();
            self.ignored.clone_from(&columns.ignored);
            self.missing = columns
                .missing
                .iter()
                .map(|column| column.name.clone())
                .collect();
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
            self.records.extend(
                records
                    .into_iter()
                    .map(|record| (record.row, record.byte, text(&record.value))),
            );
            self.bad
                .extend(bad.into_iter().map(|bad| (bad.row, bad.message)));
        }
        self.positions.push(chunk.position_after);
    }
}

/// Reads a file to its end.
async fn read_from(
    source: &Source,
    found: &Found,
    mut position: Position,
    limits: Limits,
) -> Result<Read, FilesError> {
    let mut read = Read::default();
    while !position.done {
        let chunk = source.read(found, &position, limits).await?;
        let is_new = chunk.position_after != position;
        assert!(is_new, "reading goes on behind {position:?}");
        position = chunk.position_after.clone();
        read.add(chunk);
    }
    Ok(read)
}

fn by_path(positions: impl IntoIterator<Item = Position>) -> HashMap<String, Position> {
    let positions = positions.into_iter();
    positions
        .map(|position| (position.path.clone(), position))
        .collect()
}

fn compressed(suffix: &str, bytes: &[u8]) -> Vec<u8> {
    match suffix {
        ".gz" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        ".bz2" => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}
