//! [`Shape`]: the table of the format. Each part of it declares here which keys there are, what is behind them, what they mean and
//! what does not run yet.
//!
//! Invariant: the reader, the published schema and the page of the format know keys and words from these tables alone.

mod check;
mod rule;
mod schema;

use crate::pipeline::PIPELINE;
use crate::problem::Bounds;

pub(crate) use check::check;
pub use rule::Rule;
pub use schema::json_schema;

/// What stands somewhere.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text of a certain form.
    Text(&'static Rule),
    /// SQL: text, or `!file` and the name of a file that has it.
    Sql,
    /// One of several words.
    Words(&'static [Word]),
    /// A whole number between the two, both included.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// A number, text, `true` or `false`.
    Literal,
    /// Anything, null as well.
    Any,
    /// A list of these, with at least one in it.
    List(&'static Shape),
    /// The same, and nothing may be in it.
    Rows(&'static Shape),
    /// One, or a list of them with at least one in it.
    OneOrMany(&'static Shape),
    /// Keys that are known.
    Object(&'static Object),
    /// Names that people choose, at least one, each with one of these.
    Named(&'static Rule, &'static Shape),
    /// The same, and nothing may be in it.
    Row(&'static Rule, &'static Shape),
    /// Whichever of these is of the kind that stands there.
    Either(&'static [Shape]),
}

/// Keys that are known.
#[derive(Debug)]
pub struct Object {
    /// What it is, with its article: `a source of files`.
    pub what: &'static str,
    /// The keys, in the order in which they are written.
    pub keys: &'static [Key],
    /// Of which keys there is exactly one.
    pub one_of: OneOf,
}

/// Of which keys there is exactly one.
#[derive(Clone, Copy, Debug)]
pub enum OneOf {
    /// There is no such rule.
    None,
    /// Of these.
    Of(&'static [&'static str]),
    /// Of all.
    All,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// What it is called.
    pub name: &'static str,
    /// Other names that are read, and never written.
    pub aliases: &'static [&'static str],
    /// What is behind it.
    pub shape: Shape,
    /// Whether it has to be there.
    pub need: Need,
    /// One sentence for people.
    pub doc: &'static str,
    /// What to do until it runs; `None` if it does.
    pub later: Option<&'static str>,
}

/// Whether a key has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It has; with something that could be behind it.
    Required(&'static str),
    /// It need not; with what holds then, empty for nothing.
    Optional(&'static str),
}

/// A word to choose.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// What it means, for people.
    pub doc: &'static str,
    /// What to do until it runs; `None` if it does.
    pub later: Option<&'static str>,
}

/// A key that need not be there.
pub(crate) const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        aliases: &[],
        shape,
        need: Need::Optional(""),
        doc,
        later: None,
    }
}

/// A key that does not run yet.
pub(crate) const fn later(name: &'static str, doc: &'static str, instead: &'static str) -> Key {
    let mut key = key(name, Shape::Any, doc);
    key.later = Some(instead);
    key
}

impl Key {
    pub(crate) const fn required(mut self, example: &'static str) -> Self {
        self.need = Need::Required(example);
        self
    }

    pub(crate) const fn default(mut self, default: &'static str) -> Self {
        self.need = Need::Optional(default);
        self
    }

    pub(crate) const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    fn has_name(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// A word.
pub(crate) const fn word(name: &'static str, doc: &'static str) -> Word {
    Word {
        name,
        doc,
        later: None,
    }
}

/// A word that does not run yet.
pub(crate) const fn later_word(
    name: &'static str,
    doc: &'static str,
    instead: &'static str,
) -> Word {
    Word {
        name,
        doc,
        later: Some(instead),
    }
}

impl Object {
    /// The key of this name, or with this alias.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.has_name(name))
    }

    /// The keys of which there is exactly one.
    pub fn choices(&self) -> Vec<&'static str> {
        match self.one_of {
            OneOf::None => Vec::new(),
            OneOf::Of(names) => names.to_vec(),
            OneOf::All => self.known(),
        }
    }

    /// The names of keys that run.
    pub(crate) fn known(&self) -> Vec<&'static str> {
        let run = self.keys.iter().filter(|key| key.later.is_none());
        run.map(|key| key.name).collect()
    }
}

/// All maps of the format with keys that are known, each once, the outer before the inner.
pub fn objects(visit: &mut impl FnMut(&'static Object)) {
    let mut seen = Vec::new();
    objects_of(&Shape::Object(&PIPELINE), &mut seen);
    seen.into_iter().for_each(visit);
}

fn objects_of(shape: &Shape, seen: &mut Vec<&'static Object>) {
    match shape {
        Shape::Object(object) => {
            if seen.iter().any(|known| std::ptr::eq(*known, *object)) {
                return;
            }
            seen.push(object);
            object
                .keys
                .iter()
                .for_each(|key| objects_of(&key.shape, seen));
        }
        Shape::List(of) | Shape::Rows(of) | Shape::OneOrMany(of) => objects_of(of, seen),
        Shape::Named(_, of) | Shape::Row(_, of) => objects_of(of, seen),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| objects_of(shape, seen)),
        Shape::Text(_)
        | Shape::Sql
        | Shape::Words(_)
        | Shape::Whole(..)
        | Shape::Flag
        | Shape::Literal
        | Shape::Any => {}
    }
}

impl Shape {
    /// What is wanted, for people.
    pub(crate) fn wanted(&self) -> String {
        match self {
            Self::Text(rule) => rule.what.to_owned(),
            Self::Sql => "SQL, or !file and the name of a file".to_owned(),
            Self::Words(words) => {
                let run = words.iter().filter(|word| word.later.is_none());
                let names: Vec<_> = run.map(|word| word.name).collect();
                match names.as_slice() {
                    [only] => format!("the word {only}"),
                    names => format!("one of the words {}", names.join(", ")),
                }
            }
            Self::Whole(least, most) if least == most => format!("the number {least}"),
            Self::Whole(least, most) => format!("a whole number {}", Bounds(*least, *most)),
            Self::Flag => "true or false".to_owned(),
            Self::Literal => "a number, a text, true or false".to_owned(),
            Self::Any => "anything".to_owned(),
            Self::List(of) | Self::Rows(of) => format!("a list, each {}", of.wanted_in_short()),
            Self::OneOrMany(of) => format!("{} or a list", of.wanted_in_short()),
            Self::Object(object) => {
                let known = object.known();
                let shown = known.iter().take(4).copied().collect::<Vec<_>>().join(", ");
                let more = if known.len() > 4 { ", …" } else { "" };
                format!("{} ({{ {shown}{more} }})", object.what)
            }
            Self::Named(rule, of) | Self::Row(rule, of) => {
                format!("a map from {} to {}", rule.short(), of.wanted_in_short())
            }
            Self::Either(shapes) => {
                let wanted: Vec<_> = shapes.iter().map(Self::wanted_in_short).collect();
                wanted.join(", or ")
            }
        }
    }

    fn wanted_in_short(&self) -> String {
        match self {
            Self::Text(rule) => rule.short().to_owned(),
            other => other.wanted(),
        }
    }
}
