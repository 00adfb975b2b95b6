//! Handles: the names of workflows, events and completions, with their types.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;

use crate::options::Callback;

/// A workflow by its name: `I` goes in, `R` comes out. It is a constant, so any module can start it
/// without holding an engine; its function is bound where the process starts, by
/// [`Builder::on`](crate::Builder::on).
///
/// ```
/// use loomwork_workflow::Workflow;
///
/// pub const ONBOARDING: Workflow<String, u64> = Workflow::new("onboarding");
/// ```
pub struct Workflow<I, R> {
    pub(crate) name: &'static str,
    types: PhantomData<fn(I) -> R>,
}

impl<I, R> Workflow<I, R> {
    /// The workflow of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Returns its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<I, R> Clone for Workflow<I, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, R> Copy for Workflow<I, R> {}

impl<I, R> fmt::Debug for Workflow<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("name", &self.name).finish()
    }
}

/// An event by its name: what is sent under it is a `T`. A bare text serves too, where `T` is clear from
/// what is done with it.
///
/// ```
/// use loomwork_workflow::Event;
///
/// const APPROVAL: Event<bool> = Event::new("approval");
/// // One of many of a kind, such as the answer to a numbered question.
/// let answer: Event<String> = Event::named(format!("answer {}", 7));
/// # let _ = (APPROVAL, answer);
/// ```
pub struct Event<T> {
    pub(crate) name: Cow<'static, str>,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Event<T> {
    /// The event of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), value: PhantomData }
    }

    /// The event of a name that is made at run time.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Cow::Owned(name.into()), value: PhantomData }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("name", &self.name).finish()
    }
}

impl<T> From<&'static str> for Event<T> {
    fn from(name: &'static str) -> Self {
        Self::new(name)
    }
}

impl<T> From<&Self> for Event<T> {
    fn from(event: &Self) -> Self {
        event.clone()
    }
}

/// A completion handler by its name: it gets the starter's context `C` and how a workflow that returns
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
    /// The completion with what it is to be told; only workflows that return `R` take it.
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
