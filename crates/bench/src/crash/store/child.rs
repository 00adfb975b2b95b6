//! The process that is killed: callers that write, and tell of each answer they got.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use loomwork_core::{Random, Tasks};
use loomwork_store::engine::{Lane, Op};
use loomwork_store::{Next, Store, Table as _, Tx, Upkeep, feed};
use loomwork_store_sqlite::Sqlite;
use tokio::task::JoinSet;

use super::fill;
use super::job::{Job, Task};
use super::step::{CONSUMER, End, ON_PURPOSE, Step, set_up};
use super::tables::{self, Account, Event, Seen};
use super::word::Word;

/// How many changes the consumer of the feed takes at once.
const CHANGES: usize = 100;

pub(super) fn run(task: &Task) -> Result<()> {
    be_quiet_about_panics_on_purpose();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(&Word::Opening)?;
        if task.job == Job::Fill {
            let store = fill::open(&task.path).await?;
            say(&Word::Ready { epoch: store.epoch() })?;
            return rest().await;
        }
        let file = Sqlite::open(&task.path)?;
        let store = Store::builder(file.clone()).tables(tables::all()).open().await?;
        store.mutate(set_up).await?;
        say(&Word::Ready { epoch: store.epoch() })?;
        work(task, &store, &file).await
    })
}

/// Works until the process is killed, or something fails.
async fn work(task: &Task, store: &Store, file: &Sqlite) -> Result<()> {
    let tasks = Tasks::new();
    if task.job.has_upkeep() {
        store.start_upkeep(&tasks, Upkeep::new("crash.seen", see_changes));
    }
    if task.trims {
        store.start_upkeep(&tasks, feed::upkeep());
    }
    let mut workers = JoinSet::new();
    if task.job == Job::Held {
        workers.spawn(hold_a_snapshot(store.clone()));
    }
    if task.job == Job::Backup {
        let (file, path) = (file.clone(), task.path.clone());
        workers.spawn_blocking(move || back_up(&file, &path));
    }
    for caller in 0..task.job.callers() {
        workers.spawn(call(store.clone(), task.job, caller, task.random(caller)));
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    bail!("every caller has ended")
}

/// One caller: a mutation after the other, each told of when it is answered.
async fn call(store: Store, job: Job, caller: u64, random: Random) -> Result<()> {
    for _ in 0..job.steps() {
        let step = Step::draw(&random, caller, job.ballast(&random));
        let (lane, end) = (step.lane, step.end);
        let mutation = store.mutate(move |tx| step.run(tx));
        let answer = match lane {
            Lane::Durable => mutation.await,
            Lane::Relaxed => mutation.relaxed().await,
        };
        match (end, answer) {
            (End::Kept, answer) => say(&Word::Ack { caller, number: answer?, lane })?,
            (_, answer) => ensure!(answer.is_err(), "a mutation that fails was answered with {answer:?}"),
        }
    }
    rest().await
}

/// The consumer of the feed: counts events, and moves on in the same mutation.
fn see_changes(tx: &mut Tx) -> loomwork_store::Result<Next> {
    let changes = feed::changes(tx, feed::position(tx, CONSUMER)?, CHANGES)?;
    let Some(last) = changes.last() else { return Ok(Next::Idle) };
    let new = changes.iter().filter(|change| change.op == Op::Insert && change.of::<Event>().is_some());
    let new = new.count() as u64;
    if let Some(seen) = tx.first(Seen::all())? {
        tx.update(seen.id, |seen| seen.events += new)?;
    }
    feed::advance(tx, CONSUMER, last.seq)?;
    Ok(Next::More)
}

/// Reads from one snapshot for ever, so that the log cannot begin anew.
async fn hold_a_snapshot(store: Store) -> Result<()> {
    store
        .query(|tx| {
            tx.count(Account::all())?;
            loop {
                std::thread::park();
            }
        })
        .await
        .context("the snapshot was let go")
}

/// Makes one backup after the other.
fn back_up(file: &Sqlite, path: &Path) -> Result<()> {
    for number in 0.. {
        file.backup(backup_path(path, number))?;
        say(&Word::Backup { number })?;
    }
    Ok(())
}

/// Where a process puts its `number`-th backup.
pub(super) fn backup_path(path: &Path, number: u64) -> PathBuf {
    path.with_extension(format!("backup-{number}"))
}

async fn rest<T>() -> T {
    std::future::pending().await
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(word: &Word) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}").and_then(|()| output.flush()).context("nobody listens any more")
}

fn be_quiet_about_panics_on_purpose() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&ON_PURPOSE) {
            loud(panic);
        }
    }));
}
