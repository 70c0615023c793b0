//! `watertable completion`: scripts that teach a shell our commands.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watertable completion bash > ~/.local/share/bash-completion/completions/watertable
  watertable completion zsh > ~/.zfunc/_watertable
  watertable completion fish > ~/.config/fish/completions/watertable.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "watertable",
        &mut script,
    );
    output::write(&script)
}
