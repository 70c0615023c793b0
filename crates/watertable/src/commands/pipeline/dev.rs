//! `watertable pipeline dev`: a broker with SQL and pipelines in this process, which runs the files of a folder as they are now.
//!
//! Invariants: what runs is what the files said when all of them had no mistake; until they have none again, that goes on; only the
//! environment `dev` is touched; data is deleted only where this command has made the folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use client::Cluster;
use pipeline::control::plan::Options;
use pipeline::control::{Applied, Plan, apply};
use pipeline::secrets::Secrets;
use spec::names::Environment;

use super::apply::Teller;
use super::folder::Place;
use super::target::{Asked, SecretsArgument, git_commit};
use super::{plan, validate};
use crate::commands::start;
use crate::output;
use crate::own_broker;
use crate::report::{Failure, sentence};
use crate::settings::SECRETS_DIRECTORY;

const ENVIRONMENT: &str = "dev";
/// Where data is unless somebody says otherwise.
const DATA: &str = ".watertable-dev";
/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The endings of what is looked at: pipelines, variables, and queries beside them.
const ENDINGS: [&str; 3] = ["yaml", "yml", "sql"];
/// So many files and so deep.
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything runs in this process until Ctrl-C: clients connect as to `watertable start`. The files are looked at twice a second; when
one changes, what it says runs at once, and a file that is removed does not run any more. As long as there is a mistake, it is
printed, and what ran before goes on. In dev the topic trips of a file is dev.trips.

Examples:
  watertable pipeline dev pipelines
  watertable pipeline dev pipelines --ephemeral
  psql -h localhost -p 9432 -c 'SELECT * FROM \"dev.trips\"'")]
#[group(id = "dev")]
pub(super) struct Arguments {
    /// The folder of the pipeline files
    #[arg(default_value = ".", value_name = "DIR")]
    path: PathBuf,
    /// Delete the data at the end
    #[arg(long)]
    ephemeral: bool,
    #[command(flatten)]
    secrets: SecretsArgument,
    #[command(flatten)]
    start: start::Arguments,
}

pub(super) fn run(arguments: Arguments, give_back_memory: fn()) -> Result<()> {
    let Arguments {
        path,
        ephemeral,
        mut start,
        secrets,
    } = arguments;
    if !path.is_dir() {
        return Err(Failure::new(
            format!("{} is no folder", path.display()),
            "name the folder of the pipeline files; `watertable pipeline init DIR` makes one",
        )
        .into());
    }
    if let Some(folder) = secrets.folder() {
        let folder = folder.display().to_string();
        start.set.push((SECRETS_DIRECTORY.to_owned(), folder));
    }
    let data = start.data_dir.get_or_insert_with(|| DATA.to_owned());
    let data = PathBuf::from(data.as_str());
    if ephemeral {
        check_new(&data)?;
    }
    let place = Place::of(path.clone(), ENVIRONMENT.parse()?);
    let ended = start::run_with(&start, give_back_memory, async |address| {
        let dev = Dev {
            cluster: own_broker::cluster(address, "watertable-dev"),
            environment: ENVIRONMENT.parse()?,
            asked: Asked::default(),
            secrets: secrets.secrets(),
            place,
            path,
        };
        dev.run(address).await
    });
    if ephemeral && data.exists() {
        let deleted = std::fs::remove_dir_all(&data);
        let deleted = deleted.with_context(|| format!("cannot delete {}", data.display()));
        // What ended it is told first.
        return ended.and(deleted);
    }
    ended
}

/// What is deleted at the end must be of this run alone.
fn check_new(data: &Path) -> Result<()> {
    let mut entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let shown = data.display();
            return Err(anyhow::Error::new(error).context(format!("cannot look into {shown}")));
        }
    };
    if entries.next().is_none() {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "{} has data already, and --ephemeral would delete it",
            data.display()
        ),
        "remove it, name another folder with --data-dir, or leave --ephemeral out",
    )
    .into())
}

/// The files as they were: their times and sizes.
type Looked = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

struct Dev {
    cluster: Cluster,
    environment: Environment,
    asked: Asked,
    secrets: Secrets,
    place: Place,
    path: PathBuf,
}

impl Dev {
    async fn run(self, _address: SocketAddr) -> Result<()> {
        let mut known = None;
        loop {
            let path = self.path.clone();
            let looked = tokio::task::spawn_blocking(move || look(&path)).await?;
            if known.as_ref() != Some(&looked) {
                known = Some(looked);
                if let Err(error) = self.take_in().await {
                    // It may be half of what an editor writes; the next change is looked at again.
                    output::line(&format!("error: {}", sentence(&error)))?;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Makes what the files say run, if there is no mistake in them.
    async fn take_in(&self) -> Result<()> {
        let place = self.place.clone();
        let read = tokio::task::spawn_blocking(move || -> Result<_> {
            let folder = place.read()?;
            let (files, problems) = validate::look(&folder);
            Ok((folder, files, problems))
        });
        let (folder, files, problems) = read.await??;
        if !problems.is_empty() {
            return validate::print(&folder, &problems);
        }
        let options = Options {
            remove: true,
            accept_source_change: true,
            git_commit: git_commit(&self.path),
        };
        let Self {
            cluster,
            environment,
            secrets,
            ..
        } = self;
        match plan::make(cluster, environment, files, &options, secrets).await? {
            Ok((plan, _)) if plan.is_empty() => Ok(()),
            Ok((plan, _)) => self.apply(&plan).await,
            Err(refused) => plan::say_refused(&folder, &refused),
        }
    }

    async fn apply(&self, plan: &Plan) -> Result<()> {
        output::line(&plan.to_string())?;
        let mut teller = Teller::new(self.secrets.clone(), false);
        let applied = apply(&self.cluster, plan, &self.asked.who(), &mut teller).await?;
        teller.said()?;
        match applied {
            Applied::Now(change) => super::apply::print(&change, ENVIRONMENT),
            Applied::Before(_) | Applied::Nothing => Ok(()),
        }
    }
}

/// The files of a folder that may matter, as they are now; what cannot be read is as if it were not there.
fn look(folder: &Path) -> Looked {
    let mut files = Looked::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let Ok(about) = std::fs::metadata(&path) else {
                continue;
            };
            if is_hidden || files.len() == FILES_MAX {
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str());
            if about.is_dir() && depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            } else if ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
                files.insert(path, (about.modified().ok(), about.len()));
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_may_matter_are_seen_to_change() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("env")).unwrap();
        std::fs::create_dir_all(at(".watertable-dev")).unwrap();
        for name in [
            "a.yaml",
            "env/dev.yaml",
            "b.sql",
            "data.csv",
            ".watertable-dev/x.yaml",
        ] {
            std::fs::write(at(name), "x").unwrap();
        }
        let before = look(folder.path());
        assert_eq!(before.len(), 3, "{before:?}");
        assert_eq!(look(folder.path()), before);
        std::fs::write(at("b.sql"), "xy").unwrap();
        let after = look(folder.path());
        assert_ne!(after, before);
        std::fs::remove_file(at("a.yaml")).unwrap();
        assert_eq!(look(folder.path()).len(), 2);
    }

    #[test]
    fn data_that_was_there_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        check_new(&folder.path().join("new")).unwrap();
        check_new(folder.path()).unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        assert!(check_new(folder.path()).is_err());
    }
}
