//! The patterns members subscribe with: what is one, and which topics match.
//!
//! Patterns are RE2's (RE2J in Kafka), matched against whole names. Invariant: a pattern is compiled and matched outside
//! of the shard, in memory that is bounded by its length; matching takes time linear in the name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use types::{GroupId, TopicName};

use crate::group::modern::topics::TopicsImage;

/// The longest pattern. Kafka has no such bound; hundreds of names, one after the other, are still below it. To compile it
/// takes up to 4 MiB and 10 ms.
const PATTERN_BYTES_MAX: usize = 8 * 1024;
/// The longest pattern with classes of Unicode, as `\pL`: a few letters, which stand for hundreds of ranges.
const UNICODE_PATTERN_BYTES_MAX: usize = 64;
/// What a compiled pattern may take: so much in any case, for counted repetitions as long as a name ...
const COMPILED_BYTES_MIN: usize = 128 * 1024;
/// ... or so much per byte of the pattern: twice what letters need, each of which is a state of its own.
const COMPILED_BYTES_PER_BYTE: usize = 64;
/// The longest name of a class as in `[[:xdigit:]]`, with its colons.
const CLASS_NAME_BYTES_MAX: usize = 10;
/// What matching may keep between two names.
const CACHE_BYTES_MAX: usize = 1024 * 1024;

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern is not a valid regular expression: {reason}")]
pub struct InvalidRegex {
    /// What the engine has against it.
    pub reason: Arc<str>,
}

impl InvalidRegex {
    fn because(reason: &str) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// SubscribedTopicRegex of a request, looked at before the request reaches its shard.
#[derive(Clone, Debug)]
pub struct SubscribedRegex {
    text: Arc<str>,
    validity: Result<(), InvalidRegex>,
}

impl SubscribedRegex {
    /// Looks at a pattern; the empty one stands for none and is valid.
    pub fn new(text: &str) -> Self {
        let validity = match text {
            "" => Ok(()),
            pattern => compile(pattern).map(drop),
        };
        Self {
            text: text.into(),
            validity,
        }
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub(crate) fn is_none(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), InvalidRegex> {
        self.validity.clone()
    }
}

/// What a group wants looked for: the topics that match its patterns.
#[derive(Clone, Debug)]
pub struct TopicSearch {
    pub(crate) group: GroupId,
    pub(crate) regexes: Vec<Arc<str>>,
    pub(crate) topics: Arc<TopicsImage>,
}

/// What a [`TopicSearch`] found.
#[derive(Clone, Debug)]
pub struct FoundTopics {
    /// Who searched.
    pub group: GroupId,
    pub(crate) matching: BTreeMap<Arc<str>, BTreeSet<TopicName>>,
    /// The revision of the topics that were looked through.
    pub(crate) revision: u64,
}

impl TopicSearch {
    /// Looks through all topics, once for each pattern. A pattern that cannot be compiled, as one written by another
    /// engine, matches none.
    pub fn run(self) -> FoundTopics {
        let topics = &self.topics;
        let matching = |pattern: Arc<str>| {
            let names = topics.topics().map(|topic| &topic.name);
            let matching = match compile(&pattern) {
                Ok(regex) => names
                    .filter(|name| regex.is_match(name.as_str().as_bytes()))
                    .cloned()
                    .collect(),
                Err(InvalidRegex { .. }) => BTreeSet::new(),
            };
            (pattern, matching)
        };
        FoundTopics {
            matching: self.regexes.into_iter().map(matching).collect(),
            revision: topics.revision(),
            group: self.group,
        }
    }
}

/// A pattern that matches whole names.
fn compile(pattern: &str) -> Result<Regex, InvalidRegex> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let reason = format!("it is longer than {PATTERN_BYTES_MAX} bytes");
        return Err(InvalidRegex::because(&reason));
    }
    let translated = translate(pattern)?;
    let anchored = format!(r"\A(?:{translated})\z");
    // Names are ASCII, so what a class has beyond it only costs. RE2's own classes are ASCII too, but for `\p`.
    build(&anchored, pattern.len(), false).or_else(|error| {
        if pattern.len() <= UNICODE_PATTERN_BYTES_MAX {
            build(&anchored, pattern.len(), true)
        } else {
            Err(error)
        }
    })
}

