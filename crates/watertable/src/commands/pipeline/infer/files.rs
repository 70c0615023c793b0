//! Files as a source: the first one that has something in it.

use anyhow::{Context, Result};
use bytes::Bytes;
use connectors::files::{Limits, Options, Sample, Source};
use contract::{Column, DataType, Format, InferError, Proposal};
use spec::{AfterReading, FileFormat, Files, Span};

use super::text::{input_name, literal};
use super::{Finding, ending, no_proposal, notes};
use crate::report::Failure;

/// A sample holds no more bytes than this, but for one record.
const SAMPLE_BYTES_MAX: usize = 64 << 20;

/// Whether files with this ending have a format that is known.
pub(super) fn is_format(ending: &str) -> bool {
    format_of(ending).is_some()
}

fn format_of(ending: &str) -> Option<FileFormat> {
    let csv = |delimiter| FileFormat::Csv {
        header: true,
        delimiter,
        null: String::new(),
    };
    Some(match ending {
        "csv" => csv(b','),
        "tsv" => csv(b'\t'),
        "json" => FileFormat::Json { records: None },
        "ndjson" | "jsonl" => FileFormat::NdJson,
        "parquet" => FileFormat::Parquet,
        _ => return None,
    })
}

pub(super) async fn look(path: &str, sample: u32) -> Result<Finding> {
    let format = ending(path).and_then(|ending| format_of(&ending));
    let format = format.ok_or_else(|| {
        Failure::new(
            format!("{path} does not say what is in it"),
            "name files that end in .csv, .tsv, .json, .ndjson or .parquet, perhaps with .gz, .zst or .bz2 behind it",
        )
    })?;
    let asked = Asked { path, sample };
    match &format {
        FileFormat::Parquet => asked.parquet(format).await,
        FileFormat::Csv { .. } => asked.csv(format).await,
        FileFormat::Json { .. } | FileFormat::NdJson => asked.json(format).await,
    }
}

struct Asked<'a> {
    path: &'a str,
    sample: u32,
}

impl Asked<'_> {
    async fn sample(&self, format: &FileFormat) -> Result<Sample> {
        let files = Files {
            path: self.path.to_owned(),
            format: format.clone(),
            settle: Span::from_ms(0),
            after: AfterReading::Keep,
        };
        let folder = std::env::current_dir().context("there is no current folder")?;
        let limits = Limits {
            rows: usize::try_from(self.sample)?,
            bytes: SAMPLE_BYTES_MAX,
        };
        let source = Source::open(&files, None, Options::of(folder))?;
        source.sample(limits).await?.ok_or_else(|| {
            Failure::new(
                format!("there is no file {} with something in it", self.path),
                "write a path or a pattern, in quotes: 'landing/*.csv'",
            )
            .into()
        })
    }

    async fn parquet(&self, format: FileFormat) -> Result<Finding> {
        let sample = self.sample(&format).await?;
        let note = "Parquet says what its columns are; declare them to have it checked".to_owned();
        Ok(self.found(&format, sample.columns.unwrap_or_default(), vec![note]))
    }

    async fn csv(&self, mut format: FileFormat) -> Result<Finding> {
        // What stands between fields is seen in the lines behind the first; the names are read by it.
        let lines = self.sample(&FileFormat::NdJson).await?.records;
        let seen = propose(lines.get(1..).unwrap_or_default());
        if let (
            Ok(seen),
            FileFormat::Csv {
                delimiter, null, ..
            },
        ) = (&seen, &mut format)
            && let Format::Csv {
                delimiter: found,
                null: missing,
            } = seen.contract.format()
        {
            null.clone_from(missing);
            *delimiter = *found;
        }
        let sample = self.sample(&format).await?;
        let names = sample.columns.unwrap_or_default();
        let records = if names.len() == 1 {
            widened(&sample.records)
        } else {
            sample.records
        };
        let (types, mut notes) = match propose(&records) {
            Ok(proposal) => (
                proposal.contract.columns().to_vec(),
                notes(records.len(), &proposal),
            ),
            Err(_nothing_to_see) => (Vec::new(), Vec::new()),
        };
        let is_alike = types.len() == names.len().max(2);
        if !is_alike {
            notes.push("there are no lines that are like the first one, so all is text".to_owned());
        }
        let named = names
            .into_iter()
            .zip(0..)
            .map(|(name, index): (Column, usize)| Column {
                data_type: types
                    .get(index)
                    .filter(|_| is_alike)
                    .map_or(DataType::Text, |column| column.data_type),
                ..name
            });
        Ok(self.found(&format, named.collect(), notes))
    }

    async fn json(&self, mut format: FileFormat) -> Result<Finding> {
        let mut sample = self.sample(&format).await?;
        if let Some(name) = list_in(&sample.records, &format) {
            format = FileFormat::Json {
                records: Some(format!("$.{name}")),
            };
            sample = self.sample(&format).await?;
        }
        let proposal = propose(&sample.records).map_err(|error| no_proposal(self.path, &error))?;
        let notes = notes(sample.records.len(), &proposal);
        Ok(self.found(&format, proposal.contract.columns().to_vec(), notes))
    }

    fn found(&self, format: &FileFormat, columns: Vec<Column>, notes: Vec<String>) -> Finding {
        let stem = self.path.rsplit('/').next().unwrap_or_default();
        let stem = stem.split('.').next().unwrap_or_default();
        // The folder says more than a pattern does.
        let folder = self.path.rsplit('/').nth(1).unwrap_or_default();
        let is_pattern = stem.contains(['*', '?', '[']);
        Finding {
            name: input_name(if is_pattern { folder } else { stem }),
            source: ("files", source(self.path, format)),
            columns,
            notes,
        }
    }
}

