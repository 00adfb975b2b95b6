//! How a workflow is to be started, said by its caller.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use loomwork_core::Time;
use loomwork_workpool::Due;
use serde_json::value::RawValue;

/// What becomes of a start under a [`key`](Options::key) that a workflow of this name has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taken {
    /// Nothing is started: the id is that of the one that has the key, whether it runs or has ended.
    #[default]
    Join,
    /// The start is refused, as [`StartError::Taken`](crate::StartError::Taken).
    Refuse,
}

/// Options of [`start`](crate::start()), for a workflow that returns `R`. New fields may come, so end a
/// literal with `..Options::default()`.
///
/// What is often set alone converts into it: `()`, a [`Due`], a `Duration` to wait, a [`Time`], a
/// [`Callback`], and a text as the key.
pub struct Options<R> {
    /// When it may start. Default: now.
    pub due: Due,
    /// The caller's own name for it: there is one workflow of its name with this key for as long as it is
    /// kept. Default: none.
    pub key: Option<String>,
    /// What becomes of a second start under the same key. Default: the first one's id is returned.
    pub taken: Taken,
    /// Whom to call when it has ended. Default: nobody.
    pub on_done: Option<Callback<R>>,
    /// How long it is kept when it has ended. Default: [`KEEP`](crate::KEEP).
    pub keep: Option<Duration>,
}

impl<R> Default for Options<R> {
    fn default() -> Self {
        Self { due: Due::Now, key: None, taken: Taken::default(), on_done: None, keep: None }
    }
}

impl<R> Clone for Options<R> {
    fn clone(&self) -> Self {
        let Self { due, key, taken, on_done, keep } = self;
        Self { due: *due, key: key.clone(), taken: *taken, on_done: on_done.clone(), keep: *keep }
    }
}

impl<R> fmt::Debug for Options<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("due", &self.due)
            .field("key", &self.key)
            .field("taken", &self.taken)
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

impl<R> From<Callback<R>> for Options<R> {
    fn from(on_done: Callback<R>) -> Self {
        Self { on_done: Some(on_done), ..Self::default() }
    }
}

impl<R> From<&str> for Options<R> {
    fn from(key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..Self::default() }
    }
}

/// A completion with its context, for a workflow that returns `R`; [`Completion::with`] makes it.
///
/// [`Completion::with`]: crate::Completion::with
pub struct Callback<R> {
    pub(crate) name: &'static str,
    /// The context, or why it is no JSON: `start` is where errors are told.
    pub(crate) context: Result<Box<RawValue>, String>,
    result: PhantomData<fn(R)>,
}

impl<R> Callback<R> {
    pub(crate) fn new(name: &'static str, context: Result<Box<RawValue>, String>) -> Self {
        Self { name, context, result: PhantomData }
    }
}

impl<R> Clone for Callback<R> {
    fn clone(&self) -> Self {
        Self { name: self.name, context: self.context.clone(), result: PhantomData }
    }
}

impl<R> fmt::Debug for Callback<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("name", &self.name).finish_non_exhaustive()
    }
}
