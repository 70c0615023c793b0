//! [`Node`]: a file as a tree in which everything knows its place.
//!
//! It is YAML's core schema and less: no anchors, no aliases, no tags but `!file`, one document, no key twice, and no number that
//! would lose a zero it is written with. What is none of this becomes a problem and a [`Tree::Broken`], so that reading goes on.

mod build;
mod scalar;

pub(crate) use build::build;
pub(crate) use scalar::{Scalar, resolve};

use crate::problem::{Found, Position};

/// The longest file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The most values, keys among them, in a file.
pub const NODES_MAX: usize = 100_000;
/// How deep lists and maps may stand in each other.
pub const DEPTH_MAX: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) tree: Tree,
    pub(crate) at: Position,
    /// How it is written.
    pub(crate) style: Style,
}

/// How a text is written, as far as it tells where its characters stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is, beginning where the node does.
    Plain,
    /// In quotes, which the node begins with.
    Quoted,
    /// As lines of a block, the first of which begins where the node does.
    Lines,
    /// Over lines that are joined, so that only the first character is where it seems.
    Folded,
    /// In a file of its own.
    File,
}

#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that was told as a problem already.
    Broken,
}

/// A key of a map with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) const fn new(tree: Tree, at: Position) -> Self {
        Self {
            tree,
            at,
            style: Style::Plain,
        }
    }

    /// Whether it is the name of a file that has the value.
    pub(crate) const fn is_file(&self) -> bool {
        matches!(self.style, Style::File)
    }

    /// Where a byte of its text stands, counted from the first that is no blank; where the text begins if that cannot be told.
    pub(crate) fn place_in_text(&self, offset: usize) -> Position {
        let Tree::Text(text) = &self.tree else {
            return self.at;
        };
        let blank = text.len() - text.trim_start().len();
        let Some(before) = text.get(..blank + offset) else {
            return self.at;
        };
        let line = before.matches('\n').count();
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        match self.style {
            // It begins with the first line that is not empty.
            Style::Lines => Position {
                line: self.at.line + line - text[..blank].matches('\n').count(),
                column: self.at.column + column,
            },
            Style::Plain => Position {
                column: self.at.column + column,
                ..self.at
            },
            Style::Quoted => Position {
                column: self.at.column + 1 + column,
                ..self.at
            },
            Style::Folded | Style::File => self.at,
        }
    }

    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self.tree, Tree::Broken)
    }

    /// What it is, for people.
    pub(crate) fn found(&self) -> Found {
        match &self.tree {
            Tree::Null | Tree::Broken => Found::Nothing,
            Tree::Boolean(value) => Found::Boolean(*value),
            Tree::Integer(value) => Found::Number(value.to_string()),
            Tree::Number(value) => Found::Number(format!("{value:?}")),
            Tree::Text(text) => Found::text(text),
            Tree::List(_) => Found::List,
            Tree::Map(_) => Found::Map,
        }
    }
}
