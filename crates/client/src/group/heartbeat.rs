//! The task that keeps a member alive while its owner handles records, and tells it when the group rebalances.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::HeartbeatRequest;
use tokio::sync::watch;

use super::GroupConfig;
use super::coordinator::GroupCoordinator;
use super::membership::Identity;
use crate::cluster::{Cluster, Lane};
use crate::refusal;
use crate::runtime::OwnedTask;

/// How a member stands, by its last heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// In the group.
    Steady,
    /// In the group, which wants everybody to join again.
    Rebalance,
    /// Out of the group.
    Lost,
    /// Out, because another process has the same `group.instance.id`.
    Fenced,
}

/// Heartbeats of one generation; they end with the value.
#[derive(Debug)]
pub(super) struct Heart {
    pulse: Arc<watch::Sender<Pulse>>,
    seen: watch::Receiver<Pulse>,
    _task: OwnedTask,
}

impl Heart {
    pub(super) fn start(
        _cluster: Cluster,
        config: &GroupConfig,
        identity: Identity,
        coordinator: GroupCoordinator,
    ) -> Self {
        let (pulse, seen) = watch::channel(Pulse::Steady);
        let pulse = Arc::new(pulse);
        let told = Arc::clone(&pulse);
        let interval = config.heartbeat_interval;
        let beating = async move {
            let request = HeartbeatRequest {
                group_id: coordinator.group_id().as_ref().to_owned(),
                generation_id: identity.generation_id,
                member_id: identity.member_id,
                group_instance_id: identity.group_instance_id,
            };
            loop {
                tokio::time::sleep(interval).await;
                if let Some(change) = beat(&coordinator, &request).await {
                    told.send_replace(change);
                    if matches!(change, Pulse::Lost | Pulse::Fenced) {
                        return;
                    }
                }
            }
        };
        Self {
            pulse,
            seen,
            _task: OwnedTask::spawn(beating),
        }
    }

    pub(super) fn pulse(&self) -> Pulse {
        *self.pulse.borrow()
    }

    /// Ends when the pulse is no longer steady.
    pub(super) async fn changed(&mut self) {
        // The sender lives beside the receiver, so waiting cannot fail.
        self.seen
            .wait_for(|pulse| *pulse != Pulse::Steady)
            .await
            .ok();
    }

    /// Makes the member join again although nobody asked.
    pub(super) fn ask_for_rebalance(&self) {
        self.pulse.send_if_modified(|pulse| {
            let steady = *pulse == Pulse::Steady;
            if steady {
                *pulse = Pulse::Rebalance;
            }
            steady
        });
    }
}

/// One heartbeat; tells what changed.
async fn beat(coordinator: &GroupCoordinator, request: &HeartbeatRequest) -> Option<Pulse> {
    let answer = match coordinator.connection(Lane::Heartbeat).await {
        Ok(connection) => connection.call(request).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    let response = match answer {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, "heartbeat failed");
            coordinator.forget();
            return None;
        }
    };
    let refusal = refusal::check(response.error_code, None).err()?;
    tracing::debug!(%refusal, "heartbeat answered");
    match refusal.code() {
        Some(ErrorCode::RebalanceInProgress) => Some(Pulse::Rebalance),
        Some(ErrorCode::FencedInstanceId) => Some(Pulse::Fenced),
        _ if GroupCoordinator::is_moving(&refusal) => {
            coordinator.forget();
            None
        }
        // Illegal generation, unknown member, and whatever else a coordinator may say to strangers.
        _ => Some(Pulse::Lost),
    }
}
