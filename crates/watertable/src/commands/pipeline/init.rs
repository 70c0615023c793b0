//! `watertable pipeline init`: a first pipeline with its test, data to run it on, and the schema for editors.
//!
//! Invariant: nothing that is there is changed; if one of the files is there, none is written.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::output;
use crate::report::Failure;

const PIPELINE: &str = include_str!("skeleton/trips_clean.yaml");
const TRIPS: &str = include_str!("skeleton/trips.csv");
/// Below the folder: where its pipeline reads files.
const LANDING: &str = "landing";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watertable pipeline init trips
  watertable pipeline test trips

Nothing that is there is overwritten.")]
pub(super) struct Arguments {
    /// The folder; it is made if it is not there
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    let files = files(folder)?;
    for (name, _) in &files {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(taken(&path).into());
        }
    }
    for (name, text) in &files {
        write(&folder.join(name), text)?;
        output::line(&format!("wrote {}", folder.join(name).display()))?;
    }
    let shown = folder.display();
    output::line(&format!(
        "\nNext:\n  watertable pipeline validate {shown}\n  watertable pipeline test {shown}"
    ))
}

/// What is written, by the name below the folder.
fn files(folder: &Path) -> Result<[(&'static str, String); 4]> {
    // Whoever runs the pipeline may be started elsewhere, so the path is whole.
    let landing =
        std::path::absolute(folder.join(LANDING)).context("there is no current folder")?;
    let schema = serde_json::to_string_pretty(&spec::json_schema())?;
    let landing = serde_json::Value::from(landing.display().to_string());
    let variables = format!(
        "# What ${{NAME}} stands for in the environment dev; prod has env/prod.yaml. A variable of the process wins.\n\
         LANDING: {landing}\n"
    );
    Ok([
        ("trips_clean.yaml", PIPELINE.to_owned()),
        ("env/dev.yaml", variables),
        ("landing/trips.csv", TRIPS.to_owned()),
        ("pipeline.schema.json", format!("{schema}\n")),
    ])
}

fn taken(path: &Path) -> Failure {
    Failure::new(
        format!(
            "{} is there already, and nothing is overwritten",
            path.display()
        ),
        "name a folder that is empty or not there yet",
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    let shown = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(shown)?;
    }
    let mut file = match File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(taken(path).into());
        }
        Err(error) => return Err(error).with_context(shown),
    };
    file.write_all(text.as_bytes()).with_context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_landing_folder_is_the_one_of_the_data() {
        let files = files(Path::new("/srv/trips")).unwrap();
        assert!(files[1].1.ends_with("LANDING: \"/srv/trips/landing\"\n"));
        assert_eq!(files[2].0, format!("{LANDING}/trips.csv"));
    }
}
