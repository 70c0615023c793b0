//! Where things lie: the repository, the target folder and, inside it, what automation installs and writes.
//! Nothing outside the target folder is ever written, except files that are generated into the repository.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
        .to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR` if set, else `target` in the repository.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo resolves a relative value from the folder it was started in; ours is the root.
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// What automation installs: pinned clients, Kafka's class path. Kept between runs.
pub(crate) fn installed(name: &str) -> PathBuf {
    target().join("xtask").join(name)
}
