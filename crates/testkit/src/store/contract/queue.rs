//! Mutations that wait: deadlines, callers that go away, a queue that is full, a store that closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loomwork_core::{Kind, Time};
use loomwork_store::{Error, Problem, Result, Store, Table as _, Tx};

use super::gate::{Busy, Gate, hand_in, writers};
use crate::soon;
use crate::store::probe::together;
use crate::store::{Bench, Note, Place, START, tables};

/// Counts runs of a closure, however often one runs.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicUsize>);

impl Runs {
    /// A mutation that counts its runs and inserts a note.
    fn insert(&self, slug: &str) -> impl FnOnce(&mut Tx) -> Result<()> + Clone + use<> {
        let (runs, slug) = (self.0.clone(), slug.to_owned());
        move |tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            tx.insert(Note::new(slug)).map(|_| ())
        }
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

async fn notes(store: &Store) -> usize {
    store.query(|tx| tx.count(Note::all())).await.expect("the query runs")
}

/// Closes a store and counts the notes that are there when it is opened again.
async fn notes_after_closing(store: Store, place: &dyn Place) -> usize {
    soon(store.close()).await;
    drop(store);
    notes(&Bench::open(place).await.store).await
}

fn is_late<T>(ended: Result<T>) -> bool {
    let error: Error = ended.err().expect("it was not run");
    error.kind() == Kind::Cancelled && matches!(error.downcast_ref(), Some(Problem::DeadlinePassed))
}

/// A mutation whose deadline has passed never runs; one whose deadline is yet to come does.
pub async fn a_mutation_past_its_deadline_never_runs(place: &dyn Place) {
    let Bench { store, clock } = Bench::open(place).await;
    clock.advance(Duration::from_secs(10));
    let now = clock.clock().now();
    let runs = Runs::default();
    for deadline in [Time::MIN, START, now] {
        assert!(is_late(store.mutate(runs.insert("late")).deadline(deadline).await), "{deadline}");
    }
    assert_eq!((runs.count(), notes(&store).await), (0, 0));
    for (slug, deadline) in [("soon", now + Duration::from_millis(1)), ("never", Time::MAX)] {
        store.mutate(runs.insert(slug)).deadline(deadline).await.expect("there is time");
    }
    assert_eq!(notes(&store).await, 2);
}

/// A deadline that passes in the queue is answered then, not when the writer has time.
pub async fn a_deadline_that_passes_in_the_queue_is_answered_at_once(place: &dyn Place) {
    let writers = writers(place);
    let Bench { store, clock } = Bench::open(place).await;
    let busy = Busy::hold(&store, writers).await;
    let runs = Runs::default();
    let mut late = store.mutate(runs.insert("late")).deadline(START + Duration::from_secs(1)).into_future();
    let mut in_time =
        store.mutate(runs.insert("in time")).deadline(START + Duration::from_secs(2)).into_future();
    hand_in(&mut late);
    hand_in(&mut in_time);
    clock.advance(Duration::from_secs(1));
    assert!(is_late(soon(late).await), "the writers are still busy");
    busy.end().await;
    soon(in_time).await.expect("its deadline is yet to come");
    assert_eq!(notes_after_closing(store, place).await, 1);
}

/// A mutation that has started is completed, also if its deadline passes meanwhile.
pub async fn a_deadline_does_not_stop_what_has_started(place: &dyn Place) {
    let Bench { store, clock } = Bench::open(place).await;
    let gate = Gate::new();
    let at = gate.clone();
    let mutation = store.mutate(move |tx| {
        at.pass();
        tx.insert(Note::new("a"))
    });
    let mut mutation = mutation.deadline(START + Duration::from_secs(1)).into_future();
    hand_in(&mut mutation);
    gate.reached().await;
    clock.advance(Duration::from_secs(2));
    hand_in(&mut mutation);
    gate.open();
    soon(mutation).await.expect("it is completed");
    assert_eq!(notes(&store).await, 1);
}

/// A mutation whose caller goes away before it has started never runs, those beside it do.
pub async fn a_mutation_dropped_before_it_starts_never_runs(place: &dyn Place) {
    let writers = writers(place);
    let store = Bench::open(place).await.store;
    let busy = Busy::hold(&store, writers).await;
    let (dropped, kept) = (Runs::default(), Runs::default());
    let mut callers = Vec::new();
    for number in 0..20 {
        let runs = if number % 2 == 0 { &dropped } else { &kept };
        let mut mutation = store.mutate(runs.insert(&format!("note-{number}"))).into_future();
        hand_in(&mut mutation);
        callers.push(Some(mutation));
    }
    callers.iter_mut().step_by(2).for_each(|caller| *caller = None);
    busy.end().await;
    for caller in callers.into_iter().flatten() {
        soon(caller).await.expect("the mutation commits");
    }
    assert_eq!(notes_after_closing(store, place).await, 10);
    assert_eq!(dropped.count(), 0);
    assert!(kept.count() >= 10);
}

/// A mutation that has started is completed, also if its caller goes away.
pub async fn a_mutation_dropped_after_it_starts_is_completed(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let gate = Gate::new();
    let at = gate.clone();
    let mutation = store.mutate(move |tx| {
        tx.insert(Note::new("a"))?;
        at.pass();
        tx.insert(Note::new("b"))
    });
    let mut mutation = mutation.into_future();
    hand_in(&mut mutation);
    gate.reached().await;
    drop(mutation);
    gate.open();
    assert_eq!(notes_after_closing(store, place).await, 2);
}

/// While the queue is full, callers wait for room: nothing of theirs runs before they go on.
pub async fn callers_wait_while_the_queue_is_full(place: &dyn Place) {
    let writers = writers(place);
    let store = Bench::open_with(place, |builder| builder.tables(tables::all()).queue(1)).await.store;
    let busy = Busy::hold(&store, writers).await;
    let (first, second) = (Runs::default(), Runs::default());
    let mut in_queue = store.mutate(first.insert("first")).into_future();
    let mut outside = store.mutate(second.insert("second")).into_future();
    hand_in(&mut in_queue);
    hand_in(&mut outside);
    busy.end().await;
    soon(in_queue).await.expect("the mutation commits");
    soon(store.mutate(|tx| tx.insert(Note::new("third"))).into_future()).await.expect("there is room again");
    assert_eq!((second.count(), notes(&store).await), (0, 2), "nobody went on with the second");
    soon(outside).await.expect("the mutation commits");
    assert_eq!(notes(&store).await, 3);
}

/// Of many callers at a full queue none is lost, and those that go away do not hold up the others.
pub async fn no_caller_at_a_full_queue_is_lost(place: &dyn Place) {
    let writers = writers(place);
    let store = Bench::open_with(place, |builder| builder.tables(tables::all()).queue(1)).await.store;
    let busy = Busy::hold(&store, writers).await;
    let (gone, waiting) = (Runs::default(), Runs::default());
    let mut leaving = Vec::new();
    let mut callers = Vec::new();
    for number in 0..60 {
        let mut mutation = store.mutate(gone.insert(&format!("gone-{number}"))).into_future();
        hand_in(&mut mutation);
        leaving.push(mutation);
        let mut mutation = store.mutate(waiting.insert(&format!("note-{number}"))).into_future();
        hand_in(&mut mutation);
        callers.push(mutation);
    }
    drop(leaving);
    busy.end().await;
    together(callers).await.into_iter().for_each(|ended| ended.expect("the mutation commits"));
    assert_eq!(notes(&store).await, 60);
    assert_eq!(gone.count(), 0);
}

/// A store that closes completes what it was handed before, and refuses what comes then.
pub async fn a_closed_store_completes_what_it_has_and_refuses_more(place: &dyn Place) {
    let writers = writers(place);
    let store = Bench::open(place).await.store;
    let busy = Busy::hold(&store, writers).await;
    let mut callers = Vec::new();
    for number in 0..10 {
        let mut mutation = store.mutate(Runs::default().insert(&format!("note-{number}"))).into_future();
        hand_in(&mut mutation);
        callers.push(mutation);
    }
    let mut closing = Box::pin(store.close());
    hand_in(&mut closing);

    let runs = Runs::default();
    let refused =
        soon(store.mutate(runs.insert("late")).into_future()).await.expect_err("the store is closing");
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert!(matches!(refused.downcast_ref(), Some(Problem::Closed)), "{refused:?}");
    let refused = soon(store.query(|tx| tx.count(Note::all()))).await.expect_err("the store is closing");
    assert!(matches!(refused.downcast_ref(), Some(Problem::Closed)), "{refused:?}");

    busy.end().await;
    for caller in callers {
        soon(caller).await.expect("it was handed in before");
    }
    soon(closing).await;
    soon(store.close()).await;
    assert_eq!(runs.count(), 0);
    assert_eq!(notes(&Bench::open(place).await.store).await, 10);
}
