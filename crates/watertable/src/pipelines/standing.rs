//! [`Standing`]: how the pipelines of the cluster stand, wherever they run; SQL and metrics ask it.
//!
//! Invariant: what is known is kept up, not read anew for each who asks; after an error it is read from the beginning.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker::Broker;
use client::Cluster;
use pipeline::control::{DeadLetterTopic, FollowError, Follower, Lag};
use tokio::sync::Mutex;

use crate::own_broker;

/// How pipelines stand; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    cluster: Cluster,
    /// Nothing before the first question, and after an error.
    follower: Arc<Mutex<Option<Follower>>>,
}

impl Standing {
    /// Of the pipelines that the topics of a broker tell of; nothing is read before somebody asks.
    pub(crate) fn new(broker: &Broker) -> Self {
        Self {
            cluster: own_broker::cluster(broker.address(), "watertable-standing"),
            follower: Arc::default(),
        }
    }

    /// The topics of dead letters of all that is applied.
    pub(crate) async fn dead_letters(&self) -> Result<BTreeSet<DeadLetterTopic>, FollowError> {
        let mut kept = self.follower.lock().await;
        let follower = self.caught_up(kept.take()).await?;
        let topics = follower.dead_letters();
        *kept = Some(follower);
        Ok(topics)
    }

    /// How far all that is applied is behind.
    pub(crate) async fn lag(&self) -> Result<Vec<Lag>, FollowError> {
        let mut kept = self.follower.lock().await;
        let follower = self.caught_up(kept.take()).await?;
        let lag = follower.lag().await;
        *kept = Some(follower);
        lag
    }

    async fn caught_up(&self, known: Option<Follower>) -> Result<Follower, FollowError> {
        let Some(mut follower) = known else {
            return Follower::open(&self.cluster).await;
        };
        follower.catch_up().await?;
        Ok(follower)
    }
}
