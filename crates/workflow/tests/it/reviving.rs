//! Beginning again in the middle of steps that are under way at once: no event is lost, nothing that may start once
//! starts twice, and no step of an earlier life stands in the way.

use loomwork_core::Kind;
use loomwork_store::{Result, Table as _, Tx};
use loomwork_workflow::{
    CUT_OFF_STEP, Event, Failure, First, Flow, Outcome, RestartError, RestartFrom, State, StepError, StepRow,
    StepState, Workflow, cancel, restart, send, status, steps, unread,
};

use super::yard::{DOUBLE, Log, Yard, fault, marked, seconds, shut_down};

const WORK: Workflow<u64, String> = Workflow::new("work");
const GO: Event<u64> = Event::new("go");

/// Restarts a run whose first step was made early, and awaited behind the others.
async fn check_made_early(from: RestartFrom) {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let nap = wf.sleep(seconds(10));
            let quote = wf.effect("quote", move || {
                log.add("quote");
                let number = log.read().len();
                async move { Ok(number) }
            });
            let quote = quote.await?;
            nap.await;
            marked(&wf, "rested").await?;
            if quote == 1 { Err(fault(Kind::Invalid, "broken")) } else { Ok(format!("{quote}")) }
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.expect("the engine starts");
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    yard.pass(seconds(10)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Failed("broken".into()));
    yard.commit(move |tx| restart(tx, id, from)).await;
    // It slept because of the quote that is forgotten.
    yard.waits(id, 1).await;
    yard.pass(seconds(10)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("2".into()));
    assert_eq!(yard.marks().await, ["rested", "rested"]);
}

#[tokio::test]
async fn a_step_that_was_made_early_and_is_settled_is_begun_again_with_what_it_followed_from() {
    check_made_early(RestartFrom::Step(1)).await;
    check_made_early(RestartFrom::Name("quote".into())).await;
}

#[tokio::test]
async fn a_step_that_was_made_early_and_is_pending_is_begun_again_with_what_it_followed_from() {
    let yard = Yard::open().await;
    let old = |wf: Flow, _| async move {
        let deadline = wf.sleep(seconds(60));
        marked(&wf, "quote").await?;
        wf.select(wf.event(GO), deadline).await;
        Ok(String::new())
    };
    let workflows = yard.workflows().on(WORK, old).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 2).await;
    shut_down(&workflows).await;
    let new = |wf: Flow, _| async move {
        let deadline = wf.sleep(seconds(60));
        marked(&wf, "quote").await?;
        let before = wf.event::<u64>("before").await?;
        let First::Right(()) = wf.select(wf.event(GO), deadline).await else { panic!("nothing is sent") };
        Ok(format!("{before}"))
    };
    let _workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    yard.reaches(id, State::Blocked).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::Step(1))).await;
    yard.waits(id, 1).await;
    // The deadline of the old life would be over before the code comes to it.
    yard.pass(seconds(60)).await;
    yard.commit(move |tx| send::<u64>(tx, id, "before", &7)).await;
    yard.waits(id, 2).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7".into()));
}

#[tokio::test]
async fn what_was_under_way_before_a_forgotten_step_stays() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let broken = log.read().is_empty();
            let breaks = async {
                let go = wf.event(GO).await?;
                let checks = wf.effect("checks", move || async move {
                    if broken { Err(fault(Kind::Invalid, "broken")) } else { Ok(()) }
                });
                checks.await?;
                Ok(go)
            };
            let (go, (), ()) = wf.join3(breaks, marked(&wf, "beside"), marked(&wf, "next")).await?;
            Ok(format!("{go}"))
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    assert!(matches!(yard.ends(WORK, id).await, Outcome::Failed(_)));
    log.add("mended");
    yard.commit(move |tx| restart(tx, id, RestartFrom::Name("checks".into()))).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7".into()));
    assert_eq!(yard.marks().await, ["beside", "next"]);
}

