//! Enqueuing: what is written, when it is due, and what is refused.

use std::collections::HashMap;
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy, Time};
use loomwork_store::{Page, Result, Tx};
use loomwork_workpool::{
    Completion, Due, EnqueueError, Job, Listed, MAX_AHEAD, MAX_ARGS_BYTES, Options, OutcomeKind, Priority,
    StartError, State, cancel, enqueue, enqueue_all, list, outcome, pause, resume, status,
};

use super::yard::{START, Yard, mark};

const COPY: Job<String, String> = Job::new("copy");
const COUNT: Job<u32, ()> = Job::new("count");
const TOLD: Completion<String, String> = Completion::new("told");

/// Enqueues what is wrong, and sees it refused without a trace.
async fn check_refused(
    enqueue: impl FnOnce(&mut Tx) -> Result<()> + Clone + Send + 'static,
    expected: impl FnOnce(&EnqueueError) -> bool,
) {
    let yard = Yard::open().await;
    let error = yard.store.mutate(move |tx| {
        // A caller that goes on in spite of the error must not find half a batch.
        let refused = enqueue(tx).expect_err("it is refused");
        mark(tx, "committed")?;
        Ok(refused)
    });
    let error = error.await.expect("the mutation commits");
    assert_eq!(error.kind(), Kind::Invalid);
    let error = error.downcast::<EnqueueError>().expect("it says what is wrong");
    assert!(expected(&error), "{error}");
    assert!(error.to_string().contains("job \"co"), "{error} names the job");
    let (jobs, _) = yard.read(|tx| list(tx, Listed::Pending("default"), Page::first(9))).await;
    assert_eq!(jobs, []);
}

#[tokio::test]
async fn a_new_job_is_ready_with_no_attempts() {
    let yard = Yard::open().await;
    let job = yard.commit(|tx| enqueue(tx, &COUNT, 1, Priority::High)).await;
    let status = yard.status(job).await;
    assert_eq!((status.state, status.attempts, status.outcome), (State::Ready, 0, None));
    assert_eq!((status.enqueued, status.due, status.priority), (START, START, Priority::High));
    assert!(job.to_string().starts_with("job_"));
}

#[tokio::test]
async fn a_batch_returns_its_ids_in_order() {
    let yard = Yard::open().await;
    let pool = yard.pool().on(COPY, |_, text| async move { Ok(text) }).start().await.unwrap();
    let texts = || (0..100).map(|number| number.to_string());
    let jobs = yard.commit(move |tx| enqueue_all(tx, &COPY, texts(), ())).await;
    yard.all_end(&jobs).await;
    for (job, text) in jobs.into_iter().zip(texts()) {
        let outcome = yard.read(move |tx| outcome(tx, &COPY, job)).await;
        assert_eq!(outcome, Some(loomwork_workpool::Outcome::Success(text)));
    }
    drop(pool);
}

