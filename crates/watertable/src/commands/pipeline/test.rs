//! `watertable pipeline test`: runs the tests that stand in the files, in this process.
//!
//! Invariant: without `--update` nothing is written; with it, only files whose tests pass afterwards.

mod update;

use anyhow::{Context, Result};
use pipeline::directory::Resolved;
use pipeline::engine::Options;
use pipeline::fixtures::{self, Tested};
use serde::Serialize;

use super::folder::{Folder, Place};
use super::validate;
use crate::output::{self, counted};
use crate::report::{Failure, Status};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all tests passed, 1 some did not, or there are mistakes in the files.

Examples:
  watertable pipeline test
  watertable pipeline test trips_clean.yaml
  watertable pipeline test --update && git diff

All rows and dead letters that come out have to be expected, each with the columns that it is expected with. --update writes what
came out into the files, with the columns that were named; look at the difference before you keep it.")]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Write what came out into the files, where it was not as expected
    #[arg(long)]
    update: bool,
    /// Write JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What became of a test.
#[derive(Debug, Serialize)]
struct View {
    file: String,
    line: usize,
    test: String,
    passed: bool,
    failures: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.place.read()?;
    let looked = validate::compile(&folder);
    if !looked.problems.is_empty() {
        validate::print(&folder, &looked.problems)?;
        return Err(Status(1).into());
    }
    let mut views = Vec::new();
    for resolved in &looked.files {
        let tested = tested(&folder, resolved)?;
        if arguments.update {
            update(&folder, resolved, &tested)?;
        }
        let numbered = tested.iter().enumerate();
        views.extend(numbered.map(|(number, test)| view(resolved, number, test)));
    }
    let failed = views.iter().filter(|view| !view.passed).count();
    if arguments.json {
        output::json(&views)?;
    } else {
        print(&views, arguments.update)?;
    }
    if failed > 0 && !arguments.update {
        return Err(Status(1).into());
    }
    Ok(())
}

fn tested(folder: &Folder, resolved: &Resolved) -> Result<Vec<Tested>> {
    let Resolved {
        file,
        inputs,
        compiled,
    } = resolved;
    fixtures::run(file, inputs, compiled.as_ref(), Options::default()).or_else(|problems| {
        validate::print(folder, &problems)?;
        Err(Status(1).into())
    })
}

fn view(resolved: &Resolved, number: usize, test: &Tested) -> View {
    let place = resolved.file.place(&["tests", &number.to_string()]);
    View {
        file: resolved.file.name.clone(),
        line: place.line,
        test: test.name.clone(),
        passed: test.failures.is_empty(),
        failures: test.failures.iter().map(ToString::to_string).collect(),
    }
}

fn print(views: &[View], is_updated: bool) -> Result<()> {
    let (otherwise, others) = if is_updated {
        ("updated", "updated")
    } else {
        ("FAILED", "failed")
    };
    let mut text = String::new();
    for view in views {
        let word = if view.passed { "ok" } else { otherwise };
        let View {
            file, line, test, ..
        } = view;
        text.push_str(&format!("{word:<9}{file}:{line}: {test}\n"));
        for line in view.failures.iter().flat_map(|failure| failure.lines()) {
            text.push_str(&format!("           {line}\n"));
        }
    }
    let passed = views.iter().filter(|view| view.passed).count();
    let tests = counted(views.len(), "test");
    let rest = views.len() - passed;
    text.push_str(&format!("{tests}: {passed} passed, {rest} {others}\n"));
    output::write(text.as_bytes())
}

/// Writes what came out into the file.
fn update(folder: &Folder, resolved: &Resolved, tested: &[Tested]) -> Result<()> {
    if tested.iter().all(|test| test.failures.is_empty()) {
        return Ok(());
    }
    let file = &resolved.file;
    let text = std::str::from_utf8(folder.bytes(&file.name))?;
    let by_hand = || {
        Failure::new(
            format!("{}: its tests cannot be written here", file.name),
            "write each test over several lines, with expect: and expect_dead: on lines of their own; or write them by hand",
        )
    };
    let written = update::rewritten(text, file, tested).ok_or_else(by_hand)?;
    // What is written is what would be read: the same pipeline, with tests that pass.
    let mut expected = file.pipeline.clone();
    let read = folder.reread(&file.name, written.as_bytes());
    let read = read.map_err(|_mistakes| by_hand())?;
    expected.tests.clone_from(&read.pipeline.tests);
    let again = Resolved {
        file: read,
        inputs: resolved.inputs.clone(),
        compiled: None,
    };
    let pass = fixtures::run(
        &again.file,
        &again.inputs,
        resolved.compiled.as_ref(),
        Options::default(),
    );
    let pass = pass.is_ok_and(|tested| tested.iter().all(|test| test.failures.is_empty()));
    if expected != again.file.pipeline || !pass {
        return Err(by_hand().into());
    }
    std::fs::write(&file.name, written).with_context(|| format!("cannot write {}", file.name))?;
    eprintln!("wrote {}", file.name);
    Ok(())
}
