//! Damages files of a data directory while no broker runs on it: files that are derived from the log, anywhere; and bytes of the log,
//! but only of closed segments of the one topic that is there for it.
//!
//! Invariant: what is flipped in the log is behind no checkpoint, since an unfinished end is cut off at a start, as it has to be.

use crate::random::Random;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The topic whose log is damaged.
pub(crate) const VICTIM: &str = "victim";

/// A batch of the log that was damaged: readers may be refused these offsets, and only these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Under the data directory.
    pub(crate) path: PathBuf,
    /// The partition, as histories name it.
    pub(crate) key: String,
    pub(crate) first_offset: i64,
    pub(crate) end_offset: i64,
}

/// Flips, cuts, zeroes or removes one derived file. Returns its path under the data directory and what was done, if there is one.
pub(crate) fn derived(random: &mut Random, data_dir: &Path) -> Result<Option<(PathBuf, String)>> {
    let mut files = vec![data_dir.join("checkpoint")];
    for folder in folders(&data_dir.join("logs"))? {
        files.extend(with_extensions(
            &folder,
            &["index", "timeindex", "snapshot"],
        )?);
    }
    files.retain(|file| fs::metadata(file).is_ok_and(|found| found.len() > 0));
    // The checkpoint is one file among hundreds.
    let chosen = match random.below(6) {
        0 => files.first(),
        _ => random.pick(&files),
    };
    let Some(path) = chosen else {
        return Ok(None);
    };
    let file = fs::File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let done = match random.below(6) {
        0 => {
            fs::remove_file(path)?;
            "removed".to_owned()
        }
        1 => {
            let left = random.below(length);
            file.set_len(left)?;
            format!("cut from {length} to {left} bytes")
        }
        2 => {
            let zeros = vec![0; usize::try_from(length)?];
            file.write_all_at(&zeros, 0)?;
            format!("{length} bytes zeroed")
        }
        _ => {
            let position = random.below(length);
            flip(random, &file, position)?;
            format!("a bit of byte {position} of {length} flipped")
        }
    };
    let path = path.strip_prefix(data_dir)?.to_path_buf();
    Ok(Some((path, done)))
}

/// Flips a bit of a batch that is not damaged yet, in a closed segment of the victim, if there is one.
pub(crate) fn log(
    random: &mut Random,
    data_dir: &Path,
    damages: &[Damage],
) -> Result<Option<(Damage, u64)>> {
    let Ok(checkpoint) = fs::metadata(data_dir.join("checkpoint")) else {
        return Ok(None);
    };
    let folder = data_dir.join(format!("logs/{VICTIM}-0"));
    let mut segments = with_extensions(&folder, &["log"])?;
    // The last one is still written to.
    segments.pop();
    let covered = checkpoint.modified()?;
    segments.retain(|path| {
        fs::metadata(path).is_ok_and(|found| found.modified().is_ok_and(|at| at < covered))
    });
    let Some(path) = random.pick(&segments) else {
        return Ok(None);
    };
    let content = fs::read(path)?;
    let relative = path.strip_prefix(data_dir)?.to_path_buf();
    let is_whole = |batch: &Batch| {
        !damages
            .iter()
            .any(|damage| damage.path == relative && damage.first_offset == batch.first_offset)
    };
    // A segment with a damage is not walked over again: lengths may be damaged too.
    if damages.iter().any(|damage| damage.path == relative) {
        return Ok(None);
    }
    let batches: Vec<_> = batches(&content).into_iter().filter(is_whole).collect();
    let Some(batch) = random.pick(&batches) else {
        return Ok(None);
    };
    let mut at = random.below(batch.length);
    // The leader epoch, which says nothing of records, is under no checksum.
    if (12..16).contains(&at) {
        at = 17;
    }
    let position = batch.position + at;
    let file = fs::File::options().read(true).write(true).open(path)?;
    flip(random, &file, position)?;
    let damage = Damage {
        path: relative,
        key: format!("{VICTIM}-0"),
        first_offset: batch.first_offset,
        end_offset: batch.end_offset,
    };
    Ok(Some((damage, position)))
}

fn flip(random: &mut Random, file: &fs::File, position: u64) -> Result<()> {
    let mut byte = [0; 1];
    file.read_exact_at(&mut byte, position)?;
    byte[0] ^= 1 << random.below(8);
    file.write_all_at(&byte, position)?;
    Ok(())
}

struct Batch {
    position: u64,
    length: u64,
    first_offset: i64,
    end_offset: i64,
}

/// The batches of a whole segment: docs/formats/segment.md.
fn batches(content: &[u8]) -> Vec<Batch> {
    let mut found = Vec::new();
    let mut rest = content;
    while let (Some(base), Some(length), Some(last)) =
        (number(rest, 0, 8), number(rest, 8, 4), number(rest, 23, 4))
    {
        let Ok(length) = usize::try_from(length + 12) else {
            break;
        };
        if length > rest.len() || length < 61 {
            break;
        }
        found.push(Batch {
            position: (content.len() - rest.len()) as u64,
            length: length as u64,
            first_offset: base,
            end_offset: base + last + 1,
        });
        rest = &rest[length..];
    }
    found
}

/// A big-endian number.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<i64> {
    let bytes = bytes.get(at..at + length)?;
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | i64::from(*byte)),
    )
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    let mut found = entries(parent)?;
    found.retain(|path| path.is_dir());
    Ok(found)
}

fn with_extensions(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = entries(folder)?;
    found.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    });
    Ok(found)
}

/// Sorted, so that the same seed chooses alike; none if there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let list = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut found = list
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}
