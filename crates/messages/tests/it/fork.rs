use loomwork_messages::edits::{self, NewEdit};
use loomwork_messages::fork::{self, At, Error, Options, Target};
use loomwork_messages::runs::{self, NewRun};
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{
    MessageRow, MessageStatus, Position, Responder, Thread, ThreadId, ThreadStatus, metadata,
};
use loomwork_search::vectors;
use loomwork_store::{Page, Result, Row, Tx};
use serde_json::json;

use super::house::{House, message, of_tool, space, with_status};

async fn forked(house: &House, source: ThreadId, at: impl Into<At>, options: Options) -> Row<Thread> {
    let at = at.into();
    let copy = house.commit(move |tx| fork::start(tx, source, at, options)).await;
    fork::finish(&house.store, copy.id).await.expect("it is copied")
}

fn rows(tx: &Tx, thread: ThreadId) -> Result<Vec<Row<MessageRow>>> {
    tx.scan(MessageRow::by_position.eq(thread))
}

async fn positions(house: &House, thread: ThreadId) -> Vec<(u64, u64)> {
    let rows = house.read(move |tx| rows(tx, thread)).await;
    rows.into_iter().map(|row| (row.order, row.step)).collect()
}

async fn conversation(house: &House, turns: u64) -> ThreadId {
    let id = house.thread("alice").await;
    for order in 0..turns {
        house.turn(id, order).await;
    }
    id
}

