//! Entries are added, found unchanged, and replaced.

use loomwork_core::Kind;
use loomwork_models::{Error as ModelError, ErrorKind};
use loomwork_rag::{
    Content, EntryStatus, Error, NewChunk, NewEntry, Query, Rag, Retention, content_hash, entries,
};
use loomwork_search::vectors;
use serde_json::json;

use super::yard::{HALL, Yard, chunks, fault, many, model};

#[tokio::test]
async fn an_entry_is_cut_embedded_and_ready() {
    let yard = Yard::open().await;
    let added = yard.add(NewEntry::key("a").titled("A").with("pages", 3), chunks(["north", "east", "south"])).await;
    assert!(added.created && added.replaced.is_none());
    assert_eq!((added.entry.status, added.entry.version, added.entry.chunks), (EntryStatus::Ready, 0, 3));
    assert_eq!((added.usage.embedding, added.entry.tokens), (3, 3));
    let rows = yard.chunks(added.entry.id).await;
    let orders: Vec<_> = rows.iter().map(|row| (row.order, row.text.as_str())).collect();
    assert_eq!(orders, [(0, "north"), (1, "east"), (2, "south")]);
    assert_eq!(yard.texts("north").await[0], "north");
    let (id, hash) = (yard.hall().await.id, added.entry.content_hash.clone().unwrap());
    let found = yard.store.query(move |tx| entries::by_hash(tx, id, Some("a"), &hash)).await.unwrap();
    assert_eq!(found.map(|entry| entry.id), Some(added.entry.id));
}

#[tokio::test]
async fn texts_come_in_calls_of_a_hundred_and_each_is_asked_for_once() {
    let yard = Yard::open().await;
    yard.key("a", many(250, "chunk")).await;
    let calls = || yard.model.requests().iter().map(|request| request.texts.len()).collect::<Vec<_>>();
    let mut first = calls();
    first.sort_unstable();
    assert_eq!(first, [50, 100, 100]);
    yard.key("b", many(100, "other")).await;
    assert_eq!(calls().len(), 4);
    yard.key("c", chunks(["same", " same ", "same"])).await;
    assert_eq!(yard.model.requests().last().unwrap().texts, ["same"]);
}

#[tokio::test]
async fn vectors_that_are_given_cost_nothing_and_blank_chunks_are_allowed() {
    let yard = Yard::open().await;
    let given = NewChunk { embedding: Some(vec![2.0, 0.0, 0.0, 0.0]), ..NewChunk::from("a summary") };
    let added = yard.key("a", vec![given]).await;
    assert_eq!((added.usage.total(), yard.asked()), (0, 0));
    assert_eq!(yard.texts("east").await, ["a summary"]);
    let blank = yard.key("b", chunks(["  "])).await;
    assert_eq!(yard.model.requests().last().unwrap().texts, ["_"]);
    assert_eq!(yard.chunks(blank.entry.id).await[0].text, "  ");
    let empty = yard.key("c", "").await;
    assert_eq!((empty.entry.status, empty.entry.chunks), (EntryStatus::Ready, 0));
}

#[tokio::test]
async fn an_unchanged_entry_costs_no_token_and_no_write() {
    let yard = Yard::open().await;
    let filters = || NewEntry::key("a").titled("A");
    let first = yard.add(filters(), "north").await;
    let (before, commits) = (yard.asked(), yard.store.committed());
    let again = yard.add(filters(), "north").await;
    assert_eq!((again.entry.id, again.created, again.usage.total()), (first.entry.id, false, 0));
    assert_eq!((yard.asked(), yard.store.committed()), (before, commits));
    assert_eq!(yard.counts().await.0, 1);
    assert_eq!(yard.told(), ["hall Ready over 0", "a ready"]);
}

