//! [`Lines`]: the lines of a text, where a line of CSV may have line ends within quotes.
//!
//! Invariant: a line takes no more memory than the longest that is allowed; of a longer one the first 64 KiB are kept and the rest is
//! passed over.

use std::io::{self, BufRead as _};

use super::content::Content;

/// How much of a record is kept that is not taken.
pub(super) const KEPT_BYTES: usize = 64 << 10;

/// A record as it stands in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Where it begins.
    pub(super) byte: u64,
    pub(super) record: Record,
    /// Whether a quote is open at its end, which is that of the file.
    pub(super) is_open: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Whole(Vec<u8>),
    Long { first: Vec<u8>, bytes: u64 },
}

/// Collects a record that may be too long.
#[derive(Debug)]
pub(super) struct Collector {
    kept: Vec<u8>,
    bytes: u64,
    bytes_max: usize,
}

impl Collector {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            kept: Vec::new(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn push(&mut self, part: &[u8]) {
        let was_long = self.is_long();
        self.bytes += part.len() as u64;
        if !self.is_long() {
            self.kept.extend_from_slice(part);
        } else if !was_long {
            let missing = KEPT_BYTES.saturating_sub(self.kept.len()).min(part.len());
            self.kept.extend_from_slice(&part[..missing]);
            self.kept.truncate(KEPT_BYTES);
            self.kept.shrink_to_fit();
        } else if self.kept.len() < KEPT_BYTES {
            let missing = (KEPT_BYTES - self.kept.len()).min(part.len());
            self.kept.extend_from_slice(&part[..missing]);
        }
    }

    fn is_long(&self) -> bool {
        self.bytes > self.bytes_max as u64
    }

    pub(super) fn done(self) -> Record {
        match self.is_long() {
            false => Record::Whole(self.kept),
            true => Record::Long {
                first: self.kept,
                bytes: self.bytes,
            },
        }
    }
}

/// The lines of a text.
pub(super) struct Lines {
    content: Content,
    /// Where the next begins.
    pub(super) next_byte: u64,
    /// The delimiter of CSV, where line ends within quotes are none.
    delimiter: Option<u8>,
    bytes_max: usize,
}

impl Lines {
    pub(super) fn new(
        content: Content,
        next_byte: u64,
        delimiter: Option<u8>,
        bytes_max: usize,
    ) -> Self {
        Self {
            content,
            next_byte,
            delimiter,
            bytes_max,
        }
    }

    /// The next line without its end; `None` behind the last.
    pub(super) fn take(&mut self) -> io::Result<Option<Taken>> {
        let byte = self.next_byte;
        let mut line = Collector::new(self.bytes_max);
        let mut quotes = Quotes::default();
        // A CR that may belong to the line end.
        let mut has_return = false;
        loop {
            let buffer = self.content.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let end = match self.delimiter {
                Some(delimiter) => quotes.line_end(buffer, delimiter),
                None => find(buffer, 0, b'\n'),
            };
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if has_return && !part.is_empty() {
                line.push(b"\r");
                has_return = false;
            }
            let text = match part.strip_suffix(b"\r") {
                Some(text) => {
                    has_return = true;
                    text
                }
                None => part,
            };
            line.push(text);
            let used = part.len() + usize::from(end.is_some());
            self.content.consume(used);
            self.next_byte += used as u64;
            if end.is_some() {
                break;
            }
        }
        let is_open = quotes.is_open;
        if has_return && is_open {
            line.push(b"\r");
        }
        if self.next_byte == byte {
            return Ok(None);
        }
        Ok(Some(Taken {
            byte,
            record: line.done(),
            is_open,
        }))
    }
}

/// Where in a line of CSV it is known to be, of the parts that it comes in.
///
/// Invariant: a quote opens where [`contract::csv`] has it open: where a field begins. So what is a line here is one there.
#[derive(Debug, Default)]
struct Quotes {
    is_open: bool,
    before: Before,
}

/// What stands before a place outside of quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// The line or the field begins here.
    #[default]
    Start,
    /// A quote that closes, or the first of two that are one.
    Closed,
    Other,
}

impl Quotes {
    /// Where the line ends in this part of it.
    fn line_end(&mut self, buffer: &[u8], delimiter: u8) -> Option<usize> {
        let (mut from, mut end) = (0, None);
        loop {
            if self.is_open {
                from = find(buffer, from, b'"')? + 1;
                (self.is_open, self.before) = (false, Before::Closed);
            }
            // Looked for once for all quotes of a line.
            let line = match end {
                Some(end) if end >= from => end,
                _ => find(buffer, from, b'\n').unwrap_or(buffer.len()),
            };
            end = Some(line);
            match self.opening(&buffer[..line], from, delimiter) {
                Some(quote) => {
                    self.is_open = true;
                    from = quote + 1;
                }
                None if line < buffer.len() => return Some(line),
                None => {
                    self.before = match buffer.last() {
                        Some(last) if from < buffer.len() && *last == delimiter => Before::Start,
                        Some(_) if from < buffer.len() => Before::Other,
                        _ => self.before,
                    };
                    return None;
                }
            }
        }
    }

    /// The next quote that opens.
    fn opening(&self, line: &[u8], from: usize, delimiter: u8) -> Option<usize> {
        let mut at = from;
        loop {
            let quote = find(line, at, b'"')?;
            let opens = match quote == from {
                true => self.before != Before::Other,
                false => line.get(quote - 1) == Some(&delimiter),
            };
            if opens {
                return Some(quote);
            }
            at = quote + 1;
        }
    }
}

/// Where a byte is, from a place on. The standard library looks for it many bytes at a time, but only so.
pub(super) fn find(buffer: &[u8], from: usize, byte: u8) -> Option<usize> {
    let mut rest = buffer.get(from..)?;
    let passed = rest.skip_until(byte).unwrap_or_default();
    let at = (from + passed).checked_sub(1)?;
    (passed > 0 && buffer.get(at) == Some(&byte)).then_some(at)
}

impl Lines {
    /// Changes how long a line may be.
    pub(super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }
}
