//! `Store::check` finds what is planted below it.

use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_core::RawId;
use loomwork_store::engine::{
    Changes, Engine as _, EntryKey, Lane, Role, Scan, Session, Stored, TableNo, TxKind, Write,
};
use loomwork_store::{Id, Key, MAX_MISMATCHES, Memory, Mismatch, Page, Report, Row, Store, Table as _};
use loomwork_testkit::store::Note;

const BY_AUTHOR: usize = 0;
const BY_SLUG: usize = 1;
const INDEXES: usize = 3;

/// A store of notes, and the engine below it.
struct Planted {
    memory: Memory,
    store: Store,
}

impl Planted {
    async fn with(notes: impl IntoIterator<Item = Note>) -> (Self, Vec<RawId>) {
        let memory = Memory::new();
        let store = Store::builder(memory.clone()).tables([Note::table()]).open().await;
        let store = store.expect("the store opens");
        let notes: Vec<_> = notes.into_iter().collect();
        let inserted =
            store.mutate(|tx| notes.into_iter().map(|note| Ok(tx.insert(note)?.id.raw())).collect());
        let ids = inserted.await.expect("the notes commit");
        (Self { memory, store }, ids)
    }

    /// Writes one row as the store would never do: `change` may alter the body, and for each index
    /// say what is taken out of it and put into it.
    fn plant(&self, id: RawId, change: impl FnOnce(&mut Vec<u8>, &mut Keys)) {
        let mut session = self.memory.session(Role::Writer).expect("there is a session");
        session.begin(TxKind::Write, Lane::Durable).expect("it begins");
        let table = table_of(&*session, id);
        let mut stored = Stored { version: 0, body: Vec::new(), keys: Vec::new() };
        let shown = session.get(table, id, &mut |version, body| {
            (stored.version, stored.body) = (version, body.to_vec());
        });
        assert!(shown.expect("the row is read"));
        let held = (0..INDEXES).map(|index| held_key(&*session, table, index, id)).collect();
        let mut keys = Keys { out: vec![None; INDEXES], into: vec![None; INDEXES], held };
        change(&mut stored.body, &mut keys);
        stored.keys = keys.into;
        let write = Write { table, id, old: Some(&keys.out), new: Some(&stored) };
        session
            .apply(&Changes { writes: &[write], log: &[], log_floor: Default::default(), trim: None })
            .expect("it applies");
        session.commit().expect("it commits");
    }

    async fn report(&self) -> Report {
        self.store.check().await.expect("the check runs")
    }

