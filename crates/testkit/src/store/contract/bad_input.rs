//! What is refused, and what the refusal names.

use std::error::Error as _;

use loomwork_core::Kind;
use loomwork_store::{
    Cursor, CursorError, Error, Id, Key as _, KeyError, MAX_KEY_BYTES, MAX_RECORD_BYTES, Page, Paged,
    Problem, Result, Row, Span, Store, Table, TableDef, Tx,
};
use serde::{Deserialize, Serialize};

use super::spans::insert_sample;
use crate::soon;
use crate::store::{Account, Bench, Note, Place, Shelf};

/// A record with a float in a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "readings", id = "reading")]
#[index(by_value(value))]
struct Reading {
    value: f64,
    error: Option<f64>,
    range: (f64, f64),
}

impl Reading {
    fn new(value: f64) -> Self {
        Self { value, error: None, range: (0.0, 1.0) }
    }
}

async fn mutation_error<T: Send + 'static>(
    store: &Store,
    mutation: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
) -> Error {
    store.mutate(mutation).await.err().expect("the mutation is refused")
}

async fn query_error<T: Send + 'static>(
    store: &Store,
    query: impl Fn(&Tx) -> Result<T> + Send + 'static,
) -> Error {
    store.query(query).await.err().expect("the query is refused")
}

fn problem(error: &Error) -> &Problem {
    error.downcast_ref().unwrap_or_else(|| panic!("{error:?} is no problem of the store"))
}

