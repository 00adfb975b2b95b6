//! What is deleted is not found, and leaves nothing.

use loomwork_core::Kind;
use loomwork_rag::{EntryRow, EntryStatus, NewEntry, Query, Rag, entries, namespaces};
use loomwork_store::{Memory, Page, Store};
use loomwork_testkit::{Tallied, soon};

use super::yard::{DEADLINE, Door, HALL, Yard, fault, many};

#[tokio::test]
async fn a_deleted_entry_is_not_found_and_leaves_no_rows() {
    let yard = Yard::open().await;
    let kept = yard.key("kept", "north").await;
    let gone = yard.key("gone", many(450, "gone")).await;
    let (rag, id) = (yard.rag.clone(), gone.entry.id);
    yard.store.mutate(move |tx| rag.delete(tx, id)).await.unwrap();
    assert!(yard.texts(Query::words("gone")).await.is_empty());
    soon(yard.rag.gone(id)).await.unwrap();
    assert_eq!(yard.counts().await, (1, 1, 1));
    assert_eq!(yard.texts("north").await, ["north"]);
    let rag = yard.rag.clone();
    let again = yard.store.mutate(move |tx| rag.delete(tx, id)).await.unwrap_err();
    assert_eq!(again.kind(), Kind::NotFound);
    assert_eq!(yard.status(kept.entry.id).await, EntryStatus::Ready);
}

#[tokio::test]
async fn deleting_the_live_version_revives_no_older_one() {
    let yard = Yard::open().await;
    yard.key("a", "north").await;
    let second = yard.key("a", "east").await;
    let (rag, id) = (yard.rag.clone(), second.entry.id);
    yard.store.mutate(move |tx| rag.delete(tx, id)).await.unwrap();
    assert!(yard.texts("north").await.is_empty());
}

#[tokio::test]
async fn all_versions_of_a_key_go_however_many_there_are() {
    let yard = Yard::open_with(super::yard::model(), |builder| {
        builder.retention(loomwork_rag::Retention { versions: 1_000, age: None })
    })
    .await;
    for at in 0..120 {
        yard.key("a", format!("version {at}")).await;
    }
    let (other, keyless) = (yard.key("b", "north").await, yard.add(NewEntry::default(), "east").await);
    let hall = yard.hall().await.id;
    assert_eq!(yard.rag.delete_by_key(hall, "a", Some(100)).await.unwrap(), 100);
    assert_eq!(yard.texts(Query::words("version")).await, ["version 119"]);
    assert_eq!(yard.rag.delete_by_key(hall, "a", None).await.unwrap(), 20);
    assert!(yard.texts(Query::words("version")).await.is_empty());
    let mut left = yard.store.watch(move |tx| tx.count(EntryRow::by_namespace.eq(hall)));
    while soon(left.next()).await.unwrap().unwrap() > 2 {}
    assert_eq!(yard.counts().await, (2, 2, 2));
    assert_eq!(yard.status(other.entry.id).await, EntryStatus::Ready);
    assert_eq!(yard.status(keyless.entry.id).await, EntryStatus::Ready);
}

#[tokio::test]
async fn a_namespace_is_deleted_empty_or_with_all_that_is_in_it() {
    let yard = Yard::open().await;
    for key in ["a", "b", "c"] {
        yard.key(key, "north").await;
    }
    let hall = yard.hall().await.id;
    let refused = yard.store.mutate(move |tx| namespaces::delete(tx, hall)).await.unwrap_err();
    assert!(refused.to_string().contains("still has the entry entry_"), "{refused}");
    soon(yard.rag.delete_namespace(hall)).await.unwrap();
    assert_eq!(yard.counts().await, (0, 0, 0));
    assert!(yard.find("north").await.results.is_empty());
    assert_eq!(fault(yard.rag.delete_namespace(hall).await).0, Kind::NotFound);
}

