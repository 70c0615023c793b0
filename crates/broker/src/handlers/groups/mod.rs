//! Handlers of the APIs about groups.
