//! The kinds of steps, as they are described before they are awaited: each with the options that it has.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy, Time};
use loomwork_store::{Error, Result, Tx};
use loomwork_workpool::{Due, Job, Options as JobOptions, Priority, enqueue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::limits::{INPUT, RESULT, encode};
use crate::options::Options;
use crate::order::{Effect, EffectOptions, Note, TxPart, Until, Work};
use crate::serve::STEP_ENDED;
use crate::start::{Nested, insert};
use crate::step::{Draft, Step, checked};
use crate::tables::{StepId, WorkflowId};
use crate::workflow::Workflow;

macro_rules! named {
    () => {
        /// Names it otherwise in the journal and in the history.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.draft.set_name(name);
            self
        }
    };
}

macro_rules! delayed {
    () => {
        /// Starts it so much later, behind a sleep of its name.
        #[track_caller]
        pub fn after(mut self, wait: Duration) -> Self {
            self.draft.set_start(Until::After(wait));
            self
        }

        /// Starts it at a time, behind a sleep of its name.
        #[track_caller]
        pub fn at(mut self, time: Time) -> Self {
            self.draft.set_start(Until::At(time));
            self
        }
    };
}

macro_rules! shown {
    ($($name:ident<$($of:ident),*>)*) => {$(
        impl<$($of),*> fmt::Debug for $name<$($of),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.draft).finish()
            }
        }
    )*};
}

shown! { RunJob<A, R> Mutation<T> Action<T> Wait<T> Child<I, R> Detached<I, R> }

/// A job of the workpool as a step; [`Flow::run`](crate::Flow::run) makes it.
#[must_use = "a step does nothing unless it is awaited"]
pub struct RunJob<A, R> {
    pub(crate) draft: Draft,
    pub(crate) job: Job<A, R>,
    pub(crate) args: A,
    pub(crate) options: JobOptions<R>,
}

impl<A, R> RunJob<A, R> {
    named!();

    /// Overrides the job's retry policy.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = Some(policy);
        self
    }

    /// Starts it so much later.
    pub fn after(mut self, wait: Duration) -> Self {
        self.options.due = Due::After(wait);
        self
    }

    /// Starts it at a time.
    pub fn at(mut self, time: Time) -> Self {
        self.options.due = Due::At(time);
        self
    }

    /// Says how long one attempt may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Says how long all of it may take: waiting, attempts and the pauses between them.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Gives it a key of its pool: jobs of one key share a limit and take turns.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.options.key = Some(key.into());
        self
    }

    /// Says how urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// Lets a replay give it other arguments than the journal has.
    pub fn loose(mut self) -> Self {
        self.draft.set_loose(true);
        self
    }
}

impl<A, R> IntoFuture for RunJob<A, R>
where
    A: Serialize + Clone + Send + 'static,
    R: DeserializeOwned + 'static,
{
    type Output = Result<R>;
    type IntoFuture = Step<R>;

    fn into_future(self) -> Step<R> {
        let Self { draft, job, args, options } = self;
        let limit = (loomwork_workpool::MAX_ARGS_BYTES, "MAX_ARGS_BYTES");
        match encode("its arguments", &args, limit) {
            Ok(json) => {
                let part = move |tx: &mut Tx, step: StepId| {
                    let told = loomwork_workpool::Completion::<StepId, R>::new(STEP_ENDED).with(step);
                    enqueue(tx, &job, args, JobOptions { on_done: Some(told), ..options })
                };
                draft.step(Some(json.get()), Ok(Work::Note(Note::Job(Box::new(part)))))
            }
            Err(message) => draft.step(None, Err(message)),
        }
    }
}

/// A mutation as a step; [`Flow::mutation`](crate::Flow::mutation) makes it.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Mutation<T> {
    pub(crate) draft: Draft,
    pub(crate) part: Box<dyn TxPart<Box<RawValue>>>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) result: PhantomData<fn() -> T>,
}

impl<T> Mutation<T> {
    delayed!();

    /// Tries it again where its error says "later"; the pauses are waited out in memory. Without this, an
    /// error is the step's failure at once.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }
}

impl<T: DeserializeOwned> IntoFuture for Mutation<T> {
    type Output = Result<T>;
    type IntoFuture = Step<T>;

    fn into_future(self) -> Step<T> {
        let Self { draft, part, retry, .. } = self;
        draft.step(None, Ok(Work::Mutation { part, retry }))
    }
}

/// An action within the workflow; [`Flow::effect`](crate::Flow::effect) makes it.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Action<T> {
    pub(crate) draft: Draft,
    pub(crate) run: Effect,
    pub(crate) options: EffectOptions,
    pub(crate) result: PhantomData<fn() -> T>,
}

impl<T> Action<T> {
    delayed!();

    /// Tries it again where its error says "later"; the pauses are waited out in memory, so what takes long
    /// is better a job. Without this, an error is the step's failure at once.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = Some(policy);
        self
    }

    /// Says how long one attempt may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Starts it at most once, whatever its retry policy: its beginning is recorded first, and if its process
    /// dies while it runs, it fails as [interrupted](crate::Failure::Interrupted).
    pub fn once(mut self) -> Self {
        self.options.once = true;
        self
    }
}

impl<T: DeserializeOwned> IntoFuture for Action<T> {
    type Output = Result<T>;
    type IntoFuture = Step<T>;

    fn into_future(self) -> Step<T> {
        let Self { draft, run, options, .. } = self;
        draft.step(None, Ok(Work::Effect { run, options }))
    }
}

