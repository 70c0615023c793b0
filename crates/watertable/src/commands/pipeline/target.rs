//! What the commands about deployed pipelines have in common: which pipeline, of which environment, and who asks.

use std::path::{Path, PathBuf};

use anyhow::Result;
use client::Cluster;
use env::{Clock, SystemClock};
use pipeline::control::{ActionError, Request, Store, Who, act, existing};
use pipeline::secrets::Secrets;
use serde::Serialize;
use spec::names::Environment;

use crate::output;
use crate::session::Session;

/// A pipeline of an environment.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Target {
    /// The name of the pipeline
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// The environment
    #[arg(long, value_name = "ENV", env = "WATERTABLE_ENV")]
    pub(super) env: Environment,
}

/// Who asks, and why.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Asked {
    /// Who does it, for the log of deployments; the user of this process if absent
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Why, for the log of deployments
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
}

impl Asked {
    /// Who asks now.
    pub(super) fn who(&self) -> Who {
        let user = ["USER", "LOGNAME", "USERNAME"].iter();
        let mut user = user.filter_map(|name| std::env::var(name).ok());
        let author = self.author.clone().or_else(|| user.next());
        Who {
            author: author.unwrap_or_else(|| "unknown".to_owned()),
            message: self.message.clone(),
            time: SystemClock::new().wall().into(),
        }
    }
}

/// Where the values of secrets are.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SecretsArgument {
    /// A folder with a file for each secret; WATERTABLE_SECRET_NAME in the environment comes first
    #[arg(long, value_name = "DIR", env = "WATERTABLE_SECRETS")]
    secrets: Option<PathBuf>,
}

impl SecretsArgument {
    /// Where they are looked up.
    pub(super) fn secrets(&self) -> Secrets {
        Secrets::new(self.secrets.clone())
    }

    /// The folder, if one was named.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.secrets.as_deref()
    }
}

/// What was done, for machines.
#[derive(Serialize)]
struct Done<'a> {
    pipeline: &'a str,
    environment: &'a str,
    action: &'static str,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'a str>,
}

/// Asks for something, and says that it was done; `done` is what is said to people then, and `already` if it was so before.
pub(super) async fn ask(
    session: &Session,
    target: &Target,
    asked: &Asked,
    request: Request,
    action: &'static str,
    done: impl Fn(Option<u32>, Option<u32>) -> String,
    already: &str,
) -> Result<()> {
    let cluster = session.cluster();
    let who = asked.who();
    let deployment = act(&cluster, &target.env, &target.name, request, &who).await?;
    let (from, to) = match &deployment {
        Some(deployment) => (deployment.from_version, deployment.to_version),
        None => (None, None),
    };
    if session.json {
        return output::json(&Done {
            pipeline: &target.name,
            environment: target.env.as_str(),
            action,
            changed: deployment.is_some(),
            from_version: from,
            to_version: to,
            deployment: deployment.as_ref().map(|deployment| deployment.id.as_str()),
        });
    }
    match deployment {
        Some(_) => output::line(&done(from, to)),
        None => output::line(&format!("{} {already}", target.name)),
    }
}

/// Whether there is such a pipeline, or was: of one that never was nothing can be told.
pub(super) async fn check(cluster: &Cluster, target: &Target) -> Result<()> {
    let store = Store::open(cluster).await?;
    match existing(store.state(), &target.env, &target.name) {
        Err(unknown @ ActionError::Unknown { .. }) => Err(unknown.into()),
        _ => Ok(()),
    }
}

/// `v7`, or `7`.
pub(super) fn version(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('v').unwrap_or(text);
    number
        .parse()
        .map_err(|_invalid| format!("'{text}' is no version; write it as v7"))
}

/// The commit that the files of a folder are from, if it is known: `GIT_COMMIT`, or what the repository around it has checked out.
pub(super) fn git_commit(folder: &Path) -> Option<String> {
    let given = std::env::var("GIT_COMMIT").ok();
    given
        .filter(|commit| !commit.is_empty())
        .or_else(|| checked_out(folder))
}

/// Reads what `git` keeps, without running it: of a plain repository, which most are.
fn checked_out(folder: &Path) -> Option<String> {
    let folder = std::fs::canonicalize(folder).ok()?;
    let git = folder
        .ancestors()
        .map(|folder| folder.join(".git"))
        .find(|git| git.is_dir())?;
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    let Some(name) = head.strip_prefix("ref: ") else {
        return is_commit(head).then(|| head.to_owned());
    };
    if name.split('/').any(|part| part == "..") {
        return None;
    }
    let loose = std::fs::read_to_string(git.join(name)).ok();
    let commit = loose.map(|text| text.trim().to_owned()).or_else(|| {
        let packed = std::fs::read_to_string(git.join("packed-refs")).ok()?;
        let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
        let (commit, _) = lines.find(|(_, packed)| *packed == name)?;
        Some(commit.to_owned())
    });
    commit.filter(|commit| is_commit(commit))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_their_letter() {
        assert_eq!(version("v7"), Ok(7));
        assert_eq!(version("12"), Ok(12));
        assert!(version("latest").is_err());
    }

    #[test]
    fn the_commit_of_a_folder_is_found_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let git = folder.path().join(".git");
        std::fs::create_dir_all(git.join("refs/heads")).unwrap();
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(checked_out(&below), None);
        let packed = format!("# pack-refs\n{one} refs/heads/main\n");
        std::fs::write(git.join("packed-refs"), packed).unwrap();
        assert_eq!(checked_out(&below), Some(one));
        std::fs::write(git.join("refs/heads/main"), format!("{two}\n")).unwrap();
        assert_eq!(checked_out(&below), Some(two.clone()));
        std::fs::write(git.join("HEAD"), &two).unwrap();
        assert_eq!(checked_out(&below), Some(two));
        std::fs::write(git.join("HEAD"), "ref: ../../etc/passwd").unwrap();
        assert_eq!(checked_out(&below), None);
    }
}