#[tokio::test]
async fn a_new_title_is_taken_over_without_embedding() {
    let yard = Yard::open().await;
    let first = yard.add(NewEntry::key("a").titled("Old").with("by", "ada"), "north").await;
    let before = yard.asked();
    let again = yard.add(NewEntry::key("a").titled("New").with("by", "grace"), "north").await;
    assert_eq!((again.entry.id, again.created), (first.entry.id, false));
    let now = yard.entry(first.entry.id).await;
    assert_eq!((now.title.as_deref(), &now.metadata["by"]), (Some("New"), &json!("grace")));
    assert_eq!(yard.asked(), before);
    assert!(yard.find("north").await.text.starts_with("## New:"));
}

#[tokio::test]
async fn another_hash_importance_or_filter_is_a_new_version() {
    let yard = Yard::open_with(model(), |builder| builder.filters(["tags"])).await;
    let new = |hash: &str, importance: f32, tags: serde_json::Value| {
        NewEntry::key("a").hashed(hash).weighing(importance).filter("tags", tags)
    };
    yard.add(new("1", 1.0, json!(["x", { "y": 1 }])), "north").await;
    // The same as a whole, lists and maps too.
    assert!(!yard.add(new("1", 1.0, json!(["x", { "y": 1 }])), "other").await.created);
    assert!(yard.add(new("2", 1.0, json!(["x", { "y": 1 }])), "north").await.created);
    assert!(yard.add(new("2", 0.5, json!(["x", { "y": 1 }])), "north").await.created);
    let last = yard.add(new("2", 0.5, json!(["y"])), "north").await;
    assert_eq!((last.created, last.entry.version), (true, 3));
    assert_eq!(yard.asked(), 1);
}

#[tokio::test]
async fn without_a_key_each_is_an_entry_of_its_own_unless_its_hash_is_to_count() {
    let yard = Yard::open().await;
    let one = yard.add(NewEntry::default(), "north").await;
    let two = yard.add(NewEntry::default(), "north").await;
    assert_ne!(one.entry.id, two.entry.id);
    let three = yard.add(NewEntry { dedupe: true, ..NewEntry::default() }, "north").await;
    assert!(!three.created && [one.entry.id, two.entry.id].contains(&three.entry.id));
}

#[tokio::test]
async fn one_changed_paragraph_of_a_thousand_costs_its_own_embedding() {
    let yard = Yard::open().await;
    yard.key("a", many(1_000, "paragraph")).await;
    let before = yard.asked();
    let mut changed = many(1_000, "paragraph");
    changed[500].text = "another paragraph".to_owned();
    let added = yard.key("a", changed).await;
    assert_eq!(yard.asked() - before, 1);
    assert_eq!(added.entry.chunks, 1_000);
    let found = yard.find(Query { limit: 3, ..Query::words("another") }).await;
    assert_eq!(found.results[0].order, 500);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_a_token_is_spent() {
    let yard = Yard::open_with(model(), |builder| builder.filters(["team", "year"])).await;
    let add = async |new: NewEntry, content: Content| fault(yard.rag.add(HALL, new, content).await);
    let (kind, why) = add(NewEntry::key("a").filter("team", "x"), "text".into()).await;
    assert_eq!(kind, Kind::Invalid);
    assert!(why.contains("\"year\" is missing"), "{why}");
    let (_, why) = add(NewEntry::key("a").filter("teem", "x"), "text".into()).await;
    assert!(why.contains("\"teem\" is not declared"), "{why}");
    for importance in [1.1, -0.5, f32::NAN] {
        let (_, why) = add(NewEntry::key("a").weighing(importance), "text".into()).await;
        assert!(why.contains("0 to 1"), "{why}");
    }
    for vector in [vec![1.0; 5], vec![f32::NAN; 4]] {
        let chunk = NewChunk { embedding: Some(vector), ..NewChunk::from("text") };
        add(NewEntry::key("a"), vec![chunk].into()).await;
    }
    let (_, why) = add(NewEntry::key("k".repeat(501)), "text".into()).await;
    assert!(why.contains("501 bytes (\"kkk"), "{why}");
    let (_, why) = fault(yard.rag.add("", NewEntry::default(), "text").await);
    assert!(why.contains("namespace"), "{why}");
    assert_eq!((yard.asked(), yard.counts().await.0), (0, 0));
    let twice = Rag::builder(&yard.store, model()).filters(["a", "a"]).start().await;
    assert!(fault(twice).1.contains("twice"));
}

#[tokio::test]
async fn a_model_that_fails_leaves_the_live_version() {
    let yard = Yard::open().await;
    let first = yard.key("a", "north").await;
    yard.model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "mock", "no such language"));
    let (_, why) = fault(yard.rag.add(HALL, NewEntry::key("a"), "east").await);
    assert!(why.contains("no such language"), "{why}");
    assert_eq!(yard.texts("north").await, ["north"]);
    // One of several batches is left as failed, with the reason.
    yard.model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "mock", "too hot"));
    fault(yard.rag.add(HALL, NewEntry::key("a"), many(250, "hot")).await);
    let versions = yard.hall().await.id;
    let newest = yard.store.query(move |tx| entries::versions(tx, versions, "a")).await.unwrap();
    assert_eq!((newest[0].status, newest.len()), (EntryStatus::Failed, 2));
    assert!(newest[0].error.as_ref().unwrap().contains("too hot"));
    assert_eq!(yard.status(first.entry.id).await, EntryStatus::Ready);
    assert_eq!(yard.texts("north").await, ["north"]);
    assert_eq!(yard.told().last().unwrap(), "a failed");
}

