//! Where results go: standard output, a pager, a file.
//!
//! Invariant: a pager is started only for what does not fit on the screen, and less than a screen is held to know that.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::process::{Child, Command, Stdio};

use terminal_size::{Height, Width};
use unicode_width::UnicodeWidthStr as _;

/// What goes to the system at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// The pager, unless PAGER names one: lines are cut, and the arrow keys move to what is cut off.
const PAGER: &str = "less -S";

/// Where a result goes.
#[derive(Debug)]
pub(crate) enum Sink {
    Stdout(BufWriter<Stdout>),
    Screen(Screen),
    File(BufWriter<File>),
}

impl Sink {
    pub(crate) fn stdout() -> Self {
        Self::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))
    }

    /// A terminal, with a pager for what does not fit.
    pub(crate) fn screen() -> Self {
        Self::Screen(Screen::new(terminal_size::terminal_size()))
    }

    pub(crate) fn file(file: File) -> Self {
        Self::File(BufWriter::with_capacity(BUFFER_BYTES, file))
    }

    /// Whether it is a pager that was left: whoever reads has seen enough.
    pub(crate) fn is_left(&self) -> bool {
        matches!(self, Self::Screen(screen) if screen.is_left)
    }

    /// Shows all that was written, and waits until a pager is left.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Screen(screen) => screen.finish(),
            other => other.flush(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Screen(screen) => screen.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Screen(screen) => screen.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// A terminal that is written to by lines.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Lines that fit beside the next prompt, and the columns of a line.
    rows: usize,
    width: usize,
    held: Vec<u8>,
    held_lines: usize,
    /// Where the last line of `held` begins.
    line_start: usize,
    pager: Option<Child>,
    /// Nothing is held any more.
    is_through: bool,
    is_left: bool,
}

impl Screen {
    fn new(size: Option<(Width, Height)>) -> Self {
        // Without a size there is nothing to fit into.
        let (width, rows) = size.map_or((usize::MAX, usize::MAX), |(width, height)| {
            (usize::from(width.0), usize::from(height.0))
        });
        Self {
            rows: rows.saturating_sub(1),
            width,
            held: Vec::new(),
            held_lines: 0,
            line_start: 0,
            pager: None,
            is_through: false,
            is_left: false,
        }
    }

    /// Counts the lines that were added; whether they fit.
    fn fits(&mut self) -> bool {
        while let Some(end) = self.held[self.line_start..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let line = &self.held[self.line_start..self.line_start + end];
            self.held_lines += 1;
            self.line_start += end + 1;
            if self.held_lines > self.rows || String::from_utf8_lossy(line).width() > self.width {
                return false;
            }
        }
        // A character has at least one byte and at most two columns.
        self.held.len() - self.line_start <= self.width.saturating_mul(8)
    }

    /// Writes on to the pager, or to the terminal if there is none.
    fn open(&mut self) -> io::Result<()> {
        self.is_through = true;
        self.pager = start_pager();
        let held = std::mem::take(&mut self.held);
        self.pass_on(&held)
    }

    fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        let pipe = self.pager.as_mut().and_then(|pager| pager.stdin.as_mut());
        let outcome = match pipe {
            Some(pipe) => pipe.write_all(bytes),
            None => return io::stdout().lock().write_all(bytes),
        };
        self.is_left |= matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
        outcome
    }

    fn finish(&mut self) -> io::Result<()> {
        if !self.is_through {
            let held = std::mem::take(&mut self.held);
            self.pass_on(&held)?;
        }
        if let Some(mut pager) = self.pager.take() {
            drop(pager.stdin.take());
            pager.wait()?;
        }
        io::stdout().lock().flush()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_through {
            self.pass_on(bytes)?;
            return Ok(bytes.len());
        }
        self.held.extend_from_slice(bytes);
        if !self.fits() {
            self.open()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An empty PAGER means that there shall be none.
fn start_pager() -> Option<Child> {
    let pager = std::env::var("PAGER").unwrap_or_else(|_unset| PAGER.to_owned());
    if pager.trim().is_empty() {
        return None;
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(&pager).stdin(Stdio::piped());
    command.spawn().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(width: u16, height: u16) -> Screen {
        Screen::new(Some((Width(width), Height(height))))
    }

    fn fits(screen: &mut Screen, text: &str) -> bool {
        screen.held.extend_from_slice(text.as_bytes());
        screen.fits()
    }

    #[test]
    fn a_screen_has_room_for_the_next_prompt() {
        let mut small = screen(10, 4);
        assert!(fits(&mut small, "1\n2\n"));
        assert!(fits(&mut small, "3\n"));
        assert!(!fits(&mut small, "4\n"));
    }

    #[test]
    fn a_line_that_is_wider_does_not_fit() {
        let mut small = screen(10, 4);
        assert!(fits(&mut small, "0123456789\n"));
        assert!(fits(&mut small, "größe ä"));
        assert!(!fits(&mut small, "東京東京\n"));
        // A line without an end is not held for ever.
        let mut small = screen(10, 4);
        assert!(!fits(&mut small, &"x".repeat(1000)));
    }
}
