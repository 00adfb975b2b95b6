//! Status, lists and history.

use loomwork_store::Page;
use loomwork_workflow::{
    Flow, Listed, Outcome, State, StepKind, StepState, Workflow, history, list, outcome, send, status,
};

use super::yard::{DOUBLE, START, Yard, marked, seconds};

const WORK: Workflow<u64, u64> = Workflow::new("work");
const OTHER: Workflow<u64, u64> = Workflow::new("other");

async fn work(wf: Flow, input: u64) -> loomwork_store::Result<u64> {
    marked(&wf, "say \"hello\"").await?;
    let (doubled, go) = wf.join(wf.run(&DOUBLE, input), wf.event::<u64>("go").timeout(seconds(60))).await?;
    wf.sleep(seconds(5)).await;
    Ok(doubled + go)
}

#[tokio::test]
async fn a_status_is_live_and_says_what_is_waited_for() {
    let yard = Yard::open().await;
    let mut live = yard.store.watch(|tx| {
        let (all, _) = list(tx, Listed::Named("work"), Page::first(1))?;
        Ok(all.first().map(|status| status.state))
    });
    assert_eq!(live.next().await.unwrap().unwrap(), None);
    let _workflows = yard.workflows().on(WORK, work).start().await.unwrap();
    let id = yard.start(WORK, 4, "seven").await;
    let waits = yard
        .until(move |tx| status(tx, id), |status| {
            status.as_ref().is_some_and(|status| {
                status.running.len() == 1 && status.running[0].kind == StepKind::Event
            })
        })
        .await
        .unwrap();
    assert_eq!((waits.key.as_deref(), waits.created), (Some("seven"), START));
    assert_eq!(waits.running[0].due, Some(START + seconds(60)));
    assert!(live.next().await.unwrap().unwrap().is_some());
    yard.commit(move |tx| send::<u64>(tx, id, "go", &1)).await;
    yard.until(move |tx| status(tx, id), |status| {
        status.as_ref().is_some_and(|status| status.running.iter().any(|step| step.kind == StepKind::Sleep))
    })
    .await;
    yard.pass(seconds(5)).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(9));
    assert_eq!(yard.status(id).await.running, []);
}

#[tokio::test]
async fn lists_are_in_pages_by_name_and_state() {
    let yard = Yard::open().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(yard.start(WORK, number, ()).await);
    }
    let other = yard.start(OTHER, 0, ()).await;
    let first = ids[0];
    yard.commit(move |tx| loomwork_workflow::cancel(tx, first)).await;
    let named = |page: Page| yard.read(move |tx| list(tx, Listed::Named("work"), page.clone()));
    let (page, next) = named(Page::first(3)).await;
    let mut found: Vec<_> = page.iter().map(|status| status.id).collect();
    let (page, next) = named(Page::after(next.unwrap(), 3)).await;
    found.extend(page.iter().map(|status| status.id));
    assert_eq!((found, next), (ids.clone(), None));
    let (open, _) = yard.read(|tx| list(tx, Listed::Open("work"), Page::first(9))).await;
    assert_eq!(open.iter().map(|status| status.id).collect::<Vec<_>>(), ids[1..]);
    let (all, _) = yard.read(|tx| list(tx, Listed::All, Page::first(9))).await;
    assert_eq!((all.len(), all[5].id, all[0].state), (6, other, State::Ended));
}

