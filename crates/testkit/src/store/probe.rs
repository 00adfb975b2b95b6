//! Watching a store at work: live queries whose runs are counted, and waits that cannot hang.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loomwork_store::{Result, Row, Tx, Watch};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::soon;

use super::{Bench, Note, Place};

/// Polls a future once.
pub(super) fn poll_now<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs futures side by side and returns what they give, in their order.
pub(super) async fn together<T: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut running = JoinSet::new();
    for (place, future) in futures.into_iter().enumerate() {
        running.spawn(async move { (place, future.await) });
    }
    let mut outcomes = soon(running.join_all()).await;
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Adds a note.
pub(super) fn add(tx: &mut Tx, slug: &str, stars: i64) -> Result<Row<Note>> {
    tx.insert(Note { stars, ..Note::new(slug) })
}

/// Returns a note that is there.
pub(super) fn find(tx: &Tx, slug: &str) -> Result<Row<Note>> {
    Ok(tx.first(Note::by_slug.eq(slug))?.expect("the test has added the note"))
}

/// Changes a note that is there.
pub(super) fn change(tx: &mut Tx, slug: &str, change: impl FnOnce(&mut Note)) -> Result<Row<Note>> {
    let id = find(tx, slug)?.id;
    tx.update(id, change)
}

/// Deletes a note that is there.
pub(super) fn remove(tx: &mut Tx, slug: &str) -> Result<Option<Row<Note>>> {
    let id = find(tx, slug)?.id;
    tx.delete(id)
}

/// The notes that a probe begins with: `a` to `e` by nobody, with 10 to 50 stars.
fn plant(tx: &mut Tx) -> Result<()> {
    [("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 50)]
        .into_iter()
        .try_for_each(|(slug, stars)| add(tx, slug, stars).map(drop))
}

type Query<T> = Arc<dyn Fn(&Tx) -> Result<T> + Send + Sync>;

/// Counts a run when it has read all it reads, however it ends: only then is its snapshot fixed.
struct Run<'a>(&'a watch::Sender<usize>);

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|runs| *runs += 1);
    }
}

/// A live query over a few [planted](plant) notes: it knows how often it has run.
pub(super) struct Probe<T> {
    pub(super) bench: Bench,
    query: Query<T>,
    watch: Watch<T>,
    runs: watch::Receiver<usize>,
    /// What was delivered last.
    last: T,
}

impl<T: Debug> Debug for Probe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("watch", &self.watch).field("last", &self.last).finish_non_exhaustive()
    }
}

impl<T: Clone + Debug + PartialEq + Send + 'static> Probe<T> {
    /// Opens a store with the planted notes and watches it.
    pub(super) async fn open(
        place: &dyn Place,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let bench = Bench::open(place).await;
        bench.store.mutate(plant).await.expect("the notes are planted");
        Self::over(bench, query).await
    }

    /// Watches a store as it is.
    pub(super) async fn over(bench: Bench, query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static) -> Self {
        let (ran, runs) = watch::channel(0);
        let query: Query<T> = Arc::new(query);
        let counted = query.clone();
        let mut watch = bench.store.watch(move |tx| {
            let _run = Run(&ran);
            counted(tx)
        });
        let last = soon(watch.next()).await.expect("the store is open").expect("the query succeeds");
        assert_eq!(*runs.borrow(), 1, "the first result takes one run");
        Self { bench, query, watch, runs, last }
    }

    /// What was delivered last.
    pub(super) fn last(&self) -> &T {
        &self.last
    }

    /// Commits a change for which the query runs once, and returns what it delivers.
    pub(super) async fn wakes_for<R: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Tx) -> Result<R> + Clone + Send + 'static,
    ) -> &T {
        let before = self.runs();
        self.bench.store.mutate(change).await.expect("the change commits");
        let next = soon(self.watch.next()).await.expect("the store is open").expect("the query succeeds");
        let query = self.query.clone();
        let fresh = self.bench.store.query(move |tx| query(tx)).await.expect("the query succeeds");
        assert_eq!(next, fresh, "the delivery is what a fresh query finds");
        assert_ne!(next, self.last, "the delivery is news");
        assert_eq!(self.runs(), before + 1, "one commit takes one run");
        self.last = next;
        &self.last
    }

    /// Commits a change for which the query does not run.
    pub(super) async fn sleeps_through<R: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Tx) -> Result<R> + Clone + Send + 'static,
    ) {
        self.bench.store.mutate(change).await.expect("the change commits");
        self.stays_asleep().await;
    }

    /// Commits a change for which the query runs, but finds what it has delivered before.
    pub(super) async fn runs_in_silence_for<R: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Tx) -> Result<R> + Clone + Send + 'static,
    ) {
        let before = self.runs();
        self.bench.store.mutate(change).await.expect("the change commits");
        tokio::select! {
            biased;
            next = self.watch.next() => panic!("{next:?} was delivered twice"),
            ran = soon(self.runs.wait_for(|runs| *runs == before + 1)) => drop(ran.expect("the query is kept")),
        }
    }

    /// Sees that the query does not run although it is polled.
    pub(super) async fn stays_asleep(&mut self) {
        let before = self.runs();
        assert!(poll_now(self.watch.next()).is_pending(), "nothing is delivered");
        // Reads begin in the order in which they were asked for: a run would have begun before these.
        for _ in 0..2 {
            self.bench.store.query(|_| Ok(())).await.expect("the query succeeds");
        }
        assert_eq!(self.runs(), before, "the query has not run again");
    }

    fn runs(&self) -> usize {
        *self.runs.borrow()
    }
}
