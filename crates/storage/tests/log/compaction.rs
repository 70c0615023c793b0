//! Compaction as users of a log see it.
