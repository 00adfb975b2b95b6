//! Sagas.

use loomwork_core::Kind;
use loomwork_workflow::{Flow, Outcome, Workflow, steps};

use super::yard::{Yard, fault, marked, seconds};

const TRAVEL: Workflow<u64, String> = Workflow::new("travel");

/// Books three things with a pause between each; fails at the one that its input names, and cannot undo the one
/// behind that.
async fn travel(wf: Flow, fails_at: u64) -> loomwork_store::Result<String> {
    wf.saga(|wf, saga| async move {
        for number in 0..3_u64 {
            if number == fails_at {
                return Err(fault(Kind::Unavailable, "fully booked"));
            }
            marked(&wf, format!("book {number}")).await?;
            saga.undo(format!("booking {number}"), move |wf| async move {
                if fails_at == 2 && number == 1 {
                    return Err(fault(Kind::Denied, "no refund"));
                }
                wf.sleep(seconds(1)).await;
                marked(&wf, format!("undo {number}")).await
            });
        }
        Ok("booked".to_owned())
    })
    .await
}

#[tokio::test]
async fn what_was_done_is_undone_in_reverse_when_the_rest_fails() {
    let mut yard = Yard::open().await;
    let workflows = yard.forgetful().on(TRAVEL, travel).start().await.unwrap();
    let id = yard.start(TRAVEL, 3, ()).await;
    assert_eq!(yard.ends(TRAVEL, id).await, Outcome::Success("booked".into()));
    let failing = |wf: Flow, _: u64| async move {
        wf.saga(|wf, saga| async move {
            for number in 0..2_u64 {
                marked(&wf, format!("book {number}")).await?;
                saga.undo("booking", move |wf| async move {
                    wf.sleep(seconds(1)).await;
                    marked(&wf, format!("undo {number}")).await
                });
            }
            Err::<String, _>(fault(Kind::Unavailable, "fully booked"))
        })
        .await
    };
    const FAILING: Workflow<u64, String> = Workflow::new("failing");
    drop(workflows);
    let workflows = yard.forgetful().on(FAILING, failing).start().await.unwrap();
    let id = yard.start(FAILING, 0, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    yard.pass(seconds(1)).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 5).await;
    // A crash in the middle of undoing neither loses nor repeats any of it.
    drop(workflows);
    yard = yard.crash().await;
    let _workflows = yard.workflows().on(FAILING, failing).start().await.unwrap();
    yard.pass(seconds(1)).await;
    assert_eq!(yard.ends(FAILING, id).await, Outcome::Failed("fully booked".into()));
    let marks = yard.marks().await;
    assert_eq!(marks[3..], ["book 0", "book 1", "undo 1", "undo 0"]);
}

#[tokio::test]
async fn what_cannot_be_undone_is_told_and_keeps_nothing_else_from_it() {
    let yard = Yard::open().await;
    let _workflows = yard.workflows().on(TRAVEL, travel).start().await.unwrap();
    let id = yard.start(TRAVEL, 2, ()).await;
    yard.until(move |tx| steps(tx, id), |steps| steps.len() == 3).await;
    yard.pass(seconds(1)).await;
    let right = "fully booked; not undone: \"booking 1\" (no refund)";
    assert_eq!(yard.ends(TRAVEL, id).await, Outcome::Failed(right.into()));
    assert_eq!(yard.marks().await, ["book 0", "book 1", "undo 0"]);
}
