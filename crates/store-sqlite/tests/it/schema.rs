//! Programs whose tables change from one opening to the next, over the same file.

use loomwork_store::{Store, Table, TableDef};
use loomwork_store_sqlite::OpenSqlite as _;
use serde::{Deserialize, Serialize};

use crate::place::TempFile;
use crate::raw::{self, texts};

/// One program's declaration of the table `books`.
macro_rules! program {
    ($name:ident, $($attribute:meta),+) => {
        mod $name {
            use super::*;

            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
            $(#[$attribute])+
            pub(super) struct Book {
                pub(super) shelf: u32,
                pub(super) place: u32,
                pub(super) title: String,
            }
        }
    };
}

program!(bare, table(name = "books", id = "book"));
program!(titled, table(name = "books", id = "book"), index(by_title(title)));
program!(titled_anew, table(name = "books", id = "book"), index(by_title(title, shelf), version = 2));
program!(
    clustered,
    table(name = "books", id = "book", clustered = by_shelf),
    index(by_shelf(shelf, place)),
    index(by_title(title))
);
program!(
    clustered_otherwise,
    table(name = "books", id = "book", clustered = by_place),
    index(by_place(place, shelf)),
    index(by_title(title))
);
program!(
    unclustered,
    table(name = "books", id = "book"),
    index(by_shelf(shelf, place)),
    index(by_title(title))
);
program!(
    shelved,
    table(name = "books", id = "book", clustered = by_shelf),
    index(by_shelf(shelf, place), version = 2)
);

/// A table whose name begins as that of an index of `books` would, were it not kept apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "books_by_title", id = "entitled")]
#[index(by_title(title))]
struct Entitled {
    title: String,
}

/// A table with the name that a table in change might be given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "books_old", id = "oldbook")]
struct OldBook {
    title: String,
}

async fn opened(file: &TempFile, tables: impl IntoIterator<Item = TableDef>) -> Store {
    Store::open(file.path()).unwrap().tables(tables).open().await.expect("the store opens")
}

const BOOKS: u32 = 1200;

fn title(number: u32) -> String {
    format!("volume {:04}", number * 7 % BOOKS)
}

/// Adds books through one program, in an order that no index has.
macro_rules! add_books {
    ($store:expr, $program:ident) => {
        let add = |tx: &mut loomwork_store::Tx| {
            (0..BOOKS).try_for_each(|number| {
                let (shelf, place) = (number % 10, BOOKS - number);
                tx.insert($program::Book { shelf, place, title: title(number) }).map(drop)
            })
        };
        $store.mutate(add).await.unwrap();
    };
}

/// Reads the books of one program by one of its indexes and sees that all are there and in order.
macro_rules! books_are_whole {
    ($store:expr, $program:ident, $index:ident, $key:expr) => {{
        use $program::Book;
        let books = $store.query(|tx| tx.scan(Book::$index.all())).await.unwrap();
        assert_eq!(books.len(), BOOKS as usize, "every row is in the index");
        assert!(books.is_sorted_by_key($key), "in its order");
        let mut titles: Vec<_> = books.iter().map(|book| book.title.clone()).collect();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), BOOKS as usize, "each once");
        let report = $store.check().await.unwrap();
        assert!(report.is_clean(), "{:?}", report.mismatches);
    }};
}

/// The columns and indexes of `books` in the file.
fn shape(file: &TempFile) -> (Vec<String>, Vec<String>) {
    let connection = raw::look(&file.path());
    let columns = "SELECT name FROM pragma_table_info('_books') WHERE name LIKE 'key%' ORDER BY name";
    let indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = '_books' \
                   AND name NOT LIKE 'sqlite%' ORDER BY name";
    (texts(&connection, columns), texts(&connection, indexes))
}

fn is_clustered(file: &TempFile) -> bool {
    raw::number(&raw::look(&file.path()), "SELECT wr FROM pragma_table_list WHERE name = '_books'") == 1
}

#[tokio::test]
async fn a_new_index_is_filled() {
    let file = TempFile::new();
    let store = opened(&file, [bare::Book::table()]).await;
    add_books!(store, bare);
    store.close().await;
    assert_eq!(shape(&file), (vec![], vec![]));

    let store = opened(&file, [titled::Book::table()]).await;
    books_are_whole!(store, titled, by_title, |book| book.title.clone());
    assert_eq!(shape(&file), (vec!["key_by_title".to_owned()], vec!["_books.by_title".to_owned()]));
}

#[tokio::test]
async fn a_changed_index_is_filled_anew() {
    let file = TempFile::new();
    let store = opened(&file, [titled::Book::table()]).await;
    add_books!(store, titled);
    store.close().await;
    for _ in 0..2 {
        let store = opened(&file, [titled_anew::Book::table()]).await;
        books_are_whole!(store, titled_anew, by_title, |book| (book.title.clone(), book.shelf));
        let found = store.query(|tx| tx.count(titled_anew::Book::by_title.eq(title(13)).eq(3_u32)));
        assert_eq!(found.await.unwrap(), 1, "its keys are the new ones");
        store.close().await;
    }
}

#[tokio::test]
async fn a_dropped_index_leaves_the_file() {
    let file = TempFile::new();
    let store = opened(&file, [titled::Book::table()]).await;
    add_books!(store, titled);
    store.close().await;
    let store = opened(&file, [bare::Book::table()]).await;
    assert_eq!(shape(&file), (vec![], vec![]));
    assert_eq!(store.query(|tx| tx.count(bare::Book::all())).await.unwrap(), BOOKS as usize);
    // Rows that come without it are in it when it is back.
    store
        .mutate(|tx| {
            let first = tx.first(bare::Book::all())?.expect("there are books");
            tx.delete(first.id)?;
            tx.insert(bare::Book { title: "another".into(), ..first.record })
        })
        .await
        .unwrap();
    store.close().await;
    let store = opened(&file, [titled::Book::table()]).await;
    books_are_whole!(store, titled, by_title, |book| book.title.clone());
}

