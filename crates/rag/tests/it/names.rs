//! Namespaces have versions, of which several can answer.

use std::sync::Arc;

use loomwork_models::MockEmbeddings;
use loomwork_rag::{Filter, NamespaceStatus, NewEntry, Query, Rag, namespaces};
use loomwork_store::Page;

use super::yard::{HALL, Yard, model, start, texts};

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
    let listed = yard.store.query(|tx| namespaces::list(tx, NamespaceStatus::Replaced, Page::first(9))).await.unwrap();
    assert_eq!(listed.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [old.id]);
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
async fn one_more_filter_name_keeps_all_that_is_there() {
    let yard = Yard::open_with(model(), |builder| builder.filters(["b", "a"])).await;
    yard.add(NewEntry::key("x").filter("a", 1).filter("b", 1), "north").await;
    let more = Rag::builder_with(&yard.store, yard.model.clone()).filters(["c", "a", "b"]).start().await.unwrap();
    let asked = yard.asked();
    let both = |key: &str| NewEntry::key(key).filter("a", 1).filter("b", 1);
    more.add(HALL, both("y").filter("c", 2), "north").await.unwrap();
    assert_eq!(yard.asked(), asked);
    let hall = yard.hall().await;
    assert_eq!((hall.version, &hall.filter_names[..]), (0, &["b".to_owned(), "a".to_owned(), "c".to_owned()][..]));
    let count = async |filter: Filter| {
        let query = Query { filter, ..Query::words("north") };
        let (one, two) = (yard.find(query.clone()).await, more.search(HALL, query).await.unwrap());
        assert_eq!(one.results.len(), two.results.len());
        one.results.len()
    };
    assert_eq!((count(Filter::Everything).await, count(Filter::eq("a", 1)).await), (2, 2));
    assert_eq!((count(Filter::eq("c", 2)).await, count(Filter::exists("c")).await), (1, 1));
    assert_eq!(count(!Filter::eq("c", 2)).await, 1);
    // So it is for one that is named by its id.
    let most = Rag::builder_with(&yard.store, yard.model.clone()).filters(["d"]).start().await.unwrap();
    most.add(hall.id, NewEntry::key("z").filter("d", 3), "north").await.unwrap();
    assert_eq!(count(Filter::eq("d", 3)).await, 1);
}

#[tokio::test]
async fn services_with_different_filter_names_share_a_namespace() {
    let yard = Yard::open_with(model(), |builder| builder.filters(["a"])).await;
    let other = Rag::builder_with(&yard.store, yard.model.clone()).filters(["b"]).start().await.unwrap();
    for at in 0..3 {
        yard.add(NewEntry::key(format!("a{at}")).filter("a", at), "north").await;
        other.add(HALL, NewEntry::key(format!("b{at}")).filter("b", at), "north").await.unwrap();
    }
    for rag in [&yard.rag, &other] {
        assert_eq!(rag.search(HALL, "north").await.unwrap().results.len(), 6);
    }
    let all = yard.store.query(|tx| namespaces::versions(tx, HALL)).await.unwrap();
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn a_namespace_of_the_model_itself_comes_before_one_of_its_former_model() {
    let yard = Yard::open().await;
    let larger = Arc::new(MockEmbeddings::new(6).with_name("mock", "larger"));
    let newer = Rag::builder_with(&yard.store, larger.clone()).start().await.unwrap();
    newer.add(HALL, NewEntry::key("a"), "of the newer model").await.unwrap();
    yard.key("a", "of the former model").await;
    let both = Rag::builder_with(&yard.store, larger).former(yard.model.clone(), None).start().await.unwrap();
    assert_eq!(texts(&both.search(HALL, "model").await.unwrap()), ["of the newer model"]);
}
