//! What inserting, changing and deleting rows does.

use loomwork_core::Kind;
use loomwork_store::{Error, Id, Problem, Result, Store, Table as _, Tx};

use crate::store::counted::{Asked, Counted};
use crate::store::{Account, Bench, Note, Place};

/// The slugs of all notes in the order of their ids.
fn slugs(tx: &Tx) -> Result<Vec<String>> {
    Ok(tx.scan(Note::all())?.into_iter().map(|note| note.record.slug).collect())
}

/// A row goes in under a new id, or under one made before in the same or another mutation, once.
pub async fn rows_are_inserted_once(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let id: Id<Note> = store.mutate(|tx| Ok(tx.new_id())).await.expect("an id is made");
    let inserted = store.mutate(move |tx| {
        let later = tx.insert(Note::new("later"))?;
        let row = tx.insert_at(id, Note::new("earlier"))?;
        assert_eq!((row.id, row.record), (id, Note::new("earlier")));
        assert!(id < later.id);
        slugs(tx)
    });
    assert_eq!(inserted.await.expect("the mutation commits"), ["earlier", "later"]);

    let again = store.mutate(move |tx| tx.insert_at(id, Note::new("again"))).await;
    let error = again.expect_err("the id is taken");
    let problem = error.downcast_ref::<Problem>();
    assert!(matches!(problem, Some(Problem::Exists { id: taken, .. }) if *taken == id.raw()), "{error:?}");
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(store.query(slugs).await.expect("the query runs"), ["earlier", "later"]);
}

/// A row under a new id is not looked for: nobody else can have it, and engines with several writers
/// would take the look for a conflict. Only its unique key is.
pub async fn a_new_row_is_not_looked_for(place: &dyn Place) {
    let engine = Counted::over(place.engine());
    let builder = Store::builder(engine.clone()).tables([Note::table()]);
    let store = builder.open().await.expect("the store opens");
    let inserted = store.mutate(|tx| {
        let id = tx.insert(Note::new("new"))?.id;
        tx.update(id, |note| note.text = "changed".to_owned())?;
        tx.require(id)
    });
    assert_eq!(inserted.await.expect("the mutation commits").text, "changed");
    assert_eq!(engine.newest(), Asked { gets: 0, scans: 1, applies: 1, rows: 1 });
}

/// A row that a mutation was shown, by its id or in a range, is not read again to be written.
pub async fn a_row_that_was_shown_is_not_read_again(place: &dyn Place) {
    let engine = Counted::over(place.engine());
    let builder = Store::builder(engine.clone()).tables([Note::table()]);
    let store = builder.open().await.expect("the store opens");
    let id = store.mutate(|tx| Ok(tx.insert(Note::new("new"))?.id)).await.expect("it commits");
    let by_id = store.mutate(move |tx| {
        let note = tx.require(id)?;
        tx.replace(id, Note { stars: 1, ..note.record })
    });
    by_id.await.expect("the mutation commits");
    assert_eq!(engine.newest(), Asked { gets: 1, scans: 0, applies: 1, rows: 1 });
    let in_a_range = store.mutate(|tx| {
        let notes = tx.scan(Note::all())?;
        notes.iter().try_for_each(|note| tx.update(note.id, |note| note.stars += 1).map(drop))
    });
    in_a_range.await.expect("the mutation commits");
    assert_eq!(engine.newest(), Asked { gets: 0, scans: 1, applies: 1, rows: 1 });
    assert_eq!(store.query(move |tx| tx.require(id)).await.expect("the query runs").stars, 2);
}

/// What a mutation was shown is what its writes begin with, also behind a scope that was undone and
/// behind its own writes, and the next mutation begins anew.
pub async fn a_row_that_was_shown_is_written_as_it_is(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let id = store.mutate(|tx| Ok(tx.insert(Note::new("first"))?.id)).await.expect("it commits");
    let rename = |tx: &mut Tx, id, slug: &str| tx.update(id, |note: &mut Note| note.slug = slug.to_owned());
    let changed = store.mutate(move |tx| {
        tx.require(id)?;
        let undone = tx.nested(|tx| {
            rename(tx, id, "undone")?;
            Err::<(), _>(Error::message(Kind::Invalid, "undo"))
        });
        assert!(undone.is_err());
        assert_eq!(slugs(tx)?, ["first"]);
        rename(tx, id, "second")?;
        tx.require(id)?;
        rename(tx, id, "third")?;
        slugs(tx)
    });
    assert_eq!(changed.await.expect("the mutation commits"), ["third"]);
    let deleted = store.mutate(move |tx| {
        assert_eq!(slugs(tx)?, ["third"]);
        tx.delete(id)?;
        assert!(tx.get(id)?.is_none() && tx.delete(id)?.is_none());
        tx.insert_at(id, Note::new("fourth"))?;
        rename(tx, id, "fifth")
    });
    assert_eq!(deleted.await.expect("the mutation commits").slug, "fifth");
    assert_eq!(store.query(slugs).await.expect("the query runs"), ["fifth"]);
    assert!(store.check().await.expect("the check runs").is_clean());
}

