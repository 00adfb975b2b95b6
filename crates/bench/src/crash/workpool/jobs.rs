//! The jobs of the rounds, what they leave in the store, and the pool that runs them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::{Kind, Random, RetryPolicy, Tasks};
use loomwork_store::{Error, Store, Table, Tx};
use loomwork_store_sqlite::Sqlite;
use loomwork_workpool::{
    Completion, Done, Due, Job, JobContext, JobId, Options, OutcomeKind, PoolOptions, Priority, Workpool,
    cancel, complete, enqueue,
};
use serde::{Deserialize, Serialize};

use super::word::Word;

/// What is to become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// An action that fails so many times and then succeeds.
    Steady { failures: u32 },
    /// An action that fails whenever it runs.
    Doomed,
    /// An action that may start once.
    Once,
    /// A mutation that writes its effect.
    Written,
    /// A mutation that writes its effect and then fails.
    Refused,
    /// An action that leaves its end to a call from outside, which the process makes soon after.
    External,
    /// An action that is cancelled in the mutation that enqueues it.
    Dropped,
    /// An action that is cancelled some time later.
    Stopped,
}

pub(super) const ACTION: Job<Order, u64> = Job::new("action");
const ONCE: Job<Order, u64> = Job::new("once").once();
const EXTERNAL: Job<Order, u64> = Job::new("external");
const MUTATION: Job<Order, u64> = Job::new("mutation");
const TOLD: Completion<u64, u64> = Completion::new("told");

/// How often a doomed job is tried.
pub(super) const DOOMED_ATTEMPTS: u32 = 3;

/// A call that a kill has prevented is waited for so long.
const LONGEST_CALL: Duration = Duration::from_secs(2);

const PARALLEL: u32 = 8;
const PER_KEY: u32 = 2;
const KEYS: u64 = 3;

/// A job as it was enqueued, written in the same mutation.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "orders", id = "order")]
#[index(unique by_number(number))]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) fate: Fate,
    pub(super) job: Option<JobId>,
}

/// What a mutation job leaves behind.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "effects", id = "effect")]
#[index(by_number(number))]
pub(super) struct Effect {
    pub(super) number: u64,
}

/// What a completion leaves behind.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "told", id = "told")]
#[index(by_number(number))]
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) outcome: OutcomeKind,
    pub(super) attempts: u32,
}

pub(super) async fn open(place: &Path) -> Result<Store> {
    let tables = [Order::table(), Effect::table(), Told::table()];
    let builder = Store::builder(Sqlite::open(place.join("store.db"))?)
        .tables(loomwork_workpool::tables())
        .tables(tables);
    builder.open().await.context("the store cannot be opened")
}

/// Enqueues the job of an order, with options drawn at random, and writes the order down.
pub(super) fn place(tx: &mut Tx, number: u64, fate: Fate, random: &Random) -> loomwork_store::Result<JobId> {
    let mut order = Order { number, fate, job: None };
    let job = match fate {
        Fate::Once => ONCE,
        Fate::External => EXTERNAL,
        Fate::Written | Fate::Refused => MUTATION,
        Fate::Steady { .. } | Fate::Doomed | Fate::Dropped | Fate::Stopped => ACTION,
    };
    let attempts = if fate == Fate::Doomed { DOOMED_ATTEMPTS } else { 500 };
    let quickly = RetryPolicy::default().with_initial(Duration::from_millis(1));
    let options = Options {
        due: match random.below(4) {
            0 => Due::After(Duration::from_millis(random.below(30))),
            _ => Due::Now,
        },
        priority: [Priority::Urgent, Priority::Normal, Priority::Low][random.below(3) as usize],
        key: (random.below(2) == 0).then(|| key(number)),
        timeout: (fate == Fate::External).then_some(LONGEST_CALL),
        retry: Some(quickly.with_attempts(attempts).with_ceiling(Duration::from_millis(5))),
        on_done: Some(TOLD.with(number)),
        ..Options::default()
    };
    let id = enqueue(tx, &job, order.clone(), options)?;
    order.job = Some(id);
    tx.insert(order)?;
    if fate == Fate::Dropped {
        cancel(tx, id)?;
    }
    Ok(id)
}

fn key(number: u64) -> String {
    format!("key {}", number % KEYS)
}

