use loomwork_core::Time;
use serde_json::value::RawValue;

use super::{CLAIMED_BYTES, CLAIMED_STEPS};
use crate::hands::{Hands, noted};
use crate::journal::Place;
use crate::limits::{MAX_INPUT_BYTES, MAX_RESULT_BYTES};
use crate::order::{Note, record};
use crate::start::start;
use crate::tables::{StepKind, StoredOutcome};
use crate::workflow::Workflow;

const WORK: Workflow<String, ()> = Workflow::new("work");

#[tokio::test]
async fn a_claim_reads_so_many_bytes_of_inputs() {
    let hands = Hands::open().await;
    let input = "x".repeat(MAX_INPUT_BYTES - 10);
    let bytes = input.len() as u64;
    let most = (CLAIMED_BYTES / bytes) as usize + 1;
    hands
        .commit(move |tx| (0..most + 5).try_for_each(|_| start(tx, &WORK, input.clone(), ()).map(drop)))
        .await;
    assert_eq!(hands.take("work").await.len(), most);
    assert_eq!(hands.take("work").await.len(), 5);
}

#[tokio::test]
async fn a_claim_reads_so_many_bytes_of_results() {
    let hands = Hands::open().await;
    // Each journal is a third of what a claim reads.
    let (runs, results) = (6, CLAIMED_BYTES as usize / MAX_RESULT_BYTES / 3 + 1);
    hands.commit(move |tx| (0..runs).try_for_each(|_| start(tx, &WORK, String::new(), ()).map(drop))).await;
    for taken in hands.take("work").await {
        let hold = taken.hold;
        hands
            .commit(move |tx| {
                for number in 0..results as u32 {
                    let large = RawValue::from_string(format!("\"{}\"", "x".repeat(MAX_RESULT_BYTES - 10)))
                        .expect("a text is JSON");
                    let (_, label, _) = noted(number, StepKind::Effect, "large", Note::Patch);
                    let outcome = StoredOutcome::Success(large);
                    record(
                        tx,
                        hold,
                        Place::default(),
                        (number, &label, false),
                        Time::from_millis(0),
                        outcome,
                    )?;
                }
                super::release(tx, hold, None)
            })
            .await;
    }
    assert_eq!(hands.take("work").await.len(), 3);
}

#[tokio::test]
async fn a_claim_reads_so_many_steps() {
    let hands = Hands::open().await;
    let (runs, steps) = (4, CLAIMED_STEPS as u32 / 2);
    hands.commit(move |tx| (0..runs).try_for_each(|_| start(tx, &WORK, String::new(), ()).map(drop))).await;
    for taken in hands.take("work").await {
        let notes = (0..steps).map(|number| noted(number, StepKind::Patch, "mark", Note::Patch));
        hands.write(taken.hold, notes.collect()).await;
        hands.commit(move |tx| super::release(tx, taken.hold, None)).await;
    }
    assert_eq!(hands.take("work").await.len(), 2);
}
