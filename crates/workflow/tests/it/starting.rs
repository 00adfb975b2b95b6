//! Starting: when, under which key, and what is refused.

use loomwork_core::Kind;
use loomwork_store::{Error, Result, Tx};
use loomwork_workflow::{
    BuildError, Completion, Flow, MAX_AHEAD, MAX_INPUT_BYTES, Options, Outcome, StartError, State, Taken,
    Workflow, find, start,
};

use super::yard::{START, Yard, fault, mark, seconds};

const WORK: Workflow<String, String> = Workflow::new("work");

async fn echo(_: Flow, input: String) -> Result<String> {
    Ok(input)
}

#[tokio::test]
async fn a_workflow_starts_if_its_mutation_commits() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, echo).start().await.unwrap();
    let refused = yard.store.mutate(|tx: &mut Tx| {
        start(tx, &WORK, "never".into(), "key")?;
        Err::<(), _>(fault(Kind::Denied, "no"))
    });
    assert!(refused.await.is_err());
    assert_eq!(yard.read(|tx| find(tx, "work", "key")).await, None);
    let id = yard
        .commit(|tx| {
            mark(tx, "beside")?;
            start(tx, &WORK, "yes".into(), ())
        })
        .await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("yes".into()));
}

#[tokio::test]
async fn a_key_is_one_workflows_for_as_long_as_it_is_kept() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, echo).start().await.unwrap();
    let first = yard.start(WORK, "first".into(), "order 7").await;
    assert_eq!(yard.start(WORK, "second".into(), "order 7").await, first);
    assert_eq!(yard.ends(WORK, first).await, Outcome::Success("first".into()));
    assert_eq!(yard.start(WORK, "third".into(), "order 7").await, first);
    assert_eq!(yard.read(|tx| find(tx, "work", "order 7")).await, Some(first));
    let refused = yard.store.mutate(|tx| {
        let options = Options { key: Some("order 7".into()), taken: Taken::Refuse, ..Options::default() };
        start(tx, &WORK, "fourth".into(), options)
    });
    let error: Error = refused.await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(StartError::Taken { id, .. }) if *id == first));
}

#[tokio::test]
async fn a_workflow_may_start_later() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, echo).start().await.unwrap();
    let id = yard.start(WORK, "late".into(), START + seconds(60)).await;
    let now = yard.start(WORK, "now".into(), START).await;
    assert_eq!(yard.ends(WORK, now).await, Outcome::Success("now".into()));
    yard.pass(seconds(59)).await;
    assert_eq!(yard.status(id).await.state, State::Scheduled);
    yard.pass(seconds(1)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("late".into()));
}

#[tokio::test]
async fn large_inputs_and_results_arrive() {
    let yard = Yard::open().await;
    let _workflows = yard.forgetful().on(WORK, echo).start().await.unwrap();
    let large = "x".repeat(700_000);
    let id = yard.start(WORK, large.clone(), ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(large));
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_without_a_trace() {
    const TOLD: Completion<String, String> = Completion::new("");
    let yard = Yard::open().await;
    let refused = |input: String, options: Options<String>| {
        let started = yard.store.mutate(move |tx| start(tx, &WORK, input, options));
        async { started.await.expect_err("it is refused") }
    };
    let error = refused("x".repeat(MAX_INPUT_BYTES), Options::default()).await;
    assert!(error.to_string().contains("MAX_INPUT_BYTES"), "{error}");
    let error = refused(String::new(), "".into()).await;
    assert!(matches!(error.downcast_ref(), Some(StartError::BadText { what: "key", bytes: 0, .. })));
    let error = refused(String::new(), TOLD.with(String::new()).into()).await;
    assert!(matches!(error.downcast_ref(), Some(StartError::BadText { what: "completion", .. })));
    let error = refused(String::new(), (MAX_AHEAD + seconds(1)).into()).await;
    assert!(matches!(error.downcast_ref(), Some(StartError::TooFarAhead { .. })));
    assert_eq!(error.kind(), Kind::Invalid);
}

#[tokio::test]
async fn an_engine_that_does_not_fit_together_does_not_start() {
    let yard = Yard::open().await;
    let error = yard.workflows().on(WORK, echo).on(WORK, echo).start().await.unwrap_err();
    assert!(matches!(error.downcast(), Ok(BuildError::Twice { what: "workflow", name: "work" })));
    let error = yard.workflows().resident(0).start().await.unwrap_err();
    assert!(matches!(error.downcast(), Ok(BuildError::NoRoom)));
    const UNNAMED: Workflow<String, String> = Workflow::new("");
    let error = yard.workflows().on(UNNAMED, echo).start().await.unwrap_err();
    assert!(matches!(error.downcast(), Ok(BuildError::BadName { what: "workflow", .. })));
}

#[tokio::test]
async fn an_input_that_the_code_cannot_take_fails_the_run() {
    const NUMBER: Workflow<u64, String> = Workflow::new("work");
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, echo).start().await.unwrap();
    let id = yard.start(NUMBER, 7, ()).await;
    let Outcome::Failed(error) = yard.ends(WORK, id).await else { panic!("it fails") };
    assert!(error.contains("not what this program takes it for"), "{error}");
}

#[tokio::test]
async fn a_workflow_that_nobody_knows_here_waits_and_holds_up_nobody() {
    const OTHER: Workflow<String, String> = Workflow::new("other");
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, echo).start().await.unwrap();
    let other = yard.start(OTHER, "other".into(), ()).await;
    let id = yard.start(WORK, "known".into(), ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("known".into()));
    assert_eq!(yard.status(other).await.state, State::Ready);
}
