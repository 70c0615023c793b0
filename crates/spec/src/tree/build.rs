//! From the parser's events to the tree.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};

use super::{DEPTH_MAX, Entry, FILE_BYTES_MAX, NODES_MAX, Node, Scalar, Style, Tree, resolve};
use crate::problem::{Cause, Position, Problems};

/// The tag that a value has which stands in a file of its own.
const FILE_TAG: &str = "!file";

/// Reads a file. `None` if there is no tree, which is then a problem.
pub(crate) fn build(bytes: &[u8], problems: &mut Problems) -> Option<Node> {
    let text = text_of(bytes, problems)?;
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        // So that each is told, and not the first alone.
        emit_unresolved_aliases: true,
        disallow_directives: true,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        problems,
        open: Vec::new(),
        root: None,
        documents: 0,
        nodes: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => {
                let is_line = span.start.line() == span.end.line();
                builder.take(event, position(span.start), is_line)
            }
            Err(error) => {
                let cause = match error.kind() {
                    ErrorKind::RecursionLimitExceeded => Cause::TooDeep,
                    _ => syntax(text, error.marker().line(), error.info()),
                };
                Err((within(text, position(*error.marker())), cause))
            }
        };
        if let Err((at, cause)) = step {
            builder.problem(at, cause);
            return None;
        }
    }
    if builder.root.is_none() {
        builder.problems.add(Position::START, "", Cause::Empty);
    }
    builder.root
}

fn text_of<'a>(bytes: &'a [u8], problems: &mut Problems) -> Option<&'a str> {
    if bytes.len() > FILE_BYTES_MAX {
        let bytes = bytes.len();
        problems.add(Position::START, "", Cause::TooLarge { bytes });
        return None;
    }
    match str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            problems.add(end_of(before), "", Cause::NotUtf8);
            None
        }
    }
}

