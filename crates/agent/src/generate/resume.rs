//! Going on with a run whose process has gone, at the step where it stopped.

use std::collections::{HashMap, HashSet};

use loomwork_core::{Fault, Kind};
use loomwork_messages::runs::{self, Hold, Prompt, RunError};
use loomwork_messages::streams::{self, NewStream, OpenStream};
use loomwork_messages::{HostRow, MessageId, MessageRow, MessageStatus, Position, Run, RunId, RunStatus};
use loomwork_models::{FinishReason, Message, ModelName, Part, Reply, Role, ToolCall, Usage};
use loomwork_store::{Id, Result, Row, Tx};
use tracing::Instrument as _;

use super::attempt::{Attempt, Plan};
use super::joined::joined_ids;
use super::opening::{admit, planned, step_row};
use super::record::{Begins, Kept, Record, detached, own};
use super::report::Reporter;
use super::step::Prepared;
use super::waited::{Waited, open_calls, waited};
use super::{Generation, Out, cut, deny, step_number as number, unless_called_off};
use crate::admission::{Admission, Holds, Refused};
use crate::context::Denial;
use crate::error::AgentError;
use crate::journal;
use crate::reply::{AgentReply, StepReply};
use crate::runtime::Runtime;
use crate::spans;
use crate::tables::{CallRow, StepId};
use crate::tool::{CallEnd, Outcome, ParentRun};
use crate::values::Values;
use crate::waiting;

/// What is known of a run before it goes on.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The steps that are complete.
    pub(super) steps: Vec<StepReply>,
    pub(super) begun: Option<Begun>,
    /// Calls that waited for somebody.
    pub(super) waited: Option<Waited>,
}

/// A step whose model has answered, with those of its calls that have ended.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) reply: Reply,
    pub(super) ended: Vec<CallEnd>,
}

/// What takes up a run.
#[derive(Clone, Debug)]
struct TakingUp {
    run: RunId,
    /// The taking before, when what is known of the run was read.
    fence: u64,
    /// What had joined its turn then.
    joined: HashSet<MessageId>,
    gives_back: bool,
    reporter: Reporter,
    plan: Plan,
    admissions: Vec<Admission>,
    denials: Vec<Denial>,
    /// What was embedded to build the context.
    embedded: Vec<(ModelName, Usage)>,
}

/// A run that was taken up.
struct TakenUp {
    hold: Hold,
    stream: OpenStream,
    run: Row<Run>,
    messages: Vec<MessageId>,
    known: Known,
    joined: HashSet<MessageId>,
    row: (StepId, Id<HostRow>),
    attempt: u32,
    run_holds: Holds,
    call_holds: Holds,
}

