//! Files to topic: CSV (some of it compressed) that stays, NDJSON that is deleted, and JSON that is archived once it was read. Files
//! come all the time, each written under a hidden name and renamed. Now and then one is so large that it is read in several commits.

use super::ledger::{Came, Ledger, Put};
use super::machine::Machine;
use super::records;
use super::topics::dead_letters;
use super::{Hop, Input, Part, RETRY, Writer};
use crate::process;
use crate::random::Random;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rows of a file at most.
const ROWS: u64 = 30;
/// Files between two that are large, and the rows of one and the bytes of a row, which make it three commits.
const LARGE_EACH: u64 = 150;
const LARGE_ROWS: u64 = 90;
const LARGE_BYTES: usize = 200_000;

/// The formats, each with what happens to a file that was read.
const FORMATS: [(&str, &str); 3] = [
    ("csv", "keep"),
    ("ndjson", "delete"),
    ("json", "{ archive: \"ARCHIVE\" }"),
];

#[derive(Debug)]
pub(super) struct Files;

fn inbox(machine: &Machine) -> PathBuf {
    machine.folder().join("inbox")
}

impl Hop for Files {
    fn name(&self) -> &'static str {
        "files → topic"
    }

    fn prepare(&self, machine: &Machine) -> Result<Vec<(&'static str, String)>> {
        let archive = machine.folder().join("archive");
        fs::create_dir_all(&archive)?;
        let mut pipelines = Vec::new();
        for (format, after) in FORMATS {
            let folder = inbox(machine).join(format);
            fs::create_dir_all(&folder)?;
            let after = after.replace("ARCHIVE", &archive.display().to_string());
            pipelines.push((format, pipeline(format, &folder, &after)));
        }
        Ok(pipelines)
    }

    fn progress(&self, machine: &Machine) -> Result<i64> {
        let mut ends = 0;
        for (format, _) in FORMATS {
            ends += records::ends(&machine.client(), &format!("files.{format}"))?;
        }
        Ok(ends)
    }

    fn writer(&self, machine: &Machine, seed: u64) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Arriving {
            inbox: inbox(machine),
            random: Random::new(seed),
            files: 0,
            input: Input::default(),
        }))
    }

    fn compare(&self, machine: &Machine, input: &Input) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for (format, _) in FORMATS {
            let of = |input: &BTreeMap<String, Put>| {
                let own = input
                    .iter()
                    .filter(|(_, put)| put.place.starts_with(&format!("{format}/")));
                own.map(|(id, put)| (id.clone(), put.clone())).collect()
            };
            let out = records::of_topic(&machine.client(), &format!("files.{format}"))?;
            let mut ledger = Ledger::of(&of(&input.records), &came(&out)?);
            let places = input
                .records
                .values()
                .chain(input.bad.values())
                .map(|put| &put.place);
            let places: BTreeSet<_> = places.filter(|place| place.starts_with(format)).collect();
            check_files(machine, format, places.len(), &mut ledger)?;
            parts.push(Part::records(format, ledger));
            let dead = records::of_topic(&machine.client(), &format!("{format}_files.dead"))?;
            parts.push(Part::dead(
                format,
                Ledger::of(&of(&input.bad), &dead_letters(&dead)?),
            ));
        }
        Ok(parts)
    }
}

/// What was read is where it should be, and nothing else is.
fn check_files(machine: &Machine, format: &str, put: usize, ledger: &mut Ledger) -> Result<()> {
    let left = fs::read_dir(inbox(machine).join(format))?.count();
    match format {
        "csv" => {
            let positions = records::positions(&machine.client(), "csv_files")?;
            let done = positions
                .iter()
                .filter(|position| position.position["done"] == true);
            let done = done.count();
            if done != left {
                ledger.is_behind(format!(
                    "{left} files of CSV are there, and {done} were read to the end"
                ));
            }
        }
        _ if left > 0 => ledger.is_behind(format!("{left} files of {format} were not put away")),
        _ => {}
    }
    if format == "json" {
        let archived = fs::read_dir(machine.folder().join("archive"))?.count();
        if archived != put {
            ledger.is_behind(format!("{archived} files are in the archive, of {put}"));
        }
    }
    Ok(())
}

