//! Steps that reach into their own run, and code that is used where no replay comes.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use futures_util::poll;
use loomwork_workflow::{
    Event, First, Flow, Outcome, State, StepError, Workflow, cancel, find, send, status, steps,
};

use super::yard::{DOUBLE, Log, Yard, marked, seconds};

const WORK: Workflow<u64, String> = Workflow::new("work");
const CHILD: Workflow<u64, String> = Workflow::new("child");
const GO: Event<u64> = Event::new("go");

#[tokio::test]
async fn a_mutation_may_settle_other_steps_of_its_run() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let id = wf.id();
        let sends = wf.mutation("sends", move |tx| send(tx, id, GO, &7));
        let (go, ()) = wf.join(wf.event(GO), sends).await?;
        let child = wf.child(&CHILD, 0).with("the one");
        let branch = async {
            let ended = child.await.expect_err("it is cancelled").downcast::<StepError>()?;
            Ok(format!("{:?}", ended.failure))
        };
        let wf = &wf;
        let cancels = async move {
            wf.sleep(seconds(1)).await;
            wf.mutation("cancels", |tx| {
                let child = find(tx, "child", "the one")?.expect("it was started");
                cancel(tx, child)
            })
            .await
        };
        let (ended, cancelled) = wf.join(branch, cancels).await?;
        Ok(format!("{go} {ended} {cancelled}"))
    };
    let never = |wf: Flow, _| async move { wf.event::<String>("never").await };
    let _workflows = yard.workflows().on(WORK, code).on(CHILD, never).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.until(|tx| find(tx, "child", "the one"), Option::is_some).await;
    yard.waits(id, 2).await;
    yard.pass(seconds(1)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7 Cancelled true".into()));
}

#[tokio::test]
async fn a_run_goes_on_when_others_settle_what_it_has_just_dropped() {
    let yard = Yard::open().await;
    let (says, hears) = mpsc::channel::<()>();
    let (runs, is_run) = tokio::sync::mpsc::unbounded_channel::<()>();
    let (hears, mut is_run) = (Arc::new(Mutex::new(hears)), is_run);
    let code = move |wf: Flow, _| {
        let (runs, hears) = (runs.clone(), hears.clone());
        async move {
            let slow = wf.mutation("slow", move |_| {
                let _ = runs.send(());
                let _ = hears.lock().expect("nobody panics").recv();
                Ok(())
            });
            let First::Right(done) = wf.select(wf.event(GO), slow).await else { panic!("the mutation is first") };
            done?;
            // Behind the event, which came for a wait that was dropped at this moment.
            marked(&wf, "next").await?;
            Ok("ended".into())
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    loomwork_testkit::soon(is_run.recv()).await;
    // It is handed in while the mutation runs, so it is carried out right behind it.
    let sending = yard.store.mutate(move |tx| send(tx, id, GO, &7));
    let mut sending = std::pin::pin!(sending.into_future());
    assert!(poll!(&mut sending).is_pending());
    says.send(()).expect("the mutation listens");
    sending.await.expect("it is sent");
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("ended".into()));
}

/// Runs code that uses its flow where no replay comes, and returns why it is blocked.
async fn why_blocked<W>(code: impl Fn(Flow, u64) -> W + Send + Sync + 'static) -> String
where
    W: Future<Output = loomwork_store::Result<String>> + Send + 'static,
{
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, code).start().await.expect("the engine starts");
    let id = yard.start(WORK, 0, ()).await;
    yard.reaches(id, State::Blocked).await.blocked.expect("it says why")
}

#[tokio::test]
async fn a_step_within_an_effect_is_found() {
    let why = why_blocked(|wf, _| async move {
        let inner = wf.clone();
        let acts = wf.effect("acts", move || {
            let wf = inner.clone();
            async move { wf.run(&DOUBLE, 1).await }
        });
        Ok(format!("{:?}", acts.await.is_ok()))
    });
    let why = why.await;
    assert!(why.starts_with("a step is made at ") && why.contains("owning.rs:"), "{why}");
    assert!(why.contains("outside of the workflow's own code"), "{why}");
}

#[tokio::test]
async fn random_numbers_within_a_mutation_are_found() {
    let why = why_blocked(|wf, _| async move {
        let inner = wf.clone();
        let number = wf.mutation("draws", move |_| Ok(inner.random().u64())).await?;
        Ok(format!("{number}"))
    });
    assert!(why.await.starts_with("random numbers are drawn at "));
}

#[tokio::test]
async fn macros_of_the_runtime_are_replayed_as_they_ran() {
    let yard = Yard::open().await;
    let code = |wf: Flow, count: u64| async move {
        // More answers that are ready at once than the runtime gives a task in one go.
        let all = wf.join_all((0..count).map(|number| wf.mutation("one", move |_| Ok(number)))).await?;
        let (left, right) = tokio::join!(wf.run(&DOUBLE, 1).into_future(), wf.run(&DOUBLE, 2).into_future());
        let first = tokio::select! {
            biased;
            go = wf.event(GO).into_future() => go?,
            () = wf.sleep(seconds(3600)) => 0,
        };
        let mut sum = 0;
        for _ in 0..count {
            // Each of them is ready at once when it is replayed.
            sum += tokio::select! {
                biased;
                one = wf.mutation("next", |_| Ok(1_u64)).into_future() => one?,
                () = wf.sleep(seconds(3600)) => 0,
            };
        }
        wf.sleep(seconds(1)).await;
        Ok(format!("{} {} {} {first} {sum}", all.len(), left?, right?))
    };
    let _workflows = yard.forgetful().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 200, ()).await;
    yard.until(move |tx| status(tx, id), |status| {
        status.as_ref().is_some_and(|status| status.running.iter().any(|step| step.name == "go"))
    })
    .await;
    yard.commit(move |tx| send(tx, id, GO, &7)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.iter().filter(|step| step.name == "next").count() == 200).await;
    yard.reaches(id, State::Parked).await;
    yard.pass(seconds(1)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("200 2 4 7 200".into()));
}

