//! Topics subscribed by pattern: which names match, and when to look again.
//!
//! Invariant: no pattern is compiled or matched here. The shard asks for a search, which is done elsewhere, and is told what
//! was found. That is written to the log, so that a restart assigns nothing anew. After `maybeUpdateRegularExpressions`,
//! `refreshRegularExpressions` and `handleRegularExpressionsResult` in Kafka's `GroupMetadataManager.java`.

use std::sync::Arc;
use std::time::Duration;

use types::Timestamp;

use super::pattern::{FoundTopics, TopicSearch};
use super::record::{ConsumerRecord, ResolvedRegex};
use super::state::ConsumerGroup;
use super::update::Scope;
use crate::group::request::GroupEffect;

/// The least time between two looks for the topics of a group's patterns (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// After so long a search counts as lost: whoever searches was too busy to take it.
const SEARCH_LIMIT: Duration = Duration::from_secs(60);

/// Has the patterns looked at again if it is time, or if `required`.
pub(super) fn schedule_refresh(scope: &mut Scope<'_, '_>, required: bool) {
    let group = &*scope.group;
    if group.regexes().len() == 0 {
        return;
    }
    let instant = scope.transition.now.instant;
    let is_searching = group
        .searching_since()
        .is_some_and(|since| instant.since(since) < SEARCH_LIMIT);
    if is_searching {
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
        let search = TopicSearch {
            group: group.id().clone(),
            regexes: group.regexes().cloned().collect(),
            topics: Arc::clone(scope.transition.topics.image()),
        };
        scope.group.begin_search(instant);
        let effects = &mut scope.transition.output.effects;
        effects.push(GroupEffect::SearchTopics(search));
    }
}

/// Whether more than `interval` lies between; yes if it never was.
fn has_passed(since: Option<Timestamp>, now: Timestamp, interval: Duration) -> bool {
    since.is_none_or(|since| {
        let passed_ms = i128::from(now.ms()) - i128::from(since.ms());
        passed_ms > i128::try_from(interval.as_millis()).unwrap_or(i128::MAX)
    })
}

/// Takes up the topics of every pattern that somebody is still subscribed to, and begins a new epoch if they have changed.
pub(crate) fn resolve(scope: &mut Scope<'_, '_>, found: FoundTopics) {
    scope.group.end_search();
    let mut changed = false;
    for (regex, topics) in found.matching {
        if scope.group.subscribers_of(&regex) == 0 {
            continue;
        }
        let before = scope.group.resolved(&regex);
        changed |= match before {
            Some(before) => before.topics != topics,
            None => !topics.is_empty(),
        };
        let value = Some(ResolvedRegex {
            topics,
            version: found.revision,
            timestamp: scope.transition.now.wall,
        });
        scope.record(ConsumerRecord::RegularExpression { regex, value });
    }
    let image = Arc::clone(scope.transition.topics.image());
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