#[tokio::test]
async fn a_fork_has_all_up_to_the_end_of_a_messages_turn() {
    let house = House::open().await;
    let source = conversation(&house, 3).await;
    let question = house.read(move |tx| rows(tx, source)).await[2].id;
    let copy = forked(&house, source, question, Options::default()).await;
    assert_eq!(positions(&house, copy.id).await, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!((copy.parent, copy.forked_at), (Some(source), Some(Position::new(1, 1))));
    assert_eq!(copy.status, ThreadStatus::Active);
    let before = forked(&house, source, Position::new(1, 0), Options::default()).await;
    assert_eq!(positions(&house, before.id).await, [(0, 0), (0, 1), (1, 0)]);
    let whole = forked(&house, source, At::End, Options::default()).await;
    assert_eq!(positions(&house, whole.id).await.len(), 6);
    let forks = house.read(move |tx| fork::list(tx, source, Page::first(9))).await;
    assert_eq!(forks.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [copy.id, before.id, whole.id]);
    let beyond = forked(&house, source, Position::end_of(u64::MAX), Options::default()).await;
    assert_eq!(positions(&house, beyond.id).await.len(), 6);
}

#[tokio::test]
async fn a_fork_is_like_its_source_unless_it_is_said_otherwise() {
    let house = House::open().await;
    let new = NewThread {
        title: Some("Carpets".into()),
        tags: vec!["wool".into()],
        metadata: metadata(&json!({ "a": 1 })).expect("it has names"),
        responder: Responder::Human,
        agent: Some("billing".into()),
        ..NewThread::for_user("alice")
    };
    let like = new.clone();
    let source = house.commit(move |tx| Ok(threads::create(tx, new)?.id)).await;
    let copy = forked(&house, source, At::End, Options::default()).await.record;
    assert_eq!((copy.user, copy.title, copy.tags), (like.user, like.title, like.tags));
    assert_eq!((copy.metadata, copy.responder, copy.forked_at), (like.metadata, like.responder, None));
    assert_eq!(copy.agent, like.agent);
    let options = Options { target: Target::New(NewThread::for_user("bob")), ..Options::default() };
    let his = forked(&house, source, At::End, options).await;
    assert_eq!((his.user.as_deref(), his.title.as_deref()), (Some("bob"), None));
    assert_eq!(his.parent, Some(source));
}

#[tokio::test]
async fn a_copy_answers_the_copy_of_what_was_answered() {
    let house = House::open().await;
    let source = conversation(&house, 2).await;
    let copy = forked(&house, source, At::End, Options { batch: 1, ..Options::default() }).await.id;
    let copies = house.read(move |tx| rows(tx, copy)).await;
    assert_eq!(copies[1].prompt, Some(copies[0].id));
    assert_eq!(copies[3].prompt, Some(copies[2].id));
    assert!(copies.iter().all(|row| row.thread == copy && row.run.is_none()));
    let originals = house.read(move |tx| rows(tx, source)).await;
    for (copy, original) in copies.iter().zip(&originals) {
        assert_eq!((&copy.message, &copy.text, copy.created), (&original.message, &original.text, original.created));
    }
}

#[tokio::test]
async fn copies_are_found_in_their_thread_alone_unless_it_is_said_otherwise() {
    let house = House::open().await;
    let source = conversation(&house, 1).await;
    let hidden = forked(&house, source, At::End, Options::default()).await.id;
    assert!(house.read(move |tx| rows(tx, hidden)).await.iter().all(|row| row.hidden));
    let shown = forked(&house, source, At::End, Options { hidden: false, ..Options::default() }).await.id;
    assert!(house.read(move |tx| rows(tx, shown)).await.iter().all(|row| !row.hidden));
}

#[tokio::test]
async fn a_large_thread_is_copied_in_batches_without_repeating_any() {
    let house = House::open().await;
    let source = conversation(&house, 25).await;
    let options = Options { batch: 7, ..Options::default() };
    let copy = house.commit(move |tx| fork::start(tx, source, At::End, options)).await;
    assert_eq!(copy.status, ThreadStatus::Copying);
    let copy = copy.id;
    assert_eq!(positions(&house, copy).await.len(), 7);
    let refused: threads::Error = house.refused(move |tx| threads::require_open(tx, copy)).await;
    assert_eq!(refused, threads::Error::Copying { thread: copy });
    let refused: threads::Error =
        house.refused(move |tx| fork::start(tx, copy, At::End, Options::default())).await;
    assert_eq!(refused, threads::Error::Copying { thread: copy });
    assert_eq!(house.read(move |tx| fork::progress(tx, copy)).await.map(|fork| fork.rows), Some(7));
    let house = house.reopen().await;
    house.start(fork::upkeep());
    house.until(move |tx| Ok(fork::progress(tx, copy)?.is_none())).await;
    assert_eq!(positions(&house, copy).await, positions(&house, source).await);
    house.read(move |tx| threads::require_open(tx, copy)).await;
}

#[tokio::test]
async fn what_is_said_in_the_source_meanwhile_is_not_copied() {
    let house = House::open().await;
    let source = conversation(&house, 4).await;
    let options = Options { batch: 3, ..Options::default() };
    let copy = house.commit(move |tx| fork::start(tx, source, At::End, options)).await.id;
    house.turn(source, 4).await;
    fork::finish(&house.store, copy).await.expect("it is copied");
    assert_eq!(positions(&house, copy).await.len(), 8);
}

#[tokio::test]
async fn a_limit_is_exact_whatever_the_batch() {
    let house = House::open().await;
    let source = conversation(&house, 10).await;
    for batch in [1, 2, 4, 100] {
        let options = Options { limit: Some(5), batch, ..Options::default() };
        let copy = forked(&house, source, At::End, options).await.id;
        let expected = [(7, 1), (8, 0), (8, 1), (9, 0), (9, 1)];
        assert_eq!(positions(&house, copy).await, expected, "in batches of {batch}");
    }
}

#[tokio::test]
async fn tools_statuses_and_what_is_being_made_are_left_out_as_asked() {
    let house = House::open().await;
    let source = house.thread("alice").await;
    house.commit(move |tx| {
        tx.insert(message(source, 0, 0, "ask"))?;
        tx.insert(of_tool(message(source, 0, 1, "call")))?;
        tx.insert(of_tool(message(source, 0, 2, "result")))?;
        tx.insert(with_status(message(source, 0, 3, "oh"), MessageStatus::Failed))?;
        tx.insert(message(source, 1, 0, "ask"))?;
        tx.insert(with_status(message(source, 1, 1, ""), MessageStatus::Pending))
    })
    .await;
    let all = forked(&house, source, At::End, Options::default()).await.id;
    assert_eq!(positions(&house, all).await, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]);
    let options = Options { exclude_tools: true, ..Options::default() };
    let said = forked(&house, source, At::End, options.clone()).await.id;
    assert_eq!(positions(&house, said).await, [(0, 0), (0, 3), (1, 0)]);
    let statuses = vec![MessageStatus::Success, MessageStatus::Pending];
    let success = forked(&house, source, At::End, Options { statuses, ..options.clone() }).await.id;
    assert_eq!(positions(&house, success).await, [(0, 0), (1, 0)]);
    let last = forked(&house, source, At::End, Options { limit: Some(2), ..options }).await.id;
    assert_eq!(positions(&house, last).await, [(0, 3), (1, 0)]);
}

