use loomwork_messages::{
    ChangeError, DELETE_STEP, Failure, MessagePatch, MessageStatus, NewMessage, Position, Save, delete,
    delete_range, settle, truncate, update,
};
use loomwork_models::Message;
use loomwork_search::{Space, vectors};
use loomwork_store::Result;

use super::house::{House, assistant, call, fault, result, user};

async fn patch(house: &House, id: loomwork_messages::MessageId, patch: MessagePatch) -> Result<loomwork_store::Row<loomwork_messages::MessageRow>> {
    house.store.mutate(move |tx| update(tx, id, patch)).await
}

#[tokio::test]
async fn new_content_changes_text_and_tool() {
    let house = House::open().await;
    let id = house.save(assistant("before")).await[0].id;
    let message = Some(Message::assistant("after"));
    let row = patch(&house, id, MessagePatch { message, ..MessagePatch::default() }).await.expect("changed");
    assert_eq!((row.text.as_deref(), row.tool, row.updated), (Some("after"), false, Some(house.clock.clock().now())));
    let message = Some(call("1").message);
    let row = patch(&house, id, MessagePatch { message, ..MessagePatch::default() }).await.expect("changed");
    assert_eq!((row.text.as_deref(), row.tool), (None, true));
}

#[tokio::test]
async fn an_edited_text_loses_the_vector_of_the_old_one() {
    let house = House::open().await;
    let space = Space::new("m", 2).expect("a space");
    let id = house.save(NewMessage { vector: Some((space.clone(), vec![1.0, 0.0])), ..user("a") }).await[0].id;
    let metadata = Some([("seen".to_owned(), true.into())].into_iter().collect());
    patch(&house, id, MessagePatch { metadata, ..MessagePatch::default() }).await.expect("changed");
    let of = space.clone();
    let kept = house.store.query(move |tx| vectors::of(tx, &of, id)).await.expect("read");
    assert!(kept.is_some(), "another field is no reason");
    let message = Some(Message::user("b"));
    patch(&house, id, MessagePatch { message, ..MessagePatch::default() }).await.expect("changed");
    let left = house.store.query(move |tx| vectors::of(tx, &space, id)).await.expect("read");
    assert!(left.is_none());
}

#[tokio::test]
async fn a_pending_message_ends_once() {
    let all = [MessageStatus::Pending, MessageStatus::Success, MessageStatus::Failed, MessageStatus::Aborted];
    for from in all {
        for to in all {
            let house = House::open().await;
            let id = house.save(NewMessage { status: from, ..assistant("a") }).await[0].id;
            let moved = patch(&house, id, MessagePatch { status: Some(to), ..MessagePatch::default() }).await;
            if from == MessageStatus::Pending || from == to {
                assert_eq!(moved.expect("allowed").status, to);
            } else {
                let error: ChangeError = fault(moved);
                assert_eq!(error, ChangeError::Ended { message: id, is: from, asked: to });
            }
        }
    }
}

#[tokio::test]
async fn a_failed_message_has_no_vector() {
    let house = House::open().await;
    let space = Space::new("m", 2).expect("a space");
    let vector = Some((space.clone(), vec![1.0, 0.0]));
    let id = house.save(NewMessage { vector, ..NewMessage::pending() }).await[0].id;
    let failed = MessagePatch {
        status: Some(MessageStatus::Failed),
        error: Some(Failure::new("broken", "it broke")),
        ..MessagePatch::default()
    };
    let row = patch(&house, id, failed).await.expect("changed");
    assert_eq!(row.error.as_ref().map(|error| error.code.as_str()), Some("broken"));
    let left = house.store.query(move |tx| vectors::of(tx, &space, id)).await.expect("read");
    assert!(left.is_none());
}

#[tokio::test]
async fn settling_what_has_ended_changes_nothing() {
    let house = House::open().await;
    let id = house.save(assistant("a")).await[0].id;
    let failure = Some(Failure::new("late", "too late"));
    let row = house.store.mutate(move |tx| settle(tx, id, MessageStatus::Failed, failure)).await.expect("no error");
    assert_eq!((row.status, &row.error), (MessageStatus::Success, &None));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_changed() {
    let house = House::open().await;
    let id = house.save(user("a")).await[0].id;
    let deleted = house.store.mutate(move |tx| delete(tx, &[id])).await.expect("deleted");
    assert_eq!(deleted, [id]);
    let again = house.store.mutate(move |tx| delete(tx, &[id])).await.expect("nothing to do");
    assert!(again.is_empty());
    let error: ChangeError = fault(patch(&house, id, MessagePatch::default()).await);
    assert_eq!(error, ChangeError::NoMessage { message: id });
}

#[tokio::test]
async fn deleted_messages_take_their_vectors_along() {
    let house = House::open().await;
    let space = Space::new("m", 2).expect("a space");
    let id = house.save(NewMessage { vector: Some((space.clone(), vec![0.0, 1.0])), ..user("a") }).await[0].id;
    house.store.mutate(move |tx| delete(tx, &[id])).await.expect("deleted");
    let left = house.store.query(move |tx| vectors::of(tx, &space, id)).await.expect("read");
    assert!(left.is_none());
}

async fn range(house: &House, from: (u64, u64), before: (u64, u64)) -> loomwork_messages::RangeDeleted {
    let (thread, from, before) = (house.thread, Position::new(from.0, from.1), Position::new(before.0, before.1));
    house.store.mutate(move |tx| delete_range(tx, thread, from, before)).await.expect("deleted")
}

#[tokio::test]
async fn a_range_has_its_start_and_not_its_end() {
    let house = House::open().await;
    house.save(Save::all([user("a"), call("1"), result("1"), assistant("b"), user("c"), assistant("d"), user("e")])).await;
    let within = range(&house, (0, 1), (0, 3)).await;
    assert!(within.done);
    assert_eq!(house.positions().await, [(0, 0), (0, 3), (1, 0), (1, 1), (2, 0)]);
    let turns = range(&house, (0, 0), (2, 0)).await;
    assert_eq!((turns.done, turns.last), (true, Some(Position::new(1, 1))));
    assert_eq!(house.positions().await, [(2, 0)]);
    let nothing = range(&house, (0, 0), (2, 0)).await;
    assert_eq!((nothing.done, nothing.last), (true, None));
}

#[tokio::test]
async fn a_long_range_is_deleted_in_steps() {
    let house = House::open().await;
    house.save(Save::all((0..DELETE_STEP + 1).map(|number| user(&number.to_string())))).await;
    assert!(!range(&house, (0, 0), (1_000, 0)).await.done);
    assert!(range(&house, (0, 0), (1_000, 0)).await.done);
    assert!(house.all().await.is_empty());
}

#[tokio::test]
async fn a_thread_is_cut_behind_a_message() {
    let house = House::open().await;
    house.save(Save::all([user("a"), assistant("b"), assistant("c"), user("d")])).await;
    let thread = house.thread;
    house.store.mutate(move |tx| truncate(tx, thread, Position::new(0, 1))).await.expect("cut");
    assert_eq!(house.positions().await, [(0, 0), (0, 1)]);
}
