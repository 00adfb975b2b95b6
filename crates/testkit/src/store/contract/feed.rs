//! The change feed: what changed, in commit order, for consumers with durable positions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use loomwork_core::Tasks;
use loomwork_store::engine::{Op, Seq};
use loomwork_store::feed::{self, Change};
use loomwork_store::{Id, Result, Store, Table, Tx};

use crate::soon;
use crate::store::probe::{add, change, find, remove, together};
use crate::store::{Account, Bench, Note, Place, Shelf};

/// More than any test here makes.
const ALL: usize = 10_000;

async fn commit<T: Send + 'static>(
    store: &Store,
    change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
) -> T {
    store.mutate(change).await.expect("the mutation commits")
}

async fn changes(store: &Store, after: Seq) -> Result<Vec<Change>> {
    store.query(move |tx| feed::changes(tx, after, ALL)).await
}

/// The changes of notes so far, as operations on the notes' ids.
async fn operations(store: &Store) -> Vec<(Op, Id<Note>)> {
    let changes = changes(store, Seq(0)).await.expect("the log is whole");
    assert!(changes.iter().is_sorted_by_key(|change| change.seq), "positions rise: {changes:?}");
    changes.iter().map(|change| (change.op, change.of::<Note>().expect("only notes change"))).collect()
}

/// Changes are told in commit order, each with what happened to the row; a change to the same is none.
pub async fn changes_are_told_in_commit_order(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let store = &bench.store;
    let a = commit(store, |tx| add(tx, "a", 1)).await.id;
    let b = commit(store, |tx| add(tx, "b", 1)).await.id;
    commit(store, |tx| change(tx, "a", |note| note.stars = 2)).await;
    commit(store, |tx| change(tx, "b", |note| note.text = "no key moves".into())).await;
    commit(store, |tx| change(tx, "b", |note| note.text = "no key moves".into())).await;
    commit(store, |tx| remove(tx, "a")).await;
    let expected = [(Op::Insert, a), (Op::Insert, b), (Op::Update, a), (Op::Update, b), (Op::Delete, a)];
    assert_eq!(operations(store).await, expected);
}

/// What one mutation does to a row is one change: the sum of it.
pub async fn a_mutation_changes_a_row_once(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let store = &bench.store;
    let (made, old) = commit(store, |tx| {
        let made = add(tx, "made and changed", 1)?.id;
        tx.update(made, |note| note.stars = 2)?;
        let gone = add(tx, "made and deleted", 1)?.id;
        tx.delete(gone)?;
        Ok((made, add(tx, "old", 1)?.id))
    })
    .await;
    commit(store, move |tx| {
        tx.update(old, |note| note.stars = 2)?;
        tx.update(old, |note| note.stars = 3)
    })
    .await;
    commit(store, move |tx| {
        tx.update(old, |note| note.stars = 4)?;
        tx.delete(old)
    })
    .await;
    commit(store, move |tx| {
        tx.insert_at(old, Note::new("once more"))?;
        tx.delete(old)?;
        let _ = tx.nested(|tx| {
            tx.update(made, |note| note.stars = 3)?;
            tx.require(old)
        });
        Ok(())
    })
    .await;
    let expected = [(Op::Insert, made), (Op::Insert, old), (Op::Update, old), (Op::Delete, old)];
    assert_eq!(operations(store).await, expected);
}

/// Only tables that ask for it are told of.
pub async fn only_logged_tables_are_told_of(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let note = commit(&bench.store, |tx| {
        tx.insert(Account { owner: "ada".into(), balance: 1 })?;
        let note = add(tx, "a", 1)?;
        tx.insert(Shelf { label: "quiet".into() })?;
        Ok(note.id)
    })
    .await;
    assert_eq!(operations(&bench.store).await, [(Op::Insert, note)]);
}

async fn open_with_accounts(place: &dyn Place, logged: bool) -> Bench {
    Bench::open_with(place, |builder| {
        let builder = builder.tables([Account::table()]);
        if logged { builder.log_changes_of::<Account>() } else { builder }
    })
    .await
}