#[tokio::test]
async fn a_table_whose_clustering_index_goes_keeps_its_rows() {
    let file = TempFile::new();
    let store = opened(&file, [clustered::Book::table(), OldBook::table()]).await;
    add_books!(store, clustered);
    store.mutate(|tx| tx.insert(OldBook { title: "kept".into() })).await.unwrap();
    store.close().await;
    assert!(is_clustered(&file));

    let store = opened(&file, [titled::Book::table(), OldBook::table()]).await;
    assert!(!is_clustered(&file));
    books_are_whole!(store, titled, by_title, |book| book.title.clone());
    assert_eq!(shape(&file), (vec!["key_by_title".to_owned()], vec!["_books.by_title".to_owned()]));
    assert_eq!(store.query(|tx| tx.scan(OldBook::all())).await.unwrap().len(), 1);
    let shown = texts(&raw::look(&file.path()), "SELECT id FROM books");
    assert_eq!(shown.len(), BOOKS as usize, "the view shows them");
    let ids = store.query(|tx| tx.scan(titled::Book::all())).await.unwrap();
    let ids: Vec<_> = ids.iter().map(|book| book.id.to_string()).collect();
    assert_eq!(shown, ids, "in the order of creation");
}

#[tokio::test]
async fn a_table_may_lose_its_clustering_and_other_indexes_at_once() {
    let file = TempFile::new();
    let store = opened(&file, [clustered::Book::table()]).await;
    add_books!(store, clustered);
    store.close().await;
    let store = opened(&file, [bare::Book::table()]).await;
    assert!(!is_clustered(&file));
    assert_eq!(shape(&file), (vec![], vec![]));
    assert_eq!(store.query(|tx| tx.count(bare::Book::all())).await.unwrap(), BOOKS as usize);
    assert_eq!(texts(&raw::look(&file.path()), "SELECT id FROM books").len(), BOOKS as usize);
    store.close().await;

    let store = opened(&file, [clustered::Book::table()]).await;
    books_are_whole!(store, clustered, by_shelf, |book| (book.shelf, book.place));
    books_are_whole!(store, clustered, by_title, |book| book.title.clone());
}

#[tokio::test]
async fn a_table_may_lose_its_clustering_alone() {
    let file = TempFile::new();
    let store = opened(&file, [clustered::Book::table()]).await;
    add_books!(store, clustered);
    store.close().await;
    let store = opened(&file, [unclustered::Book::table()]).await;
    assert!(!is_clustered(&file));
    books_are_whole!(store, unclustered, by_shelf, |book| (book.shelf, book.place));
    books_are_whole!(store, unclustered, by_title, |book| book.title.clone());
}

#[tokio::test]
async fn another_clustering_index_takes_over() {
    let file = TempFile::new();
    let store = opened(&file, [clustered::Book::table()]).await;
    add_books!(store, clustered);
    store.close().await;
    let store = opened(&file, [clustered_otherwise::Book::table()]).await;
    books_are_whole!(store, clustered_otherwise, by_place, |book| (book.place, book.shelf));
    books_are_whole!(store, clustered_otherwise, by_title, |book| book.title.clone());
    store
        .mutate(|tx| {
            let first = tx.first(clustered_otherwise::Book::by_title.all())?.expect("there are books");
            tx.update(first.id, |book| book.place += BOOKS)
        })
        .await
        .unwrap();
    books_are_whole!(store, clustered_otherwise, by_place, |book| (book.place, book.shelf));
}

#[tokio::test]
async fn a_changed_clustering_index_is_filled_anew() {
    let file = TempFile::new();
    let store = opened(&file, [clustered::Book::table()]).await;
    add_books!(store, clustered);
    store.close().await;
    let store = opened(&file, [shelved::Book::table()]).await;
    books_are_whole!(store, shelved, by_shelf, |book| (book.shelf, book.place));
    assert!(is_clustered(&file));
}

#[tokio::test]
async fn a_tables_name_may_look_like_an_indexs() {
    let file = TempFile::new();
    let store = opened(&file, [titled::Book::table(), Entitled::table()]).await;
    store.mutate(|tx| tx.insert(Entitled { title: "one".into() })).await.unwrap();
    add_books!(store, titled);
    assert!(store.check().await.unwrap().is_clean());
    store.close().await;
    let store = opened(&file, [Entitled::table(), titled::Book::table()]).await;
    books_are_whole!(store, titled, by_title, |book| book.title.clone());
}

#[tokio::test]
async fn tables_of_other_programs_stay() {
    let file = TempFile::new();
    let store = opened(&file, [titled::Book::table(), OldBook::table()]).await;
    add_books!(store, titled);
    store.close().await;
    let before = raw::contents(&file.path())["_books"].clone();
    let store = opened(&file, [OldBook::table()]).await;
    store.mutate(|tx| tx.insert(OldBook { title: "new".into() })).await.unwrap();
    store.close().await;
    assert!(raw::contents(&file.path())["_books"] == before, "not a byte is changed");
    let store = opened(&file, [titled::Book::table()]).await;
    books_are_whole!(store, titled, by_title, |book| book.title.clone());
}
