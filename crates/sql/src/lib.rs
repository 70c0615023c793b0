//! Topics as tables: what a topic looks like to SQL, how its records are read, and the PostgreSQL wire protocol.

pub mod postgres;