impl<S: Send + Sync + 'static> Generation<S> {
    /// Goes on with a run that waits to be taken up.
    pub(crate) async fn resume(
        mut self,
        run: RunId,
        out: Out,
    ) -> std::result::Result<AgentReply, AgentError> {
        let (call_off, store) = (self.call_off.clone(), self.runtime.store.clone());
        let answered = async { Ok(waiting::answered(&store, run).await?) };
        unless_called_off(&call_off, run, answered).await?;
        let row = self.runtime.store.query(move |tx| tx.get(run)).await?;
        let thread = self.target.thread;
        let row = row.filter(|row| Some(row.thread) == thread).ok_or(RunError::NoRun { run });
        let row = row.map_err(loomwork_store::Error::from)?;
        if !matches!(row.status, RunStatus::Queued | RunStatus::Waiting) {
            return Err(AgentError::Ended(Box::new(not_waiting(&row))));
        }
        let prompt = row.prompt.ok_or(RunError::NoPrompt { thread: row.thread });
        self.prompt = Prompt::Message(prompt.map_err(loomwork_store::Error::from)?);
        self.unstored = run;
        self.target.user.clone_from(&row.user);
        self.options.parent = self.options.parent.or_else(|| ParentRun::of(&row));
        self.options.values = std::mem::take(&mut self.options.values).merged(Values::of_run(&row));
        let model = self.options.model.as_ref().map(|model| model.name());
        let span = spans::invoke_agent(&self, model);
        let answered = self.go_on_with(&row, &out).instrument(span.clone()).await;
        spans::agent_ended(&span, answered.as_ref().map(|reply| &reply.usage));
        answered
    }

    async fn go_on_with(&mut self, run: &Row<Run>, out: &Out) -> std::result::Result<AgentReply, AgentError> {
        let call_off = self.call_off.clone();
        let taken = loop {
            match unless_called_off(&call_off, run.id, self.take_up(run)).await {
                Err(AgentError::Store(error)) if error.downcast_ref::<Joined>().is_some() => {}
                taken => break taken,
            }
        };
        let (record, known, messages, first) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.not_taken_up(run, &error).await;
                return Err(error);
            }
        };
        self.go_on(record, messages, known, first, out).await
    }

    /// Prepares the next step of a run, and takes the run.
    async fn take_up(
        &mut self,
        run: &Row<Run>,
    ) -> std::result::Result<(Record, Known, Vec<Message>, Prepared<S>), AgentError> {
        let id = run.id;
        let steps = self.runtime.store.query(move |tx| {
            let run = tx.require(id)?;
            let steps = steps_of(&messages_of(tx, &run)?, &journal::calls(tx, id)?);
            Ok((steps, joined_ids(tx, &run)?))
        });
        let (steps, joined) = steps.await?;
        let (mut messages, embedded) = self.told().await?;
        let prepared = match open_calls(&steps).next() {
            Some(_) => self.prepare_calls(&mut messages, &steps).await,
            None => self.prepare(&mut messages, 0, &steps).await,
        };
        let first = match prepared {
            Ok(first) => first,
            Err(error) => {
                self.tell_embedded(embedded, &error).await;
                return Err(error);
            }
        };
        let taking = TakingUp {
            run: id,
            fence: run.fence,
            joined,
            gives_back: self.gives_back,
            reporter: self.reporter(),
            plan: first.plan.clone(),
            admissions: self.options.admissions.clone().unwrap_or_default(),
            denials: std::mem::take(&mut self.denials),
            embedded,
        };
        let taking = taking.record(self.runtime.clone());
        let (record, known) = detached(&self.runtime.tasks, "taking up an answer", taking).await??;
        Ok((record, known, messages, first))
    }

    /// Ends a run that cannot be gone on with as it was started.
    pub(crate) async fn refuse(
        self,
        run: RunId,
        error: AgentError,
    ) -> std::result::Result<AgentReply, AgentError> {
        if let Some(row) = self.runtime.store.query(move |tx| tx.get(run)).await? {
            self.not_taken_up(&row, &error).await;
        }
        Err(error)
    }

    /// Ends a run that cannot be taken up, unless what hinders that may pass.
    async fn not_taken_up(&self, run: &Row<Run>, error: &AgentError) {
        let (id, fence) = (run.id, run.fence);
        if Fault::kind(error).is_retryable() || matches!(error, AgentError::Ended(_)) {
            tracing::info!(run = %id, %error, "a run is not taken up, and stays as it is");
            return;
        }
        let failure = error.failure();
        let failed = self.runtime.host.write(move |tx, host| {
            let waits = tx.get(id)?.is_some_and(|run| run.fence == fence);
            match if waits { runs::take(tx, host, id)? } else { None } {
                Some(hold) => runs::fail(tx, hold, MessageStatus::Failed, failure).map(drop),
                None => Ok(()),
            }
        });
        if let Err(error) = failed.await {
            tracing::warn!(run = %id, %error, "a run that cannot be taken up was not ended");
        }
    }
}

impl TakingUp {
    /// Takes the run up. Whoever drops the record that comes of it has the run ended.
    async fn record(self, runtime: Runtime) -> std::result::Result<(Record, Known), AgentError> {
        let (plan, admissions, gives_back) = (self.plan.clone(), self.admissions.clone(), self.gives_back);
        let (reporter, embedded) = (self.reporter.clone(), self.embedded.clone());
        let taken = match runtime.host.write(move |tx, host| self.write(tx, host)).await {
            Ok(taken) => taken,
            Err(error) => {
                // It was embedded, whatever comes of it.
                let told = reporter.clone();
                runtime.store.mutate(move |tx| told.embedded(tx, (0, 1), &embedded)).await?;
                let refused = error.downcast::<Refused>()?;
                return Err(AgentError::refused(&reporter.agent, refused, None));
            }
        };
        let TakenUp { hold, stream, run, messages, known, joined, row, attempt, run_holds, call_holds } =
            taken;
        let kept = Some(Kept::new(&runtime, hold, run, stream, messages, joined));
        let mut attempt = Attempt::new(plan, number(known.steps.len()), attempt, Some(row), call_holds);
        if let Some(begun) = &known.begun {
            attempt.knows(&begun.reply);
        }
        let mut total = Usage::default();
        for step in &known.steps {
            total += &step.usage;
        }
        let begins = Begins { reporter, admissions, run_holds, attempt, total, kept, gives_back };
        Ok((Record::new(&runtime, begins), known))
    }