#[tokio::test]
async fn a_copy_goes_into_a_thread_that_has_room_for_its_turns() {
    let house = House::open().await;
    let (source, target) = (conversation(&house, 2).await, conversation(&house, 2).await);
    let into = move |insert_at_order| Options {
        target: Target::Into(target),
        insert_at_order,
        batch: 1,
        ..Options::default()
    };
    let refused: Error = house.refused(move |tx| fork::start(tx, source, At::End, into(1))).await;
    assert_eq!(refused, Error::Taken { thread: target, order: 1 });
    let refused: Error = house.refused(move |tx| fork::start(tx, target, At::End, into(5))).await;
    assert_eq!(refused, Error::Itself { thread: target });
    let running = house.thread("alice").await;
    house.commit(move |tx| runs::begin(tx, running, NewRun::answering("hello"))).await;
    let busy = Options { target: Target::Into(running), insert_at_order: 9, ..Options::default() };
    let refused: Error = house.refused(move |tx| fork::start(tx, source, At::End, busy)).await;
    assert_eq!(refused, Error::Busy { thread: running });
    let copy = forked(&house, source, At::End, into(2)).await;
    assert_eq!((copy.id, copy.parent, copy.status), (target, None, ThreadStatus::Active));
    let expected = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)];
    assert_eq!(positions(&house, target).await, expected);
    let copies = house.read(move |tx| rows(tx, target)).await;
    assert_eq!(copies[7].prompt, Some(copies[6].id));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let house = House::open().await;
    let source = conversation(&house, 1).await;
    let other = conversation(&house, 1).await;
    let strange = house.read(move |tx| rows(tx, other)).await[0].id;
    let refused: Error = house.refused(move |tx| fork::start(tx, source, strange, Options::default())).await;
    assert_eq!(refused, Error::OtherMessage { thread: source, message: strange });
    for (options, expected) in [
        (Options { batch: 0, ..Options::default() }, "batch"),
        (Options { batch: fork::MAX_BATCH + 1, ..Options::default() }, "batch"),
        (Options { limit: Some(0), ..Options::default() }, "limit"),
        (Options { insert_at_order: u64::MAX, ..Options::default() }, "insert_at_order"),
    ] {
        let refused: Error = house.refused(move |tx| fork::start(tx, source, At::End, options)).await;
        assert!(matches!(refused, Error::BadOption { what, .. } if what == expected), "{refused}");
    }
    let unknown = house.commit(|tx| Ok(tx.new_id())).await;
    let refused: threads::Error =
        house.refused(move |tx| fork::start(tx, unknown, At::End, Options::default())).await;
    assert_eq!(refused, threads::Error::NotFound { thread: unknown });
}

#[tokio::test]
async fn vectors_and_edits_go_along() {
    let house = House::open().await;
    let source = house.thread("alice").await;
    let (first, _) = house.turn(source, 0).await;
    let edit = NewEdit { message: Some(first), ..NewEdit::new(source, "a", "replace", "a1") };
    let edit = house.commit(move |tx| edits::append(tx, edit)).await;
    house.commit(move |tx| edits::append(tx, NewEdit::new(source, "a", "replace", "a2"))).await;
    house.commit(move |tx| {
        vectors::insert(tx, &space(), first, vec![1.0, 0.0])?;
        vectors::insert(tx, &space(), edit.id, vec![0.0, 1.0])
    })
    .await;
    house.pass(std::time::Duration::from_secs(1));
    let (second, _) = house.turn(source, 1).await;
    let late = NewEdit { message: Some(second), ..NewEdit::new(source, "a", "replace", "a3") };
    house.commit(move |tx| edits::append(tx, late)).await;
    house.pass(std::time::Duration::from_secs(1));
    house.commit(move |tx| edits::append(tx, NewEdit::new(source, "b", "replace", "b1"))).await;

    let copy = forked(&house, source, first, Options::default()).await.id;
    let copies = house.read(move |tx| rows(tx, copy)).await;
    let question = copies[0].id;
    let vector = house.read(move |tx| vectors::of(tx, &space(), question)).await.expect("it has one");
    assert_eq!(vector.vector(), [1.0, 0.0]);
    let listed = house.read(move |tx| edits::list(tx, copy, Page::first(9))).await.rows;
    let listed: Vec<_> = listed.into_iter().map(|edit| (edit.id, edit.record)).collect();
    let kept = listed.iter().map(|(_, edit)| (edit.snippet.as_str(), edit.version, edit.message));
    assert_eq!(kept.collect::<Vec<_>>(), [("a2", 2, None), ("a1", 1, Some(question))]);
    let oldest = listed[1].0;
    let vector = house.read(move |tx| vectors::of(tx, &space(), oldest)).await.expect("it has one");
    assert_eq!(vector.vector(), [0.0, 1.0]);
    let next = NewEdit::new(copy, "a", "replace", "own");
    assert_eq!(house.commit(move |tx| edits::append(tx, next)).await.version, 3);

    let without = forked(&house, source, At::End, Options { edits: false, ..Options::default() }).await.id;
    assert!(house.read(move |tx| edits::list(tx, without, Page::first(9))).await.rows.is_empty());
    let whole = forked(&house, source, At::End, Options { batch: 1, ..Options::default() }).await.id;
    assert_eq!(house.read(move |tx| edits::list(tx, whole, Page::first(9))).await.rows.len(), 4);
}

#[tokio::test]
async fn a_copy_that_is_deleted_while_it_is_made_leaves_nothing_behind() {
    let house = House::open().await;
    let source = conversation(&house, 5).await;
    let options = Options { batch: 2, ..Options::default() };
    let copy = house.commit(move |tx| fork::start(tx, source, At::End, options)).await.id;
    house.start(fork::upkeep());
    assert!(threads::delete_now(&house.store, copy).await.expect("it is deleted"));
    assert_eq!(house.counts().await, [("messages", 10), ("members", 1), ("threads", 1)]);
    assert_eq!(house.read(move |tx| fork::progress(tx, copy)).await, None);
}
