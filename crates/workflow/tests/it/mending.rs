//! Beginning runs again that stand in the middle of something: what was under way is called off, and no event,
//! effect or end gets lost or is had twice.

use loomwork_store::{Page, Table as _};
use loomwork_workflow::{
    Completion, Done, Event, First, Flow, Options, Outcome, RestartError, RestartFrom, State, StepRow,
    StepState, Workflow, cancel, clean_up, find, restart, send, status, steps, unread,
};
use loomwork_workpool::{Listed, list};

use super::yard::{DOUBLE, Log, Yard, fault, mark, marks, marked, seconds, shut_down};

const WORK: Workflow<u64, String> = Workflow::new("work");
const CHILD: Workflow<u64, String> = Workflow::new("child");
const GO: Event<u64> = Event::new("go");
const TOLD: Completion<String, String> = Completion::new("told");

async fn child(wf: Flow, _: u64) -> loomwork_store::Result<String> {
    wf.event("never").await
}

/// Waits for a job, a child and an event.
async fn old(wf: Flow, input: u64) -> loomwork_store::Result<String> {
    marked(&wf, "old").await?;
    let job = wf.run(&DOUBLE, input).after(seconds(3600));
    let (_, _, go) = wf.join3(job, wf.child(&CHILD, 0), wf.event(GO)).await?;
    Ok(format!("old {go}"))
}

async fn new(wf: Flow, input: u64) -> loomwork_store::Result<String> {
    marked(&wf, "new").await?;
    let go = wf.event(GO).await?;
    Ok(format!("new {input} {go}"))
}

/// Blocks a run by other code while it waits, begins it again, and sends it an event.
async fn check_begun_again(from: RestartFrom) {
    let yard = Yard::open().await;
    let workflows = yard.workflows().on(WORK, old).on(CHILD, child).start().await.expect("the engine starts");
    let id = yard.start(WORK, 4, ()).await;
    let waits = yard.waits(id, 3).await;
    let inner = waits.running.iter().find_map(|step| step.child).expect("it waits for its child");
    shut_down(&workflows).await;
    let _workflows = yard.workflows().on(WORK, new).on(CHILD, child).start().await.expect("the engine starts");
    yard.reaches(id, State::Blocked).await;
    // Nobody knows yet who is to have this one: not the wait of a life that is over.
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.commit(move |tx| restart(tx, id, from)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("new 4 7".into()));
    let (jobs, _) = yard.read(|tx| list(tx, Listed::Pending("default"), Page::first(9))).await;
    assert_eq!(jobs, [], "its job is called off");
    assert_eq!(yard.read(move |tx| status(tx, inner)).await, None, "its child is forgotten");
    // What is left of the old life is swept away.
    let others = move |tx: &loomwork_store::Tx| Ok(tx.count(StepRow::all())? - steps(tx, id)?.len());
    yard.until(others, |left| *left == 0).await;
}

#[tokio::test]
async fn a_blocked_run_begins_again_without_its_old_life() {
    check_begun_again(RestartFrom::Start).await;
}

#[tokio::test]
async fn a_blocked_run_that_begins_again_at_a_step_calls_off_what_was_under_way() {
    let yard = Yard::open().await;
    let first = |wf: Flow, input: u64| async move {
        marked(&wf, "first").await?;
        old(wf, input).await
    };
    let workflows = yard.workflows().on(WORK, first).on(CHILD, child).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    let waits = yard.waits(id, 3).await;
    let inner = waits.running.iter().find_map(|step| step.child).expect("it waits for its child");
    shut_down(&workflows).await;
    let second = |wf: Flow, input: u64| async move {
        marked(&wf, "first").await?;
        new(wf, input).await
    };
    let _workflows = yard.workflows().on(WORK, second).on(CHILD, child).start().await.unwrap();
    yard.reaches(id, State::Blocked).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::Step(1))).await;
    yard.until(move |tx| status(tx, inner), Option::is_none).await;
    let (jobs, _) = yard.read(|tx| list(tx, Listed::Pending("default"), Page::first(9))).await;
    assert_eq!(jobs, [], "its job is called off");
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("new 4 7".into()));
    assert_eq!(yard.marks().await, ["first", "old", "new"]);
}

#[tokio::test]
async fn steps_that_were_dropped_before_are_begun_again() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, input: u64| {
        let log = seen.clone();
        async move {
            let (job, event) = (wf.run(&DOUBLE, input).after(seconds(60)), wf.event(GO));
            let breaks = wf.effect("breaks", move || {
                let mended = !log.read().is_empty();
                async move { if mended { Ok(1_u64) } else { Err(fault(loomwork_core::Kind::Invalid, "broken")) } }
            });
            let (doubled, go, one) = wf.join3(job, event, breaks).await?;
            Ok(format!("{doubled} {go} {one}"))
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    assert!(matches!(yard.ends(WORK, id).await, Outcome::Failed(_)));
    log.add("mended");
    yard.commit(move |tx| restart(tx, id, RestartFrom::Name("breaks".into()))).await;
    yard.waits(id, 2).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.waits(id, 1).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("8 7 1".into()));
}

