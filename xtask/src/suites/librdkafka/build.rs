//! Fetches librdkafka with its tests and builds them. The sources come in a package of npm, which carries the whole tree;
//! they and the build stay in the target folder and are never committed.

use crate::workspace;
use crate::{install, process};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package with librdkafka 2.15.1 in `deps/librdkafka`.
const PACKAGE: &str = "@confluentinc/kafka-javascript@1.10.1";
const ARCHIVE: &str = "confluentinc-kafka-javascript-1.10.1.tgz";
const ARCHIVE_SHA256: &str = "ada7d703bb1d3237e2292bfabf438d663b6160c9f1ac2a2406b5dc4257c81b66";

/// What the build links against.
const SYSTEM_PACKAGES: [&str; 4] = ["libssl-dev", "zlib1g-dev", "libzstd-dev", "rapidjson-dev"];

/// The one change to the tests: a topic that a test wants with three replicas gets one, because there is one broker. The
/// tests of transactions, of which none looks at replicas, would all be lost otherwise.
const REPLICAS: &str = "rd_kafka_NewTopic_new(topicname, partition_cnt, replication_factor,";
const ONE_REPLICA: &str = "rd_kafka_NewTopic_new(topicname, partition_cnt, replication_factor > 1 ? 1 : replication_factor,";

/// The folder with the built `test-runner`, in which it must be started.
pub(super) fn tests() -> Result<PathBuf> {
    let folder = workspace::installed("librdkafka");
    let source = folder.join("source");
    let tests = source.join("tests");
    let stamp = folder.join("built");
    if fs::read_to_string(&stamp).is_ok_and(|built| built == PACKAGE) {
        return Ok(tests);
    }
    fs::create_dir_all(&folder)?;
    install::system_packages(&SYSTEM_PACKAGES)?;
    fetch(&folder)?;
    unpack(&folder, &source)?;
    patch(&tests.join("test.c"))?;
    eprintln!("building librdkafka and its tests, about ten minutes");
    // Not in the source folder: its configure takes every `configure.*` for a module.
    let log = folder.join("build.log");
    compile(&source, &log).with_context(|| process::tail(&log, 20))?;
    fs::write(stamp, PACKAGE)?;
    Ok(tests)
}

fn fetch(folder: &Path) -> Result<()> {
    let archive = folder.join(ARCHIVE);
    if !archive.exists() {
        process::output(
            Command::new("npm")
                .args(["pack", PACKAGE, "--silent"])
                .current_dir(folder),
        )?;
    }
    install::verify_sha256(&archive, ARCHIVE_SHA256)
}

fn unpack(folder: &Path, source: &Path) -> Result<()> {
    if source.exists() {
        fs::remove_dir_all(source)?;
    }
    fs::create_dir_all(source)?;
    process::run(
        Command::new("tar")
            .args(["xzf", ARCHIVE, "--strip-components=3", "-C"])
            .arg(source)
            .arg("package/deps/librdkafka")
            .current_dir(folder),
    )?;
    // npm drops the executable bit.
    for script in ["configure", "lds-gen.py", "tests/java/run-class.sh"] {
        fs::set_permissions(source.join(script), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn patch(source: &Path) -> Result<()> {
    let text = fs::read_to_string(source)?;
    if text.matches(REPLICAS).count() != 1 {
        bail!("{} does not create topics as expected", source.display());
    }
    fs::write(source, text.replace(REPLICAS, ONE_REPLICA))?;
    Ok(())
}

fn compile(source: &Path, log: &Path) -> Result<()> {
    let file = fs::File::create(log)?;
    let jobs = format!(
        "-j{}",
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    );
    let steps: [&[&str]; 3] = [
        &["./configure", "--disable-gssapi", "--disable-curl"],
        &["make", &jobs, "libs"],
        &["make", &jobs, "-C", "tests", "build"],
    ];
    for step in steps {
        process::run(
            Command::new(step[0])
                .args(&step[1..])
                .current_dir(source)
                .stdout(file.try_clone()?)
                .stderr(file.try_clone()?),
        )?;
    }
    Ok(())
}
