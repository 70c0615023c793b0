//! Every package that is linked, built or tested with has a licence we may use. An expression is read in full (OR, AND,
//! WITH, parentheses, and the older `/` for OR); a package without one is a fault.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

const ALLOWED: [&str; 14] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "BSL-1.0",
    "bzip2-1.0.6",
];

/// Licences that one package may have and no other.
const ALLOWED_BY_NAME: [(&str, &str); 1] = [("x509-certificate", "MPL-2.0")];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

pub(super) fn check() -> Result<()> {
    let metadata: Metadata =
        serde_json::from_value(super::metadata()?).context("output of cargo metadata")?;
    let mut faults = Vec::new();
    for package in &metadata.packages {
        let expression = package.license.as_deref().unwrap_or_default();
        let allowed = |licence: &str| {
            ALLOWED.contains(&licence)
                || ALLOWED_BY_NAME.contains(&(package.name.as_str(), licence))
        };
        match satisfied(expression, &allowed) {
            Ok(true) => {}
            Ok(false) => faults.push(format!(
                "{} {}: licence {expression:?} is not allowed",
                package.name, package.version
            )),
            Err(error) => faults.push(format!(
                "{} {}: licence {expression:?}: {error:#}",
                package.name, package.version
            )),
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!(
        "licences of {} packages are allowed",
        metadata.packages.len()
    );
    Ok(())
}

/// Whether an SPDX expression can be satisfied with allowed licences alone.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let result = alternatives(&mut words, allowed)?;
    if let Some(word) = words.next() {
        bail!("{word} is not expected there");
    }
    Ok(result)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn alternatives(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut result = conjunction(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        result |= conjunction(words, allowed)?;
    }
    Ok(result)
}

fn conjunction(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut result = licence(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        result &= licence(words, allowed)?;
    }
    Ok(result)
}

fn licence(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let word = words.next().context("a licence is missing")?;
    if word == "(" {
        let result = alternatives(words, allowed)?;
        words
            .next_if_eq(&")")
            .context("a parenthesis is not closed")?;
        return Ok(result);
    }
    if [")", "OR", "AND", "WITH"].contains(&word) {
        bail!("{word} is not expected there");
    }
    if words.next_if_eq(&"WITH").is_some() {
        let exception = words.next().context("an exception is missing")?;
        return Ok(allowed(&format!("{word} WITH {exception}")));
    }
    Ok(allowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_spdx_says() -> Result<()> {
        let allowed = |licence: &str| ALLOWED.contains(&licence);
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 / MIT", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("MIT OR GPL-3.0 AND LGPL-2.1", true),
            ("(MIT OR ISC) AND LGPL-2.1", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ];
        for (expression, expected) in cases {
            assert_eq!(satisfied(expression, &allowed)?, expected, "{expression}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in [
            "", "MIT OR", "(MIT", "MIT)", "OR MIT", "MIT ISC", "MIT WITH",
        ] {
            assert!(satisfied(expression, &|_| true).is_err(), "{expression}");
        }
    }
}
