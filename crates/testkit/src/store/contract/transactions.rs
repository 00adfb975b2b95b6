//! Mutations: all or nothing, one after the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loomwork_core::{Fault, Kind};
use loomwork_store::engine::Seq;
use loomwork_store::feed::Change;
use loomwork_store::{Error, Id, Problem, Result, Row, Store, Table as _, Tx, feed};
use tokio::task::JoinSet;

use super::gate::{Busy, Gate, hand_in, writers};
use super::spans::{all_notes, check_notes, insert_sample, sample};
use crate::soon;
use crate::store::probe::together;
use crate::store::{Account, Bench, Note, Place};

/// Reads in a mutation see what it has written: rows that are new, changed, moved and gone, by id
/// and through every index, in both orders and under limits, over what was there before.
pub async fn own_writes_are_merged_into_every_read(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let before = bench.store.mutate(insert_sample).await.expect("the sample commits");
    let written = bench.store.mutate(move |tx| {
        let mut notes = before;
        let mut added = insert_moved(tx)?;
        for note in notes.iter_mut().step_by(3).chain(added.iter_mut().step_by(2)) {
            *note = tx.update(note.id, |note| {
                note.stars = 3 - note.stars;
                note.author = Some("anna".to_owned());
            })?;
        }
        for gone in [notes.remove(7), notes.remove(3), added.remove(4)] {
            assert_eq!(tx.delete(gone.id)?, Some(gone.clone()));
            assert_eq!(tx.get(gone.id)?, None);
        }
        notes.append(&mut added);
        for note in &notes {
            assert_eq!(&tx.require(note.id)?, note);
        }
        check_notes(tx, &notes)?;
        Ok(notes)
    });
    let notes = written.await.expect("the mutation commits");
    bench.store.query(move |tx| check_notes(tx, &notes)).await.expect("the commit reads the same");
}

/// Adds a second sample under other slugs.
fn insert_moved(tx: &mut Tx) -> Result<Vec<Row<Note>>> {
    let moved = sample().into_iter().map(|note| Note {
        slug: format!("own-{}", note.slug),
        stars: note.stars + 1,
        ..note
    });
    moved.map(|note| tx.insert(note)).collect()
}

/// Writes in every way, so that an ending that should undo it has something to undo.
fn write_in_every_way(tx: &mut Tx) -> Result<()> {
    let notes = tx.scan(Note::all())?;
    tx.delete(notes[0].id)?;
    tx.update(notes[1].id, |note| note.stars += 1)?;
    tx.replace(notes[2].id, Note::new("replaced"))?;
    let new = tx.insert(Note::new("new"))?;
    tx.update(new.id, |note| note.author = Some("zoe".to_owned()))?;
    tx.insert(Account { owner: "zoe".to_owned(), balance: 1 })?;
    Ok(())
}

async fn all(store: &Store) -> ([Vec<Row<Note>>; 4], usize, Seq) {
    let read = |tx: &Tx| Ok((all_notes(tx)?, tx.count(Account::all())?));
    let (notes, accounts) = store.query(read).await.expect("the query runs");
    (notes, accounts, store.committed())
}

/// A mutation that returns an error after it has written changes nothing, the feed included.
pub async fn an_error_changes_nothing(place: &dyn Place) {
    let bench = Bench::open(place).await;
    bench.store.mutate(insert_sample).await.expect("the sample commits");
    let before = all(&bench.store).await;
    let failing = bench.store.mutate(|tx| {
        write_in_every_way(tx)?;
        Err::<(), _>(Error::message(Kind::Denied, "not today"))
    });
    let error = failing.await.expect_err("the closure's error is returned");
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Denied, "not today"));
    assert_eq!(all(&bench.store).await, before);
}

/// A mutation that panics after it has written changes nothing, and its caller hears of the panic.
pub async fn a_panic_changes_nothing(place: &dyn Place) {
    let bench = Bench::open(place).await;
    bench.store.mutate(insert_sample).await.expect("the sample commits");
    let before = all(&bench.store).await;
    let panicking = bench.store.mutate(|tx| -> Result<()> {
        write_in_every_way(tx)?;
        tx.each(Note::by_author.all(), |_| panic!("in the middle of {}", "a scan"))
    });
    let error = panicking.await.expect_err("the panic is returned");
    let problem = error.downcast_ref::<Problem>();
    let Some(Problem::Panicked { what: "mutation", message }) = problem else { panic!("{error:?}") };
    assert_eq!(message, "in the middle of a scan");
    assert_eq!(all(&bench.store).await, before);
}

