//! Failures: which are tried again, when, and how often.

use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy};
use loomwork_store::Page;
use loomwork_workpool::{
    Completion, Done, Job, JobError, Listed, OperateError, Options, OutcomeKind, State, backlog, enqueue,
    enqueue_all, list, retry_dead,
};

use super::Bed;
use super::yard::{Gate, START, Yard, counted, fault, mark};

/// Fails as often as its argument says.
const FLAKY: Job<u32, u32> = Job::new("flaky").retry(SECONDS);
const TOLD: Completion<(), u32> = Completion::new("told");

/// Waits of 1, 2, 4 .. seconds.
const SECONDS: RetryPolicy = RetryPolicy {
    attempts: 4,
    initial: Duration::from_secs(1),
    base: 2.0,
    jitter: false,
    ceiling: Duration::from_secs(60),
};

fn pool(yard: &Yard) -> loomwork_workpool::Builder {
    yard.pool()
        .on(FLAKY, |context, failures| async move {
            let attempt = context.attempt();
            if attempt <= failures { Err(fault(Kind::Unavailable, "not yet")) } else { Ok(attempt) }
        })
        .on_done(TOLD, |tx, done: Done<(), u32>| mark(tx, format!("{:?}", done.outcome)))
}

#[tokio::test]
async fn a_failure_is_tried_again_after_the_policys_wait() {
    let yard = Yard::open().await;
    let pool = pool(&yard).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &FLAKY, 2, TOLD.with(()))).await;
    let waiting = yard.reaches(job, State::Scheduled).await;
    assert_eq!((waiting.attempts, waiting.due), (1, START + Duration::from_secs(1)));
    assert_eq!(waiting.last_error.as_deref(), Some("not yet"));
    assert_eq!(yard.read(|tx| backlog(tx, "default")).await.running, 0, "a wait holds no slot");
    yard.turn_to(START + Duration::from_secs(1)).await;
    let again = yard
        .until(move |tx| loomwork_workpool::status(tx, job), |status| status.as_ref().unwrap().attempts == 2);
    assert_eq!(again.await.unwrap().due, START + Duration::from_secs(3));
    yard.turn_to(START + Duration::from_secs(3)).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    yard.marked(&["Success(3)"]).await;
    let counters = counted(&pool).await;
    assert_eq!((counters.started, counters.retried, counters.succeeded), (3, 2, 1));
}

#[tokio::test]
async fn the_last_attempt_is_final_and_told_once() {
    let yard = Yard::open().await;
    let pool = pool(&yard).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &FLAKY, 9, TOLD.with(()))).await;
    for (attempts, second) in [(1, 1), (2, 3), (3, 7)] {
        yard.until(
            move |tx| loomwork_workpool::status(tx, job),
            move |status| status.as_ref().unwrap().attempts == attempts,
        )
        .await;
        yard.turn_to(START + Duration::from_secs(second)).await;
    }
    assert_eq!(yard.ends(job).await, OutcomeKind::Failed);
    assert_eq!(yard.status(job).await.attempts, 4);
    yard.marked(&["Failed(\"not yet\")"]).await;
    let counters = counted(&pool).await;
    assert_eq!((counters.retried, counters.failed), (3, 1));
}

#[tokio::test]
async fn the_kind_of_an_error_says_whether_it_is_final() {
    const FAIL: Job<usize, ()> = Job::new("fail");
    const KINDS: [(Kind, bool); 9] = [
        (Kind::Invalid, false),
        (Kind::Denied, false),
        (Kind::NotFound, false),
        (Kind::Corrupt, false),
        (Kind::Conflict, true),
        (Kind::Limited { wait: Duration::ZERO }, true),
        (Kind::Unavailable, true),
        (Kind::Cancelled, true),
        (Kind::Internal, true),
    ];
    let yard = Yard::open().await;
    let pool = yard.pool().on(FAIL, |_, kind| async move { Err(fault(KINDS[kind].0, "so it is")) });
    let _pool = pool.start().await.unwrap();
    for (number, (kind, again)) in KINDS.into_iter().enumerate() {
        let job = yard.commit(move |tx| enqueue(tx, &FAIL, number, ())).await;
        let expected = if again { State::Scheduled } else { State::Ended };
        assert_eq!(yard.reaches(job, expected).await.attempts, 1, "{kind}");
    }
}

#[tokio::test]
async fn a_marked_error_is_final_and_a_demanded_wait_is_kept() {
    const ASK: Job<bool, ()> = Job::new("ask");
    let yard = Yard::open().await;
    let pool = yard.pool().on(ASK, |_, is_last| async move {
        if is_last {
            Err(JobError::last("no use"))?;
        }
        Err(JobError::retry_after(Duration::from_secs(3600), "come back later").into())
    });
    let _pool = pool.start().await.unwrap();
    let jobs = yard.commit(|tx| enqueue_all(tx, &ASK, [true, false], ())).await;
    assert_eq!(yard.ends(jobs[0]).await, OutcomeKind::Failed);
    let waiting = yard.reaches(jobs[1], State::Scheduled).await;
    assert_eq!(waiting.due, START + Duration::from_secs(3600), "longer than the policy's ceiling");
}