#[tokio::test]
async fn an_effect_that_loses_a_race_is_stopped() {
    struct Stopped(Log);
    impl Drop for Stopped {
        fn drop(&mut self) {
            self.0.add("stopped");
        }
    }
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let hangs = wf.effect("hangs", move || {
                let stopped = Stopped(log.clone());
                async move {
                    let _stopped = stopped;
                    std::future::pending::<loomwork_store::Result<u64>>().await
                }
            });
            let First::Right(()) = wf.select(hangs, wf.sleep(seconds(5))).await else { panic!("it hangs") };
            wf.event::<String>("go").await
        }
    };
    let workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 1).await;
    yard.pass(seconds(5)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    assert_eq!(log.read(), ["stopped"]);
    // It keeps its run from nothing any more.
    yard.pass(seconds(11)).await;
    yard.reaches(id, State::Parked).await;
    yard.rests().await;
    assert_eq!(workflows.resident(), 0);
}

#[tokio::test]
async fn a_store_that_stands_still_has_its_runs_given_up_in_time() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let acts = wf.effect("acts", move || {
                log.add("began");
                let log = log.clone();
                async move {
                    // Dropped with the run.
                    let _told = Told(log);
                    std::future::pending::<loomwork_store::Result<String>>().await
                }
            });
            acts.await
        }
    };
    struct Told(Log);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.add("given up");
        }
    }
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    yard.start(WORK, 0, ()).await;
    while log.read().is_empty() {
        yard.rests().await;
    }
    let (lets_go, held) = mpsc::channel::<()>();
    let (runs, mut is_run) = tokio::sync::mpsc::unbounded_channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let stalls = yard.store.mutate(move |_| {
        let _ = runs.send(());
        let _ = held.lock().expect("nobody panics").recv();
        Ok(())
    });
    let mut stalls = std::pin::pin!(stalls.into_future());
    assert!(poll!(&mut stalls).is_pending());
    loomwork_testkit::soon(is_run.recv()).await;
    // The heartbeat is due, and then has waited for so long that the lease is nearly over.
    for _ in 0..2 {
        yard.clock.advance(loomwork_workflow::HEARTBEAT);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(log.read(), ["began", "given up"]);
    lets_go.send(()).expect("the store waits");
    stalls.await.expect("it commits");
}

#[tokio::test]
async fn random_numbers_of_a_clone_within_an_effect_are_found() {
    let why = why_blocked(|wf, _| async move {
        let dice = wf.random().clone();
        let number = wf.effect("roll", move || {
            let number = dice.u64();
            async move { Ok(number) }
        });
        Ok(format!("{}", number.await?))
    });
    let why = why.await;
    assert!(why.starts_with("random numbers are drawn at ") && why.contains("owning.rs:"), "{why}");
}
