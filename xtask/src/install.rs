//! Installs the pinned clients into the target folder: Python, Node, Go, Java, and kcat from the system's packages.
//! Each step is skipped when what it would install is already there, judged by a copy of its pinned list.

use crate::{kafka, process, workspace};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of an environment that has every package of `clients/python/requirements.txt`.
pub(crate) fn python() -> Result<PathBuf> {
    python_with("python", "python/requirements.txt")
}

/// The Python of an environment that has every package of `clients/sql/requirements.txt`.
pub(crate) fn sql_python() -> Result<PathBuf> {
    python_with("sql-python", "sql/requirements.txt")
}

/// The Python of an environment that has every package of `clients/sql/exports.txt`.
pub(crate) fn exports_python() -> Result<PathBuf> {
    python_with("exports-python", "sql/exports.txt")
}

fn python_with(name: &str, list: &str) -> Result<PathBuf> {
    let folder = workspace::installed(name);
    let list = clients().join(list);
    let python = folder.join("bin/python");
    once(&list, &folder, &[], || {
        announce(&format!("Python packages of {}", list.display()));
        process::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        process::run(
            Command::new(&python)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                ])
                .arg("-r")
                .arg(&list),
        )
    })?;
    Ok(python)
}

/// The folder with the kafkajs program and its packages.
pub(crate) fn kafkajs() -> Result<PathBuf> {
    let folder = workspace::installed("kafkajs");
    let source = clients().join("kafkajs");
    let list = source.join("package.json");
    once(&list, &folder, &[], || {
        announce("Node client");
        fs::copy(&list, folder.join("package.json"))?;
        process::run(
            Command::new("npm")
                .args([
                    "install",
                    "--no-package-lock",
                    "--no-audit",
                    "--no-fund",
                    "--silent",
                ])
                .current_dir(&folder),
        )
    })?;
    // Node looks for packages beside the program.
    fs::copy(source.join("main.js"), folder.join("main.js"))?;
    Ok(folder)
}

/// A Go program of `clients/go`; Go's own cache makes this fast when nothing changed.
pub(crate) fn go_program(name: &str) -> Result<PathBuf> {
    let program = workspace::installed("go").join(name);
    if !program.exists() {
        announce(&format!("Go client {name}"));
    }
    process::run(
        Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(&program)
            .arg(format!("./{name}"))
            .current_dir(clients().join("go")),
    )?;
    Ok(program)
}

/// A Go program of `clients` with a list of modules of its own.
pub(crate) fn go_module_program(name: &str) -> Result<PathBuf> {
    let program = workspace::installed("go").join(name);
    if !program.exists() {
        announce(&format!("Go program {name}"));
    }
    process::run(
        Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(clients().join(name)),
    )?;
    Ok(program)
}

/// The class path that runs the program of `clients/java-client`.
pub(crate) fn java_client() -> Result<String> {
    java_program("java-client", "java-client/Matrix.java")
}

/// The class path that runs the program of `clients/chaos`.
pub(crate) fn java_chaos() -> Result<String> {
    java_program("java-chaos", "chaos/Chaos.java")
}

fn java_program(name: &str, source: &str) -> Result<String> {
    let folder = workspace::installed(name);
    let source = clients().join(source);
    let class_path = kafka::class_path()?;
    once(&source, &folder, class_path.as_bytes(), || {
        announce(&format!("Java program {name}"));
        process::run(
            Command::new("javac")
                .args(["-cp", &class_path, "-d"])
                .arg(&folder)
                .arg(&source),
        )
    })?;
    Ok(format!("{class_path}:{}", folder.display()))
}

/// kcat, from the system's packages when it is not there.
pub(crate) fn kcat() -> Result<()> {
    if process::on_path("kcat") {
        return Ok(());
    }
    system_packages(&["kcat"])
}

/// Installs packages of the system that are not there yet.
pub(crate) fn system_packages(names: &[&str]) -> Result<()> {
    let missing: Vec<_> = names
        .iter()
        .filter(|name| process::output(Command::new("dpkg").args(["--status", name])).is_err())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = || {
        process::run(
            Command::new("apt-get")
                .args(["install", "--yes", "--quiet"])
                .args(&missing)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdout(std::io::stderr()),
        )
    };
    announce(&format!("{missing:?}"));
    if install().is_err() {
        process::run(
            Command::new("apt-get")
                .args(["update", "--quiet"])
                .stdout(std::io::stderr()),
        )?;
        install()?;
    }
    Ok(())
}

/// Fails unless a file that was fetched is the one that was pinned.
pub(crate) fn verify_sha256(file: &Path, expected: &str) -> Result<()> {
    let content = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let mut digest = String::new();
    for byte in Sha256::digest(content) {
        write!(digest, "{byte:02x}")?;
    }
    if digest != expected {
        bail!(
            "{} has SHA-256 {digest}, expected {expected}",
            file.display()
        );
    }
    Ok(())
}

/// The folder `clients` of the repository.
pub(crate) fn clients() -> PathBuf {
    workspace::root().join("clients")
}

/// Runs `install` unless it has already succeeded for this content of `source` and `also`.
fn once(
    source: &Path,
    folder: &Path,
    also: &[u8],
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut wanted = fs::read(source).with_context(|| format!("read {}", source.display()))?;
    wanted.extend_from_slice(also);
    let stamp = folder.join("installed");
    if fs::read(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    install()?;
    fs::write(stamp, wanted)?;
    Ok(())
}

fn announce(what: &str) {
    eprintln!("installing: {what}");
}
