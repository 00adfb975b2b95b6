//! Completions: told in the transaction of the end.

use loomwork_core::Kind;
use loomwork_workflow::{
    COMPLETION_ATTEMPTS, Completion, Done, Flow, Outcome, State, Workflow, cancel, dead_completions,
    retry_completion, status,
};

use super::yard::{DOUBLE, Log, Yard, fault, mark, seconds};

const WORK: Workflow<u64, u64> = Workflow::new("work");
const TOLD: Completion<String, u64> = Completion::new("told");

async fn double(wf: Flow, input: u64) -> loomwork_store::Result<u64> {
    if input == 0 { wf.event("never").await } else { wf.run(&DOUBLE, input).await }
}

#[tokio::test]
async fn a_completion_is_told_how_it_ended_with_its_context() {
    let yard = Yard::open().await;
    let told = |tx: &mut loomwork_store::Tx, done: Done<String, u64>| {
        // The end that it is told of is the one that it sees.
        let state = status(tx, done.workflow)?.map(|status| status.state);
        mark(tx, format!("{} {:?} {:?}", done.context, done.outcome.kind(), state == Some(State::Ended)))
    };
    let _workflows = yard.workflows().on(WORK, double).on_done(TOLD, told).start().await.unwrap();
    let good = yard.start(WORK, 1, TOLD.with("good".into())).await;
    yard.ends(WORK, good).await;
    assert_eq!(yard.marks().await, ["good Success true"]);
    let bad = yard.start(WORK, 13, TOLD.with("bad".into())).await;
    yard.ends(WORK, bad).await;
    let stopped = yard.start(WORK, 0, TOLD.with("stopped".into())).await;
    yard.waits(stopped, 1).await;
    yard.commit(move |tx| cancel(tx, stopped)).await;
    let right = ["good Success true", "bad Failed true", "stopped Cancelled true"];
    yard.until(super::yard::marks, move |marks| *marks == right).await;
}

#[tokio::test]
async fn a_broken_completion_keeps_the_end_and_is_tried_again() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let told = move |tx: &mut loomwork_store::Tx, _: Done<String, u64>| {
        mark(tx, "told")?;
        seen.add("tried");
        if seen.read().len() < 3 { Err(fault(Kind::Invalid, "not yet")) } else { Ok(()) }
    };
    let _workflows = yard.workflows().on(WORK, double).on_done(TOLD, told).start().await.unwrap();
    let id = yard.start(WORK, 1, TOLD.with(String::new())).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(2));
    assert_eq!(yard.marks().await, [""; 0]);
    yard.pass(seconds(10)).await;
    yard.until(super::yard::marks, |marks| *marks == ["told"]).await;
    assert_eq!(log.read().len(), 3);
}

#[tokio::test]
async fn a_completion_of_another_program_waits_for_it() {
    let yard = Yard::open().await;
    let first = yard.workflows().on(WORK, double).start().await.unwrap();
    let id = yard.start(WORK, 1, TOLD.with("here".into())).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(2));
    let told = |tx: &mut loomwork_store::Tx, done: Done<String, u64>| mark(tx, done.context);
    let _second = yard.workflows().on_done(TOLD, told).start().await.unwrap();
    yard.until(super::yard::marks, |marks| *marks == ["here"]).await;
    drop(first);
}

