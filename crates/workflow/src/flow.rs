//! A run as its code sees it.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Fault, Kind, RawId, Time};
use loomwork_store::{Error, Id, Result, Table, Tx};
use loomwork_workpool::{Job, Options as JobOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::desk::Desk;
use crate::dice::Dice;
use crate::limits::{INPUT, encode};
use crate::options::Options;
use crate::order::{EffectOptions, Note, Until, Work};
use crate::step::Draft;
use crate::steps::{Action, Child, Detached, Mutation, RunJob, Sleep, Wait, acted, recorded};
use crate::tables::{StepKind, WorkflowId};
use crate::workflow::{Event, Workflow};

/// What a workflow's code does its work with. It is cheap to clone, and clones are the same run.
///
/// All that the code learns has to come from here or from its input: steps, [`now`](Self::now),
/// [`random`](Self::random), [`new_id`](Self::new_id). Then the code does the same when it is run again, which
/// is how a run goes on after a crash.
#[derive(Clone, Debug)]
pub struct Flow {
    pub(crate) desk: Arc<Desk>,
}

/// Steps.
impl Flow {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    #[track_caller]
    fn draft(&self, kind: StepKind, name: impl Into<String>) -> Draft {
        Draft::new(&self.desk, kind, name)
    }

    /// Runs a mutation, exactly once: what it writes and that it is done commit together. An error takes its
    /// writes back and is the step's failure.
    #[track_caller]
    pub fn mutation<T, F>(&self, name: impl Into<String>, mutation: F) -> Mutation<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    {
        let part = recorded(mutation);
        Mutation { draft: self.draft(StepKind::Mutation, name), part, retry: None, result: PhantomData }
    }

    /// Runs an action right here: at least once, and recorded once. A crash while it runs has it run again,
    /// unless it is [`once`](Action::once).
    #[track_caller]
    pub fn effect<T, F, W>(&self, name: impl Into<String>, action: F) -> Action<T>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: FnMut() -> W + Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let (draft, run) = (self.draft(StepKind::Effect, name), acted(action));
        Action { draft, run, options: EffectOptions::default(), result: PhantomData }
    }

    /// As [`effect`](Self::effect); the action gets a text that all its attempts share and no other step has:
    /// give it to a service that knows idempotency keys, and a repeated attempt repeats nothing. A
    /// [`restart`](crate::restart()) means to do it again, so what it has done again gets another text.
    #[track_caller]
    pub fn effect_keyed<T, F, W>(&self, name: impl Into<String>, mut action: F) -> Action<T>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: FnMut(String) -> W + Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let draft = self.draft(StepKind::Effect, name);
        let about = &self.desk.about;
        let key = format!("{}:{}.{}:{}", about.id, about.chapter, about.restarts, draft.number());
        let run = acted(move || action(key.clone()));
        Action { draft, run, options: EffectOptions::default(), result: PhantomData }
    }

    /// Enqueues a job of the workpool and waits for it: with its pool's limits, its retries and its
    /// guarantees. It needs a pool that was described with [`with_steps`](crate::with_steps).
    #[track_caller]
    pub fn run<A, R>(&self, job: &Job<A, R>, args: A) -> RunJob<A, R> {
        let draft = self.draft(StepKind::Job, job.name());
        RunJob { draft, job: *job, args, options: JobOptions::default() }
    }

    /// Sleeps, for seconds or for years. Nothing is in memory meanwhile.
    #[track_caller]
    pub fn sleep(&self, time: Duration) -> Sleep {
        let note = Note::Sleep(Until::After(time));
        Sleep(self.draft(StepKind::Sleep, "sleep").step(None, Ok(Work::Note(note))))
    }

    /// Sleeps until a time; not at all, if it is over.
    #[track_caller]
    pub fn sleep_until(&self, time: Time) -> Sleep {
        let note = Note::Sleep(Until::At(time));
        Sleep(self.draft(StepKind::Sleep, "sleep").step(None, Ok(Work::Note(note))))
    }

    /// Waits for an event and takes it: each is taken once, the first that was sent first, whether it was sent
    /// before or after this wait began.
    #[track_caller]
    pub fn event<T>(&self, event: impl Into<Event<T>>) -> Wait<T> {
        let event = event.into().name.into_owned();
        let draft = self.draft(StepKind::Event, event.clone());
        Wait { draft, event, timeout: None, result: PhantomData }
    }

    /// Starts another workflow and waits for what it returns. Cancelling this one cancels that one.
    #[track_caller]
    pub fn child<I, R>(&self, workflow: &Workflow<I, R>, input: I) -> Child<I, R> {
        let draft = self.draft(StepKind::Child, workflow.name);
        Child { draft, workflow: *workflow, input, options: Options::default() }
    }

    /// Starts another workflow and leaves it alone: it goes on whatever becomes of this one.
    #[track_caller]
    pub fn start<I, R>(&self, workflow: &Workflow<I, R>, input: I) -> Detached<I, R> {
        let draft = self.draft(StepKind::Start, workflow.name);
        Detached { draft, workflow: *workflow, input, options: Options::default() }
    }
}