#[tokio::test]
async fn a_history_is_a_timeline_json_and_a_picture() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(WORK, work).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| loomwork_workflow::steps(tx, id), |steps| steps.iter().any(|step| step.name == "double" && step.finished.is_some())).await;
    yard.pass(seconds(2)).await;
    yard.commit(move |tx| send::<u64>(tx, id, "go", &1)).await;
    yard.waits(id, 1).await;
    yard.until(move |tx| status(tx, id), |status| status.as_ref().unwrap().running.iter().any(|step| step.kind == StepKind::Sleep)).await;
    yard.pass(seconds(5)).await;
    yard.ends(WORK, id).await;
    let found = yard.read(move |tx| history(tx, id)).await.unwrap();
    let right = format!(
        "work {id}, success, started {START}\n\
         \x20    0.000 s ✓    0 mutation say \"hello\" → null in 0.000 s\n\
         \x20    0.000 s ✓    1 job      double 4 → 8 in 0.000 s\n\
         \x20    0.000 s ✓    2 event    go → 1 in 2.000 s\n\
         \x20    2.000 s ✓    3 sleep    sleep → null in 5.000 s\n\
         \x20    7.000 s ended\n"
    );
    assert_eq!(found.to_string(), right);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["name"], "work");
    assert_eq!(json["steps"][1]["args"], "4");
    assert_eq!(json["steps"][2]["state"]["success"], "1");
    let right = "flowchart TD\n  \
         start([\"work\"])\n  \
         s0[\"0 mutation: say #quot;hello#quot;\"]\n  \
         start --> s0\n  \
         s1[\"1 job: double\"]\n  \
         s0 --> s1\n  \
         s2{{\"2 event: go\"}}\n  \
         s0 --> s2\n  \
         s3{{\"3 sleep: sleep\"}}\n  \
         s1 --> s3\n  \
         s2 --> s3\n  \
         finish([\"success\"])\n  \
         s3 --> finish\n  \
         classDef failed stroke:#c00,stroke-width:2px\n  \
         classDef pending stroke-dasharray:4 4\n  \
         classDef off stroke:#999,color:#999\n";
    let picture = found.mermaid();
    // Steps that began and ended at one moment may stand side by side or behind each other.
    assert_eq!(picture.lines().last(), right.lines().last());
    assert!(picture.contains("  s2{{\"2 event: go\"}}\n") && picture.contains("  s2 --> s3\n"), "{picture}");
    assert!(picture.contains("s0[\"0 mutation: say #quot;hello#quot;\"]"), "{picture}");
}

#[tokio::test]
async fn an_outcome_is_asked_for_as_what_it_is() {
    let yard = Yard::open().await;
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.read(move |tx| outcome(tx, &WORK, id)).await, None);
    let wrong = yard.store.query(move |tx| outcome(tx, &OTHER, id)).await.unwrap_err();
    assert!(wrong.to_string().contains("is a workflow \"work\", not a \"other\""), "{wrong}");
}

#[tokio::test]
async fn a_job_that_has_ended_and_is_told_by_nobody_is_shown() {
    let yard = Yard::open().await;
    yard.pool.shutdown(loomwork_testkit::GUARD).await.expect("the pool ends");
    let bare = loomwork_workpool::Workpool::builder(&yard.store).on(DOUBLE, |_, number| async move { Ok(2 * number) });
    let bare = bare.start().await.expect("the pool starts");
    let code = |wf: Flow, input: u64| async move { wf.run(&DOUBLE, input).await };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 4, ()).await;
    yard.until(move |tx| status(tx, id), |status| {
        status.as_ref().is_some_and(|status| status.running.iter().any(|step| step.state == StepState::Untold))
    })
    .await;
    let _telling = loomwork_workflow::with_steps(loomwork_workpool::Workpool::builder(&yard.store)).start().await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(8));
    drop(bare);
}

#[tokio::test]
async fn a_picture_of_two_wide_groups_grows_with_their_steps() {
    let yard = Yard::open().await;
    let code = |wf: Flow, wide: u64| async move {
        for event in ["one", "two"] {
            wf.join_all((0..wide).map(|_| wf.event::<u64>(event))).await?;
        }
        Ok(wide)
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 30, ()).await;
    for event in ["one", "two"] {
        yard.until(move |tx| status(tx, id), move |status| {
            status.as_ref().is_some_and(|status| status.running.first().is_some_and(|step| step.name == event))
        })
        .await;
        yard.waits(id, 30).await;
        yard.clock.advance(seconds(1));
        yard.commit(move |tx| (0..30).try_for_each(|number| send::<u64>(tx, id, event, &number))).await;
    }
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(30));
    let picture = yard.read(move |tx| history(tx, id)).await.expect("it is there").mermaid();
    let edges = picture.lines().filter(|line| line.contains("-->")).count();
    assert_eq!(edges, 30 + 30 + 30 + 30, "{picture}");
}
