//! Two pools over one store: limits hold over both, the dead are inherited, zombies are ignored.

use std::time::Duration;

use loomwork_store::Result;
use loomwork_testkit::soon;
use loomwork_workpool::{
    Backlog, Completion, Done, HEARTBEAT, Job, JobContext, LEASE, OutcomeKind, State, backlog, enqueue,
    enqueue_all, outcome, set_parallel, status,
};

use super::yard::{Gate, Log, START, Yard, counted, mark};

const HELD: Job<u32, u32> = Job::new("held");
const TOLD: Completion<(), u32> = Completion::new("told");

/// A pool whose jobs wait at the gate and return the number of their attempt.
fn pool(yard: &Yard, gate: &Gate) -> loomwork_workpool::Builder {
    let gate = gate.clone();
    yard.pool()
        .pool("default", 4)
        .on(HELD, move |context: JobContext, _| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(context.attempt())
            }
        })
        .on_done(TOLD, |tx, done: Done<(), u32>| mark(tx, format!("{:?}", done.outcome)))
}

#[tokio::test]
async fn two_pools_share_one_limit() {
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let pools = [pool(&yard, &gate).start().await.unwrap(), pool(&yard, &gate).start().await.unwrap()];
    let jobs = yard.commit(|tx| enqueue_all(tx, &HELD, 0..40, ())).await;
    let mut watch = yard.store.watch(|tx| backlog(tx, "default"));
    let mut ended = 0;
    while ended < 40 {
        let now = soon(watch.next()).await.unwrap().unwrap();
        assert!(now.running <= 4, "{now:?}");
        ended = 40 - now.ready - now.running;
        gate.open_for(1);
    }
    yard.all_end(&jobs).await;
    let started: u64 = pools.iter().map(|pool| pool.counters().started).sum();
    assert_eq!(started, 40, "no job ran twice");
}

#[tokio::test]
async fn a_lowered_limit_starts_nothing_until_enough_have_ended() {
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let _pool = pool(&yard, &gate).start().await.unwrap();
    let jobs = yard.commit(|tx| enqueue_all(tx, &HELD, 0..8, ())).await;
    yard.until(|tx| backlog(tx, "default"), |now| now.running == 4).await;
    yard.commit(|tx| set_parallel(tx, "default", Some(2))).await;
    for (running, ready) in [(3, 4), (2, 4), (2, 3)] {
        let expected = Backlog { ready, running, dead: 0 };
        gate.open_for(1);
        yard.until(|tx| backlog(tx, "default"), move |now| *now == expected).await;
        yard.rests().await;
        assert_eq!(yard.read(|tx| backlog(tx, "default")).await, expected);
    }
    yard.store.mutate(|tx| set_parallel(tx, "default", Some(201))).await.unwrap_err();
    yard.commit(|tx| set_parallel(tx, "default", None)).await;
    gate.open_for(8);
    yard.all_end(&jobs).await;
}

#[tokio::test]
async fn the_jobs_of_a_dead_worker_are_taken_over_when_its_lease_ends() {
    let (yard, closed, open) = (Yard::open().await, Gate::closed(), Gate::closed());
    open.open_for(9);
    // A runtime of its own, so that all of the worker dies at once.
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let described = pool(&yard, &closed);
    let dead = dying.spawn(async move { described.start().await.unwrap() }).await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &HELD, 1, TOLD.with(()))).await;
    yard.reaches(job, State::Running).await;
    dying.shutdown_background();

    let _heir = pool(&yard, &open).start().await.unwrap();
    yard.turn_to(START + LEASE - Duration::from_millis(1)).await;
    assert_eq!(yard.status(job).await.state, State::Running, "it may still live");
    yard.turn_to(START + LEASE).await;
    let waiting = yard.until(
        move |tx| status(tx, job),
        |status| status.as_ref().is_some_and(|status| status.attempts == 1),
    );
    yard.turn_to(waiting.await.unwrap().due).await;
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    yard.marked(&["Success(2)"]).await;
    drop(dead);
}

#[tokio::test]
async fn a_living_worker_keeps_its_jobs_however_long_they_take() {
    let (yard, gate, other) = (Yard::open().await, Gate::closed(), Gate::closed());
    let first = pool(&yard, &gate).start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &HELD, 1, ())).await;
    yard.reaches(job, State::Running).await;
    let _second = pool(&yard, &other).start().await.unwrap();
    for beat in 1..=12 {
        soon(yard.clock.timers_waiting(4)).await;
        yard.turn_to(START + HEARTBEAT * beat).await;
        yard.rests().await;
    }
    gate.open_for(1);
    assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    assert_eq!(yard.status(job).await.attempts, 1);
    assert_eq!(counted(&first).await.succeeded, 1);
}

#[tokio::test]
async fn a_shutdown_waits_for_what_runs_and_gives_back_the_rest() {
    const STUCK: Job<(), ()> = Job::new("stuck");
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let stuck = |_: JobContext, ()| std::future::pending::<Result<()>>();
    let first = pool(&yard, &gate).on(STUCK, stuck).start().await.unwrap();
    let (good, bad) = yard.commit(|tx| Ok((enqueue(tx, &HELD, 1, ())?, enqueue(tx, &STUCK, (), ())?))).await;
    yard.reaches(good, State::Running).await;
    yard.reaches(bad, State::Running).await;
    gate.open_for(1);
    first.shutdown(Duration::from_millis(50)).await.unwrap();
    assert_eq!(
        yard.read(move |tx| outcome(tx, &HELD, good)).await,
        Some(loomwork_workpool::Outcome::Success(1))
    );
    let given_back = yard.status(bad).await;
    assert_eq!((given_back.state, given_back.attempts), (State::Scheduled, 1));
    let next = yard.commit(|tx| enqueue(tx, &HELD, 2, ())).await;
    yard.rests().await;
    assert_eq!(yard.status(next).await.state, State::Ready, "nothing is started any more");
}

#[tokio::test]
async fn jobs_of_one_key_start_in_the_order_in_which_they_were_due() {
    const STEP: Job<u32, ()> = Job::new("step");
    let yard = Yard::open().await;
    let log = Log::default();
    let entries = log.clone();
    let jobs = yard.commit(|tx| enqueue_all(tx, &STEP, 0..50, ())).await;
    let pool = yard.pool().pool("default", 1).on(STEP, move |_, number| {
        entries.add(number.to_string());
        async { Ok(()) }
    });
    let _pool = pool.start().await.unwrap();
    yard.all_end(&jobs).await;
    assert_eq!(log.read(), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_clock_that_leaps_beyond_the_lease_stops_nobody() {
    let (yard, gate) = (Yard::open().await, Gate::closed());
    let pool = pool(&yard, &gate).start().await.unwrap();
    let running = yard.commit(|tx| enqueue(tx, &HELD, 1, ())).await;
    yard.reaches(running, State::Running).await;
    yard.clock.advance(LEASE * 100);
    let next = yard.commit(|tx| enqueue(tx, &HELD, 2, ())).await;
    yard.reaches(next, State::Running).await;
    gate.open_for(2);
    assert_eq!(yard.all_end(&[running, next]).await, [OutcomeKind::Success; 2]);
    assert_eq!(counted(&pool).await.started, 2);
}
