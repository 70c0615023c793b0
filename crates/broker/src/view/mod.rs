//! [`View`]: what the broker has, for those in the same process who look and do not touch.
//!
//! Invariant: nothing is changed through it, and no wire type is in it.

mod topics;

use std::sync::Arc;

pub use self::topics::{TopicLog, TopicView, ViewError};
use crate::topics::Topics;

/// A broker to look at; cheap to clone, and never holds its stop up.
#[derive(Clone, Debug)]
pub struct View {
    topics: Arc<Topics>,
}

impl View {
    pub(crate) fn new(topics: Arc<Topics>) -> Self {
        Self { topics }
    }
}
