//! What is stored of an answer while it is made: its run, its messages, its stream and its steps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loomwork_core::{Kind, Tasks, Time};
use loomwork_messages::runs::{self, Hold, NewRun, RunError, Step, Then};
use loomwork_messages::streams::{NewStream, StreamWriter};
use loomwork_messages::{
    Failure, HostRow, MessageId, MessageStatus, NewMessage, Run, RunId, RunStatus, UiChunk,
};
use loomwork_models::{Chunk, ErrorKind, ModelName, Reply, Usage};
use loomwork_store::{Error, Id, Problem, Row, Store, Tx};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Generation;
use super::attempt::{Attempt, Plan};
use super::ending::Ending;
use super::opening::{Opened, OpenedRun, Opening, OpeningPlace, Turned, planned, step_row};
use super::report::Reporter;
use crate::admission::{Admission, Holds, Refused};
use crate::approvals;
use crate::error::AgentError;
use crate::humans;
use crate::journal;
use crate::reply::Stored;
use crate::runtime::Runtime;
use crate::tables::{StepEnd, StepId};
use crate::tool::{CallEnd, Outcome, ParentRun};
use crate::waiting;

/// The record of an answer. Of one outside of threads nothing is stored, but what it used is told.
pub(crate) struct Record {
    store: Store,
    /// Settles the answer if it is dropped before its end.
    tasks: Tasks,
    pub(crate) reporter: Arc<Reporter>,
    call_admissions: Vec<Admission>,
    run_holds: Holds,
    attempt: Mutex<Attempt>,
    /// What all steps have used.
    total: Usage,
    kept: Option<Kept>,
    has_ended: bool,
}

/// What a thread has of an answer.
pub(crate) struct Kept {
    pub(crate) hold: Hold,
    pub(crate) run: Row<Run>,
    writer: StreamWriter,
    messages: Vec<MessageId>,
}

impl Kept {
    pub(crate) fn new(runtime: &Runtime, hold: Hold, run: Row<Run>, messages: Vec<MessageId>) -> Self {
        let writer = runtime.live.write(NewStream { hold: Some(hold), ..NewStream::of(run.first) });
        Self { hold, run, writer, messages }
    }
}

/// Whoever drops an answer calls it off: its run would be held for as long as this process lives.
impl Drop for Record {
    fn drop(&mut self) {
        let is_told = self.kept.is_none() && self.attempt().has_ended;
        if self.has_ended || is_told || Handle::try_current().is_err() {
            return;
        }
        let store = self.store.clone();
        let ending = self.ending(StepEnd::Aborted, None);
        let failure = Failure::new("dropped", "whoever waited for the answer has gone");
        let fails = self.kept.as_ref().map(|kept| (kept.hold, MessageStatus::Aborted, failure));
        self.tasks.spawn("dropped answer", move |_| async move {
            if let Err(error) = ending.write(&store, fails).await {
                tracing::debug!(%error, "a dropped answer had ended already");
            }
        });
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
            host: runtime.host.id(),
            new: NewRun {
                agent: Some(generation.agent.name().to_owned()),
                user: generation.target.user.clone(),
                durable: generation.options.durable.unwrap_or(false),
                values: generation.options.parent.map(ParentRun::values).unwrap_or_default(),
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
        // In a task of its own: whoever drops the answer meanwhile drops its record too, which ends the run.
        let (done, record) = oneshot::channel();
        let opening = Self::open(runtime.clone(), opening);
        runtime.tasks.spawn("beginning answer", move |_| async move { drop(done.send(opening.await)) });
        let ends = |_| Error::message(Kind::Cancelled, "no answer begins any more, since the process ends");
        record.await.map_err(ends)?
    }

    async fn open(runtime: Runtime, opening: Opening) -> Result<Self, AgentError> {
        let (plan, admissions) = (opening.plan.clone(), opening.admissions.clone());
        let agent = opening.reporter.agent.clone();
        let mut opened = match runtime.store.mutate(move |tx| opening.write(tx)).await? {
            Ok(opened) => opened,
            Err(Turned { refused, prompt }) => return Err(AgentError::refused(&agent, refused, prompt)),
        };
        let kept = match opened.stored.take() {
            Some(OpenedRun { run, inputs, hold: Some((hold, host)), step }) => {
                Some((Kept::new(&runtime, hold, run, inputs), (step, host)))
            }
            // The lease of this process had run out unnoticed, the clock having leapt.
            Some(OpenedRun { run, inputs, hold: None, step }) => {
                let hold = take(&runtime, run.id).await?;
                let (run, host) = runtime.store.mutate(move |tx| own(tx, hold, step)).await?;
                Some((Kept::new(&runtime, hold, run, inputs), (step, host)))
            }
            None => None,
        };
        Ok(Self::of(&runtime, opened, plan, admissions, kept))
    }

    /// Returns the record of a run that was taken up.
    pub(crate) fn resumed(
        runtime: &Runtime,
        reporter: Reporter,
        kept: Kept,
        attempt: Attempt,
        admissions: &Option<Vec<Admission>>,
    ) -> Self {
        let calls = admissions.iter().flatten().filter(|admission| admission.is_of_calls());
        Self {
            store: runtime.store.clone(),
            tasks: runtime.tasks.clone(),
            reporter: Arc::new(reporter),
            call_admissions: calls.cloned().collect(),
            run_holds: Holds::default(),
            attempt: Mutex::new(attempt),
            total: Usage::default(),
            kept: Some(kept),
            has_ended: false,
        }
    }

    /// Adds what steps before have used.
    pub(crate) fn has_used(&mut self, usage: &Usage) {
        self.total += usage;
    }

    fn of(
        runtime: &Runtime,
        opened: Opened,
        plan: Plan,
        mut admissions: Vec<Admission>,
        kept: Option<(Kept, (StepId, Id<HostRow>))>,
    ) -> Self {
        let Opened { reporter, run_holds, call_holds, .. } = opened;
        let (kept, row) = kept.unzip();
        admissions.retain(Admission::is_of_calls);
        Self {
            store: runtime.store.clone(),
            tasks: runtime.tasks.clone(),
            reporter: Arc::new(reporter),
            call_admissions: admissions,
            run_holds,
            attempt: Mutex::new(Attempt::new(plan, 0, 1, row, call_holds)),
            total: Usage::default(),
            kept,
            has_ended: false,
        }
    }

    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    fn attempt(&self) -> MutexGuard<'_, Attempt> {
        // It is plain data, which is whole whatever has panicked beside it.
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        self.store.clock().now()
    }

