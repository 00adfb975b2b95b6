//! Sleeps, events and time-outs.

use loomwork_core::Kind;
use loomwork_workflow::{
    Event, First, Flow, MAX_EVENT_BYTES, MAX_MAIL, Outcome, RestartFrom, SendError, State, StepError, Workflow,
    cancel, restart, send, send_failure, steps, unread,
};

use super::yard::{START, Yard, seconds};

const WORK: Workflow<u64, String> = Workflow::new("work");
const APPROVAL: Event<String> = Event::new("approval");

#[tokio::test]
async fn a_sleep_lasts_as_long_as_it_says() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        wf.sleep(seconds(60)).await;
        let first = wf.now();
        wf.sleep_until(START + seconds(90)).await;
        wf.sleep_until(START).await;
        Ok(format!("{} {}", first.since(START).as_secs(), wf.now().since(START).as_secs()))
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    let waits = yard.waits(id, 1).await;
    assert_eq!(waits.running[0].due, Some(START + seconds(60)));
    yard.pass(seconds(59)).await;
    assert_eq!(yard.status(id).await.running.len(), 1);
    yard.pass(seconds(31)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("60 90".into()));
}

#[tokio::test]
async fn a_sleeping_workflow_is_in_rows_alone() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        wf.sleep(seconds(120)).await;
        Ok("awake".into())
    };
    let workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    assert_eq!(workflows.resident(), 1);
    yard.pass(seconds(11)).await;
    yard.reaches(id, State::Parked).await;
    yard.rests().await;
    assert_eq!(workflows.resident(), 0);
    yard.pass(seconds(120)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("awake".into()));
}

/// Takes three events, whatever was sent when.
async fn three(wf: Flow, _: u64) -> loomwork_store::Result<String> {
    let first = wf.event(APPROVAL).await?;
    let second: String = wf.event("approval").await?;
    let third = wf.event(APPROVAL).await?;
    Ok(format!("{first} {second} {third}"))
}

#[tokio::test]
async fn events_are_taken_in_the_order_in_which_they_were_sent() {
    let yard = Yard::open().await;
    let id = yard.start(WORK, 0, ()).await;
    let say = |text: &str| {
        let text = text.to_owned();
        yard.commit(move |tx| send(tx, id, APPROVAL, &text))
    };
    say("one").await;
    say("two").await;
    assert_eq!(yard.read(move |tx| unread(tx, id)).await, 2);
    let _workflows = yard.workflows().on(WORK, three).start().await.unwrap();
    yard.waits(id, 1).await;
    say("three").await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("one two three".into()));
}

#[tokio::test]
async fn an_event_wakes_a_workflow_that_was_put_away() {
    let yard = Yard::open().await;
    let _workflows = yard.forgetful().on(WORK, three).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    for (at, text) in ["one", "two", "three"].into_iter().enumerate() {
        yard.until(move |tx| steps(tx, id), move |steps| steps.len() == at + 1).await;
        yard.reaches(id, State::Parked).await;
        yard.commit(move |tx| send(tx, id, APPROVAL, &text.to_owned())).await;
    }
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("one two three".into()));
}

#[tokio::test]
async fn a_wait_ends_when_its_time_is_over() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let late = wf.event(APPROVAL).timeout(seconds(60)).await.expect_err("nobody sends it");
        assert!(late.downcast_ref::<StepError>().is_some_and(StepError::is_timeout));
        wf.event(APPROVAL).timeout(seconds(60)).await
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    yard.pass(seconds(60)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 2).await;
    yard.commit(move |tx| send(tx, id, APPROVAL, &"yes".to_owned())).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("yes".into()));
}

#[tokio::test]
async fn an_event_that_is_sent_as_a_failure_fails_the_wait() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let error = wf.event(APPROVAL).await.expect_err("it was sent so");
        Ok(error.to_string())
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.commit(move |tx| send_failure(tx, id, APPROVAL, "refused by the board")).await;
    let right = "step 0, the event \"approval\", failed: refused by the board";
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(right.into()));
}

#[tokio::test]
async fn a_value_of_another_type_fails_the_wait() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let error = wf.event::<u64>("approval").await.expect_err("it is a text");
        Ok(format!("{} {}", error.kind(), error.to_string().contains("not what this program takes it for")))
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.commit(move |tx| send(tx, id, APPROVAL, &"yes".to_owned())).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("invalid true".into()));
}

#[tokio::test]
async fn an_event_is_not_lost_in_a_wait_that_was_given_up() {
    let yard = Yard::open().await;
    let code = |wf: Flow, rounds: u64| async move {
        let mut given_up = 0;
        for _ in 0..rounds {
            match wf.select(wf.event(APPROVAL), wf.sleep(seconds(10))).await {
                First::Left(text) => return Ok(format!("{} after {given_up}", text?)),
                First::Right(()) => given_up += 1,
            }
        }
        Ok(format!("{} at last", wf.event(APPROVAL).await?))
    };
    let _workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    let soon = yard.start(WORK, 9, ()).await;
    let late = yard.start(WORK, 2, ()).await;
    yard.waits(soon, 2).await;
    yard.waits(late, 2).await;
    yard.pass(seconds(25)).await;
    for id in [soon, late] {
        yard.commit(move |tx| send(tx, id, APPROVAL, &"yes".to_owned())).await;
    }
    assert_eq!(yard.ends(WORK, soon).await, Outcome::Success("yes after 2".into()));
    assert_eq!(yard.ends(WORK, late).await, Outcome::Success("yes at last".into()));
}