#[tokio::test]
async fn a_stream_of_chunks_is_taken_in_batches() {
    let yard = Yard::open().await;
    let stream = futures_util::stream::iter(many(230, "streamed").into_iter().map(Ok));
    let added = yard.key("a", Content::Stream(Box::pin(stream))).await;
    assert_eq!((added.entry.chunks, added.entry.status), (230, EntryStatus::Ready));
    let broken = many(150, "broken").into_iter().map(Ok);
    let broken = broken.chain([Err(Error::Missing { what: "the end", needs: "more" })]);
    let stream = futures_util::stream::iter(broken.collect::<Vec<_>>());
    fault(yard.rag.add(HALL, NewEntry::key("b"), Content::Stream(Box::pin(stream))).await);
    assert!(yard.texts(Query::words("broken")).await.is_empty());
}

#[tokio::test]
async fn former_versions_are_kept_as_long_and_as_many_as_is_said() {
    let retention = Retention { versions: 2, ..Retention::default() };
    let yard = Yard::open_with(model(), |builder| builder.retention(retention)).await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three", "four"] {
        ids.push(yard.key("a", text).await.entry.id);
    }
    yard.clock.advance(loomwork_rag::GRACE);
    yard.swept(ids[0], |_, _| false).await;
    yard.swept(ids[1], |row, _| row.status == EntryStatus::Deleting || !is_in_index(row)).await;
    assert_eq!(yard.chunks(ids[1]).await.len(), 1);
    yard.clock.advance(Retention::default().age.unwrap());
    yard.swept(ids[1], |_, _| false).await;
    yard.swept(ids[2], |_, _| false).await;
    assert_eq!(yard.counts().await, (1, 1, 1));
    assert_eq!(yard.texts("four").await, ["four"]);
}

/// Whether upkeep has something left to do with it at once.
fn is_in_index(row: &loomwork_rag::EntryRow) -> bool {
    serde_json::to_value(row).expect("it is JSON").get("hidden").is_some()
}

#[tokio::test]
async fn a_former_version_comes_back_without_embedding() {
    let yard = Yard::open().await;
    let first = yard.key("a", many(450, "old")).await;
    let second = yard.key("a", "north").await;
    yard.clock.advance(loomwork_rag::GRACE);
    yard.swept(first.entry.id, |row, _| !is_in_index(row)).await;
    assert!(yard.texts(Query::words("old")).await.is_empty());
    let before = yard.asked();
    let restored = yard.rag.restore(first.entry.id).await.unwrap();
    assert_eq!((restored.status, restored.version), (EntryStatus::Ready, 2));
    assert_eq!(yard.texts(Query { limit: 250, ..Query::words("old") }).await.len(), 250);
    assert!(yard.texts(Query::words("north")).await.is_empty());
    assert_eq!((yard.asked(), yard.status(second.entry.id).await), (before, EntryStatus::Replaced));
    fault(yard.rag.restore(restored.id).await);
}