/// A wait for an event; [`Flow::event`](crate::Flow::event) makes it.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Wait<T> {
    pub(crate) draft: Draft,
    pub(crate) event: String,
    pub(crate) timeout: Option<Duration>,
    pub(crate) result: PhantomData<fn() -> T>,
}

impl<T> Wait<T> {
    named!();

    /// Ends the wait after so long, with [`Failure::TimedOut`](crate::Failure::TimedOut).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<T: DeserializeOwned> IntoFuture for Wait<T> {
    type Output = Result<T>;
    type IntoFuture = Step<T>;

    fn into_future(self) -> Step<T> {
        let Self { draft, event, timeout, .. } = self;
        if draft.name() == event {
            return draft.step(None, Ok(Work::Note(Note::Event { awaits: None, timeout })));
        }
        let shown = encode("its event", &event, INPUT).and_then(|json| checked(&event).map(|()| json));
        match shown {
            Ok(json) => {
                let note = Note::Event { awaits: Some(event), timeout };
                draft.step(Some(json.get()), Ok(Work::Note(note)))
            }
            Err(message) => draft.step(None, Err(message)),
        }
    }
}

/// Another workflow that is waited for; [`Flow::child`](crate::Flow::child) makes it.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Child<I, R> {
    pub(crate) draft: Draft,
    pub(crate) workflow: Workflow<I, R>,
    pub(crate) input: I,
    pub(crate) options: Options<R>,
}

impl<I, R> Child<I, R> {
    named!();

    /// Starts it so much later.
    pub fn after(mut self, wait: Duration) -> Self {
        self.options.due = Due::After(wait);
        self
    }

    /// Starts it at a time.
    pub fn at(mut self, time: Time) -> Self {
        self.options.due = Due::At(time);
        self
    }

    /// Sets all options of its start: its key, its time, whom to tell, how long it is kept. With a key that another
    /// workflow has, the step fails, whatever becomes of a start otherwise; a child of an earlier life of this run,
    /// before a restart or before it went on anew, gives its key to the new one.
    pub fn with(mut self, options: impl Into<Options<R>>) -> Self {
        self.options = options.into();
        self
    }

    /// Lets a replay give it another input than the journal has.
    pub fn loose(mut self) -> Self {
        self.draft.set_loose(true);
        self
    }
}

impl<I: Serialize, R: DeserializeOwned> IntoFuture for Child<I, R> {
    type Output = Result<R>;
    type IntoFuture = Step<R>;

    fn into_future(self) -> Step<R> {
        let Self { draft, workflow, input, options } = self;
        nested(draft, workflow.name, &input, options.into(), true)
    }
}

/// Another workflow that is left alone once it is started; [`Flow::start`](crate::Flow::start) makes it.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Detached<I, R> {
    pub(crate) draft: Draft,
    pub(crate) workflow: Workflow<I, R>,
    pub(crate) input: I,
    pub(crate) options: Options<R>,
}

impl<I, R> Detached<I, R> {
    named!();

    /// Sets all options of its start: its key, its time, whom to tell.
    pub fn with(mut self, options: impl Into<Options<R>>) -> Self {
        self.options = options.into();
        self
    }
}

impl<I: Serialize, R> IntoFuture for Detached<I, R> {
    type Output = Result<WorkflowId>;
    type IntoFuture = Step<WorkflowId>;

    fn into_future(self) -> Step<WorkflowId> {
        let Self { draft, workflow, input, options } = self;
        nested(draft, workflow.name, &input, options.into(), false)
    }
}

/// Makes the step that starts another workflow.
fn nested<I: Serialize, T>(
    draft: Draft,
    name: &'static str,
    input: &I,
    options: crate::start::StartOptions,
    waited_for: bool,
) -> Step<T> {
    let input = match encode("its input", input, INPUT) {
        Ok(input) => input,
        Err(message) => return draft.step(None, Err(message)),
    };
    let json = input.get().to_owned();
    let (parent, chapter, depth) = (draft.about().id, draft.about().chapter, draft.about().depth + 1);
    let options = if waited_for { options.of_child() } else { options };
    let part = move |tx: &mut Tx, step: StepId| {
        let nested = waited_for.then_some(Nested { parent, step, depth, chapter });
        insert(tx, name, input, options, nested)
    };
    let note = if waited_for { Note::Child(Box::new(part)) } else { Note::Start(Box::new(part)) };
    draft.step(Some(&json), Ok(Work::Note(note)))
}

/// A sleep; [`Flow::sleep`](crate::Flow::sleep) makes it.
#[derive(Debug)]
#[must_use = "a step does nothing unless it is awaited"]
pub struct Sleep(pub(crate) Step<()>);

impl Sleep {
    /// Names it in the journal and in the history.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.rename(name.into());
        self
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

/// A mutation that records what it returns.
pub(crate) fn recorded<T, F>(mutation: F) -> Box<dyn TxPart<Box<RawValue>>>
where
    T: Serialize,
    F: FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
{
    Box::new(move |tx: &mut Tx, _: StepId| result(&mutation(tx)?))
}

/// An action that records what it returns.
pub(crate) fn acted<T, F, W>(mut action: F) -> Effect
where
    T: Serialize + 'static,
    F: FnMut() -> W + Send + 'static,
    W: Future<Output = Result<T>> + Send + 'static,
{
    Box::new(move || {
        let run = action();
        Box::pin(async move { result(&run.await?) })
    })
}

/// A result as JSON, within its limit.
pub(crate) fn result<T: Serialize>(value: &T) -> Result<Box<RawValue>> {
    encode("its result", value, RESULT).map_err(|message| Error::message(Kind::Invalid, message))
}