/// A program may ask for changes of a table that does not; it stays so for programs that don't.
pub async fn a_table_once_logged_stays_logged(place: &dyn Place) {
    for (owner, logged, told) in [("before", false, 0), ("asked", true, 1), ("unasked", false, 2)] {
        let bench = open_with_accounts(place, logged).await;
        let id =
            commit(&bench.store, move |tx| tx.insert(Account { owner: owner.into(), balance: 0 })).await.id;
        let changes = changes(&bench.store, Seq(0)).await.expect("the log is whole");
        assert_eq!(changes.len(), told);
        let newest =
            changes.last().map(|change| (&*change.table, change.of::<Account>(), change.of::<Note>()));
        assert!(newest.is_none_or(|newest| newest == ("accounts", Some(id), None)));
        bench.store.close().await;
    }
}

/// Reading goes on behind any position, with as many changes as asked for.
pub async fn changes_are_read_from_any_position(place: &dyn Place) {
    let bench = Bench::open(place).await;
    for slug in ["a", "b", "c", "d"] {
        commit(&bench.store, move |tx| add(tx, slug, 1)).await;
    }
    let all = changes(&bench.store, Seq(0)).await.expect("the log is whole");
    assert_eq!(all.len(), 4);
    for at in 0..all.len() {
        let after = all[at].seq;
        let rest = changes(&bench.store, after).await.expect("the log is whole");
        assert_eq!(rest, all[at + 1..]);
        let two = bench.store.query(move |tx| feed::changes(tx, after, 2)).await.expect("the log is whole");
        assert_eq!(two, all[at + 1..][..rest.len().min(2)]);
    }
}

/// A position is kept until it is advanced, also over a reopening.
pub async fn positions_are_durable(place: &dyn Place) {
    let bench = Bench::open(place).await;
    commit(&bench.store, |tx| add(tx, "a", 1)).await;
    let start = commit(&bench.store, |tx| feed::subscribe(tx, "search")).await;
    commit(&bench.store, |tx| add(tx, "b", 1)).await;
    commit(&bench.store, |tx| add(tx, "c", 1)).await;
    let new = changes(&bench.store, start).await.expect("the log is whole");
    assert_eq!(new.len(), 2, "a new consumer begins at the end");
    let middle = new[0].seq;
    commit(&bench.store, move |tx| feed::advance(tx, "search", middle)).await;
    bench.store.close().await;

    let bench = Bench::open(place).await;
    let position = |tx: &Tx| feed::position(tx, "search");
    assert_eq!(bench.store.query(position).await.expect("it is known"), middle);
    let again = commit(&bench.store, |tx| feed::subscribe(tx, "search")).await;
    assert_eq!(again, middle, "a consumer that exists keeps its position");
    let rest = changes(&bench.store, again).await.expect("the log is whole");
    assert_eq!(rest, new[1..]);
}

/// A position only moves forward.
pub async fn a_position_never_goes_back(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let start = commit(&bench.store, |tx| feed::subscribe(tx, "search")).await;
    for slug in ["a", "b", "c"] {
        commit(&bench.store, move |tx| add(tx, slug, 1)).await;
    }
    let seqs: Vec<Seq> = changes(&bench.store, start)
        .await
        .expect("the log is whole")
        .iter()
        .map(|change| change.seq)
        .collect();
    for (to, then) in [(1, 1), (0, 1), (1, 1), (2, 2)] {
        let to = seqs[to];
        commit(&bench.store, move |tx| feed::advance(tx, "search", to)).await;
        let position = bench.store.query(|tx| feed::position(tx, "search")).await;
        assert_eq!(position.expect("it is known"), seqs[then]);
    }
}

/// A position that no change has yet is refused: waiting for it would keep the log for ever.
pub async fn a_position_beyond_the_log_is_refused(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let Seq(end) = commit(&bench.store, |tx| feed::subscribe(tx, "search")).await;
    let advance = bench.store.mutate(move |tx| feed::advance(tx, "search", Seq(end + 1))).await;
    let error = advance.expect_err("it is refused");
    assert!(matches!(error.downcast_ref(), Some(feed::Error::BeyondEnd { .. })), "{error:?}");
}

