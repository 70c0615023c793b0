//! `watertable pipeline`: one file per command, one list of them here.

mod explain;
mod folder;
mod init;
mod schema;
mod test;
mod validate;
mod yaml;

use anyhow::Result;

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A pipeline is one file: what it reads, one SELECT, what has to hold of the rows, and where they go.

Try:
  watertable pipeline init trips
  watertable pipeline validate trips
  watertable pipeline test trips

These need no broker."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write a first pipeline with its test into a folder
    Init(init::Arguments),
    /// Print the JSON Schema of pipeline files, for editors
    Schema(schema::Arguments),
    /// Look for mistakes in all files of a folder, without a broker
    Validate(validate::Arguments),
    /// Run the tests in the files, without a broker
    Test(test::Arguments),
    /// Show the tasks, topics and groups that files compile to
    Explain(explain::Arguments),
}

impl Arguments {
    pub(crate) fn wants_json(&self) -> bool {
        match &self.verb {
            Verb::Init(_) | Verb::Schema(_) => false,
            Verb::Validate(arguments) => arguments.json,
            Verb::Test(arguments) => arguments.json,
            Verb::Explain(arguments) => arguments.json,
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.verb {
        Verb::Init(arguments) => init::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Validate(arguments) => validate::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
    }
}
