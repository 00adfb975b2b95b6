//! Handles: the names of jobs and completions, with their types.

use std::fmt;
use std::marker::PhantomData;

use loomwork_core::RetryPolicy;
use serde::Serialize;

use crate::options::Callback;

/// The pool of jobs that name no other.
pub const DEFAULT_POOL: &str = "default";

/// A job by its name: `A` goes in, `R` comes out. It is a constant, so any module can enqueue it
/// without holding a pool; its handler is bound where the process starts, by
/// [`Builder::on`](crate::Builder::on).
///
/// ```
/// use loomwork_workpool::Job;
///
/// pub const RESIZE: Job<String, u64> = Job::new("resize").in_pool("images");
/// ```
pub struct Job<A, R> {
    pub(crate) name: &'static str,
    pub(crate) pool: &'static str,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) once: bool,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R> Job<A, R> {
    /// A job of the [`DEFAULT_POOL`], tried up to five times.
    pub const fn new(name: &'static str) -> Self {
        Self { name, pool: DEFAULT_POOL, retry: None, once: false, types: PhantomData }
    }

    /// Puts it in another pool.
    #[must_use]
    pub const fn in_pool(mut self, pool: &'static str) -> Self {
        self.pool = pool;
        self
    }

    /// Gives it a retry policy of its own.
    #[must_use]
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Starts it at most once: it is never tried again, and a crash while it runs ends it as
    /// interrupted.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Returns its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<A, R> Clone for Job<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R> Copy for Job<A, R> {}

impl<A, R> fmt::Debug for Job<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("name", &self.name).field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// A completion handler by its name: it gets the caller's context `C` and how a job that returns
/// `R` ended, in the transaction that records that. Its closure is bound by
/// [`Builder::on_done`](crate::Builder::on_done).
pub struct Completion<C, R> {
    pub(crate) name: &'static str,
    types: PhantomData<fn(C, R)>,
}

impl<C, R> Completion<C, R> {
    /// The completion of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Returns its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<C: Serialize, R> Completion<C, R> {
    /// The completion with what it is to be told; only jobs that return `R` take it.
    ///
    /// ```
    /// use loomwork_workpool::{enqueue, Completion, Job};
    ///
    /// const COUNT: Job<String, u64> = Job::new("count");
    /// const NOTE: Completion<(), u64> = Completion::new("note");
    /// fn count(tx: &mut loomwork_store::Tx) {
    ///     enqueue(tx, &COUNT, "text".into(), NOTE.with(()));
    /// }
    /// ```
    ///
    /// The same with a completion for another result does not compile:
    ///
    /// ```compile_fail
    /// use loomwork_workpool::{enqueue, Completion, Job};
    ///
    /// const COUNT: Job<String, u64> = Job::new("count");
    /// const NOTE: Completion<(), String> = Completion::new("note");
    /// fn count(tx: &mut loomwork_store::Tx) {
    ///     enqueue(tx, &COUNT, "text".into(), NOTE.with(()));
    /// }
    /// ```
    pub fn with(self, context: C) -> Callback<R> {
        let context = serde_json::value::to_raw_value(&context).map_err(|error| error.to_string());
        Callback::new(self.name, context)
    }
}

impl<C, R> Clone for Completion<C, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, R> Copy for Completion<C, R> {}

impl<C, R> fmt::Debug for Completion<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("name", &self.name).finish()
    }
}
