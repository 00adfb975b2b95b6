//! The workflows of the rounds, what they leave in the store, and the engine that runs them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::{Kind, Random, RetryPolicy};
use loomwork_store::{Error, Store, Table, Tx};
use loomwork_store_sqlite::Sqlite;
use loomwork_workflow::{
    Completion, Done, Event, First, Flow, OutcomeKind, Workflow, WorkflowId, Workflows, start, with_steps,
};
use loomwork_workpool::{Job, PoolOptions, Workpool};
use serde::{Deserialize, Serialize};

use super::word::Word;

/// What a workflow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// An action, a mutation, a job and a mutation, one after the other.
    Straight,
    /// Sleeps between mutations.
    Sleepy,
    /// Takes events, and gives each wait up after a while.
    Patient,
    /// Waits for another workflow.
    Parent,
    /// A job, a sleep and an action at once.
    Wide,
    /// Undoes what it did, since the rest fails.
    Sorry,
    /// Goes on anew a few times.
    Endless,
    /// Waits for what never comes, until it is cancelled.
    Stopped,
}

pub(super) const FATES: [Fate; 8] = [
    Fate::Straight,
    Fate::Sleepy,
    Fate::Patient,
    Fate::Parent,
    Fate::Wide,
    Fate::Sorry,
    Fate::Endless,
    Fate::Stopped,
];

/// What a workflow gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) number: u64,
    pub(super) fate: Fate,
    /// How often it went on anew.
    chapter: u64,
}

pub(super) const WORK: Workflow<Input, u64> = Workflow::new("work");
const DOUBLE: Job<u64, u64> = Job::new("double");
const TOLD: Completion<u64, u64> = Completion::new("told");
pub(super) const GO: Event<u64> = Event::new("go");

/// How many events a patient workflow takes.
pub(super) const EVENTS: u64 = 3;

/// How often an endless one goes on anew.
const CHAPTERS: u64 = 3;

/// The numbers of children lie behind those of all others.
pub(super) const CHILDREN: u64 = 1 << 40;

/// A workflow as it was started, written in the same mutation.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "orders", id = "order")]
#[index(unique by_number(number))]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) fate: Fate,
    pub(super) workflow: Option<WorkflowId>,
    /// How many of its events were sent.
    pub(super) sent: u64,
}

/// What a mutation step leaves behind.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "effects", id = "effect")]
#[index(by_number(number))]
pub(super) struct Effect {
    pub(super) number: u64,
    pub(super) step: String,
}

/// What a completion leaves behind.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "told", id = "told")]
#[index(by_number(number))]
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) outcome: OutcomeKind,
}

pub(super) async fn open(place: &Path) -> Result<Store> {
    let tables = [Order::table(), Effect::table(), Told::table()];
    let builder = Store::builder(Sqlite::open(place.join("store.db"))?).tables(loomwork_workpool::tables());
    let builder = builder.tables(loomwork_workflow::tables()).tables(tables);
    builder.open().await.context("the store cannot be opened")
}

/// Starts the workflow of an order and writes the order down.
pub(super) fn place(tx: &mut Tx, number: u64, fate: Fate) -> loomwork_store::Result<WorkflowId> {
    let input = Input { number, fate, chapter: 0 };
    let id = start(tx, &WORK, input, TOLD.with(number))?;
    tx.insert(Order { number, fate, workflow: Some(id), sent: 0 })?;
    Ok(id)
}

/// A pool and an engine. They end in the order of the fields.
pub(super) struct Running {
    pub(super) workflows: Workflows,
    pub(super) pool: Workpool,
}

/// Starts both. `say` hears of all that actions do; of `trouble` completions, one fails.
pub(super) async fn run(
    store: &Store,
    say: impl Fn(Word) + Send + Sync + 'static,
    trouble: Option<u64>,
) -> Result<Running> {
    let limits = PoolOptions { parallel: Some(16), ..PoolOptions::default() };
    let pool =
        with_steps(Workpool::builder(store)).pool("default", limits).on(DOUBLE, |job, number| async move {
            // A job that fails in its pool is no failure of the step.
            if number % 3 == 0 && job.attempt() == 1 {
                return Err(Error::message(Kind::Unavailable, "failed on purpose"));
            }
            Ok(2 * number)
        });
    let pool = pool.start().await?;
    let say: Arc<dyn Fn(Word) + Send + Sync> = Arc::new(say);
    let workflows = Workflows::builder(store)
        // Short enough that runs are put away and taken again all the time.
        .idle(Duration::from_millis(15))
        .on(WORK, move |wf, input| work(say.clone(), wf, input))
        .on_done(TOLD, move |tx, done: Done<u64, u64>| {
            tx.insert(Told { number: done.context, outcome: done.outcome.kind() })?;
            match trouble {
                Some(of) if tx.random().below(of) == 0 => {
                    Err(Error::message(Kind::Unavailable, "a completion failed on purpose"))
                }
                _ => Ok(()),
            }
        });
    Ok(Running { workflows: workflows.start().await?, pool })
}

