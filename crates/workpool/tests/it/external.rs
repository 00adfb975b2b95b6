//! Jobs that another service does: they run until it calls back.

use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy};
use loomwork_workpool::{
    Completion, Done, Job, JobContext, JobError, Options, Outcome, OutcomeKind, State, Token, backlog, cancel,
    complete, enqueue, enqueue_all, outcome, status,
};

use super::bed::Bed;
use super::yard::{Log, START, Yard, fault, mark};

const CONVERT: Job<String, u32> = Job::new("convert");
const TOLD: Completion<(), u32> = Completion::new("told");

/// A pool whose jobs hand their tokens to the log, which stands for the service.
fn pool(yard: &Yard, service: &Log) -> loomwork_workpool::Builder {
    let service = service.clone();
    yard.pool()
        .pool("default", 3)
        .on_external(CONVERT, move |job: JobContext, request: String| {
            let service = service.clone();
            async move {
                if request == "refused" && job.attempt() == 1 {
                    return Err(fault(Kind::Unavailable, "the service is busy"));
                }
                service.add(job.token().to_string());
                Ok(())
            }
        })
        .on_done(TOLD, |tx, done: Done<(), u32>| mark(tx, format!("{:?}", done.outcome)))
}

fn quickly(timeout: u64) -> Options<u32> {
    Options {
        timeout: Some(Duration::from_secs(timeout)),
        retry: Some(RetryPolicy::default().with_attempts(2).with_initial(Duration::ZERO)),
        on_done: Some(TOLD.with(())),
        ..Options::default()
    }
}

/// Waits until the service has had so many requests, and returns the last one's token.
async fn asked(yard: &Yard, service: &Log, count: usize) -> Token {
    loomwork_testkit::soon(async {
        while service.read().len() < count {
            yard.rests().await;
        }
    })
    .await;
    service.read()[count - 1].parse().expect("it is a token")
}

async fn rests_with_the_service(yard: &Yard, token: Token) {
    let waits = yard.until(
        move |tx| status(tx, token.job()),
        |status| status.as_ref().is_some_and(|status| status.is_external),
    );
    assert_eq!(waits.await.expect("it is there").state, State::Running);
}

#[tokio::test]
async fn a_call_from_outside_ends_the_job_once() {
    let (yard, service) = (Yard::open().await, Log::default());
    let pool = pool(&yard, &service).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &CONVERT, "a".into(), quickly(60))).await;
    let token = asked(&yard, &service, 1).await;
    rests_with_the_service(&yard, token).await;
    assert!(yard.commit(move |tx| complete(tx, &CONVERT, &token, Ok(7))).await);
    assert!(!yard.commit(move |tx| complete(tx, &CONVERT, &token, Ok(8))).await, "it is over");
    assert_eq!(yard.read(move |tx| outcome(tx, &CONVERT, job)).await, Some(Outcome::Success(7)));
    yard.marked(&["Success(7)"]).await;
    assert_eq!((pool.counters().handed_over, pool.counters().dropped), (1, 0));
}

#[tokio::test]
async fn what_the_service_has_keeps_its_slot() {
    let (yard, service) = (Yard::open().await, Log::default());
    let _pool = pool(&yard, &service).start().await.unwrap();
    yard.commit(|tx| enqueue_all(tx, &CONVERT, ["a", "b", "c", "d"].map(str::to_owned), ())).await;
    let token = asked(&yard, &service, 3).await;
    yard.rests().await;
    let now = yard.read(|tx| backlog(tx, "default")).await;
    assert_eq!((now.running, now.ready), (3, 1));
    yard.commit(move |tx| complete(tx, &CONVERT, &token, Ok(1))).await;
    asked(&yard, &service, 4).await;
}

