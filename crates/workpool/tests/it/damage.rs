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
    Builder, Completion, Done, Due, INLINE_BYTES, Job, JobId, KEEP_FAILED, KEEP_SUCCEEDED, Listed, Options,
    OutcomeKind, PoolOptions, Schedule, State, backlog, cancel, cancel_all, cron, enqueue, list, status,
    unreadable, waiting, waiting_completions,
};

use super::memory::Bed;
use super::memory::yard::{Gate, START, Yard, mark};

const WORK: Job<(), ()> = Job::new("work");
const AFTER: Job<(), ()> = Job::new("work that comes after it in the index");
const LARGE: Job<String, ()> = Job::new("work with large arguments");
const HELD: Job<(), ()> = Job::new("work that is held back");
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

    /// Cuts the body of the first row short that has this text in it, and leaves its keys. Returns what it
    /// was, for [`mend`](Self::mend).
    fn damage(&self, text: &str) -> Whole {
        let session = self.session();
        let (table, id, stored) = find(&*session, text);
        let whole = Whole { table, id, stored };
        let mut cut = whole.clone();
        cut.stored.body.truncate(5);
        write(session, &cut);
        whole
    }

    fn mend(&self, whole: &Whole) {
        write(self.session(), whole);
    }

    fn session(&self) -> Box<dyn Session> {
        let mut session = self.bed.engine().session(Role::Writer).expect("there is a session");
        session.begin(TxKind::Write, Lane::Durable).expect("it begins");
        session
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

/// A row as it was before it was damaged.
#[derive(Clone, Debug)]
struct Whole {
    table: TableNo,
    id: RawId,
    stored: Stored,
}

/// Writes a row's body and leaves its keys.
fn write(mut session: Box<dyn Session>, row: &Whole) {
    let unchanged = vec![None; row.stored.keys.len()];
    let write = Write { table: row.table, id: row.id, old: Some(&unchanged), new: Some(&row.stored) };
    session
        .apply(&Changes { writes: &[write], log: &[], log_floor: Default::default(), trim: None })
        .expect("it applies");
    session.commit().expect("it commits");
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

/// Which jobs are set aside.
async fn set_aside(cellar: &Cellar) -> Vec<JobId> {
    cellar.yard.read(|tx| Ok(unreadable(tx, 10)?.iter().map(|job| job.job).collect())).await
}

/// A job that is held back in a pool of one slot, of a key that has one, too.
async fn run_held(cellar: &Cellar, gate: &Gate) -> (loomwork_workpool::Workpool, JobId) {
    let gate = gate.clone();
    let limits = PoolOptions { per_key: Some(1), ..1.into() };
    let held = move |_, ()| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok(())
        }
    };
    let pool = cellar.pool().on(HELD, held).pool("default", limits).start().await.expect("the pool starts");
    let options = || Options { key: Some("one".to_owned()), ..Options::default() };
    let job = cellar.yard.commit(move |tx| enqueue(tx, &HELD, (), options())).await;
    cellar.yard.reaches(job, State::Running).await;
    (pool, job)
}

#[tokio::test]
async fn a_running_job_gives_its_slot_back_when_its_attempt_is_over() {
    let (cellar, gate) = (Cellar::open().await, Gate::closed());
    let (_pool, bad) = run_held(&cellar, &gate).await;
    let [good] = cellar.enqueue(["one"], Due::Now).await;
    cellar.damage("work that is held back");
    assert_eq!(set_aside(&cellar).await, [], "it still runs");
    gate.open_for(1);
    assert_eq!(cellar.yard.ends(good).await, OutcomeKind::Success);
    assert_eq!(set_aside(&cellar).await, [bad]);
    assert_eq!(cellar.yard.read(|tx| backlog(tx, "default")).await.running, 0);
}

#[tokio::test]
async fn a_running_job_of_a_dead_worker_gives_its_slot_back_and_goes_on_when_it_can_be_read() {
    let (cellar, gate) = (Cellar::open().await, Gate::closed());
    let (pool, bad) = run_held(&cellar, &gate).await;
    let whole = cellar.damage("work that is held back");
    pool.shutdown(Duration::ZERO).await.expect("the pool ends");
    assert_eq!(set_aside(&cellar).await, [bad]);
    let pool = cellar.pool().pool("default", 1).start().await.expect("the pool starts");
    let [good] = cellar.enqueue(["one"], Due::Now).await;
    assert_eq!(cellar.yard.ends(good).await, OutcomeKind::Success);
    assert_eq!(set_aside(&cellar).await, [bad], "it stays so while it cannot be read");
    pool.shutdown(GUARD).await.expect("the pool ends");

    cellar.mend(&whole);
    let _pool = cellar.pool().start().await.expect("the pool starts");
    let lost = cellar.yard.reaches(bad, State::Scheduled).await;
    assert_eq!(lost.last_error.as_deref(), Some("its worker died while it ran"));
    assert_eq!(set_aside(&cellar).await, []);
}

#[tokio::test]
async fn arguments_that_cannot_be_read_fail_their_job_alone() {
    let cellar = Cellar::open().await;
    let large = |tx: &mut Tx, text: &str| enqueue(tx, &LARGE, text.repeat(INLINE_BYTES), ());
    let bad = cellar.yard.commit(move |tx| large(tx, "bad")).await;
    let good = cellar.yard.commit(move |tx| large(tx, "good")).await;
    cellar.damage("badbad");
    let _pool = cellar.pool().on(LARGE, |_, _| done()).start().await.expect("the pool starts");
    assert_eq!(cellar.yard.all_end(&[bad, good]).await, [OutcomeKind::Failed, OutcomeKind::Success]);
    cellar.yard.clock.advance(KEEP_FAILED);
    cellar.yard.until(move |tx| status(tx, bad), Option::is_none).await;
}

#[tokio::test]
async fn a_context_that_cannot_be_read_keeps_no_job_from_ending_and_its_completion_is_there_to_see() {
    let cellar = Cellar::open().await;
    let on_done = || Some(TOLD.with("bad".repeat(INLINE_BYTES)));
    let options = move || Options { on_done: on_done(), ..Options::default() };
    let job = cellar.yard.commit(move |tx| enqueue(tx, &WORK, (), options())).await;
    cellar.damage("badbad");
    let _pool = cellar.pool().start().await.expect("the pool starts");
    assert_eq!(cellar.yard.ends(job).await, OutcomeKind::Success);
    let untold = cellar.yard.read(|tx| waiting_completions(tx, 10)).await;
    assert_eq!(untold.iter().map(|untold| (untold.job, untold.tries)).collect::<Vec<_>>(), [(job, 1)]);
}
