//! Cancelling: the truth table, and what running jobs hear of it.

use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy};
use loomwork_store::{Page, Result};
use loomwork_workpool::{
    Completion, Done, Job, JobContext, Listed, Options, OutcomeKind, PoolOptions, State, backlog, cancel,
    cancel_all, enqueue, enqueue_all, list, status,
};

use super::yard::{Gate, START, Yard, fault, mark, marks};

const WORK: Job<String, ()> = Job::new("work");
const ONCE: Job<String, ()> = Job::new("work once").once();
const TOLD: Completion<(), ()> = Completion::new("told");

/// A pool whose jobs wait at the gate, deaf to their cancellation, and then end as their argument says.
fn pool(yard: &Yard, gate: &Gate) -> loomwork_workpool::Builder {
    let (work, once) = (gate.clone(), gate.clone());
    yard.pool()
        .pool("default", 5)
        .on(WORK, move |_, end| behind(work.clone(), end))
        .on(ONCE, move |_, end| behind(once.clone(), end))
        .on_done(TOLD, |tx, done: Done<(), ()>| mark(tx, format!("{:?}", done.outcome.kind())))
}

async fn behind(gate: Gate, end: String) -> Result<()> {
    gate.pass().await;
    match end.as_str() {
        "success" => Ok(()),
        "failure" => Err(fault(Kind::Unavailable, "it failed")),
        "last" => Err(fault(Kind::Invalid, "it failed for good")),
        other => Err(fault(Kind::Cancelled, other)),
    }
}

/// Cancels a job while it runs, lets it end, and sees that it ran once and how it ended.
async fn check_running(job: Job<String, ()>, end: &str, retry: Option<RetryPolicy>, expected: OutcomeKind) {
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let pool = pool(&yard, &gate).start().await.expect("the pool starts");
    let args = end.to_owned();
    let options = Options { retry, on_done: Some(TOLD.with(())), ..Options::default() };
    let job = yard.commit(move |tx| enqueue(tx, &job, args, options)).await;
    yard.reaches(job, State::Running).await;
    assert!(yard.commit(move |tx| cancel(tx, job)).await, "there is something to cancel");
    assert!(!yard.commit(move |tx| cancel(tx, job)).await, "a second request adds nothing");
    assert!(yard.status(job).await.is_cancelling);
    gate.open_for(9);
    assert_eq!(yard.ends(job).await, expected, "{end}");
    yard.marked(&[&format!("{expected:?}")]).await;
    assert_eq!(pool.counters().started, 1);
}

#[tokio::test]
async fn a_running_job_that_still_succeeds_succeeded() {
    check_running(WORK, "success", None, OutcomeKind::Success).await;
}

#[tokio::test]
async fn a_running_job_that_would_be_tried_again_is_cancelled() {
    check_running(WORK, "failure", None, OutcomeKind::Cancelled).await;
}

#[tokio::test]
async fn a_running_job_that_fails_for_good_failed() {
    check_running(ONCE, "failure", None, OutcomeKind::Failed).await;
    check_running(WORK, "last", None, OutcomeKind::Failed).await;
    check_running(WORK, "failure", Some(RetryPolicy::none()), OutcomeKind::Failed).await;
}

#[tokio::test]
async fn a_running_job_that_yields_is_cancelled() {
    check_running(ONCE, "I was asked to stop", None, OutcomeKind::Cancelled).await;
}

#[tokio::test]
async fn a_waiting_job_never_starts_and_is_told_once() {
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let job = yard.commit(|tx| enqueue(tx, &WORK, "success".into(), TOLD.with(()))).await;
    assert!(yard.commit(move |tx| cancel(tx, job)).await);
    assert!(!yard.commit(move |tx| cancel(tx, job)).await, "it has ended");
    let pool = pool(&yard, &gate).start().await.unwrap();
    assert_eq!(yard.ends(job).await, OutcomeKind::Cancelled);
    yard.marked(&["Cancelled"]).await;
    assert_eq!(pool.counters().started, 0);
}