type Say = Arc<dyn Fn(Word) + Send + Sync>;

/// A mutation that leaves its effect.
async fn write(wf: &Flow, number: u64, step: &str) -> loomwork_store::Result<()> {
    let name = step.to_owned();
    wf.mutation(step, move |tx| tx.insert(Effect { number, step: name }).map(drop)).await
}

/// An action that says that it acts.
async fn act(wf: &Flow, say: &Say, number: u64) -> loomwork_store::Result<u64> {
    let say = say.clone();
    wf.effect("act", move || {
        say(Word::Acted { number });
        async move {
            tokio::task::yield_now().await;
            Ok(number)
        }
    })
    .await
}

async fn double(wf: &Flow, number: u64) -> loomwork_store::Result<u64> {
    let quickly = RetryPolicy::default().with_initial(Duration::from_millis(1)).with_attempts(500);
    wf.run(&DOUBLE, number).retry(quickly.with_ceiling(Duration::from_millis(5))).await
}

fn moment(wf: &Flow, most: u64) -> Duration {
    Duration::from_millis(1 + wf.random().below(most))
}

async fn work(say: Say, wf: Flow, input: Input) -> loomwork_store::Result<u64> {
    let Input { number, fate, chapter } = input;
    match fate {
        Fate::Straight => {
            let acted = act(&wf, &say, number).await?;
            write(&wf, number, "first").await?;
            let doubled = double(&wf, acted).await?;
            write(&wf, number, "last").await?;
            Ok(doubled)
        }
        Fate::Sleepy => {
            for step in ["first", "second", "third"] {
                write(&wf, number, step).await?;
                wf.sleep(moment(&wf, 30)).await;
            }
            Ok(2 * number)
        }
        Fate::Patient => {
            let (mut taken, mut sum) = (0, 0);
            while taken < EVENTS {
                let both = wf.select(wf.event(GO), wf.sleep(moment(&wf, 10)));
                if let First::Left(event) = both.await {
                    sum += event?;
                    taken += 1;
                    write(&wf, number, &format!("taken {taken}")).await?;
                }
            }
            Ok(sum)
        }
        Fate::Parent => {
            let child = Input { number: number + CHILDREN, fate: Fate::Straight, chapter: 0 };
            let doubled = wf.child(&WORK, child).await?;
            write(&wf, number, "after").await?;
            Ok(doubled - 2 * CHILDREN)
        }
        Fate::Wide => {
            let sleeps = async {
                wf.sleep(moment(&wf, 20)).await;
                write(&wf, number, "slept").await
            };
            let (doubled, (), acted) = wf.join3(double(&wf, number), sleeps, act(&wf, &say, number)).await?;
            let more = wf.for_each(0..5_u64, 2, |wf, piece| async move { double(&wf, piece).await });
            let more: u64 = more.await?.into_iter().sum();
            write(&wf, number, "all").await?;
            Ok(doubled + acted - number + more - 20)
        }
        Fate::Sorry => {
            let tried = wf.saga(|wf, saga| async move {
                write(&wf, number, "done").await?;
                saga.undo("it", move |wf| async move { write(&wf, number, "undone").await });
                double(&wf, number).await?;
                Err::<u64, _>(Error::message(Kind::Invalid, "on purpose"))
            });
            tried.await
        }
        Fate::Endless if chapter < CHAPTERS => {
            write(&wf, number, &format!("chapter {chapter}")).await?;
            wf.sleep(moment(&wf, 10)).await;
            Err(wf.continue_with(Input { chapter: chapter + 1, ..input }))
        }
        Fate::Endless => Ok(2 * number),
        Fate::Stopped => {
            write(&wf, number, "begun").await?;
            wf.join(wf.event::<u64>("never"), double(&wf, number)).await?;
            Ok(0)
        }
    }
}

/// What a workflow comes to without a kill: how it ends, with what, and the effects that it leaves.
pub(super) fn right(number: u64, fate: Fate) -> (OutcomeKind, Option<u64>, Vec<&'static str>) {
    use OutcomeKind::{Cancelled, Failed, Success};
    let doubled = Some(2 * number);
    match fate {
        Fate::Straight => (Success, doubled, vec!["first", "last"]),
        Fate::Sleepy => (Success, doubled, vec!["first", "second", "third"]),
        Fate::Patient => (Success, Some((0..EVENTS).sum()), vec!["taken 1", "taken 2", "taken 3"]),
        Fate::Parent => (Success, doubled, vec!["after"]),
        Fate::Wide => (Success, doubled, vec!["all", "slept"]),
        Fate::Sorry => (Failed, None, vec!["done", "undone"]),
        Fate::Endless => (Success, doubled, vec!["chapter 0", "chapter 1", "chapter 2"]),
        Fate::Stopped => (Cancelled, None, vec!["begun"]),
    }
}

/// A number that is drawn below a bound.
pub(super) fn fate(random: &Random) -> Fate {
    FATES[random.below(FATES.len() as u64) as usize]
}
