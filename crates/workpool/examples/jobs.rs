//! Runs jobs offline: one that fails twice, ten that share a slot fairly, a completion that enqueues a
//! mutation, a cron by hand. It ends by itself.
//!
//! Run it with `cargo run -p loomwork-workpool --example jobs`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use loomwork_core::RetryPolicy;
use loomwork_store::{Result, Store, Tx};
use loomwork_workpool::{
    Completion, Done, Job, JobContext, JobError, Options, Outcome, Schedule, State, Workpool, cron, enqueue,
    enqueue_all, status,
};

/// Waits a tenth of a second between attempts.
const SOON: RetryPolicy = RetryPolicy {
    attempts: 5,
    initial: Duration::from_millis(100),
    base: 1.0,
    jitter: true,
    ceiling: Duration::from_secs(1),
};

const FETCH: Job<String, usize> = Job::new("fetch").retry(SOON);
const FETCHED: Completion<String, usize> = Completion::new("fetched");
const RECORD: Job<usize, ()> = Job::new("record");
const RENDER: Job<u32, ()> = Job::new("render").in_pool("one at a time");
const REPORT: Job<cron::Tick, ()> = Job::new("report");

async fn fetch(job: JobContext, address: String) -> Result<usize> {
    if job.attempt() < 3 {
        println!("fetch {address}: attempt {} finds nobody", job.attempt());
        return Err(JobError::retry("the service does not answer").into());
    }
    println!("fetch {address}: attempt {} works", job.attempt());
    Ok(address.len())
}

/// Runs in the transaction that records the outcome; the job it enqueues is part of it.
fn fetched(tx: &mut Tx, done: Done<String, usize>) -> Result<()> {
    println!("told: {} after {} attempts: {:?}", done.context, done.attempts, done.outcome);
    if let Outcome::Success(bytes) = done.outcome {
        enqueue(tx, &RECORD, bytes, ())?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = Store::memory().tables(loomwork_workpool::tables()).open().await?;
    let pool = Workpool::builder(&store)
        .pool("one at a time", 1)
        .on(FETCH, fetch)
        .on_done(FETCHED, fetched)
        .on_mutation(RECORD, |_tx, bytes| {
            println!("recorded: {bytes} bytes, exactly once");
            Ok(())
        })
        .on(RENDER, |_, page| async move {
            println!("render {page}");
            Ok(())
        })
        .on(REPORT, |_, tick: cron::Tick| async move {
            println!("report of {}", tick.scheduled);
            Ok(())
        })
        .start()
        .await?;

    let jobs = store.mutate(|tx| {
        let mut jobs = vec![enqueue(tx, &FETCH, "loomwork.example".into(), FETCHED.with("page 1".into()))?];
        // Tenant b does not wait for all of tenant a's pages.
        for (tenant, pages) in [("a", 1..=7), ("b", 101..=103)] {
            let options = Options { key: Some(tenant.into()), ..Options::default() };
            jobs.extend(enqueue_all(tx, &RENDER, pages, options)?);
        }
        cron::set(tx, "reports", &REPORT, Schedule::daily(6, 0), (), ())?;
        jobs.push(cron::trigger(tx, "reports")?);
        Ok(jobs)
    });
    for job in jobs.await? {
        let mut live = store.watch(move |tx| status(tx, job));
        while let Some(status) = live.next().await {
            if status?.is_none_or(|status| status.state == State::Ended) {
                break;
            }
        }
    }
    pool.shutdown(Duration::from_secs(5)).await?;
    let counters = pool.counters();
    println!("{} attempts, {} retries, {} jobs done", counters.started, counters.retried, counters.succeeded);
    Ok(())
}
