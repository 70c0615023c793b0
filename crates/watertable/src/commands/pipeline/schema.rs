//! `watertable pipeline schema`: the JSON Schema of pipeline files.

use anyhow::Result;

use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watertable pipeline schema > pipeline.schema.json

With this line at the top of a file, editors with a YAML language server complete its keys and mark its mistakes:
  # yaml-language-server: $schema=pipeline.schema.json")]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> Result<()> {
    output::json(&spec::json_schema())
}
