//! Pipeline files, as people write them.

use spec::{Cause, File, Position, Problem, Surroundings};

use super::target;
use crate::Target;
use crate::counting::{Limit, within};

pub(super) const PIPELINE_FILES: Target = target(
    "pipeline-files",
    "a pipeline file: what is read is written as JSON and YAML and read again as the same; what is wrong is told at a place in the file",
    seeds,
    run,
);

/// Regular expressions are compiled, which takes up to 10 MiB for one; a value of two bytes is a node of the tree.
const FILE: Limit = Limit {
    fixed: 32 << 20,
    per_byte: 500,
};

fn run(data: &[u8]) {
    let surroundings = Surroundings {
        variable: &|name| (name.len() < 20).then(|| name.to_lowercase()),
        file: &|_of, path| Ok(format!("SELECT '{path}'")),
    };
    match within(FILE, data.len(), || {
        File::read("a.yaml", data, &surroundings)
    }) {
        Ok(file) => {
            let pipeline = file.pipeline;
            for text in [pipeline.to_json(), pipeline.to_yaml()] {
                let again = File::read("again", text.as_bytes(), &Surroundings::NONE);
                assert_eq!(again.map(|file| file.pipeline), Ok(pipeline.clone()));
            }
        }
        Err(problems) => problems.iter().for_each(|problem| check(problem, data)),
    }
}

fn check(problem: &Problem, data: &[u8]) {
    assert!(problem.cause != Cause::Unsaid, "a problem says what it is");
    let text = String::from_utf8_lossy(data)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let Position { line, column } = problem.at;
    let found = line
        .checked_sub(1)
        .and_then(|line| text.split('\n').nth(line));
    let length = found.map(|line| line.chars().count());
    assert!(
        column >= 1 && length.is_some_and(|length| column <= length + 1),
        "{problem} is in the file"
    );
}

/// The files that the crate's own tests read.
fn seeds() -> Vec<Vec<u8>> {
    macro_rules! files {
        ($($name:literal),*) => {
            vec![$(include_bytes!(concat!("../../../spec/tests/files/", $name)).to_vec()),*]
        };
    }
    files![
        "1_trips_clean.yaml",
        "2_users_from_postgres.yaml",
        "4_people_to_warehouse.yaml",
        "5_issues.yaml",
        "everything_files.yaml",
        "everything_postgres.yaml",
        "everything_append.yaml"
    ]
}
