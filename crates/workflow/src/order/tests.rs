use loomwork_core::Kind;
use loomwork_store::{Error, Problem, Result, Tx};

use super::{Mutated, Note, mutate};
use crate::cutting::CUT_OFF_STEP;
use crate::hands::{Hands, child_of, noted};
use crate::journal::{Label, Place, null};
use crate::start::start;
use crate::tables::{StepId, StepKind, WorkflowRow};
use crate::workflow::Workflow;

const WORK: Workflow<(), ()> = Workflow::new("work");

#[tokio::test]
async fn children_that_the_code_has_dropped_are_cancelled_some_at_a_time() {
    let hands = Hands::open().await;
    let id = hands.commit(|tx| start(tx, &WORK, (), ())).await;
    let parent = hands.take_one("work").await;
    hands.write(parent, vec![child_of(id, 0, "child"), child_of(id, 1, "child")]).await;
    let count = CUT_OFF_STEP as u32 - 56;
    for child in hands.take("child").await {
        let inner = (0..count).map(|number| child_of(child.run.id, number, "inner"));
        hands.write(child.hold, inner.collect()).await;
    }
    let open = |tx: &mut Tx| tx.count(WorkflowRow::open.eq("inner"));
    assert_eq!(hands.commit(open).await, 2 * count as usize);
    let dropped = |number| noted(number, StepKind::Child, "child", Note::Withdraw);
    hands.write(parent, vec![dropped(0), dropped(1)]).await;
    // Both are cancelled, and so many of those that they waited for, in all.
    assert_eq!(hands.commit(|tx| tx.count(WorkflowRow::open.eq("child"))).await, 0);
    assert_eq!(hands.commit(open).await, 2 * count as usize - CUT_OFF_STEP);
    while hands.commit(crate::clean::sweep).await == loomwork_store::Next::More {}
    assert_eq!(hands.commit(open).await, 0);
}

/// Runs a mutation that fails with this.
async fn fails(error: fn() -> Error) -> Result<Mutated> {
    let hands = Hands::open().await;
    hands.commit(|tx| start(tx, &WORK, (), ())).await;
    let hold = hands.take_one("work").await;
    let part = move |_: &mut Tx, _: StepId| if hold.fence > 0 { Err(error()) } else { Ok(null()) };
    let (kind, name) = (StepKind::Mutation, "fails".to_owned());
    let label = Label { kind, name, fingerprint: None, args: None, behind: 0 };
    let mutated =
        hands.store.mutate(move |tx| mutate(tx, hold, Place::default(), (0, &label), Box::new(part), None));
    mutated.await
}

#[tokio::test]
async fn a_fault_of_the_store_is_no_failure_of_a_step() {
    let broken = || {
        let source = std::sync::Arc::new(std::io::Error::other("the disk is gone"));
        Error::from(Problem::Engine { engine: "test", action: "read", kind: Kind::Unavailable, source })
    };
    let error = fails(broken).await.expect_err("nothing is recorded");
    assert_eq!(error.kind(), Kind::Unavailable);
    let own = || Error::message(Kind::Unavailable, "come back later");
    assert!(matches!(fails(own).await, Ok(Mutated::Recorded(arrived)) if arrived.len() == 1));
}
