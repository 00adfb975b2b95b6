//! Claims: many workers take from one queue, and no row is taken twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};

use loomwork_core::Kind;
use loomwork_store::{Error, Result, Row, Span, Store, Tx};

use crate::soon;
use crate::store::probe::{add, together};
use crate::store::{Account, Bench, Note, Place};

/// The notes that nobody has taken yet.
fn free() -> Span<Note, (i64,)> {
    Note::by_author.eq(None)
}

/// A store with notes of 1 to `count` stars that are free.
async fn queue(place: &dyn Place, count: i64) -> Bench {
    let bench = Bench::open(place).await;
    let filled = bench.store.mutate(move |tx| {
        // Not in the order of their stars: a claim's order is that of its span.
        let stars =
            (1..=count).filter(|stars| stars % 2 == 0).chain((1..=count).filter(|stars| stars % 2 == 1));
        stars.into_iter().try_for_each(|stars| add(tx, &stars.to_string(), stars).map(drop))
    });
    filled.await.expect("the queue is filled");
    bench
}

async fn claim(store: &Store, worker: &'static str, count: usize) -> Result<Vec<Row<Note>>> {
    let take = move |_: &Tx, note: &mut Note| {
        note.author = Some(worker.into());
        Ok(true)
    };
    soon(store.claim(free(), count, take)).await
}

fn stars(rows: &[Row<Note>]) -> Vec<i64> {
    rows.iter().map(|note| note.stars).collect()
}

async fn count_free(store: &Store) -> usize {
    store.query(|tx| tx.count(free())).await.expect("the query succeeds")
}

/// A claim takes as many rows as asked for, in the span's order.
pub async fn a_claim_takes_its_count_in_order(place: &dyn Place) {
    let bench = queue(place, 10).await;
    let mut taken = Vec::new();
    for (count, expected) in [(3, 3), (0, 0), (4, 4), (9, 3), (1, 0)] {
        let rows = claim(&bench.store, "ada", count).await.expect("the claim succeeds");
        assert_eq!(rows.len(), expected);
        taken.extend(stars(&rows));
    }
    assert!(taken.iter().copied().eq(1..=10), "they came as {taken:?}");
    assert_eq!(count_free(&bench.store).await, 0);
}

/// The span decides where a claim looks: its bounds, its order, its limit.
pub async fn a_claim_keeps_to_its_span(place: &dyn Place) {
    let bench = queue(place, 10).await;
    let take = |_: &Tx, note: &mut Note| {
        note.text = "taken".into();
        Ok(true)
    };
    let newest = bench.store.claim(Note::by_author.eq(None).le(7).desc().take(2), 5, take);
    assert_eq!(stars(&soon(newest).await.expect("the claim succeeds")), [7, 6]);
}

/// The rows are returned as they were stored.
pub async fn claimed_rows_are_returned_as_stored(place: &dyn Place) {
    let bench = queue(place, 3).await;
    let rows = claim(&bench.store, "ada", 2).await.expect("the claim succeeds");
    assert!(rows.iter().all(|note| note.author.as_deref() == Some("ada")));
    let stored = bench.store.query(|tx| tx.scan(Note::by_author.eq("ada"))).await;
    assert_eq!(stored.expect("the query succeeds"), rows);
}

/// A row that is not taken stays as it was, whatever was done to it, and does not count.
pub async fn a_row_that_is_not_taken_stays(place: &dyn Place) {
    let bench = queue(place, 6).await;
    let even = |_: &Tx, note: &mut Note| {
        note.author = Some("ada".into());
        Ok(note.stars % 2 == 0)
    };
    let rows = soon(bench.store.claim(free(), 2, even)).await.expect("the claim succeeds");
    assert_eq!(stars(&rows), [2, 4]);
    let left = bench.store.query(|tx| tx.scan(free())).await.expect("the query succeeds");
    assert_eq!(stars(&left), [1, 3, 5, 6]);
}

/// A claim can read around the row that it is shown.
pub async fn a_claim_can_read(place: &dyn Place) {
    let bench = queue(place, 4).await;
    let with_sibling = |tx: &Tx, note: &mut Note| {
        note.text = tx.count(free())?.to_string();
        Ok(tx.first(Note::by_slug.eq((note.stars + 3).to_string()))?.is_some())
    };
    let rows = soon(bench.store.claim(free(), 4, with_sibling)).await.expect("the claim succeeds");
    assert_eq!(rows.iter().map(|note| (note.stars, note.text.as_str())).collect::<Vec<_>>(), [(1, "4")]);
}

