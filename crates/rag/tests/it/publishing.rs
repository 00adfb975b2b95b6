//! A version appears as a whole or not at all, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use loomwork_rag::{EntryStatus, Found, NewEntry, Query, entries};
use loomwork_testkit::soon;

use super::yard::{Door, HALL, Yard, fault, many, model};

/// The versions that a search has met, as the first words of the texts.
fn versions(found: &Found) -> BTreeSet<String> {
    let texts = found.results.iter().flat_map(|range| &range.content).map(|chunk| chunk.text.clone());
    texts.map(|text| text.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_version_in_the_making_is_not_found() {
    let yard = Yard::open().await;
    yard.key("a", many(120, "old")).await;
    let door = Door::default();
    // The stream stands still after its first batches were written.
    let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(1_000, "new", 950));
    let looking = async {
        door.reached().await;
        let query = || Query { limit: 250, ..Query::words("number") };
        assert_eq!(versions(&yard.find(query()).await), BTreeSet::from(["old".to_owned()]));
        assert_eq!(yard.find(query()).await.results.len(), 120);
        door.open();
    };
    let (made, ()) = tokio::join!(soon(making), soon(looking));
    assert!(made.unwrap().replaced.is_some());
    let found = yard.find(Query { limit: 250, ..Query::words("number") }).await;
    assert_eq!((versions(&found), found.results.len()), (BTreeSet::from(["new".to_owned()]), 250));
}

#[tokio::test]
async fn searches_beside_replacing_see_one_whole_version_each() {
    let yard = Arc::new(Yard::open().await);
    const CHUNKS: usize = 130;
    yard.key("a", many(CHUNKS, "v0")).await;
    let writing = async {
        for version in 1..9 {
            yard.key("a", many(CHUNKS, &format!("v{version}"))).await;
            // So that former versions leave the index while searches run, which take less than the grace.
            yard.clock.advance(loomwork_rag::GRACE / 3);
        }
    };
    let searching = async {
        let mut seen = BTreeSet::new();
        for round in 0..40 {
            let words = Query { limit: 250, ..Query::words("number") };
            let query = if round % 2 == 0 { words } else { Query { limit: 250, ..Query::from("anything") } };
            let found = yard.find(query).await;
            let met = versions(&found);
            assert_eq!(met.len(), 1, "a mix of {met:?}");
            assert_eq!(found.results.len(), CHUNKS, "a part of {met:?}");
            seen.extend(met);
            tokio::task::yield_now().await;
        }
        seen
    };
    let ((), seen) = tokio::join!(writing, searching);
    assert!(!seen.is_empty());
}

#[tokio::test]
async fn of_fifty_at_once_one_is_live_and_all_are_told() {
    let yard = Yard::open().await;
    let adding = (0..50).map(|at| yard.key("a", format!("text {at}")));
    let added = soon(join_all(adding)).await;
    let hall = yard.hall().await.id;
    let all = yard.store.query(move |tx| entries::versions(tx, hall, "a")).await.unwrap();
    let live: Vec<_> = all.iter().filter(|entry| entry.status == EntryStatus::Ready).collect();
    assert_eq!((live.len(), live[0].version), (1, 49));
    assert_eq!(yard.find(Query { limit: 50, ..Query::words("text") }).await.results.len(), 1);
    assert_eq!(added.iter().filter(|added| added.entry.id == live[0].id).count(), 1);
    assert_eq!(yard.told().iter().filter(|line| line.starts_with("a ")).count(), 50);
}

#[tokio::test]
async fn the_newer_of_two_that_are_made_at_once_stays() {
    let yard = Yard::open().await;
    let door = Door::default();
    let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(1_000, "slow", 950));
    let overtaking = async {
        door.reached().await;
        let newer = yard.key("a", "north").await;
        door.open();
        newer
    };
    let (slow, newer) = tokio::join!(soon(making), soon(overtaking));
    let slow = slow.unwrap();
    assert_eq!((slow.created, slow.entry.status), (false, EntryStatus::Replaced));
    assert_eq!((newer.entry.status, newer.entry.version), (EntryStatus::Ready, 1));
    assert_eq!(yard.told(), ["hall Ready over 0", "a ready", "a replaced"]);
    assert!(yard.texts(Query::words("slow")).await.is_empty());
    yard.swept(slow.entry.id, |_, known| known == 0).await;
}


#[tokio::test]
async fn a_foreground_add_that_dies_counts_as_failed_when_its_lease_is_over() {
    let yard = Yard::open().await;
    let door = Door::default();
    let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(1_000, "lost", 950));
    tokio::select! {
        made = making => panic!("it waits: {made:?}"),
        () = door.reached() => {}
    }
    let hall = yard.hall().await.id;
    let id = yard.store.query(move |tx| entries::versions(tx, hall, "a")).await.unwrap()[0].id;
    assert_eq!(yard.status(id).await, EntryStatus::Pending);
    let yard = yard.reopen(|builder| builder).await;
    assert!(yard.texts(Query::words("lost")).await.is_empty());
    yard.clock.advance(loomwork_rag::LEASE);
    yard.becomes(id, EntryStatus::Failed).await;
    yard.swept(id, |_, known| known == 0).await;
    assert!(yard.entry(id).await.record.error.unwrap().contains("before it was complete"));
    // What was embedded for the part that was written is gone with it, and the entry can be added again.
    assert!(yard.key("a", many(300, "lost")).await.created);
}

#[tokio::test]
async fn all_is_as_it_was_after_a_restart() {
    let yard = Yard::open().await;
    yard.key("a", "north").await;
    let second = yard.key("a", "east").await;
    let yard = yard.reopen(|builder| builder).await;
    let asked = yard.asked();
    assert_eq!(yard.texts(vec![1.0, 0.0, 0.0, 0.0]).await, ["east"]);
    assert!(!yard.key("a", "east").await.created);
    assert_eq!((yard.asked(), yard.status(second.entry.id).await), (asked, EntryStatus::Ready));
}

#[tokio::test]
async fn the_hook_that_fails_keeps_the_entry_from_being_published() {
    let yard = Yard::open_with(model(), |builder| {
        builder.on_settled(|_, _| Err(loomwork_store::Error::message(loomwork_core::Kind::Denied, "not today")))
    })
    .await;
    let hall = fault(yard.rag.add(HALL, NewEntry::key("a"), "north").await);
    assert!(hall.1.contains("not today"), "{}", hall.1);
    assert_eq!(yard.counts().await, (0, 0, 0));
}
