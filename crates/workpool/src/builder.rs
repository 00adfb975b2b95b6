//! Starting a pool: which jobs this process runs, and how many at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Store, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::completion::Done;
use crate::conclude::Completions;
use crate::context::JobContext;
use crate::enqueue::MAX_TEXT_BYTES;
use crate::job::{Completion, Job};
use crate::pool::Workpool;
use crate::run::{Handler, action, external, mutation};

/// The most jobs that one pool runs at once, unless it has no limit at all.
pub const MAX_PARALLEL: u32 = 200;

/// A pool that runs more jobs at once is warned of.
pub const MANY_PARALLEL: u32 = 100;

/// How a pool runs its jobs. New fields may come, so end a literal with `..PoolOptions::default()`. A
/// number converts into it, as `parallel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// How many jobs run at once, counted over all processes of the store; `Some(0)` starts none,
    /// `None` is without limit. Default: 10. [`set_parallel`](crate::set_parallel()) overrides it.
    pub parallel: Option<u32>,
    /// How many jobs of one key run at once. Default: no limit but the pool's.
    pub per_key: Option<u32>,
    /// Another pool, whose idle slots this one may use when its own are taken. They come back as the jobs
    /// in them end. All processes of a store should say the same. Default: none.
    pub borrows_from: Option<&'static str>,
    /// How long a job may go on after it was asked to stop. Default: 30 seconds.
    pub cancel_grace: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { parallel: Some(10), per_key: None, borrows_from: None, cancel_grace: Duration::from_secs(30) }
    }
}

impl From<u32> for PoolOptions {
    fn from(parallel: u32) -> Self {
        Self { parallel: Some(parallel), ..Self::default() }
    }
}

impl From<()> for PoolOptions {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// Why a pool cannot be started as it was described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Two handlers for one name.
    #[error("the {what} {name:?} is registered twice; give each its own name")]
    Twice {
        /// Job, completion or pool.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A name that no job could be enqueued under.
    #[error("the {what} name {name:?} has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}", bytes = name.len())]
    BadName {
        /// Job, completion or pool.
        what: &'static str,
        /// The name.
        name: &'static str,
    },
    /// A limit beyond [`MAX_PARALLEL`].
    #[error(
        "pool {pool:?} would run {parallel} jobs at once; the most is {MAX_PARALLEL}, `None` is without limit"
    )]
    TooParallel {
        /// The pool.
        pool: &'static str,
        /// Its limit.
        parallel: u32,
    },
    /// A pool that would borrow where there is nothing to borrow.
    #[error("pool {pool:?} cannot borrow from {lender:?}: {reason}")]
    BadLender {
        /// The pool.
        pool: &'static str,
        /// Whom it would borrow from.
        lender: &'static str,
        /// What is wrong with that.
        reason: &'static str,
    },
    /// A key limit under which no job with a key could ever run.
    #[error("pool {pool:?} lets 0 jobs of a key run; give `per_key` at least 1, or `None`")]
    NonePerKey {
        /// The pool.
        pool: &'static str,
    },
}

