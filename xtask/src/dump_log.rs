//! `cargo xtask dump-log`: Kafka's own reader of segment files over ours. Every `.log` file under a data folder goes
//! through the unmodified `kafka-dump-log` with `--deep-iteration`; any word of an error fails, and what it read is
//! counted, so that it can be compared with what was produced.

use crate::{kafka, process};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One run of the tool takes many files; a command line has limits, and its output is held in memory.
const FILES_PER_RUN: usize = 200;

#[derive(clap::Args, Debug)]
pub(crate) struct DumpLogArguments {
    /// Data folder of a broker, not running
    directory: PathBuf,
    /// Fail unless a topic holds so many records: TOPIC=COUNT
    #[arg(long = "expect")]
    expected: Vec<String>,
}

/// A segment file, named as Kafka names it.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    /// Name of its folder, TOPIC-PARTITION.
    pub(crate) partition: String,
    pub(crate) path: PathBuf,
}

/// What Kafka's reader found in one segment file.
#[derive(Debug, Default)]
pub(crate) struct Dumped {
    pub(crate) partition: String,
    pub(crate) records: u64,
    /// Offsets of the first and the last record; none in an empty file.
    pub(crate) offsets: Option<(i64, i64)>,
    pub(crate) codecs: BTreeSet<String>,
}

pub(crate) fn run(arguments: &DumpLogArguments) -> Result<()> {
    let files = logs(&arguments.directory)?;
    if files.is_empty() {
        bail!("no .log file under {}", arguments.directory.display());
    }
    let dumped = dump(&files, true)?;
    for log in &dumped {
        if let Some((first, last)) = log.offsets {
            println!(
                "{}: {} records, offsets {first} to {last}",
                log.partition, log.records
            );
        }
    }
    for expected in &arguments.expected {
        let (topic, count) = expected
            .split_once('=')
            .context("--expect takes TOPIC=COUNT")?;
        let found = records_of(&dumped, topic);
        if found != count.parse::<u64>()? {
            bail!("topic {topic} holds {found} records, expected {count}");
        }
    }
    println!(
        "Kafka's reader found no fault in {} files with {} records",
        dumped.len(),
        dumped.iter().map(|log| log.records).sum::<u64>()
    );
    Ok(())
}

/// Records of all partitions of a topic.
pub(crate) fn records_of(dumped: &[Dumped], topic: &str) -> u64 {
    let of_topic = |log: &&Dumped| {
        log.partition
            .rsplit_once('-')
            .is_some_and(|(name, _)| name == topic)
    };
    dumped.iter().filter(of_topic).map(|log| log.records).sum()
}

