//! Cancelling, and forgetting what has ended.

use loomwork_store::Table as _;
use loomwork_workflow::{
    Flow, KEEP, Options, Outcome, OutcomeKind, State, StepRow, StepState, Workflow, cancel, clean_up, send,
    status, steps,
};
use loomwork_workpool::{Listed, list};

use super::yard::{DOUBLE, Log, Yard, marked, seconds};

const WORK: Workflow<u64, u64> = Workflow::new("work");

#[tokio::test]
async fn a_cancelled_workflow_ends_at_once_wherever_it_stands() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        wf.join(wf.event::<u64>("never"), wf.run(&DOUBLE, 1).after(seconds(60))).await?;
        Ok(1)
    };
    let waiting = yard.start(WORK, 0, ()).await;
    assert!(yard.commit(move |tx| cancel(tx, waiting)).await);
    assert_eq!(yard.status(waiting).await.outcome, Some(OutcomeKind::Cancelled));
    assert!(!yard.commit(move |tx| cancel(tx, waiting)).await, "it has ended");

    let workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    yard.waits(id, 2).await;
    assert!(yard.commit(move |tx| cancel(tx, id)).await);
    assert_eq!(yard.ends(WORK, id).await, Outcome::Cancelled);
    let steps = yard.read(move |tx| steps(tx, id)).await;
    assert!(steps.iter().all(|step| step.state == StepState::CutOff), "{steps:?}");
    let (jobs, _) = yard.read(|tx| list(tx, Listed::Pending("default"), loomwork_store::Page::first(9))).await;
    assert_eq!(jobs, [], "its job is cancelled too");
    while workflows.resident() > 0 { yard.rests().await }
}

#[tokio::test]
async fn an_action_that_runs_is_stopped_when_its_workflow_is_cancelled() {
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
            let endless = wf.effect("endless", move || {
                log.add("began");
                let stopped = Stopped(log.clone());
                async move { let _stopped = stopped; std::future::pending::<loomwork_store::Result<u64>>().await }
            });
            endless.await
        }
    };
    let workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    while log.read().is_empty() { yard.rests().await }
    yard.commit(move |tx| cancel(tx, id)).await;
    while workflows.resident() > 0 { yard.rests().await }
    assert_eq!(log.read(), ["began", "stopped"]);
}

#[tokio::test]
async fn what_is_cleaned_up_leaves_nothing() {
    let yard = Yard::open().await;
    let code = |wf: Flow, count: u64| async move {
        for number in 0..count {
            marked(&wf, format!("{number}")).await?;
        }
        wf.sleep(seconds(1)).await;
        Ok(count)
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 300, ()).await;
    yard.waits(id, 1).await;
    yard.commit(move |tx| send::<u64>(tx, id, "unread", &1)).await;
    assert!(!yard.commit(move |tx| clean_up(tx, id)).await, "it runs");
    yard.pass(seconds(1)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(300));
    assert!(yard.commit(move |tx| clean_up(tx, id)).await);
    assert!(!yard.commit(move |tx| clean_up(tx, id)).await, "it is gone");
    yard.until(|tx| tx.count(StepRow::all()), |left| *left == 0).await;
    assert_eq!(yard.read(move |tx| status(tx, id)).await, None);
    yard.until(move |tx| loomwork_workflow::unread(tx, id), |left| *left == 0).await;
}

#[tokio::test]
async fn ended_workflows_are_forgotten_when_their_retention_is_over() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, |_, input| async move { Ok(input) }).start().await.unwrap();
    let short = Options { keep: Some(seconds(5)), ..Options::default() };
    let (gone, kept) = (yard.start(WORK, 1, short).await, yard.start(WORK, 2, ()).await);
    yard.ends(WORK, gone).await;
    yard.ends(WORK, kept).await;
    yard.pass(seconds(5)).await;
    yard.until(move |tx| status(tx, gone), Option::is_none).await;
    assert_eq!(yard.status(kept).await.state, State::Ended);
    assert!(KEEP > seconds(5));
}