impl Fault for StartError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Describes a [`Workpool`]; nothing runs before [`start`](Self::start).
#[must_use = "nothing runs before `start` is awaited"]
pub struct Builder {
    pub(crate) store: Store,
    pub(crate) pools: BTreeMap<&'static str, PoolOptions>,
    pub(crate) handlers: HashMap<&'static str, Handler>,
    pub(crate) completions: Completions,
    declared: HashSet<&'static str>,
    /// The first mistake; `start` tells it.
    mistake: Option<StartError>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("pools", &self.pools)
            .field("jobs", &self.handlers.keys())
            .field("completions", &self.completions)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            pools: BTreeMap::new(),
            handlers: HashMap::new(),
            completions: Completions::default(),
            declared: HashSet::new(),
            mistake: None,
        }
    }

    /// Runs the jobs of a pool. Pools of registered jobs are run with default options otherwise.
    pub fn pool(mut self, name: &'static str, options: impl Into<PoolOptions>) -> Self {
        let options = options.into();
        self.check_name("pool", name);
        if !self.declared.insert(name) {
            self.refuse(StartError::Twice { what: "pool", name });
        }
        if let Some(parallel) = options.parallel.filter(|parallel| *parallel > MANY_PARALLEL) {
            if parallel > MAX_PARALLEL {
                self.refuse(StartError::TooParallel { pool: name, parallel });
            }
            tracing::warn!(pool = name, parallel, "a pool runs very many jobs at once");
        }
        if options.per_key == Some(0) {
            self.refuse(StartError::NonePerKey { pool: name });
        }
        self.pools.insert(name, options);
        self
    }

    /// Binds a job to the action that runs it: any async function. It runs at least once, unless
    /// the job is [`once`](Job::once).
    pub fn on<A, R, F, W>(self, job: Job<A, R>, handler: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(JobContext, A) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R>> + Send + 'static,
    {
        self.bind(job.name, job.pool, action(job.name, handler))
    }

    /// Binds a job to an action that only sets work in motion: it gives
    /// [`token`](JobContext::token) to a service that will call back, and
    /// [`complete`](crate::complete) ends the job with what that says. Until then the job runs and
    /// keeps its slot, whatever happens to this process; a timeout or deadline ends the wait.
    pub fn on_external<A, R, F, W>(self, job: Job<A, R>, handler: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        F: Fn(JobContext, A) -> W + Send + Sync + 'static,
        W: Future<Output = Result<()>> + Send + 'static,
    {
        self.bind(job.name, job.pool, external(job.name, handler))
    }

    /// Binds a job to a mutation. It runs exactly once: what it writes commits together with the
    /// job's outcome, or not at all. Only errors whose kind says "later" are tried again.
    pub fn on_mutation<A, R, F>(self, job: Job<A, R>, handler: F) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        F: Fn(&mut Tx, A) -> Result<R> + Send + Sync + 'static,
    {
        self.bind(job.name, job.pool, mutation(job.name, handler))
    }

    /// Binds a completion. It runs in the transaction that records the outcome of a job, or, where
    /// the job was cancelled while it waited, right behind it; exactly once either way. If it fails, its
    /// writes are undone, the outcome stays, and it is tried again by itself until it is dead.
    pub fn on_done<C, R, F>(mut self, completion: Completion<C, R>, handler: F) -> Self
    where
        C: DeserializeOwned + 'static,
        R: DeserializeOwned + 'static,
        F: Fn(&mut Tx, Done<C, R>) -> Result<()> + Send + Sync + 'static,
    {
        let name = completion.name;
        self.check_name("completion", name);
        let handler = Arc::new(move |tx: &mut Tx, told| handler(tx, Done::decode(&told)?));
        if self.completions.0.insert(name, handler).is_some() {
            self.refuse(StartError::Twice { what: "completion", name });
        }
        self
    }

    /// Starts to run jobs, as background tasks of this process.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] for what does not fit together; when the store cannot be written, or was
    /// opened without [`tables`](crate::tables()).
    pub async fn start(mut self) -> Result<Workpool> {
        self.check_lenders();
        match self.mistake.take() {
            Some(mistake) => Err(mistake.into()),
            None => Workpool::start(self).await,
        }
    }

    fn bind(mut self, name: &'static str, pool: &'static str, handler: Handler) -> Self {
        self.check_name("job", name);
        self.check_name("pool", pool);
        self.pools.entry(pool).or_default();
        if self.handlers.insert(name, handler).is_some() {
            self.refuse(StartError::Twice { what: "job", name });
        }
        self
    }

    fn check_lenders(&mut self) {
        let borrowers = self.pools.iter().filter_map(|(pool, options)| Some((*pool, options.borrows_from?)));
        let bad = borrowers.filter_map(|(pool, lender)| {
            let reason = match self.pools.get(lender) {
                None => "this process does not run it; declare it with `pool` too",
                Some(_) if pool == lender => "that is itself",
                Some(options) if options.borrows_from.is_some() => {
                    "it borrows itself, and loans do not chain"
                }
                Some(options) if options.parallel.is_none() => "it has no limit, so it needs no slots",
                Some(_) => return None,
            };
            Some(StartError::BadLender { pool, lender, reason })
        });
        if let Some(mistake) = bad.collect::<Vec<_>>().pop() {
            self.refuse(mistake);
        }
    }

    fn check_name(&mut self, what: &'static str, name: &'static str) {
        if name.is_empty() || name.len() > MAX_TEXT_BYTES {
            self.refuse(StartError::BadName { what, name });
        }
    }

    fn refuse(&mut self, mistake: StartError) {
        self.mistake.get_or_insert(mistake);
    }
}
