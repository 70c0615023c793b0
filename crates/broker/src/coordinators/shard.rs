//! One partition of an internal topic: its machine while it is loaded, and what it owes.
//!
//! ```text
//! Unloaded ──► Loading ──► Serving ──► Unloaded (append or commit failed, leadership lost)
//!     any ──► Stopped (the broker stops, or the topic was deleted and made again)
//! ```
//!
//! Invariant: records are appended in the order in which the machine gave them, and the machine never takes up a request
//! while the log may lack records it has already applied. A shard is loaded only when no append of it is in flight,
//! because what a load may read is what is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::{
    EndMarker, Machine, MachineOutput, Now, Producer, ReplyToken, TransactionVersion,
};
use env::Env;
use parking_lot::Mutex;
use storage::planted::{Bug, is_planted};
use storage::{AppendContext, CoordinatorIntent, VerificationGuard};
use tokio::sync::oneshot;
use types::{Instant, PartitionIndex, TopicId};

use super::errors::CoordinatorError;
use super::in_flight::{Answer, EffectHandler, InFlight, Parked};
use super::loader::{LoadError, is_readable, load};
use super::records::{RecordFormat, encode_output};
use super::state_topic::{LedShard, StateTopic};
use super::timers::Wakeup;

/// How long a shard that failed waits before it is loaded again: a full disk must not be read over and over.
const RELOAD_DELAY: Duration = Duration::from_secs(5);

/// Where the answer to a request will come.
pub(super) type PendingReply<M> =
    oneshot::Receiver<Result<<M as Machine>::Reply, CoordinatorError>>;

/// What all shards share.
#[derive(Debug)]
pub(super) struct Surroundings<M: Machine> {
    pub(super) env: Env,
    pub(super) topic: Arc<dyn StateTopic<M::Settings>>,
    pub(super) wakeup: Wakeup,
    pub(super) effects: EffectHandler<M::Effect>,
}

impl<M: Machine> Surroundings<M> {
    pub(super) fn now(&self) -> Now {
        Now {
            instant: self.env.clock.now(),
            wall: self.env.clock.wall(),
        }
    }
}

/// One partition of an internal topic.
#[derive(Debug)]
pub(super) struct Shard<M: Machine> {
    surroundings: Arc<Surroundings<M>>,
    /// It serves no other topic of the same name.
    topic: TopicId,
    partition: PartitionIndex,
    inner: Mutex<Inner<M>>,
}

#[derive(Debug)]
struct Inner<M: Machine> {
    state: State<M>,
    in_flight: InFlight<M::Reply, M::Effect>,
    /// Counts loads, so that one that was overtaken is recognised.
    loads: u64,
}

#[derive(Debug)]
enum State<M: Machine> {
    /// Loaded by the next request or tick, but not before `retry_at`.
    Unloaded { retry_at: Option<Instant> },
    /// The log is being read.
    Loading,
    /// Requests are taken up.
    Serving(Box<Serving<M>>),
    /// For good.
    Stopped,
}

#[derive(Debug)]
struct Serving<M: Machine> {
    machine: M,
    led: LedShard<M::Settings>,
    /// Requests whose replies the machine has not given yet.
    owed: HashMap<ReplyToken, Answer<M::Reply>>,
    tokens: u64,
}

impl<M: Machine> Serving<M> {
    fn refuse_all(&mut self, error: CoordinatorError) {
        for (_, answer) in self.owed.drain() {
            // Nobody may be there any more.
            drop(answer.send(Err(error)));
        }
    }
}

impl<M: RecordFormat> Shard<M> {
    pub(super) fn new(
        surroundings: Arc<Surroundings<M>>,
        topic: TopicId,
        partition: PartitionIndex,
    ) -> Self {
        Self {
            surroundings,
            topic,
            partition,
            inner: Mutex::new(Inner {
                state: State::Unloaded { retry_at: None },
                in_flight: InFlight::default(),
                loads: 0,
            }),
        }
    }

