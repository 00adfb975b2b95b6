use loomwork_core::Tasks;
use loomwork_messages::deletion::{self, Progress, STEP_ROWS, THREAD_DELETED, USER_STEP};
use loomwork_messages::edits::{self, NewEdit};
use loomwork_messages::runs::{self, Host, NewRun, RunError};
use loomwork_messages::streams::{Live, NewStream};
use loomwork_messages::threads::{self, Error, NewThread, ThreadPatch};
use loomwork_messages::{
    DeltaRow, MemberRole, MessageRow, MessageStatus, RunStatus, StreamStatus, ThreadId, UiChunk, fork,
    members, save,
};
use loomwork_search::vectors;
use loomwork_store::{Page, Result, Tx};
use loomwork_testkit::{GUARD, soon};

use super::house::{START, House, delta, live, message, space, with_status};

/// Fills a thread with something of each kind.
async fn fill(house: &House, thread: ThreadId, messages: u64, deltas: u64) {
    house.commit(move |tx| {
        for order in 0..messages {
            let row = tx.insert(message(thread, order, 0, "hello"))?;
            if order % 10 == 0 {
                vectors::insert(tx, &space(), row.id, vec![1.0, 0.0])?;
            }
        }
        let pending = with_status(message(thread, messages, 0, ""), MessageStatus::Pending);
        let pending = tx.insert(pending)?.id;
        let (_, stream) = live(tx, thread, pending)?;
        for start in 0..deltas {
            tx.insert(delta(stream, start, start + 1))?;
        }
        let edit = edits::append(tx, NewEdit::new(thread, "a", "replace", "x"))?;
        vectors::insert(tx, &space(), edit.id, vec![0.0, 1.0])?;
        members::add(tx, thread, "bob", MemberRole::Reader)?;
        Ok(())
    })
    .await;
}

fn is_over(thread: ThreadId) -> impl Fn(&Tx) -> Result<bool> {
    move |tx| Ok(deletion::progress(tx, thread)?.is_none())
}

const ONE_THREAD: [(&str, usize); 2] = [("members", 1), ("threads", 1)];

#[tokio::test]
async fn a_deleted_thread_goes_with_all_that_hangs_on_it() {
    let house = House::open().await;
    let (gone, kept) = (house.thread("alice").await, house.thread("alice").await);
    fill(&house, gone, 20, 5).await;
    assert!(threads::delete_now(&house.store, gone).await.expect("it is deleted"));
    assert_eq!(house.counts().await, ONE_THREAD);
    house.read(move |tx| threads::require(tx, kept)).await;
    assert_eq!(house.read(move |tx| deletion::progress(tx, gone)).await, None);
}

#[tokio::test]
async fn a_thread_is_gone_for_everybody_as_soon_as_it_is_deleted() {
    let house = House::open().await;
    let gone = house.thread("alice").await;
    fill(&house, gone, 3, 3).await;
    assert!(house.commit(move |tx| threads::delete(tx, gone)).await);
    assert_eq!(house.read(move |tx| threads::get(tx, gone)).await, None);
    let refused: Error = house.refused(move |tx| threads::require_open(tx, gone)).await;
    assert_eq!(refused, Error::NotFound { thread: gone });
    let refused: Error = house.refused(move |tx| threads::update(tx, gone, ThreadPatch::default())).await;
    assert_eq!(refused, Error::NotFound { thread: gone });
    let edit = NewEdit::new(gone, "a", "replace", "x");
    let refused: Error = house.refused(move |tx| edits::append(tx, edit)).await;
    assert_eq!(refused, Error::NotFound { thread: gone });
    for user in ["alice", "bob"] {
        let seats = move |tx: &Tx| threads::list_by_activity(tx, user, &Default::default(), Page::first(9));
        assert!(house.read(seats).await.rows.is_empty(), "{user}");
    }
    let mine = |tx: &Tx| threads::list(tx, "alice", &Default::default(), Page::first(9));
    assert!(house.read(mine).await.rows.is_empty());
    let progress = house.read(move |tx| deletion::progress(tx, gone)).await;
    assert_eq!(progress, Some(Progress { asked: START, rows: 0 }));
}

