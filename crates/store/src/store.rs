//! The store: where transactions are handed in.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loomwork_core::{Clock, RawId, Time};
use tokio::sync::oneshot;

use crate::builder::Builder;
use crate::engine::{Engine, Lane, Profile, Seq, TxKind};
use crate::error::{Error, Problem, Result};
use crate::live::{Live, Mark};
use crate::memory::Memory;
use crate::tx::{Context, Tx};
use crate::watch::{Follow, Watch};
use crate::work::{Done, Mutation, Order, Read, Ticket, Work, read_snapshot};

/// A transactional store of typed tables over an [`Engine`].
///
/// A handle is cheap to clone; the store closes when its last handle is gone, and every stream and
/// upkeep made from it. It works from any tokio runtime: its threads are its own.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) id: RawId,
    pub(crate) profile: Profile,
    pub(crate) clock: Clock,
    pub(crate) context: Context,
    pub(crate) live: Arc<Live>,
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) mutations: async_channel::Sender<Box<dyn Work>>,
    pub(crate) reads: async_channel::Sender<Read>,
    /// Nothing is ever sent: it ends when the last thread of the store has.
    pub(crate) ended: async_channel::Receiver<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.mutations.close();
        self.reads.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.inner.profile.name)
            .field("id", &self.inner.id)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Begins to open a store over an engine.
    pub fn builder(engine: impl Engine) -> Builder {
        Builder::new(Arc::new(engine))
    }

    /// Begins to open a store in memory, for tests and examples.
    pub fn memory() -> Builder {
        Self::builder(Memory::new())
    }

    /// Runs a mutation: reads and writes, all or nothing. Await what it returns.
    ///
    /// The closure may be run more than once (an engine with several writers retries conflicts),
    /// each time from its untouched captures, so it must be a function of what it reads. A closure
    /// that returns an error, or panics, changes nothing.
    ///
    /// # Cancel safety
    /// A mutation whose future is dropped before it has started never runs; one that has started
    /// is completed.
    #[track_caller]
    pub fn mutate<T, F>(&self, closure: F) -> Mutate<F, T>
    where
        F: FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
        T: Send + 'static,
    {
        self.try_mutate(closure)
    }

    /// As [`mutate`](Self::mutate), for closures with an error type of their own.
    #[track_caller]
    pub fn try_mutate<T, E, F>(&self, closure: F) -> Mutate<F, T, E>
    where
        F: FnOnce(&mut Tx) -> Result<T, E> + Clone + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Mutate {
            store: self.clone(),
            closure,
            lane: Lane::Durable,
            kind: TxKind::Write,
            deadline: None,
            caller: Location::caller(),
            answer: std::marker::PhantomData,
        }
    }

    /// Runs a query on a snapshot of the store. It sees every mutation whose answer was there
    /// before the query began.
    ///
    /// # Errors
    /// What the closure returns; [`Problem::Closed`] when the store is.
    pub fn query<T, F>(&self, query: F) -> impl Future<Output = Result<T>> + Send + 'static
    where
        F: Fn(&Tx) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.try_query(query)
    }

    /// As [`query`](Self::query), for closures with an error type of their own.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn try_query<T, E, F>(&self, query: F) -> impl Future<Output = Result<T, E>> + Send + 'static
    where
        F: Fn(&Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let store = self.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            let clock = store.inner.clock.clone();
            let read: Read = Box::new(move |tx| {
                if !reply.is_closed() {
                    let _ = reply.send(read_snapshot(tx, clock.now(), false, &query).0);
                }
            });
            store.send_read(read).await?;
            answer.await.unwrap_or_else(|_| Err(closed().into()))
        }
    }

    /// Follows a query: delivers its result now, and again whenever a commit has touched what it
    /// read and the result is another one. A slow consumer gets the latest result, not a backlog.
    ///
    /// The transaction's time does not wake it: a query that reads [`Tx::now`] is run again only
    /// by commits. Commits of other processes wake it where the engine
    /// [hears of them](crate::engine::Engine::hear_others); a store that is only read, over rows
    /// that another process writes, may deliver its first result alone.
    pub fn watch<T, F>(&self, query: F) -> Watch<T>
    where
        F: Fn(&Tx) -> Result<T> + Send + Sync + 'static,
        T: Clone + PartialEq + Send + 'static,
    {
        self.try_watch(query)
    }

    /// As [`watch`](Self::watch), for closures with an error type of their own.
    pub fn try_watch<T, E, F>(&self, query: F) -> Watch<T, E>
    where
        F: Fn(&Tx) -> Result<T, E> + Send + Sync + 'static,
        T: Clone + PartialEq + Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let query = move |tx: &Tx, _: &Option<T>| query(tx).map(|now| (now.clone(), Some(now)));
        Follow::watching(self.clone(), None, Arc::new(query))
    }

    /// Follows a query that carries a cursor from one run to the next: delivers each result that
    /// moved the cursor. So following something that grows costs what is new, not what there is.
    ///
    /// A moved cursor makes it run once more before it rests, so a query may read a limited batch.
    /// What the cursor counts has to grow in the order of commits, as positions within a thread and
    /// those of the [`feed`](crate::feed) do; an id may be made long before its row is committed.
    pub fn follow<T, C, F>(&self, start: C, query: F) -> Follow<T, C>
    where
        F: Fn(&Tx, &C) -> Result<(T, C)> + Send + Sync + 'static,
        T: Send + 'static,
        C: Clone + PartialEq + Send + 'static,
    {
        self.try_follow(start, query)
    }

    /// As [`follow`](Self::follow), for closures with an error type of their own.
    pub fn try_follow<T, C, E, F>(&self, start: C, query: F) -> Follow<T, C, E>
    where
        F: Fn(&Tx, &C) -> Result<(T, C), E> + Send + Sync + 'static,
        T: Send + 'static,
        C: Clone + PartialEq + Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Follow::new(self.clone(), start, Arc::new(query))
    }

    /// Returns the store's clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Returns the id that the store was given when it was made. A restored copy has another one.
    pub fn id(&self) -> RawId {
        self.inner.id
    }

    /// Returns the number of this opening of the store.
    pub fn epoch(&self) -> u64 {
        self.inner.context.epoch
    }

    /// Returns the end of the change log as this process knows it: at least that of every
    /// mutation answered so far.
    pub fn committed(&self) -> Seq {
        Seq(self.inner.committed.load(Ordering::Acquire))
    }

    /// Returns how many live queries there are.
    pub fn live_queries(&self) -> usize {
        self.inner.live.registered()
    }

    /// Closes the store: what was handed in before is completed, what comes later is refused with
    /// [`Problem::Closed`], and all streams end. Returns when the store's threads have ended.
    pub async fn close(&self) {
        self.inner.mutations.close();
        self.inner.reads.close();
        self.inner.live.wake_all();
        let _ = self.inner.ended.recv().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.reads.is_closed()
    }

    pub(crate) async fn send_read(&self, read: Read) -> Result<()> {
        self.inner.reads.send(read).await.map_err(|_| closed())
    }

    /// Runs a mutation that says what it read, under a mark that keeps what it may have missed.
    pub(crate) async fn mutate_tracked<T, F>(&self, closure: F) -> (Done<T>, Mark)
    where
        F: FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let mark = self.inner.live.mark();
        (self.mutate(closure).run(true).await, mark)
    }
}

