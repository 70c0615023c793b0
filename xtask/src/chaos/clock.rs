//! The broker's wall clock, through libfaketime: what it reads is off by what a file says. The monotonic clock is the machine's.

use crate::install;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Debian's package, and the variant of its library for programs with threads.
const PACKAGE: &str = "libfaketime";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// What the broker needs in its environment; the clock is right at first.
pub(crate) fn environment(folder: &Path) -> Result<Vec<(&'static str, String)>> {
    let library = match library() {
        Some(library) => library,
        None => {
            install::system_packages(&[PACKAGE]).context("libfaketime, for clock jumps")?;
            library().context("libfaketime is installed and not found")?
        }
    };
    set(folder, 0)?;
    Ok(vec![
        ("LD_PRELOAD", shown(&library)?),
        ("FAKETIME_TIMESTAMP_FILE", shown(&file(folder))?),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

/// From now on the clock is off by so many seconds.
pub(crate) fn set(folder: &Path, seconds: i64) -> Result<()> {
    // Whole at any time: the broker reads it whenever it asks for the time.
    let beside = folder.join("clock.new");
    fs::write(&beside, format!("{seconds:+}\n"))?;
    Ok(fs::rename(beside, file(folder))?)
}

fn file(folder: &Path) -> PathBuf {
    folder.join("clock")
}

fn shown(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(path) => Ok(path.to_owned()),
        None => bail!("{} is no text", path.display()),
    }
}

fn library() -> Option<PathBuf> {
    let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = [machine.as_str(), "/usr/lib"];
    folders
        .iter()
        .map(|folder| Path::new(folder).join(LIBRARY))
        .find(|path| path.exists())
}
