//! `cargo xtask history`: checks a recorded history offline.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

#[derive(clap::Args, Debug)]
pub(crate) struct HistoryArguments {
    /// Histories as JSON lines, one operation's begin or outcome a line
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Everything was polled to its end at the end: what was acknowledged and never seen is an error
    #[arg(long)]
    complete: bool,
}

pub(crate) fn run(arguments: &HistoryArguments) -> Result<()> {
    let options = history::Options {
        is_complete: arguments.complete,
    };
    let mut broken = 0;
    for path in &arguments.files {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("open {shown}"))?;
        let events =
            history::read(BufReader::new(file)).with_context(|| format!("read {shown}"))?;
        let report = history::check(&events, options).with_context(|| format!("check {shown}"))?;
        println!("{shown}: {report}");
        broken += usize::from(!report.is_clean());
    }
    if broken > 0 {
        bail!(
            "{broken} of {} histories are not clean",
            arguments.files.len()
        );
    }
    Ok(())
}