/// A record may take as many bytes as the limit says, and not one more.
pub async fn a_record_above_the_limit_is_refused(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let empty = r#"{"label":""}"#.len();
    let shelf = move |bytes: usize| Shelf { label: "x".repeat(bytes - empty) };
    let id = store.mutate(move |tx| Ok(tx.insert(shelf(MAX_RECORD_BYTES))?.id)).await.expect("it just fits");
    for error in [
        mutation_error(&store, move |tx| tx.insert(shelf(MAX_RECORD_BYTES + 1))).await,
        mutation_error(&store, move |tx| tx.update(id, |shelf| shelf.label.push('x'))).await,
    ] {
        let Problem::RecordTooLarge { table: "shelves", bytes, limit } = problem(&error) else {
            panic!("{error:?}")
        };
        assert_eq!((*bytes, *limit), (MAX_RECORD_BYTES + 1, MAX_RECORD_BYTES));
        assert!(error.to_string().contains(&MAX_RECORD_BYTES.to_string()), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
    let read = store.query(move |tx| Ok(tx.require(id)?.label.len() + empty)).await;
    assert_eq!(read.expect("the query runs"), MAX_RECORD_BYTES);
}

/// A key may take as many bytes as the limit says, and not one more.
pub async fn a_key_above_the_limit_is_refused(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let mut empty = Vec::new();
    String::new().write(&mut empty).expect("a text is a key");
    let slug = |bytes: usize| "x".repeat(bytes - empty.len());
    let (fits, exceeds) = (slug(MAX_KEY_BYTES), slug(MAX_KEY_BYTES + 1));
    let found = store.mutate(move |tx| {
        tx.insert(Note::new(fits.clone()))?;
        tx.first(Note::by_slug.eq(fits))
    });
    let note = found.await.expect("the mutation commits").expect("it just fits");
    let longer = exceeds.clone();
    for error in [
        mutation_error(&store, move |tx| tx.insert(Note::new(longer))).await,
        mutation_error(&store, move |tx| tx.update(note.id, |note| note.slug = exceeds)).await,
    ] {
        let Problem::KeyTooLarge { table: "notes", index: "by_slug", bytes, limit } = problem(&error) else {
            panic!("{error:?}")
        };
        assert_eq!((*bytes, *limit), (MAX_KEY_BYTES + 1, MAX_KEY_BYTES));
        assert!(error.to_string().contains(&MAX_KEY_BYTES.to_string()), "{error}");
    }
}

/// NaN is refused as a key and as a bound, in both with the name of the index.
pub async fn nan_is_refused_in_keys(place: &dyn Place) {
    let store = Bench::open_with(place, |builder| builder.tables([Reading::table()])).await.store;
    let id = store.mutate(|tx| Ok(tx.insert(Reading::new(1.0))?.id)).await.expect("it commits");
    let nan = f64::NAN;
    for error in [
        mutation_error(&store, move |tx| tx.insert(Reading::new(nan))).await,
        mutation_error(&store, move |tx| tx.update(id, |reading| reading.value = nan)).await,
        query_error(&store, move |tx| tx.scan(Reading::by_value.eq(nan))).await,
        query_error(&store, move |tx| tx.first(Reading::by_value.ge(0.0).lt(nan))).await,
        query_error(&store, move |tx| tx.count(Reading::by_value.gt(nan).le(0.0))).await,
        query_error(&store, move |tx| tx.page(Reading::by_value.ge(nan), Page::first(1))).await,
    ] {
        let Problem::BadKey { table: "readings", index: "by_value", .. } = problem(&error) else {
            panic!("{error:?}")
        };
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        assert_eq!(cause, Some(&KeyError::NotANumber));
        assert_eq!(error.kind(), Kind::Invalid);
    }
}

/// A float that JSON cannot write is refused, rather than stored as a row that cannot be read.
pub async fn a_float_that_json_cannot_hold_is_refused(place: &dyn Place) {
    let store = Bench::open_with(place, |builder| builder.tables([Reading::table()])).await.store;
    for bad in [f64::NAN, f64::INFINITY] {
        let (range, error) = ((0.0, bad), Some(bad));
        for reading in [Reading { range, ..Reading::new(1.0) }, Reading { error, ..Reading::new(1.0) }] {
            let error = mutation_error(&store, move |tx| tx.insert(reading)).await;
            assert!(matches!(problem(&error), Problem::Unencodable { table: "readings", .. }), "{error:?}");
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }
    let absent = store.mutate(|tx| tx.insert(Reading::new(1.0)));
    assert_eq!(absent.await.expect("an absent value is none of these").record, Reading::new(1.0));
    assert_eq!(store.query(|tx| tx.count(Reading::all())).await.expect("the query runs"), 1);
}

/// An unknown id is an absence when it is looked up or deleted, and an error that names it when
/// the row is required or changed.
pub async fn an_unknown_id_is_named(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let id: Id<Note> = store.mutate(|tx| Ok(tx.new_id())).await.expect("an id is made");
    for error in [
        query_error(&store, move |tx| tx.require(id)).await,
        mutation_error(&store, move |tx| tx.update(id, |note| note.stars = 1)).await,
        mutation_error(&store, move |tx| tx.replace(id, Note::new("a"))).await,
    ] {
        let Problem::NotFound { table: "notes", .. } = problem(&error) else { panic!("{error:?}") };
        assert!(error.to_string().contains(&id.to_string()), "{error}");
        assert_eq!(error.kind(), Kind::NotFound);
    }
    let absent = store.mutate(move |tx| Ok((tx.get(id)?, tx.delete(id)?)));
    assert_eq!(absent.await.expect("absence is no error"), (None, None));
}

/// A second row with a unique key is refused with the index, the key as a person would write it,
/// and the row that holds it.
pub async fn a_duplicate_key_names_its_holder(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let [holder, other] = ["it's \"a\"", "b"].map(|slug| store.mutate(move |tx| tx.insert(Note::new(slug))));
    let (holder, other) = (holder.await.expect("it commits").id, other.await.expect("it commits").id);
    let taken = || Note::new("it's \"a\"");
    for error in [
        mutation_error(&store, move |tx| tx.insert(taken())).await,
        mutation_error(&store, move |tx| tx.replace(other, taken())).await,
        mutation_error(&store, move |tx| {
            tx.delete(other)?;
            tx.insert_at(other, taken())
        })
        .await,
    ] {
        let Problem::Duplicate { table: "notes", index: "by_slug", key, id, .. } = problem(&error) else {
            panic!("{error:?}")
        };
        assert_eq!((key.as_str(), *id), (r#"("it's \"a\"")"#, holder.raw()));
        let text = error.to_string();
        assert!(["notes.by_slug", key, &holder.to_string()].iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
    assert_eq!(store.query(|tx| tx.count(Note::by_slug.all())).await.expect("the query runs"), 2);
}

/// A table that the store was not opened with is refused by name, to read and to write.
pub async fn a_table_that_is_not_in_the_store_is_named(place: &dyn Place) {
    let store = Bench::open_with(place, |builder| builder.tables([Note::table()])).await.store;
    let account = Account { owner: "ann".to_owned(), balance: 0 };
    for error in [
        query_error(&store, |tx| tx.scan(Account::all())).await,
        query_error(&store, |tx| tx.first(Account::by_owner.eq("ann"))).await,
        mutation_error(&store, |tx| tx.insert(account)).await,
    ] {
        assert!(matches!(problem(&error), Problem::UnknownTable { table: "accounts" }), "{error:?}");
        assert!(error.to_string().contains("`accounts`"), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
}

/// Has the name of another table.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "remark")]
struct SameName {}

/// Has ids that look like those of another table.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "remarks", id = "note")]
struct SamePrefix {}

/// Has a name that is the store's.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "loomwork_remarks", id = "remark")]
struct ReservedName {}

/// Tables that do not fit together are refused by their names, before anything is written.
pub async fn tables_that_do_not_fit_together_are_named(place: &dyn Place) {
    let cases: [(TableDef, &[&str]); 4] = [
        (Note::table(), &["`notes`"]),
        (SameName::table(), &["`notes`"]),
        (SamePrefix::table(), &["`notes`", "`remarks`", "`note_`"]),
        (ReservedName::table(), &["`loomwork_remarks`", "`loomwork_`"]),
    ];
    for (table, named) in cases {
        let opened = Store::builder(place.engine()).tables([Note::table(), table]).open().await;
        let error = opened.expect_err("the tables are refused");
        let Problem::BadSchema(reason) = problem(&error) else { panic!("{error:?}") };
        assert!(named.iter().all(|name| reason.contains(name)), "{reason}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
    let store = Bench::open(place).await.store;
    assert_eq!(store.epoch(), 1, "nothing was written before");
}

fn after<T: Table, K>(tx: &Tx, span: Span<T, K>, cursor: &Cursor) -> Result<Paged<T>> {
    tx.page(span, Page::after(cursor.clone(), 2))
}

/// A cursor is refused by every query but its own: another index, bound, direction or table.
pub async fn a_cursor_of_another_query_is_refused(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    store.mutate(insert_sample).await.expect("the sample commits");
    let checked = store.query(|tx| {
        let own = || Note::by_author.eq("ann").ge(0);
        let cursor = &tx.page(own(), Page::first(2))?.next.expect("there is more");
        assert_eq!(after(tx, own(), cursor)?.rows.len(), 2);
        let foreign = [
            after(tx, own().desc(), cursor).err(),
            after(tx, Note::by_author.eq("ann").ge(1), cursor).err(),
            after(tx, Note::by_author.eq("ann").ge(0).lt(100), cursor).err(),
            after(tx, Note::by_author.eq("anna").ge(0), cursor).err(),
            after(tx, Note::by_author.all(), cursor).err(),
            after(tx, Note::by_slug.all(), cursor).err(),
            after(tx, Note::starred.ge(0), cursor).err(),
            after(tx, Note::all(), cursor).err(),
            after(tx, Account::by_owner.all(), cursor).err(),
        ];
        for (number, error) in foreign.into_iter().enumerate() {
            let error = error.unwrap_or_else(|| panic!("query {number} took the cursor"));
            let Problem::Cursor(CursorError::Foreign { .. }) = problem(&error) else { panic!("{error:?}") };
            assert_eq!(error.kind(), Kind::Invalid);
        }
        Ok(())
    });
    checked.await.expect("the query runs");
}

/// A cursor whose place a client has changed reads nothing outside its query's span.
pub async fn a_forged_cursor_does_not_leave_its_span(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    store.mutate(insert_sample).await.expect("the sample commits");
    let checked = store.query(|tx| {
        let own = |reverse| {
            let span = Note::by_author.eq("ann").ge(0);
            if reverse { span.desc() } else { span }
        };
        for reverse in [false, true] {
            let genuine = tx.page(own(reverse), Page::first(1))?.next.expect("there is more").to_string();
            // The text begins with the query's mark, 8 bytes; what follows is the place.
            for place in ["", "AAAA", "____", "MDAw"] {
                let forged = format!("{}{place}", &genuine[..12]);
                let Ok(forged) = forged.parse::<Cursor>() else { continue };
                if let Ok(page) = after(tx, own(reverse), &forged) {
                    let inside = |note: &Row<Note>| note.author.as_deref() == Some("ann") && note.stars >= 0;
                    assert!(page.rows.iter().all(inside), "{place:?}: {:?}", page.rows);
                }
            }
        }
        Ok(())
    });
    checked.await.expect("the query runs");
}

/// A page of no rows is refused.
pub async fn a_page_of_no_rows_is_refused(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let error = query_error(&store, |tx| tx.page(Note::all(), Page::first(0))).await;
    assert!(matches!(problem(&error), Problem::Cursor(CursorError::EmptyPage)), "{error:?}");
    assert_eq!(error.kind(), Kind::Invalid);
}

/// Queries that panic, more of them than there are readers, are errors of their callers only.
pub async fn a_query_that_panics_harms_nobody_else(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    store.mutate(insert_sample).await.expect("the sample commits");
    for number in 0..20 {
        let error = query_error(&store, move |tx| -> Result<()> {
            tx.each(Note::all(), |_| panic!("query {number}"))
        });
        let error = error.await;
        let Problem::Panicked { what: "query", message } = problem(&error) else { panic!("{error:?}") };
        assert_eq!(*message, format!("query {number}"));
        assert_eq!(error.kind(), Kind::Internal);
    }
    let counted = soon(store.query(|tx| tx.count(Note::all()))).await;
    assert_eq!(counted.expect("the readers are still there"), 15);
}

/// Ten thousand live queries go at once without a trace, and the next commit is as before.
pub async fn ten_thousand_watchers_go_at_once(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let mut watchers = Vec::new();
    for number in 0..10_000_i64 {
        // A few share a range, most have one of their own.
        let stars = number.min(9_000);
        let mut watcher = store.watch(move |tx| tx.count(Note::by_author.eq(None).ge(stars).lt(stars + 2)));
        let first = soon(watcher.next()).await.expect("the store is open").expect("the query runs");
        assert_eq!(first, 0);
        watchers.push(watcher);
    }
    assert_eq!(store.live_queries(), 10_000);
    drop(watchers);
    assert_eq!(store.live_queries(), 0);
    let mut live = store.watch(|tx| tx.count(Note::all()));
    assert_eq!(soon(live.next()).await.expect("the store is open").expect("the query runs"), 0);
    let inserted =
        soon(store.mutate(|tx| tx.insert(Note { stars: 9_000, ..Note::new("a") })).into_future()).await;
    inserted.expect("the mutation commits");
    assert_eq!(soon(live.next()).await.expect("the store is open").expect("the query runs"), 1);
}
