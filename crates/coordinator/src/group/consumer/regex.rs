//! Topics subscribed by pattern: which names match, and when to look again.
//!
//! Patterns are RE2's; they are matched against whole names, in time linear in the name, by an engine of bounded size.
//! What was found is written to the log, so that a restart assigns nothing anew. After `maybeUpdateRegularExpressions`,
//! `refreshRegularExpressions` and `handleRegularExpressionsResult` in Kafka's `GroupMetadataManager.java`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use types::{Timestamp, TopicName};

use super::record::{ConsumerRecord, ResolvedRegex};
use super::state::ConsumerGroup;
use super::update::Scope;
use crate::group::modern::topics::TopicsImage;
use crate::group::timers::{TimerAction, TimerKey};

/// The most bytes a compiled pattern may take. A pattern beyond it is invalid.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;
/// The least time between two looks for the topics of a group's patterns (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern is not a valid regular expression: {reason}")]
pub struct InvalidRegex {
    /// What the engine has against it.
    pub reason: Arc<str>,
}

/// Checks a pattern.
pub(crate) fn validate(pattern: &str) -> Result<(), InvalidRegex> {
    compile(pattern).map(drop)
}

/// A pattern that matches whole names.
fn compile(pattern: &str) -> Result<Regex, InvalidRegex> {
    let pattern = unquoted(pattern);
    // By itself first: within the brackets that anchor it, an unbalanced pattern could become balanced.
    build(&pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

fn build(pattern: &str) -> Result<Regex, InvalidRegex> {
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| InvalidRegex {
            reason: error.to_string().into(),
        })
}

/// RE2 quotes with `\Q…\E`, which the engine does not know: the quoted text is escaped character by character.
fn unquoted(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        if let Some(quoted) = escape.strip_prefix(r"\Q") {
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            text.push_str(&regex::escape(literal));
            rest = after;
        } else {
            // The escape and what it escapes, so that `\\Q` is no quote.
            let end = escape
                .char_indices()
                .nth(2)
                .map_or(escape.len(), |(end, _)| end);
            let (escape, after) = escape.split_at(end);
            text.push_str(escape);
            rest = after;
        }
    }
    text.push_str(rest);
    text
}

/// The topics that match each pattern. A pattern that cannot be compiled, as one written by another engine, matches none.
fn matching_topics(
    patterns: impl Iterator<Item = Arc<str>>,
    topics: &TopicsImage,
) -> BTreeMap<Arc<str>, BTreeSet<TopicName>> {
    let matching = |pattern: Arc<str>| {
        let matching = match compile(&pattern) {
            Ok(regex) => topics
                .topics()
                .map(|topic| &topic.name)
                .filter(|name| regex.is_match(name.as_str()))
                .cloned()
                .collect(),
            Err(InvalidRegex { .. }) => BTreeSet::new(),
        };
        (pattern, matching)
    };
    patterns.map(matching).collect()
}

/// Has the patterns looked at again if it is time, or if `required`.
pub(super) fn schedule_refresh(scope: &mut Scope<'_, '_>, required: bool) {
    let group = &*scope.group;
    if group.regexes().len() == 0 {
        return;
    }
    let key = TimerKey::Regexes(group.id().clone());
    if scope.transition.timers.is_scheduled(&key) {
        return;
    }
    let now = scope.transition.now.wall;
    let last = group
        .resolved_regexes()
        .next()
        .map(|(_, resolved)| resolved);
    let refreshed = last.map(|resolved| resolved.timestamp);
    if !has_passed(refreshed, now, REFRESH_INTERVAL_MIN) {
        return;
    }
    let settings = &scope.transition.settings.consumer;
    let version = last.map_or(0, |resolved| resolved.version);
    let due = required
        || !group.are_regexes_resolved()
        || scope.transition.topics.has_new_topics_since(version)
        || has_passed(refreshed, now, settings.regex_refresh_interval);
    if due {
        let group = group.id().clone();
        scope
            .transition
            .schedule(Duration::ZERO, TimerAction::ResolveRegexes { group });
    }
}

/// Whether more than `interval` lies between; yes if it never was.
fn has_passed(since: Option<Timestamp>, now: Timestamp, interval: Duration) -> bool {
    since.is_none_or(|since| {
        let passed_ms = i128::from(now.ms()) - i128::from(since.ms());
        passed_ms > i128::try_from(interval.as_millis()).unwrap_or(i128::MAX)
    })
}

/// Looks for the topics of every pattern, and begins a new epoch if they have changed.
pub(crate) fn resolve(scope: &mut Scope<'_, '_>) {
    let image = Arc::clone(scope.transition.topics.image());
    let patterns: Vec<Arc<str>> = scope.group.regexes().cloned().collect();
    let mut changed = false;
    for (regex, topics) in matching_topics(patterns.into_iter(), &image) {
        let before = scope.group.resolved(&regex);
        changed |= match before {
            Some(before) => before.topics != topics,
            None => !topics.is_empty(),
        };
        let value = Some(ResolvedRegex {
            topics,
            version: image.revision(),
            timestamp: scope.transition.now.wall,
        });
        scope.record(ConsumerRecord::RegularExpression { regex, value });
    }
    let hash = scope.group.compute_metadata_hash(&image);
    if changed || hash != scope.group.metadata_hash() {
        scope.begin_epoch(hash);
        scope.keep_metadata_fresh();
    }
}

/// Forgets the topics of a pattern nobody is subscribed to any more.
pub(super) fn forget_unused(scope: &mut Scope<'_, '_>) {
    let unused = |group: &ConsumerGroup| -> Vec<Arc<str>> {
        let regexes = group.resolved_regexes().map(|(regex, _)| regex);
        regexes
            .filter(|regex| group.subscribers_of(regex) == 0)
            .cloned()
            .collect()
    };
    for regex in unused(scope.group) {
        scope.record(ConsumerRecord::RegularExpression { regex, value: None });
    }
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
            (r"a\\Qb", r"a\Qb", true),
            (r"\d+", "123", true),
            ("(?i)FOO", "foo", true),
        ] {
            let regex = compile(pattern).expect(pattern);
            assert_eq!(regex.is_match(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn broken_and_boundless_patterns_are_refused() {
        for pattern in [
            "(",
            "a)",
            ")(",
            "[a",
            "*",
            r"(?=a)",
            r"(a)\1",
            "(a{1000}){1000}",
        ] {
            assert!(validate(pattern).is_err(), "{pattern}");
        }
    }
}