    /// Where the shard stands, for who watches the broker; `see` is shown its machine if it serves.
    pub(super) fn look(&self, see: &mut dyn FnMut(&M)) -> &'static str {
        match &self.inner.lock().state {
            State::Unloaded { .. } => "unloaded",
            State::Loading => "loading",
            State::Serving(serving) => {
                see(&serving.machine);
                "serving"
            }
            State::Stopped => "stopped",
        }
    }

    /// Takes up a request; its effects are made when this returns, its answer comes when they are durable.
    pub(super) fn call(
        self: &Arc<Self>,
        request: M::Request,
    ) -> Result<PendingReply<M>, CoordinatorError> {
        self.call_for(request, None)
    }

    /// As [`Self::call`], for a request that appends what belongs to a producer's transaction: if the log would refuse
    /// that, the request is not taken up, because a machine that is ahead of its log has to be loaded again.
    pub(super) fn call_for(
        self: &Arc<Self>,
        request: M::Request,
        transaction: Option<TransactionPart>,
    ) -> Result<PendingReply<M>, CoordinatorError> {
        let now = self.surroundings.now();
        let mut inner = self.inner.lock();
        self.ensure_serving(&mut inner, now)?;
        let State::Serving(serving) = &mut inner.state else {
            return Err(CoordinatorError::NotAvailable);
        };
        if let Some(transaction) = &transaction {
            transaction.check(&serving.led).map_err(|error| {
                tracing::debug!(%error, partition = %self.partition, "refused part of a transaction");
                CoordinatorError::from(&error)
            })?;
        }
        serving.tokens += 1;
        let token = ReplyToken(serving.tokens);
        let (answer, reply) = oneshot::channel();
        serving.owed.insert(token, answer);
        let output = serving.machine.handle(now, token, request);
        self.publish_for(&mut inner, now, output, transaction);
        Ok(reply)
    }

    /// Does what is due, loading included; says when there is something to do again.
    pub(super) fn tick(self: &Arc<Self>, now: Now) -> Option<Instant> {
        let mut inner = self.inner.lock();
        // A shard that cannot serve now has said so to whoever asked; here only the attempt counts.
        let _serves = self.ensure_serving(&mut inner, now).is_ok();
        if let State::Serving(serving) = &mut inner.state
            && serving
                .machine
                .next_deadline()
                .is_some_and(|deadline| deadline <= now.instant)
        {
            let output = serving.machine.tick(now);
            self.publish(&mut inner, now, output);
        }
        match &inner.state {
            // What is in flight ends first, and says so then: looking again at once would only turn in a circle.
            State::Unloaded { .. } if !inner.in_flight.is_empty() => None,
            State::Unloaded { retry_at } => *retry_at,
            State::Serving(serving) => serving.machine.next_deadline(),
            State::Loading | State::Stopped => None,
        }
    }

    /// Tells the machine what the cluster is set to now, and forgets it if its topic was deleted. One that is not loaded
    /// learns it when it is.
    pub(super) fn configure(self: &Arc<Self>) {
        let now = self.surroundings.now();
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Serving(_)) && self.ensure_serving(&mut inner, now).is_err()
        {
            return;
        }
        if let State::Serving(serving) = &mut inner.state {
            let settings = self.surroundings.topic.settings(&serving.led);
            let output = serving.machine.configure(now, settings);
            self.publish(&mut inner, now, output);
        }
    }

    /// Ends the shard. What is in flight is still answered when it is durable; whoever waits for other members is not.
    pub(super) fn stop(&self) {
        let mut inner = self.inner.lock();
        let state = std::mem::replace(&mut inner.state, State::Stopped);
        if let State::Serving(mut serving) = state {
            serving.refuse_all(CoordinatorError::NotCoordinator);
        }
    }

    fn ensure_serving(
        self: &Arc<Self>,
        inner: &mut Inner<M>,
        now: Now,
    ) -> Result<(), CoordinatorError> {
        match &inner.state {
            State::Serving(serving) => {
                if self.surroundings.topic.leads(self.partition, &serving.led) {
                    return Ok(());
                }
                self.unload(inner, CoordinatorError::NotCoordinator, None);
                Err(CoordinatorError::NotCoordinator)
            }
            State::Loading => Err(CoordinatorError::LoadInProgress),
            State::Stopped => Err(CoordinatorError::NotAvailable),
            State::Unloaded { retry_at } => {
                if retry_at.is_some_and(|retry_at| now.instant < retry_at) {
                    return Err(CoordinatorError::NotAvailable);
                }
                if !inner.in_flight.is_empty() {
                    return Err(CoordinatorError::LoadInProgress);
                }
                self.begin_load(inner, now)
            }
        }
    }

    /// Loads: at once if there is nothing to read, else in the background.
    fn begin_load(
        self: &Arc<Self>,
        inner: &mut Inner<M>,
        now: Now,
    ) -> Result<(), CoordinatorError> {
        let led = match self.surroundings.topic.lead(self.partition) {
            Ok(led) if led.topic == self.topic => led,
            // Made again since; the shards of that one are others.
            Ok(_) => return Err(CoordinatorError::NotCoordinator),
            Err(error) => {
                // Leadership may come any time and costs nothing to ask for; anything else waits.
                let delay = (error != CoordinatorError::NotCoordinator).then_some(RELOAD_DELAY);
                let retry_at = delay.map(|delay| now.instant.plus(delay));
                inner.state = State::Unloaded { retry_at };
                return Err(error);
            }
        };
        inner.loads += 1;
        let offsets = led.log.offsets();
        if offsets.log_start == offsets.log_end && is_readable(&*led.log).is_ok() {
            let machine = M::new(led.settings.clone());
            self.begin_serving(inner, now, machine, led);
            return Ok(());
        }
        inner.state = State::Loading;
        let (shard, number) = (Arc::clone(self), inner.loads);
        self.surroundings
            .env
            .spawner
            .spawn(Box::pin(async move { shard.load(number, led).await }));
        Err(CoordinatorError::LoadInProgress)
    }

    /// Reads the log away from the tasks, because it may wait for the disk.
    async fn load(self: Arc<Self>, number: u64, led: LedShard<M::Settings>) {
        let started = self.surroundings.now();
        let (sender, receiver) = oneshot::channel();
        let (log, settings) = (Arc::clone(&led.log), led.settings.clone());
        let work = move || drop(sender.send(load::<M>(&*log, settings, started)));
        self.surroundings
            .env
            .spawner
            .run_blocking(Box::new(work))
            .await;
        let loaded = receiver.await.ok();

        let now = self.surroundings.now();
        let mut inner = self.inner.lock();
        if inner.loads != number || !matches!(inner.state, State::Loading) {
            return;
        }
        match loaded {
            Some(Ok(machine)) => {
                tracing::info!(
                    partition = %self.partition,
                    elapsed = ?now.instant.since(started.instant),
                    kept = M::KEPT,
                    "loaded"
                );
                self.begin_serving(&mut inner, now, machine, led);
            }
            Some(Err(error)) => self.load_failed(&mut inner, now, Some(&error)),
            None => self.load_failed(&mut inner, now, None),
        }
    }

    fn load_failed(
        &self,
        inner: &mut Inner<M>,
        now: Now,
        error: Option<&LoadError<M::ReplayError>>,
    ) {
        match error {
            Some(error) => tracing::error!(
                partition = %self.partition,
                error = error as &dyn std::error::Error,
                kept = M::KEPT,
                "could not load"
            ),
            None => {
                tracing::error!(partition = %self.partition, kept = M::KEPT, "loading panicked")
            }
        }
        let retry_at = now.instant.plus(RELOAD_DELAY);
        inner.state = State::Unloaded {
            retry_at: Some(retry_at),
        };
        self.surroundings.wakeup.wake_at(retry_at);
    }

    fn begin_serving(
        self: &Arc<Self>,
        inner: &mut Inner<M>,
        now: Now,
        mut machine: M,
        led: LedShard<M::Settings>,
    ) {
        // What has changed while it was loaded.
        let settings = self.surroundings.topic.settings(&led);
        let configured = machine.configure(now, settings);
        let started = machine.start(now);
        inner.state = State::Serving(Box::new(Serving {
            machine,
            led,
            owed: HashMap::new(),
            tokens: 0,
        }));
        self.publish(inner, now, configured);
        self.publish(inner, now, started);
    }

    fn publish(self: &Arc<Self>, inner: &mut Inner<M>, now: Now, output: MachineOutput<M>) {
        self.publish_for(inner, now, output, None);
    }

    /// Appends what the machine wrote and parks its replies behind it.
    fn publish_for(
        self: &Arc<Self>,
        inner: &mut Inner<M>,
        now: Now,
        output: MachineOutput<M>,
        transaction: Option<TransactionPart>,
    ) {
        let State::Serving(serving) = &mut inner.state else {
            return;
        };
        if let Some(deadline) = serving.machine.next_deadline() {
            self.surroundings.wakeup.wake_at(deadline);
        }
        let appended = append(serving, now, &output, transaction.as_ref());
        let replies = output.replies.into_iter();
        let parked = Parked {
            replies: replies
                .filter_map(|(token, reply)| Some((serving.owed.remove(&token)?, reply)))
                .collect(),
            effects: output.effects,
        };
        let effects = &self.surroundings.effects;
        match appended {
            // Of what may wait nobody hears that it is durable: replies wait for what came before it.
            Ok(None) => inner.in_flight.release_behind(parked, effects),
            Ok(Some(commit)) => {
                let parked = if is_planted(Bug::AnswerBeforeCommit) {
                    parked.release(Ok(()), effects);
                    Parked::default()
                } else {
                    parked
                };
                if inner.in_flight.push(commit, parked) {
                    let shard = Arc::clone(self);
                    let watch = Box::pin(async move { shard.watch_commits().await });
                    self.surroundings.env.spawner.spawn(watch);
                }
            }
            Err(error) => {
                parked.release(Err(error), effects);
                let retry_at = now.instant.plus(RELOAD_DELAY);
                self.unload(inner, error, Some(retry_at));
            }
        }
    }

    /// Waits for the appends in flight, one after the other, and sends what was parked behind them.
    async fn watch_commits(self: Arc<Self>) {
        while let Some(commit) = { self.inner.lock().in_flight.watch_oldest() } {
            let outcome = commit.0.await;
            let mut inner = self.inner.lock();
            let parked = inner.in_flight.take_oldest();
            let outcome = outcome.map_err(|error| {
                tracing::error!(
                    partition = %self.partition,
                    error = &error as &dyn std::error::Error,
                    "the coordinator's records did not become durable"
                );
                CoordinatorError::NotCoordinator
            });
            if let Err(error) = outcome {
                let retry_at = self.surroundings.env.clock.now().plus(RELOAD_DELAY);
                self.unload(&mut inner, error, Some(retry_at));
            }
            drop(inner);
            parked.release(outcome, &self.surroundings.effects);
        }
        if matches!(self.inner.lock().state, State::Unloaded { .. }) {
            // Now it can be loaded again.
            let now = self.surroundings.env.clock.now();
            self.surroundings.wakeup.wake_at(now);
        }
    }

    /// Forgets the machine: it is ahead of the log, or somebody else leads. Whoever waits is told `error`.
    fn unload(&self, inner: &mut Inner<M>, error: CoordinatorError, retry_at: Option<Instant>) {
        let State::Serving(serving) = &mut inner.state else {
            return;
        };
        serving.refuse_all(error);
        inner.state = State::Unloaded { retry_at };
        if let Some(retry_at) = retry_at {
            self.surroundings.wakeup.wake_at(retry_at);
        }
    }
}

