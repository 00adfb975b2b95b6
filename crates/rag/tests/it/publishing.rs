//! A version appears as a whole or not at all, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use loomwork_models::Gate;
use loomwork_rag::{
    EntryStatus, Found, GRACE, LEASE, NamespaceStatus, NewChunk, NewEntry, Note, Query, Retention, entries,
};
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
            // So that former versions leave the index while searches run, however long these take.
            yard.clock.advance(GRACE);
        }
    };
    let searching = async {
        let (mut seen, mut late) = (BTreeSet::new(), 0);
        for round in 0..40 {
            let words = Query { limit: 250, ..Query::words("number") };
            let query = if round % 2 == 0 { words } else { Query { limit: 250, ..Query::from("anything") } };
            let found = yard.find(query).await;
            let met = versions(&found);
            if found.notes.contains(&Note::Late) {
                late += 1;
                continue;
            }
            assert_eq!(met.len(), 1, "a mix of {met:?}");
            assert_eq!(found.results.len(), CHUNKS, "a part of {met:?}");
            seen.extend(met);
            tokio::task::yield_now().await;
        }
        (seen, late)
    };
    let ((), (seen, late)) = tokio::join!(writing, searching);
    assert!(!seen.is_empty() && late <= 8, "{late} searches were late");
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
    let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(3_000, "slow", 450));
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
    // Whoever is overtaken embeds no more, and what was embedded is told.
    assert!(yard.asked() < 1_500, "{}", yard.asked());
    assert!(slow.usage.total() >= 400, "{:?}", slow.usage);
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
    yard.clock.advance(LEASE);
    yard.becomes(id, EntryStatus::Failed).await;
    yard.swept(id, |row, _| !is_in_index(row)).await;
    assert!(yard.entry(id).await.record.error.unwrap().contains("before it was complete"));
    // What was embedded for it is taken over when it is added again.
    let (kept, asked) = (yard.chunks(id).await.len(), yard.asked());
    assert!(yard.key("a", many(1_000, "lost")).await.created);
    assert_eq!(yard.asked() - asked, 1_000 - kept);
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

#[tokio::test]
async fn a_search_that_waits_long_for_its_model_finds_the_version_that_is_live_then() {
    for versions in [0, 10] {
        let gate = Gate::new();
        let yard = Yard::open_with(model().with_gate(&gate), |builder| {
            builder.retention(Retention { versions, ..Retention::default() })
        })
        .await;
        let given = |text: &str| vec![NewChunk { embedding: Some(vec![0.0, 1.0, 0.0, 0.0]), ..text.into() }];
        let first = yard.key("a", given("the old text")).await;
        let asking = yard.rag.search(HALL, "north");
        let replacing = async {
            soon(gate.reached()).await;
            yard.key("a", given("the new text")).await;
            // The old one is still there for those that began to look before.
            assert_eq!(yard.chunks(first.entry.id).await.len(), 1);
            yard.clock.advance(GRACE);
            let is_out = |row: &loomwork_rag::EntryRow| row.status != EntryStatus::Ready && !is_in_index(row);
            yard.swept(first.entry.id, move |row, _| is_out(row)).await;
            gate.open();
        };
        let (found, ()) = tokio::join!(soon(asking), soon(replacing));
        assert_eq!(super::yard::texts(&found.unwrap()), ["the new text"]);
    }
}

/// Whether the index may know an entry that is not live.
fn is_in_index(row: &loomwork_rag::EntryRow) -> bool {
    serde_json::to_value(row).expect("it is JSON").get("hidden").is_some()
}

/// When an entry counts as dead.
async fn due(yard: &Yard, key: &str) -> Option<i64> {
    let (hall, key) = (yard.hall().await.id, key.to_owned());
    let all = yard.store.query(move |tx| entries::versions(tx, hall, &key)).await.expect("they are read");
    serde_json::to_value(&all.first()?.record).expect("it is JSON").get("due")?.as_i64()
}

#[tokio::test]
async fn a_slow_add_is_alive_as_long_as_it_is_waited_for() {
    let yard = Yard::open().await;
    let door = Door::default();
    let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(1_000, "slow", 450));
    let waiting = async {
        door.reached().await;
        for _ in 0..24 {
            yard.clock.advance(LEASE / 8);
            let mut looks = 0;
            while due(&yard, "a").await.unwrap() < (yard.clock.clock().now() + LEASE / 2).millis() {
                // Whoever renews it may have begun to wait only now, so time goes on, and slowly.
                looks += 1;
                yard.clock.advance(Duration::from_secs(u64::from(looks % 50 == 0)));
                tokio::task::yield_now().await;
            }
        }
        door.open();
    };
    let (made, ()) = tokio::join!(soon(making), soon(waiting));
    assert_eq!(made.unwrap().entry.status, EntryStatus::Ready);
    assert_eq!(yard.told(), ["hall Ready over 0", "a ready"]);
}

