//! [`Folder`]: the pipeline files of a folder with what they refer to: variables, and files with SQL.
//!
//! Invariant: files are read and nothing else is touched; a file is never read further than a pipeline file may be long.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use spec::directory::Directory;
use spec::names::Environment;
use spec::{FILE_BYTES_MAX, File, Problem, Surroundings, read_variables};

use crate::report::Failure;

/// The endings of pipeline files.
const ENDINGS: [&str; 2] = ["yaml", "yml"];
/// Where variables of environments are, below the folder.
const ENVIRONMENTS: &str = "env";
/// The most files of a folder.
const FILES_MAX: usize = 10_000;

/// What a command looks at.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
    /// The folder of the pipeline files, or one of them
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    path: PathBuf,
    /// Whose variables ${NAME} stands for: those of env/ENV.yaml below the folder. What is set in the process's environment wins
    #[arg(
        long,
        default_value = "dev",
        value_name = "ENV",
        env = "WATERTABLE_ENV"
    )]
    env: Environment,
}

/// The files of a folder, read.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// By name, as it is told in messages.
    files: BTreeMap<String, Vec<u8>>,
    /// The one file that was asked about.
    only: Option<String>,
    variables: HashMap<String, String>,
    /// What is wrong with the file of variables.
    problems: Vec<Problem>,
}

impl Place {
    /// Whose variables and names are meant.
    pub(super) fn environment(&self) -> &Environment {
        &self.env
    }

    /// A folder, and the environment whose variables it takes.
    pub(super) fn of(path: PathBuf, env: Environment) -> Self {
        Self { path, env }
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// There is no pipeline file, or one cannot be read.
    pub(super) fn read(&self) -> Result<Folder> {
        let path = &self.path;
        let about =
            std::fs::metadata(path).with_context(|| format!("cannot open {}", path.display()))?;
        let (root, only) = if about.is_dir() {
            (path.clone(), None)
        } else {
            let root = path.parent().map(Path::to_path_buf).unwrap_or_default();
            (root, Some(path.display().to_string()))
        };
        let mut files = BTreeMap::new();
        for path in pipeline_files(&root)? {
            files.insert(path.display().to_string(), bounded(&path)?);
        }
        if let Some(name) = &only
            && !files.contains_key(name)
        {
            files.insert(name.clone(), bounded(path)?);
        }
        if files.is_empty() {
            return Err(Failure::new(
                format!("no pipeline files (*.yaml, *.yml) in {}", path.display()),
                "`watertable pipeline init DIR` writes a first one",
            )
            .into());
        }
        let (variables, problems) = self.variables(&root)?;
        Ok(Folder {
            root,
            files,
            only,
            variables,
            problems,
        })
    }

    fn variables(&self, root: &Path) -> Result<(HashMap<String, String>, Vec<Problem>)> {
        let path = root.join(ENVIRONMENTS).join(format!("{}.yaml", self.env));
        if !path.exists() {
            return Ok(Default::default());
        }
        match read_variables(&path.display().to_string(), &bounded(&path)?) {
            Ok(variables) => Ok((variables.into_iter().collect(), Vec::new())),
            Err(problems) => Ok((HashMap::new(), problems)),
        }
    }
}

impl Folder {
    /// The bytes of a file.
    pub(super) fn bytes(&self, file: &str) -> &[u8] {
        self.files.get(file).map_or(&[], Vec::as_slice)
    }

    /// How many files are looked at.
    pub(super) fn count(&self) -> usize {
        self.only.as_ref().map_or(self.files.len(), |_one| 1)
    }

    /// Whether a file is one that was asked about.
    pub(super) fn is_asked(&self, file: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == file)
    }

    /// Whether it is a pipeline file of the folder.
    pub(super) fn has(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }

    /// All files together, and the mistakes of the file of variables.
    pub(super) fn directory(&self) -> (Directory, Vec<Problem>) {
        (self.read(|_file| true), self.problems.clone())
    }