fn build(pattern: &str, length: usize, unicode: bool) -> Result<Regex, InvalidRegex> {
    RegexBuilder::new(pattern)
        .unicode(unicode)
        .size_limit(COMPILED_BYTES_MIN.max(COMPILED_BYTES_PER_BYTE * length))
        .dfa_size_limit(CACHE_BYTES_MAX)
        .build()
        .map_err(|error| InvalidRegex::because(&error.to_string()))
}

/// Writes what RE2 understands otherwise in the engine's way: the quotes `\Q…\E`, and within brackets the characters that
/// are letters like any other to RE2. Refuses what the brackets of [`compile`] would complete.
fn translate(pattern: &str) -> Result<String, InvalidRegex> {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut depth = 0_usize;
    let mut in_class = false;
    while let Some(letter) = rest.chars().next() {
        let length = letter.len_utf8();
        let taken = match letter {
            '\\' if !in_class && rest.starts_with(r"\Q") => {
                let quoted = &rest[2..];
                let end = quoted.find(r"\E");
                text.push_str(&regex::escape(&quoted[..end.unwrap_or(quoted.len())]));
                rest = end.map_or("", |end| &quoted[end + 2..]);
                continue;
            }
            // With what it escapes, so that `\\Q` is no quote.
            '\\' => length + rest[length..].chars().next().map_or(0, char::len_utf8),
            '[' if in_class => match class_name(rest) {
                Some(name) => name,
                None => {
                    text.push('\\');
                    length
                }
            },
            '[' => {
                in_class = true;
                // A bracket that follows at once is one of the class.
                let start = if rest.starts_with("[^") { 2 } else { 1 };
                start + usize::from(rest[start..].starts_with(']'))
            }
            ']' => {
                in_class = false;
                length
            }
            '&' | '~' if in_class => {
                text.push('\\');
                length
            }
            '(' if !in_class => {
                depth += 1;
                length
            }
            ')' if !in_class => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| InvalidRegex::because("unopened group"))?;
                length
            }
            _ => length,
        };
        let (copied, after) = rest.split_at(taken);
        text.push_str(copied);
        rest = after;
    }
    Ok(text)
}

/// How long the name of a class is that `text` begins with, as in `[:alpha:]`.
fn class_name(text: &str) -> Option<usize> {
    let name = text.strip_prefix("[:")?;
    let end = name
        .bytes()
        .take(CLASS_NAME_BYTES_MAX)
        .position(|byte| byte == b':')?;
    name[end..].starts_with(":]").then_some(end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_re2_and_match_whole_names() {
        for (pattern, name, matches) in [
            ("foo", "foo", true),
            ("foo", "foobar", false),
            ("foo|foobar", "foobar", true),
            ("foo.*", "foobar", true),
            ("^foo.*$", "foobar", true),
            (r"\Qa.b\E.*", "a.bc", true),
            (r"\Qa.b\E.*", "axbc", false),
            (r"\Qa.b", "a.b", true),
            (r"\Q(", "(", true),
            (r"a\\Qb", r"a\Qb", true),
            (r"\d+", "123", true),
            ("(?i)FOO", "foo", true),
            ("[a[b]+", "a[b", true),
            ("[a&&b]+", "a&b", true),
            ("[]a]+", "]a", true),
            ("[^]a]+", "bc", true),
            ("[)]", ")", true),
            ("[[:alpha:]]+", "abc", true),
            (r"[\w.-]{1,249}", "a.b-c", true),
            (r"\pL+", "abc", true),
            ("[^é]+", "abc", true),
        ] {
            let regex = compile(pattern).expect(pattern);
            assert_eq!(regex.is_match(name.as_bytes()), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn broken_and_boundless_patterns_are_refused() {
        let too_long = "a".repeat(PATTERN_BYTES_MAX + 1);
        let too_much_unicode = r"\pL".repeat(UNICODE_PATTERN_BYTES_MAX);
        for pattern in [
            "(",
            "a)",
            ")(",
            "[a",
            "*",
            r"(?=a)",
            r"(a)\1",
            "\\",
            "(a{1000}){1000}",
            "(((a{100}){100}){100}){100}",
            &too_long,
            &too_much_unicode,
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        let names: Vec<_> = (0..400)
            .map(|number| format!("topic-{number:04}"))
            .collect();
        compile(&names.join("|")).expect("the names of hundreds of topics are a pattern");
    }
}
