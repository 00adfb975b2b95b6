//! Which commits wake a live query.

use std::ops::ControlFlow;
use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::{Error, Id, Page, Result, Row, Table, Tx};

use crate::store::probe::{Probe, add, change, find, remove};
use crate::store::{Account, Bench, Chapter, Note, Place, Shelf};

/// The notes by nobody with 20 to 40 stars: of those planted `b`, `c` and `d`.
fn middle(tx: &Tx) -> Result<Vec<Row<Note>>> {
    tx.scan(Note::by_author.eq(None).ge(20).le(40))
}

fn write_by(tx: &mut Tx, author: &str, slug: &str) -> Result<Row<Note>> {
    tx.insert(Note { author: Some(author.into()), stars: 30, ..Note::new(slug) })
}

/// A commit inside a range that was read wakes; one below, above or beside it does not.
pub async fn a_commit_wakes_only_whom_it_concerns(place: &dyn Place) {
    let mut live = Probe::open(place, middle).await;
    live.sleeps_through(|tx| add(tx, "below", 19)).await;
    live.sleeps_through(|tx| add(tx, "above", 41)).await;
    live.sleeps_through(|tx| write_by(tx, "ada", "of another author")).await;
    live.sleeps_through(|tx| tx.insert(Account { owner: "ada".into(), balance: 30 })).await;
    live.sleeps_through(|tx| change(tx, "a", |note| note.stars = 11)).await;
    live.sleeps_through(|tx| change(tx, "e", |note| note.text = "changed".into())).await;
    live.sleeps_through(|tx| remove(tx, "e")).await;
    live.wakes_for(|tx| add(tx, "first", 20)).await;
    live.wakes_for(|tx| add(tx, "last", 40)).await;
}

/// A row that moves counts where it was and where it comes to be.
pub async fn a_move_counts_at_both_ends(place: &dyn Place) {
    let mut live = Probe::open(place, middle).await;
    live.wakes_for(|tx| change(tx, "b", |note| note.stars = 5)).await;
    live.wakes_for(|tx| change(tx, "e", |note| note.stars = 25)).await;
    live.wakes_for(|tx| change(tx, "c", |note| note.author = Some("ada".into()))).await;
    live.wakes_for(|tx| change(tx, "d", |note| note.stars = 21)).await;
    let slugs: Vec<_> = live.last().iter().map(|note| note.slug.as_str()).collect();
    assert_eq!(slugs, ["d", "e"]);
}

/// A deleted row counts where it was.
pub async fn a_delete_wakes(place: &dyn Place) {
    let mut live = Probe::open(place, middle).await;
    live.sleeps_through(|tx| remove(tx, "a")).await;
    live.wakes_for(|tx| remove(tx, "c")).await;
}

/// A row counts although its change leaves all keys in place; a change to the same is none.
pub async fn a_change_that_moves_no_key_wakes(place: &dyn Place) {
    let mut live = Probe::open(place, middle).await;
    live.sleeps_through(|tx| change(tx, "a", |note| note.text = "new".into())).await;
    live.wakes_for(|tx| change(tx, "c", |note| note.text = "new".into())).await;
    live.sleeps_through(|tx| change(tx, "c", |note| note.text = "new".into())).await;
}

/// Who looked for an id in vain hears when the row comes.
pub async fn an_absent_row_is_waited_for(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let id: Id<Note> = bench.store.mutate(|tx| Ok(tx.new_id())).await.expect("the mutation commits");
    let mut live = Probe::over(bench, move |tx| tx.get(id)).await;
    assert_eq!(*live.last(), None);
    live.sleeps_through(|tx| add(tx, "another", 1)).await;
    live.wakes_for(move |tx| tx.insert_at(id, Note::new("awaited"))).await;
    live.wakes_for(move |tx| tx.delete(id)).await;
}

