//! Scopes inside a mutation, whose failure undoes only what they wrote.

use loomwork_core::Kind;
use loomwork_store::{Error, Id, Problem, Result, Row, Store, Table as _, Tx};

use super::gate::{Gate, hand_in, writers};
use super::spans::{all_notes, check_notes, insert_sample};
use crate::store::counted::Counted;
use crate::store::probe::together;
use crate::store::{Account, Bench, Note, Place};

fn undo() -> Error {
    Error::message(Kind::Invalid, "undo")
}

/// Runs `scope` nested and has it undone.
fn undone(tx: &mut Tx, scope: impl FnOnce(&mut Tx) -> Result<()>) -> Result<()> {
    let mut failure = None;
    let ended: Result<()> = tx.nested(|tx| {
        failure = scope(tx).err();
        Err(undo())
    });
    assert_eq!(ended.expect_err("the scope fails").to_string(), "undo");
    failure.map_or(Ok(()), Err)
}

/// The slugs of all notes in the order of their ids.
fn slugs(tx: &Tx) -> Result<Vec<String>> {
    Ok(tx.scan(Note::all())?.into_iter().map(|note| note.record.slug).collect())
}

fn insert(tx: &mut Tx, slug: &str) -> Result<Row<Note>> {
    tx.insert(Note::new(slug))
}

/// What a nested scope that succeeds has written stays, what one that fails has written goes, and
/// what the mutation itself writes before and after stays.
pub async fn a_nested_error_undoes_only_its_own_writes(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let written = store.mutate(|tx| {
        insert(tx, "before")?;
        let kept = tx.nested(|tx| insert(tx, "kept"))?;
        undone(tx, |tx| {
            insert(tx, "gone")?;
            tx.update(kept.id, |note| note.slug = "changed".to_owned())?;
            Ok(())
        })?;
        insert(tx, "after")?;
        slugs(tx)
    });
    assert_eq!(written.await.expect("the mutation commits"), ["before", "kept", "after"]);
    assert_eq!(store.query(slugs).await.expect("the query runs"), ["before", "kept", "after"]);
    assert!(store.check().await.expect("the check runs").is_clean());
}

/// A panic in a nested scope becomes an error of that scope and undoes only what it wrote, also
/// from within a scan.
pub async fn a_nested_panic_undoes_only_its_own_writes(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let written = store.mutate(|tx| {
        insert(tx, "before")?;
        let panicked: Result<()> = tx.nested(|tx| {
            insert(tx, "gone")?;
            tx.each(Note::by_slug.all(), |row| panic!("at {}", row.slug))
        });
        let error = panicked.expect_err("the scope panicked");
        let problem = error.downcast_ref();
        let Some(Problem::Panicked { what: "nested scope", message }) = problem else { panic!("{error:?}") };
        assert_eq!(message, "at before");
        insert(tx, "after")?;
        slugs(tx)
    });
    assert_eq!(written.await.expect("the mutation commits"), ["before", "after"]);
    assert_eq!(store.query(slugs).await.expect("the query runs"), ["before", "after"]);
}

/// An outer scope takes its inner ones with it when it fails, whatever became of them; when it
/// succeeds, those that failed stay undone.
pub async fn an_outer_scope_decides_over_its_inner_ones(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let written = store.mutate(|tx| {
        undone(tx, |tx| {
            insert(tx, "outer 1")?;
            tx.nested(|tx| insert(tx, "inner 1"))?;
            undone(tx, |tx| insert(tx, "inner 2").map(|_| ()))
        })?;
        assert!(slugs(tx)?.is_empty());
        tx.nested(|tx| {
            insert(tx, "outer 3")?;
            undone(tx, |tx| {
                insert(tx, "inner 3")?;
                tx.nested(|tx| insert(tx, "innermost 3").map(|_| ()))
            })?;
            tx.nested(|tx| insert(tx, "inner 4").map(|_| ()))
        })?;
        slugs(tx)
    });
    assert_eq!(written.await.expect("the mutation commits"), ["outer 3", "inner 4"]);
    assert_eq!(store.query(slugs).await.expect("the query runs"), ["outer 3", "inner 4"]);
}

/// Scopes may lie many levels deep: a failure in the middle undoes from there downwards.
pub async fn scopes_nest_deeply(place: &dyn Place) {
    const LEVELS: i64 = 64;
    const FAILS: i64 = 32;

    /// Writes on each level before and behind the next one.
    fn descend(tx: &mut Tx, counter: Id<Account>, level: i64) -> Result<()> {
        tx.update(counter, |account| account.balance += 1)?;
        insert(tx, &format!("down {level:02}"))?;
        if level < LEVELS {
            let below = tx.nested(|tx| descend(tx, counter, level + 1));
            assert_eq!(below.is_err(), level + 1 == FAILS, "level {level}");
        }
        insert(tx, &format!("up {level:02}"))?;
        if level == FAILS { Err(undo()) } else { Ok(()) }
    }

    let store = Bench::open(place).await.store;
    let written = store.mutate(|tx| {
        let counter = tx.insert(Account { owner: "levels".to_owned(), balance: 0 })?.id;
        descend(tx, counter, 1)?;
        Ok(tx.require(counter)?.balance)
    });
    assert_eq!(written.await.expect("the mutation commits"), FAILS - 1);
    let mut kept: Vec<_> = (1..FAILS).map(|level| format!("down {level:02}")).collect();
    kept.extend((1..FAILS).rev().map(|level| format!("up {level:02}")));
    assert_eq!(store.query(slugs).await.expect("the query runs"), kept);
}

