//! Streams groups (KIP-1071): groups of Kafka Streams clients whose tasks the broker assigns.
//!
//! After `org.apache.kafka.coordinator.group.streams` and `GroupMetadataManager.java`. The first member brings the
//! topology; the group finds out which internal topics it needs, assigns active and standby tasks, and brings every
//! member step by step to its assignment, so that no active task runs in two processes.
//!
//! | File | What |
//! |---|---|
//! | `request`, `heartbeat`, `answer` | what a member says, what follows, and what it hears |
//! | `commit` | which offsets it takes |
//! | `expire` | what follows when it says nothing |
//! | `endpoints`, `describe` | what others learn of a group |
//! | `record` | what a group writes |
//! | `settings` | what it obeys |
//! | `topology`, `group_topology` | subtopologies as members declare them, and as their group has them |
//! | `topics/` | partition counts of internal topics, and what is missing |
//! | `tasks` | sets of tasks |
//! | `assignor/` | who should run which task |
//! | `target` | the target assignment of the group |
//! | `reconcile` | one step of a member towards its target |
//! | `member`, `state` | what a group remembers |

pub(crate) mod answer;
pub(crate) mod assignor;
pub(crate) mod commit;
pub(crate) mod describe;
pub(crate) mod endpoints;
pub(crate) mod expire;
pub(crate) mod group_topology;
pub(crate) mod heartbeat;
pub(crate) mod member;
pub(crate) mod reconcile;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod target;
pub(crate) mod tasks;
pub(crate) mod topics;
pub(crate) mod topology;
