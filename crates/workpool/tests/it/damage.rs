//! Rows that cannot be read hold up nobody but themselves.

use std::ops::ControlFlow;
use std::time::Duration;

use loomwork_core::{Clock, RawId};
use loomwork_store::engine::{
    Changes, Engine as _, Lane, Role, Scan, Session, Stored, TableNo, TxKind, Write,
};
use loomwork_store::{Page, Result, Tx};
use loomwork_testkit::GUARD;
use loomwork_workpool::{
    Builder, Completion, Done, Due, Job, JobId, KEEP_SUCCEEDED, Listed, Options, OutcomeKind, Schedule,
    cancel, cancel_all, cron, enqueue, list, status, waiting,
};

use super::memory::Bed;
use super::memory::yard::{START, Yard, mark};

const WORK: Job<(), ()> = Job::new("work");
const AFTER: Job<(), ()> = Job::new("work that comes after it in the index");
const TICK: Job<cron::Tick, ()> = Job::new("tick");
const TOLD: Completion<String, ()> = Completion::new("told");

const SECOND: Duration = Duration::from_secs(1);

/// No table of the pool has more indexes.
const INDEXES: usize = 16;

/// A store whose rows a test can damage.
struct Cellar {
    bed: Bed,
    yard: Yard,
}

impl Cellar {
    async fn open() -> Self {
        let bed = Bed::new();
        let yard = Yard::open_over(&bed, Clock::manual(START)).await;
        Self { bed, yard }
    }

    /// Cuts the body of the first row short that has this text in it, and leaves its keys.
    fn damage(&self, text: &str) {
        let mut session = self.bed.engine().session(Role::Writer).expect("there is a session");
        session.begin(TxKind::Write, Lane::Durable).expect("it begins");
        let (table, id, mut stored) = find(&*session, text);
        stored.body.truncate(5);
        let unchanged = vec![None; stored.keys.len()];
        let write = Write { table, id, old: Some(&unchanged), new: Some(&stored) };
        session
            .apply(&Changes { writes: &[write], log: &[], log_floor: Default::default(), trim: None })
            .expect("it applies");
        session.commit().expect("it commits");
    }