#[tokio::test]
async fn a_job_between_attempts_is_cancelled_without_another() {
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let pool = pool(&yard, &gate).start().await.unwrap();
    gate.open_for(9);
    let job = yard.commit(|tx| enqueue(tx, &WORK, "failure".into(), TOLD.with(()))).await;
    let due = yard.reaches(job, State::Scheduled).await.due;
    assert!(yard.commit(move |tx| cancel(tx, job)).await);
    assert_eq!(yard.ends(job).await, OutcomeKind::Cancelled);
    yard.clock.set(due + Duration::from_secs(2));
    yard.marked(&["Cancelled"]).await;
    assert_eq!(pool.counters().started, 1);
}

#[tokio::test]
async fn an_unknown_job_is_no_error() {
    let yard = Yard::open().await;
    let cancelled = yard.commit(|tx| {
        let unknown = tx.new_id();
        cancel(tx, unknown)
    });
    assert!(!cancelled.await);
}

#[tokio::test]
async fn a_running_job_hears_of_its_cancellation() {
    const LISTEN: Job<(), ()> = Job::new("listen");
    let yard = Yard::open().await;
    let pool = yard.pool().on(LISTEN, |context: JobContext, ()| async move {
        context.cancelled().await;
        Err(fault(Kind::Cancelled, "as you wish"))
    });
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &LISTEN, (), ())).await;
    yard.reaches(job, State::Running).await;
    yard.commit(move |tx| cancel(tx, job)).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Cancelled);
}

#[tokio::test]
async fn a_job_that_ignores_its_cancellation_is_aborted_after_the_grace() {
    const DEAF: Job<(), ()> = Job::new("deaf");
    let yard = Yard::open().await;
    let options = PoolOptions { cancel_grace: Duration::from_secs(3), ..PoolOptions::default() };
    let pool = yard.pool().pool("default", options).on(DEAF, |_, ()| std::future::pending());
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &DEAF, (), ())).await;
    yard.reaches(job, State::Running).await;
    yard.commit(move |tx| cancel(tx, job)).await;
    yard.turn_to(START + Duration::from_secs(3)).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Cancelled);
}

#[tokio::test]
async fn all_jobs_are_cancelled_in_pages_and_each_is_told_once() {
    const JOBS: u32 = 150;
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let jobs =
        yard.commit(|tx| enqueue_all(tx, &WORK, (0..JOBS).map(|_| "success".to_owned()), TOLD.with(())));
    let jobs = jobs.await;
    yard.clock.advance(Duration::from_millis(1));
    assert_eq!(cancel_all(&yard.store, "default").await.unwrap(), JOBS as usize);
    let later = yard.commit(|tx| enqueue(tx, &WORK, "success".into(), ())).await;
    let pool = pool(&yard, &gate).start().await.unwrap();
    assert!(yard.all_end(&jobs).await.iter().all(|outcome| *outcome == OutcomeKind::Cancelled));
    yard.reaches(later, State::Running).await;
    yard.until(marks, |marks| marks.len() == JOBS as usize).await;
    assert_eq!(pool.counters().started, 1);
    let (pending, _) = yard.read(|tx| list(tx, Listed::Pending("default"), Page::first(9))).await;
    assert_eq!(pending.into_iter().map(|status| status.id).collect::<Vec<_>>(), [later]);
    assert_eq!(yard.read(|tx| backlog(tx, "default")).await.running, 1);
}

#[tokio::test]
async fn progress_is_seen_while_the_job_runs() {
    const REPORT: Job<(), ()> = Job::new("report");
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let held = gate.clone();
    let pool = yard.pool().on(REPORT, move |context: JobContext, ()| {
        let held = held.clone();
        async move {
            context.progress(0.25, "a quarter").await?;
            held.pass().await;
            context.progress(7.0, "more than all").await
        }
    });
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &REPORT, (), ())).await;
    let said = yard
        .until(move |tx| status(tx, job), |status| status.as_ref().is_some_and(|now| now.progress.is_some()));
    let said = said.await.unwrap();
    assert_eq!(said.state, State::Running);
    assert_eq!(said.progress.map(|said| (said.fraction, said.text)), Some((0.25, "a quarter".into())));
    gate.open_for(1);
    yard.ends(job).await;
    assert_eq!(yard.status(job).await.progress.map(|said| said.fraction), Some(1.0));
}
