//! An object on its way to a store: whole or not at all.
//!
//! Who writes it hands over parts ([`Upload`]); a task of its own sends them ([`Task`]). What fits in one part is one request.
//! The rest is an upload of parts, which the store shows to nobody until it is completed:
//!
//! 1. the upload begins with the first part that is whole,
//! 2. parts are sent, so many at a time,
//! 3. once all of them are there the upload is completed, and only then the object is.
//!
//! Whatever ends it before that (an error, a statement that is cancelled, a client that is gone), the task stays behind to have
//! the store throw the parts away. Without leave to overwrite, the last request is one that fails if there is an object by now.
//! What a crash leaves behind is an upload that nobody completes: the store's own rule for those removes it.
//!
//! Invariant: an upload that was begun is completed or aborted, unless the process ends or the store does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datafusion::common::exec_datafusion_err;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::{Error, MultipartId, ObjectStoreExt as _, PutResult};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::task::TaskTracker;

use super::super::ExportError;
use super::super::output::Parts;
use super::failure::{StoreFailure, is_busy};
use super::{PAUSE, RETRIES, Store, Target};

/// Parts of one object that are sent at the same time. With one that waits and one that is filled they are what an export holds.
const PARTS_AT_ONCE: usize = 2;
/// Parts that are being sent when an export is given up have so long to arrive: those that the store gets after the upload was
/// aborted would stay.
const LAST_PARTS: Duration = Duration::from_secs(1);

/// What a task is told.
enum Order {
    Part(Bytes),
    /// Answers when nothing is being sent.
    Settle(oneshot::Sender<()>),
    /// The last part, if there is one.
    Finish(Bytes),
}

/// An object that is not there unless it is finished.
pub(in super::super) struct Upload {
    parts: Parts,
    orders: mpsc::Sender<Order>,
    outcome: oneshot::Receiver<Result<(), ExportError>>,
    /// Bytes that the task holds.
    handed_over: Arc<AtomicUsize>,
}

impl Upload {
    /// Begins one; its task is among `tasks`, on `threads`.
    pub(super) fn begin(
        store: Arc<Store>,
        target: Target,
        threads: &Handle,
        tasks: &TaskTracker,
    ) -> Self {
        let (orders, taken) = mpsc::channel(1);
        let (done, outcome) = oneshot::channel();
        let handed_over = Arc::default();
        let task = Task {
            store,
            target,
            threads: threads.clone(),
            beginning: None,
            id: None,
            parts: Vec::new(),
            under_way: JoinSet::new(),
            held: Arc::clone(&handed_over),
        };
        tasks.spawn_on(task.run(taken, done), threads);
        Self {
            parts: Parts::default(),
            orders,
            outcome,
            handed_over,
        }
    }

    /// Where its bytes are written to.
    pub(in super::super) fn parts(&self) -> Parts {
        self.parts.clone()
    }

    /// What was written and has not arrived.
    pub(in super::super) fn held_bytes(&self) -> usize {
        self.parts.held_bytes() + self.handed_over.load(Ordering::Relaxed)
    }

    /// Sends the parts that are whole. Waits while enough are under way.
    pub(in super::super) async fn advance(&mut self) -> Result<(), ExportError> {
        while let Some(part) = self.parts.take_whole() {
            self.hand_over(part, Order::Part).await?;
        }
        Ok(())
    }

    /// Sends the parts that are whole and waits for all of them.
    pub(in super::super) async fn settle(&mut self) -> Result<(), ExportError> {
        self.advance().await?;
        let (settled, wait) = oneshot::channel();
        self.order(Order::Settle(settled)).await?;
        match wait.await {
            Ok(()) => Ok(()),
            Err(_gone) => self.outcome().await,
        }
    }

    /// Sends the rest. The object is there when this is done.
    pub(in super::super) async fn finish(mut self) -> Result<(), ExportError> {
        self.advance().await?;
        let last = self.parts.take_last();
        self.hand_over(last, Order::Finish).await?;
        self.outcome().await
    }

