//! Several steps at once.

use loomwork_workflow::{First, Flow, Outcome, StepKind, StepState, Workflow, steps};

use super::yard::{DOUBLE, Gate, Log, Yard, marked, seconds};

const WORK: Workflow<u64, String> = Workflow::new("work");

#[tokio::test]
async fn joined_steps_run_at_the_same_time() {
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let held = gate.clone();
    let code = move |wf: Flow, _| {
        let gate = held.clone();
        async move {
            let (open, pass) = (gate.clone(), gate.clone());
            // The first can only end because the second runs too.
            let passes = wf.effect("passes", move || { let gate = pass.clone(); async move { gate.pass().await; Ok(1_u64) } });
            let opens = wf.effect("opens", move || { open.open_for(1); async { Ok(2_u64) } });
            let (one, two, four) = wf.join3(passes, opens, wf.run(&DOUBLE, 2)).await?;
            Ok(format!("{one} {two} {four}"))
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("1 2 4".into()));
}

#[tokio::test]
async fn the_first_failure_ends_a_join_and_calls_the_rest_off() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let (sleep, event) = (wf.sleep(seconds(60)), wf.event::<u64>("never"));
        let sleeps = async move { sleep.await; Ok(()) };
        let error = wf.join3(sleeps, event, wf.run(&DOUBLE, 13)).await.expect_err("13 fails");
        marked(&wf, error.to_string()).await?;
        Ok("went on".into())
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("went on".into()));
    let steps = yard.read(move |tx| steps(tx, id)).await;
    assert_eq!((steps[0].kind, &steps[0].state), (StepKind::Sleep, &StepState::Withdrawn));
    assert_eq!((steps[1].kind, &steps[1].state), (StepKind::Event, &StepState::Withdrawn));
}

#[tokio::test]
async fn a_fan_out_gives_its_results_in_order() {
    let yard = Yard::open().await;
    let code = |wf: Flow, count: u64| async move {
        let doubled = wf.join_all((0..count).map(|number| wf.run(&DOUBLE, number))).await?;
        Ok(format!("{}", doubled.into_iter().enumerate().all(|(at, number)| number == 2 * at as u64)))
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 12, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("true".into()));
    let none = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.ends(WORK, none).await, Outcome::Success("true".into()));
}

#[tokio::test]
async fn a_bounded_fan_out_begins_the_next_as_soon_as_one_has_ended() {
    let (yard, log, gate) = (Yard::open().await, Log::default(), Gate::closed());
    let (seen, held) = (log.clone(), gate.clone());
    let code = move |wf: Flow, _| {
        let (log, gate) = (seen.clone(), held.clone());
        async move {
            let ended = wf.for_each(0..5_u64, 2, |wf, number| {
                let (log, gate) = (log.clone(), gate.clone());
                async move {
                    wf.effect(format!("work {number}"), move || {
                        let (log, gate) = (log.clone(), gate.clone());
                        async move {
                            log.add(format!("{number}"));
                            if number == 0 { gate.pass().await }
                            Ok(number)
                        }
                    })
                    .await
                }
            });
            Ok(format!("{:?}", ended.await?))
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    // All others go through the second place while the first one is held.
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 4).await;
    assert_eq!(log.read(), ["0", "1", "2", "3", "4"]);
    gate.open_for(1);
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("[0, 1, 2, 3, 4]".into()));
}

#[tokio::test]
async fn a_race_has_one_winner_which_a_replay_finds_again() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let winner = match wf.select(wf.event::<String>("answer"), wf.sleep(seconds(60))).await {
            First::Left(answer) => answer?,
            First::Right(()) => "nobody".into(),
        };
        // Put away in between: what follows is found by a replay.
        wf.sleep(seconds(1)).await;
        let several = wf.select_all((0..3_u64).map(|number| wf.run(&DOUBLE, number))).await;
        let (at, doubled) = several.expect("there are three");
        Ok(format!("{winner} {}", doubled? == 2 * at as u64))
    };
    let _workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 2).await;
    yard.pass(seconds(62)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("nobody true".into()));
}

#[tokio::test]
async fn branches_with_steps_of_their_own_are_replayed_as_they_ran() {
    let yard = Yard::open().await;
    async fn branch(wf: Flow, event: &'static str) -> loomwork_store::Result<String> {
        let first: String = wf.event(event).await?;
        marked(&wf, format!("{event} {first}")).await?;
        let second: String = wf.event(event).await?;
        Ok(first + &second)
    }
    let code = |wf: Flow, _| async move {
        let (left, right) = wf.join(branch(wf.clone(), "left"), branch(wf.clone(), "right")).await?;
        Ok(format!("{left} {right}"))
    };
    let workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    for (event, text) in [("right", "c"), ("left", "a"), ("right", "d"), ("left", "b")] {
        yard.until(move |tx| loomwork_workflow::status(tx, id), |status| {
            status.as_ref().is_some_and(|status| status.running.iter().any(|step| step.name == event))
        })
        .await;
        yard.commit(move |tx| {
            loomwork_workflow::send(tx, id, loomwork_workflow::Event::named(event), &text.to_owned())
        })
        .await;
    }
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("ab cd".into()));
    assert_eq!(yard.marks().await, ["right c", "left a"]);
    drop(workflows);
}