/// What the code may know.
impl Flow {
    /// Returns the run's id.
    pub fn id(&self) -> WorkflowId {
        self.desk.about.id
    }

    /// Returns the workflow's name.
    pub fn name(&self) -> &str {
        &self.desk.about.name
    }

    /// Returns how often it went on anew, or was restarted from the start.
    pub fn chapter(&self) -> u32 {
        self.desk.about.chapter
    }

    /// Returns the time: that of the last outcome, or of the start. It is the same when the code is run again.
    pub fn now(&self) -> Time {
        self.desk.now()
    }

    /// Returns random numbers that follow from the run's id: the same when the code is run again, and no
    /// secret.
    pub fn random(&self) -> Dice {
        Dice::new(self.desk.clone())
    }

    /// Returns a new id, the same when the code is run again.
    #[track_caller]
    pub fn new_id<T: Table>(&self) -> Id<T> {
        let mut bytes = [0; 16];
        self.desk.random().fill(&mut bytes);
        let millis = u64::try_from(self.now().millis()).unwrap_or(0).to_be_bytes();
        bytes[..6].copy_from_slice(&millis[2..]);
        // The bits that say what kind of UUID it is: version 7.
        bytes[6] = bytes[6] & 0x0f | 0x70;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Id::from_raw(RawId::from_bytes(bytes))
    }

    /// Says whether this run takes the way of a change to its code. A run that comes here for the first time
    /// does, and it stays so; one that has gone past this place by the old code does not.
    ///
    /// ```
    /// # use loomwork_workflow::Flow;
    /// # async fn work(wf: Flow) -> loomwork_store::Result<()> {
    /// if wf.patched("check the address") {
    ///     wf.effect("check", || async { Ok(()) }).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// When no run is left that has not taken it, the call can be removed, and its mark is passed over.
    #[track_caller]
    pub fn patched(&self, change: &str) -> bool {
        self.desk.patched(change)
    }

    /// Makes the error to return for going on anew: the run keeps its id and its unread events, begins its code
    /// again with another input, and its journal is empty. For workflows without an end.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use loomwork_workflow::Flow;
    /// async fn tick(wf: Flow, count: u64) -> loomwork_store::Result<()> {
    ///     wf.sleep(Duration::from_secs(3600)).await;
    ///     Err(wf.continue_with(count + 1))
    /// }
    /// ```
    pub fn continue_with<I: Serialize>(&self, input: I) -> Error {
        match encode("the input to go on with", &input, INPUT) {
            Ok(input) => Continue { input }.into(),
            Err(message) => Error::message(Kind::Invalid, message),
        }
    }
}

/// What code returns that goes on anew.
#[derive(Debug, thiserror::Error)]
#[error("the workflow goes on anew; its code has to return this error as it is")]
pub(crate) struct Continue {
    pub(crate) input: Box<RawValue>,
}

impl Fault for Continue {
    fn kind(&self) -> Kind {
        Kind::Cancelled
    }
}
