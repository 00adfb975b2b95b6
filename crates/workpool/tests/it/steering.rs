//! Keys that are paused, bursts that end in one run, jobs whose time is over.

use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy};
use loomwork_workpool::{
    Completion, Done, Due, EnqueueError, Job, OperateError, Options, OutcomeKind, Repeat, State, enqueue,
    pause, pause_key, paused_keys, resume_key, status,
};

use super::yard::{Gate, Log, START, Yard, fault, mark};

const WORK: Job<String, ()> = Job::new("work");
const TOLD: Completion<(), ()> = Completion::new("told");

const SECOND: Duration = Duration::from_secs(1);

fn logging(yard: &Yard, log: &Log) -> loomwork_workpool::Builder {
    let log = log.clone();
    yard.pool().on(WORK, move |_, text: String| {
        log.add(text);
        async { Ok(()) }
    })
}

fn of_key(key: &str) -> Options<()> {
    Options { key: Some(key.to_owned()), ..Options::default() }
}

#[tokio::test]
async fn a_paused_key_starts_nothing_and_holds_up_no_other() {
    let (yard, log) = (Yard::open().await, Log::default());
    yard.commit(|tx| pause_key(tx, "default", "b")).await;
    yard.commit(|tx| pause_key(tx, "default", "b")).await;
    let _pool = logging(&yard, &log).start().await.unwrap();
    let [first, paused, last] = yard
        .commit(|tx| {
            Ok([
                enqueue(tx, &WORK, "a".into(), of_key("a"))?,
                enqueue(tx, &WORK, "b".into(), of_key("b"))?,
                enqueue(tx, &WORK, "c".into(), of_key("c"))?,
            ])
        })
        .await;
    yard.all_end(&[first, last]).await;
    yard.rests().await;
    assert_eq!(yard.status(paused).await.state, State::Ready);
    assert_eq!(yard.read(|tx| paused_keys(tx, "default")).await, ["b"]);
    yard.commit(|tx| resume_key(tx, "default", "b")).await;
    yard.ends(paused).await;
    assert_eq!(log.read(), ["a", "c", "b"]);
    assert_eq!(yard.read(|tx| paused_keys(tx, "default")).await, <[String; 0]>::default());
    let error = yard.store.mutate(|tx| pause_key(tx, "default", "")).await.unwrap_err();
    assert_eq!(error.downcast::<OperateError>().unwrap(), OperateError::BadKey { bytes: 0 });
}

fn settling(within: Option<Duration>) -> Options<()> {
    Options {
        unique: Some("page 1".into()),
        due: Due::After(SECOND * 10),
        repeat: Repeat::Replace { within },
        ..Options::default()
    }
}

#[tokio::test]
async fn a_burst_ends_in_one_run_of_the_last() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _pool = logging(&yard, &log).start().await.unwrap();
    let first = yard.commit(|tx| enqueue(tx, &WORK, "1".into(), settling(None))).await;
    for text in ["2", "3"] {
        yard.turn_to(yard.clock.clock().now() + SECOND * 6).await;
        let large = text.repeat(10_000);
        let same = yard.commit(move |tx| enqueue(tx, &WORK, large, settling(None))).await;
        assert_eq!(same, first);
    }
    yard.turn_to(START + SECOND * 21).await;
    assert_eq!(yard.status(first).await.state, State::Scheduled, "it was put off twice");
    yard.turn_to(START + SECOND * 22).await;
    yard.ends(first).await;
    assert_eq!(log.read(), ["3".repeat(10_000)]);
}

#[tokio::test]
async fn a_burst_without_end_runs_within_its_time() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _pool = logging(&yard, &log).start().await.unwrap();
    let within = Some(SECOND * 15);
    let first = yard.commit(move |tx| enqueue(tx, &WORK, "1".into(), settling(within))).await;
    yard.turn_to(START + SECOND * 9).await;
    yard.commit(move |tx| enqueue(tx, &WORK, "2".into(), settling(within))).await;
    yard.turn_to(START + SECOND * 15).await;
    yard.ends(first).await;
    assert_eq!(log.read(), ["2"]);
}

