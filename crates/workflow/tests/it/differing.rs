//! Code that is not the code that wrote the journal.

use std::sync::{Arc, Mutex};

use loomwork_workflow::{
    Event, Flow, Listed, Outcome, RestartFrom, State, Workflow, list, restart, send, status, steps,
};

use super::yard::{DOUBLE, Yard, marked, seconds, shut_down};

const WORK: Workflow<u64, String> = Workflow::new("work");
const GO: Event<u64> = Event::new("go");

async fn old(wf: Flow, input: u64) -> loomwork_store::Result<String> {
    marked(&wf, "first").await?;
    let doubled = wf.run(&DOUBLE, input).await?;
    let go = wf.event(GO).await?;
    Ok(format!("{doubled} {go}"))
}

/// Runs a workflow by the old code until it waits, goes on with new code, and returns what that makes of it.
async fn check_blocked<W>(new: impl Fn(Flow, u64) -> W + Send + Sync + 'static) -> String
where
    W: Future<Output = loomwork_store::Result<String>> + Send + 'static,
{
    let yard = Yard::open().await;
    let workflows = yard.workflows().on(WORK, old).start().await.expect("the engine starts");
    let id = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    shut_down(&workflows).await;
    let workflows = yard.workflows().on(WORK, new).start().await.expect("the engine starts");
    let blocked = yard.reaches(id, State::Blocked).await.blocked.expect("it says why");
    shut_down(&workflows).await;
    // It is not lost: the code that it was begun with goes on with it, and takes what was sent meanwhile.
    yard.commit(move |tx| send(tx, id, GO, &1)).await;
    let _workflows = yard.workflows().on(WORK, old).start().await.expect("the engine starts");
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("8 1".into()));
    assert_eq!(yard.marks().await, ["first"]);
    blocked
}

#[tokio::test]
async fn another_step_is_named_with_both_sides_and_what_to_do() {
    let blocked = check_blocked(|wf, input| async move {
        let doubled = wf.run(&DOUBLE, input).await?;
        marked(&wf, "first").await?;
        Ok(format!("{doubled}"))
    });
    let right = "step 0 differs: the journal has the mutation \"first\", the code has the job \"double\" with 4. \
                 Bring back the code that this run was begun with, or put what is new behind `wf.patched(..)`; \
                 the run then goes on by itself. `restart` begins it again from a step before this one";
    assert_eq!(blocked.await, right);
}

#[tokio::test]
async fn other_arguments_are_shown() {
    let blocked = check_blocked(|wf, input| async move {
        marked(&wf, "first").await?;
        Ok(format!("{}", wf.run(&DOUBLE, input + 1).await?))
    });
    let blocked = blocked.await;
    assert!(blocked.starts_with("step 1 differs: the journal has the job \"double\" with 4, "), "{blocked}");
    assert!(blocked.contains("other arguments: 5"), "{blocked}");
}

#[tokio::test]
async fn another_name_is_a_difference() {
    let blocked = check_blocked(|wf, input| async move {
        marked(&wf, "first").await?;
        Ok(format!("{}", wf.run(&DOUBLE, input).name("twice").await?))
    });
    assert!(blocked.await.contains("the code has the job \"twice\""));
}

#[tokio::test]
async fn a_step_that_is_gone_is_a_difference() {
    let blocked = check_blocked(|wf, _| async move {
        marked(&wf, "first").await?;
        Ok("without the job".into())
    });
    let blocked = blocked.await;
    assert!(blocked.starts_with("step 1 differs: the journal has the job \"double\" with 4, the code does not come to it"), "{blocked}");
}

#[tokio::test]
async fn loose_arguments_may_differ() {
    let yard = Yard::open().await;
    let workflows = yard.workflows().on(WORK, old).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    shut_down(&workflows).await;
    let new = |wf: Flow, input: u64| async move {
        marked(&wf, "first").await?;
        let doubled = wf.run(&DOUBLE, input + 100).loose().await?;
        Ok(format!("{doubled} {}", wf.event(GO).await?))
    };
    let _workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    yard.commit(move |tx| send(tx, id, GO, &1)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("8 1".into()));
}