#[tokio::test]
async fn a_document_of_ten_thousand_chunks_leaves_no_orphans() {
    let yard = Yard::open_with(super::yard::model(), |builder| {
        builder.retention(loomwork_rag::Retention { versions: 0, age: None })
    })
    .await;
    let count = 10_000;
    let first = yard.key("large", many(count, "chunk")).await;
    let mut changed = many(count, "chunk");
    changed[17].text = "changed".to_owned();
    let second = yard.key("large", changed).await;
    yard.clock.advance(loomwork_rag::GRACE);
    yard.swept(first.entry.id, |_, _| false).await;
    assert_eq!(yard.counts().await, (1, count, count));
    assert_eq!(yard.asked(), count + 1);
    yard.rag.delete_by_key(yard.hall().await.id, "large", None).await.unwrap();
    soon(yard.rag.gone(second.entry.id)).await.unwrap();
    assert_eq!(yard.counts().await, (0, 0, 0));
}

#[tokio::test]
async fn entries_are_listed_by_namespace_and_status() {
    let yard = Yard::open().await;
    for at in 0..5 {
        yard.key(&format!("key {at}"), "north").await;
    }
    yard.rag.add("elsewhere", NewEntry::key("x"), "east").await.unwrap();
    let hall = yard.hall().await.id;
    let list = async |listed: entries::Listed, page: Page| {
        let read = yard.store.query(move |tx| entries::list(tx, listed, page.clone()));
        read.await.unwrap()
    };
    let here = entries::Listed { namespace: Some(hall), ..entries::Listed::default() };
    let first = list(here, Page::first(3)).await;
    let rest = list(here, Page::after(first.next.clone().unwrap(), 3)).await;
    assert_eq!((first.rows.len(), rest.rows.len(), rest.next.is_none()), (3, 2, true));
    assert_eq!(list(entries::Listed::default(), Page::first(10)).await.rows.len(), 6);
    let newest = entries::Listed { newest_first: true, ..here };
    assert_eq!(list(newest, Page::first(1)).await.rows[0].key.as_deref(), Some("key 4"));
    let replaced = entries::Listed { status: EntryStatus::Replaced, ..entries::Listed::default() };
    yard.key("key 0", "east").await;
    assert_eq!(list(replaced, Page::first(10)).await.rows.len(), 1);
}

#[tokio::test]
async fn nothing_is_added_to_a_namespace_that_is_being_deleted() {
    let yard = Yard::open().await;
    yard.key("a", many(450, "there")).await;
    let hall = yard.hall().await.id;
    let door = Door::default();
    let making = yard.rag.add(hall, NewEntry::key("b"), door.stream(500, "late", 450));
    let deleting = async {
        door.reached().await;
        soon(yard.rag.delete_namespace(hall)).await.unwrap();
        door.open();
    };
    let (made, ()) = tokio::join!(soon(making), soon(deleting));
    assert!(matches!(fault(made).0, Kind::Cancelled | Kind::NotFound));
    assert_eq!(yard.counts().await, (0, 0, 0));
    assert_eq!(fault(yard.rag.add(hall, NewEntry::key("c"), "text").await).0, Kind::NotFound);
    // Its name begins anew.
    yard.key("a", "north").await;
    assert_ne!(yard.hall().await.id, hall);
    assert_eq!(yard.texts("north").await, ["north"]);
    yard.rag.add(HALL, NewEntry::key("d"), "east").await.unwrap();
}

#[tokio::test]
async fn deleting_a_namespace_reads_each_of_its_entries_a_few_times() {
    const NOTES: usize = 1_500;
    let (engine, begun) = Tallied::over(Memory::new());
    let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::builder(engine).tables(tables).tables(loomwork_workpool::tables()).open().await.unwrap();
    let rag = Rag::builder(&store, super::yard::model()).start().await.unwrap();
    for _ in 0..NOTES {
        rag.add(HALL, NewEntry::default(), "").await.unwrap();
    }
    // Without upkeep, what is being deleted stays where it is.
    rag.shutdown(DEADLINE).await.unwrap();
    let hall = store.query(|tx| namespaces::versions(tx, HALL)).await.unwrap()[0].id;
    let before = begun.rows();
    let deleting = rag.delete_namespace(hall);
    let all = async {
        let left = EntryRow::by_status.eq(hall).eq(EntryStatus::Ready).take(1);
        let mut left = store.watch(move |tx| tx.count(left.clone()));
        while soon(left.next()).await.unwrap().unwrap() > 0 {}
    };
    tokio::select! {
        done = deleting => panic!("nothing takes them away: {done:?}"),
        () = all => {}
    }
    let rows = begun.rows() - before;
    assert!(rows < 8 * NOTES as u64, "{rows} rows for {NOTES} entries");
}