#[tokio::test]
async fn the_service_may_call_while_the_process_is_dead() {
    let (bed, service) = (Bed::new(), Log::default());
    let yard = Yard::open_over(&bed, loomwork_core::Clock::manual(START)).await;
    let died = pool(&yard, &service).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &CONVERT, "a".into(), TOLD.with(()))).await;
    let token = asked(&yard, &service, 1).await;
    rests_with_the_service(&yard, token).await;
    yard.store.close().await;

    let yard = Yard::open_over(&bed, loomwork_core::Clock::manual(START)).await;
    assert!(yard.commit(move |tx| complete(tx, &CONVERT, &token, Ok(7))).await);
    let _pool = pool(&yard, &service).start().await.unwrap();
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    yard.marked(&["Success(7)"]).await;
    assert_eq!(service.read().len(), 1, "the service was asked once");
    drop(died);
}

#[tokio::test]
async fn a_service_that_fails_or_is_silent_is_asked_again() {
    let (yard, service) = (Yard::open().await, Log::default());
    let _pool = pool(&yard, &service).start().await.unwrap();
    let [failing, silent, refused] = yard
        .commit(|tx| {
            Ok([
                enqueue(tx, &CONVERT, "failing".into(), quickly(60))?,
                enqueue(tx, &CONVERT, "silent".into(), quickly(10))?,
                enqueue(tx, &CONVERT, "refused".into(), quickly(60))?,
            ])
        })
        .await;
    asked(&yard, &service, 2).await;
    let tokens: Vec<Token> = service.read().iter().map(|token| token.parse().unwrap()).collect();
    let first = *tokens.iter().find(|token| token.job() == failing).expect("it was asked for");
    rests_with_the_service(&yard, first).await;
    yard.commit(move |tx| complete(tx, &CONVERT, &first, Err(JobError::retry("no luck")))).await;
    yard.turn_to(START + Duration::from_secs(10)).await;
    let all = yard.until(
        move |tx| Ok([failing, silent, refused].map(|job| status(tx, job).ok().flatten().unwrap().attempts)),
        |attempts| attempts.iter().all(|attempts| *attempts >= 1),
    );
    all.await;
    assert!(!yard.commit(move |tx| complete(tx, &CONVERT, &first, Ok(1))).await, "that attempt is over");
    // Each of the three is with the service a second time, or for the first time after its refusal.
    rests_with_the_service(&yard, asked(&yard, &service, 5).await).await;
    yard.turn_to(START + Duration::from_secs(20)).await;
    assert_eq!(yard.ends(silent).await, OutcomeKind::Failed);
    let error = yard.status(silent).await.last_error.unwrap();
    assert_eq!(error, "no call from outside has ended it in time");
}

#[tokio::test]
async fn a_job_that_is_with_the_service_can_be_cancelled() {
    let (yard, service) = (Yard::open().await, Log::default());
    let _pool = pool(&yard, &service).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &CONVERT, "a".into(), TOLD.with(()))).await;
    let token = asked(&yard, &service, 1).await;
    rests_with_the_service(&yard, token).await;
    assert!(yard.commit(move |tx| cancel(tx, job)).await);
    assert!(!yard.commit(move |tx| complete(tx, &CONVERT, &token, Ok(7))).await);
    yard.marked(&["Cancelled"]).await;
}

#[tokio::test]
async fn a_token_of_another_job_and_a_text_that_is_none_are_refused() {
    const OTHER: Job<String, u32> = Job::new("other");
    let (yard, service) = (Yard::open().await, Log::default());
    let _pool = pool(&yard, &service).start().await.unwrap();
    yard.commit(|tx| enqueue(tx, &CONVERT, "a".into(), ())).await;
    let token = asked(&yard, &service, 1).await;
    let error = yard.store.mutate(move |tx| complete(tx, &OTHER, &token, Ok(7))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    for text in ["", "job_1", "job_x.1", &format!("{}.", token.job()), &token.job().to_string()] {
        let error = text.parse::<Token>().unwrap_err();
        assert!(error.to_string().contains("is no token"), "{error}");
    }
    assert_eq!(token.to_string().parse(), Ok(token));
}
