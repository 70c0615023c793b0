//! What a plan has to know of inputs that are outside of the cluster: where files are, and which columns nobody has declared.
//!
//! Invariant: what is found stands in the pipeline from then on as if its file had said it. So a version says all that it reads, it is
//! the same wherever it runs, and what is found to be different later is a change that a plan shows.

use std::path::{Component, Path, PathBuf};

use connectors::files::{self, Limits};
use connectors::postgres;
use contract::Column;
use spec::{
    AfterReading, Columns, File, FileFormat, Files, Input, OnMissingColumn, OnNewColumn, Postgres,
    Source, Surroundings,
};

use super::{PlanFault, PlanProblem};
use crate::control::record::PipelineRecord;
use crate::secrets::Secrets;

/// What stands for other characters in a path.
const STANDS_FOR: [char; 3] = ['*', '?', '['];
/// A record is enough to see the line of names above it.
const SAMPLE: Limits = Limits {
    rows: 1,
    bytes: 1 << 20,
};

/// Names files by their whole path: the worker that reads them is somewhere else than the file of the pipeline, which relative paths
/// are relative to. Gives what cannot be named so.
pub fn absolute(all: &mut [File]) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    for file in all {
        let folder = Path::new(&file.name).parent().map(Path::to_path_buf);
        let folder = folder.unwrap_or_default();
        let sources = file.pipeline.inputs.iter_mut();
        for source in sources.map(|input| &mut input.source) {
            let Source::Files(files) = source else {
                continue;
            };
            if let Err(fault) = name_wholly(&folder, files) {
                problems.push(PlanProblem {
                    file: file.name.clone(),
                    pipeline: file.pipeline.name.clone(),
                    fault,
                });
            }
        }
    }
    problems
}

fn name_wholly(folder: &Path, files: &mut Files) -> Result<(), PlanFault> {
    files.path = whole(folder, &files.path)?;
    if let AfterReading::Archive(archive) = &mut files.after {
        *archive = whole(folder, archive)?;
    }
    Ok(())
}

fn whole(folder: &Path, path: &str) -> Result<String, PlanFault> {
    if path.starts_with('/') || path.contains("://") {
        return Ok(path.to_owned());
    }
    let fault = |why: String| PlanFault::Path {
        path: path.to_owned(),
        folder: folder.display().to_string(),
        why,
    };
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    // Without links, what is above a folder is what its name says.
    let mut base: PathBuf = here
        .canonicalize()
        .map_err(|error| fault(error.to_string()))?;
    let mut rest = Path::new(path).components();
    let mut below = rest.clone();
    while let Some(component) = rest.next() {
        match component {
            Component::ParentDir => drop(base.pop()),
            Component::CurDir => {}
            _ => break,
        }
        below = rest.clone();
    }
    let base = base.to_str();
    let base = base.ok_or_else(|| fault("its name is not UTF-8".to_owned()))?;
    if base.contains(STANDS_FOR) || base.contains(char::is_control) {
        return Err(fault(
            "its name has a character that stands for others in paths".to_owned(),
        ));
    }
    let below = below.as_path().display();
    Ok(format!("{}/{below}", base.trim_end_matches('/')))
}

/// Looks up the columns that inputs outside of the cluster do not declare. `running` tells what runs under a name: where no file is left
/// of those that it has read, its columns are still those.
pub async fn look<'a>(
    all: &mut [File],
    running: &(dyn Fn(&str) -> Option<&'a PipelineRecord> + Sync),
    secrets: &Secrets,
) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    for file in all {
        let before = running(&file.pipeline.name).and_then(|record| record.pipeline().ok());
        let mut faults = Vec::new();
        for input in &mut file.pipeline.inputs {
            if input.columns.is_some() {
                continue;
            }
            let was = before.as_ref().and_then(|before| {
                let mut inputs = before.inputs.iter();
                inputs.find(|was| was.name == input.name)
            });
            match columns(input, was, secrets).await {
                Ok(columns) => input.columns = columns,
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            faults.extend(unwritable(file));
        }
        problems.extend(faults.into_iter().map(|fault| PlanProblem {
            file: file.name.clone(),
            pipeline: file.pipeline.name.clone(),
            fault,
        }));
    }
    problems
}

