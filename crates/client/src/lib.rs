//! A small Kafka client: produce, consume, groups, administration. For the command line, pipelines and tests.
