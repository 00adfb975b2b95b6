//! Going on after a crash, after being put away, and for ever.

use loomwork_workflow::{
    Event, Failure, Flow, Outcome, State, StepError, Workflow, history, send, steps, unread,
};

use super::yard::{DOUBLE, Gate, Log, Mark, Yard, mark, marked, seconds, shut_down};

const WORK: Workflow<u64, String> = Workflow::new("work");
const GO: Event<u64> = Event::new("go");

/// Does a step of each kind, and waits between them.
fn long(log: Log) -> impl Fn(Flow, u64) -> std::pin::Pin<Box<dyn Future<Output = loomwork_store::Result<String>> + Send>> {
    move |wf, input| {
        let log = log.clone();
        Box::pin(async move {
            let (random, made) = (wf.random().u64(), wf.new_id::<Mark>());
            let acted = log.clone();
            let effect = wf.effect("effect", move || { acted.add("effect"); async { Ok(1_u64) } });
            let one = effect.await?;
            marked(&wf, "first").await?;
            let doubled = wf.run(&DOUBLE, input).await?;
            let go = wf.event(GO).await?;
            let at = wf.now();
            wf.sleep(seconds(30)).await;
            let kept = wf.mutation("second", move |tx| {
                mark(tx, "second")?;
                tx.insert_at(made, Mark { text: "made".into() })?;
                Ok((random, made))
            });
            assert_eq!(kept.await?, (random, made));
            Ok(format!("{one} {doubled} {go} {}", wf.now().since(at).as_secs()))
        })
    }
}

#[tokio::test]
async fn a_run_goes_on_after_a_crash_and_repeats_nothing() {
    let (mut yard, log) = (Yard::open().await, Log::default());
    let workflows = yard.workflows().on(WORK, long(log.clone())).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 4).await;
    drop(workflows);
    yard = yard.crash().await;
    assert_eq!(yard.status(id).await.state, State::Running);
    let workflows = yard.workflows().on(WORK, long(log.clone())).start().await.unwrap();
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 5).await;
    drop(workflows);
    yard = yard.crash().await;
    yard.pass(seconds(60)).await;
    let _workflows = yard.workflows().on(WORK, long(log.clone())).start().await.unwrap();
    let Outcome::Success(text) = yard.ends(WORK, id).await else { panic!("it succeeds") };
    assert!(text.starts_with("1 8 7 "), "{text}");
    assert_eq!(log.read(), ["effect"]);
    let mut marks = yard.marks().await;
    marks.sort();
    assert_eq!(marks, ["first", "made", "second"]);
}

#[tokio::test]
async fn a_run_that_is_put_away_between_all_steps_does_the_same() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _workflows = yard.forgetful().on(WORK, long(log.clone())).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 4).await;
    yard.reaches(id, State::Parked).await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 5).await;
    yard.pass(seconds(30)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("1 8 7 30".into()));
    assert_eq!(log.read(), ["effect"]);
}

#[tokio::test]
async fn a_shutdown_lets_actions_end_and_others_go_on() {
    let (yard, log, gate) = (Yard::open().await, Log::default(), Gate::closed());
    let (seen, held) = (log.clone(), gate.clone());
    let code = move |wf: Flow, _| {
        let (log, gate) = (seen.clone(), held.clone());
        async move {
            let text = wf.effect("slow", move || {
                let (log, gate) = (log.clone(), gate.clone());
                async move { log.add("slow"); gate.pass().await; Ok("slow".to_owned()) }
            });
            text.await
        }
    };
    let first = yard.workflows().on(WORK, code.clone()).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.reaches(id, State::Running).await;
    while log.read().is_empty() { yard.rests().await }
    gate.open_for(1);
    shut_down(&first).await;
    assert_eq!(yard.read(move |tx| steps(tx, id)).await.len(), 1, "what ran is on record");
    let _second = yard.workflows().on(WORK, code).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("slow".into()));
    assert_eq!(log.read(), ["slow"], "nobody ran it again");
}