    /// Notes that the model is asked now.
    pub(crate) fn asking(&self, plan: Plan) {
        self.attempt().asking(plan);
    }

    /// Notes a chunk of the model's answer.
    pub(crate) fn came(&self, chunk: Chunk) -> Result<(), loomwork_models::Error> {
        let now = self.now();
        self.attempt().came(chunk, now)
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
        let admitted = self.store.mutate(move |tx| {
            if let Some(hold) = hold {
                runs::held(tx, hold)?;
            }
            Holds::admit(tx, &admissions, &planned)
        });
        let holds = admitted.await.map_err(|error| match error.downcast::<Refused>() {
            Ok(refused) => AgentError::refused(&self.reporter.agent, refused, None),
            Err(error) => error.into(),
        })?;
        self.attempt().holds = holds;
        Ok(())
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
        let answered = self.store.mutate(move |tx| {
            runs::held(tx, hold)?;
            match tx.nested(|tx| journal::answered(tx, row, reply, first)) {
                // Whoever takes the run up asks the model again.
                Err(error) if matches!(error.downcast_ref(), Some(Problem::RecordTooLarge { .. })) => Ok(()),
                kept => kept,
            }
        });
        Ok(answered.await?)
    }

    /// Commits the end of a call, so that it is not made again. One that waits for somebody, or that was called
    /// off, has no end that counts for whoever takes the run up.
    pub(crate) async fn ended(&self, step: u32, end: CallEnd) -> Result<(), AgentError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        if end.result.is_none() || end.outcome == Outcome::Cancelled {
            return Ok(());
        }
        let hold = kept.hold;
        let ended = self.store.mutate(move |tx| {
            runs::held(tx, hold)?;
            approvals::consume(tx, hold.run, step, &end.call.id)?;
            humans::consume(tx, hold.run, step, &end.call.id)?;
            journal::ended(tx, hold.run, step, end)
        });
        Ok(ended.await?)
    }

    /// Commits a step.
    pub(crate) async fn commit(&mut self, messages: Vec<NewMessage>, then: Then) -> Result<(), AgentError> {
        let goes_on = then == Then::GoOn;
        let ending = self.ending_of(&messages, goes_on);
        let used = ending.closing.usage.clone();
        let (plan, step) = {
            let attempt = self.attempt();
            (attempt.plan.with(&messages), attempt.step)
        };
        let next = move |row| goes_on.then(|| Attempt::new(plan, step + 1, 1, row, Holds::default()));
        let Some(kept) = &mut self.kept else {
            self.attempt().has_ended = true;
            ending.write(&self.store, None).await?;
            self.go_on(next(None), &used);
            return Ok(());
        };
        let hold = kept.hold;
        let (reporter, opens) = (self.reporter.clone(), next.clone());
        let done = match kept.writer.flush().await {
            Ok(()) => {
                let done = self.store.mutate(move |tx| {
                    let done = runs::step(tx, hold, Step { messages, then })?;
                    ending.apply(tx)?;
                    if then == Then::Wait {
                        waiting::begin(tx, hold.run, step)?;
                    }
                    let opened = match (opens(None), done.run.host) {
                        (Some(next), Some(host)) => {
                            let row = step_row(tx, &reporter, &next, done.run.thread, host);
                            Some((tx.insert(row)?.id, host))
                        }
                        _ => None,
                    };
                    Ok((done, opened))
                });
                done.await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok((done, opened)) => {
                kept.messages.extend(done.messages.iter().map(|row| row.id));
                kept.run = done.run;
                self.go_on(next(opened), &used);
                Ok(())
            }
            // A step that cannot be stored is a failed run, and is told.
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Commits the results of calls that waited for somebody; they belong to a step that is complete. Where no other
    /// one follows, the run ends.
    pub(crate) async fn settle(
        &mut self,
        step: u32,
        said: Option<NewMessage>,
        goes_on: bool,
    ) -> Result<(), AgentError> {
        let (row, call_holds) = {
            let attempt = self.attempt();
            (attempt.row, attempt.holds.clone())
        };
        let (run_holds, total) = (self.run_holds.clone(), self.total.clone());
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let hold = kept.hold;
        let done = match kept.writer.flush().await {
            Ok(()) => {
                let done = self.store.mutate(move |tx| {
                    let then = if goes_on { Then::GoOn } else { Then::End };
                    let done =
                        runs::rest_of_step(tx, hold, Step { messages: said.into_iter().collect(), then })?;
                    journal::let_go(tx, hold.run, step)?;
                    if let Some((row, _)) = row.filter(|_| !goes_on) {
                        // The step that the run was taken up for is not made.
                        tx.delete(row)?;
                        call_holds.settle(tx, None)?;
                        run_holds.settle(tx, Some(&total))?;
                    }
                    Ok(done)
                });
                done.await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => {
                kept.messages.extend(done.messages.iter().map(|row| row.id));
                kept.run = done.run;
                self.has_ended = !goes_on;
                Ok(())
            }
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Whether the run has a stream, in which all is that it has said.
    pub(crate) fn has_stream(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.run.stream.is_some())
    }

    /// Says that what the stream has so far belongs to steps that are complete.
    pub(crate) async fn begin_behind(&self) -> Result<(), AgentError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let hold = kept.hold;
        kept.writer.flush().await?;
        Ok(self.store.mutate(move |tx| runs::begin_behind(tx, hold)).await?)
    }

    /// Goes on to the next attempt; without one the answer is complete.
    fn go_on(&mut self, next: Option<Attempt>, used: &Usage) {
        self.reporter.delegated.report(used);
        self.total += used;
        self.has_ended = next.is_none();
        if let Some(next) = next {
            *self.attempt() = next;
        }
    }

    /// Ends the run with an error, and returns the error. What was streamed is kept.
    pub(crate) async fn fail(&mut self, error: AgentError) -> AgentError {
        let end = match &error {
            AgentError::Ended(_) => StepEnd::Aborted,
            AgentError::Model { source, .. } if source.kind() == &ErrorKind::Cancelled => StepEnd::Aborted,
            _ => StepEnd::Failed,
        };
        let ending = self.ending(end, Some(&error));
        self.reporter.delegated.report(&ending.closing.usage);
        let Some(kept) = &self.kept else {
            self.has_ended = true;
            if let Err(second) = ending.write(&self.store, None).await {
                tracing::warn!(run = %self.reporter.run, error = %second, "what a failed answer used was not told");
            }
            return error;
        };
        let flushed = kept.writer.flush().await;
        let fails = match (&error, end) {
            // It has ended already; its message gets the rest of what was streamed.
            (AgentError::Ended(_), _) => None,
            (_, StepEnd::Aborted) => Some((kept.hold, MessageStatus::Aborted, error.failure())),
            _ => Some((kept.hold, MessageStatus::Failed, error.failure())),
        };
        let (run, fails_here) = (kept.run.id, fails.is_some());
        // Until here, whoever drops it has it ended.
        let written = ending.write(&self.store, fails).await;
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
            exchange: Some((attempt.partial(), error.map(AgentError::failure))),
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
            ..attempt.partial()
        };
        Ending {
            exchange: Some((reply, None)),
            total: (!goes_on).then_some(total),
            ..self.ending_with(&attempt, closing)
        }
    }

    fn ending_with(&self, attempt: &Attempt, closing: journal::Closing) -> Ending {
        Ending {
            reporter: self.reporter.clone(),
            row: attempt.row,
            step: attempt.step,
            attempt: attempt.attempt,
            closing,
            exchange: None,
            call_holds: attempt.holds.clone(),
            run_holds: self.run_holds.clone(),
            total: None,
        }
    }
}

/// Takes a run.
pub(crate) async fn take(runtime: &Runtime, run: RunId) -> Result<Hold, AgentError> {
    let taken = runtime.host.take(run).await?;
    let lost = || RunError::Lost { run, status: RunStatus::Running, error: None };
    taken.ok_or_else(lost).map_err(|lost| AgentError::Ended(Box::new(lost)))
}

/// Makes the row of a step that of the process that holds its run.
pub(crate) fn own(tx: &mut Tx, hold: Hold, step: StepId) -> loomwork_store::Result<(Row<Run>, Id<HostRow>)> {
    let run = runs::held(tx, hold)?;
    let host = run.host.ok_or(RunError::NoRun { run: hold.run })?;
    tx.update(step, |row| row.host = host)?;
    Ok((run, host))
}