    /// Finds exactly these mismatches, whatever their order.
    async fn check(&self, expected: &[(Option<&'static str>, RawId, &str)]) {
        let mut found: Vec<_> = self.report().await.mismatches;
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(index, id, what)| Mismatch {
                table: "notes",
                index: *index,
                id: *id,
                what: (*what).to_owned(),
            })
            .collect();
        let order = |fault: &Mismatch| (fault.index, fault.id, fault.what.clone());
        found.sort_by_key(order);
        expected.sort_by_key(order);
        assert_eq!(found, expected);
    }
}

struct Keys {
    out: Vec<Option<EntryKey>>,
    into: Vec<Option<EntryKey>>,
    /// The row's true entries.
    held: Vec<Option<EntryKey>>,
}

/// The table that has a row, whatever number the store gave it.
fn table_of(session: &dyn Session, id: RawId) -> TableNo {
    let has_row = |table: &TableNo| session.get(*table, id, &mut |_, _| ()).expect("the row is looked for");
    (0..100).map(TableNo).find(has_row).expect("the row is in some table")
}

fn held_key(session: &dyn Session, table: TableNo, index: usize, id: RawId) -> Option<EntryKey> {
    let scan = Scan {
        table,
        index: Some(index),
        low: &[],
        high: &[0xff],
        reverse: false,
        expect: None,
        bodies: false,
        claim: false,
    };
    let mut held = None;
    let looked = session.scan(&scan, &mut |entry| {
        if entry.id == id {
            held = Some(Arc::from(entry.key));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    looked.expect("the index is read");
    held
}

/// The entry of a row under a slug.
fn slug_entry(slug: &str, id: RawId) -> EntryKey {
    let mut key = Vec::new();
    slug.to_owned().write(&mut key).expect("a text is a key");
    key.extend_from_slice(id.as_bytes());
    key.into()
}

fn starred(slug: &str) -> Note {
    Note { stars: 5, ..Note::new(slug) }
}

#[tokio::test]
async fn a_sound_store_is_clean_and_every_row_and_entry_is_counted() {
    let (planted, _) = Planted::with([]).await;
    let before = planted.report().await;
    assert!(before.is_clean());
    let insert = planted.store.mutate(|tx| {
        tx.insert(Note::new("a"))?;
        tx.insert(starred("b"))
    });
    insert.await.unwrap();
    let after = planted.report().await;
    // The partial index has only the one that has stars.
    assert_eq!((after.rows - before.rows, after.entries - before.entries), (2, 5));
    assert!(after.is_clean());
}

#[tokio::test]
async fn a_missing_entry_is_found() {
    let (planted, ids) = Planted::with([starred("a"), starred("b")]).await;
    planted.plant(ids[1], |_, keys| keys.out[BY_SLUG] = keys.held[BY_SLUG].clone());
    planted.check(&[(Some("by_slug"), ids[1], "the index lacks its key (\"b\")")]).await;
}

#[tokio::test]
async fn an_entry_too_many_is_found() {
    let (planted, ids) = Planted::with([starred("a"), starred("b")]).await;
    planted.plant(ids[0], |_, keys| keys.into[BY_SLUG] = Some(slug_entry("x", ids[0])));
    let what = "the index holds (\"x\"), which the record does not make";
    planted.check(&[(Some("by_slug"), ids[0], what)]).await;
}

#[tokio::test]
async fn a_wrong_entry_is_found_from_both_sides() {
    let (planted, ids) = Planted::with([starred("a"), starred("b")]).await;
    planted.plant(ids[0], |_, keys| {
        keys.out[BY_AUTHOR] = keys.held[BY_AUTHOR].clone();
        keys.into[BY_AUTHOR] = Some(slug_entry("ann", ids[0]));
    });
    let expected = [
        (Some("by_author"), ids[0], "the index lacks its key (null, 5)"),
        (Some("by_author"), ids[0], "the index holds (\"ann\"), which the record does not make"),
    ];
    planted.check(&expected).await;
    let shown = planted.report().await.mismatches[0].to_string();
    assert_eq!(shown, format!("notes.by_author, row {}: the index lacks its key (null, 5)", ids[0]));
}

#[tokio::test]
async fn a_row_in_a_partial_index_that_leaves_it_out_is_found() {
    let (planted, ids) = Planted::with([starred("a")]).await;
    let body = serde_json::to_vec(&Note::new("a")).unwrap();
    planted.plant(ids[0], |stored, _| *stored = body);
    let expected = [
        (Some("by_author"), ids[0], "the index lacks its key (null, 0)"),
        (Some("by_author"), ids[0], "the index holds (null, 5), which the record does not make"),
        (Some("starred"), ids[0], "the index holds (5), which the record does not make"),
    ];
    planted.check(&expected).await;
}

#[tokio::test]
async fn a_readable_span_leaves_out_the_rows_that_cannot_be_read() {
    let (planted, ids) = Planted::with(["a", "b", "c", "d"].map(starred)).await;
    planted.plant(ids[0], |body, _| body.truncate(5));
    planted.plant(ids[2], |body, _| body.truncate(5));
    let read = planted.store.query(move |tx| {
        let slugs = |rows: Vec<Row<Note>>| rows.into_iter().map(|row| row.record.slug).collect::<Vec<_>>();
        let span = || Note::starred.all().readable();
        tx.scan(Note::starred.all()).expect_err("another span stops at the first one");
        let first = tx.page(span(), Page::first(1))?;
        let second = tx.page(span(), Page::after(first.next.expect("there is another page"), 1))?;
        assert_eq!((slugs(first.rows), slugs(second.rows)), (vec!["b".to_owned()], vec!["d".to_owned()]));
        assert_eq!(second.next, None);
        Ok((slugs(tx.scan(span())?), slugs(tx.scan(span().take(1))?), tx.scan(span().take(0))?.len()))
    });
    let (all, one, none) = read.await.expect("the query succeeds");
    assert_eq!((all, one, none), (vec!["b".to_owned(), "d".to_owned()], vec!["b".to_owned()], 0));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named_and_left_out_by_its_id() {
    let (planted, ids) = Planted::with(["a", "b"].map(starred)).await;
    planted.plant(ids[0], |body, _| body.truncate(5));
    let read = planted.store.query(move |tx| {
        let ids: Vec<Id<Note>> = ids.iter().map(|id| Id::from_raw(*id)).collect();
        assert_eq!(tx.ids(Note::starred.all())?, ids);
        assert_eq!(tx.ids(Note::starred.all().desc().take(1))?, [ids[1]]);
        tx.get(ids[0]).expect_err("a plain read stops at it");
        Ok((tx.get_readable(ids[0])?.is_some(), tx.get_readable(ids[1])?.is_some()))
    });
    assert_eq!(read.await.expect("the query succeeds"), (false, true));
}

#[tokio::test]
async fn an_unreadable_row_is_found_once() {
    let (planted, ids) = Planted::with([starred("a"), starred("b")]).await;
    planted.plant(ids[0], |body, _| body.truncate(5));
    let found = planted.report().await.mismatches;
    let [Mismatch { table: "notes", index: None, id, what }] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*id, ids[0]);
    assert!(what.contains("cannot be read"), "{what}");
}

#[tokio::test]
async fn a_unique_key_held_twice_is_found() {
    let (planted, ids) = Planted::with([starred("a"), starred("b"), starred("c")]).await;
    let body = serde_json::to_vec(&starred("a")).unwrap();
    planted.plant(ids[1], |stored, keys| {
        *stored = body;
        keys.out[BY_SLUG] = keys.held[BY_SLUG].clone();
        keys.into[BY_SLUG] = Some(slug_entry("a", ids[1]));
    });
    let what = format!("the unique key (\"a\") is also that of row {}", ids[0]);
    planted.check(&[(Some("by_slug"), ids[1], &what)]).await;
}

#[tokio::test]
async fn entries_that_are_no_keys_are_found() {
    let (planted, ids) = Planted::with([starred("a")]).await;
    let garbage = [&[0x50][..], &[0x03, 0x03], &[0x3f, 0xff], &[0x01; 40]];
    for garbage in garbage {
        planted.plant(ids[0], |_, keys| keys.into[BY_AUTHOR] = Some(garbage.into()));
    }
    let found = planted.report().await.mismatches;
    assert_eq!(found.len(), garbage.len(), "{found:?}");
    assert!(found.iter().all(|it| it.index == Some("by_author") && it.id == ids[0]), "{found:?}");
}

#[tokio::test]
async fn a_report_stops_at_its_limit() {
    let (planted, ids) =
        Planted::with((0..MAX_MISMATCHES + 1).map(|number| starred(&number.to_string()))).await;
    for id in ids {
        planted.plant(id, |_, keys| keys.out[BY_SLUG] = keys.held[BY_SLUG].clone());
    }
    assert_eq!(planted.report().await.mismatches.len(), MAX_MISMATCHES);
}
