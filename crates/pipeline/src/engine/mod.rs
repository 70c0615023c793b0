//! The query of a pipeline with its checks, compiled once and run over batches.