/// An error takes nothing, not even the rows that were taken before it; nor does a panic.
pub async fn a_failing_claim_takes_nothing(place: &dyn Place) {
    let bench = queue(place, 5).await;
    for kind in [Kind::Denied, Kind::Internal] {
        let take = move |_: &Tx, note: &mut Note| {
            note.author = Some("ada".into());
            match note.stars {
                3 if kind == Kind::Internal => panic!("the third one panics"),
                3 => Err(Error::message(Kind::Denied, "the third one fails")),
                _ => Ok(true),
            }
        };
        let failed = soon(bench.store.claim(free(), 5, take)).await.expect_err("the claim fails");
        assert_eq!(failed.kind(), kind);
        assert_eq!(count_free(&bench.store).await, 5);
    }
    let rows = claim(&bench.store, "bob", 5).await.expect("the claim succeeds");
    assert_eq!(stars(&rows), [1, 2, 3, 4, 5], "what failed holds no row");
}

/// However many claim at once, each row is taken once, and each claim keeps the order.
pub async fn racing_claims_take_each_row_once(place: &dyn Place) {
    const WORKERS: [&str; 8] = ["ada", "bob", "eve", "joe", "kim", "lea", "mia", "tom"];
    const ROWS: i64 = 200;
    let bench = queue(place, ROWS).await;
    let work = WORKERS.map(|worker| {
        let store = bench.store.clone();
        async move {
            let mut taken = Vec::new();
            loop {
                let rows = claim(&store, worker, 7).await.expect("the claim succeeds");
                assert!(rows.len() <= 7);
                assert!(rows.is_sorted_by_key(|note| note.stars), "a claim keeps the order");
                assert!(rows.iter().all(|note| note.author.as_deref() == Some(worker)));
                if rows.is_empty() {
                    return taken;
                }
                taken.extend(stars(&rows));
            }
        }
    });
    let mut taken = together(work).await.concat();
    // Who finds nothing free may have looked while others held the rest, and they may have let go.
    taken.extend(stars(&claim(&bench.store, "last", ROWS as usize).await.expect("the claim succeeds")));
    assert_eq!(taken.len(), ROWS as usize, "no row is taken twice");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (1..=ROWS).collect());
    assert_eq!(count_free(&bench.store).await, 0);
}

/// A claim passes over the rows that another one is looking at, instead of waiting for it. Where
/// there is one writer, claims come one after the other, and take different rows too.
pub async fn claims_do_not_wait_for_each_other(place: &dyn Place) {
    let side_by_side = place.engine().profile().writers > 1;
    let bench = queue(place, 4).await;
    let (shown, mut looking) = tokio::sync::mpsc::unbounded_channel();
    let (go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let slow = move |_: &Tx, note: &mut Note| {
        shown.send(note.stars).expect("the test waits");
        if side_by_side {
            let _ = held.lock().expect("nothing panics here").recv();
        }
        note.author = Some("slow".into());
        Ok(true)
    };
    let store = bench.store.clone();
    let slow = tokio::task::JoinSet::from_iter([async move { store.claim(free(), 1, slow).await }]);
    assert_eq!(soon(looking.recv()).await, Some(1));
    let quick = claim(&bench.store, "quick", 2).await.expect("the claim succeeds");
    assert_eq!(stars(&quick), [2, 3]);
    drop(go);
    let slow = soon(slow.join_all()).await.remove(0).expect("the claim succeeds");
    assert_eq!(stars(&slow), [1]);
}

/// Rows that claims only read are everybody's: claims side by side see the same settings.
pub async fn racing_claims_read_the_same_rows(place: &dyn Place) {
    const WORKERS: usize = 8;
    let bench = queue(place, WORKERS as i64).await;
    let limit = |tx: &mut Tx| tx.insert(Account { owner: "limit".into(), balance: 7 });
    bench.store.mutate(limit).await.expect("the setting is stored");
    let claims = (0..WORKERS).map(|_| {
        let store = bench.store.clone();
        async move {
            let by_the_limit = |tx: &Tx, note: &mut Note| {
                let limit = tx.first(Account::by_owner.eq("limit"))?;
                note.author = Some("ada".into());
                note.stars = limit.map_or(-1, |limit| limit.balance);
                Ok(true)
            };
            soon(store.claim(free(), 1, by_the_limit)).await.expect("the claim succeeds")
        }
    });
    let taken = tokio::task::JoinSet::from_iter(claims).join_all().await.concat();
    assert!(taken.iter().all(|note| note.stars == 7), "{taken:?}");
}
