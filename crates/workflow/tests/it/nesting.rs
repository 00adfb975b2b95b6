//! Workflows within workflows.

use loomwork_workflow::{
    Completion, Done, Failure, First, Flow, Options, Outcome, OutcomeKind, RestartFrom, Status, StepError, Workflow,
    cancel, clean_up, find, list, restart, send, status,
};

use super::yard::{DOUBLE, Yard, mark, seconds};

const PARENT: Workflow<u64, String> = Workflow::new("parent");
const CHILD: Workflow<u64, u64> = Workflow::new("child");

async fn child(wf: Flow, input: u64) -> loomwork_store::Result<u64> {
    if input == 0 {
        wf.event::<u64>("never").await
    } else {
        wf.run(&DOUBLE, input).await
    }
}

/// Says how its child ended.
async fn parent(wf: Flow, input: u64) -> loomwork_store::Result<String> {
    Ok(match wf.child(&CHILD, input).await {
        Ok(doubled) => format!("{doubled}"),
        Err(error) => format!("{:?}", error.downcast::<StepError>()?.failure),
    })
}

#[tokio::test]
async fn a_parent_gets_what_its_child_returns() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(PARENT, parent).on(CHILD, child).start().await.unwrap();
    let id = yard.start(PARENT, 4, ()).await;
    assert_eq!(yard.ends(PARENT, id).await, Outcome::Success("8".into()));
}

#[tokio::test]
async fn a_childs_failure_and_its_cancellation_are_the_steps() {
    let yard = Yard::open().await;
    let _workflows = yard.forgetful().on(PARENT, parent).on(CHILD, child).start().await.unwrap();
    let id = yard.start(PARENT, 13, ()).await;
    let Outcome::Success(failure) = yard.ends(PARENT, id).await else { panic!("it was caught") };
    assert!(failure.contains("13 is not doubled"), "{failure}");

    let id = yard.start(PARENT, 0, ()).await;
    let inner = yard.waits(id, 1).await.running[0].child.expect("it waits for its child");
    assert_eq!(yard.status(inner).await.parent, Some(id));
    yard.waits(inner, 1).await;
    assert!(yard.commit(move |tx| cancel(tx, inner)).await);
    assert_eq!(yard.ends(PARENT, id).await, Outcome::Success(format!("{:?}", Failure::Cancelled)));
}

#[tokio::test]
async fn cancelling_a_parent_cancels_its_children_and_cleaning_it_up_forgets_them() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(PARENT, parent).on(CHILD, child).start().await.unwrap();
    let id = yard.start(PARENT, 0, ()).await;
    let inner = yard.waits(id, 1).await.running[0].child.expect("it waits for its child");
    yard.waits(inner, 1).await;
    assert!(yard.commit(move |tx| cancel(tx, id)).await);
    assert_eq!(yard.status(inner).await.outcome, Some(OutcomeKind::Cancelled));
    assert!(yard.commit(move |tx| clean_up(tx, id)).await);
    yard.until(move |tx| status(tx, inner), Option::is_none).await;
}

#[tokio::test]
async fn a_detached_workflow_goes_on_by_itself() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let started = wf.start(&CHILD, 0).with("the one").await?;
        let again = wf.start(&CHILD, 5).with("the one").await?;
        wf.sleep(seconds(60)).await;
        Ok(format!("{}", started == again))
    };
    let _workflows = yard.workflows().on(PARENT, code).on(CHILD, child).start().await.unwrap();
    let id = yard.start(PARENT, 0, ()).await;
    let inner = yard.until(|tx| find(tx, "child", "the one"), Option::is_some).await.unwrap();
    yard.waits(inner, 1).await;
    yard.commit(move |tx| cancel(tx, id)).await;
    assert_eq!(yard.status(inner).await.outcome, None);
}

#[tokio::test]
async fn a_child_may_start_later() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let doubled = wf.child(&CHILD, 2).after(seconds(60)).await?;
        let again = wf.run(&DOUBLE, doubled).after(seconds(60)).await?;
        Ok(format!("{again} at {}", wf.now().since(super::yard::START).as_secs()))
    };
    let _workflows = yard.workflows().on(PARENT, code).on(CHILD, child).start().await.unwrap();
    let id = yard.start(PARENT, 0, ()).await;
    yard.waits(id, 1).await;
    yard.pass(seconds(60)).await;
    yard.until(move |tx| loomwork_workflow::steps(tx, id), |steps| steps.len() == 2).await;
    yard.pass(seconds(60)).await;
    assert_eq!(yard.ends(PARENT, id).await, Outcome::Success("8 at 120".into()));
}

#[tokio::test]
async fn nesting_has_an_end() {
    const ENDLESS: Workflow<u64, u64> = Workflow::new("endless");
    let yard = Yard::open().await;
    let code = |wf: Flow, depth: u64| async move { wf.child(&ENDLESS, depth + 1).await };
    let _workflows = yard.workflows().on(ENDLESS, code).start().await.unwrap();
    let id = yard.start(ENDLESS, 0, ()).await;
    let Outcome::Failed(error) = yard.ends(ENDLESS, id).await else { panic!("it fails") };
    assert!(error.contains("MAX_DEPTH"), "{error}");
    let (all, _) = yard
        .read(|tx| list(tx, loomwork_workflow::Listed::Named("endless"), loomwork_store::Page::first(99)))
        .await;
    assert_eq!(all.len(), 33);
}

