//! Versions, plans and deployments of pipelines.
