//! The runtime against a log whose appends, commits and reads the test decides about.

mod fakes;
mod life;
mod on_disk;
mod requests;