    async fn hand_over(
        &mut self,
        part: Vec<u8>,
        order: impl FnOnce(Bytes) -> Order,
    ) -> Result<(), ExportError> {
        self.handed_over.fetch_add(part.len(), Ordering::Relaxed);
        self.order(order(part.into())).await
    }

    async fn order(&mut self, order: Order) -> Result<(), ExportError> {
        match self.orders.send(order).await {
            Ok(()) => Ok(()),
            Err(_ended) => self.outcome().await,
        }
    }

    /// Why the task ended.
    async fn outcome(&mut self) -> Result<(), ExportError> {
        let ended = || exec_datafusion_err!("an upload ended by itself").into();
        (&mut self.outcome)
            .await
            .unwrap_or_else(|_gone| Err(ended()))
    }
}

/// How a task ended, if not with an error.
enum End {
    Finished,
    /// Nobody wants the object any more.
    GivenUp,
}

struct Task {
    store: Arc<Store>,
    target: Target,
    threads: Handle,
    /// A task of its own, so that the id is known even if nobody waits for it any more.
    beginning: Option<JoinHandle<Result<MultipartId, Error>>>,
    id: Option<MultipartId>,
    /// By their numbers; `None` while they are under way.
    parts: Vec<Option<PartId>>,
    under_way: JoinSet<(usize, Result<PartId, Error>)>,
    held: Arc<AtomicUsize>,
}

