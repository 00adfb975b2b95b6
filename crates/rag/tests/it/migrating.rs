//! From one model to another while searches go on.

use std::sync::Arc;

use loomwork_models::{Gate, MockEmbeddings};
use loomwork_rag::{Builder, NamespaceId, NewEntry, Query, Rag, Space, bind, migration};
use loomwork_testkit::soon;
use loomwork_workpool::Workpool;

use super::yard::{DEADLINE, Door, HALL, Yard, fault, many, texts};

fn larger() -> MockEmbeddings {
    MockEmbeddings::new(6)
        .with_name("mock", "larger")
        .with_vector("north", [0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
        .with_vector("east", [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
}

async fn newer(yard: &Yard, model: &Arc<MockEmbeddings>, with: impl FnOnce(Builder) -> Builder) -> Rag {
    let builder = Rag::builder_with(&yard.store, model.clone()).former(yard.model.clone(), None);
    let new = with(builder).start().await.expect("it starts");
    new.filled().await.expect("all is found");
    new
}

async fn complete(yard: &Yard, id: NamespaceId) {
    let mut live = yard.store.watch(move |tx| migration(tx, id));
    loop {
        let standing = soon(live.next()).await.expect("the store is open").expect("it is read").expect("it migrates");
        assert_eq!(standing.error, None);
        if standing.lacking == 0 {
            return;
        }
    }
}

#[tokio::test]
async fn a_namespace_answers_before_during_and_after_and_can_go_back() {
    let yard = Yard::open().await;
    yard.key("a", "north").await;
    yard.key("b", "east").await;
    let hall = yard.hall().await.id;
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder).await;
    // Nothing has begun: it is found by the former model.
    assert_eq!(texts(&new.search(HALL, "north").await.unwrap()), ["north", "east"]);
    let migrating = new.clone();
    yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap();
    let early = new.clone();
    assert!(yard.store.mutate(move |tx| early.cut_over(tx, hall).map(drop)).await.unwrap_err().to_string().contains("lack"));
    let pool = bind(Workpool::builder(&yard.store), [new.clone()]).start().await.unwrap();
    complete(&yard, hall).await;
    // What is added meanwhile gets both.
    let added = new.add(HALL, NewEntry::key("c"), "northeast").await.unwrap();
    assert_eq!(added.entry.spaces.len(), 2);
    assert_eq!(yard.find("north").await.results.len(), 3);
    assert_eq!(new.search(HALL, "north").await.unwrap().results.len(), 3);
    // What the former one adds alone is caught up with.
    let behind = yard.key("d", "south").await;
    assert_eq!(behind.entry.spaces.len(), 1);
    complete(&yard, hall).await;
    let cutting = new.clone();
    let row = yard.store.mutate(move |tx| cutting.cut_over(tx, hall)).await.unwrap();
    assert_eq!((row.space.dimension(), row.also.as_ref().map(Space::dimension)), (6, Some(4)));
    assert_eq!(new.search(HALL, "north").await.unwrap().results.len(), 4);
    let back = new.clone();
    let row = yard.store.mutate(move |tx| back.roll_back(tx, hall)).await.unwrap();
    assert_eq!(row.space.dimension(), 4);
    assert_eq!(yard.find("north").await.results.len(), 4);
    let cutting = new.clone();
    yard.store.mutate(move |tx| cutting.cut_over(tx, hall).map(drop)).await.unwrap();
    soon(new.finish_migration(hall)).await.unwrap();
    assert_eq!(yard.counts().await, (4, 4, 4));
    assert!(yard.find("north").await.results.is_empty());
    let asked = model.requests().len();
    assert_eq!(new.search(HALL, vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).await.unwrap().results.len(), 4);
    assert_eq!(model.requests().len(), asked);
    assert_eq!(yard.store.query(move |tx| migration(tx, hall)).await.unwrap(), None);
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_migration_that_is_killed_goes_on_and_asks_for_nothing_twice() {
    let yard = Yard::open().await;
    for at in 0..4 {
        yard.key(&format!("doc {at}"), many(150, &format!("doc {at}"))).await;
    }
    let hall = yard.hall().await.id;
    let gate = Gate::new();
    let model = Arc::new(larger().with_gate(&gate));
    let new = newer(&yard, &model, |builder| builder).await;
    let migrating = new.clone();
    yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap();
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    soon(gate.reached()).await;
    // All is found in the midst of it.
    let query = || Query { limit: 250, ask: vec![0.0, 1.0, 0.0, 0.0].into(), ..Query::default() };
    assert_eq!(yard.find(query()).await.results.len(), 250);
    drop(pool);
    new.shutdown(DEADLINE).await.unwrap();
    gate.open();
    let yard = yard.reopen(|builder| builder).await;
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder).await;
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    // Where others may share the rows, the dead worker's lease has to end.
    yard.meanwhile(complete(&yard, hall)).await;
    let asked: usize = model.requests().iter().map(|request| request.texts.len()).sum();
    assert!(asked <= 600, "{asked}");
    let cutting = new.clone();
    yard.store.mutate(move |tx| cutting.cut_over(tx, hall).map(drop)).await.unwrap();
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_migration_that_makes_no_sense_is_refused() {
    let yard = Yard::open().await;
    yard.key("a", "north").await;
    let hall = yard.hall().await.id;
    let rag = yard.rag.clone();
    let same = yard.store.mutate(move |tx| rag.migrate(tx, hall)).await.unwrap_err();
    assert!(same.to_string().contains("already"), "{same}");
    let rag = yard.rag.clone();
    let none = yard.store.mutate(move |tx| rag.cut_over(tx, hall).map(drop)).await.unwrap_err();
    assert!(none.to_string().contains("does not migrate"), "{none}");
}

#[tokio::test]
async fn notes_are_embedded_many_at_a_time_and_empty_ones_are_in_nobodys_way() {
    let yard = Yard::open().await;
    for at in 0..250 {
        yard.key(&format!("note {at}"), format!("note {at}")).await;
    }
    yard.key("empty", "").await;
    let hall = yard.hall().await.id;
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder).await;
    let migrating = new.clone();
    yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap();
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    complete(&yard, hall).await;
    yard.key("empty too", "").await;
    let calls: Vec<_> = model.requests().iter().map(|request| request.texts.len()).collect();
    assert_eq!(calls, [100, 100, 50]);
    let standing = yard.store.query(move |tx| migration(tx, hall)).await.unwrap().unwrap();
    assert_eq!((standing.entries, standing.lacking, standing.chunks), (250, 0, 250));
    let cutting = new.clone();
    yard.store.mutate(move |tx| cutting.cut_over(tx, hall).map(drop)).await.unwrap();
    soon(new.finish_migration(hall)).await.unwrap();
    assert_eq!(yard.counts().await, (252, 250, 250));
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn what_was_begun_for_the_former_model_is_not_published_behind_its_end() {
    for is_finished in [false, true] {
        let yard = Yard::open().await;
        yard.key("a", "north").await;
        let hall = yard.hall().await.id;
        let model = Arc::new(larger());
        let new = newer(&yard, &model, |builder| builder).await;
        let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
        let door = Door::default();
        let making = yard.rag.add(HALL, NewEntry::key("a"), door.stream(500, "late", 450));
        let moving = async {
            door.reached().await;
            let migrating = new.clone();
            yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap();
            complete(&yard, hall).await;
            let cutting = new.clone();
            yard.store.mutate(move |tx| cutting.cut_over(tx, hall).map(drop)).await.unwrap();
            if is_finished {
                soon(new.finish_migration(hall)).await.unwrap();
            }
            door.open();
        };
        let (made, ()) = tokio::join!(soon(making), soon(moving));
        let (kind, why) = fault(made);
        assert_eq!(kind, loomwork_core::Kind::Conflict);
        assert!(why.contains("went over to the model mock/larger"), "{why}");
        // The version that is complete is still the live one.
        assert_eq!(texts(&new.search(HALL, "north").await.unwrap()), ["north"]);
        assert_eq!(new.add(HALL, NewEntry::key("a"), "east").await.unwrap().replaced.map(|row| row.version), Some(0));
        pool.shutdown(DEADLINE).await.unwrap();
    }
}