/// What a request appends to a producer's transaction, and what entitles it to.
#[derive(Clone, Copy, Debug)]
pub(super) enum TransactionPart {
    /// Records of the transaction.
    Records {
        producer: Producer,
        /// What [`storage::PartitionLog::begin_verification`] gave before the transaction coordinator agreed.
        guard: Option<VerificationGuard>,
    },
    /// Its end.
    Marker(EndMarker),
}

impl TransactionPart {
    fn guard(&self) -> Option<VerificationGuard> {
        match self {
            Self::Records { guard, .. } => *guard,
            Self::Marker(_) => None,
        }
    }

    /// What the log would say.
    fn check<S>(&self, led: &LedShard<S>) -> Result<(), storage::AppendError> {
        let context = AppendContext::coordinator(led.epoch).with_guard(self.guard());
        let (intent, context) = match self {
            Self::Records { producer, .. } => {
                let intent = CoordinatorIntent::Records {
                    producer: producer.id,
                    epoch: producer.epoch.value(),
                };
                (intent, context)
            }
            Self::Marker(marker) => {
                let intent = CoordinatorIntent::Marker {
                    producer: marker.producer.id,
                    epoch: marker.producer.epoch.value(),
                    coordinator_epoch: marker.coordinator_epoch,
                };
                let version = marker_version(std::slice::from_ref(marker));
                (intent, context.with_transaction_version(version))
            }
        };
        led.log.check_coordinator(intent, &context)
    }
}

