use loomwork_store::{Next, Row, Tx};

use super::{clean_up, sweep};
use crate::cancel::cancel;
use crate::cutting::CUT_OFF_STEP;
use crate::hands::{Hands, child_of};
use crate::start::start;
use crate::tables::WorkflowRow;
use crate::workflow::Workflow;

const WORK: Workflow<(), ()> = Workflow::new("work");

#[tokio::test]
async fn many_children_are_cancelled_some_at_a_time() {
    let hands = Hands::open().await;
    let id = hands.commit(|tx| start(tx, &WORK, (), ())).await;
    let hold = hands.take_one("work").await;
    let count = CUT_OFF_STEP as u32 + 50;
    hands.write(hold, (0..count).map(|number| child_of(id, number, "child")).collect()).await;
    hands.commit(move |tx| cancel(tx, id)).await;
    let open = |tx: &mut Tx| tx.count(WorkflowRow::open.eq("child"));
    assert_eq!(hands.commit(open).await, 50, "behind the commit that cancels");
    while hands.commit(sweep).await == Next::More {}
    assert_eq!(hands.commit(open).await, 0);
}

#[tokio::test]
async fn children_of_chapters_that_are_over_are_forgotten_with_their_run() {
    let hands = Hands::open().await;
    let id = hands.commit(|tx| start(tx, &WORK, (), ())).await;
    for _ in 0..2 {
        let hold = hands.take_one("work").await;
        hands.write(hold, vec![child_of(id, 0, "child")]).await;
        hands.go_on_anew(hold).await;
        while hands.commit(sweep).await == Next::More {}
    }
    let children = |tx: &mut Tx| tx.scan(WorkflowRow::by_name.eq("child"));
    let left: Vec<Row<WorkflowRow>> = hands.commit(children).await;
    assert!(left.len() == 2 && left.iter().all(|child| child.has_ended()), "{left:?}");
    hands.commit(move |tx| cancel(tx, id)).await;
    assert!(hands.commit(move |tx| clean_up(tx, id)).await);
    while hands.commit(sweep).await == Next::More {}
    assert_eq!(hands.commit(children).await.len(), 0);
}
