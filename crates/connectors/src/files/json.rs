//! [`Document`]: the records of one document of JSON, taken out one by one.
//!
//! It knows of JSON what is needed to find where values end: strings and brackets. What is within a record is for who decodes it.
//!
//! Invariant: memory does not grow with the document. Between two records the place alone says how to go on: behind one stands a comma
//! or the end of the list.

use std::io::{self, BufRead as _};

use super::content::Content;
use super::error::JsonFault;
use super::lines::{Collector, Taken, find};

const NAME_BYTES_MAX: usize = 64 << 10;
/// So many names are told when one is missing.
const TOLD: usize = 10;
const LIST_END: &str = "a comma or the end of the list";
const OBJECT_END: &str = "a comma or the end of the object";

/// The records of a document.
pub(super) struct Document {
    content: Content,
    /// Where reading goes on.
    pub(super) next_byte: u64,
    /// As the pipeline says it.
    path: String,
    steps: Vec<String>,
    state: State,
    bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    List {
        is_first: bool,
    },
    /// One object in place of a list.
    One,
    End,
}

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Json(JsonFault),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<JsonFault> for Fault {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

const fn expected(expected: &'static str) -> Fault {
    Fault::Json(JsonFault::Expected { expected })
}

impl Document {
    /// `resumes` if the content begins behind a record of the list.
    pub(super) fn new(
        content: Content,
        next_byte: u64,
        resumes: bool,
        path: Option<&str>,
        bytes_max: usize,
    ) -> Self {
        let path = path.unwrap_or("$");
        Self {
            content,
            next_byte,
            path: path.to_owned(),
            steps: path.split('.').skip(1).map(str::to_owned).collect(),
            state: match resumes {
                true => State::List { is_first: false },
                false => State::Start,
            },
            bytes_max,
        }
    }

    /// Whether the whole document has been read and was well.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::End
    }

    /// The next record; `None` behind the last.
    pub(super) fn take(&mut self) -> Result<Option<Taken>, Fault> {
        if self.state == State::Start {
            self.state = self.start()?;
        }
        match self.state {
            State::Start | State::End => Ok(None),
            State::One => {
                let record = self.record()?;
                // It is no record before the document is known to be whole.
                self.close()?;
                Ok(Some(record))
            }
            State::List { is_first } => {
                match (self.peek()?, is_first) {
                    (Some(b']'), _) => {
                        self.bump(1);
                        self.close()?;
                        return Ok(None);
                    }
                    (Some(b','), false) => self.bump(1),
                    (Some(_), true) => {}
                    (Some(_), false) => return Err(expected(LIST_END)),
                    (None, _) => return Err(JsonFault::CutOff.into()),
                }
                self.peek()?;
                let record = self.record()?;
                self.state = State::List { is_first: false };
                Ok(Some(record))
            }
        }
    }

    fn record(&mut self) -> Result<Taken, Fault> {
        self.peek()?;
        let byte = self.next_byte;
        let mut record = Collector::new(self.bytes_max);
        self.value(|part| record.push(part))?;
        Ok(Taken {
            byte,
            record: record.done(),
            is_open: false,
        })
    }

    /// Goes the way to the records.
    fn start(&mut self) -> Result<State, Fault> {
        for step in self.steps.clone() {
            self.expect(b'{', "an object")?;
            let mut found = Vec::new();
            let no_step = |found| JsonFault::NoStep {
                path: self.path.clone(),
                step: step.clone(),
                found,
            };
            let missing = no_step(Vec::new());
            if self.peek()? == Some(b'}') {
                return Err(missing.into());
            }
            loop {
                let name = self.name()?;
                if name == step {
                    break;
                }
                if found.len() < TOLD {
                    found.push(name);
                }
                self.peek()?;
                self.value(|_| {})?;
                match self.peek()? {
                    Some(b',') => self.bump(1),
                    Some(b'}') => {
                        let path = self.path.clone();
                        return Err(JsonFault::NoStep { path, step, found }.into());
                    }
                    Some(_) => return Err(expected(OBJECT_END)),
                    None => return Err(JsonFault::CutOff.into()),
                }
            }
        }
        match self.peek()? {
            Some(b'[') => {
                self.bump(1);
                Ok(State::List { is_first: true })
            }
            Some(b'{') => Ok(State::One),
            Some(_) => Err(JsonFault::NoList.into()),
            None => Err(JsonFault::CutOff.into()),
        }
    }

    /// Reads what follows the records up to the end of the document.
    fn close(&mut self) -> Result<(), Fault> {
        for step in self.steps.clone().into_iter().rev() {
            loop {
                match self.peek()? {
                    Some(b',') => self.bump(1),
                    Some(b'}') => {
                        self.bump(1);
                        break;
                    }
                    Some(_) => return Err(expected(OBJECT_END)),
                    None => return Err(JsonFault::CutOff.into()),
                }
                if self.name()? == step {
                    return Err(JsonFault::Twice { step }.into());
                }
                self.peek()?;
                self.value(|_| {})?;
            }
        }
        if self.peek()?.is_some() {
            return Err(JsonFault::More.into());
        }
        self.state = State::End;
        Ok(())
    }

    /// A name and its colon.
    fn name(&mut self) -> Result<String, Fault> {
        if self.peek()? != Some(b'"') {
            return Err(expected("a name in quotes"));
        }
        let mut name = Vec::new();
        let mut bytes = 0;
        self.value(|part| {
            bytes += part.len();
            if bytes <= NAME_BYTES_MAX {
                name.extend_from_slice(part);
            }
        })?;
        if bytes > NAME_BYTES_MAX {
            return Err(JsonFault::LongName(NAME_BYTES_MAX).into());
        }
        let name = serde_json::from_slice(&name);
        let name = name.map_err(|_not_text| expected("a name in quotes"))?;
        self.expect(b':', "a colon")?;
        Ok(name)
    }

    /// Passes over one value.
    fn value(&mut self, mut part: impl FnMut(&[u8])) -> Result<(), Fault> {
        let mut scan = Scan::default();
        loop {
            let buffer = self.content.fill_buf()?;
            if buffer.is_empty() {
                return match scan.may_end() {
                    true => Ok(()),
                    false => Err(JsonFault::CutOff.into()),
                };
            }
            let end = scan.end(buffer);
            let used = end.unwrap_or(buffer.len());
            part(&buffer[..used]);
            self.bump(used);
            if end.is_some() {
                return match scan.is_begun {
                    true => Ok(()),
                    false => Err(expected("a value")),
                };
            }
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.bump(1);
                Ok(())
            }
            Some(_) => Err(expected(what)),
            None => Err(JsonFault::CutOff.into()),
        }
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            let buffer = self.content.fill_buf()?;
            let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            let spaces = buffer.iter().take_while(|byte| is_space(byte)).count();
            let next = buffer.get(spaces).copied();
            let is_end = buffer.is_empty();
            self.bump(spaces);
            if next.is_some() || is_end {
                return Ok(next);
            }
        }
    }

    fn bump(&mut self, bytes: usize) {
        self.content.consume(bytes);
        self.next_byte += bytes as u64;
    }
}