#[tokio::test]
async fn two_events_that_are_there_lose_neither() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let first = match wf.select(wf.event::<String>("left"), wf.event::<String>("right")).await {
            First::Left(text) | First::Right(text) => text?,
        };
        // The other one was taken too, by a wait that was dropped; it is still to be had.
        let right: String = wf.event("right").await?;
        Ok(format!("{first}, then {right}"))
    };
    let id = yard.start(WORK, 0, ()).await;
    yard.commit(move |tx| send::<String>(tx, id, "right", &"right".to_owned())).await;
    yard.commit(move |tx| send::<String>(tx, id, "left", &"left".to_owned())).await;
    let _workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("left, then right".into()));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let yard = Yard::open().await;
    let id = yard.start(WORK, 0, ()).await;
    let refused = |event: Event<String>, value: String| {
        let sent = yard.store.mutate(move |tx| send(tx, id, &event, &value));
        async { sent.await.expect_err("it is refused") }
    };
    let error = refused(Event::new(""), String::new()).await;
    assert!(matches!(error.downcast_ref(), Some(SendError::BadName { bytes: 0 })));
    let error = refused(APPROVAL, "x".repeat(MAX_EVENT_BYTES)).await;
    assert!(error.to_string().contains("MAX_EVENT_BYTES"), "{error}");
    yard.commit(move |tx| {
        (0..MAX_MAIL).try_for_each(|_| send(tx, id, APPROVAL, &String::new()))
    })
    .await;
    let error = refused(APPROVAL, String::new()).await;
    assert!(matches!(error.downcast_ref(), Some(SendError::Full { .. })));
    yard.commit(move |tx| cancel(tx, id)).await;
    let error = refused(APPROVAL, String::new()).await;
    assert!(matches!(error.downcast_ref(), Some(SendError::Ended { .. })));
    assert_eq!(error.kind(), Kind::Conflict);
}

#[tokio::test]
async fn a_sleep_has_a_name_of_its_own() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        wf.sleep(seconds(60)).name("cooling off").await;
        wf.sleep(seconds(60)).await;
        Ok("awake".into())
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.waits(id, 1).await.running[0].name, "cooling off");
    yard.pass(seconds(60)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 2).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("awake".into()));
    yard.commit(move |tx| restart(tx, id, RestartFrom::Name("cooling off".into()))).await;
    assert_eq!(yard.waits(id, 1).await.running[0].number, 0);
}

#[tokio::test]
async fn a_wait_has_a_name_of_its_own() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let (first, second) = (wf.event(APPROVAL).name("by the chief"), wf.event(APPROVAL).name("by the board"));
        let mut all = first.await?;
        all.push_str(&second.timeout(seconds(60)).await?);
        // One that is dropped gives the event to the next one, whatever that is called.
        wf.select(wf.event(APPROVAL).name("dropped"), wf.sleep(seconds(5))).await;
        Ok(all + &wf.event(APPROVAL).await?)
    };
    let _workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    let waits = yard.waits(id, 1).await;
    assert_eq!(waits.running[0].name, "by the chief");
    assert_eq!(waits.running[0].args.as_deref(), Some("\"approval\""));
    yard.commit(move |tx| send(tx, id, APPROVAL, &"yes".to_owned())).await;
    yard.commit(move |tx| send(tx, id, APPROVAL, &", no".to_owned())).await;
    yard.waits(id, 2).await;
    yard.pass(seconds(5)).await;
    yard.commit(move |tx| send(tx, id, APPROVAL, &", well".to_owned())).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("yes, no, well".into()));
    // An event that is taken is not there a second time.
    yard.commit(move |tx| restart(tx, id, RestartFrom::Name("by the board".into()))).await;
    let waits = yard.waits(id, 1).await;
    assert_eq!((waits.running[0].number, &*waits.running[0].name), (1, "by the board"));
}

#[tokio::test]
async fn an_effect_and_a_mutation_may_start_later() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let acted = wf.effect("act", || async { Ok(1_u64) }).after(seconds(60));
        let written = wf.mutation("write", |tx| super::yard::mark(tx, "written")).at(START + seconds(90));
        let (acted, ()) = wf.join(acted, written).await?;
        Ok(format!("{acted} at {}", wf.now().since(START).as_secs()))
    };
    let _workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    let names: Vec<_> = yard.waits(id, 2).await.running.into_iter().map(|step| step.name).collect();
    assert_eq!(names, ["act", "write"]);
    yard.reaches(id, State::Parked).await;
    yard.pass(seconds(60)).await;
    yard.waits(id, 1).await;
    assert_eq!(yard.marks().await, [""; 0]);
    yard.pass(seconds(30)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("1 at 90".into()));
    assert_eq!(yard.marks().await, ["written"]);
    // It is done again with the sleep before it.
    yard.commit(move |tx| restart(tx, id, RestartFrom::Name("act".into()))).await;
    assert_eq!(yard.waits(id, 1).await.running[0].due, Some(START + seconds(150)));
}
