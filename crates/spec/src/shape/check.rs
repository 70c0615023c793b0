//! Whether a tree has the shape it should have.
//!
//! What it says of a tree that has not is one problem for each mistake, and nothing about what is inside of one. What stands for
//! something else is replaced on the way, in the tree: aliases of keys, variables, and the name of a file with SQL by its text. So
//! whoever reads the tree afterwards finds every key by its name, and needs to say nothing about kinds.

use contract::nearest;

use super::{Key, Need, Object, OneOf, Rule, Shape, Word};
use crate::problem::{Cause, Found, Position, Problems, Words};
use crate::surroundings::Surroundings;
use crate::tree::{Entry, Node, Tree};

/// Checks a tree against a shape.
pub(crate) fn check(
    node: &mut Node,
    shape: &Shape,
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) {
    let mut checker = Checker {
        surroundings,
        problems,
        path: String::new(),
    };
    checker.check(node, shape);
}

struct Checker<'a> {
    surroundings: &'a Surroundings<'a>,
    problems: &'a mut Problems,
    path: String,
}

impl Checker<'_> {
    fn problem(&mut self, at: Position, cause: Cause) {
        self.problems.add(at, &self.path, cause);
    }

    /// Does something one step further down the path.
    fn below(&mut self, step: &str, then: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        then(self);
        self.path.truncate(length);
    }

    fn check(&mut self, node: &mut Node, shape: &Shape) {
        if node.is_broken() {
            return;
        }
        if node.is_file() && !matches!(shape, Shape::Sql) {
            self.broken(node, Cause::FileHere);
            return;
        }
        match shape {
            Shape::Text(rule) => self.text(node, rule),
            Shape::Sql => self.sql(node),
            Shape::Words(words) => self.word(node, words),
            Shape::Whole(least, most) => self.whole(node, *least, *most),
            Shape::Flag if !matches!(node.tree, Tree::Boolean(_)) => self.unexpected(node, shape),
            Shape::Literal if !is_literal(node) => self.unexpected(node, shape),
            Shape::Flag | Shape::Literal => {}
            Shape::Any => self.any(node),
            Shape::List(of) | Shape::Rows(of) => {
                self.list(node, shape, of, matches!(shape, Shape::List(_)));
            }
            Shape::OneOrMany(of) => match node.tree {
                Tree::List(_) => self.list(node, shape, of, true),
                _ => self.check(node, of),
            },
            Shape::Object(object) => self.object(node, shape, object),
            Shape::Named(rule, of) | Shape::Row(rule, of) => {
                self.named(node, shape, rule, of, matches!(shape, Shape::Named(..)));
            }
            Shape::Either(shapes) => {
                let fits = shapes.iter().find(|shape| is_of_kind(node, shape));
                match fits {
                    Some(of) => self.check(node, of),
                    None => self.unexpected(node, shape),
                }
            }
        }
    }

    fn broken(&mut self, node: &mut Node, cause: Cause) {
        self.problem(node.at, cause);
        node.tree = Tree::Broken;
    }

    fn unexpected(&mut self, node: &mut Node, shape: &Shape) {
        let expected = shape.wanted();
        let found = node.found();
        self.broken(node, Cause::Expected { expected, found });
    }

    fn text(&mut self, node: &mut Node, rule: &'static Rule) {
        match &node.tree {
            Tree::Text(_) => {}
            _ => {
                let found = node.found();
                let expected = rule.what;
                // Quotes are all that is missing, or there is more.
                let in_quotes = is_literal(node) && (rule.fits)(&found.written()).is_ok();
                let cause = if in_quotes {
                    Cause::Unquoted { expected, found }
                } else {
                    let expected = expected.to_owned();
                    Cause::Expected { expected, found }
                };
                self.broken(node, cause);
            }
        }
        let Tree::Text(written) = node.tree.clone() else {
            return;
        };
        if rule.replaced {
            self.replace(node);
        }
        let Tree::Text(text) = &node.tree else {
            return;
        };
        if let Err(cause) = (rule.fits)(text) {
            let cause = if rule.replaced {
                cause.of_written(&written)
            } else {
                cause
            };
            self.broken(node, cause);
        }
    }

    fn replace(&mut self, node: &mut Node) {
        let Tree::Text(text) = &node.tree else {
            return;
        };
        match self.surroundings.replace(text) {
            Ok(text) => node.tree = Tree::Text(text),
            Err(cause) => self.broken(node, cause),
        }
    }

    fn sql(&mut self, node: &mut Node) {
        let Tree::Text(text) = &node.tree else {
            self.unexpected(node, &Shape::Sql);
            return;
        };
        if node.is_file() {
            match self.surroundings.file(self.problems.file(), text) {
                Ok(text) => node.tree = Tree::Text(text),
                Err(cause) => self.broken(node, cause),
            }
        }
    }

    fn word(&mut self, node: &mut Node, words: &'static [Word]) {
        let text = match &node.tree {
            Tree::Text(text) => text,
            Tree::Null if words.iter().any(|word| word.name == "null") => {
                self.broken(node, Cause::UnquotedNull);
                return;
            }
            _ => {
                self.unexpected(node, &Shape::Words(words));
                return;
            }
        };
        let run = || words.iter().filter(|word| word.later.is_none());
        match words.iter().find(|word| word.name == text) {
            Some(Word {
                later: Some(instead),
                doc,
                ..
            }) => self.broken(node, Cause::NotYet { what: doc, instead }),
            Some(_) => {}
            None => {
                let cause = Cause::UnknownWord {
                    found: text.chars().take(60).collect(),
                    nearest: nearest(text, run().map(|word| word.name)),
                    known: Words(run().map(|word| word.name).collect()),
                };
                self.broken(node, cause);
            }
        }
    }

    fn whole(&mut self, node: &mut Node, least: u64, most: u64) {
        let Tree::Integer(value) = node.tree else {
            self.unexpected(node, &Shape::Whole(least, most));
            return;
        };
        if !u64::try_from(value).is_ok_and(|value| (least..=most).contains(&value)) {
            let found = value.to_string();
            let cause = Cause::Range { found, least, most };
            self.broken(node, cause);
        }
    }

    /// A value of a test: whatever it is, no part of it is the name of a file.
    fn any(&mut self, node: &mut Node) {
        match &mut node.tree {
            Tree::List(items) => items
                .iter_mut()
                .for_each(|item| self.check(item, &Shape::Any)),
            Tree::Map(entries) => {
                let values = entries.iter_mut().map(|entry| &mut entry.value);
                values.for_each(|value| self.check(value, &Shape::Any));
            }
            _ => {}
        }
    }

    fn list(&mut self, node: &mut Node, shape: &Shape, of: &Shape, needs_one: bool) {
        let at = node.at;
        let Tree::List(items) = &mut node.tree else {
            self.unexpected(node, shape);
            return;
        };
        if needs_one && items.is_empty() {
            self.problem(at, Cause::NothingIn);
        }
        for (index, item) in items.iter_mut().enumerate() {
            self.below(&format!("[{index}]"), |below| below.check(item, of));
        }
    }

    fn named(&mut self, node: &mut Node, shape: &Shape, rule: &Rule, of: &Shape, needs_one: bool) {
        let at = node.at;
        let Tree::Map(entries) = &mut node.tree else {
            self.unexpected(node, shape);
            return;
        };
        if needs_one && entries.is_empty() {
            self.problem(at, Cause::NothingIn);
        }
        for Entry { key, key_at, value } in entries {
            self.below(key, |below| match (rule.fits)(key) {
                Err(cause) => {
                    below.problem(*key_at, cause);
                    value.tree = Tree::Broken;
                }
                Ok(()) => below.check(value, of),
            });
        }
    }

    fn object(&mut self, node: &mut Node, shape: &Shape, object: &'static Object) {
        let at = node.at;
        let Tree::Map(entries) = &mut node.tree else {
            self.unexpected(node, shape);
            return;
        };
        let mut seen: Vec<&'static str> = Vec::new();
        for entry in entries.iter_mut() {
            let name = object.key(&entry.key).map(|key| key.name);
            let twice = name.is_some_and(|name| seen.contains(&name));
            seen.extend(name);
            let step = entry.key.clone();
            self.below(&step, |below| below.entry(entry, object, twice));
        }
        for key in object.keys {
            if let Need::Required(example) = key.need
                && !seen.contains(&key.name)
            {
                let key = key.name;
                self.problem(at, Cause::Missing { key, example });
            }
        }
        self.choice(node, object, at);
    }

    fn entry(&mut self, entry: &mut Entry, object: &'static Object, twice: bool) {
        let Some(key) = object.key(&entry.key) else {
            let known = object.known();
            let cause = Cause::UnknownKey {
                nearest: nearest(&entry.key, known.iter().copied()),
                known: Words(known),
            };
            self.problem(entry.key_at, cause);
            return;
        };
        if twice {
            let what = key.name.to_owned();
            self.problem(entry.key_at, Cause::Twice { what });
            return;
        }
        if let Some(instead) = key.later {
            let what = key.doc;
            self.problem(entry.key_at, Cause::NotYet { what, instead });
            entry.value.tree = Tree::Broken;
        }
        key.name.clone_into(&mut entry.key);
        self.check(&mut entry.value, &key.shape);
    }

    /// Of some keys there is exactly one. Something that is not known may have been meant as one.
    fn choice(&mut self, node: &Node, object: &'static Object, at: Position) {
        if matches!(object.one_of, OneOf::None) {
            return;
        }
        let Tree::Map(entries) = &node.tree else {
            return;
        };
        let known = || Words(object.choices());
        let chosen = |entry: &&Entry| object.choices().contains(&entry.key.as_str());
        let mut found = entries.iter().filter(chosen);
        let first = found.next();
        let second = found.next();
        match (first, second) {
            (None, _) => {
                let is_told = |entry: &Entry| {
                    object
                        .key(&entry.key)
                        .is_none_or(|key: &Key| key.later.is_some())
                };
                if !entries.iter().any(is_told) {
                    self.problem(at, Cause::NoneOf { known: known() });
                }
            }
            (Some(first), Some(second)) => {
                let first = object.key(&first.key).map_or("", |key| key.name);
                let known = known();
                let cause = Cause::SeveralOf { first, known };
                self.below(&second.key, |below| below.problem(second.key_at, cause));
            }
            (Some(_), None) => {}
        }
    }
}

const fn is_literal(node: &Node) -> bool {
    matches!(
        node.tree,
        Tree::Boolean(_) | Tree::Integer(_) | Tree::Number(_) | Tree::Text(_)
    )
}

/// Whether what stands there is of the kind of a shape, whatever is inside.
fn is_of_kind(node: &Node, shape: &Shape) -> bool {
    let found = node.found();
    match shape {
        Shape::Text(_) | Shape::Sql | Shape::Words(_) => matches!(found, Found::Text(_)),
        Shape::Whole(..) => matches!(node.tree, Tree::Integer(_)),
        Shape::Flag => matches!(found, Found::Boolean(_)),
        Shape::Literal => is_literal(node),
        Shape::Any => true,
        Shape::List(_) | Shape::Rows(_) => matches!(found, Found::List),
        Shape::OneOrMany(of) => matches!(found, Found::List) || is_of_kind(node, of),
        Shape::Object(_) | Shape::Named(..) | Shape::Row(..) => matches!(found, Found::Map),
        Shape::Either(shapes) => shapes.iter().any(|shape| is_of_kind(node, shape)),
    }
}