/// Who looked for a unique key in vain hears when it is taken.
pub async fn a_free_unique_key_is_waited_for(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| tx.first(Note::by_slug.eq("wanted"))).await;
    assert_eq!(*live.last(), None);
    for near in ["want", "wante", "wanted\0", "wanted again", "wantee"] {
        live.sleeps_through(move |tx| add(tx, near, 1)).await;
    }
    live.wakes_for(|tx| change(tx, "a", |note| note.slug = "wanted".into())).await;
    live.wakes_for(|tx| change(tx, "wanted", |note| note.slug = "a".into())).await;
}

/// Who found a range empty hears of its first row.
pub async fn an_empty_range_is_waited_for(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| tx.scan(Note::by_author.eq("ada"))).await;
    assert!(live.last().is_empty());
    live.sleeps_through(|tx| write_by(tx, "ad", "too short")).await;
    live.sleeps_through(|tx| write_by(tx, "ada b", "too long")).await;
    live.wakes_for(|tx| write_by(tx, "ada", "hers")).await;
}

/// A scan that got its fill ends at its last row: what comes behind does not wake.
pub async fn a_full_scan_ends_at_its_last_row(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| tx.scan(Note::by_author.eq(None).take(2))).await;
    live.sleeps_through(|tx| add(tx, "behind", 21)).await;
    live.sleeps_through(|tx| add(tx, "same stars, greater id", 20)).await;
    live.sleeps_through(|tx| change(tx, "d", |note| note.text = "new".into())).await;
    live.sleeps_through(|tx| remove(tx, "c")).await;
    live.wakes_for(|tx| change(tx, "b", |note| note.text = "the last row itself".into())).await;
    live.wakes_for(|tx| add(tx, "before", 15)).await;
    live.sleeps_through(|tx| remove(tx, "b")).await;
    live.wakes_for(|tx| remove(tx, "a")).await;
}

/// The same against the order.
pub async fn a_full_scan_against_the_order_ends_at_its_last_row(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| tx.scan(Note::by_author.eq(None).desc().take(2))).await;
    live.sleeps_through(|tx| add(tx, "behind", 39)).await;
    live.sleeps_through(|tx| remove(tx, "c")).await;
    live.wakes_for(|tx| change(tx, "d", |note| note.text = "the last row itself".into())).await;
    live.wakes_for(|tx| add(tx, "same stars, greater id", 40)).await;
    live.sleeps_through(|tx| remove(tx, "d")).await;
    live.wakes_for(|tx| add(tx, "before", 45)).await;
    live.wakes_for(|tx| remove(tx, "e")).await;
}

/// A scan that did not get its fill covers its whole range.
pub async fn a_scan_with_room_covers_its_range(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| tx.scan(Note::by_author.eq(None).take(6))).await;
    live.wakes_for(|tx| add(tx, "f", 60)).await;
    live.sleeps_through(|tx| add(tx, "g", 70)).await;
}

/// Counting reads the range too.
pub async fn a_count_covers_its_range(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| tx.count(Note::by_author.eq(None).le(30))).await;
    live.sleeps_through(|tx| add(tx, "above", 31)).await;
    live.runs_in_silence_for(|tx| change(tx, "c", |note| note.text = "new".into())).await;
    live.wakes_for(|tx| add(tx, "inside", 30)).await;
}