/// An id that was deleted may be used again, in the same mutation and in a later one.
pub async fn a_deleted_id_is_free_again(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let id = store.mutate(|tx| Ok(tx.insert(Note::new("first"))?.id)).await.expect("it commits");
    let in_one = store.mutate(move |tx| {
        assert_eq!(tx.delete(id)?.map(|row| row.record), Some(Note::new("first")));
        tx.insert_at(id, Note::new("second"))
    });
    in_one.await.expect("delete and insert are one mutation");
    assert_eq!(store.query(slugs).await.expect("the query runs"), ["second"]);

    store.mutate(move |tx| tx.delete(id)).await.expect("it commits");
    store.mutate(move |tx| tx.insert_at(id, Note::new("first"))).await.expect("it commits");
    assert_eq!(store.query(slugs).await.expect("the query runs"), ["first"]);
    assert!(store.check().await.expect("the check runs").is_clean());
}

/// Updates see the row as it is and return it as it becomes; a replaced record keeps nothing.
pub async fn rows_are_changed_in_place(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let id = store.mutate(|tx| Ok(tx.insert(Note::new("a"))?.id)).await.expect("it commits");
    let changed = store.mutate(move |tx| {
        let once = tx.update(id, |note| note.stars += 2)?;
        let twice = tx.update(id, |note| note.stars *= 10)?;
        assert_eq!((once.stars, twice.stars), (2, 20));
        assert_eq!(tx.require(id)?, twice);
        let other = Note { author: Some("ann".to_owned()), ..Note::new("b") };
        assert_eq!(tx.replace(id, other.clone())?.record, other);
        Ok((tx.first(Note::by_slug.eq("a"))?, tx.first(Note::by_slug.eq("b"))?.map(|row| row.record), other))
    });
    let (old, new, other) = changed.await.expect("the mutation commits");
    assert_eq!((old, new.as_ref()), (None, Some(&other)));
    let found = store.query(move |tx| Ok((tx.scan(Note::all())?, tx.require(id)?.record))).await;
    let (rows, row) = found.expect("the query runs");
    assert_eq!((rows.len(), row), (1, other));
}

/// Deleting returns what was there, and nothing the second time.
pub async fn rows_are_deleted_once(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let id = store.mutate(|tx| Ok(tx.insert(Note::new("a"))?.id)).await.expect("it commits");
    for expected in [Some(Note::new("a")), None] {
        let gone = store.mutate(move |tx| tx.delete(id)).await.expect("it commits");
        assert_eq!(gone.map(|row| row.record), expected);
    }
    let left = store.query(move |tx| Ok((tx.get(id)?, tx.count(Note::by_slug.all())?))).await;
    assert_eq!(left.expect("the query runs"), (None, 0));
}

/// A unique key can move between rows within one mutation, and stays unique.
pub async fn a_unique_key_moves_within_a_mutation(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let moved = store.mutate(|tx| {
        let ann = tx.insert(Account { owner: "ann".to_owned(), balance: 1 })?.id;
        let ben = tx.insert(Account { owner: "ben".to_owned(), balance: 2 })?.id;
        Ok((ann, ben))
    });
    let (ann, ben) = moved.await.expect("the mutation commits");
    let rename = |to: &'static str| move |account: &mut Account| account.owner = to.to_owned();
    let swapped = store.mutate(move |tx| {
        assert!(tx.update(ann, rename("ben")).is_err(), "it is taken");
        tx.update(ann, rename("free"))?;
        tx.update(ben, rename("ann"))?;
        tx.update(ann, rename("ben"))?;
        assert!(tx.update(ben, rename("ben")).is_err(), "it is taken again");
        Ok(())
    });
    swapped.await.expect("the mutation commits");
    let balance = |owner: &'static str| {
        store.query(move |tx| Ok(tx.first(Account::by_owner.eq(owner))?.map(|account| account.balance)))
    };
    assert_eq!(balance("ann").await.expect("the query runs"), Some(2));
    assert_eq!(balance("ben").await.expect("the query runs"), Some(1));
    assert_eq!(balance("free").await.expect("the query runs"), None);
}