    /// Enqueues a job of each key.
    async fn enqueue<const N: usize>(&self, keys: [&'static str; N], due: Due) -> [JobId; N] {
        let keyed = move |tx: &mut Tx, key: &str| {
            let on_done = Some(TOLD.with(key.to_owned()));
            enqueue(tx, &WORK, (), Options { key: Some(key.to_owned()), due, on_done, ..Options::default() })
        };
        let jobs = self
            .yard
            .commit(move |tx| keys.map(|key| keyed(tx, key)).into_iter().collect::<Result<Vec<_>>>());
        jobs.await.try_into().expect("each key has a job")
    }

    fn pool(&self) -> Builder {
        let told = |tx: &mut Tx, done: Done<String, ()>| mark(tx, done.context);
        self.yard
            .pool()
            .on(WORK, |_, ()| done())
            .on(AFTER, |_, ()| done())
            .on(TICK, |_, _| done())
            .on_done(TOLD, told)
    }
}

async fn done() -> Result<()> {
    Ok(())
}

fn find(session: &dyn Session, text: &str) -> (TableNo, RawId, Stored) {
    for table in (0..100).map(TableNo) {
        let (low, high) = (&[][..], &[0xff; 17][..]);
        let scan =
            Scan { table, index: None, low, high, reverse: false, expect: None, bodies: true, claim: false };
        let mut found = None;
        let scanned = session.scan(&scan, &mut |entry| {
            if !String::from_utf8_lossy(entry.body).contains(text) {
                return ControlFlow::Continue(());
            }
            let (version, body) = (entry.version, entry.body.to_vec());
            found = Some((table, entry.id, Stored { version, body, keys: vec![None; INDEXES] }));
            ControlFlow::Break(())
        });
        if let (Ok(()), Some(found)) = (scanned, found) {
            return found;
        }
    }
    panic!("no row has {text:?} in it");
}

#[tokio::test]
async fn a_ready_job_holds_up_no_other() {
    let cellar = Cellar::open().await;
    let [_, good] = cellar.enqueue(["bad", "good"], Due::Now).await;
    let after = cellar.yard.commit(|tx| enqueue(tx, &AFTER, (), ())).await;
    cellar.damage("bad");
    let _pool = cellar.pool().pool("default", 1).start().await.expect("the pool starts");
    assert_eq!(cellar.yard.all_end(&[good, after]).await, [OutcomeKind::Success; 2]);
    let later = cellar.yard.commit(|tx| enqueue(tx, &AFTER, (), ())).await;
    assert_eq!(cellar.yard.ends(later).await, OutcomeKind::Success);
}

#[tokio::test]
async fn a_job_that_is_due_holds_up_no_other() {
    let cellar = Cellar::open().await;
    let [_, good] = cellar.enqueue(["bad", "good"], Due::At(START + SECOND)).await;
    cellar.damage("bad");
    let _pool = cellar.pool().start().await.expect("the pool starts");
    cellar.yard.turn_to(START + SECOND).await;
    assert_eq!(cellar.yard.ends(good).await, OutcomeKind::Success);
}

#[tokio::test]
async fn an_ended_job_keeps_no_other_from_being_forgotten() {
    let cellar = Cellar::open().await;
    let jobs @ [_, good] = cellar.enqueue(["bad", "good"], Due::Now).await;
    let pool = cellar.pool().start().await.expect("the pool starts");
    cellar.yard.all_end(&jobs).await;
    pool.shutdown(GUARD).await.expect("the pool ends");
    cellar.damage("bad");
    cellar.yard.clock.advance(KEEP_SUCCEEDED);
    let _pool = cellar.pool().start().await.expect("the pool starts");
    cellar.yard.until(move |tx| status(tx, good), Option::is_none).await;
}

#[tokio::test]
async fn a_cancelled_job_that_cannot_be_told_holds_up_no_other() {
    let cellar = Cellar::open().await;
    for job in cellar.enqueue(["bad", "good"], Due::Now).await {
        assert!(cellar.yard.commit(move |tx| cancel(tx, job)).await);
    }
    cellar.damage("\"tries\":0");
    let _pool = cellar.pool().start().await.expect("the pool starts");
    cellar.yard.marked(&["good"]).await;
}

#[tokio::test]
async fn a_cron_holds_up_no_other() {
    let cellar = Cellar::open().await;
    for name in ["bad", "good"] {
        cellar.yard.commit(move |tx| cron::set(tx, name, &TICK, Schedule::every(SECOND), (), ())).await;
    }
    cellar.damage("bad");
    let _pool = cellar.pool().start().await.expect("the pool starts");
    cellar.yard.turn_to(START + SECOND).await;
    cellar.yard.until(|tx| cron::history(tx, "good", 1), |runs| !runs.is_empty()).await;
}

#[tokio::test]
async fn a_cron_whose_last_run_cannot_be_read_holds_up_no_other() {
    let cellar = Cellar::open().await;
    for name in ["bad", "good"] {
        cellar.yard.commit(move |tx| cron::set(tx, name, &TICK, Schedule::every(SECOND), (), ())).await;
    }
    let pool = cellar.pool().start().await.expect("the pool starts");
    cellar.yard.turn_to(START + SECOND).await;
    for name in ["bad", "good"] {
        let ran = move |tx: &Tx| cron::history(tx, name, 1);
        let runs = cellar.yard.until(ran, |runs| !runs.is_empty()).await;
        cellar.yard.ends(runs[0].job).await;
    }
    pool.shutdown(GUARD).await.expect("the pool ends");
    cellar.damage("\"unique\":\"cron:bad:");
    let _pool = cellar.pool().start().await.expect("the pool starts");
    cellar.yard.turn_to(START + SECOND * 2).await;
    cellar.yard.until(|tx| cron::history(tx, "good", 2), |runs| runs.len() == 2).await;
}

#[tokio::test]
async fn a_waiting_job_hides_no_other_from_an_operator() {
    let cellar = Cellar::open().await;
    let [_, good] = cellar.enqueue(["bad", "good"], Due::Now).await;
    cellar.damage("bad");
    let (listed, _) = cellar.yard.read(|tx| list(tx, Listed::Pending("default"), Page::first(1))).await;
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [good]);
    assert_eq!(cellar.yard.read(waiting).await.len(), 1);
    assert_eq!(cancel_all(&cellar.yard.store, "default").await.expect("it cancels"), 1);
}
