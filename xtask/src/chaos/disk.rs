//! A small file system for a data directory: an ext4 image in the run's folder, mounted as a loop device; where that is not
//! allowed, a tmpfs. Invariant: it is unmounted when its handle is dropped.

use crate::process;
use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file that takes up all room.
const FILLER: &str = "filler";

#[derive(Debug)]
pub(crate) struct Disk {
    mount: PathBuf,
    /// Empty for a tmpfs, whose content goes with it.
    image: Option<PathBuf>,
}

impl Disk {
    /// Makes and mounts one of this size.
    pub(crate) fn mount(folder: &Path, mebibytes: u64) -> Result<Self> {
        let mount = folder.join("disk");
        fs::create_dir_all(&mount)?;
        let image = folder.join("disk.img");
        match mount_image(&image, &mount, mebibytes) {
            Ok(()) => Ok(Self {
                mount,
                image: Some(image),
            }),
            Err(image_error) => {
                let size = format!("size={mebibytes}m");
                let mut command = Command::new("mount");
                command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
                process::output(command.arg(&mount)).with_context(|| {
                    format!("no file system can be mounted, as root can: {image_error:#}")
                })?;
                Ok(Self { mount, image: None })
            }
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.mount
    }

    pub(crate) fn shown(&self) -> &'static str {
        match self.image {
            Some(_) => "ext4 image",
            None => "tmpfs",
        }
    }

    /// Takes up all room: most of it without writing it, the last of it by writing.
    pub(crate) fn fill(&self) -> Result<()> {
        let file = self.mount.join(FILLER);
        let free = rustix::fs::statvfs(&self.mount).context("statvfs")?;
        let bytes = free.f_bavail * free.f_frsize;
        let mut command = Command::new("fallocate");
        command.args(["-l", &bytes.saturating_sub(256 << 10).max(4096).to_string()]);
        // The broker may be faster at the last bytes; then the file is shorter.
        drop(process::output(command.arg(&file)));
        let mut filler = fs::File::options().append(true).create(true).open(&file)?;
        while filler.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    }

    pub(crate) fn free(&self) -> Result<()> {
        match fs::remove_file(self.mount.join(FILLER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if process::output(Command::new("umount").arg(&self.mount)).is_err() {
            // Something still has a file open: the mount goes when that ends.
            drop(process::output(
                Command::new("umount").arg("--lazy").arg(&self.mount),
            ));
        }
    }
}

fn mount_image(image: &Path, mount: &Path, mebibytes: u64) -> Result<()> {
    // Sparse: only what is written takes room.
    fs::File::create(image)?.set_len(mebibytes << 20)?;
    let mut format = Command::new("mkfs.ext4");
    process::output(
        format
            .args(["-q", "-m", "0"])
            .arg(image)
            .stdin(Stdio::null()),
    )?;
    let mut command = Command::new("mount");
    process::output(command.args(["-o", "loop"]).arg(image).arg(mount)).map(drop)
}