impl Task {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut done: oneshot::Sender<Result<(), ExportError>>,
    ) {
        let ended = tokio::select! {
            biased;
            () = done.closed() => Ok(End::GivenUp),
            ended = self.follow(&mut orders) => ended,
        };
        // Whoever waits for a place in the queue looks for the outcome instead.
        drop(orders);
        let is_finished = matches!(ended, Ok(End::Finished));
        // Nobody is there to hear it if the statement has ended.
        let _heard = done.send(ended.map(|_end| ()));
        if !is_finished {
            self.give_up().await;
        }
    }

    async fn follow(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<End, ExportError> {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Part(part) => self.send(part).await?,
                Order::Settle(settled) => {
                    self.at_most(0).await?;
                    let _heard = settled.send(());
                }
                Order::Finish(last) => {
                    self.finish(last).await?;
                    return Ok(End::Finished);
                }
            }
        }
        Ok(End::GivenUp)
    }

    async fn send(&mut self, part: Bytes) -> Result<(), ExportError> {
        let id = self.id().await?;
        self.at_most(PARTS_AT_ONCE - 1).await?;
        let (store, key) = (Arc::clone(&self.store), self.target.location.key.clone());
        let (number, length) = (self.parts.len(), part.len());
        let held = Arc::clone(&self.held);
        self.parts.push(None);
        self.under_way.spawn_on(
            async move {
                let sent = store.objects.put_part(&key, &id, number, part.into());
                let sent = sent.await;
                held.fetch_sub(length, Ordering::Relaxed);
                (number, sent)
            },
            &self.threads,
        );
        Ok(())
    }

    /// The id of the upload, which begins with this if it has not.
    async fn id(&mut self) -> Result<MultipartId, ExportError> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let (store, key) = (Arc::clone(&self.store), self.target.location.key.clone());
        let threads = &self.threads;
        let begin = || threads.spawn(async move { store.objects.create_multipart(&key).await });
        let begun = self.beginning.get_or_insert_with(begin).await;
        self.beginning = None;
        let id = begun
            .map_err(|error| panicked(&error))?
            .map_err(|error| self.failed(&error))?;
        self.id = Some(id.clone());
        Ok(id)
    }

    /// Waits until no more than so many parts are under way.
    async fn at_most(&mut self, count: usize) -> Result<(), ExportError> {
        while self.under_way.len() > count {
            let Some(sent) = self.under_way.join_next().await else {
                break;
            };
            let (number, sent) = sent.map_err(|error| panicked(&error))?;
            let part = sent.map_err(|error| self.failed(&error))?;
            if let Some(slot) = self.parts.get_mut(number) {
                *slot = Some(part);
            }
        }
        Ok(())
    }

    async fn finish(&mut self, last: Bytes) -> Result<(), ExportError> {
        if self.id.is_none() {
            return self.put(last).await;
        }
        if !last.is_empty() {
            self.send(last).await?;
        }
        self.at_most(0).await?;
        self.complete().await
    }

    /// All of it in one request.
    async fn put(&self, all: Bytes) -> Result<(), ExportError> {
        let key = &self.target.location.key;
        let put = |objects: &AmazonS3| {
            let (objects, all) = (objects.clone(), all.clone());
            async move { objects.put(key, all.into()).await }
        };
        self.last_request(put).await
    }

    async fn complete(&mut self) -> Result<(), ExportError> {
        let (Some(id), key) = (self.id.clone(), self.target.location.key.clone()) else {
            return Ok(());
        };
        let parts: Option<Vec<PartId>> = std::mem::take(&mut self.parts).into_iter().collect();
        let parts = parts.ok_or_else(|| exec_datafusion_err!("a part of an upload is missing"))?;
        let complete = |objects: &AmazonS3| {
            let (objects, parts) = (objects.clone(), parts.clone());
            let (id, key) = (&id, &key);
            async move { objects.complete_multipart(key, id, parts).await }
        };
        self.last_request(complete).await
    }

    /// What makes the object. Without leave to overwrite it is repeated only if the store has answered that it did nothing.
    async fn last_request<F>(&self, request: impl Fn(&AmazonS3) -> F) -> Result<(), ExportError>
    where
        F: Future<Output = Result<PutResult, Error>>,
    {
        let Some(new_objects) = self
            .store
            .new_objects
            .as_ref()
            .filter(|_| !self.target.overwrites)
        else {
            let made = request(&self.store.objects).await;
            return made
                .map(drop)
                .map_err(|error| self.failed_at_the_end(&error));
        };
        let mut pause = PAUSE;
        for _ in 0..RETRIES {
            match request(new_objects).await {
                Err(error) if is_busy(&error) => tokio::time::sleep(pause).await,
                Err(error) => return Err(self.failed_at_the_end(&error)),
                Ok(_) => return Ok(()),
            }
            pause *= 2;
        }
        let made = request(new_objects).await;
        made.map(drop)
            .map_err(|error| self.failed_at_the_end(&error))
    }

    fn failed(&self, error: &Error) -> ExportError {
        self.target.failed(StoreFailure::of(error))
    }

    fn failed_at_the_end(&self, error: &Error) -> ExportError {
        match error {
            Error::AlreadyExists { .. } | Error::Precondition { .. } if !self.target.overwrites => {
                ExportError::Exists(self.target.name.clone())
            }
            error => self.target.failed(StoreFailure::of(error).at_the_end()),
        }
    }

    /// Has the store forget what it got.
    async fn give_up(mut self) {
        if let Some(beginning) = self.beginning.take()
            && let Ok(Ok(id)) = beginning.await
        {
            self.id = Some(id);
        }
        let arrive = async { while self.under_way.join_next().await.is_some() {} };
        let _arrived = tokio::time::timeout(LAST_PARTS, arrive).await;
        self.under_way.shutdown().await;
        let Some(id) = &self.id else {
            return;
        };
        let key = &self.target.location.key;
        match self.store.objects.abort_multipart(key, id).await {
            // It was completed, and the answer was lost.
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(
                name = self.target.name,
                reason = %StoreFailure::of(&error),
                "the store keeps parts of an export that was not finished"
            ),
        }
    }
}

fn panicked(error: &JoinError) -> ExportError {
    exec_datafusion_err!("a request to a store ended by itself: {error}").into()
}