/// How a mutation of many writes is divided into scopes.
#[derive(Clone, Copy, Debug)]
enum Division {
    None,
    SideBySide,
    OneInAnother,
}

/// Writes `left` notes and reads each of them back.
fn write_notes(tx: &mut Tx, division: Division, left: usize) -> Result<()> {
    let Some(rest) = left.checked_sub(1) else { return Ok(()) };
    let write = move |tx: &mut Tx| -> Result<()> {
        let id = insert(tx, &format!("note {rest}"))?.id;
        tx.update(id, |note| note.stars += 1)?;
        drop(tx.first(Note::by_slug.eq(format!("note {rest}")))?);
        Ok(())
    };
    match division {
        Division::None => write(tx)?,
        Division::SideBySide => tx.nested(write)?,
        Division::OneInAnother => {
            return tx.nested(|tx| {
                write(tx)?;
                write_notes(tx, division, rest)
            });
        }
    }
    write_notes(tx, division, rest)
}

/// However many scopes a mutation is divided into, side by side or one in the other, its engine is
/// asked for what the plain writes ask for, and is handed none of the rows that were undone.
pub async fn a_scope_asks_the_engine_for_nothing(place: &dyn Place) {
    const NOTES: usize = 200;
    let engine = Counted::over(place.engine());
    let builder = Store::builder(engine.clone()).tables([Note::table()]);
    let store = builder.open().await.expect("the store opens");
    let ask = async |division, keep: bool| {
        let written = store.mutate(move |tx| {
            let write = |tx: &mut Tx| write_notes(tx, division, NOTES);
            if keep { write(tx) } else { undone(tx, write) }
        });
        written.await.expect("the mutation commits");
        let asked = engine.newest();
        let emptied =
            store.mutate(|tx| tx.scan(Note::all())?.iter().try_for_each(|note| tx.delete(note.id).map(drop)));
        emptied.await.expect("the notes are deleted");
        asked
    };
    let plain = ask(Division::None, true).await;
    assert_eq!((plain.applies, plain.rows), (1, NOTES));
    for division in [Division::SideBySide, Division::OneInAnother] {
        assert_eq!(ask(division, true).await, plain, "{division:?}");
        let undone = ask(division, false).await;
        assert_eq!((undone.gets, undone.scans, undone.rows), (plain.gets, plain.scans, 0), "{division:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Move,
    Delete,
    Put,
}

fn apply(tx: &mut Tx, id: Id<Note>, step: Step) -> Result<()> {
    let is_there = tx.get(id)?.is_some();
    match step {
        Step::Move if is_there => {
            let moved = |note: &mut Note| {
                note.stars = 7 - note.stars;
                note.author = Some("moved".to_owned());
                note.slug.push('!');
            };
            tx.update(id, moved)?;
        }
        Step::Delete => drop(tx.delete(id)?),
        Step::Put if !is_there => drop(tx.insert_at(id, Note { stars: 9, ..Note::new("put") })?),
        Step::Move | Step::Put => {}
    }
    Ok(())
}

/// Whatever a failed scope did to a row, in whatever order, the row and all its index entries are
/// as before: a stored row, one that the mutation wrote, one it changed, one it deleted, none.
pub async fn undone_rows_are_restored_exactly(place: &dyn Place) {
    const STEPS: [Step; 3] = [Step::Move, Step::Delete, Step::Put];
    let store = Bench::open(place).await.store;
    let stored = store.mutate(insert_sample).await.expect("the sample commits");
    let restored = store.mutate(move |tx| {
        let [kept, changed, deleted] = [stored[0].id, stored[4].id, stored[5].id];
        tx.update(changed, |note| note.stars = 12)?;
        tx.delete(deleted)?;
        let own = insert(tx, "own")?.id;
        let nowhere = tx.new_id();
        let before = all_notes(tx)?;
        for id in [kept, changed, deleted, own, nowhere] {
            for first in STEPS {
                for second in STEPS {
                    for third in STEPS {
                        undone(tx, |tx| {
                            [first, second, third].into_iter().try_for_each(|step| apply(tx, id, step))
                        })?;
                        assert_eq!(all_notes(tx)?, before, "{id}: {first:?}, {second:?}, {third:?}");
                    }
                }
            }
        }
        check_notes(tx, &before[0])?;
        let [notes, ..] = before;
        Ok(notes)
    });
    let notes = restored.await.expect("the mutation commits");
    store.query(move |tx| check_notes(tx, &notes)).await.expect("the commit reads the same");
    assert!(store.check().await.expect("the check runs").is_clean());
}

/// What an undone scope has read still counts: two mutations that read what the other writes in a
/// scope that fails do not both act on it.
pub async fn what_an_undone_scope_read_stays_read(place: &dyn Place) {
    let writers = writers(place);
    let store = Bench::open(place).await.store;
    let opened = store.mutate(|tx| {
        let [a, b] = ["a", "b"].map(|owner| Account { owner: owner.to_owned(), balance: 0 });
        Ok((tx.insert(a)?.id, tx.insert(b)?.id))
    });
    let (a, b) = opened.await.expect("the accounts are opened");
    let gate = Gate::new();
    let take_if_other_is_free = |own, other| {
        let gate = gate.clone();
        let mutation = store.mutate(move |tx| {
            let mut is_free = false;
            undone(tx, |tx| {
                is_free = tx.require::<Account>(other)?.balance == 0;
                Ok(())
            })?;
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
    for _ in 0..writers.min(2) {
        gate.reached().await;
    }
    gate.open();
    let ended = together(callers).await.into_iter().map(|end| end.expect("it commits"));
    assert_eq!(ended.filter(|took| *took).count(), 1);
}
