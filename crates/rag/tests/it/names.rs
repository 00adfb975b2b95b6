//! Namespaces have versions, of which several can answer.

use std::sync::Arc;

use loomwork_core::Kind;
use loomwork_models::MockEmbeddings;
use loomwork_rag::{NamespaceStatus, NewEntry, Rag, namespaces};
use loomwork_store::Page;

use super::yard::{HALL, Yard, fault, model, start, texts};

#[tokio::test]
async fn a_namespace_is_made_once_and_reused() {
    let yard = Yard::open().await;
    let one = yard.rag.namespace(HALL, NamespaceStatus::Ready).await.unwrap();
    let two = yard.rag.namespace(HALL, NamespaceStatus::Ready).await.unwrap();
    assert_eq!((one.id, one.version, one.status), (two.id, 0, NamespaceStatus::Ready));
    yard.key("a", "north").await;
    assert_eq!(yard.hall().await.id, one.id);
    assert_eq!(yard.told(), ["hall Ready over 0", "a ready"]);
}

#[tokio::test]
async fn a_pending_namespace_is_filled_and_takes_over_when_it_is_promoted() {
    let yard = Yard::open().await;
    yard.key("a", "north").await;
    let old = yard.hall().await;
    let larger = MockEmbeddings::new(6).with_name("mock", "larger");
    let rag = start(&yard.store, &Arc::new(larger), &yard.told, |builder| builder).await;
    let pending = rag.namespace(HALL, NamespaceStatus::Pending).await.unwrap();
    assert_eq!((pending.version, pending.status), (1, NamespaceStatus::Pending));
    rag.add(pending.id, NewEntry::key("a"), "northern").await.unwrap();
    assert!(rag.search(HALL, "north").await.unwrap().results.is_empty());
    assert_eq!(rag.search_version(pending.id, "north").await.unwrap().results.len(), 1);
    assert_eq!(yard.texts("north").await, ["north"]);
    let (promoting, id) = (rag.clone(), pending.id);
    let replaced = yard.store.mutate(move |tx| promoting.promote(tx, id)).await.unwrap();
    assert_eq!(replaced[0].id, old.id);
    assert!(replaced[0].replaced.is_some());
    assert_eq!(texts(&rag.search(HALL, "north").await.unwrap()), ["northern"]);
    assert!(yard.find("north").await.results.is_empty());
    let promoting = rag.clone();
    assert!(yard.store.mutate(move |tx| promoting.promote(tx, id)).await.unwrap().is_empty());
    assert_eq!(yard.told(), ["hall Ready over 0", "a ready", "a ready", "hall Ready over 1"]);
    let (promoting, gone) = (rag.clone(), old.id);
    let itself = yard.store.mutate(move |tx| promoting.promote(tx, gone)).await.unwrap();
    assert_eq!(itself[0].id, old.id);
}

#[tokio::test]
async fn two_models_on_one_name_answer_side_by_side() {
    let yard = Yard::open().await;
    let larger = MockEmbeddings::new(6).with_name("mock", "larger");
    let other = Rag::builder(&yard.store, larger).start().await.unwrap();
    for (at, text) in ["north", "east", "south"].into_iter().enumerate() {
        yard.key(&format!("{at}"), text).await;
        other.add(HALL, NewEntry::key(format!("{at}")), format!("{text}ern")).await.unwrap();
    }
    assert_eq!(yard.find("north").await.results.len(), 3);
    assert_eq!(other.search(HALL, "north").await.unwrap().results.len(), 3);
    let all = yard.store.query(|tx| namespaces::versions(tx, HALL)).await.unwrap();
    assert_eq!(all.iter().map(|row| row.version).collect::<Vec<_>>(), [1, 0]);
}

#[tokio::test]
async fn another_set_of_filter_names_is_another_version() {
    let yard = Yard::open_with(model(), |builder| builder.filters(["b", "a"])).await;
    yard.key("x", "north").await;
    let fewer = Rag::builder_with(&yard.store, yard.model.clone()).filters(["a"]).start().await.unwrap();
    assert_eq!(fewer.namespace(HALL, NamespaceStatus::Ready).await.unwrap().version, 0);
    let more = Rag::builder_with(&yard.store, yard.model.clone()).filters(["a", "b", "c"]).start().await.unwrap();
    assert_eq!(more.namespace(HALL, NamespaceStatus::Ready).await.unwrap().version, 1);
    let old = yard.store.query(|tx| namespaces::list(tx, NamespaceStatus::Replaced, Page::first(9))).await.unwrap();
    assert_eq!(old.rows.len(), 1);
    // By its id it is still there; one of other names is refused.
    let old = old.rows[0].id;
    assert_eq!(yard.rag.search_version(old, "north").await.unwrap().results.len(), 1);
    let (kind, why) = fault(more.add(old, NewEntry::default(), "text").await);
    assert_eq!(kind, Kind::Invalid);
    assert!(why.contains("[b, a]") && why.contains("[a, b, c]"), "{why}");
}
