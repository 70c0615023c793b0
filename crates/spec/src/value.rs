//! [`Value`]: what a parameter, a check or a row of a test has in it, and what a file is written from.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::tree::{Node, Tree};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or an exponent; finite.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map in its order, with no key twice.
    Map(Vec<(String, Value)>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// What stands in a tree; `None` if any of it was told as a problem.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        Some(match &node.tree {
            Tree::Broken => return None,
            Tree::Null => Self::Null,
            Tree::Boolean(value) => Self::Boolean(*value),
            Tree::Integer(value) => Self::Integer(*value),
            Tree::Number(value) => Self::Number(*value),
            Tree::Text(text) => Self::Text(text.clone()),
            Tree::List(items) => Self::List(items.iter().map(Self::of).collect::<Option<_>>()?),
            Tree::Map(entries) => {
                let member =
                    |entry: &crate::tree::Entry| Some((entry.key.clone(), Self::of(&entry.value)?));
                Self::Map(entries.iter().map(member).collect::<Option<_>>()?)
            }
        })
    }

    /// One of them, or a list.
    pub(crate) fn one_or_many(texts: &[String]) -> Self {
        match texts {
            [one] => Self::text(one),
            many => Self::List(many.iter().map(Self::text).collect()),
        }
    }
}

/// As JSON, keys in their order.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// A map that is written: what is the default, or not there, is left out.
#[derive(Debug, Default)]
pub(crate) struct Written(Vec<(String, Value)>);

impl Written {
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.0.push((key.to_owned(), value));
        self
    }

    pub(crate) fn maybe(self, key: &str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Text, unless it is the default.
    pub(crate) fn unless(self, key: &str, value: impl ToString, default: impl ToString) -> Self {
        let (value, default) = (value.to_string(), default.to_string());
        if value == default {
            return self;
        }
        self.with(key, Value::Text(value))
    }

    /// A number, unless it is the default.
    pub(crate) fn number_unless(self, key: &str, value: u64, default: u64) -> Self {
        if value == default {
            return self;
        }
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.with(key, Value::Integer(value))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn done(self) -> Value {
        Value::Map(self.0)
    }
}