/// A walk that breaks off has read up to there.
pub async fn a_broken_walk_ends_where_it_broke_off(place: &dyn Place) {
    let up_to_20 = |tx: &Tx| {
        let mut sum = 0;
        tx.each(Note::by_author.eq(None), |note| {
            sum += note.stars;
            Ok(if note.stars >= 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(sum)
    };
    let mut live = Probe::open(place, up_to_20).await;
    live.sleeps_through(|tx| remove(tx, "c")).await;
    live.wakes_for(|tx| add(tx, "between", 15)).await;
}

/// A page has read its rows and the one behind them, which tells that there is another page.
pub async fn a_page_ends_at_the_row_behind_it(place: &dyn Place) {
    let page = |tx: &Tx| tx.page(Note::by_author.eq(None), Page::first(2));
    let mut live = Probe::open(place, page).await;
    live.sleeps_through(|tx| remove(tx, "d")).await;
    live.sleeps_through(|tx| add(tx, "behind", 31)).await;
    live.runs_in_silence_for(|tx| change(tx, "c", |note| note.text = "new".into())).await;
    live.wakes_for(|tx| add(tx, "inside", 15)).await;
}

/// A scan without an index covers every row of the table.
pub async fn a_whole_table_is_covered(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| tx.count(Note::all())).await;
    live.sleeps_through(|tx| tx.insert(Shelf { label: "another table".into() })).await;
    live.wakes_for(|tx| add(tx, "f", -7)).await;
    live.wakes_for(|tx| remove(tx, "a")).await;
}

/// A row reached by its id counts, from wherever the id came.
pub async fn a_row_reached_by_id_counts(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let shelved = bench.store.mutate(|tx| {
        let [here, elsewhere] = ["here", "elsewhere"].map(|label| Shelf { label: label.into() });
        let (here, elsewhere) = (tx.insert(here)?.id, tx.insert(elsewhere)?.id);
        let chapter = tx.insert(Chapter { shelf: here, position: 1, words: vec![1] })?.id;
        Ok((here, elsewhere, chapter))
    });
    let (here, elsewhere, chapter) = shelved.await.expect("the mutation commits");
    let label = move |tx: &Tx| Ok(tx.require(tx.require(chapter)?.shelf)?.label.clone());
    let mut live = Probe::over(bench, label).await;
    live.sleeps_through(move |tx| tx.update(elsewhere, |shelf| shelf.label = "far".into())).await;
    live.wakes_for(move |tx| tx.update(here, |shelf| shelf.label = "near".into())).await;
    live.wakes_for(move |tx| tx.update(chapter, |chapter| chapter.shelf = elsewhere)).await;
    live.sleeps_through(move |tx| tx.update(here, |shelf| shelf.label = "left".into())).await;
    live.wakes_for(move |tx| tx.update(elsewhere, |shelf| shelf.label = "here now".into())).await;
}

/// What counts is what the newest run has read; what an earlier one did is forgotten.
pub async fn ranges_are_those_of_the_newest_run(place: &dyn Place) {
    let notes_of_the_chosen = |tx: &Tx| {
        let chosen = find(tx, "a")?.text.clone();
        tx.scan(Note::by_author.eq(chosen))
    };
    let mut live = Probe::open(place, notes_of_the_chosen).await;
    live.runs_in_silence_for(|tx| change(tx, "a", |note| note.text = "ada".into())).await;
    live.wakes_for(|tx| write_by(tx, "ada", "one")).await;
    live.wakes_for(|tx| change(tx, "a", |note| note.text = "bob".into())).await;
    live.sleeps_through(|tx| write_by(tx, "ada", "two")).await;
    live.wakes_for(|tx| write_by(tx, "bob", "three")).await;
}

/// The passing of time wakes nobody.
pub async fn time_does_not_wake(place: &dyn Place) {
    let mut live = Probe::open(place, |tx| Ok((tx.now(), find(tx, "a")?))).await;
    live.bench.clock.advance(Duration::from_secs(3600));
    live.stays_asleep().await;
    live.wakes_for(|tx| change(tx, "a", |note| note.stars += 1)).await;
}

fn given_up<T>() -> Result<T> {
    Err(Error::message(Kind::Cancelled, "given up on purpose"))
}

/// Writes that were not kept wake nobody: of a mutation that failed, of a scope that was undone,
/// of a row that was made and deleted again.
pub async fn undone_writes_do_not_wake(place: &dyn Place) {
    let mut live = Probe::open(place, middle).await;
    let failed = live.bench.store.mutate(|tx| {
        add(tx, "gone", 30)?;
        given_up::<()>()
    });
    failed.await.expect_err("the mutation fails");
    live.stays_asleep().await;
    live.sleeps_through(|tx| {
        let undone = tx.nested(|tx| {
            change(tx, "c", |note| note.stars = 31)?;
            given_up::<()>()
        });
        assert!(undone.is_err());
        Ok(())
    })
    .await;
    live.sleeps_through(|tx| {
        let id = add(tx, "short-lived", 30)?.id;
        tx.delete(id)
    })
    .await;
    live.wakes_for(|tx| add(tx, "kept", 30)).await;
}
