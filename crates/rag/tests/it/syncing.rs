//! Entries are kept in step with what is outside.

use std::fs;

use futures_util::stream;
use loomwork_rag::{Content, FolderOptions, NewEntry, Query, Step, SyncOptions, entries};

use super::yard::{HALL, Yard};

fn there(entries: &[(&str, &str)]) -> Vec<loomwork_rag::Result<(NewEntry, Content)>> {
    entries.iter().map(|(key, text)| Ok((NewEntry::key(*key), Content::from(*text)))).collect()
}

#[tokio::test]
async fn a_second_run_is_free_and_what_is_gone_is_deleted() {
    let yard = Yard::open().await;
    yard.key("own", "of somebody else").await;
    let mirror = || SyncOptions { delete_missing: true, ..SyncOptions::of("wiki") };
    let run = async |entries: &[(&str, &str)]| {
        yard.rag.sync(HALL, mirror(), stream::iter(there(entries)), |_: &Step| {}).await.unwrap()
    };
    let first = run(&[("a", "one"), ("b", "two"), ("c", "three")]).await;
    assert_eq!((first.added, first.same, first.deleted), (3, 0, 0));
    let asked = yard.asked();
    let again = run(&[("a", "one"), ("b", "two"), ("c", "three")]).await;
    assert_eq!((again.added, again.same, again.usage.total(), yard.asked()), (0, 3, 0, asked));
    let less = run(&[("a", "one"), ("b", "second")]).await;
    assert_eq!((less.same, less.replaced, less.deleted), (1, 1, 1));
    assert!(yard.texts(Query::words("three")).await.is_empty());
    assert_eq!(yard.texts(Query::words("somebody")).await.len(), 1);
    // What is only to be added leaves the rest alone.
    let only_new = SyncOptions { only_new: true, ..SyncOptions::of("wiki") };
    let added = yard.rag.sync(HALL, only_new, stream::iter(there(&[("a", "changed"), ("d", "four")])), |_: &Step| {});
    let added = added.await.unwrap();
    assert_eq!((added.added, added.same), (1, 1));
    assert_eq!(yard.texts(Query::words("one")).await.len(), 1);
}

#[tokio::test]
async fn one_that_cannot_be_made_stops_no_other_and_nothing_is_deleted_then() {
    let yard = Yard::open().await;
    let mirror = || SyncOptions { delete_missing: true, ..SyncOptions::of("wiki") };
    yard.rag.sync(HALL, mirror(), stream::iter(there(&[("a", "one")])), |_: &Step| {}).await.unwrap();
    let mut entries = there(&[("b", "two")]);
    entries.insert(0, Err(loomwork_rag::Error::Missing { what: "a page", needs: "a server" }));
    entries.push(Ok((NewEntry::default(), "no key".into())));
    entries.push(Ok((NewEntry::key("c").weighing(2.0), "too heavy".into())));
    let synced = yard.rag.sync(HALL, mirror(), stream::iter(entries), |_: &Step| {}).await.unwrap();
    assert_eq!((synced.added, synced.failed.len(), synced.deleted), (1, 3, 0));
    assert_eq!(yard.texts(Query::words("one")).await.len(), 1);
}

#[tokio::test]
async fn a_folder_is_taken_in_and_goes_on_where_it_was_interrupted() {
    let yard = Yard::open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("below/deeper")).unwrap();
    fs::write(path("looms.md"), "# Looms\n\nThey weave.").unwrap();
    fs::write(path("below/table.csv"), "name,year\njacquard,1804\n").unwrap();
    fs::write(path("below/deeper/code.rs"), "fn weave() {}\n").unwrap();
    fs::write(path("below/bad.txt"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(path(".hidden"), "secret").unwrap();
    let run = async |options: FolderOptions| {
        let mut steps = 0;
        let done = yard.rag.add_folder(HALL, folder.path(), options, |_: &Step| steps += 1).await.unwrap();
        (done, steps)
    };
    let (first, steps) = run(FolderOptions::default()).await;
    assert_eq!((first.added, first.failed.len(), steps), (3, 1, 4), "{:?}", first.failed);
    let hall = yard.hall().await.id;
    let entry = yard.store.query(move |tx| entries::by_key(tx, hall, "looms.md")).await.unwrap().unwrap();
    assert_eq!((entry.title.as_deref(), entry.metadata["path"].as_str()), (Some("Looms"), Some("looms.md")));
    assert_eq!(yard.texts(Query::words("jacquard")).await, ["name: jacquard\nyear: 1804"]);
    let asked = yard.asked();
    let (again, _) = run(FolderOptions { endings: vec!["md".into(), "csv".into(), "rs".into()], ..FolderOptions::default() }).await;
    assert_eq!((again.added, again.same, yard.asked()), (0, 3, asked));
    fs::remove_file(path("looms.md")).unwrap();
    fs::remove_file(path("below/bad.txt")).unwrap();
    fs::write(path("below/deeper/code.rs"), "fn weave_again() {}\n").unwrap();
    let (last, _) = run(FolderOptions { delete_missing: true, ..FolderOptions::default() }).await;
    assert_eq!((last.replaced, last.same, last.deleted), (1, 1, 1));
    assert!(yard.texts(Query::words("looms")).await.is_empty());
    assert!(yard.rag.add_folder(HALL, path("nowhere"), FolderOptions::default(), |_: &Step| {}).await.is_err());
}
