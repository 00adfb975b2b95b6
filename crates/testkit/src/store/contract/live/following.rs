//! Streams that carry a cursor and deliver only what is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loomwork_core::Kind;
use loomwork_store::{Error, Follow, Id, Result, Store, Tx};

use crate::soon;
use crate::store::probe::poll_now;
use crate::store::{Account, Bench, Chapter, Place, Shelf};

/// The chapters of a shelf behind a position, and the position of the last one.
fn behind(tx: &Tx, shelf: Id<Shelf>, position: u32) -> Result<(Vec<u32>, u32)> {
    let chapters = tx.scan(Chapter::by_shelf.eq(shelf).gt(position))?;
    let positions: Vec<u32> = chapters.iter().map(|chapter| chapter.position).collect();
    let end = positions.last().copied().unwrap_or(position);
    Ok((positions, end))
}

fn append(tx: &mut Tx, shelf: Id<Shelf>) -> Result<u32> {
    let last = tx.first(Chapter::by_shelf.eq(shelf).desc())?.map_or(0, |chapter| chapter.position);
    Ok(tx.insert(Chapter { shelf, position: last + 1, words: vec![] })?.position)
}

async fn append_many(store: &Store, shelf: Id<Shelf>, count: usize) {
    let appended = store.mutate(move |tx| (0..count).try_for_each(|_| append(tx, shelf).map(drop)));
    appended.await.expect("the chapters are added");
}

async fn new_shelf(store: &Store) -> Id<Shelf> {
    let shelf = store.mutate(|tx| Ok(tx.insert(Shelf { label: "a stream".into() })?.id));
    shelf.await.expect("the shelf is added")
}

async fn next<C>(follow: &mut Follow<Vec<u32>, C>) -> Vec<u32>
where
    C: Clone + PartialEq + Send + 'static,
{
    soon(follow.next()).await.expect("the store is open").expect("the query succeeds")
}

/// Each delivery is what came since the one before, and all runs together read each row once.
pub async fn following_reads_only_what_is_new(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let shelf = new_shelf(&bench.store).await;
    let read = Arc::new(AtomicUsize::new(0));
    let rows_read = read.clone();
    let mut chapters = bench.store.follow(0, move |tx, position| {
        let (new, end) = behind(tx, shelf, *position)?;
        rows_read.fetch_add(new.len(), Ordering::Relaxed);
        Ok((new, end))
    });
    let mut seen = Vec::new();
    for count in [3, 1, 0, 20, 1] {
        append_many(&bench.store, shelf, count).await;
        if count > 0 {
            let new = next(&mut chapters).await;
            assert_eq!(new.len(), count);
            seen.extend(new);
        }
        assert_eq!(*chapters.cursor(), seen.len() as u32);
    }
    assert!(seen.iter().copied().eq(1..=25));
    assert_eq!(read.load(Ordering::Relaxed), 25);
}

/// It begins where it is told to.
pub async fn following_begins_at_its_cursor(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let shelf = new_shelf(&bench.store).await;
    append_many(&bench.store, shelf, 5).await;
    let mut chapters = bench.store.follow(3, move |tx, position| behind(tx, shelf, *position));
    assert_eq!(next(&mut chapters).await, [4, 5]);
    let mut at_the_end = bench.store.follow(5, move |tx, position| behind(tx, shelf, *position));
    assert!(poll_now(at_the_end.next()).is_pending());
    append_many(&bench.store, shelf, 1).await;
    assert_eq!(next(&mut at_the_end).await, [6]);
    assert_eq!(next(&mut chapters).await, [6]);
}

/// A query may read in batches: the stream rests only when there is no more to read.
pub async fn following_in_batches_comes_to_the_end(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let shelf = new_shelf(&bench.store).await;
    append_many(&bench.store, shelf, 25).await;
    let mut chapters = bench.store.follow(0, move |tx, position| {
        let batch = tx.scan(Chapter::by_shelf.eq(shelf).gt(*position).take(10))?;
        let end = batch.last().map_or(*position, |chapter| chapter.position);
        Ok((batch.iter().map(|chapter| chapter.position).collect::<Vec<_>>(), end))
    });
    for batch in [1..=10, 11..=20, 21..=25] {
        assert!(next(&mut chapters).await.into_iter().eq(batch));
    }
    append_many(&bench.store, shelf, 1).await;
    assert_eq!(next(&mut chapters).await, [26]);
}

/// A run that leaves the cursor where it was delivers nothing.
pub async fn an_unmoved_cursor_delivers_nothing(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let shelf = new_shelf(&bench.store).await;
    let (ran, mut runs) = tokio::sync::watch::channel(0);
    let mut chapters = bench.store.follow(0, move |tx, position| {
        ran.send_modify(|runs| *runs += 1);
        tx.count(Account::by_owner.all())?;
        behind(tx, shelf, *position)
    });
    for round in 1..=3 {
        let awaited = runs.wait_for(|runs| *runs == round);
        tokio::select! {
            biased;
            new = chapters.next() => panic!("{new:?} was delivered without a move"),
            ran = soon(awaited) => drop(ran.expect("the query is kept")),
        }
        let paid = bench.store.mutate(move |tx| tx.insert(Account { owner: round.to_string(), balance: 0 }));
        paid.await.expect("the mutation commits");
    }
    append_many(&bench.store, shelf, 1).await;
    assert_eq!(next(&mut chapters).await, [1]);
}

/// After an error it goes on at its cursor: nothing is skipped, nothing comes twice.
pub async fn following_goes_on_after_an_error(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let shelf = new_shelf(&bench.store).await;
    append_many(&bench.store, shelf, 2).await;
    let mut chapters = bench.store.follow(0, move |tx, position| {
        let new = behind(tx, shelf, *position)?;
        let blocked = tx.count(Account::by_owner.eq("blocked"))? > 0;
        if blocked { Err(Error::message(Kind::Denied, "blocked")) } else { Ok(new) }
    });
    assert_eq!(next(&mut chapters).await, [1, 2]);
    let block = bench.store.mutate(move |tx| {
        append(tx, shelf)?;
        Ok(tx.insert(Account { owner: "blocked".into(), balance: 0 })?.id)
    });
    let block = block.await.expect("the mutation commits");
    let blocked = soon(chapters.next()).await.expect("the store is open");
    assert_eq!(blocked.expect_err("the query fails").kind(), Kind::Denied);
    assert_eq!(*chapters.cursor(), 2);
    bench.store.mutate(move |tx| tx.delete(block)).await.expect("the mutation commits");
    assert_eq!(next(&mut chapters).await, [3]);
}

/// A stream that grows while it is followed arrives whole, in order, nothing twice.
pub async fn a_growing_stream_arrives_whole(place: &dyn Place) {
    const LENGTH: u32 = 300;
    let bench = Bench::open(place).await;
    let shelf = new_shelf(&bench.store).await;
    let mut chapters = bench.store.follow(0, move |tx, position| behind(tx, shelf, *position));
    let write = async {
        for _ in 0..LENGTH {
            let appended = bench.store.mutate(move |tx| append(tx, shelf)).relaxed();
            appended.await.expect("the mutation commits");
        }
    };
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < LENGTH as usize {
            seen.extend(next(&mut chapters).await);
        }
        seen
    };
    let (seen, ()) = soon(async { tokio::join!(read, write) }).await;
    assert!(seen.iter().copied().eq(1..=LENGTH), "it arrived as {seen:?}");
}
