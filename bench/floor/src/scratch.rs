//! Files that go away: one directory per run below `--dir`, removed when dropped.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A directory of this process that is removed with all it holds when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Creates `parent/floor-PID`.
    pub(crate) fn create(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("floor-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path })
    }

    /// Opens `name` in the directory for reading and writing, empty.
    pub(crate) fn file(&self, name: &str) -> Result<File> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options
            .open(&path)
            .with_context(|| format!("creating {}", path.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("floor: {} was not removed: {error}", self.path.display());
        }
    }
}
