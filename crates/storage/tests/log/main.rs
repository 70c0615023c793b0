//! Logs and data directories as their users see them, on a disk that can fail.

mod basics;
mod support;
