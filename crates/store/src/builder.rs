//! Opening a store.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use loomwork_core::{Clock, Ids, Random, RawId, crash_point};
use tokio::sync::oneshot;

use crate::catalogue::{self, Plan};
use crate::engine::{Engine, Lane, Others, Profile, Role, Seq, Session, Stop, TxKind};
use crate::error::{Error, Problem, Result};
use crate::fill;
use crate::live::{Hits, Live};
use crate::registry::{OpenTable, Registry};
use crate::store::{Inner, Store};
use crate::table::{Table, TableDef};
use crate::tx::{Context, Tx, run_caught};
use crate::work::{Read, read_snapshot};
use crate::writer::{Writer, back_off, run_guarded};

/// How many mutations, and how many queries, may wait by default; more make their callers wait.
pub const QUEUE: usize = 1024;

/// Opens a [`Store`]: which tables it has, whose time and randomness it takes.
#[must_use = "nothing is opened before `open` is awaited"]
pub struct Builder {
    engine: Arc<dyn Engine>,
    tables: Vec<TableDef>,
    logged: HashSet<&'static str>,
    clock: Clock,
    random: Random,
    queue: usize,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("engine", &self.engine.profile().name)
            .field("tables", &self.tables)
            .field("clock", &self.clock)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            tables: Vec::new(),
            logged: HashSet::new(),
            clock: Clock::system(),
            random: Random::system(),
            queue: QUEUE,
        }
    }

    /// Opens the store over another engine than the one it was begun with: for who describes first and decides
    /// later where it lies.
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engine = Arc::new(engine);
        self
    }

    /// Adds tables: those of a component (`messages::tables()`) or your own (`[Note::table()]`).
    pub fn tables(mut self, tables: impl IntoIterator<Item = TableDef>) -> Self {
        self.tables.extend(tables);
        self
    }

    /// Has the change feed tell of a table whose declaration does not ask for it.
    pub fn log_changes_of<T: Table>(mut self) -> Self {
        self.logged.insert(T::NAME);
        self
    }

    /// Takes the time from `clock`. Default: the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Takes randomness, that of new ids too, from `random`. Default: the system's.
    pub fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// Lets so many mutations, and as many queries, wait; more make their callers wait. At least
    /// 1, by default [`QUEUE`].
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = queue.max(1);
        self
    }

    /// Opens the store: enters new tables, fills new and changed indexes, starts the threads.
    ///
    /// # Errors
    /// [`Problem::BadSchema`] when the tables do not fit together or those stored;
    /// [`Problem::Newer`] when a newer program wrote the store; [`Problem::Duplicate`] when rows
    /// break a unique index that is new.
    pub async fn open(self) -> Result<Store> {
        // Engines block, so opening has a thread of its own.
        let (reply, opened) = oneshot::channel();
        spawn("loomwork-open", move || {
            let _ = reply.send(run_caught("opening of the store", || self.open_blocking()));
        })?;
        opened.await.unwrap_or_else(|_| Err(Problem::Closed.into()))
    }

    fn open_blocking(self) -> Result<Store> {
        catalogue::check_defs(&self.tables)?;
        let profile = self.engine.profile();
        let own = catalogue::own_shapes();
        if profile.writers == 0 {
            self.engine.define(&own)?;
            return self.open_to_read(profile);
        }
        let mut context = self.context(&profile);
        // The first table is the same in every format, and says which one it is.
        self.engine.define(&own[..1])?;
        self.opening(&context)?.mutate(|tx| catalogue::check_format(tx))?;
        self.engine.define(&own)?;
        let mut opening = self.opening(&context)?;
        // The store's own rows get ids too, under a clock and a randomness that may repeat.
        opening.raise_ids(&context.ids, context.tables.tables())?;
        let identity = opening.mutate(catalogue::begin_epoch)?;
        context.epoch = identity.epoch;
        crash_point("open.epoch");
        let plans = opening.mutate(|tx| catalogue::plan(tx, &self.tables, &self.logged))?;
        drop(opening);

        self.engine.define(&plans.iter().map(Plan::shape).collect::<Vec<_>>())?;
        crash_point("open.defined");
        // A session knows the tables that were defined before it.
        let mut opening = self.opening(&context)?;
        for plan in plans.iter().filter(|plan| plan.needs_filling()) {
            fill::fill(&mut opening, plan)?;
        }
        let tables = opening.mutate(|tx| {
            catalogue::enter(tx, &plans)?;
            catalogue::registry(tx, &plans)
        })?;
        opening.raise_ids(&context.ids, tables.tables())?;
        context.tables = Arc::new(tables);
        let (_, log_end) = opening.mutate(|tx| tx.log_bounds())?;
        drop(opening);
        self.start(profile, context, identity.id.raw(), log_end)
    }

    /// Opens a store whose engine cannot write: its tables have to be there, as the program knows them.
    fn open_to_read(self, profile: Profile) -> Result<Store> {
        let mut context = self.context(&profile);
        let mut tx = self.transaction(Role::Reader, &context)?;
        let now = self.clock.now();
        let (found, _) = read_snapshot(&mut tx, now, false, &|tx| catalogue::find(tx, &self.tables));
        let (identity, plans) = found?;
        self.engine.define(&plans.iter().map(Plan::shape).collect::<Vec<_>>())?;
        context.epoch = identity.epoch;
        let (found, _) = read_snapshot(&mut tx, now, false, &|tx| -> Result<_> {
            Ok((catalogue::registry(tx, &plans)?, tx.log_bounds()?))
        });
        let (tables, (_, log_end)) = found?;
        context.tables = Arc::new(tables);
        self.start(profile, context, identity.id.raw(), log_end)
    }

    /// What transactions share while the store's own tables are all that is open.
    fn context(&self, profile: &Profile) -> Context {
        Context {
            tables: Arc::new(Registry::new(catalogue::own_tables(), [])),
            ids: Ids::new(self.clock.clone(), self.random.clone()),
            random: self.random.clone(),
            epoch: 0,
            shared: profile.shared,
            left_out: Arc::default(),
        }
    }

    fn opening(&self, context: &Context) -> Result<Opening<'_>> {
        Ok(Opening { tx: self.transaction(Role::Writer, context)?, clock: &self.clock })
    }

    fn transaction(&self, role: Role, context: &Context) -> Result<Tx> {
        let session: Box<dyn Session> = self.engine.session(role)?;
        Ok(Tx::new(session, context.clone()))
    }

    /// Starts the threads and hands out the store.
    fn start(self, profile: Profile, context: Context, id: RawId, log_end: Seq) -> Result<Store> {
        let live = Arc::new(Live::default());
        let committed = Arc::new(AtomicU64::new(log_end.0));
        let (mutations, mutation_queue) = async_channel::bounded(self.queue);
        let (reads, read_queue) = async_channel::bounded::<Read>(self.queue);
        // Needs no bound: a watcher is in it once for each time that it has read.
        let (wakes, wake_queue) = async_channel::unbounded::<Hits>();
        let (running, ended) = async_channel::bounded::<()>(1);
        for number in 0..profile.writers {
            let writer = Writer {
                tx: self.transaction(Role::Writer, &context)?,
                profile: profile.clone(),
                queue: mutation_queue.clone(),
                waiting: Default::default(),
                live: live.clone(),
                committed: committed.clone(),
                clock: self.clock.clone(),
                random: self.random.clone(),
                wakes: wakes.clone(),
            };
            let running = running.clone();
            spawn(&format!("loomwork-write-{number}"), move || {
                writer.run();
                drop(running);
            })?;
        }
        for number in 0..profile.readers.max(1) {
            let mut tx = self.transaction(Role::Reader, &context)?;
            let (queue, running) = (read_queue.clone(), running.clone());
            spawn(&format!("loomwork-read-{number}"), move || {
                while let Ok(read) = queue.recv_blocking() {
                    if !run_guarded(|| read(&mut tx)) {
                        tx.rollback();
                    }
                }
                // Whoever waits for the end may open the same file again.
                drop(tx);
                drop(running);
            })?;
        }
        spawn("loomwork-wake", move || {
            while let Ok(hits) = wake_queue.recv_blocking() {
                hits.iter().for_each(|watcher| watcher.wake());
            }
            drop(running);
        })?;
        self.engine.hear_others(Others::new(&live, committed.clone()));
        let clock = self.clock.clone();
        let inner = Inner { id, profile, clock, context, live, committed, mutations, reads, ended };
        Ok(Store { inner: Arc::new(inner) })
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(|_| ()).map_err(|source| {
        let kind = loomwork_core::Kind::Unavailable;
        Problem::Engine { engine: "store", action: "start a thread", kind, source: Arc::new(source) }.into()
    })
}