#[tokio::test]
async fn an_end_that_is_not_told_yet_is_not_lost() {
    let yard = Yard::open().await;
    let workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    let short = Options { keep: Some(seconds(5)), ..Options::from(TOLD.with("told".into())) };
    let id = yard.start(WORK, 4, short).await;
    yard.waits(id, 1).await;
    yard.commit(move |tx| cancel(tx, id)).await;
    let refused = yard.store.mutate(move |tx| restart(tx, id, RestartFrom::Start)).await.expect_err("it is untold");
    assert!(matches!(refused.downcast_ref(), Some(RestartError::Untold { .. })), "{refused}");
    assert!(!yard.commit(move |tx| clean_up(tx, id)).await, "it is untold");
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Cancelled, "its retention waits too");
    shut_down(&workflows).await;
    let told = |tx: &mut loomwork_store::Tx, done: Done<String, String>| mark(tx, done.context);
    let _workflows = yard.workflows().on_done(TOLD, told).start().await.unwrap();
    yard.until(marks, |marks| *marks == ["new", "told"]).await;
    yard.until(move |tx| status(tx, id), Option::is_none).await;
}

#[tokio::test]
async fn an_effect_that_is_done_again_has_a_key_of_its_own() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move { wf.effect_keyed("charge", move |key| { log.add(key); async { Ok(String::new()) } }).await }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.ends(WORK, id).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::Name("charge".into()))).await;
    yard.until(move |tx| status(tx, id), |status| status.as_ref().is_some_and(|status| status.outcome.is_some())).await;
    let keys = log.read();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_step_that_is_not_there_is_no_place_to_begin() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.ends(WORK, id).await;
    let refused = yard.store.mutate(move |tx| restart(tx, id, RestartFrom::Step(2))).await.expect_err("there are two");
    assert!(refused.to_string().contains("has no step 2 to restart from"), "{refused}");
}

#[tokio::test]
async fn an_event_that_a_dropped_wait_had_got_is_there_for_the_next_chapter() {
    const TURNS: Workflow<Vec<u64>, String> = Workflow::new("turns");
    let yard = Yard::open().await;
    let code = |wf: Flow, mut taken: Vec<u64>| async move {
        taken.push(match wf.select(wf.event(GO), wf.sleep(seconds(10))).await {
            First::Left(event) => event?,
            First::Right(()) => wf.event(GO).await?,
        });
        if taken.len() == 2 { Ok(format!("{taken:?}")) } else { Err(wf.continue_with(taken)) }
    };
    let workflows = yard.forgetful().on(TURNS, code).start().await.unwrap();
    let id = yard.start(TURNS, Vec::new(), ()).await;
    yard.waits(id, 2).await;
    yard.reaches(id, State::Parked).await;
    shut_down(&workflows).await;
    // The sleep ends first, nobody takes the run, and both events come.
    let timers = yard.forgetful().start().await.unwrap();
    yard.pass(seconds(10)).await;
    yard.waits(id, 1).await;
    yard.commit(move |tx| send(tx, id, GO, &1)).await;
    yard.commit(move |tx| send(tx, id, GO, &2)).await;
    let _workflows = yard.forgetful().on(TURNS, code).start().await.unwrap();
    assert_eq!(yard.ends(TURNS, id).await, Outcome::Success("[1, 2]".into()));
    assert_eq!(yard.read(move |tx| unread(tx, id)).await, 0);
    drop(timers);
}

#[tokio::test]
async fn events_keep_their_order_when_a_wait_is_given_up() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let mut taken = Vec::new();
        while taken.len() < 3 {
            if let First::Left(event) = wf.select(wf.event(GO), wf.sleep(seconds(10))).await {
                taken.push(event?);
            }
        }
        Ok(format!("{taken:?}"))
    };
    let workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 2).await;
    yard.reaches(id, State::Parked).await;
    shut_down(&workflows).await;
    let timers = yard.forgetful().start().await.unwrap();
    yard.pass(seconds(10)).await;
    yard.waits(id, 1).await;
    // The first goes to a wait that the code will have given up, the others lie there by then.
    yard.commit(move |tx| (1..=3).try_for_each(|number| send(tx, id, GO, &number))).await;
    let _workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("[1, 2, 3]".into()));
    let given_up = yard.read(move |tx| steps(tx, id)).await;
    assert!(matches!(given_up[0].state, StepState::Success(_)), "it had got the first");
    drop(timers);
}

#[tokio::test]
async fn an_event_that_came_while_the_run_was_blocked_wins_over_the_end_of_its_wait() {
    let yard = Yard::open().await;
    let patient = |wf: Flow, _| async move {
        marked(&wf, "first").await?;
        let go = wf.event(GO).timeout(seconds(60)).await?;
        Ok(format!("{go}"))
    };
    let workflows = yard.workflows().on(WORK, patient).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    shut_down(&workflows).await;
    let workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    yard.reaches(id, State::Blocked).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.pass(seconds(60)).await;
    shut_down(&workflows).await;
    let _workflows = yard.workflows().on(WORK, patient).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7".into()));
}

#[tokio::test]
async fn two_versions_that_share_the_work_bring_a_run_to_its_end() {
    let yard = Yard::open().await;
    let first = yard.workflows().on(WORK, new).start().await.unwrap();
    let id = yard.start(WORK, 1, ()).await;
    yard.waits(id, 1).await;
    shut_down(&first).await;
    let other = yard.workflows().on(WORK, old).start().await.unwrap();
    yard.reaches(id, State::Blocked).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    // The right version is there already when the other one blocks it once more, and is the last to be there.
    shut_down(&other).await;
    let right = yard.workflows().on(WORK, |wf: Flow, input| async move {
        wf.patched("nothing");
        new(wf, input).await
    });
    let _right = right.start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("new 1 7".into()));
    assert_eq!(yard.read(|tx| find(tx, "work", "none")).await, None);
}
