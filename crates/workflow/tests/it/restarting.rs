//! Beginning again: from the start, from a step, where it stopped.

use loomwork_core::Kind;
use loomwork_workflow::{
    Flow, RestartFrom, Outcome, RestartError, State, StepKind, StepState, Workflow, cancel, restart, send, status, steps,
};

use super::yard::{DOUBLE, Log, Yard, marked, seconds, shut_down};

const WORK: Workflow<u64, String> = Workflow::new("work");

/// Leaves two marks around a wait, and fails while its log is empty.
fn fragile(log: Log) -> impl Fn(Flow, u64) -> std::pin::Pin<Box<dyn Future<Output = loomwork_store::Result<String>> + Send>> {
    move |wf, input| {
        let log = log.clone();
        Box::pin(async move {
            marked(&wf, "first").await?;
            let go: String = wf.event("go").await?;
            let asked = log.clone();
            let mended = wf.effect("check", move || { let mended = !asked.read().is_empty(); async move { Ok(mended) } });
            if !mended.await? {
                return Err(super::yard::fault(Kind::Internal, "broken"));
            }
            marked(&wf, "last").await?;
            Ok(format!("{go} {}", wf.run(&DOUBLE, input).await?))
        })
    }
}

/// Runs it until it has failed, mends it and restarts it; returns the marks that it then has left.
async fn check(from: RestartFrom, go_again: bool) -> Vec<String> {
    let (yard, log) = (Yard::open().await, Log::default());
    let _workflows = yard.workflows().on(WORK, fragile(log.clone())).start().await.expect("the engine starts");
    let id = yard.start(WORK, 4, ()).await;
    yard.commit(move |tx| send::<String>(tx, id, "go", &"go".to_owned())).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Failed("broken".into()));
    log.add("mended");
    yard.commit(move |tx| restart(tx, id, from)).await;
    if go_again {
        yard.commit(move |tx| send::<String>(tx, id, "go", &"go".to_owned())).await;
    }
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("go 8".into()));
    assert_eq!(yard.status(id).await.restarts, 1);
    yard.marks().await
}

#[tokio::test]
async fn from_the_start_everything_is_done_again() {
    assert_eq!(check(RestartFrom::Start, true).await, ["first", "first", "last"]);
}

#[tokio::test]
async fn from_a_step_it_and_what_follows_is_done_again() {
    assert_eq!(check(RestartFrom::Step(2), false).await, ["first", "last"]);
    assert_eq!(check(RestartFrom::Step(1), true).await, ["first", "last"]);
}

#[tokio::test]
async fn from_a_name_the_last_step_of_it_is_the_first() {
    assert_eq!(check(RestartFrom::Name("check".into()), false).await, ["first", "last"]);
}

#[tokio::test]
async fn with_its_whole_journal_it_comes_to_the_same_end_unless_its_code_is_mended() {
    let (yard, log) = (Yard::open().await, Log::default());
    let workflows = yard.workflows().on(WORK, fragile(log.clone())).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.commit(move |tx| send::<String>(tx, id, "go", &"go".to_owned())).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Failed("broken".into()));
    yard.commit(move |tx| restart(tx, id, RestartFrom::End)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Failed("broken".into()));
    shut_down(&workflows).await;
    let mended = |wf: Flow, _| async move {
        marked(&wf, "first").await?;
        let go: String = wf.event("go").await?;
        let checked = wf.effect("check", || async { Ok(true) }).await?;
        Ok(format!("{go} {checked}"))
    };
    let _workflows = yard.workflows().on(WORK, mended).start().await.unwrap();
    yard.commit(move |tx| restart(tx, id, RestartFrom::End)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("go false".into()));
    assert_eq!(yard.marks().await, ["first"]);
}

#[tokio::test]
async fn a_cancelled_run_does_again_what_was_cut_off() {
    let yard = Yard::open().await;
    let code = |wf: Flow, input: u64| async move {
        let (doubled, go) = wf.join(wf.run(&DOUBLE, input).after(seconds(60)), wf.event::<String>("go")).await?;
        Ok(format!("{doubled} {go}"))
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.waits(id, 2).await;
    yard.commit(move |tx| cancel(tx, id)).await;
    yard.commit(move |tx| restart(tx, id, RestartFrom::End)).await;
    yard.waits(id, 2).await;
    yard.commit(move |tx| send::<String>(tx, id, "go", &"go".to_owned())).await;
    yard.pass(seconds(61)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success("8 go".into()));
    let steps = yard.read(move |tx| steps(tx, id)).await;
    assert_eq!(steps.len(), 2);
    assert!(steps.iter().all(|step| matches!(step.state, StepState::Success(_))), "{steps:?}");
    assert_eq!(steps[0].kind, StepKind::Job);
}

#[tokio::test]
async fn what_cannot_be_restarted_is_refused() {
    let yard = Yard::open().await;
    let id = yard.start(WORK, 0, ()).await;
    let refused = |from: RestartFrom| {
        let restarted = yard.store.mutate(move |tx| restart(tx, id, from));
        async { restarted.await.expect_err("it is refused") }
    };
    let error = refused(RestartFrom::Start).await;
    assert!(matches!(error.downcast_ref(), Some(RestartError::StillRunning { .. })));
    yard.commit(move |tx| cancel(tx, id)).await;
    let error = refused(RestartFrom::Name("nowhere".into())).await;
    assert!(matches!(error.downcast_ref(), Some(RestartError::NoStep { .. })));
    assert_eq!(yard.status(id).await.state, State::Ended);
    yard.commit(move |tx| loomwork_workflow::clean_up(tx, id)).await;
    let error = refused(RestartFrom::Start).await;
    assert!(matches!(error.downcast_ref(), Some(RestartError::Unknown { .. })));
    assert_eq!(yard.read(move |tx| status(tx, id)).await, None);
}
