//! Connections, the API table, one handler file per API, coordinator runtime, waiting fetches.