/// Every segment file under a folder, by partition and base offset.
pub(crate) fn logs(directory: &Path) -> Result<Vec<LogFile>> {
    let mut files = Vec::new();
    let mut folders = vec![directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if is_segment(&path)
                && let Some(partition) = folder.file_name().and_then(|name| name.to_str())
                // The controller's log of a KRaft node is not a topic's.
                && !partition.starts_with("__cluster_metadata")
            {
                files.push(LogFile {
                    partition: partition.to_owned(),
                    path,
                });
            }
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

/// Segment files are named by their base offset; other `.log` files are what programs say.
fn is_segment(path: &Path) -> bool {
    let digits = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    path.extension().is_some_and(|extension| extension == "log")
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Runs Kafka's reader over the files. `each_record` also decodes and counts every record, and checks that their
/// offsets ascend; without it only batch headers count.
pub(crate) fn dump(files: &[LogFile], each_record: bool) -> Result<Vec<Dumped>> {
    let mut all = Vec::new();
    for some in files.chunks(FILES_PER_RUN) {
        let paths: Vec<_> = some
            .iter()
            .map(|file| file.path.to_string_lossy().into_owned())
            .collect();
        let mut tool = kafka::tool("kafka-dump-log")?;
        tool.args(["--files", &paths.join(",")]);
        if each_record {
            tool.args(["--deep-iteration", "--print-data-log"]);
        }
        all.extend(parse(&process::output(&mut tool)?, some, each_record)?);
    }
    Ok(all)
}

/// Reads the tool's text: a line `Dumping FILE`, then a line per batch, then with deep iteration a line per record.
fn parse(text: &str, files: &[LogFile], each_record: bool) -> Result<Vec<Dumped>> {
    let mut all: Vec<Dumped> = Vec::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("Dumping ") {
            let file = files.iter().find(|file| file.path == Path::new(path));
            let file =
                file.with_context(|| format!("the tool dumps {path}, which was not asked for"))?;
            all.push(Dumped {
                partition: file.partition.clone(),
                ..Dumped::default()
            });
        } else if let Some(dumped) = all.last_mut() {
            read_line(line, dumped, each_record)?;
        }
    }
    if all.len() != files.len() {
        bail!(
            "the tool dumped {} of {} files:\n{text}",
            all.len(),
            files.len()
        );
    }
    Ok(all)
}

fn read_line(line: &str, dumped: &mut Dumped, each_record: bool) -> Result<()> {
    let complaint = [
        "Found ",
        "Non-",
        "Mismatches ",
        "Corrupt",
        "Exception",
        "Error",
    ];
    if complaint.iter().any(|word| line.starts_with(word)) {
        bail!("{}: {line}", dumped.partition);
    }
    if line.starts_with("baseOffset: ") {
        if field(line, "isvalid") != Some("true") {
            bail!("{}: batch is not valid: {line}", dumped.partition);
        }
        dumped.codecs.insert(
            field(line, "compresscodec")
                .context("a batch without codec")?
                .to_owned(),
        );
        if !each_record {
            dumped.records += field(line, "count")
                .context("a batch without count")?
                .parse::<u64>()?;
            let (first, last) = (number(line, "baseOffset")?, number(line, "lastOffset")?);
            dumped.offsets = Some((dumped.offsets.map_or(first, |(start, _)| start), last));
        }
    } else if let Some(record) = line.strip_prefix("| offset: ").filter(|_| each_record) {
        let offset: i64 = record
            .split_whitespace()
            .next()
            .context("a record without offset")?
            .parse()?;
        if let Some((_, last)) = dumped.offsets
            && offset <= last
        {
            bail!("{}: offset {offset} after {last}", dumped.partition);
        }
        dumped.records += 1;
        dumped.offsets = Some((dumped.offsets.map_or(offset, |(first, _)| first), offset));
    }
    Ok(())
}

fn number(line: &str, name: &str) -> Result<i64> {
    Ok(field(line, name)
        .with_context(|| format!("no {name} in {line}"))?
        .parse()?)
}

/// The value after `NAME: ` in a line of such pairs.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    words.find(|word| word.strip_suffix(':') == Some(name))?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: &str = "baseOffset: 0 lastOffset: 1 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 \
        producerEpoch: -1 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty \
        position: 0 CreateTime: 1 size: 80 magic: 2 compresscodec: gzip crc: 1 isvalid: true";

    fn file() -> LogFile {
        LogFile {
            partition: "t-0".to_owned(),
            path: PathBuf::from("/d/t-0/00000000000000000000.log"),
        }
    }

    fn text(lines: &[&str]) -> String {
        let path = file().path;
        format!(
            "Dumping {}\nLog starting offset: 0\n{}\n",
            path.display(),
            lines.join("\n")
        )
    }

    #[test]
    fn records_offsets_and_codecs_are_read_from_the_tools_text() -> Result<()> {
        let records = [
            "| offset: 0 CreateTime: 1 keySize: -1",
            "| offset: 1 CreateTime: 1 keySize: -1",
        ];
        let deep = parse(&text(&[BATCH, records[0], records[1]]), &[file()], true)?;
        assert_eq!((deep[0].records, deep[0].offsets), (2, Some((0, 1))));
        let shallow = parse(&text(&[BATCH]), &[file()], false)?;
        assert_eq!((shallow[0].records, shallow[0].offsets), (2, Some((0, 1))));
        assert_eq!(shallow[0].codecs, BTreeSet::from(["gzip".to_owned()]));
        assert_eq!(records_of(&shallow, "t"), 2);
        Ok(())
    }

    #[test]
    fn every_complaint_of_the_tool_is_an_error() {
        let invalid = BATCH.replace("isvalid: true", "isvalid: false");
        let complaints = [
            "Found 12 invalid bytes at the end of 00000000000000000000.log",
            "Non-consecutive offsets in /d/t-0/00000000000000000000.log",
            "Mismatches in :/d/t-0/00000000000000000000.index",
            invalid.as_str(),
        ];
        for complaint in complaints {
            assert!(
                parse(&text(&[BATCH, complaint]), &[file()], false).is_err(),
                "{complaint}"
            );
        }
    }

    #[test]
    fn offsets_that_do_not_ascend_and_files_left_out_are_errors() {
        let same = ["| offset: 1 CreateTime: 1", "| offset: 1 CreateTime: 1"];
        assert!(parse(&text(&[BATCH, same[0], same[1]]), &[file()], true).is_err());
        assert!(parse("", &[file()], true).is_err());
    }

    #[test]
    fn segment_files_are_told_from_other_logs() {
        assert!(is_segment(Path::new("/d/t-0/00000000000000000017.log")));
        for other in [
            "/d/broker.log",
            "/d/t-0/00000000000000000017.index",
            "/d/t-0/.log",
            "/d/t-0/00017.log.deleted",
        ] {
            assert!(!is_segment(Path::new(other)), "{other}");
        }
    }
}