#[tokio::test]
async fn an_add_that_is_called_off_or_deleted_is_an_error() {
    for is_deleted in [false, true] {
        let yard = Yard::open().await;
        let door = Door::default();
        let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(1_000, "off", 450));
        let stopping = async {
            door.reached().await;
            let hall = yard.hall().await.id;
            let rag = yard.rag.clone();
            let stopped = yard.store.mutate(move |tx| {
                let id = entries::versions(tx, hall, "a")?[0].id;
                if is_deleted { rag.delete(tx, id) } else { rag.cancel(tx, id).map(drop) }
            });
            stopped.await.unwrap();
            door.open();
        };
        let (made, ()) = tokio::join!(soon(making), soon(stopping));
        let kind = fault(made).0;
        assert!(matches!(kind, loomwork_core::Kind::Cancelled | loomwork_core::Kind::NotFound), "{kind:?}");
        assert!(yard.texts(Query::words("off")).await.is_empty());
    }
}

#[tokio::test]
async fn what_was_added_by_a_name_that_has_gone_to_another_version_is_refused() {
    let yard = Yard::open().await;
    yard.key("first", "north").await;
    let door = Door::default();
    let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(500, "late", 450));
    let promoting = async {
        door.reached().await;
        let pending = yard.rag.namespace(HALL, NamespaceStatus::Pending).await.unwrap();
        let (rag, id) = (yard.rag.clone(), pending.id);
        yard.store.mutate(move |tx| rag.promote(tx, id)).await.unwrap();
        door.open();
        id
    };
    let (made, now) = tokio::join!(soon(making), soon(promoting));
    let (kind, why) = fault(made);
    assert_eq!(kind, loomwork_core::Kind::Conflict);
    assert!(why.contains(&now.to_string()), "{why}");
    assert_eq!(yard.told().last().unwrap(), "a failed");
    // Again, it goes to the version that answers.
    yard.key("a", "late").await;
    assert_eq!(yard.texts(Query::words("late")).await, ["late"]);
}

#[tokio::test]
async fn one_whose_hook_fails_keeps_no_other_from_its_end() {
    let yard = Yard::open_with(model(), |builder| {
        builder.on_settled(|_, settled| match settled {
            loomwork_rag::Settled::Entry { entry, .. }
                if entry.key.as_deref() == Some("cursed") && entry.status == EntryStatus::Failed =>
            {
                Err(loomwork_store::Error::message(loomwork_core::Kind::Denied, "not today"))
            }
            _ => Ok(()),
        })
    })
    .await;
    let first = yard.key("other", "north").await;
    for key in ["cursed", "plain"] {
        let door = Door::default();
        tokio::select! {
            made = yard.rag.add(HALL, NewEntry::key(key), door.stream(1_000, key, 450)) => panic!("it waits: {made:?}"),
            () = door.reached() => {}
        }
    }
    yard.key("other", "east").await;
    yard.clock.advance(LEASE);
    let hall = yard.hall().await.id;
    let plain = yard.store.query(move |tx| entries::versions(tx, hall, "plain")).await.unwrap()[0].id;
    yard.becomes(plain, EntryStatus::Failed).await;
    yard.swept(first.entry.id, |row, _| !is_in_index(row)).await;
    let cursed = yard.store.query(move |tx| entries::versions(tx, hall, "cursed")).await.unwrap()[0].id;
    assert_eq!(yard.status(cursed).await, EntryStatus::Pending);
}

#[tokio::test]
async fn nothing_is_late_where_the_last_publication_was_deleted() {
    let yard = Yard::open().await;
    yard.key("other", "east").await;
    let first = yard.key("k", "north").await;
    let second = yard.key("k", "south").await;
    yard.clock.advance(GRACE);
    yard.swept(first.entry.id, |row, _| !is_in_index(row)).await;
    yard.rag.delete_by_key(yard.hall().await.id, "k", None).await.unwrap();
    for gone in [first, second] {
        soon(yard.rag.gone(gone.entry.id)).await.unwrap();
    }
    let found = yard.find("east").await;
    assert_eq!((super::yard::texts(&found), found.notes), (vec!["east".to_owned()], vec![]));
}

#[tokio::test]
async fn what_the_live_version_is_weighed_to_counts_for_one_that_is_on_its_way() {
    let yard = Yard::open().await;
    let first = yard.key("a", "north").await;
    let door = Door::default();
    let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(300, "next", 250));
    let weighing = async {
        door.reached().await;
        yard.rag.weigh(first.entry.id, 0.25).await.unwrap();
        door.open();
    };
    let (made, ()) = tokio::join!(soon(making), soon(weighing));
    let id = made.unwrap().entry.id;
    yard.swept(id, |row, _| serde_json::to_value(row).expect("it is JSON").get("weighing").is_none()).await;
    let score = |found: &Found| found.results[0].scores.vector.unwrap();
    let found = yard.find(Query { limit: 1, ..Query::from("next number 7") }).await;
    assert!((score(&found) - 0.25).abs() < 1e-4, "{found:?}");
    assert_eq!(yard.entry(id).await.importance, 0.25);
}
