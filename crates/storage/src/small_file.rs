//! Small files that are replaced whole: read with a bound, written beside and renamed.
//!
//! Invariant: after a crash at any point the file has its old content or its new one, never a mixture; once
//! [`replace`] has returned it is the new one.

use std::io::{self, IoSlice};
use std::path::Path;

use env::disk::{Disk, OpenMode};

/// Reads all of a file; `None` if there is none. Longer than `limit` bytes is an error: it is none of ours.
pub(crate) fn read(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.length()?;
    if length > limit {
        let text = format!("{} is {length} bytes long", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// Replaces a file durably.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(disk, path, bytes, true)?;
    if let Some(folder) = path.parent() {
        disk.sync_directory(folder)?;
    }
    Ok(())
}

/// Replaces a file without waiting for the disk; for what can be rebuilt.
pub(crate) fn replace_lazily(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(disk, path, bytes, false)
}

fn write_beside(disk: &dyn Disk, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let file = disk.open(&beside, OpenMode::CreateIfMissing)?;
    file.set_length(0)?;
    file.write_at(&[IoSlice::new(bytes)], 0)?;
    if sync {
        file.sync_data()?;
    }
    disk.rename(&beside, path)
}
