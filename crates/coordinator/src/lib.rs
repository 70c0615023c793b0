//! Group state machines: a request and a time in, records and replies out. No IO, no clock.
