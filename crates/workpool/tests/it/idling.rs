//! A pool without work costs next to nothing.

use loomwork_workpool::{HEARTBEAT, Job, REPORT_EVERY, enqueue};

use super::yard::{RESTS, Yard};

const WORK: Job<(), ()> = Job::new("work");
const OTHER: Job<(), ()> = Job::new("other work").in_pool("other");

#[tokio::test]
async fn an_idle_pool_reads_nothing_and_writes_less_than_once_a_second() {
    let yard = Yard::open().await;
    let pool = yard.pool().on(WORK, |_, ()| async { Ok(()) }).on(OTHER, |_, ()| async { Ok(()) });
    let _pool = pool.start().await.unwrap();
    let job = yard.commit(|tx| enqueue(tx, &WORK, (), ())).await;
    yard.ends(job).await;
    // The minute with the job has a report.
    yard.pass_to(yard.clock.clock().now() + REPORT_EVERY + HEARTBEAT).await;
    yard.rests().await;

    let (reads, writes) = (yard.begun.reads(), yard.begun.writes());
    yard.rests().await;
    assert!(yard.begun.writes() - writes <= RESTS, "while time stands still, nothing is written");
    let beats = 120;
    for _ in 0..beats {
        yard.clock.advance(HEARTBEAT);
        yard.rests().await;
    }
    assert_eq!(yard.begun.reads() - reads, 0, "nothing is looked for");
    let own = (beats + 1) * RESTS;
    let seconds = beats * HEARTBEAT.as_secs();
    let written = (yard.begun.writes() - writes).saturating_sub(own);
    assert!(written < seconds, "{written} transactions in {seconds} seconds");
}
