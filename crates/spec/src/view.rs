//! [`View`]: a map of a tree that has the shape it should have, read key by key.
//!
//! What is `None` here is not there or was told as a problem, so readers pass it on without a word.

use crate::problem::{Cause, Position, Problems};
use crate::shape::Object;
use crate::tree::{Entry, Node, Tree};
use crate::value::Value;

/// A map, where it stands, and what keys it can have.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    object: &'static Object,
    entries: &'a [Entry],
    at: Position,
    path: String,
}

impl<'a> View<'a> {
    /// The file as a whole.
    pub(crate) fn of(node: &'a Node, object: &'static Object) -> Option<Self> {
        Self::at_path(node, object, String::new())
    }

    pub(crate) fn at_path(node: &'a Node, object: &'static Object, path: String) -> Option<Self> {
        let Tree::Map(entries) = &node.tree else {
            return None;
        };
        Some(Self {
            object,
            entries,
            at: node.at,
            path,
        })
    }

    /// What is behind a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        debug_assert!(
            self.object.key(key).is_some_and(|key| key.later.is_none()),
            "{} has no key {key}",
            self.object.what
        );
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The key of several of which there is one.
    pub(crate) fn chosen(&self) -> Option<(&'static str, &'a Node)> {
        let choices = self.object.choices();
        self.entries.iter().find_map(|entry| {
            let name = choices.iter().find(|name| **name == entry.key)?;
            Some((*name, &entry.value))
        })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        text_of(self.get(key)?)
    }

    pub(crate) fn owned(&self, key: &str) -> Option<String> {
        self.text(key).map(str::to_owned)
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.tree {
            Tree::Boolean(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn whole(&self, key: &str) -> Option<u64> {
        match self.get(key)?.tree {
            Tree::Integer(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    pub(crate) fn value(&self, key: &str) -> Option<Value> {
        Value::of(self.get(key)?)
    }

    /// The texts of one or a list of them; none if the key is not there.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let texts = items(node).iter().filter_map(text_of);
        texts.map(str::to_owned).collect()
    }

    /// What a word means that has to be one of a table.
    pub(crate) fn word<T: Copy>(&self, key: &str, meanings: &[(&str, T)]) -> Option<T> {
        let word = self.text(key)?;
        let found = meanings.iter().find(|(name, _)| *name == word);
        debug_assert!(found.is_some(), "no meaning of {word}");
        found.map(|(_, meaning)| *meaning)
    }

    /// The map behind a key.
    pub(crate) fn map(&self, key: &str, object: &'static Object) -> Option<Self> {
        Self::at_path(self.get(key)?, object, self.path_of(key))
    }

    /// The entries, for maps whose keys people choose.
    pub(crate) fn named(&self, key: &str) -> Vec<(&'a Entry, String)> {
        let Some(Tree::Map(entries)) = self.get(key).map(|node| &node.tree) else {
            return Vec::new();
        };
        let path = self.path_of(key);
        let each = entries.iter();
        each.map(|entry| (entry, format!("{path}.{}", entry.key)))
            .collect()
    }

    /// What is in the list behind a key, with its path.
    pub(crate) fn list(&self, key: &str) -> Vec<(&'a Node, String)> {
        let Some(Tree::List(items)) = self.get(key).map(|node| &node.tree) else {
            return Vec::new();
        };
        let path = self.path_of(key);
        let each = items.iter().enumerate();
        each.map(|(index, item)| (item, format!("{path}[{index}]")))
            .collect()
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Something is wrong with what is behind a key, or with the map if the key is not there.
    pub(crate) fn problem(&self, key: &str, cause: Cause, problems: &mut Problems) {
        match self.entry(key) {
            Some(entry) => problems.add(entry.value.at, &self.path_of(key), cause),
            None => self.problem_here(cause, problems),
        }
    }

    /// Something is wrong with a key being there.
    pub(crate) fn problem_of_key(&self, key: &str, cause: Cause, problems: &mut Problems) {
        let at = self.entry(key).map_or(self.at, |entry| entry.key_at);
        problems.add(at, &self.path_of(key), cause);
    }

    /// Something is wrong with the map.
    pub(crate) fn problem_here(&self, cause: Cause, problems: &mut Problems) {
        problems.add(self.at, &self.path, cause);
    }
}

pub(crate) fn text_of(node: &Node) -> Option<&str> {
    match &node.tree {
        Tree::Text(text) => Some(text),
        _ => None,
    }
}

/// One, or what is in a list.
pub(crate) fn items(node: &Node) -> &[Node] {
    match &node.tree {
        Tree::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}
