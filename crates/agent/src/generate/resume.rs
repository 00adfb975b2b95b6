//! Going on with a run whose process has gone, at the step where it stopped.

use std::collections::HashMap;

use loomwork_messages::runs::{self, Hold, Prompt, RunError};
use loomwork_messages::{HostRow, MessageRow, MessageStatus, Position, Run, RunId};
use loomwork_models::{FinishReason, Part, Reply, Role, ToolCall};
use loomwork_store::{Id, Result, Row, Tx};
use tracing::Instrument as _;

use super::attempt::{Attempt, Plan};
use super::opening::step_row;
use super::record::{Kept, Record, own, take};
use super::report::Reporter;
use super::waited::{Waited, waited};
use super::{Generation, Out, cut, step_number as number};
use crate::admission::Holds;
use crate::error::AgentError;
use crate::journal;
use crate::reply::{AgentReply, StepReply};
use crate::spans;
use crate::tables::{CallRow, StepId};
use crate::tool::{CallEnd, Outcome, ParentRun};
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

/// A run that was taken up.
struct TakenUp {
    run: Row<Run>,
    messages: Vec<Row<MessageRow>>,
    known: Known,
    row: (StepId, Id<HostRow>),
    attempt: u32,
}

impl<S: Send + Sync + 'static> Generation<S> {
    /// Goes on with a run that waits to be taken up.
    pub(crate) async fn resume(
        mut self,
        run: RunId,
        out: Out,
    ) -> std::result::Result<AgentReply, AgentError> {
        waiting::answered(&self.runtime.store, run).await?;
        let row = self.runtime.store.query(move |tx| tx.get(run)).await?;
        let thread = self.target.thread;
        let row = row.filter(|row| Some(row.thread) == thread).ok_or(RunError::NoRun { run });
        let row = row.map_err(loomwork_store::Error::from)?;
        let prompt = row.prompt.ok_or(RunError::NoPrompt { thread: row.thread });
        self.prompt = Prompt::Message(prompt.map_err(loomwork_store::Error::from)?);
        self.target.user.clone_from(&row.user);
        self.options.parent = self.options.parent.or_else(|| ParentRun::of(&row));
        let span = spans::invoke_agent(&self);
        let answered = self.take_up(run, &out).instrument(span.clone()).await;
        spans::agent_ended(&span, &answered);
        answered
    }

    async fn take_up(&mut self, run: RunId, out: &Out) -> std::result::Result<AgentReply, AgentError> {
        let (mut messages, _) = self.told().await?;
        let first = self.prepare(&mut messages, 0, &[]).await?;
        let hold = take(&self.runtime, run).await?;
        let mut reporter = Reporter { run, ..self.reporter() };
        if self.options.parent.is_none() {
            reporter.root = run;
        }
        let (plan, told) = (first.plan.clone(), reporter.clone());
        let taken = self.runtime.store.mutate(move |tx| take_up(tx, hold, &told, &plan)).await?;
        let TakenUp { run, messages: stored, known, row, attempt } = taken;
        let kept = Kept::new(&self.runtime, hold, run, stored.iter().map(|row| row.id).collect());
        let mut attempt =
            Attempt::new(first.plan.clone(), number(known.steps.len()), attempt, Some(row), Holds::default());
        if let Some(begun) = &known.begun {
            attempt.knows(&begun.reply);
        }
        let mut record = Record::resumed(&self.runtime, reporter, kept, attempt, &self.options.admissions);
        for step in &known.steps {
            record.has_used(&step.usage);
        }
        if known.begun.is_none()
            && let Err(error) = record.admit(&first.plan).await
        {
            return Err(record.fail(error).await);
        }
        self.go_on(record, messages, known, first, out).await
    }
}

/// Reads what is known of a run, and begins an attempt at its step, or goes on with the one that had an answer.
fn take_up(tx: &mut Tx, hold: Hold, reporter: &Reporter, plan: &Plan) -> Result<TakenUp> {
    let run = runs::held(tx, hold)?;
    let messages = messages_of(tx, &run)?;
    let steps = steps_of(&messages, &journal::calls(tx, run.id)?);
    let step = number(steps.len());
    let mut begun = None;
    for row in journal::steps(tx, run.id)?.into_iter().filter(|row| row.end.is_none()) {
        match row.reply.clone().filter(|_| row.step == step && begun.is_none()) {
            Some(reply) => begun = Some((row, reply)),
            None => cut::end(tx, row, false)?,
        }
    }
    let Some((row, reply)) = begun else {
        let host = run.host.ok_or(RunError::NoRun { run: run.id })?;
        let attempt = Attempt::new(plan.clone(), step, run.attempt, None, Holds::default());
        let row = step_row(tx, reporter, &attempt, run.thread, host);
        let row = (tx.insert(row)?.id, host);
        let waited = waited(tx, &run, &steps)?;
        let known = Known { steps, begun: None, waited };
        return Ok(TakenUp { attempt: run.attempt, run, messages, known, row });
    };
    let (_, host) = own(tx, hold, row.id)?;
    let calls = journal::calls_of(tx, run.id, step)?;
    let ended = reply.tool_calls().filter_map(|call| {
        let row = calls.iter().find(|row| row.call == call.id)?;
        Some(call_end(call, row))
    });
    let ended = ended.collect();
    let known = Known { steps, begun: Some(Begun { reply, ended }), waited: None };
    Ok(TakenUp { run, messages, known, row: (row.id, host), attempt: row.attempt })
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
