//! What a transition may use besides the group it changes.

use std::time::Duration;

use super::modern::topics::KnownTopics;
use super::record::GroupRecord;
use super::request::{GroupReply, Output, ReplyToken};
use super::settings::GroupSettings;
use super::time::Now;
use super::timers::{TimerAction, TimerKey, Timers};

/// The time, the settings and the topics to decide by, and where records, replies and deadlines go.
#[derive(Debug)]
pub(crate) struct Transition<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a GroupSettings,
    pub(crate) topics: &'a KnownTopics,
    pub(crate) timers: &'a mut Timers,
    pub(crate) output: &'a mut Output,
}

impl Transition<'_> {
    pub(crate) fn reply(&mut self, token: ReplyToken, reply: GroupReply) {
        self.output.replies.push((token, reply));
    }

    pub(crate) fn record(&mut self, record: GroupRecord) {
        self.output.records.push(record);
    }

    pub(crate) fn schedule(&mut self, after: Duration, action: TimerAction) {
        self.timers.schedule(self.now.instant.plus(after), action);
    }

    pub(crate) fn cancel(&mut self, key: &TimerKey) {
        self.timers.cancel(key);
    }
}
