//! [`Walk`]: the files below a folder whose paths match a pattern.
//!
//! `glob` tells whether a name matches; it does not walk, since names that are no UTF-8 make it panic. `**` goes into no folder through a
//! symbolic link, or it might never end; other parts of a path do.
//!
//! Invariant: memory grows with the folders and files that match so far, which are bounded.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use glob::Pattern;

use super::error::FilesError;
use super::local::{MATCHING, STANDS_FOR};

/// A part of a pattern between slashes.
#[derive(Debug)]
enum Part {
    /// Any number of folders.
    Folders,
    /// A name as it is.
    Name(String),
    /// Names that match.
    Names(Pattern),
}

/// The files below a folder whose paths match.
#[derive(Debug)]
pub(super) struct Walk {
    base: PathBuf,
    parts: Vec<Part>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// In no order, each once. They may be something else than files.
    pub(super) paths: Vec<PathBuf>,
    /// Folders that cannot be looked into, and names that are no text.
    pub(super) failures: Vec<FilesError>,
}

impl Walk {
    /// Below a folder: `pattern` is relative to it, or begins at the root.
    pub(super) fn new(folder: &Path, pattern: &str) -> Result<Self, glob::PatternError> {
        let mut names = pattern.split('/').filter(|name| !name.is_empty());
        let mut base = match pattern.starts_with('/') {
            true => PathBuf::from("/"),
            false => folder.to_path_buf(),
        };
        let mut parts = Vec::new();
        let mut rest: Vec<_> = names.by_ref().collect();
        let last = rest.pop().unwrap_or_default();
        for name in rest {
            let part = part(name)?;
            match part {
                Part::Name(name) if parts.is_empty() => base.push(name),
                Part::Folders if matches!(parts.last(), Some(Part::Folders)) => {}
                part => parts.push(part),
            }
        }
        match part(last)? {
            Part::Folders => parts.extend([Part::Folders, part("*")?]),
            part => parts.push(part),
        }
        Ok(Self { base, parts })
    }

    /// The folder that all of them are in.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// Walks; `None` if more than `paths_max` match or are to be looked into.
    pub(super) fn run(&self, paths_max: usize) -> Option<Walked> {
        let mut walked = Walked::default();
        let mut seen = HashSet::new();
        let mut folders = vec![(self.base.clone(), 0)];
        while let Some((folder, at)) = folders.pop() {
            let mut found = Vec::new();
            self.step(&folder, at, &mut folders, &mut found, &mut walked.failures);
            for path in found {
                if seen.insert(path.clone()) {
                    walked.paths.push(path);
                }
            }
            if folders.len().max(walked.paths.len()) > paths_max {
                return None;
            }
        }
        Some(walked)
    }

    /// Looks for the part `at` in a folder.
    fn step(
        &self,
        folder: &Path,
        at: usize,
        folders: &mut Vec<(PathBuf, usize)>,
        found: &mut Vec<PathBuf>,
        failures: &mut Vec<FilesError>,
    ) {
        let is_last = at + 1 == self.parts.len();
        let pattern = match self.parts.get(at) {
            None => return,
            Some(Part::Name(name)) if is_last => {
                found.push(folder.join(name));
                return;
            }
            Some(Part::Name(name)) => {
                folders.push((folder.join(name), at + 1));
                return;
            }
            Some(Part::Folders) => {
                folders.push((folder.to_path_buf(), at + 1));
                None
            }
            Some(Part::Names(pattern)) => Some(pattern),
        };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                // What has gone, or is a file, has nothing that matches.
                let kinds = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
                if !kinds.contains(&error.kind()) {
                    failures.push(FilesError::of_io(&folder.display().to_string(), error));
                }
                return;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    failures.push(FilesError::of_io(&folder.display().to_string(), error));
                    return;
                }
            };
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let fits = match pattern {
                Some(pattern) => pattern.matches_with(&shown, MATCHING),
                None => !shown.starts_with('.') && is_folder(&entry),
            };
            match pattern {
                _ if !fits => {}
                _ if name.to_str().is_none() => failures.push(FilesError::Name {
                    path: entry.path().display().to_string(),
                }),
                None => folders.push((entry.path(), at)),
                Some(_) if is_last => found.push(entry.path()),
                Some(_) if entry.path().is_dir() => folders.push((entry.path(), at + 1)),
                Some(_) => {}
            }
        }
    }
}

/// A folder, and no symbolic link to one.
fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

fn part(name: &str) -> Result<Part, glob::PatternError> {
    Ok(match name {
        "**" => Part::Folders,
        _ if name.contains(STANDS_FOR) => Part::Names(Pattern::new(name)?),
        _ => Part::Name(name.to_owned()),
    })
}