/// By which rules the log judges markers.
fn marker_version(markers: &[EndMarker]) -> storage::TransactionVersion {
    match markers.iter().map(|marker| marker.version).max() {
        Some(TransactionVersion::V2) => storage::TransactionVersion::V2,
        Some(TransactionVersion::V0 | TransactionVersion::V1) | None => {
            storage::TransactionVersion::V1
        }
    }
}

/// Appends what a call wrote to the shard's log; `None` if that is nothing that anybody waits for.
fn append<M: RecordFormat>(
    serving: &mut Serving<M>,
    now: Now,
    output: &MachineOutput<M>,
    transaction: Option<&TransactionPart>,
) -> Result<Option<storage::BoxedCommit>, CoordinatorError> {
    if output.appends_nothing() {
        return Ok(None);
    }
    let batch_bytes_max = serving.led.batch_bytes_max;
    let batches = encode_output::<M>(output, now.wall, batch_bytes_max).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not encode the coordinator's records"
        );
        CoordinatorError::Refused
    })?;
    let context = AppendContext::coordinator(serving.led.epoch)
        .with_guard(transaction.and_then(TransactionPart::guard))
        .with_transaction_version(marker_version(&output.markers))
        .with_may_wait(output.may_wait);
    match serving.led.log.append(batches, context) {
        Ok(ticket) => {
            serving.machine.appended(ticket.outcome.base_offset);
            Ok((!output.may_wait).then_some(ticket.commit))
        }
        Err(error) => {
            let told = CoordinatorError::from(&error);
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not append the coordinator's records"
            );
            Err(told)
        }
    }
}