/// Mutations that fail or panic leave those that share their commit untouched: all of these, and
/// only these, are there.
pub async fn failures_leave_their_neighbours_committed(place: &dyn Place) {
    let writers = writers(place);
    let bench = Bench::open(place).await;
    let busy = Busy::hold(&bench.store, writers).await;
    let mut callers = Vec::new();
    for number in 0..90 {
        let mutation = bench.store.mutate(move |tx| {
            tx.insert(Note { stars: number, ..Note::new(format!("note-{number}")) })?;
            match number % 3 {
                0 => Ok(()),
                1 => Err(Error::message(Kind::Invalid, "refused")),
                _ => panic!("number {number}"),
            }
        });
        let mut mutation = mutation.into_future();
        hand_in(&mut mutation);
        callers.push(mutation);
    }
    busy.end().await;
    for (number, mutation) in callers.into_iter().enumerate() {
        let ended = soon(mutation).await;
        assert_eq!(ended.is_ok(), number % 3 == 0, "mutation {number}: {ended:?}");
    }
    let numbers = bench.store.query(|tx| {
        let notes = tx.scan(Note::by_author.eq(None))?;
        Ok(notes.iter().map(|note| note.stars).collect::<Vec<_>>())
    });
    let good: Vec<i64> = (0..90).step_by(3).collect();
    assert_eq!(numbers.await.expect("the query runs"), good);
    assert!(bench.store.check().await.expect("the check runs").is_clean());
}

/// A closure may swallow the error of an operation; nothing of that operation is left.
pub async fn a_swallowed_error_leaves_nothing_of_what_failed(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let notes = bench.store.mutate(insert_sample).await.expect("the sample commits");
    let kept = bench.store.mutate(move |tx| {
        let taken = || Note { stars: 77, author: Some("zoe".to_owned()), ..Note::new("slug-99") };
        let (moving, missing) = (notes[4].id, tx.new_id());
        assert!(tx.insert(taken()).is_err());
        assert!(tx.insert_at(missing, taken()).is_err());
        assert!(tx.insert_at(moving, Note::new("free")).is_err());
        assert!(tx.replace(moving, taken()).is_err());
        assert!(tx.update(moving, |note| *note = taken()).is_err());
        assert!(tx.update(missing, |note| note.stars = 1).is_err());
        check_notes(tx, &notes)?;
        Ok(notes)
    });
    let notes = kept.await.expect("the closure has swallowed its errors");
    bench.store.query(move |tx| check_notes(tx, &notes)).await.expect("the commit reads the same");
}

#[derive(Debug, PartialEq)]
struct Overdrawn {
    short: i64,
}

impl fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} short", self.short)
    }
}

impl std::error::Error for Overdrawn {}

impl Fault for Overdrawn {
    fn kind(&self) -> Kind {
        Kind::Denied
    }
}

#[derive(Debug)]
enum AppError {
    Overdrawn(Overdrawn),
    Store(Error),
}

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn withdraw(balance: i64, amount: i64) -> Result<i64, Overdrawn> {
    if balance < amount { Err(Overdrawn { short: amount - balance }) } else { Ok(balance - amount) }
}

/// A caller gets its own error back as its own type, from mutations and queries, by `?` through the
/// store's error and as the closure's error type; the store's own problems come beside it.
pub async fn the_callers_own_error_comes_back_typed(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let short = Overdrawn { short: 5 };

    let mutated = store.mutate(|_| Ok(withdraw(5, 10)?)).await.expect_err("too much");
    assert_eq!(mutated.kind(), Kind::Denied);
    assert_eq!(mutated.downcast_ref(), Some(&short));
    assert_eq!(mutated.downcast::<Overdrawn>().expect("it is one"), short);
    let queried = store.query(|_| Ok(withdraw(5, 10)?)).await.expect_err("too much");
    assert_eq!(queried.downcast::<Overdrawn>().expect("it is one"), short);

    let own = store.try_mutate(|_| withdraw(5, 10).map_err(AppError::Overdrawn)).await;
    assert!(matches!(own, Err(AppError::Overdrawn(error)) if error == short));
    let own = store.try_query(|_| withdraw(5, 10).map_err(AppError::Overdrawn)).await;
    assert!(matches!(own, Err(AppError::Overdrawn(error)) if error == short));

    let missing = store.try_mutate(|tx| {
        let id = tx.new_id::<Account>();
        Ok::<_, AppError>(tx.require(id)?.balance)
    });
    let missing = missing.await.expect_err("the account is not there");
    assert!(matches!(missing, AppError::Store(error) if error.kind() == Kind::NotFound));
    let panicked = store.try_query::<(), AppError, _>(|_| panic!("oh")).await;
    assert!(matches!(panicked, Err(AppError::Store(error)) if error.kind() == Kind::Internal));
}

