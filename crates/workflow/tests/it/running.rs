//! Steps: what runs them, what is recorded, what fails.

use loomwork_core::Kind;
use loomwork_testkit::soon;
use loomwork_workflow::{
    Failure, Flow, MAX_RESULT_BYTES, Outcome, StepError, StepKind, StepState, Workflow, steps,
};

use super::yard::{DOUBLE, Gate, Log, Yard, at_once, fault, mark, marked};

const WORK: Workflow<u64, u64> = Workflow::new("work");
const TEXT: Workflow<u64, String> = Workflow::new("text");

#[tokio::test]
async fn steps_of_each_kind_give_their_results() {
    let yard = Yard::open().await;
    let code = |wf: Flow, input: u64| async move {
        let doubled = wf.run(&DOUBLE, input).await?;
        let marked = wf.mutation("mark", move |tx| { mark(tx, format!("{doubled}"))?; Ok(doubled + 1) }).await?;
        wf.effect("add", move || async move { Ok(marked + 10) }).await
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(19));
    assert_eq!(yard.marks().await, ["8"]);
    let steps = yard.read(move |tx| steps(tx, id)).await;
    let found: Vec<_> = steps.iter().map(|step| (step.number, step.kind, &*step.name)).collect();
    let right = [(0, StepKind::Job, "double"), (1, StepKind::Mutation, "mark"), (2, StepKind::Effect, "add")];
    assert_eq!(found, right);
    assert_eq!(steps[0].args.as_deref(), Some("4"));
    assert_eq!(steps[2].state, StepState::Success("19".into()));
}

#[tokio::test]
async fn a_failed_step_is_an_error_that_can_be_caught() {
    let yard = Yard::open().await;
    let code = |wf: Flow, input: u64| async move {
        match wf.run(&DOUBLE, input).await {
            Ok(doubled) => Ok(doubled.to_string()),
            Err(error) => {
                let step = error.downcast::<StepError>()?;
                Ok(format!("{step}; {}", wf.run(&DOUBLE, 1).await?))
            }
        }
    };
    let _workflows = yard.workflows().on(TEXT, code).start().await.unwrap();
    let id = yard.start(TEXT, 13, ()).await;
    let right = "step 0, the job \"double\", failed: 13 is not doubled; 2";
    assert_eq!(yard.ends(TEXT, id).await, Outcome::Success(right.into()));
}

#[tokio::test]
async fn an_error_that_is_not_caught_ends_the_run_with_its_message() {
    let yard = Yard::open().await;
    let code = |wf: Flow, input: u64| async move { wf.run(&DOUBLE, input).await };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 13, ()).await;
    let Outcome::Failed(error) = yard.ends(WORK, id).await else { panic!("it fails") };
    assert!(error.contains("13 is not doubled"), "{error}");
    assert_eq!(yard.status(id).await.error, Some(error));
}

#[tokio::test]
async fn a_mutation_that_fails_leaves_nothing_and_says_its_kind() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let failed = wf.mutation("refused", |tx| {
            mark(tx, "never")?;
            Err::<u64, _>(fault(Kind::Denied, "not yours"))
        });
        let error = failed.await.expect_err("it fails");
        assert_eq!(error.kind(), Kind::Denied);
        marked(&wf, "after").await?;
        Ok(1)
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(1));
    assert_eq!(yard.marks().await, ["after"]);
}