/// The old code with a change in front, and one behind the wait.
async fn patched(wf: Flow, input: u64) -> loomwork_store::Result<String> {
    let early = wf.patched("early");
    if early {
        marked(&wf, "early").await?;
    }
    assert_eq!(wf.patched("early"), early);
    marked(&wf, "first").await?;
    let doubled = wf.run(&DOUBLE, input).await?;
    let go = wf.event(GO).await?;
    let late = wf.patched("late");
    if late {
        marked(&wf, "late").await?;
    }
    wf.sleep(seconds(1)).await;
    Ok(format!("{doubled} {go} {early} {late}"))
}

/// The same when no run is left without the changes.
async fn afterwards(wf: Flow, input: u64) -> loomwork_store::Result<String> {
    marked(&wf, "early").await?;
    marked(&wf, "first").await?;
    let doubled = wf.run(&DOUBLE, input).await?;
    let go = wf.event(GO).await?;
    marked(&wf, "late").await?;
    wf.sleep(seconds(1)).await;
    Ok(format!("{doubled} {go} without marks"))
}

#[tokio::test]
async fn a_patch_changes_what_is_to_come_and_not_what_was() {
    let yard = Yard::open().await;
    let workflows = yard.workflows().on(WORK, old).start().await.unwrap();
    let before = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| steps(tx, before), |steps| steps.len() == 3).await;
    shut_down(&workflows).await;

    let workflows = yard.forgetful().on(WORK, patched).start().await.unwrap();
    let after = yard.start(WORK, 5, ()).await;
    for id in [before, after] {
        yard.commit(move |tx| send(tx, id, GO, &1)).await;
        yard.until(move |tx| status(tx, id), |status| {
            status.as_ref().is_some_and(|status| status.running.iter().any(|step| step.name == "sleep"))
        })
        .await;
    }
    let third = yard.start(WORK, 6, ()).await;
    yard.until(move |tx| steps(tx, third), |steps| steps.len() == 5).await;
    yard.pass(seconds(1)).await;
    assert_eq!(yard.ends(WORK, before).await, Outcome::Success("8 1 false true".into()));
    assert_eq!(yard.ends(WORK, after).await, Outcome::Success("10 1 true true".into()));
    shut_down(&workflows).await;

    // The call is removed: its mark in a journal is passed over.
    let _workflows = yard.forgetful().on(WORK, afterwards).start().await.unwrap();
    yard.commit(move |tx| send(tx, third, GO, &1)).await;
    yard.waits(third, 1).await;
    yard.pass(seconds(1)).await;
    assert_eq!(yard.ends(WORK, third).await, Outcome::Success("12 1 without marks".into()));
}

#[tokio::test]
async fn a_wait_for_something_that_is_no_step_is_found() {
    let yard = Yard::open().await;
    let code = |_: Flow, _| async move {
        std::future::pending::<()>().await;
        Ok(String::new())
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    let why = yard.reaches(id, State::Blocked).await.blocked.unwrap();
    assert!(why.contains("something that is no step") && why.contains("`wf.effect(..)`"), "{why}");
}

#[tokio::test]
async fn a_wait_for_something_else_beside_a_step_is_found_when_it_wakes_the_code() {
    type Tell = tokio::sync::oneshot::Sender<u64>;
    let (yard, tell) = (Yard::open().await, Arc::new(Mutex::<Option<Tell>>::default()));
    let place = tell.clone();
    let code = move |wf: Flow, _| {
        let (tell, told) = tokio::sync::oneshot::channel();
        *place.lock().unwrap() = Some(tell);
        async move {
            let heard = async move { Ok(told.await.unwrap_or_default()) };
            wf.join(wf.event::<u64>("go"), heard).await?;
            Ok(String::new())
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    tell.lock().unwrap().take().expect("the code has begun").send(1).expect("the code listens");
    yard.commit(move |tx| send::<u64>(tx, id, "go", &1)).await;
    let why = yard.reaches(id, State::Blocked).await.blocked.unwrap();
    assert!(why.contains("something that is no step"), "{why}");
}

#[tokio::test]
async fn a_blocked_run_is_restarted_from_where_it_fits() {
    let yard = Yard::open().await;
    let workflows = yard.workflows().on(WORK, old).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    shut_down(&workflows).await;
    let new = |wf: Flow, input: u64| async move {
        marked(&wf, "first").await?;
        marked(&wf, "instead").await?;
        Ok(format!("{input}"))
    };
    let _workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    yard.reaches(id, State::Blocked).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::Step(1))).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("4".into()));
    assert_eq!(yard.marks().await, ["first", "instead"]);
}