/// Starts the pool. `say` hears of all that handlers do; of `trouble` completions, one fails.
pub(super) async fn start(
    store: &Store,
    say: impl Fn(Word) + Send + Sync + 'static,
    trouble: Option<u64>,
) -> Result<Workpool> {
    let floor = Arc::new(Floor {
        say: Box::new(say),
        running: Mutex::default(),
        random: Random::system(),
        calls: Tasks::new(),
    });
    let (often, once, outside) = (floor.clone(), floor.clone(), floor.clone());
    let options = PoolOptions { parallel: Some(PARALLEL), per_key: Some(PER_KEY), ..PoolOptions::default() };
    let pool = Workpool::builder(store)
        .pool("default", options)
        .on(ACTION, move |context, order| act(often.clone(), context, order))
        .on(ONCE, move |context, order| act(once.clone(), context, order))
        .on_external(EXTERNAL, move |context, order| set_in_motion(outside.clone(), context, order))
        .on_mutation(MUTATION, |tx, order: Order| {
            tx.insert(Effect { number: order.number })?;
            match order.fate {
                Fate::Refused => Err(Error::message(Kind::Invalid, "refused on purpose")),
                _ => Ok(order.number),
            }
        })
        .on_done(TOLD, move |tx, done: Done<u64, u64>| {
            let (number, outcome, attempts) = (done.context, done.outcome.kind(), done.attempts);
            tx.insert(Told { number, outcome, attempts })?;
            match trouble {
                Some(of) if tx.random().below(of) == 0 => {
                    Err(Error::message(Kind::Unavailable, "a completion failed on purpose"))
                }
                _ => Ok(()),
            }
        });
    Ok(pool.start().await?)
}

/// Where the handlers of a process are seen.
struct Floor {
    say: Box<dyn Fn(Word) + Send + Sync>,
    running: Mutex<HashMap<u64, u32>>,
    random: Random,
    calls: Tasks,
}

/// Has a task call back, before or after the handler has returned.
async fn set_in_motion(floor: Arc<Floor>, context: JobContext, order: Order) -> loomwork_store::Result<()> {
    let place = floor.enter(order.number, context.attempt());
    let (store, token) = (context.store().clone(), context.token());
    let pause = Duration::from_millis(floor.random.below(10));
    let caller = floor.clone();
    floor.calls.spawn("call", move |_| async move {
        store.clock().sleep(pause).await;
        // A call ends the attempt and frees its slot, though the handler may not have returned yet.
        caller.running().remove(&order.number);
        // Whoever is killed here does not call, and nobody else knows the token.
        let _ = store.mutate(move |tx| complete(tx, &EXTERNAL, &token, Ok(order.number))).await;
    });
    work(place, context, order).await.map(drop)
}

async fn act(floor: Arc<Floor>, context: JobContext, order: Order) -> loomwork_store::Result<u64> {
    let place = floor.enter(order.number, context.attempt());
    work(place, context, order).await
}

async fn work(place: Place, context: JobContext, order: Order) -> loomwork_store::Result<u64> {
    let (floor, number, attempt) = (&place.floor, order.number, context.attempt());
    context.store().clock().sleep(Duration::from_millis(floor.random.below(6))).await;
    let well = match order.fate {
        Fate::Steady { failures } => attempt > failures,
        Fate::Doomed => false,
        _ => true,
    };
    (floor.say)(Word::Returned { number, attempt, well });
    if well { Ok(number) } else { Err(Error::message(Kind::Unavailable, "failed on purpose")) }
}

impl Floor {
    fn running(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        self.running.lock().expect("nothing panics while it holds what runs")
    }

    /// Says that a handler began, and whether there are too many now.
    fn enter(self: &Arc<Self>, number: u64, attempt: u32) -> Place {
        let mut running = self.running();
        let twice = running.insert(number, attempt).is_some();
        let crowded = twice || running.len() > PARALLEL as usize;
        drop(running);
        (self.say)(Word::Began { number, attempt });
        if crowded {
            (self.say)(Word::Crowded { number, attempt });
        }
        Place { floor: self.clone(), number }
    }
}

/// A handler that runs.
struct Place {
    floor: Arc<Floor>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.floor.running().remove(&self.number);
    }
}