async fn joins(wf: Flow, input: u64) -> Result<String> {
    let (go, doubled) = wf.join(wf.event(GO), wf.run(&DOUBLE, input).after(seconds(60))).await?;
    Ok(format!("{go} {doubled}"))
}

/// Settles the wait of a run while nobody hears of it, and cancels the run.
async fn check_unheard_and_cancelled(from: RestartFrom, unread_then: usize) {
    let yard = Yard::open().await;
    let workflows = yard.forgetful().on(WORK, joins).start().await.expect("the engine starts");
    let id = yard.start(WORK, 4, ()).await;
    yard.waits(id, 2).await;
    yard.reaches(id, State::Parked).await;
    shut_down(&workflows).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.waits(id, 1).await;
    yard.commit(move |tx| cancel(tx, id)).await;
    yard.commit(move |tx| restart(tx, id, from)).await;
    assert_eq!(yard.read(move |tx| unread(tx, id)).await, unread_then);
    let _workflows = yard.forgetful().on(WORK, joins).start().await.expect("the engine starts");
    yard.until(
        move |tx| steps(tx, id),
        |steps| steps.first().is_some_and(|step| matches!(step.state, StepState::Success(_))),
    )
    .await;
    yard.waits(id, 1).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7 8".into()));
    assert_eq!(yard.read(move |tx| unread(tx, id)).await, 0);
}

#[tokio::test]
async fn an_event_that_cancelled_code_had_not_heard_of_is_there_when_it_begins_again() {
    check_unheard_and_cancelled(RestartFrom::Start, 1).await;
    // Its step stays, with the event.
    check_unheard_and_cancelled(RestartFrom::End, 0).await;
}

/// Has a job fail and an event come while nobody hears of them, so that the code ends by the one before the other.
async fn check_unheard_and_failed(from: RestartFrom) {
    let yard = Yard::open().await;
    let workflows = yard.forgetful().on(WORK, joins).start().await.expect("the engine starts");
    let id = yard.start(WORK, 13, ()).await;
    yard.waits(id, 2).await;
    yard.reaches(id, State::Parked).await;
    shut_down(&workflows).await;
    yard.pass(seconds(60)).await;
    yard.waits(id, 1).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    let workflows = yard.forgetful().on(WORK, joins).start().await.expect("the engine starts");
    assert!(matches!(yard.ends(WORK, id).await, Outcome::Failed(_)));
    assert_eq!(yard.read(move |tx| unread(tx, id)).await, 1);
    shut_down(&workflows).await;
    let mended = |wf: Flow, input: u64| async move {
        let (go, job) = (wf.event(GO).into_future(), wf.run(&DOUBLE, input).into_future());
        let (go, job) = tokio::join!(go, job);
        Ok(format!("{} {}", go?, job.is_err()))
    };
    yard.commit(move |tx| restart(tx, id, from)).await;
    let _workflows = yard.forgetful().on(WORK, mended).start().await.expect("the engine starts");
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7 true".into()));
    assert_eq!(yard.read(move |tx| unread(tx, id)).await, 0, "it is taken once");
}

#[tokio::test]
async fn an_event_that_failed_code_had_not_heard_of_is_there_when_it_begins_again() {
    check_unheard_and_failed(RestartFrom::Start).await;
    check_unheard_and_failed(RestartFrom::End).await;
}

#[tokio::test]
async fn an_event_that_the_code_has_heard_of_is_taken() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let go = wf.event(GO).await?;
        marked(&wf, format!("{go}")).await?;
        wf.event::<String>("never").await
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    yard.commit(move |tx| cancel(tx, id)).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::Start)).await;
    assert_eq!(yard.read(move |tx| unread(tx, id)).await, 0);
    yard.commit(move |tx| send(tx, id, GO, &8)).await;
    yard.until(super::yard::marks, |marks| *marks == ["7", "8"]).await;
}

