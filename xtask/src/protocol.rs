//! `cargo xtask protocol`: Kafka's message definitions, read out of the pinned jars, become Rust in
//! `crates/protocol/src/generated/`.
//!
//! The result is checked in; neither the jars nor the definitions are. Only names, types, versions and defaults go
//! over, no texts. Invariant: the same jars give the same bytes, so `--check` can compare.

mod definition;
mod jars;
pub(crate) mod oracle;
mod render;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use definition::{Kind, MessageSpec};
use sha2::{Digest, Sha256};

use crate::{process, workspace};

#[derive(Args)]
pub(crate) struct ProtocolArguments {
    /// Compare with the checked-in files instead of writing them
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(arguments: ProtocolArguments) -> Result<()> {
    let messages = load()?;
    let files = generate(&messages)?;
    let folder = workspace::root().join("crates/protocol/src/generated");
    if arguments.check {
        return check(&files, &folder);
    }
    write(&files, &folder)?;
    println!("{} files written to {}", files.len(), folder.display());
    Ok(())
}

/// The definitions we generate: what a broker listener speaks, the headers, and the data in records and metadata of groups.
fn load() -> Result<Vec<MessageSpec>> {
    let mut all = BTreeMap::new();
    for (name, text) in jars::definitions()? {
        let message = definition::parse(&text).with_context(|| name.clone())?;
        all.insert(message.name.clone(), message);
    }
    let on_broker: Vec<i16> = all
        .values()
        .filter(|message| message.is_broker_request())
        .filter_map(|m| m.api_key)
        .collect();
    let wanted = |message: &MessageSpec| match message.kind {
        Kind::Request | Kind::Response => {
            message.api_key.is_some_and(|key| on_broker.contains(&key))
        }
        Kind::Header | Kind::CoordinatorKey | Kind::CoordinatorValue => true,
        Kind::Data => ["ConsumerProtocolAssignment", "ConsumerProtocolSubscription"]
            .contains(&message.name.as_str()),
        Kind::Other => false,
    };
    Ok(all.into_values().filter(wanted).collect())
}

/// File name to formatted text. `mod.rs` carries the hash over all other files.
fn generate(messages: &[MessageSpec]) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for message in messages {
        files.insert(
            format!("{}.rs", render::snake_case(&message.name)),
            render::message(message)?,
        );
    }
    files.insert("api_key.rs".to_owned(), render::api_keys(messages)?);
    files.insert("mod.rs".to_owned(), render::module(messages));
    let mut files = format_files(&files)?;
    let hash = hash(&files);
    let module = files.get_mut("mod.rs").context("mod.rs was generated")?;
    let head = format!(
        "{}//! Text: SHA-256 `{hash}` over the name and text of every other file, in order of name.\n",
        jars::head()
    );
    module.insert_str(0, &head);
    Ok(files)
}

/// SHA-256 over name and text of every file but `mod.rs`. The test in `crates/protocol` computes the same.
fn hash(files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (name, text) in files.iter().filter(|(name, _)| *name != "mod.rs") {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
    }
    jars::hex(&hash.finalize())
}

/// Runs rustfmt over the files in a folder of their own.
fn format_files(files: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let folder = workspace::installed("protocol-generated");
    write(files, &folder)?;
    let paths: Vec<PathBuf> = files.keys().map(|name| folder.join(name)).collect();
    process::run(
        Command::new("rustfmt")
            .args(["--edition", "2024"])
            .args(&paths),
    )?;
    files
        .keys()
        .map(|name| Ok((name.clone(), fs::read_to_string(folder.join(name))?)))
        .collect()
}

fn write(files: &BTreeMap<String, String>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stale = path
            .file_name()
            .is_some_and(|name| !files.contains_key(&*name.to_string_lossy()));
        if stale {
            fs::remove_file(&path)?;
        }
    }
    for (name, text) in files {
        let path = folder.join(name);
        // Untouched files keep their time, so that the next build has less to do.
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn check(files: &BTreeMap<String, String>, folder: &Path) -> Result<()> {
    let mut stale = Vec::new();
    for (name, text) in files {
        if fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text) {
            stale.push(name.clone());
        }
    }
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            stale.push(name);
        }
    }
    if !stale.is_empty() {
        bail!(
            "not current, run `cargo xtask protocol`: {}",
            stale.join(", ")
        );
    }
    println!("{} generated files are current", files.len());
    Ok(())
}
