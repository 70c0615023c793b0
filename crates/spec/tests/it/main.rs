//! Files of pipelines as people write them: those that are right, those with a mistake each, and folders of them.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod directories;
mod documentation;
mod files;
mod mistakes;
mod mutation;
mod schema;
mod validator;

use std::path::{Path, PathBuf};

use spec::{File, Problem, Surroundings};

/// A folder beside these tests.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// The YAML files of a folder, by name, with what is in them.
fn yaml_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// What the files here refer to.
fn surroundings() -> Surroundings<'static> {
    Surroundings {
        variable: &|name| match name {
            "LANDING" => Some("/landing".to_owned()),
            "PREFIX" => Some("eu.".to_owned()),
            _ => None,
        },
        file: &|_of, path| {
            let text = std::fs::read_to_string(folder("files").join(path));
            text.map_err(|_error| "there is no such file".to_owned())
        },
    }
}

fn read(name: &str, bytes: &[u8]) -> Result<File, Vec<Problem>> {
    File::read(name, bytes, &surroundings())
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// Compares a file with what it should have in it, or writes it if `UPDATE_MESSAGES` is set.
fn check_golden(path: &Path, found: &str, faults: &mut Vec<String>) {
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected != found {
        faults.push(format!(
            "{}\nexpected:\n{expected}found:\n{found}",
            path.display()
        ));
    }
}

/// What a test of golden files says at its end.
fn no_faults(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{}\nUPDATE_MESSAGES=1 cargo test -p spec writes what is found",
        faults.join("\n")
    );
}