/// A text with a variable is the most frequent one that has to be in quotes.
fn syntax(text: &str, line: usize, what: String) -> Cause {
    let lines = with_line_feeds(text);
    let line = lines.split('\n').nth(line.saturating_sub(1));
    if line.is_some_and(|line| line.contains("${")) {
        return Cause::SyntaxOfVariable(what);
    }
    Cause::Syntax(what)
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// The parser may find what is missing behind the last line; people look for it in that line.
fn within(text: &str, at: Position) -> Position {
    let end = end_of(text.trim_end_matches(['\r', '\n']));
    at.min(end)
}

/// Behind the last character of a text.
fn end_of(text: &str) -> Position {
    let lines = with_line_feeds(text);
    let last = lines.rsplit('\n').next().unwrap_or_default();
    Position {
        line: lines.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}

/// A line feed for everything that ends a line in YAML.
fn with_line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Reading cannot go on.
type Stop = (Position, Cause);

struct Builder<'a> {
    problems: &'a mut Problems,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

/// A list or a map whose end is still to come.
enum Open {
    List {
        at: Position,
        items: Vec<Node>,
    },
    Map {
        at: Position,
        entries: Vec<Entry>,
        places: HashMap<String, Position>,
        key: Option<Key>,
    },
}

enum Key {
    Text(String, Position),
    /// A key that was told as a problem; what is behind it does not count.
    Broken,
}

impl Builder<'_> {
    /// `is_line`: whether it begins and ends in one line.
    fn take(&mut self, event: Event<'_>, at: Position, is_line: bool) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((at, Cause::SeveralDocuments));
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.problem(at, Cause::Alias);
                self.count(at)?;
                self.put(Node::new(Tree::Broken, at));
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(at)?;
                let mut node = self.scalar(&text, style, at, tag.as_deref());
                if !is_line && matches!(node.style, Style::Plain | Style::Quoted) {
                    node.style = Style::Folded;
                }
                self.refuse_anchor(anchor, at);
                if self.wants_key() {
                    self.key(text.into_owned(), at);
                } else {
                    self.put(node);
                }
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(anchor, tag.as_deref(), at)?;
                let items = Vec::new();
                self.open.push(Open::List { at, items });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(anchor, tag.as_deref(), at)?;
                self.open.push(Open::Map {
                    at,
                    entries: Vec::new(),
                    places: HashMap::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { at, items }) => self.put(Node::new(Tree::List(items), at)),
                Some(Open::Map { at, entries, .. }) => {
                    self.put(Node::new(Tree::Map(entries), at));
                }
                None => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn problem(&mut self, at: Position, cause: Cause) {
        let path = self.path();
        self.problems.add(at, &path, cause);
    }

    /// The keys of what is open, as far as they are known.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::List { items, .. } => path.push_str(&format!("[{}]", items.len())),
                Open::Map {
                    key: Some(Key::Text(key, _)),
                    ..
                } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Open::Map { .. } => {}
            }
        }
        path
    }

    fn count(&mut self, at: Position) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err((at, Cause::TooManyNodes));
        }
        Ok(())
    }

    fn begin(&mut self, anchor: usize, tag: Option<&Tag>, at: Position) -> Result<(), Stop> {
        self.count(at)?;
        // Lists and maps alternate in the parser's two limits, so together they are counted here.
        if self.open.len() >= DEPTH_MAX {
            return Err((at, Cause::TooDeep));
        }
        self.refuse_anchor(anchor, at);
        if let Some(tag) = tag {
            let tag = tag.original();
            self.problem(at, Cause::Tag { tag });
        }
        Ok(())
    }

    fn refuse_anchor(&mut self, anchor: usize, at: Position) {
        if anchor != 0 {
            self.problem(at, Cause::Anchor);
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, at: Position, tag: Option<&Tag>) -> Node {
        let written = || Tree::Text(text.to_owned());
        let is_key = self.wants_key();
        if let Some(tag) = tag {
            let tag = tag.original();
            if tag == FILE_TAG && !is_key {
                let mut node = Node::new(written(), at);
                node.style = Style::File;
                return node;
            }
            self.problem(at, Cause::Tag { tag });
            return Node::new(Tree::Broken, at);
        }
        if is_key || style != ScalarStyle::Plain {
            let mut node = Node::new(written(), at);
            node.style = match style {
                ScalarStyle::Literal => Style::Lines,
                ScalarStyle::Folded => Style::Folded,
                ScalarStyle::Plain => Style::Plain,
                _ => Style::Quoted,
            };
            return node;
        }
        let tree = match resolve(text) {
            Scalar::Null => Tree::Null,
            Scalar::Boolean(value) => Tree::Boolean(value),
            Scalar::Integer(value) => Tree::Integer(value),
            Scalar::Number(value) => Tree::Number(value),
            Scalar::Text => written(),
            Scalar::LeadingZero => {
                let text = text.to_owned();
                self.problem(at, Cause::LeadingZero { text });
                Tree::Broken
            }
            Scalar::NoNumber => {
                let text = text.to_owned();
                self.problem(at, Cause::NoNumber { text });
                Tree::Broken
            }
        };
        Node::new(tree, at)
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn key(&mut self, text: String, at: Position) {
        let Some(Open::Map { places, key, .. }) = self.open.last_mut() else {
            return;
        };
        if let Some(first) = places.get(&text).copied() {
            // With the key, so that the path has it.
            *key = Some(Key::Text(text, at));
            self.problem(at, Cause::DuplicateKey { first });
            self.break_key();
            return;
        }
        places.insert(text.clone(), at);
        *key = Some(Key::Text(text, at));
    }

    fn break_key(&mut self) {
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = Some(Key::Broken);
        }
    }

    /// A value is complete: it belongs to what is open.
    fn put(&mut self, node: Node) {
        let at = node.at;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(Key::Text(text, key_at)) => entries.push(Entry {
                    key: text,
                    key_at,
                    value: node,
                }),
                Some(Key::Broken) => {}
                None => {
                    *key = Some(Key::Broken);
                    if !node.is_broken() {
                        self.problem(at, Cause::KeyNotText);
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_yaml_says() {
        for (bytes, line, column) in [
            (&b"a: 1\nb: \xff"[..], 2, 4),
            (b"a: 1\r\nb: \xff", 2, 4),
            (b"a: 1\rb: \xff", 2, 4),
            (b"a: 1\rb: [\r\r", 2, 4),
            (b"a: \"1\n\n", 1, 4),
        ] {
            let mut problems = Problems::of("a");
            assert!(build(bytes, &mut problems).is_none());
            let found = problems.into_sorted();
            assert_eq!(
                found[0].at,
                Position { line, column },
                "{bytes:?}: {}",
                found[0]
            );
        }
    }
}