/// The columns of an input; none of a topic, which has them in its contract.
async fn columns(
    input: &Input,
    was: Option<&Input>,
    secrets: &Secrets,
) -> Result<Option<Columns>, PlanFault> {
    let found = match &input.source {
        Source::Topic(_) => return Ok(None),
        Source::Files(files) => match of_files(&input.name, files).await {
            Err(PlanFault::NoFile { .. }) if was.is_some_and(|was| reads_the_same(was, files)) => {
                return Ok(was.and_then(|was| was.columns.clone()));
            }
            found => found?,
        },
        Source::Postgres(table) => of_table(&input.name, table, secrets).await?,
    };
    Ok(Some(Columns {
        columns: found,
        on_new: OnNewColumn::default(),
        on_missing: OnMissingColumn::default(),
    }))
}

fn reads_the_same(was: &Input, files: &Files) -> bool {
    let same = |was: &Files| was.path == files.path && was.format == files.format;
    was.columns.is_some() && matches!(&was.source, Source::Files(was) if same(was))
}

async fn of_files(input: &str, files: &Files) -> Result<Vec<Column>, PlanFault> {
    let name = || input.to_owned();
    if let FileFormat::Json { .. } | FileFormat::NdJson = files.format {
        return Err(PlanFault::Columns {
            input: name(),
            of: files.path.clone(),
        });
    }
    let options = files::Options {
        s3: files::S3Access::of(std::env::vars_os()),
        // Paths are whole.
        ..files::Options::of("/")
    };
    let fault = |fault: String| PlanFault::Input {
        input: name(),
        fault,
    };
    let source = files::Source::open(files, None, options);
    let source = source.map_err(|error| fault(error.to_string()))?;
    let sample = source.sample(SAMPLE).await;
    let sample = sample.map_err(|error| fault(error.to_string()))?;
    let columns = sample.and_then(|sample| sample.columns);
    columns.ok_or_else(|| PlanFault::NoFile {
        input: name(),
        path: files.path.clone(),
    })
}

async fn of_table(
    input: &str,
    table: &Postgres,
    secrets: &Secrets,
) -> Result<Vec<Column>, PlanFault> {
    let fault = |fault: String| PlanFault::Input {
        input: input.to_owned(),
        fault,
    };
    let connection = secrets.connection(&table.connection);
    let connection = connection.map_err(|error| fault(error.to_string()))?;
    let source = postgres::Source::connect(&connection, table, None, "plan").await;
    Ok(source.map_err(|error| fault(error.to_string()))?.columns())
}

/// Columns that a file of a pipeline could not declare: what is kept as a version has to be read again.
fn unwritable(file: &File) -> Option<PlanFault> {
    let text = file.pipeline.to_json();
    let problems = File::read(&file.name, text.as_bytes(), &Surroundings::NONE).err()?;
    let problem = problems.into_iter().next()?;
    Some(PlanFault::Input {
        input: problem.key,
        fault: problem.cause.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_relative_to_the_file_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let below = root.join("pipelines");
        std::fs::create_dir(&below).unwrap();
        let shown = root.display();
        for (path, expected) in [
            ("data/*.csv", format!("{shown}/pipelines/data/*.csv")),
            ("./data/a.csv", format!("{shown}/pipelines/data/a.csv")),
            (
                "../landing/**/[0-9].csv",
                format!("{shown}/landing/**/[0-9].csv"),
            ),
            ("/data/*.csv", "/data/*.csv".to_owned()),
            ("s3://b/*.csv", "s3://b/*.csv".to_owned()),
            ("file:///d/*.csv", "file:///d/*.csv".to_owned()),
        ] {
            assert_eq!(whole(&below, path), Ok(expected), "{path}");
        }
        let odd = root.join("a[1]");
        std::fs::create_dir(&odd).unwrap();
        let fault = whole(&odd, "x.csv").unwrap_err().to_string();
        assert!(fault.contains("write the whole path"), "{fault}");
        assert_eq!(whole(&odd, "../x.csv"), Ok(format!("{shown}/x.csv")));
        let gone = whole(&root.join("none"), "x.csv").unwrap_err().to_string();
        assert!(gone.contains("No such file"), "{gone}");
    }
}