/// Who has a mutation's answer, and then asks, sees the mutation: however busy its neighbours are.
pub async fn who_has_the_answer_sees_the_mutation(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let neighbours = JoinSet::from_iter((0..4).map(|number| {
        let store = store.clone();
        async move {
            for round in 0..100 {
                let slug = format!("neighbour-{number}-{round}");
                store.mutate(move |tx| tx.insert(Note::new(slug))).await.expect("it commits");
            }
        }
    }));
    for round in 0..200 {
        let slug = format!("own-{round}");
        let mutation = store.mutate(move |tx| Ok(tx.insert(Note::new(slug))?.id));
        let mutation = if round % 2 == 0 { mutation } else { mutation.relaxed() };
        let id = mutation.await.expect("the mutation commits");
        let seen = store.query(move |tx| Ok(tx.get(id)?.is_some())).await.expect("the query runs");
        assert!(seen, "round {round}");
    }
    soon(neighbours.join_all()).await;
}

/// All reads of a query see one moment, whatever commits between them.
pub async fn a_query_reads_one_snapshot(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let first = bench.store.mutate(insert_sample).await.expect("the sample commits")[0].id;
    let gate = Gate::new();
    let at = gate.clone();
    let mut query = Box::pin(bench.store.query(move |tx| {
        let before = (all_notes(tx)?, tx.get(first)?, tx.now());
        at.pass();
        assert_eq!((all_notes(tx)?, tx.get(first)?, tx.now()), before);
        Ok(before.0[0].len())
    }));
    hand_in(&mut query);
    gate.reached().await;
    bench.store.mutate(write_in_every_way).await.expect("the mutation commits beside the query");
    bench.clock.advance(Duration::from_secs(1));
    gate.open();
    assert_eq!(soon(query).await.expect("both reads agree"), 15);
    let after = bench.store.query(|tx| tx.first(Note::by_slug.eq("new"))).await.expect("the query runs");
    assert!(after.is_some(), "the mutation has committed meanwhile");
}

/// Opens an account, without money.
async fn open_account(store: &Store, owner: &str) -> Id<Account> {
    let account = Account { owner: owner.to_owned(), balance: 0 };
    store.mutate(move |tx| Ok(tx.insert(account)?.id)).await.expect("the account is opened")
}