/// Lines of one field with an empty one behind it: one field by itself could be anything.
fn widened(records: &[Bytes]) -> Vec<Bytes> {
    let widened = |record: &Bytes| [record.as_ref(), b","].concat().into();
    records.iter().map(widened).collect()
}

fn propose(records: &[Bytes]) -> Result<Proposal, InferError> {
    let values: Vec<&[u8]> = records.iter().map(Bytes::as_ref).collect();
    contract::infer(&values)
}

/// The name of the one list of objects in a document that is one object with nothing else in it.
fn list_in(records: &[Bytes], format: &FileFormat) -> Option<String> {
    let ([document], FileFormat::Json { records: None }) = (records, format) else {
        return None;
    };
    let document: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(document).ok()?;
    let mut lists = document.iter().filter(|(_, value)| {
        let items = value.as_array();
        items.is_some_and(|items| {
            items.iter().all(serde_json::Value::is_object) && !items.is_empty()
        })
    });
    let (name, _) = lists.next()?;
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (lists.next().is_none() && is_plain && !name.is_empty()).then(|| name.clone())
}

fn source(path: &str, format: &FileFormat) -> String {
    let path = literal(path);
    match format {
        FileFormat::Csv {
            delimiter, null, ..
        } => {
            let mut keys = format!("path: {path}, format: csv");
            if *delimiter != b',' {
                keys.push_str(&format!(
                    ", delimiter: {}",
                    literal(&char::from(*delimiter).to_string())
                ));
            }
            if !null.is_empty() {
                keys.push_str(&format!(", nullstr: {}", literal(null)));
            }
            format!("{{ {keys} }}")
        }
        FileFormat::Json { records: None } => format!("{{ path: {path}, format: json }}"),
        FileFormat::Json {
            records: Some(records),
        } => format!("{{ path: {path}, format: json, records: {records} }}"),
        FileFormat::NdJson => format!("{{ path: {path}, format: ndjson }}"),
        FileFormat::Parquet => format!("{{ path: {path}, format: parquet }}"),
    }
}
