//! What a live query delivers, and how it ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use futures_core::Stream;
use loomwork_core::Kind;
use loomwork_store::{Error, Problem, Result, Row, Store, Tx, Watch};
use tokio::task::JoinSet;

use crate::soon;
use crate::store::probe::{Probe, add, change, find, poll_now, remove};
use crate::store::{Bench, Note, Place};

/// The notes by nobody, as a query that fails at one whose text is `fail` and panics at `panic`.
fn delicate(tx: &Tx) -> Result<Vec<String>> {
    let mut slugs = Vec::new();
    tx.each(Note::by_author.eq(None), |note| {
        match note.text.as_str() {
            "fail" => return Err(Error::message(Kind::Denied, "the note fails")),
            "panic" => panic!("the note panics"),
            _ => slugs.push(note.record.slug),
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(slugs)
}

async fn next<T>(watch: &mut Watch<T>) -> Result<T>
where
    T: Clone + PartialEq + Send + 'static,
{
    soon(watch.next()).await.expect("the store is open")
}

async fn set_text(store: &Store, slug: &'static str, text: &'static str) {
    let set = store.mutate(move |tx| change(tx, slug, |note| note.text = text.into()));
    set.await.expect("the change commits");
}

async fn add_notes(store: &Store, slugs: &'static [&'static str]) {
    let added = store.mutate(move |tx| slugs.iter().try_for_each(|slug| add(tx, slug, 1).map(drop)));
    added.await.expect("the notes are added");
}

/// The first result comes at once, also where there is nothing.
pub async fn the_first_result_comes_at_once(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let mut live = bench.store.watch(delicate);
    assert_eq!(next(&mut live).await.expect("the query succeeds"), Vec::<String>::new());
    assert!(poll_now(live.next()).is_pending());
}

/// A result that equals the one before is not delivered, and the query goes on.
pub async fn an_equal_result_is_not_delivered_twice(place: &dyn Place) {
    let count = |tx: &Tx| tx.count(Note::by_author.eq(None));
    let mut live = Probe::open(place, count).await;
    live.runs_in_silence_for(|tx| change(tx, "a", |note| note.stars = 11)).await;
    live.runs_in_silence_for(|tx| {
        remove(tx, "a")?;
        add(tx, "instead", 12)
    })
    .await;
    assert_eq!(*live.wakes_for(|tx| add(tx, "f", 60)).await, 6);
    live.runs_in_silence_for(|tx| change(tx, "f", |note| note.text = "new".into())).await;
}

/// Who is slow gets the newest result once, not one for each commit.
pub async fn a_slow_consumer_gets_the_newest_result(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| Ok(find(tx, "a")?.stars)).await;
    for stars in 100..110 {
        let set = live.bench.store.mutate(move |tx| change(tx, "a", |note| note.stars = stars));
        set.await.expect("the change commits");
    }
    assert_eq!(*live.wakes_for(|tx| change(tx, "a", |note| note.stars = 110)).await, 110);
    live.stays_asleep().await;
}

/// A query's error is delivered, what it had read still counts, and its next success is delivered
/// even if it equals the last one.
pub async fn a_failing_query_recovers(place: &dyn Place) {
    let bench = Bench::open(place).await;
    add_notes(&bench.store, &["a", "b"]).await;
    let mut live = bench.store.watch(delicate);
    assert_eq!(next(&mut live).await.expect("the query succeeds"), ["a", "b"]);
    for _ in 0..2 {
        set_text(&bench.store, "a", "fail").await;
        let failed = next(&mut live).await.expect_err("the query fails");
        assert_eq!(failed.to_string(), "the note fails");
        assert!(poll_now(live.next()).is_pending(), "the error is delivered once");
        set_text(&bench.store, "b", "behind what was read").await;
        assert!(poll_now(live.next()).is_pending());
        set_text(&bench.store, "a", "fine").await;
        assert_eq!(next(&mut live).await.expect("the query succeeds"), ["a", "b"]);
    }
}

/// A query whose first run fails is a live query all the same.
pub async fn a_query_may_fail_from_the_start(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let mut live = bench.store.watch(|tx| {
        let note = tx.first(Note::by_slug.eq("a"))?;
        note.map(|note| note.stars).ok_or_else(|| Error::message(Kind::NotFound, "there is no note yet"))
    });
    assert_eq!(next(&mut live).await.expect_err("the query fails").kind(), Kind::NotFound);
    add_notes(&bench.store, &["a"]).await;
    assert_eq!(next(&mut live).await.expect("the query succeeds"), 1);
}

/// A query's panic is delivered as an error; what it had read still counts, the row at which it
/// panicked too.
pub async fn a_panicking_query_recovers(place: &dyn Place) {
    let bench = Bench::open(place).await;
    add_notes(&bench.store, &["a", "b"]).await;
    let mut live = bench.store.watch(delicate);
    next(&mut live).await.expect("the query succeeds");
    for _ in 0..2 {
        set_text(&bench.store, "b", "panic").await;
        let failed = next(&mut live).await.expect_err("the query fails");
        let panic = failed.downcast::<Problem>().expect("it is the store's own problem");
        assert!(matches!(panic, Problem::Panicked { message, .. } if message == "the note panics"));
        set_text(&bench.store, "b", "fine").await;
        assert_eq!(next(&mut live).await.expect("the query succeeds"), ["a", "b"]);
    }
}

/// An application's own error.
#[derive(Debug)]
enum OwnError {
    TooMany(usize),
    Store(Error),
}

impl From<Error> for OwnError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// A query may have an error type of its own; the store's errors come in it.
pub async fn a_query_may_have_its_own_error(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let mut live = bench.store.try_watch(|tx| match tx.count(Note::by_author.all())? {
        2 => panic!("two notes"),
        count if count > 2 => Err(OwnError::TooMany(count)),
        count => Ok(count),
    });
    assert!(matches!(soon(live.next()).await, Some(Ok(0))));
    add_notes(&bench.store, &["a", "b"]).await;
    assert!(matches!(
        soon(live.next()).await,
        Some(Err(OwnError::Store(error))) if error.kind() == Kind::Internal
    ));
    add_notes(&bench.store, &["c"]).await;
    assert!(matches!(soon(live.next()).await, Some(Err(OwnError::TooMany(3)))));
}

/// A watch is a stream like any other.
pub async fn a_watch_is_a_stream(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let mut live: Pin<Box<dyn Stream<Item = Result<Vec<String>>> + Send>> =
        Box::pin(bench.store.watch(delicate));
    let mut seen = Vec::new();
    for slug in [&["a"], &["b"], &["c"]] {
        let item = soon(poll_fn(|cx| live.as_mut().poll_next(cx))).await;
        seen.push(item.expect("the store is open").expect("the query succeeds").len());
        add_notes(&bench.store, slug).await;
    }
    assert_eq!(seen, [0, 1, 2]);
}

/// Dropping the wait for a result loses nothing: the next wait goes on with the same run.
pub async fn waiting_may_be_given_up(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let (go, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let mut live = bench.store.watch(move |_| {
        held.lock().expect("nothing panics here").recv().expect("the test goes on");
        Ok(counted.fetch_add(1, Ordering::Relaxed))
    });
    for _ in 0..3 {
        assert!(poll_now(live.next()).is_pending());
    }
    go.send(()).expect("the query waits");
    assert_eq!(next(&mut live).await.expect("the query succeeds"), 0);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

/// Streams end when the store is closed: those that sleep, those that were never polled, those
/// that are made afterwards. They stay ended.
pub async fn closing_the_store_ends_its_streams(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let store = &bench.store;
    let mut asleep = store.watch(delicate);
    next(&mut asleep).await.expect("the query succeeds");
    let mut unpolled = store.watch(delicate);
    // A task of its own, which nothing but the stream's waker wakes.
    let task = JoinSet::from_iter([async move {
        let end = asleep.next().await;
        (end.is_none(), asleep)
    }]);
    tokio::task::yield_now().await;
    soon(store.close()).await;
    let (ended, mut asleep) = soon(task.join_all()).await.remove(0);
    assert!(ended);
    assert!(soon(asleep.next()).await.is_none());
    assert!(soon(unpolled.next()).await.is_none());
    assert!(soon(store.watch(delicate).next()).await.is_none());
    let query = store.query(delicate).await.expect_err("the store is closed");
    assert!(matches!(query.downcast_ref(), Some(Problem::Closed)));
}

/// A dropped stream gives its place up, whether it has run or not.
pub async fn a_dropped_stream_is_forgotten(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let mut run = bench.store.watch(delicate);
    next(&mut run).await.expect("the query succeeds");
    let unpolled: Vec<_> = (0..99).map(|_| bench.store.watch(delicate)).collect();
    assert_eq!(bench.store.live_queries(), 100);
    drop(unpolled);
    assert_eq!(bench.store.live_queries(), 1);
    add_notes(&bench.store, &["a"]).await;
    assert_eq!(next(&mut run).await.expect("the query succeeds"), ["a"]);
    drop(run);
    assert_eq!(bench.store.live_queries(), 0);
}

/// A stream may be dropped while its query is being read.
pub async fn a_stream_may_be_dropped_while_it_reads(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let (entered, mut reading) = tokio::sync::mpsc::unbounded_channel();
    let (go, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut live: Watch<Vec<Row<Note>>> = bench.store.watch(move |tx| {
        let rows = tx.scan(Note::by_author.all())?;
        entered.send(()).expect("the test waits");
        let _ = held.lock().expect("nothing panics here").recv();
        Ok(rows)
    });
    assert!(poll_now(live.next()).is_pending());
    soon(reading.recv()).await.expect("the query runs");
    drop(live);
    assert_eq!(bench.store.live_queries(), 0);
    drop(go);
    // The query is dropped with its run, and the channel ends.
    assert_eq!(soon(reading.recv()).await, None);
    assert_eq!(bench.store.live_queries(), 0);
    add_notes(&bench.store, &["a"]).await;
}
