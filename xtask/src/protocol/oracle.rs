//! `cargo xtask oracle`: our codec against Kafka's own classes, byte by byte.
//!
//! Java programs of ours fill and write every message in every version, write and read record batches with every codec, and
//! print the tables of errors and APIs; our side is the example `oracle` of crate `protocol`. The bytes are captured while
//! the command runs; nothing of them is kept in the repository.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use super::definition::{FieldType, Kind, MessageSpec};
use super::jars;
use super::render::snake_case;
use crate::{kafka, process, workspace};

struct Oracle {
    folder: PathBuf,
    class_path: String,
}

pub(crate) fn run() -> Result<()> {
    let pinned = kafka::version()?;
    ensure!(
        pinned == jars::KAFKA_VERSION,
        "clients/java/pom.xml pins {pinned}, the definitions {}",
        jars::KAFKA_VERSION
    );
    let folder = workspace::installed("oracle");
    fs::create_dir_all(&folder)?;
    let class_path = format!("{}:{}", kafka::class_path()?, folder.display());
    let oracle = Oracle { folder, class_path };
    oracle.compile()?;
    oracle.messages()?;
    oracle.same("tables", &[], &[])?;
    // What each side wrote, both must read alike.
    for (name, by_us) in [("their-batches.txt", false), ("our-batches.txt", true)] {
        let written = oracle.folder.join(name);
        if by_us {
            oracle.ours(&["write"], &written)?
        } else {
            oracle.kafka("RecordOracle", &["write"], None, &written)?
        }
        oracle.same("dump", &[path_text(&written)?], &[&written])?;
    }
    Ok(())
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| anyhow::anyhow!("{} is not UTF-8", path.display()))
}

impl Oracle {
    fn compile(&self) -> Result<()> {
        let sources = workspace::root().join("xtask/oracle");
        process::run(
            Command::new("javac")
                .args(["-cp", &self.class_path, "-d"])
                .arg(&self.folder)
                .args([
                    sources.join("MessageOracle.java"),
                    sources.join("RecordOracle.java"),
                ]),
        )
    }

    /// Runs one of our Java programs.
    fn kafka(
        &self,
        class: &str,
        arguments: &[&str],
        input: Option<&Path>,
        output: &Path,
    ) -> Result<()> {
        let input = match input {
            Some(path) => Stdio::from(File::open(path)?),
            None => Stdio::null(),
        };
        process::run(
            Command::new("java")
                .args([
                    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                    "-cp",
                    &self.class_path,
                    class,
                ])
                .args(arguments)
                .stdin(input)
                .stdout(File::create(output)?),
        )
    }

    fn our_command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(workspace::root());
        command.args([
            "run",
            "--quiet",
            "--package",
            "protocol",
            "--example",
            "oracle",
            "--features",
            "samples",
            "--",
        ]);
        command.args(arguments);
        command
    }

    fn ours(&self, arguments: &[&str], output: &Path) -> Result<()> {
        process::run(Self::our_command(arguments).stdout(File::create(output)?))
    }

    fn messages(&self) -> Result<()> {
        let mut list = String::new();
        for message in &super::load()? {
            let (low, high) = (message.versions().low, message.highest_stable());
            writeln!(
                list,
                "{} {} {low} {high} {}",
                class_name(message),
                message.name,
                untold_nullable(message)?
            )?;
        }
        let request = self.folder.join("messages.txt");
        fs::write(&request, list)?;
        let captured = self.folder.join("captured.txt");
        self.kafka("MessageOracle", &[], Some(&request), &captured)?;
        process::run(&mut Self::our_command(&["messages", path_text(&captured)?]))
    }

    /// Runs a command of both sides and compares what they print.
    fn same(&self, command: &str, our_arguments: &[&str], their_input: &[&Path]) -> Result<()> {
        let (ours, theirs) = (self.folder.join("ours.txt"), self.folder.join("theirs.txt"));
        let arguments: Vec<&str> = [command]
            .into_iter()
            .chain(our_arguments.iter().copied())
            .collect();
        self.ours(&arguments, &ours)?;
        self.kafka(
            "RecordOracle",
            &[command],
            their_input.first().copied(),
            &theirs,
        )?;
        let (ours, theirs) = (fs::read_to_string(ours)?, fs::read_to_string(theirs)?);
        let mut lines = ours.lines().zip(theirs.lines());
        if let Some((ours, theirs)) = lines.find(|(ours, theirs)| ours != theirs) {
            bail!("{command}: ours\n{ours}\nKafka's\n{theirs}");
        }
        ensure!(
            ours == theirs,
            "{command}: one side prints more than the other"
        );
        ensure!(!ours.is_empty(), "{command}: nothing was printed");
        let source = their_input
            .first()
            .and_then(|path| path.file_name())
            .unwrap_or_default();
        println!(
            "{command} {}: {} lines, equal",
            source.display(),
            ours.lines().count()
        );
        Ok(())
    }
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
        Kind::CoordinatorKey | Kind::CoordinatorValue
            if name.starts_with("ShareSnapshot") || name.starts_with("ShareUpdate") =>
        {
            format!("org.apache.kafka.coordinator.share.generated.{name}")
        }
        Kind::CoordinatorKey | Kind::CoordinatorValue => {
            format!("org.apache.kafka.coordinator.group.generated.{name}")
        }
        Kind::Data => format!("org.apache.kafka.common.message.{name}"),
        _ => format!("org.apache.kafka.common.message.{name}Data"),
    }
}
