//! Altering settings and describing them.
