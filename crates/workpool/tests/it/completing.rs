//! Completions: told once, whatever happens to their handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy};
use loomwork_store::Page;
use loomwork_workpool::{
    COMPLETION_ATTEMPTS, Completion, Done, Job, KEEP_SUCCEEDED, Options, OutcomeKind, cancel,
    dead_completions, enqueue, enqueue_all, retry_completion, status, waiting_completions,
};

use super::yard::{START, Yard, fault, mark, marks};

const WORK: Job<u32, u32> = Job::new("work");
const TOLD: Completion<Option<String>, u32> = Completion::new("told");

/// Its jobs succeed with even numbers.
fn pool(yard: &Yard) -> loomwork_workpool::Builder {
    yard.pool().on(WORK, |_, number| async move {
        if number % 2 == 0 { Ok(number) } else { Err(fault(Kind::Invalid, "odd")) }
    })
}

/// A completion whose first `failures` tries fail after they have written.
fn broken(
    failures: u32,
) -> impl Fn(&mut loomwork_store::Tx, Done<Option<String>, u32>) -> loomwork_store::Result<()> {
    let tries = Arc::new(AtomicU32::new(0));
    move |tx, done| {
        mark(tx, format!("told of {:?}", done.outcome))?;
        let before = tries.fetch_add(1, Ordering::Relaxed);
        assert!(before != 0 || failures == 0, "the first failure is a panic");
        if before < failures { Err(fault(Kind::Invalid, "broken")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_broken_completion_keeps_the_outcome_and_is_tried_again() {
    let yard = Yard::open().await;
    let pool = pool(&yard).on_done(TOLD, broken(2)).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &WORK, 2, TOLD.with(None))).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    let waiting = yard.read(|tx| waiting_completions(tx, 9)).await;
    assert_eq!((waiting.len(), waiting[0].tries, waiting[0].job), (1, 1, job));
    assert_eq!(yard.read(marks).await, <[String; 0]>::default(), "its writes are undone");
    yard.turn_to(START + Duration::from_secs(2)).await;
    yard.until(|tx| waiting_completions(tx, 9), |waiting| waiting.first().is_none_or(|now| now.tries == 2))
        .await;
    yard.turn_to(START + Duration::from_secs(8)).await;
    yard.marked(&["told of Success(2)"]).await;
    assert_eq!(yard.read(|tx| waiting_completions(tx, 9)).await, []);
    assert_eq!(pool.counters().started, 1, "the work is not done again");
}

#[tokio::test]
async fn a_completion_that_never_works_is_dead_and_can_be_mended() {
    let yard = Yard::open().await;
    let _pool = pool(&yard).on_done(TOLD, broken(COMPLETION_ATTEMPTS)).start().await.unwrap();
    yard.commit(|tx| enqueue(tx, &WORK, 2, TOLD.with(None))).await;
    let dead = |tx: &loomwork_store::Tx| dead_completions(tx, Page::first(9)).map(|(dead, _)| dead);
    for tries in 1..COMPLETION_ATTEMPTS {
        yard.until(
            |tx| waiting_completions(tx, 9),
            move |waiting| waiting.first().is_some_and(|waiting| waiting.tries == tries),
        )
        .await;
        // Longer than any pause, so that each turn of the clock has just one more try.
        yard.clock.advance(Duration::from_secs(3600));
    }
    let found = yard.until(dead, |dead| !dead.is_empty()).await;
    assert_eq!((found[0].tries, found[0].last_error.as_deref()), (COMPLETION_ATTEMPTS, Some("broken")));
    let id = found[0].id;
    yard.commit(move |tx| retry_completion(tx, id)).await;
    yard.marked(&["told of Success(2)"]).await;
}

#[tokio::test]
async fn a_completion_of_another_program_waits_for_it() {
    let yard = Yard::open().await;
    let first = pool(&yard).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &WORK, 2, TOLD.with(Some("here".into())))).await;
    yard.ends(job).await;
    assert_eq!(yard.read(|tx| waiting_completions(tx, 9)).await[0].tries, 0);
    let second =
        yard.pool().on_done(TOLD, |tx, done| mark(tx, format!("{:?} {:?}", done.context, done.outcome)));
    let _second = second.start().await.unwrap();
    yard.marked(&["Some(\"here\") Success(2)"]).await;
    drop(first);
}

#[tokio::test]
async fn a_filtered_completion_is_told_of_the_other_outcomes_only() {
    use OutcomeKind::{Cancelled, Failed, Success};
    let filters: [&[OutcomeKind]; 10] = [
        &[],
        &[Success],
        &[Failed],
        &[Cancelled],
        &[Success, Failed],
        &[Success, Cancelled],
        &[Failed, Cancelled],
        &[Success, Failed, Cancelled],
        &[Success, Success],
        &[Failed, Success, Failed],
    ];
    let yard = Yard::open().await;
    let mut expected = Vec::new();
    let mut jobs = Vec::new();
    for (number, filter) in filters.into_iter().enumerate() {
        for kind in [Success, Failed, Cancelled] {
            let label = format!("{number} {kind:?}");
            let callback = TOLD.with(Some(label.clone())).except(filter.iter().copied());
            let args = u32::from(kind == Failed);
            jobs.push(
                yard.commit(move |tx| {
                    let job = enqueue(tx, &WORK, args, callback)?;
                    if kind == Cancelled {
                        cancel(tx, job)?;
                    }
                    Ok(job)
                })
                .await,
            );
            if !filter.contains(&kind) {
                expected.push(label);
            }
        }
    }
    expected.sort();
    let _pool = pool(&yard)
        .on_done(TOLD, |tx, done| mark(tx, done.context.unwrap_or_default()))
        .start()
        .await
        .unwrap();
    yard.all_end(&jobs).await;
    yard.until(marks, move |marks| *marks == expected).await;
}

#[tokio::test]
async fn chains_start_from_completions() {
    let yard = Yard::open().await;
    let pool = pool(&yard).on_done(TOLD, |tx, done: Done<Option<String>, u32>| {
        mark(tx, format!("{:?}", done.outcome))?;
        match done.outcome {
            loomwork_workpool::Outcome::Success(number @ 1..=10) => {
                enqueue(tx, &WORK, number - 2, TOLD.with(None)).map(drop)
            }
            _ => Ok(()),
        }
    });
    let _pool = pool.start().await.unwrap();
    yard.commit(|tx| enqueue(tx, &WORK, 4, TOLD.with(None))).await;
    yard.marked(&["Success(0)", "Success(2)", "Success(4)"]).await;
}

#[tokio::test]
async fn ended_jobs_are_forgotten_when_their_retention_is_over() {
    let yard = Yard::open().await;
    let _pool = pool(&yard).start().await.unwrap();
    let short = Options {
        keep: Some(Duration::from_secs(5)),
        retry: Some(RetryPolicy::none()),
        ..Options::default()
    };
    let (gone, kept) =
        yard.commit(move |tx| Ok((enqueue_all(tx, &WORK, [1, 2], short)?, enqueue(tx, &WORK, 2, ())?))).await;
    yard.all_end(&gone).await;
    yard.ends(kept).await;
    assert!(KEEP_SUCCEEDED > Duration::from_secs(5));
    yard.turn_to(START + Duration::from_secs(5)).await;
    for job in gone {
        yard.until(move |tx| status(tx, job), Option::is_none).await;
    }
    assert_eq!(yard.status(kept).await.outcome, Some(OutcomeKind::Success));
}
