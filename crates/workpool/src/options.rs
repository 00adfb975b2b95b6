//! How a job is to run, said by its caller.

use std::fmt;
use std::time::Duration;

use loomwork_core::{RetryPolicy, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// When a job may start at the earliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// As soon as a slot is free.
    #[default]
    Now,
    /// So long after it is enqueued.
    After(Duration),
    /// At this time; at once, if it is over.
    At(Time),
}

/// What becomes of a job that is enqueued while one with the same [`unique`](Options::unique) text is
/// pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: the pending one stays as it is.
    #[default]
    Keep,
    /// It takes the place of one that waits, with its own arguments, options and time: with a delay, a
    /// burst of them ends in one run of the last (debouncing). One that runs already goes on, and this one
    /// waits beside it.
    Replace {
        /// The job starts no later than so long after the first of the burst. Default: however often
        /// it is put off.
        within: Option<Duration>,
    },
}

/// Which of a pool's waiting jobs start first.
///
/// One of eight starts goes to the less urgent ones in turn, so that none of them starves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others.
    Urgent,
    /// Before most.
    High,
    /// What most are.
    #[default]
    Normal,
    /// After all others.
    Low,
}

impl Priority {
    pub(crate) const RANKS: u8 = 4;

    pub(crate) fn rank(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_rank(rank: u8) -> Self {
        match rank {
            0 => Self::Urgent,
            1 => Self::High,
            2 => Self::Normal,
            _ => Self::Low,
        }
    }
}

/// The ways in which a job can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// It returned a result.
    Success,
    /// It failed for good.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It may start only once, and its worker died while it ran.
    Interrupted,
}

impl OutcomeKind {
    /// Returns whether the job is dead: it failed for good or was interrupted.
    pub fn is_dead(self) -> bool {
        matches!(self, Self::Failed | Self::Interrupted)
    }
}

/// Options of [`enqueue`](crate::enqueue()), for a job that returns `R`. New fields may come, so end
/// a literal with `..Options::default()`.
///
/// What is often set alone converts into it: `()`, a [`Due`], a `Duration` to wait, a [`Time`], a
/// [`Priority`], a [`Callback`].
#[derive(Clone)]
pub struct Options<R> {
    /// When it may start. Default: now.
    pub due: Due,
    /// Which of the waiting jobs start first. Default: normal.
    pub priority: Priority,
    /// Jobs of one key share the pool's limit per key and take turns with those of other keys: a
    /// tenant, a thread. Default: none, which is a key of its own without a limit.
    pub key: Option<String>,
    /// While a job of this name with the same text is pending, there is no second one that waits: see
    /// [`Repeat`]. Default: none.
    pub unique: Option<String>,
    /// What becomes of this job and the pending one of the same `unique` text. Default: the pending one
    /// stays.
    pub repeat: Repeat,
    /// How long one attempt may take. Default: as long as it wants.
    pub timeout: Option<Duration>,
    /// How long it may take in all, from now on: waiting, all attempts and the pauses between them. Then
    /// it fails. Default: as long as it wants.
    pub deadline: Option<Duration>,
    /// Overrides the job's retry policy.
    pub retry: Option<RetryPolicy>,
    /// Whom to call when it has ended. Default: nobody.
    pub on_done: Option<Callback<R>>,
    /// How long its outcome is kept. Default: [`KEEP_SUCCEEDED`](crate::KEEP_SUCCEEDED) or
    /// [`KEEP_FAILED`](crate::KEEP_FAILED).
    pub keep: Option<Duration>,
}

impl<R> Default for Options<R> {
    fn default() -> Self {
        Self {
            due: Due::Now,
            priority: Priority::default(),
            key: None,
            unique: None,
            repeat: Repeat::default(),
            timeout: None,
            deadline: None,
            retry: None,
            on_done: None,
            keep: None,
        }
    }
}

impl<R> fmt::Debug for Options<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("due", &self.due)
            .field("priority", &self.priority)
            .field("key", &self.key)
            .field("unique", &self.unique)
            .field("repeat", &self.repeat)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("retry", &self.retry)
            .field("on_done", &self.on_done)
            .field("keep", &self.keep)
            .finish()
    }
}

impl<R> From<()> for Options<R> {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl<R> From<Due> for Options<R> {
    fn from(due: Due) -> Self {
        Self { due, ..Self::default() }
    }
}

impl<R> From<Duration> for Options<R> {
    fn from(wait: Duration) -> Self {
        Due::After(wait).into()
    }
}

impl<R> From<Time> for Options<R> {
    fn from(time: Time) -> Self {
        Due::At(time).into()
    }
}

impl<R> From<Priority> for Options<R> {
    fn from(priority: Priority) -> Self {
        Self { priority, ..Self::default() }
    }
}

impl<R> From<Callback<R>> for Options<R> {
    fn from(on_done: Callback<R>) -> Self {
        Self { on_done: Some(on_done), ..Self::default() }
    }
}

/// A completion with its context, for a job that returns `R`; [`Completion::with`] makes it.
///
/// [`Completion::with`]: crate::Completion::with
pub struct Callback<R> {
    pub(crate) name: &'static str,
    /// The context, or why it is no JSON: `enqueue` is where errors are told.
    pub(crate) context: Result<Box<RawValue>, String>,
    pub(crate) except: Vec<OutcomeKind>,
    result: std::marker::PhantomData<fn(R)>,
}

impl<R> Callback<R> {
    pub(crate) fn new(name: &'static str, context: Result<Box<RawValue>, String>) -> Self {
        Self { name, context, except: Vec::new(), result: std::marker::PhantomData }
    }

    /// Skips the completion for these ways to end.
    #[must_use]
    pub fn except(mut self, kinds: impl IntoIterator<Item = OutcomeKind>) -> Self {
        self.except.extend(kinds);
        self
    }
}

impl<R> Clone for Callback<R> {
    fn clone(&self) -> Self {
        let Self { name, context, except, result } = self;
        Self { name, context: context.clone(), except: except.clone(), result: *result }
    }
}

impl<R> fmt::Debug for Callback<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("name", &self.name)
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}
