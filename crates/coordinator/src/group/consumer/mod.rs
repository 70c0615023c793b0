//! Consumer groups (KIP-848): members say what they read and what they have; the coordinator decides who gets what.
//!
//! Three epochs tell how far everybody is. The *group epoch* rises whenever members or what they read change. The *target
//! assignment* has the group epoch it was computed for. Each *member epoch* follows the target's when the member has given
//! back what it shall not have any more. A partition goes to a member only when nobody else has it, so at no moment do
//! two members own one.
//!
//! Everything here changes a group through [`state::ConsumerGroup::apply`] with the very record that is written, live and
//! on loading alike.
//!
//! | File | What |
//! |---|---|
//! | `record` | what is written to the log |
//! | `member`, `state` | a member, a group |
//! | `counts` | how many members read a topic, use an assignor, ... |
//! | `heartbeat` | ConsumerGroupHeartbeat |
//! | `update` | what a member's new subscription does to its group |
//! | `reconcile` | a member's way from what it has to what it shall have |
//! | `leave` | members that go, or are removed |
//! | `pattern` | the patterns themselves, and the search for their topics |
//! | `regex` | topics subscribed by pattern |
//! | `classic_members`, `migrate` | members that speak the classic protocol; groups that change their protocol |
//! | `protocol` | the bytes of members of the classic protocol |
//! | `validate` | whether offsets may be committed and fetched |
//! | `describe` | ConsumerGroupDescribe |
//!
//! After `GroupMetadataManager.java` and `modern/consumer/*.java` of Kafka's group coordinator.

pub(crate) mod classic_members;
mod counts;
pub(crate) mod describe;
pub(crate) mod heartbeat;
pub(crate) mod leave;
pub(crate) mod member;
pub(crate) mod migrate;
pub(crate) mod pattern;
pub(crate) mod protocol;
mod reconcile;
pub(crate) mod record;
pub(crate) mod regex;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod update;
pub(crate) mod validate;
