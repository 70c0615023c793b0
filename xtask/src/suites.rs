//! Conformance suites that others wrote: each runs against Apache Kafka first and then against Watertable, with the same
//! settings, and its results are kept as data in `clients/suites`. What passes against Kafka must pass against us.

pub(crate) mod exactly_once;
pub(crate) mod java;
pub(crate) mod kafka_home;
pub(crate) mod librdkafka;
mod results;