#[tokio::test]
async fn what_runs_already_is_not_replaced_but_followed() {
    let (yard, gate, log) = (Yard::open().await, Gate::closed(), Log::default());
    let (held, entries) = (gate.clone(), log.clone());
    let pool = yard.pool().on(WORK, move |_, text| {
        let (held, entries) = (held.clone(), entries.clone());
        async move {
            entries.add(text);
            held.pass().await;
            Ok(())
        }
    });
    let _pool = pool.start().await.unwrap();
    let now = || Options { due: Due::Now, ..settling(None) };
    let running = yard.commit(move |tx| enqueue(tx, &WORK, "1".into(), now())).await;
    yard.reaches(running, State::Running).await;
    let next = yard.commit(move |tx| enqueue(tx, &WORK, "2".into(), settling(None))).await;
    assert_ne!(next, running);
    let again = yard.commit(move |tx| enqueue(tx, &WORK, "3".into(), now())).await;
    assert_eq!(again, next);
    gate.open_for(2);
    yard.all_end(&[running, next]).await;
    assert_eq!(log.read(), ["1", "3"]);
}

/// A job with a deadline of ten seconds that waits a second after each failure.
fn ending() -> Options<()> {
    Options {
        deadline: Some(SECOND * 10),
        retry: Some(RetryPolicy::default().with_jitter(false).with_initial(SECOND * 4)),
        on_done: Some(TOLD.with(())),
        ..Options::default()
    }
}

fn telling(yard: &Yard) -> loomwork_workpool::Builder {
    yard.pool().on_done(TOLD, |tx, done: Done<(), ()>| mark(tx, format!("{:?}", done.outcome)))
}

#[tokio::test]
async fn a_job_that_cannot_start_before_its_deadline_fails() {
    let yard = Yard::open().await;
    yard.commit(|tx| pause(tx, "default")).await;
    let pool = telling(&yard).on(WORK, |_, _| async { Ok(()) });
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &WORK, String::new(), ending())).await;
    yard.turn_to(START + SECOND * 9).await;
    assert_eq!(yard.status(job).await.state, State::Ready);
    yard.turn_to(START + SECOND * 10).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Failed);
    assert_eq!(yard.status(job).await.attempts, 0);
    yard.marked(&["Failed(\"its deadline passed before it could start\")"]).await;
}

#[tokio::test]
async fn no_further_attempt_begins_behind_the_deadline() {
    let yard = Yard::open().await;
    let pool = telling(&yard).on(WORK, |_, _| async { Err::<(), _>(fault(Kind::Unavailable, "no")) });
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &WORK, String::new(), ending())).await;
    yard.until(move |tx| status(tx, job), |status| status.as_ref().is_some_and(|now| now.attempts == 1)).await;
    yard.turn_to(START + SECOND * 4).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Failed);
    let status = yard.status(job).await;
    assert_eq!(status.attempts, 2);
    assert_eq!(status.last_error.unwrap(), "no; its deadline leaves no time for another attempt");
}

#[tokio::test]
async fn an_attempt_is_aborted_at_the_deadline() {
    let yard = Yard::open().await;
    let pool = telling(&yard).on(WORK, |_, _| std::future::pending());
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &WORK, String::new(), ending())).await;
    yard.reaches(job, State::Running).await;
    assert_eq!(yard.status(job).await.deadline, Some(START + SECOND * 10));
    yard.turn_to(START + SECOND * 10).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Failed);
    let error = yard.status(job).await.last_error.unwrap();
    assert!(error.starts_with("it took longer than what its deadline left, 10s"), "{error}");
}

#[tokio::test]
async fn a_deadline_before_the_start_is_refused() {
    let yard = Yard::open().await;
    let late = Options { due: Due::After(SECOND * 10), ..ending() };
    let error = yard.store.mutate(|tx| enqueue(tx, &WORK, String::new(), late)).await.unwrap_err();
    assert!(matches!(error.downcast(), Ok(EnqueueError::BadDeadline { job: "work", .. })));
}
