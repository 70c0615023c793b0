//! The tests of pipeline files, run without a broker.