#[tokio::test]
async fn runs_and_streams_of_a_deleted_thread_are_aborted_with_it() {
    let house = House::open().await;
    let gone = house.thread("alice").await;
    let (run, stream) = house
        .commit(move |tx| {
            let pending = tx.insert(with_status(message(gone, 0, 1, ""), MessageStatus::Pending))?.id;
            let (run, stream) = live(tx, gone, pending)?;
            tx.insert(delta(stream, 0, 7))?;
            threads::delete(tx, gone)?;
            Ok((run, stream))
        })
        .await;
    let run = house.read(move |tx| tx.require(run)).await.record;
    assert_eq!((run.status, run.ended), (RunStatus::Aborted, Some(START)));
    assert_eq!(run.error.expect("it says why").code, THREAD_DELETED);
    let stream = house.read(move |tx| tx.require(stream)).await.record;
    assert_eq!((stream.status, stream.length), (StreamStatus::Aborted, Some(7)));
    assert_eq!(stream.error.expect("it says why").code, THREAD_DELETED);
}

#[tokio::test]
async fn an_unknown_thread_is_no_error() {
    let house = House::open().await;
    let unknown = house.commit(|tx| Ok(tx.new_id())).await;
    assert!(!house.commit(move |tx| threads::delete(tx, unknown)).await);
    assert!(!threads::delete_now(&house.store, unknown).await.expect("there is nothing to delete"));
    let empty = house.thread("alice").await;
    assert!(threads::delete_now(&house.store, empty).await.expect("it is deleted"));
    assert!(!threads::delete_now(&house.store, empty).await.expect("it is gone"));
    assert!(house.counts().await.is_empty());
}