#[tokio::test]
async fn a_panic_is_a_failure_wherever_it_happens() {
    const PANIC: Job<bool, ()> = Job::new("panic");
    let yard = Yard::open().await;
    let pool = yard.pool().on(PANIC, |_, early| {
        assert!(!early, "before the first await");
        async move { panic!("behind it") }
    });
    let _pool = pool.start().await.unwrap();
    let once = Options { retry: Some(RetryPolicy::none()), ..Options::default() };
    let jobs = yard.commit(|tx| enqueue_all(tx, &PANIC, [true, false], once)).await;
    assert_eq!(yard.all_end(&jobs).await, [OutcomeKind::Failed, OutcomeKind::Failed]);
    assert_eq!(yard.status(jobs[0]).await.last_error.as_deref(), Some("it panicked: before the first await"));
    assert_eq!(yard.status(jobs[1]).await.last_error.as_deref(), Some("it panicked: behind it"));
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_aborted() {
    const HANG: Job<(), ()> = Job::new("hang");
    let yard = Yard::open().await;
    let pool = yard.pool().on(HANG, |_, ()| std::future::pending()).start().await.unwrap();
    let options = Options {
        timeout: Some(Duration::from_secs(2)),
        retry: Some(RetryPolicy::none()),
        ..Options::default()
    };
    let job = yard.commit(|tx| enqueue(tx, &HANG, (), options)).await;
    yard.reaches(job, State::Running).await;
    yard.turn_to(START + Duration::from_secs(2)).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Failed);
    let error = yard.status(job).await.last_error;
    assert_eq!(error.as_deref(), Some("it took longer than its timeout of 2s"));
    assert_eq!(counted(&pool).await.running, 0);
}

#[tokio::test]
async fn a_dead_job_gets_another_life_by_hand() {
    const MEND: Job<(), u32> = Job::new("mend");
    let yard = Yard::open().await;
    let pool = yard.pool().on(MEND, |context, ()| async move {
        if context.attempt() == 1 { Err(fault(Kind::Invalid, "broken")) } else { Ok(context.attempt()) }
    });
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &MEND, (), ())).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Failed);
    let (dead, _) = yard.read(|tx| list(tx, Listed::Dead("default"), Page::first(9))).await;
    assert_eq!(dead.iter().map(|status| status.id).collect::<Vec<_>>(), [job]);
    yard.commit(move |tx| retry_dead(tx, job)).await;
    yard.until(
        move |tx| loomwork_workpool::status(tx, job),
        |status| status.as_ref().unwrap().outcome == Some(OutcomeKind::Success),
    )
    .await;
    let error = yard.store.mutate(move |tx| retry_dead(tx, job)).await.unwrap_err();
    assert_eq!(error.downcast::<OperateError>().unwrap(), OperateError::NotDead { job });
}

#[tokio::test]
async fn work_of_a_dead_process_is_taken_over_when_the_store_opens_again() {
    const HELD: Job<(), u32> = Job::new("held");
    const ONCE: Job<(), u32> = Job::new("at most once").once();
    let (bed, gate) = (Bed::new(), Gate::closed());
    let yard = Yard::open_over(&bed, loomwork_core::Clock::manual(START)).await;
    let bind = |yard: &Yard| {
        let (first, second) = (gate.clone(), gate.clone());
        let held = move |context: loomwork_workpool::JobContext, ()| {
            let gate = first.clone();
            async move {
                gate.pass().await;
                Ok(context.attempt())
            }
        };
        let once = move |context: loomwork_workpool::JobContext, ()| {
            let gate = second.clone();
            async move {
                gate.pass().await;
                Ok(context.attempt())
            }
        };
        let builder = yard.pool().on(HELD, held).on(ONCE, once);
        builder.on_done(TOLD, |tx, done: Done<(), u32>| mark(tx, format!("{:?}", done.outcome)))
    };
    let died = bind(&yard).start().await.unwrap();
    let (held, once) = yard
        .commit(|tx| Ok((enqueue(tx, &HELD, (), TOLD.with(()))?, enqueue(tx, &ONCE, (), TOLD.with(()))?)))
        .await;
    yard.reaches(held, State::Running).await;
    yard.reaches(once, State::Running).await;
    yard.store.close().await;

    let yard = Yard::open_over(&bed, loomwork_core::Clock::manual(START)).await;
    let pool = bind(&yard).start().await.unwrap();
    assert_eq!(yard.ends(once).await, OutcomeKind::Interrupted);
    let waiting = yard.reaches(held, State::Scheduled).await;
    assert_eq!((waiting.attempts, waiting.last_error.as_deref()), (1, Some("its worker died while it ran")));
    gate.open_for(9);
    yard.turn_to(waiting.due).await;
    assert_eq!(yard.ends(held).await, OutcomeKind::Success);
    yard.marked(&["Interrupted", "Success(2)"]).await;
    let counters = counted(&pool).await;
    assert_eq!((counters.taken_over, counters.interrupted), (2, 1));
    assert_eq!((counters.started, counters.succeeded, counters.failed), (1, 1, 0), "what it ran itself");
    drop(died);
}