    /// Takes the run, reads what is known of it, and begins an attempt at its step, or goes on with the one that
    /// had an answer.
    fn write(self, tx: &mut Tx, host: Id<HostRow>) -> Result<TakenUp> {
        let Self { run: id, fence, joined, reporter, plan, admissions, denials, embedded, .. } = self;
        let row = tx.get(id)?.ok_or(RunError::NoRun { run: id })?;
        let taken = if row.fence == fence { runs::take(tx, host, id)? } else { None };
        let hold = taken.ok_or_else(|| not_waiting(&row))?;
        let stream = streams::begin(tx, NewStream { hold: Some(hold), ..NewStream::of(row.first) })?;
        let run = runs::held(tx, hold)?;
        if joined_ids(tx, &run)? != joined {
            return Err(Joined { run: id }.into());
        }
        deny::store(tx, run.thread, &denials)?;
        let messages = messages_of(tx, &run)?;
        let steps = steps_of(&messages, &journal::calls(tx, id)?);
        let messages = messages.iter().map(|row| row.id).collect();
        let step = number(steps.len());
        let planned = planned(&reporter, &plan, step);
        let mut begun = None;
        for row in journal::steps(tx, id)?.into_iter().filter(|row| row.end.is_none()) {
            match row.reply.clone().filter(|_| row.step == step && begun.is_none()) {
                Some(reply) => begun = Some((row, reply)),
                None => cut::end(tx, row, false)?,
            }
        }
        if let Some((row, reply)) = begun {
            let (run, host) = own(tx, hold, row.id)?;
            reporter.embedded(tx, (step, row.attempt), &embedded)?;
            let of_run = admissions.iter().filter(|admission| !admission.is_of_calls());
            let (run_holds, call_holds) = (Holds::admit(tx, of_run, &planned)?, Holds::default());
            let calls = journal::calls_of(tx, id, step)?;
            let ended = reply.tool_calls().filter_map(|call| {
                let row = calls.iter().find(|row| row.call == call.id)?;
                Some(call_end(call, row))
            });
            let ended = ended.collect();
            let known = Known { steps, begun: Some(Begun { reply, ended }), waited: None };
            let (row, attempt) = ((row.id, host), row.attempt);
            return Ok(TakenUp {
                hold,
                stream,
                run,
                messages,
                known,
                joined,
                row,
                attempt,
                run_holds,
                call_holds,
            });
        }
        let (run_holds, call_holds) = admit(tx, &admissions, &planned)?;
        reporter.embedded(tx, (step, run.attempt), &embedded)?;
        let attempt = Attempt::new(plan, step, run.attempt, None, Holds::default());
        let row = step_row(tx, &reporter, &attempt, run.thread, host).embedding(&embedded);
        let row = (tx.insert(row)?.id, host);
        let waited = waited(tx, &run, &steps)?;
        let (attempt, known) = (run.attempt, Known { steps, begun: None, waited });
        Ok(TakenUp { hold, stream, run, messages, known, joined, row, attempt, run_holds, call_holds })
    }
}

/// Something has joined the turn of a run while its context was built.
#[derive(Debug, thiserror::Error)]
#[error("something has joined the turn of {run}, so its context is built anew")]
struct Joined {
    run: RunId,
}

impl Fault for Joined {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
}

fn not_waiting(run: &Row<Run>) -> RunError {
    RunError::Lost { run: run.id, status: run.status, error: run.error.clone() }
}

pub(super) fn call_end(call: &ToolCall, row: &CallRow) -> CallEnd {
    let CallRow { outcome, tries, started, ended, .. } = *row;
    CallEnd {
        call: call.clone(),
        outcome,
        result: row.result().cloned(),
        tries,
        started,
        ended,
        awaits: None,
    }
}

/// Returns the messages that a run has completed, in their order.
fn messages_of(tx: &Tx, run: &Row<Run>) -> Result<Vec<Row<MessageRow>>> {
    let turn = MessageRow::by_position.eq(run.thread).ge(Position::start_of(run.order));
    let turn = tx.scan(turn.le(Position::end_of(run.order)))?.into_iter();
    Ok(turn.filter(|row| row.run == Some(run.id) && row.status == MessageStatus::Success).collect())
}

/// Returns the steps that a run's messages are.
fn steps_of(messages: &[Row<MessageRow>], calls: &[Row<CallRow>]) -> Vec<StepReply> {
    let mut steps: Vec<StepReply> = Vec::new();
    for row in messages {
        match row.role() {
            Role::Assistant => steps.push(StepReply {
                parts: row.message.parts.clone(),
                calls: Vec::new(),
                finish_reason: row.finish_reason.unwrap_or(FinishReason::Other),
                usage: row.usage.clone().unwrap_or_default(),
                model: row.model.clone().unwrap_or_default(),
                provider: row.provider.clone().unwrap_or_default(),
                warnings: row.warnings.clone(),
            }),
            Role::Tool => {
                let number = number(steps.len().saturating_sub(1));
                let Some(step) = steps.last_mut() else { continue };
                let made = step.parts.iter().filter_map(|part| match part {
                    Part::ToolCall(call) => Some((call.id.as_str(), call)),
                    _ => None,
                });
                let made: HashMap<_, _> = made.collect();
                let ended = row.message.tool_results().filter_map(|result| {
                    let call = (*made.get(result.call.as_str())?).clone();
                    let known = calls.iter().find(|row| row.step == number && row.call == result.call);
                    let outcome = if result.output.is_error() { Outcome::Failed } else { Outcome::Succeeded };
                    let (outcome, tries, started, ended) = match known {
                        Some(known) => (known.outcome, known.tries, known.started, known.ended),
                        None => (outcome, 1, row.created, row.created),
                    };
                    Some(CallEnd {
                        call,
                        outcome,
                        result: Some(result.clone()),
                        tries,
                        started,
                        ended,
                        awaits: None,
                    })
                });
                // Those that waited for somebody have a message of their own.
                step.calls.extend(ended);
            }
            _ => {}
        }
    }
    steps
}