/// A consumer that did not subscribe, or no longer is one, is refused by name.
pub async fn an_unknown_consumer_is_refused(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let refused = feed::Error::UnknownConsumer { name: "nobody".into() };
    let position = bench.store.query(|tx| feed::position(tx, "nobody")).await.expect_err("it is refused");
    assert_eq!(position.downcast_ref(), Some(&refused));
    commit(&bench.store, |tx| feed::subscribe(tx, "nobody")).await;
    commit(&bench.store, |tx| feed::unsubscribe(tx, "nobody")).await;
    let advance = bench.store.mutate(|tx| feed::advance(tx, "nobody", Seq(1))).await;
    assert_eq!(advance.expect_err("it is refused").downcast_ref(), Some(&refused));
}

/// Waits until reading behind `after` fails because the log was forgotten; returns up to where.
async fn trimmed(store: &Store, after: Seq) -> Seq {
    soon(async {
        loop {
            let Err(error) = changes(store, after).await else { continue };
            match error.downcast::<feed::Error>() {
                Ok(feed::Error::Trimmed { asked, trimmed }) => {
                    assert_eq!(asked, after);
                    return trimmed;
                }
                other => panic!("the log failed in another way: {other:?}"),
            }
        }
    })
    .await
}

/// The log is forgotten behind its slowest consumer, and no further.
pub async fn the_log_is_kept_for_its_slowest_consumer(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let store = &bench.store;
    let start = commit(store, |tx| {
        feed::subscribe(tx, "slow")?;
        feed::subscribe(tx, "fast")
    })
    .await;
    for slug in ["a", "b", "c"] {
        commit(store, move |tx| add(tx, slug, 1)).await;
    }
    let all = changes(store, start).await.expect("the log is whole");
    let tasks = Tasks::new();
    store.start_upkeep(&tasks, feed::upkeep());
    for (name, at, slowest) in [("fast", 2, None), ("slow", 0, Some(0)), ("slow", 2, Some(2))] {
        let to = all[at].seq;
        commit(store, move |tx| feed::advance(tx, name, to)).await;
        let Some(slowest) = slowest else { continue };
        let kept = all[slowest].seq;
        assert_eq!(trimmed(store, Seq(kept.0 - 1)).await, kept);
        assert_eq!(changes(store, kept).await.expect("it is kept"), all[slowest + 1..]);
    }
    tasks.shutdown(Duration::from_secs(5)).await.expect("the upkeep ends");
}

/// Without consumers the whole log is forgotten from time to time; the feed goes on behind it.
pub async fn without_consumers_the_log_is_forgotten(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let tasks = Tasks::new();
    bench.store.start_upkeep(&tasks, feed::upkeep());
    soon(bench.clock.timers_waiting(1)).await;
    commit(&bench.store, |tx| add(tx, "a", 1)).await;
    let first = changes(&bench.store, Seq(0)).await.expect("the log is whole");
    bench.clock.advance_to_next_timer().expect("the upkeep waits for its time");
    soon(bench.clock.timers_waiting(1)).await;
    assert_eq!(trimmed(&bench.store, Seq(0)).await, first[0].seq);
    let start = commit(&bench.store, |tx| feed::subscribe(tx, "late")).await;
    assert!(start >= first[0].seq);
    commit(&bench.store, |tx| add(tx, "b", 1)).await;
    assert_eq!(changes(&bench.store, start).await.expect("it is kept").len(), 1);
    tasks.shutdown(Duration::from_secs(5)).await.expect("the upkeep ends");
}

