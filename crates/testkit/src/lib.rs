//! A real server on loopback, for tests.
