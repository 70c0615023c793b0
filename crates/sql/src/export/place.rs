//! A file of an export under another name until all of it is there.
//!
//! Invariant: every folder on the way is opened from the one above it without following links, so that no name, and nobody who
//! changes links meanwhile, leads out of the folder of exports. The name is given by a rename, after the bytes are on the disk;
//! without leave to overwrite it fails if the name was taken meanwhile.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fsync, openat, renameat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::output::{Output, close};
use super::{ExportError, Wanted};

/// Names of files that a crash left; more than this in one folder and somebody should look.
const LEFT_OVER_MAX: u64 = 10_000;

/// A file that goes away unless it is finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    folder: OwnedFd,
    /// The name until it is finished.
    temporary: Option<OsString>,
    file_name: OsString,
    wanted: Wanted,
}

impl Unfinished {
    /// Begins a file in this folder of exports.
    pub(super) fn create(directory: &Path, wanted: &Wanted) -> Result<(Self, File), ExportError> {
        let failed = |source: io::Error| ExportError::Io {
            name: wanted.name.clone(),
            source,
        };
        let (folders, file_name) = parts(&wanted.name)?;
        let folder = open_folder(directory, &folders).map_err(|errno| failed(errno.into()))?;
        if !wanted.overwrites
            && is_taken(&folder, &file_name).map_err(|errno| failed(errno.into()))?
        {
            return Err(ExportError::Exists(wanted.name.clone()));
        }
        let (temporary, file) = create_temporary(&folder).map_err(|errno| failed(errno.into()))?;
        let unfinished = Self {
            folder,
            temporary: Some(temporary),
            file_name,
            wanted: wanted.clone(),
        };
        Ok((unfinished, file.into()))
    }

    /// Gives the file its name, once it is on the disk.
    pub(super) fn finish(mut self, output: Output) -> Result<(), ExportError> {
        let named = close(output).and_then(|()| Ok(self.name()?));
        named.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ExportError::Exists(self.wanted.name.clone()),
            _ => ExportError::Io {
                name: self.wanted.name.clone(),
                source,
            },
        })
    }

    fn name(&mut self) -> Result<(), Errno> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        let (from, to) = (temporary.as_os_str(), self.file_name.as_os_str());
        if self.wanted.overwrites {
            renameat(&self.folder, from, &self.folder, to)?;
        } else {
            renameat_with(&self.folder, from, &self.folder, to, RenameFlags::NOREPLACE)?;
        }
        self.temporary = None;
        fsync(&self.folder)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary
            && let Err(error) = unlinkat(&self.folder, temporary.as_os_str(), AtFlags::empty())
        {
            tracing::warn!(%error, name = self.wanted.name, "could not remove an export that was not finished");
        }
    }
}

/// The folders on the way and the name of the file.
fn parts(name: &str) -> Result<(Vec<OsString>, OsString), ExportError> {
    let refused = |why| {
        let name = name.to_owned();
        Err(ExportError::Name { name, why })
    };
    if name.contains("://") {
        return Err(ExportError::Remote(name.to_owned()));
    }
    if name.contains('\0') {
        return refused("it has a zero byte");
    }
    if name.ends_with('/') {
        return refused("it is that of a folder");
    }
    let mut parts = Vec::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::CurDir => {}
            Component::ParentDir => return refused("it must not have .."),
            Component::RootDir | Component::Prefix(_) => {
                return refused("it must be relative to the folder of exports");
            }
        }
    }
    match parts.pop() {
        Some(file_name) => Ok((parts, file_name)),
        None => refused("it is empty"),
    }
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

fn open_folder(directory: &Path, folders: &[OsString]) -> Result<OwnedFd, Errno> {
    // Whoever set up the folder may have made it a link.
    let mut folder = openat(CWD, directory, FOLDER, Mode::empty())?;
    for name in folders {
        folder = openat(
            &folder,
            name.as_os_str(),
            FOLDER | OFlags::NOFOLLOW,
            Mode::empty(),
        )?;
    }
    Ok(folder)
}

fn is_taken(folder: &OwnedFd, name: &OsString) -> Result<bool, Errno> {
    match statat(folder, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file of a name that nobody has.
fn create_temporary(folder: &OwnedFd) -> Result<(OsString, OwnedFd), Errno> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    for _ in 0..LEFT_OVER_MAX {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = OsString::from(format!(".export-{}-{number}.part", std::process::id()));
        match openat(folder, name.as_os_str(), flags, mode) {
            // Of a process that is no more.
            Err(Errno::EXIST) => {}
            opened => return Ok((name, opened?)),
        }
    }
    Err(Errno::EXIST)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::super::output::Counted;
    use super::*;

    fn wanted(name: &str, overwrites: bool) -> Wanted {
        let name = name.to_owned();
        Wanted { name, overwrites }
    }

    fn write(
        directory: &Path,
        name: &str,
        overwrites: bool,
        text: &str,
    ) -> Result<(), ExportError> {
        let (unfinished, file) = Unfinished::create(directory, &wanted(name, overwrites))?;
        let mut output = Counted::file(file, Arc::default());
        output.write_all(text.as_bytes()).unwrap();
        unfinished.finish(output)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_finished_and_is_gone_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (unfinished, _file) =
            Unfinished::create(folder.path(), &wanted("a.csv", false)).unwrap();
        assert!(!folder.path().join("a.csv").exists());
        drop(unfinished);
        assert_eq!(names(folder.path()), Vec::<String>::new());
        write(folder.path(), "a.csv", false, "x").unwrap();
        assert_eq!(names(folder.path()), ["a.csv"]);
    }

    #[test]
    fn another_file_is_replaced_only_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.csv", false, "first").unwrap();
        let refused = write(folder.path(), "a.csv", false, "second");
        assert!(
            matches!(refused, Err(ExportError::Exists(_))),
            "{refused:?}"
        );
        // Nor when it comes while the other is written.
        let (unfinished, file) =
            Unfinished::create(folder.path(), &wanted("b.csv", false)).unwrap();
        std::fs::write(folder.path().join("b.csv"), "other").unwrap();
        let output = Counted::file(file, Arc::default());
        assert!(matches!(
            unfinished.finish(output),
            Err(ExportError::Exists(_))
        ));
        assert_eq!(names(folder.path()), ["a.csv", "b.csv"]);
        write(folder.path(), "a.csv", true, "second").unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("a.csv")).unwrap(),
            "second"
        );
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        std::fs::write(outside.path().join("kept"), "kept").unwrap();
        std::os::unix::fs::symlink(outside.path().join("kept"), folder.path().join("file"))
            .unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        for name in [
            "../a.csv",
            "sub/../../a.csv",
            "/etc/a.csv",
            "link/a.csv",
            "",
            ".",
            "sub/",
            "a\0.csv",
            "s3://bucket/a.csv",
            "file:///tmp/a.csv",
            "nothere/a.csv",
        ] {
            let refused = write(folder.path(), name, true, "x");
            assert!(refused.is_err(), "{name}");
        }
        assert_eq!(names(outside.path()), ["kept"]);
        // A link is replaced, not followed.
        write(folder.path(), "file", true, "new").unwrap();
        assert_eq!(
            std::fs::read_to_string(outside.path().join("kept")).unwrap(),
            "kept"
        );
        write(folder.path(), "./sub/a.csv", false, "x").unwrap();
        assert_eq!(names(&folder.path().join("sub")), ["a.csv"]);
    }
}