    /// The files but some.
    pub(super) fn without(&self, left_out: &HashSet<String>) -> Directory {
        self.read(|file| !left_out.contains(file))
    }

    /// A file as if it had these bytes.
    pub(super) fn reread(&self, file: &str, bytes: &[u8]) -> Result<File, Vec<Problem>> {
        self.with_surroundings(|surroundings| File::read(file, bytes, surroundings))
    }

    fn read(&self, which: impl Fn(&str) -> bool) -> Directory {
        let given = self.files.iter().filter(|(name, _)| which(name));
        let given = given.map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        self.with_surroundings(|surroundings| Directory::read(given, surroundings))
    }

    fn with_surroundings<T>(&self, read: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        let texts = RefCell::new(HashMap::new());
        let variable = |name: &str| {
            let set = std::env::var(name).ok();
            set.or_else(|| self.variables.get(name).cloned())
        };
        let file = |of: &str, path: &str| {
            let folder = Path::new(of).parent().unwrap_or(&self.root);
            let mut texts = texts.borrow_mut();
            let text = texts
                .entry(folder.join(path))
                .or_insert_with_key(|path| text(folder, path));
            text.clone()
        };
        read(&Surroundings {
            variable: &variable,
            file: &file,
        })
    }
}

/// The pipeline files of a folder, without those of folders in it.
fn pipeline_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let shown = || format!("cannot read the folder {}", folder.display());
    let opened = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(opened).with_context(shown)? {
        let name = entry.with_context(shown)?.file_name();
        let path = if folder == Path::new(".") {
            PathBuf::from(name)
        } else {
            folder.join(name)
        };
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file() {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(Failure::new(
                format!("{} has more than {FILES_MAX} files", folder.display()),
                "put them into several folders",
            )
            .into());
        }
    }
    Ok(files)
}

/// So much of a file that one that is too long is seen to be.
fn bounded(path: &Path) -> Result<Vec<u8>> {
    let shown = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(shown)?;
    let most = u64::try_from(FILE_BYTES_MAX)?.saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most)
        .read_to_end(&mut bytes)
        .with_context(shown)?;
    Ok(bytes)
}

/// A file with SQL below a folder, or why it cannot be read, as a part of a sentence. Links are followed within the folder alone, and
/// what is no file of bytes is not opened: it may never end, nor begin.
fn text(folder: &Path, path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let folder = folder.canonicalize().map_err(told)?;
    let path = path.canonicalize().map_err(told)?;
    if !path.starts_with(&folder) {
        return Err("it is a link that leads out of the folder".to_owned());
    }
    if !path.metadata().map_err(told)?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let bytes = bounded(&path).map_err(|error| error.root_cause().to_string())?;
    String::from_utf8(bytes).map_err(|_not_utf8| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn files_with_sql_are_regular_files_below_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.sql"), "SELECT 1").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("queries")).unwrap();
        std::fs::write(at("queries/a.sql"), "SELECT 2").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, at(name)).unwrap();
        link(&at("queries/a.sql"), "within.sql");
        link(&outside.path().join("secret.sql"), "out.sql");
        link(outside.path(), "away");
        let made = std::process::Command::new("mkfifo")
            .arg(at("fifo.sql"))
            .status()
            .unwrap();
        assert!(made.success());
        for (name, expected) in [
            ("queries/a.sql", Ok("SELECT 2")),
            ("within.sql", Ok("SELECT 2")),
            ("out.sql", Err("leads out of the folder")),
            ("away/secret.sql", Err("leads out of the folder")),
            // Opening it would wait for somebody who writes.
            ("fifo.sql", Err("no regular file")),
            ("queries", Err("no regular file")),
            ("none.sql", Err("No such file")),
        ] {
            match (text(folder.path(), &at(name)), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}"),
                (Err(found), Err(says)) => assert!(found.contains(says), "{name}: {found}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }
}
