//! Drivers as processes: psycopg, SQLAlchemy on it, pgjdbc. Their programs are in `clients/postgres`.
//!
//! `WATERTABLE_PYTHON` names a Python that has psycopg and SQLAlchemy, `WATERTABLE_PGJDBC` the driver's jar.

use std::path::PathBuf;
use std::process::Command;

use crate::fixture::Fixture;

/// The folder of the programs.
fn programs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../clients/postgres")
}

/// Runs a program on the server's address; it must end with "ok".
#[track_caller]
fn check(mut program: Command, fixture: &Fixture) {
    program.args([
        fixture.address.ip().to_string(),
        fixture.address.port().to_string(),
    ]);
    let output = tokio::task::block_in_place(|| program.output()).unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && shown.trim_end().ends_with("ok"),
        "{shown}\n{errors}"
    );
}

/// A Python that has the module; none if there is none, which is said.
fn python(module: &str) -> Option<Command> {
    let name = std::env::var_os("WATERTABLE_PYTHON").unwrap_or_else(|| "python3".into());
    let has_module = Command::new(&name)
        .args(["-c", &format!("import {module}")])
        .output();
    if has_module.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(name));
    }
    eprintln!(
        "NOT TESTED: {name:?} has no {module} (set WATERTABLE_PYTHON to a Python that has it)"
    );
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psycopg_in_text_and_binary_with_server_side_cursors() {
    let fixture = Fixture::start().await;
    if let Some(mut python) = python("psycopg") {
        python.arg(programs().join("with_psycopg.py"));
        check(python, &fixture);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlalchemy_reflects_tables() {
    let fixture = Fixture::start().await;
    if let Some(mut python) = python("sqlalchemy, psycopg") {
        python.arg(programs().join("with_sqlalchemy.py"));
        check(python, &fixture);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgjdbc_with_fetch_size_and_metadata() {
    let fixture = Fixture::start().await;
    let Some(jar) = std::env::var_os("WATERTABLE_PGJDBC") else {
        eprintln!("NOT TESTED: no pgjdbc (set WATERTABLE_PGJDBC to its jar)");
        return;
    };
    let mut java = Command::new("java");
    java.arg("-cp")
        .arg(jar)
        .arg(programs().join("WithJdbc.java"));
    check(java, &fixture);
}
