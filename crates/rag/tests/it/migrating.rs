//! From one model to another while searches go on.

use std::sync::Arc;

use futures_util::StreamExt as _;
use loomwork_models::{Error as ModelError, ErrorKind, Gate, MockEmbeddings};
use loomwork_rag::{
    Builder, Content, EntryStatus, GRACE, LEASE, NamespaceId, NewEntry, Query, Rag, Space, bind, migration,
};
use loomwork_search::vectors;
use loomwork_store::Table as _;
use loomwork_testkit::soon;
use loomwork_workpool::{JobRow, Workpool};

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

/// Begins to migrate a namespace, and waits until nothing is lacking.
async fn migrate(yard: &Yard, new: &Rag, hall: NamespaceId) {
    let migrating = new.clone();
    yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.expect("it migrates");
    complete(yard, hall).await;
}

async fn cut_over(yard: &Yard, new: &Rag, hall: NamespaceId) {
    let cutting = new.clone();
    yard.store.mutate(move |tx| cutting.cut_over(tx, hall).map(drop)).await.expect("nothing is lacking");
}

#[tokio::test]
async fn what_is_to_be_live_again_migrates_too() {
    let yard = Yard::open().await;
    let first = yard.key("a", many(3_000, "old")).await.entry.id;
    yard.key("a", "north").await;
    yard.clock.advance(GRACE);
    yard.swept(first, |row, _| serde_json::to_value(row).expect("it is JSON").get("hidden").is_none()).await;
    let hall = yard.hall().await.id;
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder).await;
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    // Whoever restores it dies in the midst of it.
    tokio::select! {
        biased;
        () = yard.becomes(first, EntryStatus::Pending) => {}
        done = yard.rag.restore(first) => panic!("it takes more than a step: {done:?}"),
    }
    migrate(&yard, &new, hall).await;
    cut_over(&yard, &new, hall).await;
    soon(new.finish_migration(hall)).await.unwrap();
    yard.clock.advance(LEASE);
    yard.becomes(first, EntryStatus::Replaced).await;
    soon(new.restore(first)).await.unwrap();
    let query = Query { limit: 250, ask: vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0].into(), ..Query::default() };
    assert_eq!(new.search(HALL, query).await.unwrap().results.len(), 250);
    assert_eq!(yard.counts().await, (2, 3_001, 3_001));
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn what_is_weighed_while_it_migrates_counts_so_in_both_spaces() {
    let yard = Yard::open().await;
    let id = yard.key("a", many(300, "chunk")).await.entry.id;
    let hall = yard.hall().await.id;
    let model = Arc::new(larger());
    // It stops behind the first part.
    model.succeed_next();
    model.fail_next(ModelError::new(ErrorKind::BadRequest, "mock", "larger", "too hot"));
    let new = newer(&yard, &model, |builder| builder).await;
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    let migrating = new.clone();
    yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap();
    let mut live = yard.store.watch(move |tx| migration(tx, hall));
    while soon(live.next()).await.unwrap().unwrap().unwrap().error.is_none() {}
    yard.rag.weigh(id, 0.25).await.unwrap();
    migrate(&yard, &new, hall).await;
    for space in [yard.rag.space().clone(), new.space().clone()] {
        for chunk in yard.chunks(id).await {
            let (space, id) = (space.clone(), chunk.id);
            let vector = yard.store.query(move |tx| vectors::of(tx, &space, id)).await.unwrap().unwrap();
            let length = vector.vector().iter().map(|part| part * part).sum::<f32>().sqrt();
            assert!((length - 0.25).abs() < 1e-4, "chunk {} counts {length}", chunk.order);
        }
    }
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn however_much_is_added_meanwhile_a_namespace_has_one_job_that_migrates_it() {
    let yard = Yard::open().await;
    yard.key("first", many(150, "first")).await;
    let hall = yard.hall().await.id;
    let gate = Gate::new();
    let model = Arc::new(larger().with_gate(&gate));
    let new = newer(&yard, &model, |builder| builder).await;
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    let migrating = new.clone();
    yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap();
    soon(gate.reached()).await;
    for at in 0..20 {
        yard.key(&format!("late {at}"), format!("late {at}")).await;
    }
    let jobs = yard.store.query(|tx| Ok(tx.scan(JobRow::all())?.len())).await.unwrap();
    assert_eq!(jobs, 1);
    gate.open();
    complete(&yard, hall).await;
    let asked: usize = model.requests().iter().map(|request| request.texts.len()).sum();
    assert_eq!(asked, 170);
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn what_a_migration_uses_is_told_to_whose_model_it_is() {
    type Heard = Arc<std::sync::Mutex<Vec<(String, Vec<String>)>>>;
    let (of_former, of_new) = (Heard::default(), Heard::default());
    let hook = |heard: &Heard| {
        let heard = heard.clone();
        move |_: &mut loomwork_store::Tx, used: &loomwork_rag::Used| {
            heard.lock().unwrap().push((used.model.to_string(), used.namespaces.clone()));
            Ok::<_, loomwork_store::Error>(())
        }
    };
    let yard = Yard::open_with(super::yard::model(), |builder| builder.on_used(hook(&of_former))).await;
    yard.key("a", "north").await;
    of_former.lock().unwrap().clear();
    let hall = yard.hall().await.id;
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder.on_used(hook(&of_new))).await;
    let pool = bind(Workpool::builder(&yard.store), [yard.rag.clone(), new.clone()]).start().await.unwrap();
    migrate(&yard, &new, hall).await;
    assert!(of_former.lock().unwrap().is_empty());
    assert_eq!(*of_new.lock().unwrap(), [("mock/larger".to_owned(), vec![HALL.to_owned()])]);
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_migration_that_is_not_finished_is_in_the_way_of_the_next_one() {
    let yard = Yard::open().await;
    for at in 0..3 {
        yard.key(&format!("doc {at}"), many(1_000, &format!("doc {at}"))).await;
    }
    let hall = yard.hall().await.id;
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder).await;
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    migrate(&yard, &new, hall).await;
    cut_over(&yard, &new, hall).await;
    let begun = async {
        while yard.hall().await.also.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        done = new.finish_migration(hall) => panic!("it takes more than a step: {done:?}"),
    }
    let third = Arc::new(MockEmbeddings::new(8).with_name("mock", "third"));
    let third = Rag::builder_with(&yard.store, third).former(model.clone(), None).start().await.unwrap();
    let migrating = third.clone();
    let refused = yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap_err();
    assert!(refused.to_string().contains("call `finish_migration` again"), "{refused}");
    soon(new.finish_migration(hall)).await.unwrap();
    assert_eq!(yard.counts().await, (3, 3_000, 3_000));
    let migrating = third.clone();
    yard.store.mutate(move |tx| migrating.migrate(tx, hall)).await.unwrap();
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn what_failed_before_leaves_no_vectors_and_hides_none() {
    let yard = Yard::open().await;
    for at in 0..5 {
        let (key, door) = (format!("failed {at}"), Door::default());
        let Content::Stream(stream) = door.stream(1_000, &key, 950) else { unreachable!("a door gives a stream") };
        let with_footer = stream.enumerate().map(|(at, chunk)| if at == 0 { Ok("the footer".into()) } else { chunk });
        let content = Content::Stream(with_footer.boxed());
        tokio::select! {
            made = yard.rag.add(HALL, NewEntry::key(&key), content) => panic!("it waits: {made:?}"),
            () = door.reached() => {}
        }
    }
    yard.key("live", "north").await;
    let hall = yard.hall().await.id;
    assert!(yard.counts().await.2 > 1_000);
    yard.clock.advance(LEASE);
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder).await;
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    migrate(&yard, &new, hall).await;
    cut_over(&yard, &new, hall).await;
    soon(new.finish_migration(hall)).await.unwrap();
    assert_eq!(yard.counts().await.2, 1);
    let asked = || model.requests().iter().flat_map(|request| request.texts.clone()).filter(|text| text == "the footer").count();
    for key in ["one", "two", "three"] {
        new.add(HALL, NewEntry::key(key), "the footer").await.unwrap();
    }
    assert_eq!(asked(), 1);
    pool.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_vector_that_is_given_before_the_namespace_migrates_is_there_when_it_does() {
    let yard = Yard::open().await;
    yard.key("first", "east").await;
    let hall = yard.hall().await.id;
    let model = Arc::new(larger());
    let new = newer(&yard, &model, |builder| builder).await;
    let vector = vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let given = loomwork_rag::NewChunk { embedding: Some(vector.clone()), ..loomwork_rag::NewChunk::from("a summary") };
    new.add(HALL, NewEntry::key("given"), vec![given]).await.unwrap();
    assert_eq!(yard.texts("a summary").await[0], "a summary");
    let pool = new.bind(Workpool::builder(&yard.store)).start().await.unwrap();
    migrate(&yard, &new, hall).await;
    cut_over(&yard, &new, hall).await;
    assert!(model.requests().iter().all(|request| request.texts == ["east"]));
    let found = new.search(HALL, Query { threshold: Some(0.99), ..Query::from(vector) }).await.unwrap();
    assert_eq!(texts(&found), ["a summary"]);
    pool.shutdown(DEADLINE).await.unwrap();
}
