//! A folder that looks like an unpacked Kafka release: `bin/kafka-*.sh` around the pinned Java tools and `libs` with their
//! jars. Suites that call Kafka's scripts through `KAFKA_PATH` get this folder.

use crate::{kafka, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Writes the folder anew and returns it.
pub(crate) fn make() -> Result<PathBuf> {
    let home = workspace::installed("kafka-home");
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    let (bin, libs) = (home.join("bin"), home.join("libs"));
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&libs)?;
    let class_path = kafka::class_path()?;
    for jar in class_path.split(':').map(Path::new) {
        let name = jar.file_name().context("a jar has a name")?;
        symlink(jar, libs.join(name))?;
    }
    for (script, class) in kafka::TOOLS {
        write_script(
            &bin.join(format!("{script}.sh")),
            &format!("{class} \"$@\""),
        )?;
    }
    write_script(&bin.join("kafka-run-class.sh"), "\"$@\"")?;
    Ok(home)
}

/// A script that starts Java with the release's jars; what `CLASSPATH` names comes first, as in Kafka's own.
fn write_script(path: &Path, arguments: &str) -> Result<()> {
    let flags = kafka::TOOL_JVM_FLAGS.join(" ");
    let text = format!(
        "#!/bin/sh\nhome=$(dirname \"$0\")/..\n\
         exec java {flags} {} -cp \"${{CLASSPATH:+$CLASSPATH:}}$home/libs/*\" {arguments}\n",
        kafka::LOG_LEVEL_FLAG
    );
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
