//! What is stored of an answer while it is made: its run, its messages, its stream and its steps.

mod commit;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loomwork_core::{Kind, Tasks, Time};
use loomwork_messages::runs::{self, Hold, NewRun, RunError};
use loomwork_messages::streams::{OpenStream, StreamWriter};
use loomwork_messages::{Failure, HostRow, MessageId, MessageStatus, NewMessage, Run, UiChunk};
use loomwork_models::{Chunk, ErrorKind, ModelName, Reply, Usage};
use loomwork_store::{Error, Id, Problem, Row, Store, Tx};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::attempt::{Attempt, Plan};
use super::ending::{Ending, How, Leaves, Unsaid};
use super::opening::{Opened, OpenedRun, Opening, OpeningPlace, Turned, planned};
use super::report::Reporter;
use super::{Generation, called_off};
use crate::admission::{Admission, Holds, Refused};
use crate::call_off::dropped;
use crate::error::AgentError;
use crate::journal;
use crate::reply::Stored;
use crate::runtime::Runtime;
use crate::tables::{StepEnd, StepId};
use crate::tool::ParentRun;

/// The record of an answer. Of one outside of threads nothing is stored, but what it used is told.
pub(crate) struct Record {
    store: Store,
    /// Settles the answer if it is dropped before its end.
    tasks: Tasks,
    pub(crate) reporter: Arc<Reporter>,
    call_admissions: Vec<Admission>,
    run_holds: Holds,
    attempt: Arc<Mutex<Attempt>>,
    /// What all steps have used.
    total: Usage,
    kept: Option<Kept>,
    gives_back: bool,
    has_ended: bool,
}

/// What an answer begins with, or goes on with.
pub(crate) struct Begins {
    pub(crate) reporter: Reporter,
    pub(crate) admissions: Vec<Admission>,
    pub(crate) run_holds: Holds,
    pub(crate) attempt: Attempt,
    /// What the steps before have used.
    pub(crate) total: Usage,
    pub(crate) kept: Option<Kept>,
    /// Whoever drops it gives the run back.
    pub(crate) gives_back: bool,
}

/// What a thread has of an answer.
pub(crate) struct Kept {
    pub(crate) hold: Hold,
    pub(crate) run: Row<Run>,
    writer: StreamWriter,
    /// Whether its stream has only what this process puts there.
    is_new_stream: bool,
    messages: Vec<MessageId>,
    /// What has joined the turn, and the model is told of.
    joined: HashSet<MessageId>,
}

impl Kept {
    pub(crate) fn new(
        runtime: &Runtime,
        hold: Hold,
        run: Row<Run>,
        stream: OpenStream,
        messages: Vec<MessageId>,
        joined: HashSet<MessageId>,
    ) -> Self {
        let is_new_stream = stream.is_new();
        Self { hold, run, writer: runtime.live.go_on(stream), is_new_stream, messages, joined }
    }
}

/// Whoever drops an answer calls it off, or gives it back: its run would be held for as long as this process lives.
impl Drop for Record {
    fn drop(&mut self) {
        let is_told = self.kept.is_none() && self.attempt().has_ended;
        if self.has_ended || is_told || Handle::try_current().is_err() {
            return;
        }
        let ending = self.ending(if self.gives_back { StepEnd::Cut } else { StepEnd::Aborted }, None);
        self.attempt().has_ended = true;
        let how =
            if self.gives_back { How::GivenBack } else { How::Fails(MessageStatus::Aborted, dropped()) };
        let leaves = self.kept.as_ref().map(|kept| Leaves { hold: kept.hold, how });
        let store = self.store.clone();
        self.tasks.spawn("dropped answer", |shutdown| ending.write_at_last(store, leaves, None, shutdown));
    }
}