/// Looks for the end of a value.
#[derive(Debug, Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    is_escaped: bool,
    is_begun: bool,
}

impl Scan {
    /// Where the value ends in this part of it.
    fn end(&mut self, buffer: &[u8]) -> Option<usize> {
        let mut next = 0;
        while let Some(&byte) = buffer.get(next) {
            let at = next;
            if self.in_string {
                next = self.string(buffer, at);
                if !self.in_string && self.depth == 0 {
                    return Some(next);
                }
                continue;
            }
            next += 1;
            let is_behind = matches!(
                byte,
                b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\n' | b'\r'
            );
            match byte {
                _ if is_behind && self.depth == 0 => return Some(at),
                b'"' if self.depth == 0 && self.is_begun => return Some(at),
                b'"' => self.in_string = true,
                b'{' | b'[' if self.depth == 0 && self.is_begun => return Some(at),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            self.is_begun = true;
        }
        None
    }

    /// Passes over what is in a string, and its end if it is there.
    fn string(&mut self, buffer: &[u8], from: usize) -> usize {
        if self.is_escaped {
            self.is_escaped = false;
            return from + 1;
        }
        let quote = find(buffer, from, b'"').unwrap_or(buffer.len());
        if let Some(escape) = find(&buffer[..quote], from, b'\\') {
            self.is_escaped = true;
            return escape + 1;
        }
        self.in_string = quote == buffer.len();
        buffer.len().min(quote + 1)
    }

    /// Whether a value may end with the document.
    fn may_end(&self) -> bool {
        self.is_begun && self.depth == 0 && !self.in_string
    }
}
