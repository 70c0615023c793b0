//! `select!` looks at its branches in random order unless it says `biased;`. In the simulator a run that is done again must
//! be the same run, so every crate that runs in it says so.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::direction;
use crate::workspace;

/// What begins such a block. Assembled, so that this file does not find itself.
const SELECT: &str = concat!("select", "!");
const BIASED: &str = "biased;";

pub(super) fn check() -> Result<()> {
    let crates = workspace::root().join("crates");
    let mut faults = Vec::new();
    for name in direction::simulated() {
        let sources = crates.join(name).join("src");
        each_source(&sources, &mut |path| {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let lines = unbiased(&text);
            faults.extend(lines.map(|line| format!("{}:{line}", path.display())));
            Ok(())
        })?;
    }
    if !faults.is_empty() {
        bail!(
            "{SELECT} without `{BIASED}` in a crate that runs in the simulator:\n{}",
            faults.join("\n")
        );
    }
    Ok(())
}

fn each_source(folder: &Path, look: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            each_source(&path, look)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path)?;
        }
    }
    Ok(())
}

/// The lines with a block that does not begin with `biased;`, where the first is 1.
fn unbiased(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(SELECT).filter_map(|(at, _)| {
        let line = text[..at].matches('\n').count() + 1;
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let is_comment = text[start..at].trim_start().starts_with("//");
        let block = text[at + SELECT.len()..].trim_start();
        let is_biased = block
            .strip_prefix(['{', '(', '['])
            .is_some_and(|inner| inner.trim_start().starts_with(BIASED));
        (!is_comment && !is_biased).then_some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_look_in_random_order_are_found() {
        for (text, expected) in [
            ("tokio::select! {\n    biased;\n    () = a => {}\n}", vec![]),
            ("tokio::select!(biased; () = a => {})", vec![]),
            ("// A `select!` that looks in order.\nlet a = 1;", vec![]),
            ("\n\ntokio::select! {\n    () = a => {}\n}", vec![3]),
            (
                "select! { () = biased => {} }\nselect! {biased; _ = b => {}}\nfutures::select!{}",
                vec![1, 3],
            ),
        ] {
            assert_eq!(unbiased(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn the_crates_of_the_simulator_look_in_order() {
        check().unwrap();
    }
}