/// A consumer's first position is never behind what is forgotten, even if a trim comes between the
/// subscription's snapshot and its commit. Where there is one writer, nothing can.
pub async fn a_new_consumer_can_read_from_its_start(place: &dyn Place) {
    let side_by_side = place.engine().profile().writers > 1;
    let bench = Bench::open(place).await;
    let store = &bench.store;
    let tasks = Tasks::new();
    store.start_upkeep(&tasks, feed::upkeep());
    soon(bench.clock.timers_waiting(1)).await;
    commit(store, |tx| add(tx, "before", 1)).await;

    let (entered, mut subscribing) = tokio::sync::mpsc::unbounded_channel();
    let (go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let late = commit(store, move |tx| {
        let start = feed::subscribe(tx, "late")?;
        entered.send(()).expect("the test waits");
        if side_by_side {
            let _ = held.lock().expect("nothing panics here").recv();
        }
        Ok(start)
    });
    let trim = async {
        soon(subscribing.recv()).await.expect("the subscription runs");
        commit(store, |tx| add(tx, "between", 1)).await;
        bench.clock.advance_to_next_timer();
        if side_by_side {
            trimmed(store, Seq(0)).await;
        }
        drop(go);
    };
    let (start, ()) = soon(async { tokio::join!(late, trim) }).await;
    changes(store, start).await.expect("the log is kept from the start on");
    tasks.shutdown(Duration::from_secs(5)).await.expect("the upkeep ends");
}

/// The feed can be followed live: under concurrent writers every change arrives once, and a copy
/// that is kept up to date by it ends as the table itself.
pub async fn a_followed_feed_is_complete(place: &dyn Place) {
    const WRITERS: usize = 8;
    const NOTES: usize = 12;
    let bench = Bench::open(place).await;
    let write = |writer: usize| {
        let store = bench.store.clone();
        async move {
            for number in 0..NOTES {
                let slug = format!("{writer}.{number}");
                commit(&store, move |tx| {
                    add(tx, &slug, 1)?;
                    if number % 3 == 2 {
                        remove(tx, &format!("{writer}.{}", number - 1))?;
                    }
                    change(tx, &format!("{writer}.0"), |note| note.stars += 1)
                })
                .await;
            }
        }
    };
    let start = commit(&bench.store, |tx| feed::subscribe(tx, "copy")).await;
    let mut follow = bench.store.follow(start, |tx, at| {
        let changes = feed::changes(tx, *at, 10)?;
        let end = changes.last().map_or(*at, |change| change.seq);
        let rows = changes.into_iter().map(|change| {
            let id = change.of::<Note>().expect("only notes change");
            Ok((change.seq, id, tx.get(id)?.map(|row| row.record)))
        });
        Ok((rows.collect::<Result<Vec<_>>>()?, end))
    });
    let copy = async {
        let (mut copy, mut seqs) = (BTreeMap::new(), vec![start]);
        while copy.values().all(|note: &Note| note.slug != "the end") {
            for (seq, id, note) in follow.next().await.expect("the store is open").expect("the log is whole")
            {
                seqs.push(seq);
                match note {
                    Some(note) => copy.insert(id, note),
                    None => copy.remove(&id),
                };
            }
        }
        assert!(seqs.is_sorted_by(|before, next| before < next), "they arrive in order, each once");
        (copy, seqs.len() - 1)
    };
    let writes = async {
        together((0..WRITERS).map(write)).await;
        commit(&bench.store, |tx| add(tx, "the end", 1)).await;
    };
    let ((copy, changes), ()) = tokio::join!(soon(copy), writes);
    let (inserts, deletes, updates) = (NOTES, NOTES / 3, NOTES - 1);
    assert_eq!(changes, WRITERS * (inserts + deletes + updates) + 1);
    let rows = bench.store.query(|tx| tx.scan(Note::all())).await.expect("the query succeeds");
    assert!(rows.into_iter().map(|row| (row.id, row.record)).eq(copy), "the copy is the table");
}

/// Who has a mutation's answer finds its changes at or before what the store calls committed.
pub async fn what_is_answered_is_committed(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let write = |number: usize| {
        let store = bench.store.clone();
        async move {
            let slug = number.to_string();
            let id = commit(&store, move |tx| add(tx, &slug, 1)).await.id;
            let committed = store.committed();
            let changes = changes(&store, Seq(0)).await.expect("the log is whole");
            let own = changes.iter().find(|change| change.of() == Some(id)).expect("the answer is told of");
            assert!(own.seq <= committed, "{:?} is answered, {committed:?} committed", own.seq);
        }
    };
    together((0..50).map(write)).await;
    let note = bench.store.query(|tx| find(tx, "0")).await;
    assert!(note.is_ok());
}