#[tokio::test]
async fn retries_are_those_of_the_step() {
    let (yard, log) = (Yard::open().await, Log::default());
    let seen = log.clone();
    let code = move |wf: Flow, _| {
        let log = seen.clone();
        async move {
            let (often, never) = (log.clone(), log.clone());
            let acted = wf.effect("often", move || {
                often.add("effect");
                let tries = often.read().len() as u64;
                async move { if tries < 3 { Err(fault(Kind::Unavailable, "later")) } else { Ok(tries) } }
            });
            let tries = acted.retry(at_once(5)).await?;
            let refused = wf.effect("never", move || {
                never.add("refused");
                async { Err::<u64, _>(fault(Kind::Invalid, "wrong")) }
            });
            assert!(refused.retry(at_once(5)).await.is_err());
            let limited = wf.run(&DOUBLE, 99).retry(at_once(3)).await.expect_err("it fails each time");
            assert!(limited.to_string().contains("99 comes later"));
            Ok(tries)
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(3));
    assert_eq!(log.read(), ["effect", "effect", "effect", "refused"]);
    assert_eq!(yard.pool.counters().retried, 2);
}

#[tokio::test]
async fn panics_are_failures_wherever_they_happen() {
    let yard = Yard::open().await;
    let code = |wf: Flow, input: u64| async move {
        let effect = wf.effect("effect", || async { if true { panic!("in an effect") } else { Ok(1_u64) } });
        let error = effect.await.expect_err("it panics").to_string();
        assert!(error.contains("in an effect"), "{error}");
        let mutation = wf.mutation("mutation", |_| if true { panic!("in a mutation") } else { Ok(1_u64) });
        let error = mutation.await.expect_err("it panics").to_string();
        assert!(error.contains("in a mutation"), "{error}");
        if input == 0 { panic!("in the code") } else { Ok(input) }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    let right = "the workflow panicked: in the code".to_owned();
    assert_eq!(yard.ends(WORK, id).await, Outcome::Failed(right));
    let id = yard.start(WORK, 7, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(7));
}

#[tokio::test]
async fn results_beyond_their_limit_are_refused_by_name() {
    let yard = Yard::open().await;
    let code = |wf: Flow, input: u64| async move {
        let large = || "x".repeat(MAX_RESULT_BYTES + 1);
        let error = wf.effect("large", move || async move { Ok(large()) }).await.expect_err("it is too large");
        let text = error.to_string();
        assert!(text.contains("MAX_RESULT_BYTES") && text.contains(&MAX_RESULT_BYTES.to_string()), "{text}");
        assert!(matches!(
            error.downcast_ref(),
            Some(StepError { failure: Failure::Failed { kind: Kind::Invalid, .. }, .. })
        ));
        Ok(if input == 0 { large() } else { String::new() })
    };
    let _workflows = yard.workflows().on(TEXT, code).start().await.unwrap();
    let id = yard.start(TEXT, 0, ()).await;
    let Outcome::Failed(error) = yard.ends(TEXT, id).await else { panic!("it is too large") };
    assert!(error.contains("MAX_RESULT_BYTES"), "{error}");
    let id = yard.start(TEXT, 1, ()).await;
    assert_eq!(yard.ends(TEXT, id).await, Outcome::Success(String::new()));
}

#[tokio::test]
async fn a_step_that_never_began_costs_nothing() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        drop(wf.run(&DOUBLE, 1).into_future());
        let unnamed = wf.effect("", || async { Ok(0_u64) }).await.expect_err("it has no name");
        assert!(unnamed.to_string().contains("0 bytes"), "{unnamed}");
        wf.effect("second", || async { Ok(2_u64) }).await
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(2));
    let steps = yard.read(move |tx| steps(tx, id)).await;
    assert_eq!(steps.iter().map(|step| step.number).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn an_effect_that_takes_too_long_is_stopped() {
    let yard = Yard::open().await;
    let begun = Gate::closed();
    let begins = begun.clone();
    let code = move |wf: Flow, _| {
        let begins = begins.clone();
        async move {
            let endless = wf.effect("endless", move || {
                begins.open_for(1);
                std::future::pending::<loomwork_store::Result<u64>>()
            });
            let error = endless.timeout(super::yard::seconds(5)).await.expect_err("it is stopped");
            assert!(error.to_string().contains("its timeout of 5s"), "{error}");
            Ok(1)
        }
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    // Its time begins with it.
    soon(begun.pass()).await;
    yard.pass(super::yard::seconds(5)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(1));
}

#[tokio::test]
async fn an_effects_key_is_its_own_and_stays() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let key = wf.effect_keyed("first", |key| async { Ok(key) }).await?;
        let other = wf.effect_keyed("second", |key| async { Ok(key) }).await?;
        Ok(format!("{} {}", key == format!("{}:0.0:0", wf.id()), key == other))
    };
    let _workflows = yard.workflows().on(TEXT, code).start().await.unwrap();
    let id = yard.start(TEXT, 0, ()).await;
    assert_eq!(yard.ends(TEXT, id).await, Outcome::Success("true false".into()));
}