fn pipeline(format: &str, folder: &Path, after: &str) -> String {
    format!(
        "format: 1\npipeline: {format}_files\n{RETRY}
from:
  input:
    files: {{ path: \"{}/*\", format: {format}, settle: 0s, after: {after} }}
    columns: {{ id: text not null, n: bigint, text: text }}
sql: SELECT id, n, length(text) AS size FROM input
checks:
  - accepted_range: {{ column: n, min: 0 }}
to:
  topic: {{ name: files.{format} }}
",
        folder.display()
    )
}

/// Whoever writes files.
struct Arriving {
    inbox: PathBuf,
    random: Random,
    files: u64,
    input: Input,
}

impl Writer for Arriving {
    fn write(&mut self) -> Result<()> {
        self.files += 1;
        let (format, _) = self.random.pick(&FORMATS).copied().context("a format")?;
        let is_large = self.files.is_multiple_of(LARGE_EACH);
        let is_compressed = format == "csv" && self.random.below(3) == 0;
        let suffix = if is_compressed { ".gz" } else { "" };
        let file = format!("{:06}.{format}{suffix}", self.files);
        let rows = if is_large {
            LARGE_ROWS
        } else {
            1 + self.random.below(ROWS)
        };
        let size = if is_large { LARGE_BYTES } else { 8 };
        let mut text = head(format);
        for row in 1..=rows {
            let id = format!("{format}-{}-{row}", self.files);
            let n = self.n();
            let line = line(format, &id, &n, &"x".repeat(size));
            if format == "json" && row > 1 {
                text.push(',');
            }
            text += &line;
            self.note(&file, format, row, &id, &n, size);
        }
        text += if format == "json" { "]" } else { "" };
        let folder = self.inbox.join(format);
        let hidden = folder.join(format!(".{file}"));
        let bytes = match is_compressed {
            true => compressed(text.as_bytes())?,
            false => text.into_bytes(),
        };
        fs::write(&hidden, bytes)?;
        Ok(fs::rename(&hidden, folder.join(&file))?)
    }

    fn finish(&mut self) -> Result<Input> {
        Ok(std::mem::take(&mut self.input))
    }
}

impl Arriving {
    /// Mostly a number that passes.
    fn n(&mut self) -> String {
        let n = self.random.below(1000);
        match self.random.below(40) {
            0 => format!("-{}", n + 1),
            1 => "none".to_owned(),
            _ => n.to_string(),
        }
    }

    fn note(&mut self, file: &str, format: &str, row: u64, id: &str, n: &str, size: usize) {
        let put = |body: String| Put {
            body,
            place: format!("{format}/{file}"),
            number: i64::try_from(row).unwrap_or(i64::MAX),
            is_needed: true,
            may_repeat: false,
        };
        let reason = match n {
            "none" => "decode",
            n if n.starts_with('-') => "accepted_range(n)",
            _ => {
                let body = format!("{{\"id\":\"{id}\",\"n\":{n},\"size\":{size}}}");
                self.input.records.insert(id.to_owned(), put(body));
                return;
            }
        };
        let path = self.inbox.join(format).join(file);
        let key = format!("[\"{format}_files\",\"{}\",0,{row}]", path.display());
        self.input.bad.insert(key, put(reason.to_owned()));
    }
}

fn head(format: &str) -> String {
    let head = match format {
        "csv" => "id,n,text\n",
        "json" => "[",
        _ => "",
    };
    head.to_owned()
}

fn line(format: &str, id: &str, n: &str, text: &str) -> String {
    if format == "csv" {
        return format!("{id},{n},{text}\n");
    }
    let n = if n == "none" { "\"none\"" } else { n };
    let end = if format == "ndjson" { "\n" } else { "" };
    format!("{{\"id\":\"{id}\",\"n\":{n},\"text\":\"{text}\"}}{end}")
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    process::bytes_of(Command::new("gzip").args(["-n", "-c"]), bytes)
}

fn came(out: &[records::Record]) -> Result<Vec<Came>> {
    let came = out.iter().map(|record| {
        let body = record.value.clone().context("a value")?;
        let value: Value = serde_json::from_str(&body)?;
        Ok(Came {
            id: value["id"].as_str().unwrap_or_default().to_owned(),
            body,
            lies_in: record.partition.into(),
        })
    });
    came.collect()
}