fn closed() -> Error {
    Problem::Closed.into()
}

/// A mutation that runs when it is awaited.
#[must_use = "a mutation runs when it is awaited"]
pub struct Mutate<F, T, E = Error> {
    store: Store,
    closure: F,
    lane: Lane,
    kind: TxKind,
    deadline: Option<Time>,
    caller: &'static Location<'static>,
    answer: std::marker::PhantomData<fn() -> Result<T, E>>,
}

impl<F, T, E> fmt::Debug for Mutate<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutate")
            .field("caller", &self.caller)
            .field("lane", &self.lane)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl<F, T, E> Mutate<F, T, E> {
    /// Answers before the commit has reached stable storage: for progress, heartbeats and stream
    /// deltas. A power failure may undo the newest of these; they are never reordered.
    pub fn relaxed(mut self) -> Self {
        self.lane = Lane::Relaxed;
        self
    }

    /// Gives the mutation up with [`Problem::DeadlinePassed`] if it has not started by then.
    pub fn deadline(mut self, deadline: Time) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Runs it as a claim.
    pub(crate) fn claiming(mut self) -> Self {
        self.kind = TxKind::Claim;
        self
    }
}

impl<F, T, E> Mutate<F, T, E>
where
    F: FnOnce(&mut Tx) -> Result<T, E> + Clone + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    async fn run(self, track_reads: bool) -> Done<T, E> {
        let refused = |error: Error| Done { result: Err(error.into()), reads: Vec::new(), position: 0 };
        let inner = self.store.inner.clone();
        if inner.profile.writers == 0 {
            return refused(Problem::ReadOnly.into());
        }
        let ticket = Arc::new(Ticket::default());
        let (reply, answer) = oneshot::channel();
        let mutation = Mutation {
            order: Order {
                lane: self.lane,
                kind: self.kind,
                deadline: self.deadline,
                ticket: ticket.clone(),
                track_reads,
                caller: self.caller,
            },
            closure: Some(self.closure),
            keep: inner.profile.conflicts,
            clock: inner.clock.clone(),
            result: None,
            reads: Vec::new(),
            reply,
        };
        let work: Box<dyn Work> = Box::new(mutation);
        let mut answered = std::pin::pin!(async {
            match inner.mutations.send(work).await {
                Ok(()) => answer.await.unwrap_or_else(|_| refused(closed())),
                Err(_) => refused(closed()),
            }
        });
        let Some(deadline) = self.deadline else { return answered.await };
        tokio::select! {
            biased;
            done = &mut answered => return done,
            () = inner.clock.sleep_until(deadline) => {}
        }
        if ticket.give_up() { refused(Problem::DeadlinePassed.into()) } else { answered.await }
    }
}

impl<F, T, E> IntoFuture for Mutate<F, T, E>
where
    F: FnOnce(&mut Tx) -> Result<T, E> + Clone + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    type Output = Result<T, E>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run(false).await.result })
    }
}
