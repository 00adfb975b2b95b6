//! A store that refuses what a run does, and a process that ends while it does it.

use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy};
use loomwork_store::{Error, Problem, Result};
use loomwork_workflow::{Flow, First, MAX_STUMBLES, Outcome, State, Workflow, steps};

use super::yard::{Gate, Log, Yard, fault, seconds};

const WORK: Workflow<u64, String> = Workflow::new("work");

/// Longer than all pauses between refusals.
const LONG: Duration = seconds(600);

fn refusal() -> Error {
    let source = Arc::new(std::io::Error::other("the disk is gone"));
    Problem::Engine { engine: "test", action: "write", kind: Kind::Unavailable, source }.into()
}

/// A step that is refused so many times.
async fn refused(wf: &Flow, log: Log, name: &str, times: usize) -> Result<()> {
    let text = name.to_owned();
    let step = wf.mutation(name, move |_| {
        log.add(text.clone());
        let tries = log.read().iter().filter(|line| **line == text).count();
        if tries <= times { Err(refusal()) } else { Ok(()) }
    });
    step.await
}

#[tokio::test]
async fn what_the_store_refuses_again_and_again_is_blocked_with_its_words() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move { refused(&wf, log, "never", usize::MAX).await.map(|()| String::new()) }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    while log.read().len() < MAX_STUMBLES as usize {
        yard.rests().await;
        yard.clock.advance(seconds(60));
    }
    let why = yard.reaches(id, State::Blocked).await.blocked.expect("it says why");
    assert!(why.starts_with("the store refuses what it does: ") && why.contains("the disk is gone"), "{why}");
    assert_eq!(log.read().len(), MAX_STUMBLES as usize);
    assert_eq!(yard.read(move |tx| steps(tx, id)).await, [], "no failure is on record");
}

#[tokio::test]
async fn refusals_count_while_a_run_comes_no_further() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            for name in ["one", "two", "three"] {
                refused(&wf, log.clone(), name, MAX_STUMBLES as usize - 1).await?;
            }
            Ok("done".into())
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.pass(LONG).await;
    assert_eq!(yard.status(id).await.blocked, None);
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("done".into()));
}

#[tokio::test]
async fn a_destructor_that_panics_costs_a_run_one_more_try() {
    struct Bomb(Log);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.add("dropped");
            assert_ne!(self.0.read().len(), 1, "on purpose");
        }
    }
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let bomb = Bomb(seen.clone());
        async move {
            let acts = wf.effect("acts", move || {
                let _bomb = &bomb;
                async { Ok("acted".to_owned()) }
            });
            acts.await
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.pass(LONG).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("acted".into()));
}

#[tokio::test]
async fn a_shutdown_tries_nothing_again() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let hour = RetryPolicy::default().with_attempts(9).with_initial(seconds(3600)).with_ceiling(seconds(3600));
            let (acts, writes) = (log.clone(), log.clone());
            let effect = wf.effect("acts", move || {
                acts.add("acts");
                let late = acts.read().iter().filter(|line| **line == "acts").count() > 1;
                async move { if late { Ok(()) } else { Err(fault(Kind::Unavailable, "later")) } }
            });
            let mutation = wf.mutation("writes", move |_| {
                writes.add("writes");
                let late = writes.read().iter().filter(|line| **line == "writes").count() > 1;
                if late { Ok(()) } else { Err(fault(Kind::Unavailable, "later")) }
            });
            wf.join(effect.retry(hour), mutation.retry(hour)).await?;
            Ok("done".into())
        }
    };
    let workflows = yard.workflows().on(WORK, code.clone()).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    while log.read().len() < 2 {
        yard.rests().await;
    }
    // The pauses are not waited out.
    loomwork_testkit::soon(workflows.shutdown(seconds(3600))).await.expect("the engine ends");
    assert_eq!(log.read().len(), 2);
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("done".into()));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_what_the_code_drops() {
    let (yard, log, gate) = (Yard::open().await, Log::default(), Gate::closed());
    let (seen, held) = (log.clone(), gate.clone());
    let code = move |wf: Flow, _| {
        let (log, gate) = (seen.clone(), held.clone());
        async move {
            let began = log.clone();
            let hangs = wf.effect("hangs", move || {
                began.add("hangs");
                std::future::pending::<Result<u64>>()
            });
            let quick = wf.effect("quick", move || {
                let (log, gate) = (log.clone(), gate.clone());
                async move {
                    log.add("quick");
                    gate.pass().await;
                    Ok(7_u64)
                }
            });
            let First::Right(seven) = wf.select(hangs, quick).await else { panic!("it hangs") };
            let seven = seven?;
            wf.sleep(seconds(60)).await;
            Ok(format!("{seven}"))
        }
    };
    let workflows = yard.workflows().on(WORK, code.clone()).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    while log.read().len() < 2 {
        yard.rests().await;
    }
    gate.open_for(1);
    loomwork_testkit::soon(workflows.shutdown(seconds(3600))).await.expect("the engine ends");
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    yard.waits(id, 1).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("7".into()));
    assert_eq!(log.read().len(), 2, "both were begun once");
}
