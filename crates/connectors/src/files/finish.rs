//! Puts files away that were read to their end: they stay, are deleted, or move to a folder.
//!
//! A file moves by getting a second name in the folder, which fails if that name is taken, and losing its first. A crash between the two
//! leaves the file under both names; the next call finds it in the folder and takes the first name away. Where that cannot be, on another
//! file system or in a store, the file is copied, and what lies in the folder counts as the copy if size and time, or the etag, are the same.
//!
//! Invariant: what is deleted or moved is what was read. No file of the folder is written over.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path as FilePath, PathBuf};

use object_store::path::Path as Key;
use spec::AfterReading;

use super::error::FilesError;
use super::found::Found;
use super::local::{Local, is_same};
use super::s3::{Bucket, etag_of};
use super::store::Store;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It stays.
    Kept,
    /// It is deleted.
    Deleted,
    /// It was gone already.
    Gone,
    /// It has this name now.
    Archived(String),
    /// It has gone from its name, and has another one still: that is no new file.
    Elsewhere,
}

/// So many names are tried in a folder.
const NAMES_MAX: u32 = 100_000;

/// Whether files of a path can move to a folder.
pub(super) fn check_folder(store: &Store, path: &str, folder: &str) -> Result<(), FilesError> {
    let fits = match store {
        Store::Local(_) => !folder.starts_with("s3://"),
        Store::S3(bucket) => bucket
            .key(&format!("{}/x", folder.trim_end_matches('/')))
            .is_some(),
    };
    if fits {
        return Ok(());
    }
    Err(FilesError::ArchiveElsewhere {
        path: path.to_owned(),
        folder: folder.to_owned(),
    })
}

pub(super) fn finish(
    store: &Store,
    after: &AfterReading,
    found: &Found,
) -> Result<Finished, FilesError> {
    match (after, store) {
        (AfterReading::Keep, _) => Ok(Finished::Kept),
        (AfterReading::Delete, Store::Local(local)) => delete_file(local, found),
        (AfterReading::Delete, Store::S3(bucket)) => delete_object(bucket, found),
        (AfterReading::Archive(folder), Store::Local(local)) => archive_file(local, folder, found),
        (AfterReading::Archive(folder), Store::S3(bucket)) => archive_object(bucket, folder, found),
    }
}

fn is_gone(checked: Result<(), FilesError>) -> Result<bool, FilesError> {
    match checked {
        Ok(()) => Ok(false),
        Err(FilesError::Vanished { .. }) => Ok(true),
        Err(other) => Err(other),
    }
}

fn delete_file(local: &Local, found: &Found) -> Result<Finished, FilesError> {
    if is_gone(local.check(found))? {
        return Ok(Finished::Gone);
    }
    let place = local.place(&found.path);
    let others = other_names(&place, None);
    remove(found, &place)?;
    Ok(match others {
        0 => Finished::Deleted,
        _ => Finished::Elsewhere,
    })
}

fn archive_file(local: &Local, folder: &str, found: &Found) -> Result<Finished, FilesError> {
    if is_gone(local.check(found))? {
        return Ok(Finished::Gone);
    }
    let place = local.place(&found.path);
    let target_folder = local.place(folder);
    let name = found.path.rsplit('/').next().unwrap_or(&found.path);
    let in_folder = |error: io::Error| match error.downcast::<FilesError>() {
        Ok(failure) => failure,
        Err(error) => FilesError::of_io(folder, error),
    };
    fs::create_dir_all(&target_folder).map_err(in_folder)?;
    if local.reads(&target_folder, name) {
        return Err(FilesError::ArchiveIsRead {
            path: found.path.clone(),
            target: target_folder.join(name).display().to_string(),
        });
    }
    let target = publish(local, found, &target_folder, name).map_err(in_folder)?;
    sync_folder_of(&target).map_err(in_folder)?;
    // It may have been replaced since it was looked at.
    local.check(found)?;
    let others = other_names(&place, Some(&target));
    remove(found, &place)?;
    Ok(match others {
        0 => Finished::Archived(target.display().to_string()),
        _ => Finished::Elsewhere,
    })
}

/// How many names a file has beside its own and the one in the archive.
fn other_names(place: &FilePath, archived: Option<&FilePath>) -> u64 {
    let Ok(file) = fs::symlink_metadata(place) else {
        return 0;
    };
    let is_it = |other: fs::Metadata| (other.dev(), other.ino()) == (file.dev(), file.ino());
    let archived = archived.is_some_and(|path| fs::symlink_metadata(path).is_ok_and(is_it));
    match file.is_file() {
        true => file.nlink().saturating_sub(1 + u64::from(archived)),
        // What a symbolic link leads to stays.
        false => 0,
    }
}

fn remove(found: &Found, place: &FilePath) -> Result<(), FilesError> {
    let removed = fs::remove_file(place).and_then(|()| sync_folder_of(place));
    removed.map_err(|source| FilesError::NotPutAway {
        path: found.path.clone(),
        source,
    })
}

