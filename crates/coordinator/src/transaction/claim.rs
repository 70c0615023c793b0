//! Who a client says it is, before anybody has looked whether that is so.

use types::{ProducerEpoch, ProducerId};

use crate::machine::Producer;

/// A producer id and an epoch as a request names them. What no producer can have is `None`: it is as wrong as any other
/// that is not the producer's own, and the state of the transaction decides what is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedProducer {
    /// Who.
    pub id: Option<ProducerId>,
    /// In which of its sessions.
    pub epoch: Option<ProducerEpoch>,
}

impl ClaimedProducer {
    /// As the wire carries it.
    pub fn from_wire(id: i64, epoch: i16) -> Self {
        Self {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(epoch),
        }
    }
}

impl From<Producer> for ClaimedProducer {
    fn from(producer: Producer) -> Self {
        Self {
            id: Some(producer.id),
            epoch: Some(producer.epoch),
        }
    }
}
