//! `watertable pipeline`: one file per command, one list of them here.

mod apply;
mod cancel;
mod checks;
mod dead;
mod dev;
mod explain;
mod export;
mod folder;
mod infer;
mod init;
mod logs;
mod pause;
mod plan;
mod remove;
mod resume;
mod rollback;
mod run;
mod runs;
mod schema;
mod status;
mod target;
mod test;
mod validate;
mod worker;
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
    /// Propose an input and its columns from a sample
    Infer(infer::Arguments),
    /// Print the JSON Schema of pipeline files, for editors
    Schema(schema::Arguments),
    /// Look for mistakes in all files of a folder, without a broker
    Validate(validate::Arguments),
    /// Run the tests in the files, without a broker
    Test(test::Arguments),
    /// Run the files of a folder here, with a broker and SQL, and again when they change
    Dev(dev::Arguments),
    /// Show the tasks, topics and groups that files compile to
    Explain(explain::Arguments),
    /// Show what changes when the files of a folder are what runs
    Plan(plan::Arguments),
    /// Do what a plan says
    Apply(apply::Arguments),
    /// Have an older version run again
    Rollback(rollback::Arguments),
    /// Start a run now
    Run(run::Arguments),
    /// Show what runs, and what was done to a pipeline
    Status(status::Arguments),
    /// Show how the runs of a pipeline went
    Runs(runs::Arguments),
    /// Show what was said while a pipeline ran
    Logs(logs::Arguments),
    /// Show the records that a pipeline did not pass on
    Dead(dead::Arguments),
    /// Show what the checks of a pipeline have found
    Checks(checks::Arguments),
    /// Stop a pipeline at its next commit, until it is resumed
    Pause(pause::Arguments),
    /// Let a paused pipeline go on
    Resume(resume::Arguments),
    /// Stop what a pipeline is doing at its next commit
    Cancel(cancel::Arguments),
    /// Stop a pipeline for good; its versions and topics stay
    Remove(remove::Arguments),
    /// Write the file of any version that ran
    Export(export::Arguments),
    /// Run the pipelines of a cluster in a process of their own
    Worker(worker::Arguments),
}

impl Arguments {
    pub(crate) fn wants_json(&self) -> bool {
        match &self.verb {
            Verb::Init(_) | Verb::Schema(_) | Verb::Dev(_) => false,
            Verb::Infer(arguments) => arguments.session.json,
            Verb::Logs(arguments) => arguments.session.json,
            Verb::Dead(arguments) => arguments.wants_json(),
            Verb::Checks(arguments) => arguments.wants_json(),
            Verb::Validate(arguments) => arguments.json,
            Verb::Test(arguments) => arguments.json,
            Verb::Explain(arguments) => arguments.json,
            Verb::Plan(arguments) => arguments.session.json,
            Verb::Apply(arguments) => arguments.session.json,
            Verb::Rollback(arguments) => arguments.session.json,
            Verb::Run(arguments) => arguments.session.json,
            Verb::Status(arguments) => arguments.session.json,
            Verb::Runs(arguments) => arguments.session.json,
            Verb::Pause(arguments) => arguments.session.json,
            Verb::Resume(arguments) => arguments.session.json,
            Verb::Cancel(arguments) => arguments.session.json,
            Verb::Remove(arguments) => arguments.session.json,
            Verb::Export(arguments) => arguments.session.json,
            Verb::Worker(_) => false,
        }
    }
}

pub(crate) fn run(arguments: Arguments, give_back_memory: fn()) -> Result<()> {
    match arguments.verb {
        Verb::Init(arguments) => init::run(&arguments),
        Verb::Infer(arguments) => infer::run(arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Dev(arguments) => dev::run(arguments, give_back_memory),
        Verb::Logs(arguments) => logs::run(&arguments),
        Verb::Dead(arguments) => dead::run(&arguments),
        Verb::Checks(arguments) => checks::run(&arguments),
        Verb::Validate(arguments) => validate::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Plan(arguments) => plan::run(&arguments),
        Verb::Apply(arguments) => apply::run(&arguments),
        Verb::Rollback(arguments) => rollback::run(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Runs(arguments) => runs::run(&arguments),
        Verb::Pause(arguments) => pause::run(&arguments),
        Verb::Resume(arguments) => resume::run(&arguments),
        Verb::Cancel(arguments) => cancel::run(&arguments),
        Verb::Remove(arguments) => remove::run(&arguments),
        Verb::Export(arguments) => export::run(&arguments),
        Verb::Worker(arguments) => worker::run(&arguments),
    }
}