impl Record {
    /// Saves the prompt and the pending answer, and takes the run.
    pub(crate) async fn begin<S: Send + Sync + 'static>(
        generation: &Generation<S>,
        plan: &Plan,
        embedded: Vec<(ModelName, Usage)>,
    ) -> Result<Self, AgentError> {
        let runtime = &generation.runtime;
        let reporter = generation.reporter();
        let admissions = generation.options.admissions.clone().unwrap_or_default();
        let place = generation.stored_in().map(|thread| OpeningPlace {
            thread,
            new: NewRun {
                agent: Some(generation.agent.name().to_owned()),
                user: generation.target.user.clone(),
                durable: generation.options.durable.unwrap_or(false),
                key: generation.key.clone(),
                values: generation
                    .options
                    .values
                    .kept_with(generation.options.parent.map(ParentRun::values).unwrap_or_default()),
                ..NewRun::answering(generation.stored_prompt())
            },
            denials: generation.denials.clone(),
            keep_refused: generation.options.keep_refused_prompt.unwrap_or(false),
        });
        if place.is_none() && admissions.is_empty() && embedded.is_empty() {
            let (run_holds, call_holds) = (Holds::default(), Holds::default());
            let opened = Opened { reporter, run_holds, call_holds, stored: None };
            return Ok(Self::of(runtime, opened, plan.clone(), admissions, None));
        }
        let opening = Opening { reporter, plan: plan.clone(), admissions, embedded, place };
        detached(&runtime.tasks, "beginning answer", Self::open(runtime.clone(), opening)).await?
    }

    async fn open(runtime: Runtime, opening: Opening) -> Result<Self, AgentError> {
        let (plan, admissions) = (opening.plan.clone(), opening.admissions.clone());
        let agent = opening.reporter.agent.clone();
        let mut opened = match runtime.host.write(move |tx, host| opening.write(tx, host)).await? {
            Ok(opened) => opened,
            Err(Turned { refused, prompt }) => return Err(AgentError::refused(&agent, refused, prompt)),
        };
        let kept = opened.stored.take().map(|OpenedRun { run, inputs, hold, stream, step, joined }| {
            let kept = Kept::new(&runtime, hold, run, stream, inputs, joined);
            (kept, step)
        });
        Ok(Self::of(&runtime, opened, plan, admissions, kept))
    }

    fn of(
        runtime: &Runtime,
        opened: Opened,
        plan: Plan,
        admissions: Vec<Admission>,
        kept: Option<(Kept, (StepId, Id<HostRow>))>,
    ) -> Self {
        let Opened { reporter, run_holds, call_holds, .. } = opened;
        let (kept, row) = kept.unzip();
        let attempt = Attempt::new(plan, 0, 1, row, call_holds);
        let total = Usage::default();
        let gives_back = false;
        Self::new(runtime, Begins { reporter, admissions, run_holds, attempt, total, kept, gives_back })
    }

    /// Returns the record of an answer that begins or goes on.
    pub(crate) fn new(runtime: &Runtime, begins: Begins) -> Self {
        let Begins { reporter, admissions, run_holds, attempt, total, kept, gives_back } = begins;
        Self {
            store: runtime.store.clone(),
            tasks: runtime.tasks.clone(),
            reporter: Arc::new(reporter),
            call_admissions: admissions.into_iter().filter(Admission::is_of_calls).collect(),
            run_holds,
            attempt: Arc::new(Mutex::new(attempt)),
            total,
            kept,
            gives_back,
            has_ended: false,
        }
    }

    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    fn attempt(&self) -> MutexGuard<'_, Attempt> {
        lock(&self.attempt)
    }

    fn now(&self) -> Time {
        self.store.clock().now()
    }

    /// Notes that the model is asked now.
    pub(crate) fn asking(&self, plan: Plan) {
        self.attempt().asking(plan);
    }

    /// Notes what the model says before any guard has seen it: it is used whatever becomes of it.
    pub(crate) fn said(&self, chunk: &Chunk) {
        self.attempt().said(chunk);
    }

    /// Notes a chunk of the model's answer.
    pub(crate) fn came(&self, chunk: Chunk) -> Result<(), loomwork_models::Error> {
        let now = self.now();
        self.attempt().came(chunk, now)
    }

    /// Notes the text of the model's answer so far, and how often it has begun.
    pub(crate) fn heard(&self, text: &str, beginnings: u32) {
        let now = self.now();
        self.attempt().heard(text, beginnings, now);
    }

    /// Notes an answer that has come as a whole: what it used counts, whatever becomes of it.
    pub(crate) fn knows(&self, reply: &Reply) {
        self.attempt().knows(reply);
    }

    /// Returns the model's whole answer.
    pub(crate) fn whole(&self) -> Result<Reply, loomwork_models::Error> {
        let now = self.now();
        self.attempt().whole(now)
    }

    /// Hands a chunk to the stream.
    pub(crate) async fn push(&self, chunk: UiChunk) -> Result<(), AgentError> {
        match &self.kept {
            Some(kept) => Ok(kept.writer.push(chunk).await?),
            None => Ok(()),
        }
    }

    /// Returns when the run is no longer ours: never, where there is none.
    pub(crate) async fn lost(&self) -> RunError {
        match &self.kept {
            Some(kept) => runs::lost(&self.store, kept.hold).await,
            None => std::future::pending().await,
        }
    }

    /// Asks who lets the next call of the model be made.
    pub(crate) async fn admit(&self, plan: &Plan) -> Result<(), AgentError> {
        if self.call_admissions.is_empty() {
            return Ok(());
        }
        let (admissions, hold) = (self.call_admissions.clone(), self.kept.as_ref().map(|kept| kept.hold));
        let planned = planned(&self.reporter, plan, self.attempt().step);
        let (store, attempt) = (self.store.clone(), self.attempt.clone());
        let admitting = async move {
            let admitted = store.mutate(move |tx| {
                if let Some(hold) = hold {
                    runs::held(tx, hold)?;
                }
                Holds::admit(tx, &admissions, &planned)
            });
            let holds = admitted.await?;
            let late = {
                let mut attempt = lock(&attempt);
                // Whoever dropped the answer meanwhile has ended it without them.
                if attempt.has_ended {
                    Some(holds)
                } else {
                    attempt.holds = holds;
                    None
                }
            };
            match late {
                Some(holds) => store.mutate(move |tx| holds.settle(tx, None)).await,
                None => Ok(()),
            }
        };
        let admitted = detached(&self.tasks, "admitting call", admitting).await?;
        admitted.map_err(|error| match error.downcast::<Refused>() {
            Ok(refused) => AgentError::refused(&self.reporter.agent, refused, None),
            Err(error) => error.into(),
        })
    }

    /// Commits what the model has said, before its tools run: so their calls have the same ids for whoever takes
    /// the run up.
    pub(crate) async fn answered(&self, reply: &Reply) -> Result<(), AgentError> {
        let (row, first) = {
            let attempt = self.attempt();
            (attempt.row, attempt.first)
        };
        let (Some(kept), Some((row, _))) = (&self.kept, row) else { return Ok(()) };
        let (hold, mut reply) = (kept.hold, reply.clone());
        // It is for a log, which is told of it by the end of the step.
        reply.info.request_body = None;
        let is_resumed = kept.run.durable;
        let answered = self.store.mutate(move |tx| {
            runs::held(tx, hold)?;
            match tx.nested(|tx| journal::answered(tx, row, reply, first)) {
                // Whoever takes the run up asks the model again.
                Err(error) if matches!(error.downcast_ref(), Some(Problem::RecordTooLarge { .. })) => Ok(()),
                kept => kept,
            }
        });
        // Nobody goes on with any other run, so what a power failure takes of it is missed by nobody.
        let answered = if is_resumed { answered.await } else { answered.relaxed().await };
        Ok(answered?)
    }

    /// Whether the run has a stream in which all is that it has said.
    pub(crate) fn has_stream(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| !kept.is_new_stream)
    }

    /// Says that what the stream has so far belongs to steps that are complete.
    pub(crate) async fn begin_behind(&self) -> Result<(), AgentError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let hold = kept.hold;
        kept.writer.flush().await?;
        Ok(self.store.mutate(move |tx| runs::begin_behind(tx, hold)).await?)
    }

    /// Ends the run with an error, and returns the error. What was streamed is kept.
    pub(crate) async fn fail(&mut self, error: AgentError) -> AgentError {
        match &error {
            // It has ended already; its message gets the rest of what was streamed.
            AgentError::Ended(_) => self.end(error, StepEnd::Aborted, None).await,
            AgentError::Model { source, .. } if source.kind() == &ErrorKind::Cancelled => {
                let fails = (MessageStatus::Aborted, error.failure());
                self.end(error, StepEnd::Aborted, Some(fails)).await
            }
            _ => {
                let fails = (MessageStatus::Failed, error.failure());
                self.end(error, StepEnd::Failed, Some(fails)).await
            }
        }
    }

    /// Ends the run since it was called off, and returns the error that says so. What was streamed is kept.
    pub(crate) async fn abort(&mut self, why: Failure) -> AgentError {
        let error = called_off(self.reporter.run, why.clone());
        self.end(error, StepEnd::Aborted, Some((MessageStatus::Aborted, why))).await
    }

    async fn end(
        &mut self,
        error: AgentError,
        end: StepEnd,
        fails: Option<(MessageStatus, Failure)>,
    ) -> AgentError {
        let ending = self.ending(end, Some(&error));
        let Some(kept) = &self.kept else {
            if let Err(second) = self.written(ending, None).await {
                tracing::warn!(run = %self.reporter.run, error = %second, "what a failed answer used is told later");
            }
            self.has_ended = true;
            return error;
        };
        let flushed = kept.writer.flush().await;
        let fails =
            fails.map(|(status, failure)| Leaves { hold: kept.hold, how: How::Fails(status, failure) });
        let (run, fails_here) = (kept.run.id, fails.is_some());
        // Until here, whoever drops it has it ended.
        let written = self.written(ending, fails).await;
        self.has_ended = true;
        match written.map_err(AgentError::from) {
            // Its stream was cut because somebody had ended the run: that is the reason to tell.
            Err(ended @ AgentError::Ended(_)) => return ended,
            Err(second) => tracing::warn!(run = %run, error = %second, "a failed run was not ended"),
            Ok(()) => {
                if let Err(second) = flushed
                    && fails_here
                {
                    tracing::warn!(run = %run, error = %second, "the rest of a failed run was not stored");
                }
            }
        }
        error
    }

    /// Writes an end in a task of its own, so that nobody who drops the answer cuts that short, and returns what
    /// became of the first try.
    async fn written(&self, ending: Ending, leaves: Option<Leaves>) -> loomwork_store::Result<()> {
        let (told, written) = oneshot::channel();
        let (store, last) = (self.store.clone(), (ending.clone(), leaves.clone()));
        self.tasks
            .spawn("end of an answer", |shutdown| ending.write_at_last(store, leaves, Some(told), shutdown));
        match written.await {
            Ok(written) => written,
            // The process ends, and takes no task any more.
            Err(_) => last.0.write(&self.store, last.1).await,
        }
    }

    /// Returns where an answer is stored that has begun.
    pub(crate) fn begun(&self) -> Option<Stored> {
        let kept = self.kept.as_ref()?;
        let messages = kept.messages.iter().copied().chain(kept.run.pending).collect();
        let run = &kept.run;
        Some(Stored { thread: run.thread, run: run.id, prompt: run.prompt, order: run.order, messages })
    }

    pub(crate) fn stored(mut self) -> Option<Stored> {
        let kept = self.kept.as_mut()?;
        let (run, messages) = (&kept.run, std::mem::take(&mut kept.messages));
        Some(Stored { thread: run.thread, run: run.id, prompt: run.prompt, order: run.order, messages })
    }

    /// Returns what ends the attempt that is made now, and the answer with it.
    fn ending(&self, end: StepEnd, error: Option<&AgentError>) -> Ending {
        let attempt = self.attempt();
        let closing = attempt.cut(end, error);
        let mut total = self.total.clone();
        total += &closing.usage;
        Ending {
            exchange: Some((came(&attempt, error), error.map(AgentError::failure))),
            total: Some(total),
            ..self.ending_with(&attempt, closing)
        }
    }

    /// Returns what ends a step that is complete.
    fn ending_of(&self, said: &[NewMessage], goes_on: bool) -> Ending {
        let attempt = self.attempt();
        let closing = attempt.complete(said);
        let mut total = self.total.clone();
        total += &closing.usage;
        let reply = Reply {
            parts: said.first().map(|new| new.message.parts.clone()).unwrap_or_default(),
            ..attempt.so_far()
        };
        Ending {
            exchange: Some((reply, None)),
            total: (!goes_on).then_some(total),
            ..self.ending_with(&attempt, closing)
        }
    }

    fn unsaid(&self, attempt: &Attempt) -> Option<Unsaid> {
        let (kept, (step, ends)) = self.kept.as_ref().zip(attempt.unsaid.clone())?;
        Some(Unsaid { hold: kept.hold, step, ends })
    }

    fn ending_with(&self, attempt: &Attempt, closing: journal::Closing) -> Ending {
        Ending {
            reporter: self.reporter.clone(),
            row: attempt.row,
            step: attempt.step,
            attempt: attempt.attempt,
            closing,
            last_call: attempt.last_call.clone(),
            unsaid: self.unsaid(attempt),
            exchange: None,
            call_holds: attempt.holds.clone(),
            run_holds: self.run_holds.clone(),
            total: None,
            stays_open: false,
        }
    }
}