#[tokio::test]
async fn an_event_that_came_while_a_run_was_blocked_outlives_the_end_of_its_wait() {
    let yard = Yard::open().await;
    let old = |wf: Flow, _| async move {
        marked(&wf, "old").await?;
        wf.event(GO).timeout(seconds(60)).await.map(|go| format!("{go}"))
    };
    let workflows = yard.workflows().on(WORK, old).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    shut_down(&workflows).await;
    let new = |wf: Flow, _| async move { wf.event(GO).await.map(|go| format!("{go}")) };
    let workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    yard.reaches(id, State::Blocked).await;
    shut_down(&workflows).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    let _timers = yard.workflows().start().await.unwrap();
    yard.pass(seconds(60)).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::Start)).await;
    let _workflows = yard.workflows().on(WORK, new).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7".into()));
}

#[tokio::test]
async fn a_wait_that_is_over_while_its_run_is_blocked_ends_when_that_goes_on() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let error = wf.event(GO).timeout(seconds(60)).await.expect_err("nothing comes").downcast::<StepError>()?;
        Ok(format!("{:?}", error.failure))
    };
    let workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    shut_down(&workflows).await;
    let other = |wf: Flow, _| async move { marked(&wf, "other").await.map(|()| String::new()) };
    let workflows = yard.workflows().on(WORK, other).start().await.unwrap();
    yard.reaches(id, State::Blocked).await;
    yard.pass(seconds(60)).await;
    shut_down(&workflows).await;
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("TimedOut".into()));
}

#[tokio::test]
async fn an_action_that_may_start_once_and_was_cut_off_is_interrupted() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let charges = wf.effect("charge", move || {
                log.add("charge");
                std::future::pending::<Result<u64>>()
            });
            let error = charges.once().await.expect_err("it never ends").downcast::<StepError>()?;
            Ok(format!("{}", error.failure == Failure::Interrupted))
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    while log.read().is_empty() {
        yard.rests().await;
    }
    yard.commit(move |tx| cancel(tx, id)).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::End)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("true".into()));
    assert_eq!(log.read(), ["charge"]);
    // Who asks for it by name wants it done again.
    yard.commit(move |tx| restart(tx, id, RestartFrom::Name("charge".into()))).await;
    while log.read().len() < 2 {
        yard.rests().await;
    }
}

#[tokio::test]
async fn many_steps_are_forgotten_some_at_a_time_before_the_run_goes_on() {
    let yard = Yard::open().await;
    let count = 2 * CUT_OFF_STEP + 50;
    let code = |wf: Flow, count: u64| async move {
        marked(&wf, "first").await?;
        wf.join_all((0..count).map(|_| wf.mutation("one", |_| Ok(())))).await?;
        wf.event(GO).await.map(|go| format!("{go}"))
    };
    let workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, count as u64, ()).await;
    yard.waits(id, 1).await;
    yard.commit(move |tx| cancel(tx, id)).await;
    shut_down(&workflows).await;
    let left = |tx: &Tx| tx.count(StepRow::all());
    assert_eq!(yard.read(left).await, count + 2);
    yard.commit(move |tx| restart(tx, id, RestartFrom::Step(1))).await;
    assert_eq!(yard.read(left).await, count + 2 - CUT_OFF_STEP, "one transaction does not forget them all");
    // What comes meanwhile is for the life to come.
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.commit(move |tx| cancel(tx, id)).await;
    let refused = yard.store.mutate(move |tx| restart(tx, id, RestartFrom::End)).await.expect_err("it is not done");
    assert!(matches!(refused.downcast_ref(), Some(RestartError::Restarting { .. })), "{refused}");
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    yard.until(left, |left| *left == 1).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::End)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7".into()));
    assert_eq!(yard.read(move |tx| status(tx, id)).await.map(|status| status.restarts), Some(2));
    assert_eq!(yard.marks().await, ["first"]);
}