#[tokio::test]
async fn importance_changes_in_place() {
    let yard = Yard::open().await;
    let one = yard.add(NewEntry::key("a").weighing(0.0), "north").await;
    yard.key("b", "northeast").await;
    assert_eq!(yard.texts("north").await, ["northeast", "north"]);
    let before = yard.asked();
    yard.rag.weigh(one.entry.id, 0.9).await.unwrap();
    let found = yard.find("north").await;
    assert_eq!(found.entry(one.entry.id).unwrap().importance, 0.9);
    assert!((found.results[0].score - 0.9).abs() < 1e-5, "{}", found.results[0].score);
    // The query alone was embedded.
    assert_eq!(yard.asked() - before, 1);
    assert_eq!(fault(yard.rag.weigh(one.entry.id, 2.0).await).0, Kind::Invalid);
}

#[tokio::test]
async fn hashes_are_those_that_others_compute() {
    assert_eq!(content_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(NewChunk::from_json(json!({ "pageContent": "x", "metadata": { "page": 1 } })).unwrap().text, "x");
    for wrong in [json!(1), json!({ "body": "x" }), json!({ "text": "x", "embedding": "no" })] {
        assert!(NewChunk::from_json(wrong).is_err());
    }
}

#[tokio::test]
async fn chunks_and_vectors_are_exactly_those_of_what_is_kept() {
    let yard = Yard::open_with(model(), |builder| {
        builder.retention(Retention { versions: 0, ..Retention::default() })
    })
    .await;
    let first = yard.key("a", chunks(["one", "two", "three", "four"])).await;
    yard.key("a", chunks(["one", "two", "three"])).await;
    // Searches that began before may need it for a while.
    assert_eq!(yard.counts().await, (2, 7, 7));
    yard.clock.advance(loomwork_rag::GRACE);
    yard.swept(first.entry.id, |_, _| false).await;
    assert_eq!(yard.counts().await, (1, 3, 3));
    let space = yard.rag.space().clone();
    let rows = yard.chunks(yard.find("one").await.entries[0].entry.id).await;
    for row in rows {
        let (space, id) = (space.clone(), row.id);
        assert!(yard.store.query(move |tx| vectors::of(tx, &space, id)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_stream_of_what_is_there_already_is_dropped() {
    let yard = Yard::open().await;
    for count in [40, 250] {
        let stream = || Content::Stream(Box::pin(futures_util::stream::iter(many(count, "streamed").into_iter().map(Ok))));
        let first = yard.key("a", stream()).await;
        let (asked, entries) = (yard.asked(), yard.counts().await.0);
        let again = yard.add(NewEntry::key("a").titled("Now with a title"), stream()).await;
        assert_eq!((again.created, again.entry.id), (false, first.entry.id));
        assert_eq!(again.entry.title.as_deref(), Some("Now with a title"));
        assert_eq!((yard.asked(), yard.status(first.entry.id).await), (asked, EntryStatus::Ready));
        // A short one is known before anything is written.
        assert_eq!(yard.counts().await.0 - entries, usize::from(count > loomwork_rag::BATCH_CHUNKS));
    }
}

#[tokio::test]
async fn chunks_in_other_places_are_another_content() {
    let yard = Yard::open().await;
    let at = |start: u64| {
        let place = loomwork_rag::Place { start: Some(start), end: Some(start + 5), ..Default::default() };
        vec![NewChunk { place, ..NewChunk::from("north") }]
    };
    yard.key("a", at(0)).await;
    let moved = yard.key("a", at(7)).await;
    assert!(moved.created);
    assert_eq!((yard.chunks(moved.entry.id).await[0].place.start, yard.asked()), (Some(7), 1));
}

#[tokio::test]
async fn what_began_to_count_otherwise_comes_to_its_end() {
    let yard = Yard::open().await;
    let added = yard.key("a", many(1_000, "chunk")).await;
    let id = added.entry.id;
    let begun = async {
        while yard.entry(id).await.importance == 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        done = yard.rag.weigh(id, 0.25) => done.unwrap(),
    }
    // Another one at the same time: the last one is what counts.
    yard.rag.weigh(id, 0.5).await.unwrap();
    let space = yard.rag.space().clone();
    for chunk in yard.chunks(id).await {
        let (space, id) = (space.clone(), chunk.id);
        let vector = yard.store.query(move |tx| vectors::of(tx, &space, id)).await.unwrap().unwrap();
        let length = vector.vector().iter().map(|part| part * part).sum::<f32>().sqrt();
        assert!((length - 0.5).abs() < 1e-4, "chunk {} counts {length}", chunk.order);
    }
}

#[tokio::test]
async fn a_restoring_that_is_called_off_leaves_the_former_version() {
    let yard = Yard::open().await;
    let first = yard.key("a", many(3_000, "old")).await;
    let second = yard.key("a", "north").await;
    yard.clock.advance(loomwork_rag::GRACE);
    yard.swept(first.entry.id, |row, _| !is_in_index(row)).await;
    let id = first.entry.id;
    let begun = yard.becomes(id, EntryStatus::Pending);
    tokio::select! {
        biased;
        () = begun => {}
        done = yard.rag.restore(id) => panic!("it takes more than a step: {done:?}"),
    }
    let rag = yard.rag.clone();
    assert!(yard.store.mutate(move |tx| rag.cancel(tx, id)).await.unwrap());
    assert_eq!((yard.status(id).await, yard.chunks(id).await.len()), (EntryStatus::Replaced, 3_000));
    yard.clock.advance(loomwork_rag::GRACE);
    yard.swept(id, |row, _| !is_in_index(row)).await;
    assert_eq!((yard.status(second.entry.id).await, yard.chunks(id).await.len()), (EntryStatus::Ready, 3_000));
    yard.rag.restore(id).await.unwrap();
    assert_eq!(yard.texts(Query { limit: 250, ..Query::words("old") }).await.len(), 250);
}

#[tokio::test]
async fn knowledge_bases_in_one_store_keep_their_own_settings() {
    let yard = Yard::open_with(model(), |builder| builder.retention(Retention { age: None, ..Retention::default() })).await;
    let other = std::sync::Arc::new(loomwork_models::MockEmbeddings::new(6).with_name("mock", "other"));
    let told = super::yard::Told::default();
    let short = Retention { versions: 10, age: Some(std::time::Duration::from_secs(60)) };
    let others = super::yard::start(&yard.store, &other, &told, |builder| builder.retention(short)).await;
    let mine = yard.key("a", "north").await;
    let theirs = others.add("theirs", NewEntry::key("a"), "north").await.unwrap();
    yard.key("a", "east").await;
    others.add("theirs", NewEntry::key("a"), "east").await.unwrap();
    let door = super::yard::Door::default();
    tokio::select! {
        made = yard.rag.add(HALL, NewEntry::key("dead"), door.stream(1_000, "dead", 450)) => panic!("it waits: {made:?}"),
        () = door.reached() => {}
    }
    yard.clock.advance(loomwork_rag::LEASE);
    yard.swept(theirs.entry.id, |_, _| false).await;
    yard.swept(mine.entry.id, |row, _| !is_in_index(row)).await;
    let hall = yard.hall().await.id;
    let dead = yard.store.query(move |tx| entries::versions(tx, hall, "dead")).await.unwrap()[0].id;
    yard.becomes(dead, EntryStatus::Failed).await;
    yard.clock.advance(Retention::default().age.unwrap() * 50);
    assert_eq!(yard.status(mine.entry.id).await, EntryStatus::Replaced);
    assert_eq!(yard.told().last().unwrap(), "dead failed");
    let told = told.lock().unwrap().clone();
    assert_eq!(told, ["theirs Ready over 0", "a ready", "a ready over another"]);
}

#[tokio::test]
async fn a_text_that_several_need_at_once_is_asked_for_once() {
    let gate = loomwork_models::Gate::new();
    let yard = Yard::open_with(model().with_gate(&gate), |builder| builder).await;
    // The same texts in all batches of one entry, and in another one.
    let repeated: Vec<NewChunk> = (0..300).map(|at| NewChunk::from(format!("line {}", at % 70))).collect();
    let adding = futures_util::future::join3(
        yard.key("a", repeated.clone()),
        yard.key("b", repeated.clone()),
        yard.key("c", repeated[..70].to_vec()),
    );
    let opening = async {
        gate.reached().await;
        gate.open();
    };
    let ((one, two, three), ()) = loomwork_testkit::soon(futures_util::future::join(adding, opening)).await;
    assert_eq!(yard.asked(), 70);
    let tokens = one.usage.total() + two.usage.total() + three.usage.total();
    assert_eq!((tokens, yard.counts().await.2), (140, 670));
}

#[tokio::test]
async fn it_can_be_seen_what_differs_between_two_versions() {
    let yard = Yard::open().await;
    let first = yard.key("a", chunks(["one", "same", "two", "same"])).await.entry.id;
    let second = yard.key("a", chunks(["same", "new", "one", "newer"])).await.entry.id;
    let between = yard.store.query(move |tx| entries::difference(tx, first, second)).await.unwrap();
    let texts = |rows: &[loomwork_store::Row<loomwork_rag::ChunkRow>]| {
        rows.iter().map(|row| row.text.clone()).collect::<Vec<_>>()
    };
    assert_eq!((between.kept, texts(&between.removed), texts(&between.added)), (2, vec!["two".into(), "same".into()], vec!["new".into(), "newer".into()]));
    let itself = yard.store.query(move |tx| entries::difference(tx, second, second)).await.unwrap();
    assert_eq!((itself.kept, itself.removed.len(), itself.added.len()), (4, 0, 0));
}

#[tokio::test]
async fn runs_that_bring_nothing_new_push_no_version_out() {
    let yard = Yard::open().await;
    let stream = |of: &str| Content::Stream(Box::pin(futures_util::stream::iter(many(150, of).into_iter().map(Ok))));
    let first = yard.key("a", stream("first")).await;
    let second = yard.key("a", stream("second")).await;
    let mut same = Vec::new();
    for _ in 0..11 {
        assert!(!yard.key("a", stream("second")).await.created);
        let hall = yard.hall().await.id;
        same.push(yard.store.query(move |tx| entries::versions(tx, hall, "a")).await.unwrap()[0].id);
    }
    let asked = yard.asked();
    yard.key("a", stream("third")).await;
    yard.clock.advance(loomwork_rag::GRACE);
    yard.swept(second.entry.id, |row, _| !is_in_index(row)).await;
    for former in [first.entry.id, second.entry.id] {
        assert_eq!(yard.rag.restore(former).await.unwrap().status, EntryStatus::Ready);
    }
    assert_eq!(yard.asked() - asked, 150);
    // It can be seen for a while what came of them.
    assert_eq!(yard.status(same[0]).await, EntryStatus::Replaced);
    yard.clock.advance(loomwork_rag::TOLD);
    for same in same {
        yard.swept(same, |_, _| false).await;
    }
}

#[tokio::test]
async fn a_text_is_asked_for_once_more_where_who_asked_for_it_has_failed() {
    let gate = loomwork_models::Gate::new();
    let yard = Yard::open_with(model().with_gate(&gate), |builder| builder).await;
    yard.rag.namespace(HALL, loomwork_rag::NamespaceStatus::Ready).await.unwrap();
    yard.model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "mock", "too hot"));
    let adding = (0..4).map(|at| yard.rag.add(HALL, NewEntry::key(format!("{at}")), "the same footer"));
    let opening = async {
        gate.reached().await;
        // The others come to wait for it.
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        gate.open();
    };
    let adding = futures_util::future::join_all(adding);
    let (added, ()) = loomwork_testkit::soon(futures_util::future::join(adding, opening)).await;
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 3);
    assert_eq!(yard.model.requests().len(), 2);
}