/// Of many callers that count in one row, none is lost.
pub async fn concurrent_increments_lose_nothing(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let id = open_account(&store, "all").await;
    let increment = move |tx: &mut Tx| Ok(tx.update(id, |account| account.balance += 1)?.balance);
    let ended = together((0..200).map(|_| store.mutate(increment).into_future())).await;
    let mut seen: Vec<_> = ended.into_iter().map(|end| end.expect("it commits")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    assert_eq!(store.query(move |tx| Ok(tx.require(id)?.balance)).await.expect("it runs"), 200);
}

/// Two mutations that each read what the other writes do not both act on what they read.
pub async fn mutations_take_effect_one_after_the_other(place: &dyn Place) {
    let writers = writers(place);
    let store = Bench::open(place).await.store;
    let (a, b) = (open_account(&store, "a").await, open_account(&store, "b").await);
    let gate = Gate::new();
    let take_if_other_is_free = |own, other| {
        let gate = gate.clone();
        let mutation = store.mutate(move |tx| {
            let is_free = tx.require::<Account>(other)?.balance == 0;
            gate.pass();
            if is_free {
                tx.update::<Account>(own, |account| account.balance = 1)?;
            }
            Ok(is_free)
        });
        mutation.into_future()
    };
    let mut callers = [take_if_other_is_free(a, b), take_if_other_is_free(b, a)];
    callers.iter_mut().for_each(hand_in);
    // Both have read before either writes, where the engine runs them side by side.
    for _ in 0..writers.min(2) {
        gate.reached().await;
    }
    gate.open();
    let ended = together(callers).await.into_iter().map(|end| end.expect("it commits"));
    assert_eq!(ended.filter(|took| *took).count(), 1);
}

/// Each attempt of a mutation begins with the captures that it was given.
pub async fn a_retry_begins_from_untouched_captures(place: &dyn Place) {
    let writers = writers(place);
    let store = Bench::open(place).await.store;
    let id = open_account(&store, "all").await;
    let (gate, runs) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let (at, counted) = (gate.clone(), runs.clone());
    let mut captured = vec!["first".to_owned()];
    let mutation = store.mutate(move |tx| {
        counted.fetch_add(1, Ordering::Relaxed);
        let balance = tx.require(id)?.balance;
        at.pass();
        captured.push(format!("then {balance}"));
        tx.update(id, |account| account.balance += 1)?;
        Ok(captured)
    });
    let mut mutation = mutation.into_future();
    hand_in(&mut mutation);
    gate.reached().await;
    if writers > 1 {
        let between = store.mutate(move |tx| tx.update(id, |account| account.balance = 10));
        between.await.expect("another writer commits meanwhile");
    }
    gate.open();
    let ended = soon(mutation).await;
    let balance = if writers > 1 { 10 } else { 0 };
    assert_eq!(ended.expect("it commits"), ["first".to_owned(), format!("then {balance}")]);
    assert!(runs.load(Ordering::Relaxed) >= writers.min(2), "what it had read was overtaken");
    assert_eq!(store.query(move |tx| Ok(tx.require(id)?.balance)).await.expect("it runs"), balance + 1);
}

/// Of many callers that want one unique key, one gets it and the others are told who has it.
pub async fn a_unique_key_has_one_winner(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let callers = (0..40).map(|number| {
        let account = Account { owner: format!("owner-{}", number % 4), balance: number };
        store.mutate(move |tx| Ok(tx.insert(account)?.id)).into_future()
    });
    let ended = together(callers).await;
    let (winners, losers): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
    let mut winners: Vec<_> = winners.into_iter().filter_map(Result::ok).map(Id::raw).collect();
    winners.sort();
    assert_eq!((winners.len(), losers.len()), (4, 36));
    for error in losers.into_iter().filter_map(Result::err) {
        let Some(Problem::Duplicate { id, .. }) = error.downcast_ref() else { panic!("{error:?}") };
        assert!(winners.contains(id));
    }
}

/// A mutation that changes nothing in the end writes nothing: the feed does not move.
pub async fn a_mutation_that_changes_nothing_writes_nothing(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let start = store.mutate(|tx| feed::subscribe(tx, "test")).await.expect("the feed has a consumer");
    let notes = store.mutate(insert_sample).await.expect("the sample commits");
    let before = all(&store).await;
    let idle = store.mutate(move |tx| {
        let note = notes[0].clone();
        tx.update(note.id, |_| ())?;
        tx.replace(note.id, note.record)?;
        let brief = tx.insert(Note::new("brief"))?;
        tx.delete(brief.id)?;
        tx.delete(brief.id)?;
        let undone = tx.nested(|tx| {
            tx.insert(Note::new("undone"))?;
            Err::<(), _>(Error::message(Kind::Invalid, "undo"))
        });
        assert!(undone.is_err());
        Ok(())
    });
    idle.await.expect("the mutation commits");
    assert_eq!(all(&store).await, before);
    let changes = store.query(move |tx| feed::changes(tx, start, 100)).await.expect("the feed is read");
    assert_eq!(changes.len(), 15, "only the sample: {changes:?}");
}

/// Relaxed and durable mutations of one caller take effect in its order, and a store that is
/// closed keeps both.
pub async fn lanes_keep_their_order(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let start = store.mutate(|tx| feed::subscribe(tx, "test")).await.expect("the feed has a consumer");
    let mut ids = Vec::new();
    for number in 0..40 {
        let mutation = store.mutate(move |tx| {
            assert_eq!(tx.count(Note::all())?, number, "it sees all before it");
            Ok(tx.insert(Note::new(format!("note-{number}")))?.id)
        });
        let mutation = if number % 3 == 0 { mutation } else { mutation.relaxed() };
        ids.push(mutation.await.expect("the mutation commits"));
    }
    store.close().await;
    let store = Bench::open(place).await.store;
    let changes = store.query(move |tx| feed::changes(tx, start, 100)).await.expect("the feed is read");
    assert_eq!(changes.iter().filter_map(Change::of::<Note>).collect::<Vec<_>>(), ids);
}

/// A transaction has one time from its start to its end.
pub async fn a_mutation_has_one_time(place: &dyn Place) {
    let Bench { store, clock } = Bench::open(place).await;
    let clock_of_test = clock.clone();
    let mutation = store.mutate(move |tx| {
        let before = tx.now();
        clock.advance(Duration::from_secs(5));
        Ok((before, tx.now()))
    });
    let (before, after) = mutation.await.expect("the mutation commits");
    assert_eq!(before, after);
    assert!(clock_of_test.clock().now() > after, "the clock was turned meanwhile");
}

/// Ids grow with each row, also after the store was opened again under a clock that went back.
pub async fn ids_grow_across_openings_and_clocks(place: &dyn Place) {
    let insert = |slug: &'static str| move |tx: &mut Tx| Ok(tx.insert(Note::new(slug))?.id);
    let bench = Bench::open(place).await;
    bench.clock.advance(Duration::from_secs(86_400));
    let mut ids = vec![bench.store.mutate(insert("a")).await.expect("it commits")];
    bench.clock.set(crate::store::START);
    ids.push(bench.store.mutate(insert("b")).await.expect("it commits"));
    bench.store.close().await;

    // The new bench's clock begins a day before the newest row.
    let bench = Bench::open(place).await;
    ids.push(bench.store.mutate(insert("c")).await.expect("it commits"));
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let listed = bench.store.query(|tx| tx.scan(Note::all())).await.expect("the query runs");
    assert_eq!(listed.iter().map(|note| note.id).collect::<Vec<_>>(), ids);
}
