//! [`Producer`]: lines for a topic through `watertable produce`, which is idempotent and goes on over kills of the broker.
//!
//! What counts as put in is what lies in the topic in the end: a line that never came there was never acknowledged to anybody.

use super::machine::Client;
use crate::process::Running;
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

/// The longest that it may take to write what it was given.
const END_LIMIT: Duration = Duration::from_secs(90);

/// What separates key and value, and what stands for no value.
pub(super) const SEPARATOR: char = '\t';
pub(super) const NOTHING: &str = "NOTHING";

#[derive(Debug)]
pub(super) struct Producer {
    command: Command,
    running: Option<(Running, ChildStdin)>,
}

impl Producer {
    pub(super) fn new(client: &Client, topic: &str) -> Result<Self> {
        let mut command = client.watertable(&["produce", topic, "--no-create"])?;
        command
            .args(["--key-separator", &SEPARATOR.to_string()])
            .args(["--null-marker", NOTHING, "--linger-ms", "2"])
            .args(["--timeout", "60s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        Ok(Self {
            command,
            running: None,
        })
    }

    /// Hands lines over. One that has given up is started again.
    pub(super) fn write(&mut self, lines: &str) -> Result<()> {
        if self.running.is_none() {
            let mut process = Running::start(&mut self.command)?;
            let input = process.take_input().context("standard input is a pipe")?;
            self.running = Some((process, input));
        }
        if let Some((_, input)) = &mut self.running
            && input.write_all(lines.as_bytes()).is_err()
        {
            self.running = None;
        }
        Ok(())
    }

    /// Waits until everything is written.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some((mut process, input)) = self.running.take() {
            drop(input);
            let status = process.wait(END_LIMIT)?;
            ensure!(status.success(), "watertable produce ended with {status}");
        }
        Ok(())
    }
}
