//! Pages and the cursors between them.

use loomwork_store::{Cursor, Page, Paged, Result, Row, Span, Store, Table as _, Tx};

use super::spans::insert_sample;
use crate::store::{Bench, Note, Place};

/// Reads a span page by page to its end.
fn pages<K>(tx: &Tx, span: &Span<Note, K>, size: usize) -> Result<Vec<Vec<Row<Note>>>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = tx.page(span.clone(), Page { size, after })?;
        pages.push(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(pages),
        }
    }
}

/// Finds the same rows in pages of every size as in one scan, and no page more than is needed.
fn check_pages<K>(tx: &Tx, span: Span<Note, K>) -> Result<()> {
    for span in [span.clone(), span.desc()] {
        let rows = tx.scan(span.clone())?;
        for size in 1..=rows.len() + 1 {
            let pages = pages(tx, &span, size)?;
            assert_eq!(pages.len(), rows.len().div_ceil(size).max(1), "{span:?} in pages of {size}");
            assert_eq!(pages.concat(), rows, "{span:?} in pages of {size}");
        }
    }
    Ok(())
}

fn check_all_pages(tx: &Tx) -> Result<()> {
    check_pages(tx, Note::all())?;
    check_pages(tx, Note::by_author.all())?;
    check_pages(tx, Note::by_author.eq("ann").gt(-300))?;
    check_pages(tx, Note::by_author.eq("nobody"))?;
    check_pages(tx, Note::starred.all())
}

/// Pages follow each other without gap or repeat, and the last one says that it is, also where a
/// mutation's own writes lie between the rows.
pub async fn pages_end_exactly_at_the_end(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let notes = store.mutate(insert_sample).await.expect("the sample commits");
    let in_mutation = store.mutate(move |tx| {
        tx.update(notes[3].id, |note| note.stars = 1)?;
        tx.delete(notes[8].id)?;
        tx.insert(Note { author: Some("ann".to_owned()), ..Note::new("new") })?;
        check_all_pages(tx)
    });
    in_mutation.await.expect("the mutation commits");
    store.query(check_all_pages).await.expect("the query runs");
}

/// A page's size counts, not the span's limit.
pub async fn a_pages_size_overrides_the_spans_limit(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    store.mutate(insert_sample).await.expect("the sample commits");
    let page = store.query(|tx| tx.page(Note::by_slug.all().take(2), Page::first(5))).await;
    let page = page.expect("the query runs");
    assert_eq!((page.rows.len(), page.next.is_some()), (5, true));
}

/// Reads one page of three over the stars of the unknown author.
async fn by_stars(store: &Store, descending: bool, after: Option<Cursor>) -> (Vec<i64>, Option<Cursor>) {
    let page = store.query(move |tx| {
        let span = Note::by_author.eq(None);
        let span = if descending { span.desc() } else { span };
        tx.page(span, Page { size: 3, after: after.clone() })
    });
    let Paged { rows, next } = page.await.expect("the query runs");
    (rows.iter().map(|row| row.stars).collect(), next)
}

async fn insert_stars(store: &Store, stars: &[i64]) {
    let notes: Vec<_> =
        stars.iter().map(|stars| Note { stars: *stars, ..Note::new(format!("n{stars}")) }).collect();
    let inserted = store.mutate(|tx| notes.into_iter().try_for_each(|note| tx.insert(note).map(|_| ())));
    inserted.await.expect("the notes commit");
}

async fn delete_stars(store: &Store, stars: &'static [i64]) {
    let deleted = store.mutate(move |tx| {
        for stars in stars {
            let note = tx.first(Note::by_slug.eq(format!("n{stars}")))?.expect("it is there");
            tx.delete(note.id)?;
        }
        Ok(())
    });
    deleted.await.expect("the notes are deleted");
}

/// Rows that come and go before the cursor move nothing behind it, not even when the cursor's own
/// row goes; rows that come and go behind it are seen as they are then.
pub async fn pages_stay_stable_while_rows_come_and_go(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    insert_stars(&store, &[10, 20, 30, 40, 50, 60, 70, 80]).await;
    let (page, next) = by_stars(&store, false, None).await;
    assert_eq!(page, [10, 20, 30]);
    insert_stars(&store, &[5, 25, 35]).await;
    delete_stars(&store, &[10, 30, 50]).await;
    let (page, next) = by_stars(&store, false, next).await;
    assert_eq!(page, [35, 40, 60]);
    delete_stars(&store, &[70]).await;
    insert_stars(&store, &[75, 90, 95]).await;
    let (page, next) = by_stars(&store, false, next).await;
    assert_eq!(page, [75, 80, 90]);
    assert_eq!(by_stars(&store, false, next).await, (vec![95], None));

    let (page, next) = by_stars(&store, true, None).await;
    assert_eq!(page, [95, 90, 80]);
    insert_stars(&store, &[100, 85, 78]).await;
    delete_stars(&store, &[80, 95, 75]).await;
    let (page, next) = by_stars(&store, true, next).await;
    assert_eq!(page, [78, 60, 40]);
    delete_stars(&store, &[5, 20, 25]).await;
    assert_eq!(by_stars(&store, true, next).await, (vec![35], None));
}

/// Pages over all rows by id stay stable too; rows that are new come last, or first against the order.
pub async fn pages_by_id_stay_stable_while_rows_come_and_go(place: &dyn Place) {
    async fn by_id(store: &Store, descending: bool, after: Option<Cursor>) -> (Vec<i64>, Option<Cursor>) {
        let page = store.query(move |tx| {
            let span = if descending { Note::all().desc() } else { Note::all() };
            tx.page(span, Page { size: 3, after: after.clone() })
        });
        let Paged { rows, next } = page.await.expect("the query runs");
        (rows.iter().map(|row| row.stars).collect(), next)
    }

    let store = Bench::open(place).await.store;
    insert_stars(&store, &[1, 2, 3, 4, 5, 6]).await;
    let (up, up_next) = by_id(&store, false, None).await;
    let (down, down_next) = by_id(&store, true, None).await;
    assert_eq!((up, down), (vec![1, 2, 3], vec![6, 5, 4]));
    insert_stars(&store, &[7, 8]).await;
    delete_stars(&store, &[2, 3, 4]).await;
    let (up, up_next) = by_id(&store, false, up_next).await;
    assert_eq!(up, [5, 6, 7]);
    assert_eq!(by_id(&store, false, up_next).await, (vec![8], None));
    assert_eq!(by_id(&store, true, down_next).await, (vec![1], None));
}

/// A cursor goes on where it was after it has been a client's text.
pub async fn a_cursor_survives_as_text(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    insert_stars(&store, &[1, 2, 3, 4, 5]).await;
    let (_, next) = by_stars(&store, false, None).await;
    let text = next.expect("there is more").to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
    let cursor: Cursor = text.parse().expect("it was a cursor");
    store.close().await;
    let store = Bench::open(place).await.store;
    assert_eq!(by_stars(&store, false, Some(cursor)).await, (vec![4, 5], None));
}
