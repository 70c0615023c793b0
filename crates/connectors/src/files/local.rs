//! [`Local`]: files of the file system.

use std::fs::{self, File, Metadata};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use glob::{MatchOptions, Pattern};

use super::error::FilesError;
use super::found::{Found, local_etag, same_content};
use super::settle::Settle;
use super::source::Listing;
use super::walk::Walk;

/// `*` and `?` match no `/` and no dot at the beginning of a name.
pub(super) const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Files of the file system.
#[derive(Debug)]
pub(super) struct Local {
    /// What relative paths are relative to.
    folder: PathBuf,
    /// As the pipeline has it, without `file://`.
    path: String,
    /// The same from the root on.
    matcher: Pattern,
    walk: Walk,
}

/// The characters that stand for others.
pub(super) const STANDS_FOR: [char; 3] = ['*', '?', '['];

impl Local {
    pub(super) fn open(folder: &Path, path: &str) -> Result<Self, FilesError> {
        let wrong = |why: String| FilesError::Pattern {
            pattern: path.to_owned(),
            why,
        };
        let path = path.strip_prefix("file://").unwrap_or(path);
        let path = path.strip_prefix("./").unwrap_or(path);
        let absolute = if path.starts_with('/') {
            path.to_owned()
        } else {
            let folder = folder.to_str();
            let folder =
                folder.ok_or_else(|| wrong("the folder's name is not UTF-8".to_owned()))?;
            format!("{}/{path}", Pattern::escape(folder.trim_end_matches('/')))
        };
        let matcher = Pattern::new(&absolute).map_err(|error| wrong(error.to_string()))?;
        let walk = Walk::new(folder, path).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            path: path.to_owned(),
            matcher,
            walk,
        })
    }

    /// Where a file of this name is.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.folder
            .join(path.strip_prefix("file://").unwrap_or(path))
    }

    /// Whether a file of this name in a folder would be read, whatever way the folder is named.
    pub(super) fn reads(&self, folder: &Path, name: &str) -> bool {
        let matches = |folder: &Path| self.matcher.matches_path_with(&folder.join(name), MATCHING);
        let base = self.walk.base();
        let within =
            fs::canonicalize(folder).and_then(|folder| Ok((folder, fs::canonicalize(base)?)));
        matches(folder)
            || within.is_ok_and(|(folder, real)| {
                let within = folder.strip_prefix(real);
                within.is_ok_and(|within| matches(&base.join(within)))
            })
    }

    pub(super) fn list(
        &self,
        settle: &mut Settle,
        files_max: usize,
    ) -> Result<Listing, FilesError> {
        // A folder that is not mounted has not lost its files.
        let base = self.walk.base();
        if let Err(error) = fs::read_dir(base) {
            let folder = base.display().to_string();
            return Err(match error.kind() {
                io::ErrorKind::NotFound => FilesError::NoFolder { folder },
                _ => FilesError::of_io(&folder, error),
            });
        }
        let walked = self
            .walk
            .run(files_max)
            .ok_or_else(|| FilesError::TooMany {
                pattern: self.path.clone(),
                max: files_max,
            })?;
        let mut listing = Listing {
            files: Vec::with_capacity(walked.paths.len()),
            failures: walked.failures,
        };
        for path in walked.paths {
            match self.look(&path, settle) {
                Ok(Some(found)) => listing.files.push(found),
                // It went while files were listed.
                Ok(None) | Err(FilesError::Vanished { .. }) => {}
                Err(failure) => listing.failures.push(failure),
            }
        }
        Ok(listing)
    }

    /// A file that matches; `None` if it is a folder.
    fn look(&self, place: &Path, settle: &mut Settle) -> Result<Option<Found>, FilesError> {
        let shown = place.display().to_string();
        let name = if self.path.starts_with('/') {
            place
        } else {
            place.strip_prefix(&self.folder).unwrap_or(place)
        };
        let metadata = match fs::metadata(place) {
            Ok(metadata) => metadata,
            Err(error) => return Err(unseen(place, shown, error)),
        };
        if metadata.is_dir() {
            return Ok(None);
        }
        if !metadata.is_file() {
            return Err(FilesError::NoFile { path: shown });
        }
        let Some(path) = name.to_str() else {
            return Err(FilesError::Name { path: shown });
        };
        // The time of the last change can be set back, as those do that copy times too; that of the last change of the inode cannot.
        let changed_ms = metadata.ctime().saturating_mul(1000) + metadata.ctime_nsec() / 1_000_000;
        let modified_ms = modified_ms(&metadata);
        let etag = etag_of(&metadata);
        let (settled, is_ahead) = settle.look(path, &etag, changed_ms.max(modified_ms));
        Ok(Some(Found {
            path: path.to_owned(),
            size: metadata.len(),
            etag,
            modified_ms,
            settled,
            is_ahead,
            born_ms: born_ms(&metadata),
        }))
    }

    /// Opens a file at a byte, if it is what was found.
    pub(super) fn open_at(&self, found: &Found, byte: u64) -> Result<File, FilesError> {
        let failed = |error| FilesError::of_io(&found.path, error);
        let mut file = File::open(self.place(&found.path)).map_err(failed)?;
        self.check_file(found, &file)?;
        file.seek(SeekFrom::Start(byte)).map_err(failed)?;
        Ok(file)
    }

    pub(super) fn check_file(&self, found: &Found, file: &File) -> Result<(), FilesError> {
        let failed = |error| FilesError::of_io(&found.path, error);
        check(found, &file.metadata().map_err(failed)?)
    }

    /// Whether there is still what was found.
    pub(super) fn check(&self, found: &Found) -> Result<(), FilesError> {
        let failed = |error| FilesError::of_io(&found.path, error);
        check(
            found,
            &fs::metadata(self.place(&found.path)).map_err(failed)?,
        )
    }
}

/// Why there is nothing to be seen of what has a name.
fn unseen(place: &Path, path: String, error: io::Error) -> FilesError {
    let is_link = fs::symlink_metadata(place).is_ok_and(|metadata| metadata.is_symlink());
    match error.kind() {
        io::ErrorKind::NotFound if is_link => FilesError::DeadLink { path },
        _ => FilesError::of_io(&path, error),
    }
}

fn check(found: &Found, metadata: &Metadata) -> Result<(), FilesError> {
    if is_same(found, metadata) {
        return Ok(());
    }
    let path = found.path.clone();
    Err(FilesError::Changed { path })
}

/// Whether a file has the content that was found.
pub(super) fn is_same(found: &Found, metadata: &Metadata) -> bool {
    metadata.len() == found.size && same_content(&etag_of(metadata), &found.etag)
}

fn modified_ms(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1000) + metadata.mtime_nsec() / 1_000_000
}

fn born_ms(metadata: &Metadata) -> Option<i64> {
    let born = metadata.created().ok()?;
    let since_1970 = born.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_1970.as_millis()).ok()
}

fn etag_of(metadata: &Metadata) -> String {
    let modified_ns =
        i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    local_etag(modified_ns, metadata.len(), metadata.ino())
}
