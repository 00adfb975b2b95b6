use loomwork_core::{Clock, Time};
use loomwork_store::{Id, Result, Store, Tx};
use serde_json::value::RawValue;

use super::{ToSettle, Work, settle_all};
use crate::conclude::{Completions, Settled};
use crate::enqueue::enqueue;
use crate::failure::{Again, AttemptEnd};
use crate::job::{Completion, Job};
use crate::options::OutcomeKind;
use crate::payload;
use crate::run::Attempt;
use crate::status::status;
use crate::tables::{JobId, JobRow, State, WorkerRow, tables};
use crate::worker::{RECOVERY_STEP, bury, register};

const WORK: Job<String, u32> = Job::new("work");
const TOLD: Completion<String, u32> = Completion::new("told");

async fn open() -> Store {
    let clock = Clock::manual(Time::from_millis(1_000_000));
    Store::memory().tables(tables()).clock(clock.clock()).open().await.expect("the store opens")
}

/// Runs checks in one mutation.
async fn check(check: impl FnOnce(&mut Tx) -> Result<()> + Clone + Send + 'static) {
    open().await.mutate(check).await.expect("the mutation commits");
}

/// Enqueues a job and gives it to a worker, as a claim does.
fn running(tx: &mut Tx, worker: Id<WorkerRow>, args: &str) -> Result<JobId> {
    let job = enqueue(tx, &WORK, args.to_owned(), TOLD.with("context".repeat(2_000)))?;
    give(tx, job, worker)?;
    Ok(job)
}

fn give(tx: &mut Tx, job: JobId, worker: Id<WorkerRow>) -> Result<()> {
    tx.update(job, |row| {
        row.state = State::Running;
        row.worker = Some(worker);
        row.started = Some(row.due);
    })
    .map(drop)
}

fn ended(job: JobId, worker: Id<WorkerRow>, ended: u32, end: AttemptEnd) -> ToSettle {
    let attempt = Attempt { job, name: "work".into(), worker, ended, started: Time::EPOCH };
    ToSettle { attempt, work: Work::Ended(end) }
}

fn success() -> AttemptEnd {
    AttemptEnd::Success(RawValue::from_string("1".into()).expect("it is JSON"))
}

fn settle(tx: &mut Tx, batch: &[ToSettle]) -> Result<Vec<Option<Settled>>> {
    settle_all(tx, &Completions::default(), batch)
}

fn is_end(settled: Option<&Settled>, expected: OutcomeKind) -> bool {
    matches!(settled, Some(Settled::Ended { kind, .. }) if *kind == expected)
}

#[tokio::test]
async fn a_result_under_another_fence_changes_nothing() {
    check(|tx| {
        let (mine, other) = (register(tx)?, register(tx)?);
        let job = running(tx, mine, "args")?;
        let gone: JobId = tx.new_id();
        let before = status(tx, job)?;
        let late = [
            ended(job, other, 0, success()),
            ended(job, mine, 1, success()),
            ended(gone, mine, 0, success()),
        ];
        assert_eq!(settle(tx, &late)?, [None, None, None]);
        assert_eq!(status(tx, job)?, before);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_second_of_two_results_is_ignored() {
    check(|tx| {
        let worker = register(tx)?;
        let job = running(tx, worker, "args")?;
        let twice = [
            ended(job, worker, 0, success()),
            ended(job, worker, 0, AttemptEnd::failed("late", Again::Soon)),
        ];
        let settled = settle(tx, &twice)?;
        assert!(is_end(settled[0].as_ref(), OutcomeKind::Success));
        assert_eq!(settled[1], None);
        let status = status(tx, job)?.expect("it is kept");
        assert_eq!((status.attempts, status.outcome), (1, Some(OutcomeKind::Success)));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn results_of_one_batch_are_judged_each_on_its_own() {
    check(|tx| {
        let worker = register(tx)?;
        let jobs: Vec<JobId> =
            ["a", "b", "c"].into_iter().map(|args| running(tx, worker, args)).collect::<Result<_>>()?;
        let ends =
            [success(), AttemptEnd::failed("no", Again::Never), AttemptEnd::failed("not yet", Again::Soon)];
        let batch: Vec<_> = jobs.iter().zip(ends).map(|(job, end)| ended(*job, worker, 0, end)).collect();
        let settled = settle(tx, &batch)?;
        assert!(is_end(settled[0].as_ref(), OutcomeKind::Success));
        assert!(is_end(settled[1].as_ref(), OutcomeKind::Failed));
        assert!(matches!(settled[2], Some(Settled::Retried { .. })));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_payload_is_gone_still_ends() {
    check(|tx| {
        let worker = register(tx)?;
        let job = running(tx, worker, &"x".repeat(10_000))?;
        payload::drop_all(tx, job)?;
        let settled = settle(tx, &[ended(job, worker, 0, success())])?;
        assert!(is_end(settled[0].as_ref(), OutcomeKind::Success));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn inputs_are_kept_of_dead_jobs_only() {
    check(|tx| {
        let worker = register(tx)?;
        let large = "x".repeat(10_000);
        let (good, bad) = (running(tx, worker, &large)?, running(tx, worker, &large)?);
        let end = AttemptEnd::failed("no", Again::Never);
        settle(tx, &[ended(good, worker, 0, success()), ended(bad, worker, 0, end)])?;
        let args = |tx: &Tx, job| {
            let row = tx.require::<JobRow>(job)?;
            payload::read(tx, job, &row.args, |payload| payload.args)
        };
        assert!(args(tx, good)?.is_none());
        assert!(args(tx, bad)?.is_some(), "a person may want to run it again");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_buried_worker_gives_up_its_jobs_in_steps_and_each_once() {
    check(|tx| {
        let (dead, alive) = (register(tx)?, register(tx)?);
        let jobs: Vec<JobId> =
            (0..RECOVERY_STEP + 5).map(|_| running(tx, dead, "args")).collect::<Result<_>>()?;
        let other = running(tx, alive, "args")?;
        let completions = Completions::default();
        let mut steps = 1;
        while bury(tx, &completions, dead)?.is_some() {
            steps += 1;
        }
        assert_eq!(steps, 3, "two with jobs, one for the worker itself");
        for job in jobs {
            let status = status(tx, job)?.expect("it is there");
            assert_eq!((status.state, status.attempts), (State::Scheduled, 1));
            assert_eq!(
                settle(tx, &[ended(job, dead, 0, success())])?,
                [None],
                "a zombie's result is dropped"
            );
        }
        assert_eq!(status(tx, other)?.expect("it is there").state, State::Running);
        assert!(bury(tx, &completions, dead)?.is_none(), "burying it again changes nothing");
        Ok(())
    })
    .await;
}
