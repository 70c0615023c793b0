//! Arrows between crates never point up. The table is section 2 of the architecture; `cargo metadata` says what is.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What each crate may depend on, lowest first. `types` is at the bottom of everything.
const MAY_KNOW: [(&str, &[&str]); 16] = [
    ("types", &[]),
    ("protocol", &["types"]),
    ("env", &["types"]),
    ("storage", &["types", "protocol", "env"]),
    ("contract", &[]),
    ("spec", &["contract"]),
    ("metadata", &["types", "env", "contract"]),
    ("coordinator", &["types"]),
    (
        "broker",
        &[
            "types",
            "protocol",
            "env",
            "storage",
            "contract",
            "metadata",
            "coordinator",
        ],
    ),
    (
        "sql",
        &[
            "types", "protocol", "env", "storage", "contract", "metadata",
        ],
    ),
    ("client", &["types", "protocol"]),
    ("connectors", &["types", "contract", "spec"]),
    (
        "pipeline",
        &[
            "types",
            "protocol",
            "env",
            "contract",
            "spec",
            "sql",
            "client",
            "connectors",
        ],
    ),
    ("prompt", &[]),
    ("history", &[]),
    (
        "watertable",
        &[
            "types",
            "protocol",
            "env",
            "storage",
            "contract",
            "metadata",
            "coordinator",
            "broker",
            "spec",
            "sql",
            "client",
            "connectors",
            "pipeline",
            "prompt",
        ],
    ),
];

/// Tools and test helpers: they may know everything, and no other crate may depend on them except for its tests.
const BESIDE: [&str; 5] = ["testkit", "sim", "fuzzing", "xtask", "floor"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// None for an ordinary dependency, else `dev` or `build`.
    kind: Option<String>,
    /// Only crates of the workspace have one.
    path: Option<String>,
}

/// The crates whose code runs in the simulator: the broker, all that it may know, and the simulator itself.
pub(super) fn simulated() -> Vec<&'static str> {
    let broker = MAY_KNOW.iter().find(|(name, _)| *name == "broker");
    let known = broker.map_or(&[][..], |(_, may_know)| may_know);
    known.iter().copied().chain(["broker", "sim"]).collect()
}

pub(super) fn check() -> Result<()> {
    let metadata: Metadata =
        serde_json::from_value(super::metadata()?).context("output of cargo metadata")?;
    let mut faults = Vec::new();
    for package in metadata
        .packages
        .iter()
        .filter(|package| metadata.workspace_members.contains(&package.id))
    {
        faults.extend(faults_of(package));
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn faults_of(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    if BESIDE.contains(&name) {
        return Vec::new();
    }
    let Some((_, may_know)) = MAY_KNOW.iter().find(|(known, _)| *known == name) else {
        return vec![format!(
            "crate {name} has no row in the table of directions"
        )];
    };
    let forbidden = |dependency: &&Dependency| {
        // A crate names itself there to turn on a feature for its own tests.
        let only_for_tests = dependency.kind.as_deref() == Some("dev")
            && ["testkit", name].contains(&dependency.name.as_str());
        dependency.path.is_some()
            && !may_know.contains(&dependency.name.as_str())
            && !only_for_tests
    };
    let fault =
        |dependency: &Dependency| format!("crate {name} must not depend on {}", dependency.name);
    package
        .dependencies
        .iter()
        .filter(forbidden)
        .map(fault)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependency: &str, kind: Option<&str>) -> Package {
        let dependency = Dependency {
            name: dependency.to_owned(),
            kind: kind.map(str::to_owned),
            path: Some("/there".to_owned()),
        };
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            dependencies: vec![dependency],
        }
    }

    #[test]
    fn an_arrow_that_points_up_is_a_fault() {
        let allowed = [
            ("broker", "storage", None),
            ("storage", "testkit", Some("dev")),
            ("storage", "storage", Some("dev")),
            ("testkit", "broker", None),
        ];
        for (name, dependency, kind) in allowed {
            assert!(
                faults_of(&package(name, dependency, kind)).is_empty(),
                "{name} -> {dependency}"
            );
        }
        let forbidden = [
            ("storage", "broker", None),
            ("storage", "broker", Some("dev")),
            ("broker", "testkit", None),
            ("new", "types", None),
        ];
        for (name, dependency, kind) in forbidden {
            assert_eq!(
                faults_of(&package(name, dependency, kind)).len(),
                1,
                "{name} -> {dependency}"
            );
        }
    }

    #[test]
    fn a_row_knows_only_rows_above_it() {
        for (index, (name, may_know)) in MAY_KNOW.iter().enumerate() {
            for known in *may_know {
                assert!(
                    MAY_KNOW[..index].iter().any(|(lower, _)| lower == known),
                    "{name} -> {known}"
                );
            }
        }
    }
}