/// Gives a file a name in a folder that no other file has.
fn publish(local: &Local, found: &Found, folder: &FilePath, name: &str) -> io::Result<PathBuf> {
    let place = local.place(&found.path);
    let can_link = !fs::symlink_metadata(&place)?.is_symlink();
    for number in 0..NAMES_MAX {
        let target = folder.join(numbered(name, number));
        match fs::metadata(&target) {
            // A crash left it.
            Ok(metadata) if is_same(found, &metadata) && is_copy(local, found, &target)? => {
                return Ok(target);
            }
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let linked = match can_link {
            true => fs::hard_link(&place, &target),
            false => Err(io::ErrorKind::Unsupported.into()),
        };
        match linked {
            Ok(()) => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_elsewhere) => {
                copy(local, found, folder, name, &target)?;
                return Ok(target);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether what lies in the folder is the file: files that a program has made may all have one size and time.
fn is_copy(local: &Local, found: &Found, target: &FilePath) -> io::Result<bool> {
    let file = local.open_at(found, 0).map_err(io::Error::other)?;
    let other = File::open(target)?;
    let (one, two) = (file.metadata()?, other.metadata()?);
    if (one.dev(), one.ino()) == (two.dev(), two.ino()) {
        return Ok(true);
    }
    let (mut file, mut other) = (BufReader::new(file), BufReader::new(other));
    loop {
        let (one, two) = (file.fill_buf()?, other.fill_buf()?);
        let count = one.len().min(two.len());
        if count == 0 || one[..count] != two[..count] {
            return Ok(one.is_empty() && two.is_empty());
        }
        file.consume(count);
        other.consume(count);
    }
}

/// Copies a file to a name that nobody has. The copy has it when it is whole and on disk, not before.
fn copy(
    local: &Local,
    found: &Found,
    folder: &FilePath,
    name: &str,
    target: &FilePath,
) -> io::Result<()> {
    let part = folder.join(format!(".{name}.part"));
    let mut from = local.open_at(found, 0).map_err(io::Error::other)?;
    let mut to = File::create(&part)?;
    io::copy(&mut from, &mut to)?;
    to.set_modified(from.metadata()?.modified()?)?;
    to.sync_all()?;
    match fs::hard_link(&part, target) {
        Ok(()) => fs::remove_file(&part),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system where a file has one name: that the name is free was seen just now.
        Err(_one_name) => fs::rename(&part, target),
    }
}

/// `a.csv.gz`, `a.1.csv.gz`, `a.2.csv.gz`
fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    // A dot at the beginning is no end of a name.
    let end = name
        .char_indices()
        .skip(1)
        .find(|(_, letter)| *letter == '.');
    let (stem, suffix) = name.split_at(end.map_or(name.len(), |(end, _)| end));
    format!("{stem}.{number}{suffix}")
}

/// A change of names is on disk when its folder is.
fn sync_folder_of(place: &FilePath) -> io::Result<()> {
    match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// The key of an object that is still what was found; `None` if it is gone.
fn key_of(bucket: &Bucket, found: &Found) -> Result<Option<Key>, FilesError> {
    let Some(key) = bucket.key(&found.path) else {
        return Ok(None);
    };
    match bucket.head(&key)? {
        None => Ok(None),
        Some(object) if etag_of(&object) == found.etag => Ok(Some(key)),
        Some(_) => Err(FilesError::Changed {
            path: found.path.clone(),
        }),
    }
}

fn delete_object(bucket: &Bucket, found: &Found) -> Result<Finished, FilesError> {
    let Some(key) = key_of(bucket, found)? else {
        return Ok(Finished::Gone);
    };
    bucket.delete(&key)?;
    Ok(Finished::Deleted)
}

fn archive_object(bucket: &Bucket, folder: &str, found: &Found) -> Result<Finished, FilesError> {
    let Some(key) = key_of(bucket, found)? else {
        return Ok(Finished::Gone);
    };
    let name = key.filename().unwrap_or_default();
    let folder = folder.trim_end_matches('/');
    for number in 0..NAMES_MAX {
        let target = bucket.key(&format!("{folder}/{}", numbered(name, number)));
        let Some(target) = target else {
            break;
        };
        if bucket.matches(&target) {
            return Err(FilesError::ArchiveIsRead {
                path: found.path.clone(),
                target: bucket.name_of(&target),
            });
        }
        match bucket.head(&target)? {
            // A crash left it: a copy of an object that was put in one piece has its etag.
            Some(object) if object.size == found.size && etag_of(&object) == found.etag => {}
            Some(_) => continue,
            None => bucket.copy(&key, &target)?,
        }
        bucket.delete(&key)?;
        return Ok(Finished::Archived(bucket.name_of(&target)));
    }
    Err(FilesError::ArchiveElsewhere {
        path: found.path.clone(),
        folder: folder.to_owned(),
    })
}