#[tokio::test]
async fn an_action_that_may_start_once_is_interrupted_by_a_crash() {
    let (mut yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let charged = wf.effect("charge", move || { log.add("charge"); std::future::pending::<loomwork_store::Result<u64>>() });
            let error = charged.once().await.expect_err("it is interrupted").downcast::<StepError>()?;
            Ok(format!("{}", error.failure == Failure::Interrupted))
        }
    };
    let workflows = yard.workflows().on(WORK, code.clone()).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    while log.read().is_empty() { yard.rests().await }
    drop(workflows);
    yard = yard.crash().await;
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("true".into()));
    assert_eq!(log.read(), ["charge"]);
}

#[tokio::test]
async fn an_endless_workflow_goes_on_anew_and_keeps_its_events() {
    const COUNT: Workflow<(u64, u64), u64> = Workflow::new("count");
    let yard = Yard::open().await;
    let code = |wf: Flow, (round, sum): (u64, u64)| async move {
        let number = wf.event(GO).await?;
        let sum = sum + wf.run(&DOUBLE, number).await?;
        if round == 4 { Ok(sum) } else { Err(wf.continue_with((round + 1, sum))) }
    };
    let id = yard.start(COUNT, (0, 0), ()).await;
    yard.commit(move |tx| (1..=7).try_for_each(|number| send(tx, id, GO, &number))).await;
    let _workflows = yard.forgetful().on(COUNT, code).start().await.unwrap();
    assert_eq!(yard.ends(COUNT, id).await, Outcome::Success(30));
    let status = yard.status(id).await;
    assert_eq!((status.chapter, yard.read(move |tx| unread(tx, id)).await), (4, 2));
    let steps = yard.read(move |tx| steps(tx, id)).await;
    assert_eq!(steps.iter().map(|step| step.number).collect::<Vec<_>>(), [0, 1]);
    let history = yard.read(move |tx| history(tx, id)).await.unwrap().to_string();
    assert!(history.contains("chapter 4"), "{history}");
}

#[tokio::test]
async fn more_runs_than_there_is_room_for_take_turns_in_memory() {
    let yard = Yard::open().await;
    let code = |wf: Flow, input: u64| async move {
        let go = wf.event(GO).await?;
        Ok(format!("{}", input + go))
    };
    let workflows = yard.workflows().resident(2).on(WORK, code).start().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..9 {
        ids.push(yard.start(WORK, number, ()).await);
    }
    for id in &ids {
        yard.waits(*id, 1).await;
        assert!(workflows.resident() <= 2);
    }
    for (number, id) in ids.into_iter().enumerate() {
        yard.commit(move |tx| send(tx, id, GO, &1)).await;
        assert_eq!(yard.ends(WORK, id).await, Outcome::Success(format!("{}", number + 1)));
    }
}

#[tokio::test]
async fn runs_keep_their_places_while_no_other_wants_one() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _: u64| async move { Ok(format!("{}", wf.event(GO).await?)) };
    let workflows = yard.workflows().resident(2).on(WORK, code).start().await.unwrap();
    let ids = [yard.start(WORK, 0, ()).await, yard.start(WORK, 1, ()).await];
    for id in ids {
        yard.waits(id, 1).await;
    }
    yard.rests().await;
    assert_eq!(workflows.resident(), 2);
}

#[tokio::test]
async fn two_engines_share_the_work_and_repeat_nothing() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _first = yard.forgetful().on(WORK, long(log.clone())).start().await.unwrap();
    let _second = yard.forgetful().on(WORK, long(log.clone())).start().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..6 {
        let id = yard.start(WORK, number, ()).await;
        yard.commit(move |tx| send(tx, id, GO, &1)).await;
        ids.push(id);
    }
    for id in &ids {
        yard.until({ let id = *id; move |tx| steps(tx, id) }, |steps| steps.len() == 5).await;
    }
    yard.pass(seconds(30)).await;
    for id in ids {
        assert!(matches!(yard.ends(WORK, id).await, Outcome::Success(_)));
    }
    assert_eq!(log.read().len(), 6);
    assert_eq!(yard.marks().await.len(), 18);
}
