//! `cargo xtask oracle`: every message in every version, written by Kafka's own classes and by us, compared byte by byte.
//!
//! A Java program of ours fills and writes the messages while the command runs; nothing of it is kept in the repository.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::definition::{FieldType, Kind, MessageSpec};
use super::jars;
use super::render::snake_case;
use crate::{process, workspace};

pub(crate) fn run() -> Result<()> {
    let messages = super::load()?;
    let folder = workspace::installed("oracle");
    fs::create_dir_all(&folder)?;
    let request = folder.join("messages.txt");
    let mut list = File::create(&request)?;
    for message in &messages {
        let versions = message.versions();
        let nullable = untold_nullable(message)?;
        writeln!(
            list,
            "{} {} {} {} {nullable}",
            class_name(message),
            message.name,
            versions.low,
            message.highest_stable()
        )?;
    }
    let class_path = class_path()?;
    let source = workspace::root().join("xtask/oracle/MessageOracle.java");
    process::run(
        Command::new("javac")
            .args(["-cp", &class_path, "-d"])
            .arg(&folder)
            .arg(source),
    )?;
    let captured = folder.join("captured.txt");
    process::run(
        Command::new("java")
            .args([
                "-cp",
                &format!("{class_path}:{}", folder.display()),
                "MessageOracle",
            ])
            .stdin(File::open(&request)?)
            .stdout(File::create(&captured)?)
            .stderr(Stdio::inherit()),
    )?;
    process::run(
        Command::new(env!("CARGO"))
            .current_dir(workspace::root())
            .args([
                "run",
                "--quiet",
                "--package",
                "protocol",
                "--example",
                "compare_with_kafka",
                "--features",
                "samples",
                "--",
            ])
            .arg(&captured),
    )
}

fn class_path() -> Result<String> {
    let paths: Vec<PathBuf> = jars::fetch_all()?;
    let paths: Option<Vec<_>> = paths.iter().map(|path| path.to_str()).collect();
    Ok(paths
        .context("the target folder's name is UTF-8")?
        .join(":"))
}

/// Fields that may be null without the schemas of Kafka's classes telling: structs and records. `-` if there are none.
fn untold_nullable(message: &MessageSpec) -> Result<String> {
    let mut paths = Vec::new();
    for record in message.structs()? {
        for field in &record.fields {
            let untold = matches!(field.kind()?, FieldType::Struct(_) | FieldType::Records);
            if untold
                && !field
                    .nullable_versions
                    .intersect(record.versions)
                    .is_empty()
            {
                paths.push(format!("{}.{}", record.name, snake_case(&field.name)));
            }
        }
    }
    Ok(if paths.is_empty() {
        "-".to_owned()
    } else {
        paths.join(",")
    })
}

/// Kafka's generated class of a message.
fn class_name(message: &MessageSpec) -> String {
    let name = &message.name;
    match message.kind {
        Kind::CoordinatorKey | Kind::CoordinatorValue if name.starts_with("TransactionLog") => {
            format!("org.apache.kafka.coordinator.transaction.generated.{name}")
        }
        Kind::CoordinatorKey | Kind::CoordinatorValue => {
            format!("org.apache.kafka.coordinator.group.generated.{name}")
        }
        Kind::Data => format!("org.apache.kafka.common.message.{name}"),
        _ => format!("org.apache.kafka.common.message.{name}Data"),
    }
}
