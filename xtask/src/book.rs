//! `cargo xtask book`: the examples of `book/`, on data that is made up for them.

mod csv;
mod data;
mod names;
mod people;
mod trips;

use crate::workspace;
use anyhow::Result;
use data::Data;
use std::path::PathBuf;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum BookCommand {
    /// Write the data of the examples
    Data(DataArguments),
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

pub(crate) fn run(command: &BookCommand) -> Result<()> {
    match command {
        BookCommand::Data(arguments) => write_data(arguments),
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