#[tokio::test]
async fn a_completion_that_never_works_is_dead_and_can_be_mended() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let told = move |tx: &mut loomwork_store::Tx, done: Done<String, u64>| {
        seen.add("tried");
        if seen.read().len() <= COMPLETION_ATTEMPTS as usize {
            return Err(fault(Kind::Invalid, "broken"));
        }
        mark(tx, done.context)
    };
    let _workflows = yard.workflows().on(WORK, double).on_done(TOLD, told).start().await.unwrap();
    let id = yard.start(WORK, 1, TOLD.with("told".into())).await;
    assert!(!yard.commit(move |tx| retry_completion(tx, id)).await, "it is not dead yet");
    yard.ends(WORK, id).await;
    let dead = |tx: &loomwork_store::Tx| Ok(dead_completions(tx, loomwork_store::Page::first(9))?.0);
    for tries in 2..=COMPLETION_ATTEMPTS as usize {
        // Longer than any pause, so that each turn of the clock has just one more try.
        yard.rests().await;
        yard.clock.advance(seconds(3600));
        while log.read().len() < tries {
            yard.rests().await;
        }
    }
    let found = yard.until(dead, |dead| !dead.is_empty()).await;
    assert_eq!((found[0].workflow, found[0].tries), (id, COMPLETION_ATTEMPTS));
    assert_eq!(found[0].last_error.as_deref(), Some("broken"));
    assert!(yard.commit(move |tx| retry_completion(tx, id)).await);
    yard.until(super::yard::marks, |marks| *marks == ["told"]).await;
    assert!(yard.read(dead).await.is_empty());
}

#[tokio::test]
async fn a_completion_may_forget_its_workflow() {
    let yard = Yard::open().await;
    let told = |tx: &mut loomwork_store::Tx, done: Done<String, u64>| {
        assert!(loomwork_workflow::clean_up(tx, done.workflow)?, "it has ended");
        mark(tx, done.context)
    };
    let _workflows = yard.workflows().on(WORK, double).on_done(TOLD, told).start().await.unwrap();
    let ended = yard.start(WORK, 1, TOLD.with("ended".into())).await;
    yard.until(super::yard::marks, |marks| *marks == ["ended"]).await;
    // What was cancelled is told of behind that.
    let stopped = yard.start(WORK, 0, TOLD.with("stopped".into())).await;
    yard.waits(stopped, 1).await;
    yard.commit(move |tx| cancel(tx, stopped)).await;
    yard.until(super::yard::marks, |marks| *marks == ["ended", "stopped"]).await;
    for id in [ended, stopped] {
        assert_eq!(yard.read(move |tx| status(tx, id)).await, None);
    }
}

#[tokio::test]
async fn an_end_that_nobody_could_be_told_of_is_kept_when_its_parent_is_forgotten() {
    const PARENT: Workflow<u64, u64> = Workflow::new("parent");
    let (yard, log) = (Yard::open().await, Log::default());
    let parent = |wf: Flow, _| async move { wf.child(&WORK, 0).with(TOLD.with("told".into())).await };
    let workflows = yard.workflows().on(PARENT, parent).on(WORK, double).start().await.unwrap();
    let id = yard.start(PARENT, 0, ()).await;
    let child = yard.waits(id, 1).await.running[0].child.expect("it waits for its child");
    yard.commit(move |tx| cancel(tx, id)).await;
    assert!(yard.commit(move |tx| loomwork_workflow::clean_up(tx, id)).await);
    super::yard::shut_down(&workflows).await;
    let seen = log.clone();
    let told = move |_: &mut loomwork_store::Tx, _: Done<String, u64>| {
        seen.add("tried");
        Err(fault(Kind::Invalid, "broken"))
    };
    let _workflows = yard.workflows().on_done(TOLD, told).start().await.unwrap();
    for tries in 1..=COMPLETION_ATTEMPTS as usize {
        while log.read().len() < tries {
            yard.rests().await;
        }
        yard.clock.advance(seconds(3600));
    }
    let dead = |tx: &loomwork_store::Tx| Ok(dead_completions(tx, loomwork_store::Page::first(9))?.0);
    let found = yard.until(dead, |dead| !dead.is_empty()).await;
    assert_eq!(found[0].workflow, child);
    // Its retention is over, and it stays for a person to see.
    yard.pass(seconds(3600)).await;
    assert_eq!(yard.read(dead).await, found);
    assert!(yard.commit(move |tx| retry_completion(tx, child)).await);
}
