//! From the text of a file to its [`Pipeline`].
//!
//! Invariant: every mistake is told, not the first alone; a pipeline is given only if there is none.

use crate::check;
use crate::pipeline::{self, PIPELINE, Pipeline};
use crate::problem::{Cause, Position, Problem, Problems};
use crate::shape::{Shape, check as check_shape};
use crate::surroundings::Surroundings;
use crate::tree::{Node, Tree, build};

/// A pipeline and where its parts stand in its file.
#[derive(Clone, Debug)]
pub struct File {
    /// The file, as its reader was told it.
    pub name: String,
    /// What it says.
    pub pipeline: Pipeline,
    root: Node,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, in its order.
    pub fn read(
        name: &str,
        bytes: &[u8],
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Vec<Problem>> {
        match Self::read_in_part(name, bytes, surroundings) {
            (Some(file), problems) if problems.is_empty() => Ok(file),
            (_, problems) => Err(problems),
        }
    }

    /// The same, with what could be read of a file with mistakes: what is missing then are parts of it, and what is there holds.
    /// Without a file there is a problem.
    pub(crate) fn read_in_part(
        name: &str,
        bytes: &[u8],
        surroundings: &Surroundings<'_>,
    ) -> (Option<Self>, Vec<Problem>) {
        let mut problems = Problems::of(name);
        let file = read(bytes, surroundings, &mut problems).map(|(pipeline, root)| Self {
            name: name.to_owned(),
            pipeline,
            root,
        });
        if file.is_none() && problems.is_empty() {
            problems.add(Position::START, "", Cause::Unsaid);
        }
        (file, problems.into_sorted())
    }

    /// Where a value stands, by its path, as `from.raw.files` or `checks[2]`; of what is not written, what it would be in.
    pub fn place(&self, path: &[&str]) -> Position {
        let mut node = &self.root;
        for step in path {
            let next = match &node.tree {
                Tree::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.key == *step)
                    .map(|entry| &entry.value),
                Tree::List(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.at
    }

    /// Whether a value is written, by its path; else it is what stands in for it.
    pub fn says(&self, path: &[&str]) -> bool {
        let mut node = &self.root;
        path.iter().all(|step| {
            let Tree::Map(entries) = &node.tree else {
                return false;
            };
            let found = entries.iter().find(|entry| entry.key == *step);
            found.is_some_and(|entry| {
                node = &entry.value;
                true
            })
        })
    }

    /// Where a byte of [`Pipeline::sql`] stands; of a query in a file of its own, where that is named.
    pub fn place_in_sql(&self, offset: usize) -> Position {
        match &self.root.tree {
            Tree::Map(entries) => {
                let sql = entries.iter().find(|entry| entry.key == "sql");
                sql.map_or(self.root.at, |sql| sql.value.place_in_text(offset))
            }
            _ => self.root.at,
        }
    }

    /// Where the check of this number stands, of all of [`Pipeline::checks`], and its path: one that names several columns is as
    /// many.
    pub fn place_of_check(&self, number: usize) -> (Position, String) {
        let Tree::Map(entries) = &self.root.tree else {
            return (self.root.at, String::new());
        };
        let checks = entries.iter().find(|entry| entry.key == "checks");
        let list = match checks.map(|checks| &checks.value.tree) {
            Some(Tree::List(list)) => list.as_slice(),
            _ => &[],
        };
        let mut before = 0;
        for (index, node) in list.iter().enumerate() {
            let path = format!("checks[{index}]");
            let mut told = Problems::of(&self.name);
            before += check::read(node, path.clone(), &mut told).len();
            if number < before {
                return (node.at, path);
            }
        }
        (self.place(&["checks"]), "checks".to_owned())
    }

    /// Something else that is wrong with a part of the file, by its path.
    pub fn problem(&self, path: &[&str], cause: Cause) -> Problem {
        Problem {
            file: self.name.clone(),
            at: self.place(path),
            key: path.join("."),
            cause,
        }
    }
}

fn read(
    bytes: &[u8],
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<(Pipeline, Node)> {
    let mut root = build(bytes, problems)?;
    check_shape(&mut root, &Shape::Object(&PIPELINE), surroundings, problems);
    let pipeline = pipeline::read(&root, problems)?;
    Some((pipeline, root))
}
