//! `cargo xtask kcat`: kcat's own test scripts against a broker, with the kcat of the system's packages. The scripts come in
//! that package's source; they stay in the target folder and are never committed.

use crate::clients::Counts;
use crate::process::{self, Running};
use crate::server::{Against, Server};
use crate::suites::kafka_home;
use crate::suites::results::{Outcome, Results, Verdict};
use crate::suites::without_colours;
use crate::{install, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const SUITE: &str = "kcat";

/// The source package of kcat and its archive, which has the scripts in `tests`.
const PACKAGE: &str = "kafkacat";
const ARCHIVE: &str = "kafkacat_1.7.1.orig.tar.gz";
const ARCHIVE_SHA256: &str = "4b957b7ffc728a88e163bc4e581aa371e56c7e74c8b84b1fe0583d0302ef8d58";

/// The longest script waits 15 s for consumers that must not end.
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

#[derive(clap::Args, Debug)]
pub(crate) struct KcatArguments {
    /// The broker to start
    #[arg(long, value_enum, default_value_t = Against::Watertable)]
    against: Against,
    /// The folder `tests` of a checkout of kcat, whose scripts run in place of those of release 1.7.1
    #[arg(long, value_name = "FOLDER")]
    scripts: Option<PathBuf>,
    /// Leave results and documentation as they are
    #[arg(long)]
    dry: bool,
}

pub(crate) fn run(arguments: &KcatArguments) -> Result<()> {
    let counts = run_suite(arguments)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("{} of kcat's scripts failed", counts.failed);
    }
    Ok(())
}

fn run_suite(arguments: &KcatArguments) -> Result<Counts> {
    install::kcat()?;
    install::system_packages(&["jq"])?;
    let scripts = match &arguments.scripts {
        Some(folder) => folder.clone(),
        None => release_scripts()?,
    };
    let folder = workspace::target().join(format!("xtask/run-kcat-{}", arguments.against.name()));
    let tests = lay_out(&folder, &scripts)?;
    let home = kafka_home::make()?;
    let mut server = Server::start(arguments.against, folder.join("broker"))?;
    let mut results = Results::read(SUITE)?;
    let mut ran = Vec::new();
    for script in names(&tests)? {
        let outcome = run_script(&tests, &script, &server.bootstrap(), &home)?;
        println!("{script}: {:?} {}", outcome.verdict, outcome.note);
        let name = script.trim_end_matches(".sh").to_owned();
        results.record(arguments.against, &name, outcome);
        ran.push(name);
        server.still_runs()?;
    }
    server.stop()?;
    if ran.is_empty() {
        bail!("no scripts in {}", scripts.display());
    }
    if !arguments.dry {
        results.write()?;
        results.write_page()?;
    }
    Ok(results.judge(arguments.against, &ran))
}

/// The scripts of the release, fetched once.
fn release_scripts() -> Result<PathBuf> {
    let folder = workspace::installed("kcat");
    let source = folder.join("source");
    if source.exists() {
        return Ok(source.join("tests"));
    }
    fs::create_dir_all(&folder)?;
    fetch(&folder)?;
    let unpacked = folder.join("unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir_all(&unpacked)?;
    process::run(
        Command::new("tar")
            .args(["xzf", ARCHIVE, "--strip-components=1", "-C"])
            .arg(&unpacked)
            .current_dir(&folder),
    )?;
    // Renamed when whole, so that an unpacking cut short is done again.
    fs::rename(unpacked, &source)?;
    Ok(source.join("tests"))
}

/// The archive of the source package, from where the system's packages come from: apt itself tells their places, and gets
/// lists of its own here, so that the system's stay as they are.
fn fetch(folder: &Path) -> Result<()> {
    let archive = folder.join(ARCHIVE);
    if !archive.exists() {
        let sources = process::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ]))?;
        let lists = folder.join("apt-lists");
        fs::create_dir_all(lists.join("partial"))?;
        let list = folder.join("sources.list");
        fs::write(&list, sources)?;
        let apt = |arguments: &[&str]| {
            process::run(
                Command::new("apt-get")
                    .args(["--quiet", "-o", "Dir::Etc::sourceparts=-", "-o"])
                    .arg(format!("Dir::Etc::sourcelist={}", list.display()))
                    .arg("-o")
                    .arg(format!("Dir::State::lists={}", lists.display()))
                    .args(arguments)
                    .current_dir(folder)
                    .stdout(std::io::stderr()),
            )
        };
        apt(&["update"])?;
        apt(&["source", "--download-only", "--tar-only", PACKAGE])?;
    }
    install::verify_sha256(&archive, ARCHIVE_SHA256)
}

/// The run's folder, empty but for what the scripts expect: themselves in `tests`, and kcat one folder up.
fn lay_out(folder: &Path, scripts: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let tests = folder.join("tests");
    fs::create_dir_all(&tests)?;
    for entry in fs::read_dir(scripts).with_context(|| scripts.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), tests.join(entry.file_name()))?;
        }
    }
    let kcat = process::find_on_path("kcat").context("kcat is installed")?;
    symlink(kcat, folder.join("kcat"))?;
    Ok(tests)
}

/// Names of the scripts that are tests, in order: they begin with a number.
fn names(tests: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(tests)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(|first: char| first.is_ascii_digit()) && name.ends_with(".sh") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn run_script(tests: &Path, script: &str, bootstrap: &str, home: &Path) -> Result<Outcome> {
    let log = tests.join(script).with_extension("log");
    let file = fs::File::create(&log)?;
    // `timeout` ends the script's children with it, and `script` gives them a terminal: without one kcat takes itself for
    // a producer.
    let limit = SCRIPT_LIMIT.as_secs();
    let in_terminal = format!("timeout --kill-after=5 {limit} bash {script}");
    let mut process = Running::start(
        Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--command",
                &in_terminal,
                "/dev/null",
            ])
            .current_dir(tests)
            .env("BROKERS", bootstrap)
            .env("KAFKA_PATH", home)
            .env_remove("SR_URL")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file),
    )?;
    let status = process.wait(SCRIPT_LIMIT * 2)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(outcome(status.success(), &text))
}

/// A script that skips itself says so and succeeds. The reason of a failure is the last line.
fn outcome(succeeded: bool, text: &str) -> Outcome {
    let text = without_colours(text);
    let last = text.lines().last().unwrap_or("no output");
    if !succeeded {
        return Outcome::of(Verdict::Failed, last);
    }
    match text.split_once("TEST SKIPPED: ") {
        Some((_, reason)) => Outcome::of(Verdict::Skipped, reason),
        None => Outcome::of(Verdict::Passed, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::outcome;
    use crate::suites::results::Verdict;

    #[test]
    fn a_script_that_skips_itself_is_not_passed() {
        let text =
            "\u{1b}[34mfirst\u{1b}[0m\n\u{1b}[33m0003 | TEST SKIPPED: no registry\u{1b}[0m\n";
        let skipped = outcome(true, text);
        assert_eq!(
            (skipped.verdict, skipped.note.as_str()),
            (Verdict::Skipped, "no registry")
        );
        assert_eq!(outcome(true, "first\n").verdict, Verdict::Passed);
        let failed = outcome(false, "first\nsecond\n");
        assert_eq!(
            (failed.verdict, failed.note.as_str()),
            (Verdict::Failed, "second")
        );
    }
}