/// A transaction that the opening runs by itself, before there are writers.
pub(crate) struct Opening<'a> {
    tx: Tx,
    clock: &'a Clock,
}

/// How often a step of the opening is tried while other processes write.
const OPENING_ATTEMPTS: u32 = 100;

impl Opening<'_> {
    /// Runs one mutation of the opening, durably.
    pub(crate) fn mutate<R>(&mut self, run: impl Fn(&mut Tx) -> Result<R>) -> Result<R> {
        for attempt in 1..=OPENING_ATTEMPTS {
            match self.attempt(&run) {
                Ok(result) => return Ok(result),
                Err(Stop::Conflict) => {
                    self.tx.rollback();
                    back_off(attempt, self.tx.random());
                }
                Err(Stop::Failed(error)) => {
                    self.tx.rollback();
                    return Err(error);
                }
            }
        }
        Err(Error::from(Problem::GaveUp { what: "opening of the store", attempts: OPENING_ATTEMPTS }))
    }

    /// Makes all later ids greater than those of the rows in `tables`.
    fn raise_ids(&mut self, ids: &Ids, tables: &[OpenTable]) -> Result<()> {
        for table in tables {
            if let Some(id) = self.mutate(|tx| tx.newest_id(table.number))? {
                ids.raise_to(id);
            }
        }
        Ok(())
    }

    fn attempt<R>(&mut self, run: &impl Fn(&mut Tx) -> Result<R>) -> Result<R, Stop> {
        self.tx.start_run(self.clock.now(), false);
        self.tx.begin(TxKind::Write, Lane::Durable)?;
        let result = run(&mut self.tx);
        self.tx.outcome()?;
        let result = result.map_err(Stop::Failed)?;
        self.tx.apply()?;
        self.tx.commit()?;
        Ok(result)
    }
}
