//! `cargo xtask book`: the examples of `book/`, on data that is made up for them.

mod answers;
mod clients;
mod csv;
mod data;
mod names;
mod people;
mod pipelines;
mod stage;
mod transactions;
mod trips;

use crate::clients::Counts;
use crate::workspace;
use anyhow::{Result, bail};
use data::Data;
use stage::{Check, Stage};
use std::path::PathBuf;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum BookCommand {
    /// Write the data of the examples
    Data(DataArguments),
    /// Run examples against a broker of their own, and check what comes out
    Run(RunArguments),
}

#[derive(clap::Args, Debug)]
pub(crate) struct DataArguments {
    /// Another seed makes other data of the same shape
    #[arg(long, default_value_t = data::SEED)]
    seed: u64,
    /// The folder [default: book-data in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct RunArguments {
    /// Which, as B5; without any, all
    #[arg(value_name = "EXAMPLE")]
    examples: Vec<String>,
    /// Another seed makes other data of the same shape
    #[arg(long, default_value_t = data::SEED)]
    seed: u64,
}

struct Example {
    name: &'static str,
    chapter: u32,
    run: fn(&mut Stage, &Data) -> Result<()>,
}

const EXAMPLES: [Example; 10] = [
    example("B1", 3, pipelines::b1),
    example("B3", 3, pipelines::b3),
    example("B5", 5, pipelines::b5),
    example("B7", 5, clients::b7),
    example("B10", 7, pipelines::b10),
    example("B14", 10, pipelines::b14),
    example("B15", 11, pipelines::b15),
    example("B16", 12, clients::b16),
    example("B17", 13, clients::b17),
    example("B20", 13, clients::b20),
];

const fn example(
    name: &'static str,
    chapter: u32,
    run: fn(&mut Stage, &Data) -> Result<()>,
) -> Example {
    Example { name, chapter, run }
}

pub(crate) fn run(command: &BookCommand) -> Result<()> {
    match command {
        BookCommand::Data(arguments) => write_data(arguments),
        BookCommand::Run(arguments) => {
            let counts = run_examples(&chosen(&arguments.examples)?, arguments.seed);
            println!("\n{} passed, {} failed", counts.passed, counts.failed);
            if counts.failed > 0 {
                bail!("{} checks of examples failed", counts.failed);
            }
            Ok(())
        }
    }
}

/// All examples, as a step of all tests.
pub(crate) fn run_all() -> Result<Counts> {
    Ok(run_examples(&chosen(&[])?, data::SEED))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Example>> {
    if names.is_empty() {
        return Ok(EXAMPLES.iter().collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        let found = EXAMPLES
            .iter()
            .find(|example| example.name.eq_ignore_ascii_case(name));
        match found {
            Some(example) => chosen.push(example),
            None => {
                let names: Vec<_> = EXAMPLES.iter().map(|example| example.name).collect();
                bail!("there is no example {name}; there are {}", names.join(", "));
            }
        }
    }
    Ok(chosen)
}

/// Runs them one after the other. One that stops in the middle is a check that failed.
fn run_examples(examples: &[&Example], seed: u64) -> Counts {
    let data = Data::of(seed);
    let mut counts = Counts::default();
    println!("{}", lake_line(&data.lake));
    for example in examples {
        println!("\n{}, chapter {}", example.name, example.chapter);
        for check in play(example, &data) {
            if check.instead_of.is_none() {
                counts.passed += 1;
            } else {
                counts.failed += 1;
            }
            print(&check);
        }
    }
    counts
}

fn play(example: &Example, data: &Data) -> Vec<Check> {
    let stopped = |error: anyhow::Error| Check {
        example: example.name,
        what: "stopped".to_owned(),
        found: format!("{error:#}"),
        instead_of: Some("an example that runs to its end".to_owned()),
    };
    let mut stage = match Stage::set(example.name, data) {
        Ok(stage) => stage,
        Err(error) => return vec![stopped(error)],
    };
    let ran = (example.run)(&mut stage, data);
    let (mut checks, ended) = stage.strike();
    checks.extend(ran.and(ended).err().map(stopped));
    if checks.is_empty() {
        checks.push(stopped(anyhow::anyhow!("nothing was checked")));
    }
    checks
}

fn print(check: &Check) {
    let Check {
        example,
        what,
        found,
        instead_of,
    } = check;
    match instead_of {
        None => println!("  ok      {example:<4}{what:<46}{found}"),
        Some(expected) => {
            println!("  FAILED  {example:<4}{what}");
            for (word, text) in [("found", found), ("expected", expected)] {
                println!(
                    "          {word}: {}",
                    text.trim_end().replace('\n', "\n            ")
                );
            }
        }
    }
}

fn write_data(arguments: &DataArguments) -> Result<()> {
    let folder = arguments.out.clone();
    let folder = folder.unwrap_or_else(|| workspace::target().join("book-data"));
    let data = Data::of(arguments.seed);
    data.write(&folder)?;
    let shown = std::path::absolute(&folder)?;
    println!("{}: {} trips", shown.display(), data.trips.len());
    println!("{}", lake_line(&data.lake));
    println!("\nexport BOOK_DATA={}", shown.display());
    Ok(())
}

/// How many files are left of the lake, and whose were written over.
fn lake_line(lake: &people::Lake) -> String {
    let lost: Vec<String> = lake.lost.iter().map(u64::to_string).collect();
    format!(
        "the lake has {} files of {} people; of the same name as somebody after them, and lost: {}",
        lake.files.len(),
        lake.files.len() + lake.lost.len(),
        lost.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;
    use std::fs;

    #[test]
    fn the_page_tells_the_numbers_of_the_data() {
        let page = fs::read_to_string(workspace::root().join("book/README.md")).unwrap();
        let words: Vec<&str> = page.split_whitespace().collect();
        let page = words.join(" ");
        let data = Data::of(data::SEED);
        let zeros = data
            .people
            .iter()
            .filter(|person| person.zip.starts_with('0'));
        let bad = data
            .fails
            .iter()
            .filter(|person| !people::AGES.contains(&person.age));
        let lost: Vec<String> = data.lake.lost.iter().map(u64::to_string).collect();
        let trips = pipelines::clean(&data.trips).count();
        let trips = format!("{},{:03}", trips / 1000, trips % 1000);
        for sentence in [
            format!("{} of them with a zip code", zeros.count()),
            format!("You see {trips} trips of 23 May"),
            format!("{} of its 1,000 people", bad.count()),
            format!("You see {} people", data.lake.files.len()),
            format!("You see {} rows", data.lake.files.len()),
            format!("the user ids {}, have", lost.join(", ")),
        ] {
            assert!(page.contains(&sentence), "{sentence}");
        }
    }

    #[test]
    fn each_example_is_on_the_page_and_each_folder_is_an_example() -> Result<()> {
        let book = workspace::root().join("book");
        let page = fs::read_to_string(book.join("README.md"))?;
        for example in &EXAMPLES {
            let chapter = format!("## Chapter {}:", example.chapter);
            assert!(page.contains(&chapter), "{chapter}");
        }
        for entry in fs::read_dir(&book)? {
            let path = entry?.path();
            if path.is_dir() {
                let name = path.file_name().and_then(|name| name.to_str());
                let name = name.context("a folder has no name")?.to_owned();
                assert!(chosen(std::slice::from_ref(&name)).is_ok(), "{name}");
                assert!(page.contains(&format!("{name}/")), "{name}");
            }
        }
        Ok(())
    }
}
