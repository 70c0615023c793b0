//! Tests that pages of the documentation name as links, `[`name`](../path.rs)`: each must be there.
//!
//! A page that says which test shows something is only as good as that; tests are renamed and moved.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::compatibility::tests;
use crate::workspace;

const PAGES: [&str; 2] = ["docs/reliability.md", "docs/operations.md"];

/// Looks for all of them.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let mut problems = Vec::new();
    let mut count = 0;
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).with_context(|| page.to_owned())?;
        for (name, path) in named(&text) {
            count += 1;
            let file = fs::read_to_string(root.join(path)).unwrap_or_default();
            if !tests(&file).contains(name) {
                problems.push(format!("{page} names {name}, which is no test in {path}"));
            }
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("{count} tests that pages name are there");
    Ok(())
}

/// Name and path of each link whose text is code and whose target is a Rust file of the repository.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("[`").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once("`](../")?;
        let (path, _) = rest.split_once(')')?;
        path.ends_with(".rs").then_some((name, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_tests_are_told_from_other_links() {
        let text = "[`a_test`](../crates/a.rs); [`b`](../b.md) [c](../c.rs) [`d`](e.rs) `f`";
        let found: Vec<_> = named(text).collect();
        assert_eq!(found, [("a_test", "crates/a.rs")]);
    }
}