#[tokio::test]
async fn a_chain_of_workflows_that_start_each_other_has_no_depth() {
    const LINK: Workflow<u64, u64> = Workflow::new("link");
    let yard = Yard::open().await;
    let code = |wf: Flow, left: u64| async move {
        if left > 0 {
            wf.start(&LINK, left - 1).with(format!("link {left}").as_str()).await?;
        }
        Ok(left)
    };
    let _workflows = yard.workflows().on(LINK, code).start().await.unwrap();
    yard.start(LINK, 40, ()).await;
    let last = yard.until(|tx| find(tx, "link", "link 1"), Option::is_some).await.expect("all are started");
    assert_eq!(yard.ends(LINK, last).await, Outcome::Success(0));
}

#[tokio::test]
async fn a_child_has_the_options_of_a_start_and_no_key_of_another() {
    const TOLD: Completion<u64, u64> = Completion::new("told");
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let options = Options { key: Some("one".into()), keep: Some(seconds(5)), ..TOLD.with(7).into() };
        let doubled = wf.child(&CHILD, 2).with(options).await?;
        let error = wf.child(&CHILD, 2).with("one").await.expect_err("the key is taken");
        Ok(format!("{doubled} {}", error.kind()))
    };
    let told = |tx: &mut loomwork_store::Tx, done: Done<u64, u64>| {
        mark(tx, format!("{} {:?}", done.context, done.outcome))
    };
    let workflows = yard.workflows().on(PARENT, code).on(CHILD, child).on_done(TOLD, told);
    let _workflows = workflows.start().await.unwrap();
    let id = yard.start(PARENT, 0, ()).await;
    assert_eq!(yard.ends(PARENT, id).await, Outcome::Success("4 conflict".into()));
    assert_eq!(yard.marks().await, ["7 Success(4)"]);
    yard.pass(seconds(5)).await;
    yard.until(|tx| find(tx, "child", "one"), Option::is_none).await;
}

/// Begins a parent again whose child has a key, and whose end is still to be told.
async fn check_key(from: RestartFrom) {
    const TOLD: Completion<u64, u64> = Completion::new("told");
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        wf.mutation("first", |_| Ok(())).await?;
        let options = Options { key: Some("order 7".into()), ..TOLD.with(7).into() };
        let go = wf.child(&WAITS, 0).with(options).await?;
        Ok(format!("{go}"))
    };
    let waits = |wf: Flow, _| async move { wf.event::<u64>("go").await };
    let workflows = yard.workflows().on(PARENT, code).on(WAITS, waits);
    let _workflows = workflows.start().await.expect("the engine starts");
    let id = yard.start(PARENT, 0, ()).await;
    let child = |status: Status| status.running[0].child.expect("it waits for its child");
    let before = child(yard.waits(id, 1).await);
    yard.commit(move |tx| {
        cancel(tx, id)?;
        restart(tx, id, from)
    })
    .await;
    let after = child(yard.waits(id, 1).await);
    assert_ne!(before, after);
    assert_eq!(yard.read(|tx| find(tx, "waits", "order 7")).await, Some(after));
    yard.commit(move |tx| send::<u64>(tx, after, "go", &7)).await;
    assert_eq!(yard.ends(PARENT, id).await, Outcome::Success("7".into()));
}

const WAITS: Workflow<u64, u64> = Workflow::new("waits");

#[tokio::test]
async fn a_child_of_an_earlier_life_gives_its_key_to_the_new_one() {
    for from in [RestartFrom::Start, RestartFrom::End, RestartFrom::Step(1)] {
        check_key(from).await;
    }
}

#[tokio::test]
async fn a_child_of_an_earlier_chapter_gives_its_key_to_the_new_one() {
    let yard = Yard::open().await;
    let code = |wf: Flow, turn: u64| async move {
        let child = wf.child(&WAITS, 0).with("order 7");
        match wf.select(child, wf.event::<u64>("next")).await {
            First::Left(go) => Ok(format!("{turn} {}", go?)),
            First::Right(next) => Err(wf.continue_with(next?)),
        }
    };
    let waits = |wf: Flow, _| async move { wf.event::<u64>("go").await };
    let _workflows = yard.workflows().on(PARENT, code).on(WAITS, waits).start().await.unwrap();
    let id = yard.start(PARENT, 0, ()).await;
    yard.waits(id, 2).await;
    yard.commit(move |tx| send::<u64>(tx, id, "next", &1)).await;
    yard.until(move |tx| status(tx, id), |status| status.as_ref().is_some_and(|status| status.chapter == 1)).await;
    yard.waits(id, 2).await;
    let child = yard.read(|tx| find(tx, "waits", "order 7")).await.expect("it has the key");
    yard.commit(move |tx| send::<u64>(tx, child, "go", &7)).await;
    assert_eq!(yard.ends(PARENT, id).await, Outcome::Success("1 7".into()));
    // All children go with their parent, also the one of the chapter that is over.
    assert!(yard.commit(move |tx| clean_up(tx, id)).await);
    let children = |tx: &loomwork_store::Tx| {
        Ok(list(tx, loomwork_workflow::Listed::Named("waits"), loomwork_store::Page::first(9))?.0.len())
    };
    yard.until(children, |children| *children == 0).await;
}