#[tokio::test]
async fn a_patch_in_place_of_another_is_its_own() {
    let yard = Yard::open().await;
    let before = |wf: Flow, _| async move {
        wf.patched("old");
        let go = wf.event(GO).await?;
        Ok(format!("{go}"))
    };
    let workflows = yard.workflows().on(WORK, before).start().await.unwrap();
    let (gone_past, there) = (yard.start(WORK, 0, ()).await, yard.start(WORK, 1, ()).await);
    for id in [gone_past, there] {
        yard.waits(id, 1).await;
    }
    // One has nothing but the old mark, as if it had stopped right behind it.
    yard.commit(move |tx| loomwork_workflow::cancel(tx, there)).await;
    shut_down(&workflows).await;
    let after = |wf: Flow, _| async move {
        let new = wf.patched("new");
        let go = wf.event(GO).await?;
        Ok(format!("{new} {go} {}", wf.patched("old")))
    };
    let _workflows = yard.workflows().on(WORK, after).start().await.unwrap();
    yard.commit(move |tx| restart(tx, there, RestartFrom::End)).await;
    for id in [gone_past, there] {
        yard.commit(move |tx| send(tx, id, GO, &1)).await;
    }
    assert_eq!(yard.ends(WORK, gone_past).await, Outcome::Success("false 1 true".into()));
    assert_eq!(yard.ends(WORK, there).await, Outcome::Success("true 1 true".into()));
}

#[tokio::test]
async fn what_is_blocked_is_tried_again_from_time_to_time() {
    let (yard, mended) = (Yard::open().await, Arc::new(Mutex::new(false)));
    let seen = mended.clone();
    let code = move |wf: Flow, _| {
        let mended = *seen.lock().unwrap();
        async move {
            if !mended {
                std::future::pending::<()>().await;
            }
            marked(&wf, "mended").await?;
            Ok(String::new())
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.reaches(id, State::Blocked).await;
    yard.pass(loomwork_workflow::BLOCKED_PAUSE * 4).await;
    yard.reaches(id, State::Blocked).await;
    *mended.lock().unwrap() = true;
    yard.pass(loomwork_workflow::BLOCKED_CEILING).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(String::new()));
}

#[tokio::test]
async fn an_engine_comes_up_beside_one_that_blocks_everything_at_once() {
    let yard = Yard::open().await;
    let blocks = |_: Flow, _| async move {
        std::future::pending::<()>().await;
        Ok(String::new())
    };
    let old = yard.workflows().on(WORK, blocks).start().await.unwrap();
    // More than are tried again in one transaction.
    let runs = 300;
    yard.commit(move |tx| (0..runs).try_for_each(|_| loomwork_workflow::start(tx, &WORK, 0, ()).map(drop))).await;
    let of = |tx: &loomwork_store::Tx, listed| Ok(list(tx, listed, loomwork_store::Page::first(999))?.0.len());
    yard.until(move |tx| of(tx, Listed::Blocked("work")), |blocked| *blocked == runs).await;
    let goes_on = |_: Flow, _| async move { Ok(String::new()) };
    let new = yard.workflows().on(WORK, goes_on).start();
    let _new = loomwork_testkit::soon(new).await.expect("the engine starts");
    // Each of them is tried by somebody, and by whom is chance.
    yard.until(move |tx| of(tx, Listed::Open("work")), |open| *open < runs).await;
    shut_down(&old).await;
    yard.pass(loomwork_workflow::BLOCKED_CEILING).await;
    yard.until(move |tx| of(tx, Listed::Open("work")), |open| *open == 0).await;
}

#[tokio::test]
async fn what_one_version_has_blocked_the_other_one_takes_up() {
    let yard = Yard::open().await;
    let old = |_: Flow, _| async move {
        std::future::pending::<()>().await;
        Ok(String::new())
    };
    let _old = yard.workflows().on(WORK, old).start().await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(yard.start(WORK, 0, ()).await);
    }
    for id in &runs {
        yard.reaches(*id, State::Blocked).await;
    }
    // The old version is there still, and no time passes.
    let _new = yard.workflows().on(WORK, |_: Flow, _| async move { Ok("new".into()) }).start().await.unwrap();
    for id in &runs {
        assert_eq!(yard.ends(WORK, *id).await, Outcome::Success("new".into()));
    }
}
