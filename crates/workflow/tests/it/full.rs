//! Journals that have no room any more.

use loomwork_workflow::{Flow, MAX_JOURNAL_BYTES, MAX_RESULT_BYTES, Outcome, Workflow};

use super::memory::yard::{Yard, marked, marks};

const WORK: Workflow<u64, u64> = Workflow::new("work");

/// A result that is nearly as large as it may be.
const BYTES: usize = MAX_RESULT_BYTES - 10;

#[tokio::test]
async fn a_result_without_room_fails_its_step_and_leaves_room_to_undo() {
    let yard = Yard::open().await;
    let code = |wf: Flow, _| async move {
        let undone = wf.saga(|wf, saga| async move {
            saga.undo("it", |wf| async move { marked(&wf, "undone").await });
            // All at once, so that none of them knows of the others when it begins.
            let more = MAX_JOURNAL_BYTES / BYTES + 1;
            wf.join_all((0..more).map(|_| wf.mutation("large", |_| Ok("x".repeat(BYTES))))).await
        });
        let error = undone.await.expect_err("one is too many").to_string();
        assert!(error.contains("MAX_JOURNAL_BYTES") && error.contains("continue_with"), "{error}");
        Ok(1)
    };
    let _workflows = yard.workflows().on(WORK, code).start().await.unwrap();
    let id = yard.start(WORK, 0, ()).await;
    assert_eq!(yard.ends(WORK, id).await, Outcome::Success(1));
    assert_eq!(yard.read(marks).await, ["undone"]);
}