#[tokio::test]
async fn one_bad_item_refuses_the_batch() {
    check_refused(
        |tx| {
            let texts = ["small".to_owned(), "x".repeat(MAX_ARGS_BYTES)];
            enqueue_all(tx, &COPY, texts, ()).map(drop)
        },
        |error| matches!(error, EnqueueError::TooLarge { what: "arguments", .. }),
    )
    .await;
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_written() {
    const MAP: Job<HashMap<(u8, u8), u8>, ()> = Job::new("compute");
    const FOREVER: Options<()> = Options {
        due: Due::After(Duration::MAX),
        priority: Priority::Normal,
        key: None,
        unique: None,
        repeat: loomwork_workpool::Repeat::Keep,
        deadline: None,
        timeout: None,
        retry: None,
        on_done: None,
        keep: None,
    };
    check_refused(
        |tx| enqueue(tx, &MAP, HashMap::from([((1, 2), 3)]), ()).map(drop),
        |error| matches!(error, EnqueueError::Unencodable { what: "arguments", .. }),
    )
    .await;
    check_refused(
        |tx| enqueue(tx, &COPY, String::new(), TOLD.with("x".repeat(1_000_000))).map(drop),
        |error| matches!(error, EnqueueError::TooLarge { what: "context", .. }),
    )
    .await;
    check_refused(
        |tx| enqueue(tx, &COUNT, 1, FOREVER).map(drop),
        |error| matches!(error, EnqueueError::TooFarAhead { due: Time::MAX, .. }),
    )
    .await;
    check_refused(
        |tx| enqueue(tx, &COUNT, 1, START + MAX_AHEAD + Duration::from_millis(1)).map(drop),
        |error| matches!(error, EnqueueError::TooFarAhead { .. }),
    )
    .await;
    check_refused(
        |tx| enqueue(tx, &COUNT, 1, Options { key: Some(String::new()), ..Options::default() }).map(drop),
        |error| matches!(error, EnqueueError::BadText { what: "key", .. }),
    )
    .await;
    check_refused(
        |tx| {
            enqueue(tx, &COUNT, 1, Options { unique: Some("x".repeat(201)), ..Options::default() }).map(drop)
        },
        |error| matches!(error, EnqueueError::BadText { what: "unique key", .. }),
    )
    .await;
    check_refused(
        |tx| {
            let options = Options { timeout: Some(Duration::from_micros(9)), ..Options::default() };
            enqueue(tx, &COUNT, 1, options).map(drop)
        },
        |error| matches!(error, EnqueueError::BadTimeout { .. }),
    )
    .await;
    for attempts in [0, 1_001] {
        check_refused(
            move |tx| {
                let retry = Some(RetryPolicy::default().with_attempts(attempts));
                enqueue(tx, &COUNT, 1, Options { retry, ..Options::default() }).map(drop)
            },
            |error| matches!(error, EnqueueError::BadRetry { .. } | EnqueueError::TooManyAttempts { .. }),
        )
        .await;
    }
    check_refused(
        |tx| {
            let options = Options { unique: Some("one".into()), ..Options::default() };
            enqueue_all(tx, &COUNT, [1, 2], options).map(drop)
        },
        |error| matches!(error, EnqueueError::UniqueBatch { count: 2, .. }),
    )
    .await;
}

#[tokio::test]
async fn a_time_that_is_over_counts_as_now() {
    let yard = Yard::open().await;
    let job = yard.commit(|tx| enqueue(tx, &COUNT, 1, Time::EPOCH)).await;
    let status = yard.status(job).await;
    assert_eq!((status.state, status.due), (State::Ready, START));
}

#[tokio::test]
async fn a_delayed_job_starts_when_it_is_due_and_not_before() {
    let yard = Yard::open().await;
    let _pool = yard.pool().on(COUNT, |_, _| async { Ok(()) }).start().await.unwrap();
    let due = START + Duration::from_secs(3);
    let job = yard.commit(|tx| enqueue(tx, &COUNT, 1, Duration::from_secs(3))).await;
    yard.pass_to(due - Duration::from_millis(1)).await;
    yard.rests().await;
    assert_eq!(yard.status(job).await.state, State::Scheduled);
    yard.turn_to(due).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    assert_eq!(yard.status(job).await.started, Some(due));
}

#[tokio::test]
async fn a_unique_job_is_enqueued_once_while_it_is_pending() {
    let yard = Yard::open().await;
    let one = || Options { unique: Some("one".into()), ..Options::default() };
    let first = yard.commit(move |tx| enqueue(tx, &COUNT, 1, one())).await;
    assert_eq!(yard.commit(move |tx| enqueue(tx, &COUNT, 2, one())).await, first);
    assert!(yard.commit(move |tx| cancel(tx, first)).await);
    assert_ne!(yard.commit(move |tx| enqueue(tx, &COUNT, 3, one())).await, first);
}

#[tokio::test]
async fn large_arguments_and_contexts_arrive() {
    let yard = Yard::open().await;
    let pool = yard
        .pool()
        .on(COPY, |_, text| async move { Ok(text) })
        .on_done(TOLD, |tx, done| mark(tx, format!("{} {:?}", done.context.len(), done.outcome.kind())))
        .start();
    let _pool = pool.await.unwrap();
    for (args, context) in [(900_000, 900_001), (10, 8_002), (8_003, 10), (5_000, 5_001)] {
        let job = yard.commit(move |tx| enqueue(tx, &COPY, "a".repeat(args), TOLD.with("c".repeat(context))));
        let job = job.await;
        assert_eq!(yard.ends(job).await, OutcomeKind::Success);
        let kept = yard.read(move |tx| outcome(tx, &COPY, job)).await;
        assert!(matches!(kept, Some(loomwork_workpool::Outcome::Success(text)) if text.len() == args));
    }
    yard.marked(&["10 Success", "5001 Success", "8002 Success", "900001 Success"]).await;
}

#[tokio::test]
async fn what_does_not_fit_together_does_not_start() {
    let yard = Yard::open().await;
    let check = async |builder: loomwork_workpool::Builder, expected: StartError| {
        let error = builder.start().await.unwrap_err();
        assert_eq!(error.downcast::<StartError>().unwrap(), expected);
    };
    let handler = |_, _| async { Ok(()) };
    check(
        yard.pool().on(COUNT, handler).on(COUNT, handler),
        StartError::Twice { what: "job", name: "count" },
    )
    .await;
    check(yard.pool().pool("a", 1).pool("a", 2), StartError::Twice { what: "pool", name: "a" }).await;
    check(
        yard.pool().on_done(TOLD, |_, _| Ok(())).on_done(TOLD, |_, _| Ok(())),
        StartError::Twice { what: "completion", name: "told" },
    )
    .await;
    check(yard.pool().pool("a", 201), StartError::TooParallel { pool: "a", parallel: 201 }).await;
    check(yard.pool().pool("", 1), StartError::BadName { what: "pool", name: "" }).await;
    let none = loomwork_workpool::PoolOptions { per_key: Some(0), ..Default::default() };
    check(yard.pool().pool("a", none), StartError::NonePerKey { pool: "a" }).await;
    yard.pool().pool("a", 200).start().await.unwrap();
}

#[tokio::test]
async fn an_unknown_job_waits_visibly_and_holds_up_nobody() {
    const UNKNOWN: Job<u32, ()> = Job::new("from another program");
    let yard = Yard::open().await;
    let unknown = yard.commit(|tx| enqueue_all(tx, &UNKNOWN, 0..200, Priority::Urgent)).await;
    let pool = yard.pool().pool("default", 1).on(COUNT, |_, _| async { Ok(()) }).start().await.unwrap();
    let known = yard.commit(|tx| enqueue(tx, &COUNT, 1, Priority::Low)).await;
    assert_eq!(yard.ends(known).await, OutcomeKind::Success);
    let elsewhere = yard.commit(|tx| enqueue(tx, &COUNT.in_pool("another pool"), 1, ())).await;
    let waiting = pool.unregistered().await.unwrap();
    let waiting: Vec<_> = waiting.iter().map(|now| (now.pool.as_str(), now.name.as_str())).collect();
    assert_eq!(waiting, [("another pool", COUNT.name()), ("default", UNKNOWN.name())]);
    assert_eq!(yard.status(elsewhere).await.state, State::Ready);
    yard.commit(move |tx| cancel(tx, elsewhere)).await;
    let newer = yard.pool().on(UNKNOWN, |_, _| async { Ok(()) }).start().await.unwrap();
    yard.all_end(&unknown).await;
    assert_eq!(newer.unregistered().await.unwrap(), []);
}

#[tokio::test]
async fn a_paused_pool_starts_nothing_whatever_the_code_says() {
    let yard = Yard::open().await;
    yard.commit(|tx| pause(tx, "default")).await;
    let _pool = yard.pool().pool("default", 5).on(COUNT, |_, _| async { Ok(()) }).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &COUNT, 1, ())).await;
    yard.rests().await;
    assert_eq!(yard.read(move |tx| status(tx, job)).await.unwrap().state, State::Ready);
    yard.commit(|tx| resume(tx, "default")).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
}
