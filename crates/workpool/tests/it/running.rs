//! Jobs run: what is enqueued starts, within the limits, and its outcome is recorded.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_workpool::{
    Completion, Done, Job, JobError, Outcome, OutcomeKind, State, backlog, enqueue, enqueue_all, outcome,
};

use super::yard::{Gate, START, Yard, counted, fault, mark, marks};

const DOUBLE: Job<u32, u32> = Job::new("double");
const HELD: Job<u32, ()> = Job::new("held");
const NOTE: Job<String, usize> = Job::new("note");
const TOLD: Completion<String, u32> = Completion::new("told");

#[tokio::test]
async fn a_due_job_runs_and_its_result_is_kept() {
    let yard = Yard::open().await;
    let pool = yard.pool().on(DOUBLE, |_, number| async move { Ok(number * 2) }).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &DOUBLE, 21, ())).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    assert_eq!(yard.read(move |tx| outcome(tx, &DOUBLE, job)).await, Some(Outcome::Success(42)));
    let status = yard.status(job).await;
    assert_eq!((status.attempts, status.finished), (1, Some(START)));
    pool.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_rolled_back_enqueue_never_was() {
    let yard = Yard::open().await;
    let pool = yard.pool().on(DOUBLE, |_, number| async move { Ok(number) }).start().await.unwrap();
    let refused = yard.store.mutate(|tx| {
        enqueue(tx, &DOUBLE, 1, ())?;
        Err::<(), _>(fault(Kind::Denied, "no"))
    });
    refused.await.unwrap_err();
    yard.rests().await;
    assert_eq!(pool.counters().started, 0);
}

#[tokio::test]
async fn never_more_run_than_the_limit_and_the_rest_start_as_slots_free_up() {
    let yard = Yard::open().await;
    let gate = Gate::closed();
    let held = gate.clone();
    let pool = yard.pool().pool("default", 3).on(HELD, move |_, _| {
        let held = held.clone();
        async move {
            held.pass().await;
            Ok(())
        }
    });
    let pool = pool.start().await.unwrap();
    let jobs = yard.commit(|tx| enqueue_all(tx, &HELD, 0..10, ())).await;
    for done in 0..10 {
        let running = 3.min(10 - done);
        yard.until(|tx| backlog(tx, "default"), |backlog| backlog.running == running).await;
        yard.rests().await;
        assert_eq!(yard.read(|tx| backlog(tx, "default")).await.running, running);
        gate.open_for(1);
        yard.until(|tx| backlog(tx, "default"), move |now| now.ready + now.running == 9 - done).await;
    }
    yard.all_end(&jobs).await;
    assert_eq!(counted(&pool).await.succeeded, 10);
}

#[tokio::test]
async fn a_completion_is_told_in_the_transaction_of_the_outcome() {
    let yard = Yard::open().await;
    let pool = yard
        .pool()
        .on(DOUBLE, |_, number| async move {
            if number > 9 { Err(JobError::last("large"))? } else { Ok(number * 2) }
        })
        .on_done(TOLD, |tx, done: Done<String, u32>| mark(tx, format!("{} {:?}", done.context, done.outcome)))
        .start();
    let _pool = pool.await.unwrap();
    let (good, bad) = yard
        .commit(|tx| {
            let good = enqueue(tx, &DOUBLE, 2, TOLD.with("good".into()))?;
            Ok((good, enqueue(tx, &DOUBLE, 10, TOLD.with("bad".into()))?))
        })
        .await;
    let seen = yard.until(
        move |tx| {
            let ended = loomwork_workpool::status(tx, good)?.map(|status| status.state == State::Ended);
            Ok((ended, marks(tx)?.iter().any(|mark| mark.starts_with("good"))))
        },
        |(ended, told)| {
            assert_eq!(*ended, Some(*told), "one is not seen without the other");
            *told
        },
    );
    seen.await;
    assert_eq!(yard.ends(bad).await, OutcomeKind::Failed);
    yard.marked(&["bad Failed(\"large\")", "good Success(4)"]).await;
}

#[tokio::test]
async fn a_mutation_job_commits_with_its_outcome() {
    let yard = Yard::open().await;
    let pool = yard.pool().on_mutation(NOTE, |tx, text| {
        mark(tx, &*text)?;
        if text == "bad" { Err(fault(Kind::Internal, "after writing")) } else { Ok(text.len()) }
    });
    let _pool = pool.start().await.unwrap();
    let jobs = yard.commit(|tx| enqueue_all(tx, &NOTE, ["good".to_owned(), "bad".to_owned()], ())).await;
    assert_eq!(yard.all_end(&jobs).await, [OutcomeKind::Success, OutcomeKind::Failed]);
    yard.marked(&["good"]).await;
    let job = jobs[0];
    assert_eq!(yard.read(move |tx| outcome(tx, &NOTE, job)).await, Some(Outcome::Success(4)));
}
