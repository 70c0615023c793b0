//! A command on a pseudo-terminal of `script`, typed to and read from.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    process: Child,
    keys: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    /// What was shown and not waited for yet.
    seen: String,
}

impl Terminal {
    /// Runs a command line of the shell on 12 rows of 80 columns.
    pub(crate) fn run(line: &str, environment: &[(&str, &str)]) -> Self {
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(format!("stty rows 12 cols 80; exec {line}"))
            .arg("/dev/null")
            .env("TERM", "xterm")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = script.spawn().unwrap();
        let mut stdout = process.stdout.take().unwrap();
        let (sender, output) = channel();
        let read = move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().spawn(read).unwrap();
        Self {
            keys: process.stdin.take(),
            process,
            output,
            seen: String::new(),
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        let pipe = self.keys.as_mut().unwrap();
        pipe.write_all(keys.as_bytes()).unwrap();
        pipe.flush().unwrap();
    }

    /// Waits until this is shown; what was shown up to its end.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(why @ (RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
                    panic!("{text:?} was not shown ({why}): {:?}", self.seen)
                }
            }
        }
    }

    /// Waits for the end; whether it was a success.
    pub(crate) fn end(mut self) -> bool {
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        drop(self.keys.take());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Of a test that failed.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