#[tokio::test]
async fn the_upkeep_deletes_a_large_thread_in_steps_and_says_how_far_it_is() {
    let house = House::open().await;
    let gone = house.thread("alice").await;
    fill(&house, gone, 2 * STEP_ROWS as u64, STEP_ROWS as u64).await;
    let mut steps = house.store.watch(move |tx| deletion::progress(tx, gone));
    house.commit(move |tx| threads::delete(tx, gone)).await;
    house.start(deletion::upkeep());
    let mut seen = Vec::new();
    loop {
        let step = soon(steps.next()).await.expect("the store is open");
        match step.expect("it is read") {
            Some(step) => seen.push(step.rows),
            None if seen.is_empty() => {}
            None => break,
        }
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(house.counts().await.is_empty());
}

#[tokio::test]
async fn a_deletion_goes_on_when_the_store_is_opened_again() {
    let house = House::open().await;
    let gone = house.thread("alice").await;
    fill(&house, gone, 3 * STEP_ROWS as u64, 3 * STEP_ROWS as u64).await;
    house.commit(move |tx| threads::delete(tx, gone)).await;
    house.start(deletion::upkeep());
    house.until(move |tx| Ok(deletion::progress(tx, gone)?.is_none_or(|step| step.rows > 0))).await;
    let house = house.reopen().await;
    assert_eq!(house.read(move |tx| threads::get(tx, gone)).await, None);
    house.start(deletion::upkeep());
    house.until(is_over(gone)).await;
    assert!(house.counts().await.is_empty());
}

#[tokio::test]
async fn whatever_comes_in_late_is_deleted_too() {
    let house = House::open().await;
    let gone = house.thread("alice").await;
    fill(&house, gone, 2 * STEP_ROWS as u64, 10).await;
    house.commit(move |tx| threads::delete(tx, gone)).await;
    house.start(deletion::upkeep());
    house.until(move |tx| Ok(deletion::progress(tx, gone)?.is_none_or(|step| step.rows > 0))).await;
    // A writer that asks nobody gets its rows in while the deletion runs; those of this crate do ask.
    house.commit(move |tx| {
        if tx.get(gone)?.is_none() {
            return Ok(());
        }
        let pending = tx.insert(message(gone, 0, 9, "late"))?.id;
        let (_, stream) = live(tx, gone, pending)?;
        tx.insert(delta(stream, 0, 1)).map(drop)
    })
    .await;
    house.until(is_over(gone)).await;
    assert!(house.counts().await.is_empty());
}

#[tokio::test]
async fn savers_that_race_with_a_deletion_leave_nothing_behind() {
    let house = House::open().await;
    let gone = house.thread("alice").await;
    let saves = async {
        let mut saved = 0;
        loop {
            if let Err(error) = house.store.mutate(move |tx| save(tx, gone, "hello")).await {
                return (saved, error);
            }
            saved += 1;
        }
    };
    let delete = async {
        house.until(move |tx| Ok(tx.count(MessageRow::by_position.eq(gone))? > 20)).await;
        threads::delete_now(&house.store, gone).await
    };
    let ((saved, error), deleted) = tokio::join!(saves, delete);
    assert!(saved > 20);
    assert_eq!(error.downcast_ref(), Some(&Error::NotFound { thread: gone }));
    assert!(deleted.expect("it is deleted"));
    assert!(house.counts().await.is_empty());
}

#[tokio::test]
async fn a_generation_that_races_with_a_deletion_leaves_nothing_behind() {
    let house = House::open().await;
    let tasks = Tasks::new();
    let host = Host::start(&house.store, &tasks).await.expect("the process enters");
    let live = Live::start(&house.store, &tasks);
    let gone = house.thread("alice").await;
    let run = house.commit(move |tx| Ok(runs::begin(tx, gone, NewRun::answering("hello"))?.run)).await;
    let hold = host.take(run.id).await.expect("it is asked").expect("nobody else has it");
    let writer = live.write(NewStream { hold: Some(hold), ..NewStream::of(run.first) });
    let writes = async {
        loop {
            let delta = UiChunk::TextDelta { id: "1".into(), delta: "word ".into(), provider_metadata: None };
            if writer.push(delta).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let delete = async {
        house.until(|tx| Ok(tx.count(DeltaRow::by_stream.all())? > 5)).await;
        threads::delete_now(&house.store, gone).await
    };
    let (deleted, ()) = tokio::join!(delete, writes);
    assert!(deleted.expect("it is deleted"));
    let refused: RunError = house.refused(move |tx| runs::held(tx, hold)).await;
    assert!(matches!(refused, RunError::Lost { .. } | RunError::NoRun { .. }), "{refused}");
    drop(writer);
    tasks.shutdown(GUARD).await.expect("the tasks end");
    assert!(house.counts().await.is_empty());
}

#[tokio::test]
async fn all_threads_of_a_user_are_deleted_and_those_of_others_are_not() {
    let house = House::open().await;
    for _ in 0..3 {
        let hers = house.thread("alice").await;
        fill(&house, hers, 5, 5).await;
    }
    let his = house.thread("bob").await;
    house.commit(move |tx| members::add(tx, his, "alice", MemberRole::Writer)).await;
    house.say(his, 0, 0, "hello").await;
    let anonymous = house.commit(|tx| Ok(threads::create(tx, NewThread::default())?.id)).await;
    threads::delete_user_now(&house.store, "alice").await.expect("she is deleted");
    assert_eq!(house.counts().await, [("messages", 1), ("members", 2), ("threads", 2)]);
    assert_eq!(house.read(move |tx| members::role_of(tx, his, "alice")).await, None);
    house.read(move |tx| threads::require(tx, anonymous)).await;
    threads::delete_user_now(&house.store, "alice").await.expect("there is nothing left");
    threads::delete_user_now(&house.store, "nobody").await.expect("there was nothing");
}

#[tokio::test]
async fn a_user_of_many_threads_is_deleted_in_the_background() {
    let house = House::open().await;
    house.commit(|tx| {
        for _ in 0..2 * USER_STEP + 1 {
            let thread = threads::create(tx, NewThread::for_user("alice"))?.id;
            tx.insert(message(thread, 0, 0, "hello"))?;
        }
        Ok(())
    })
    .await;
    house.commit(|tx| threads::delete_user(tx, "alice")).await;
    house.pass(std::time::Duration::from_secs(1));
    let later = house.thread("alice").await;
    house.start(deletion::upkeep());
    house.until(|tx| Ok(tx.count(loomwork_messages::Thread::by_status.eq("alice"))? == 1)).await;
    house.read(move |tx| threads::require(tx, later)).await;
    assert_eq!(house.counts().await, ONE_THREAD);
}

#[tokio::test]
async fn a_thread_that_is_being_copied_is_deleted_when_the_copy_is_whole() {
    let house = House::open().await;
    let source = house.thread("alice").await;
    for order in 0..10 {
        house.turn(source, order).await;
    }
    let options = fork::Options { batch: 3, ..fork::Options::default() };
    let copy = house.commit(move |tx| fork::start(tx, source, fork::At::End, options)).await.id;
    assert!(threads::delete_now(&house.store, source).await.expect("it is deleted"));
    assert_eq!(house.counts().await, [("messages", 20), ("members", 1), ("threads", 1)]);
    let copy = house.read(move |tx| threads::require_open(tx, copy)).await;
    assert_eq!(copy.parent, Some(source));
}