/// Returns what came of an answer that broke off: what the model's error says, if that knows more.
fn came(attempt: &Attempt, error: Option<&AgentError>) -> Reply {
    match error {
        Some(AgentError::Model { source, .. }) if attempt.so_far().parts.is_empty() => {
            source.partial().cloned().unwrap_or_else(|| attempt.so_far())
        }
        _ => attempt.so_far(),
    }
}

fn lock(attempt: &Mutex<Attempt>) -> MutexGuard<'_, Attempt> {
    // It is plain data, which is whole whatever has panicked beside it.
    attempt.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something in a task of its own: whoever drops this drops what it came to as well, but cuts nothing short.
pub(super) async fn detached<T: Send + 'static>(
    tasks: &Tasks,
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    let (done, came) = oneshot::channel();
    tasks.spawn(name, move |_| async move { drop(done.send(work.await)) });
    came.await.map_err(|_| Error::message(Kind::Cancelled, "nothing begins any more, since the process ends"))
}

/// Makes the row of a step that of the process that holds its run.
pub(crate) fn own(tx: &mut Tx, hold: Hold, step: StepId) -> loomwork_store::Result<(Row<Run>, Id<HostRow>)> {
    let run = runs::held(tx, hold)?;
    let host = run.host.ok_or(RunError::NoRun { run: hold.run })?;
    tx.update(step, |row| row.host = host)?;
    Ok((run, host))
}
