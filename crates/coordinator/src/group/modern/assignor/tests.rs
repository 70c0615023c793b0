//! Assignments computed by hand after Kafka's algorithms.
