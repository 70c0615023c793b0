//! Identifiers and small values shared by every crate: offsets, epochs, producer ids, topic ids, timestamps.
