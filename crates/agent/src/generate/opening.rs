//! The transaction that begins an answer: its prompt and pending message, its run, and who lets it begin.

use std::collections::HashSet;

use loomwork_messages::runs::{self, Begun, Hold, NewRun, Prompt, RunError};
use loomwork_messages::streams::{self, NewStream, OpenStream};
use loomwork_messages::{HostRow, MessageId, NewMessage, Run, Save, ThreadId, save};
use loomwork_models::{ModelName, Usage};
use loomwork_store::{Id, Result, Row, Tx};

use super::attempt::{Attempt, Plan};
use super::deny;
use super::joined::joined_ids;
use super::report::Reporter;
use crate::admission::{Admission, Holds, PlannedCall, Refused};
use crate::context::Denial;
use crate::outbox::Handler;
use crate::tables::{StepId, StepRow};

/// What begins an answer.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) reporter: Reporter,
    pub(crate) plan: Plan,
    pub(crate) admissions: Vec<Admission>,
    /// What was embedded to build the context.
    pub(crate) embedded: Vec<(ModelName, Usage)>,
    /// Where it is stored; nothing for an answer outside of threads.
    pub(crate) place: Option<OpeningPlace>,
}

/// Where an answer is stored that begins.
#[derive(Clone, Debug)]
pub(crate) struct OpeningPlace {
    pub(crate) thread: ThreadId,
    pub(crate) new: NewRun,
    /// What the context denies.
    pub(crate) denials: Vec<Denial>,
    /// Whether the prompt is saved though the run is refused.
    pub(crate) keep_refused: bool,
}

/// What an answer begins with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) reporter: Reporter,
    pub(crate) run_holds: Holds,
    pub(crate) call_holds: Holds,
    pub(crate) stored: Option<OpenedRun>,
}

/// A run that has begun.
#[derive(Debug)]
pub(crate) struct OpenedRun {
    pub(crate) run: Row<Run>,
    pub(crate) inputs: Vec<MessageId>,
    pub(crate) hold: Hold,
    pub(crate) stream: OpenStream,
    /// The row of its first step, and the process that makes it.
    pub(crate) step: (StepId, Id<HostRow>),
    /// What has joined the turn before.
    pub(crate) joined: HashSet<MessageId>,
}

/// An answer that was not let begin.
#[derive(Debug)]
pub(crate) struct Turned {
    pub(crate) refused: Refused,
    /// The prompt, if it is stored.
    pub(crate) prompt: Option<MessageId>,
}

impl Opening {
    pub(crate) fn write(self, tx: &mut Tx, host: Id<HostRow>) -> Result<std::result::Result<Opened, Turned>> {
        let (opening, embedded) = (self.clone(), self.embedded);
        match tx.nested(|tx| opening.begin(tx, host)) {
            Ok(opened) => {
                opened.reporter.embedded(tx, (0, 1), &embedded)?;
                Ok(Ok(opened))
            }
            Err(error) => {
                let refused = error.downcast::<Refused>()?;
                self.reporter.embedded(tx, (0, 1), &embedded)?;
                let prompt = match self.place {
                    Some(place) => place.keep_prompt(tx)?,
                    None => None,
                };
                Ok(Err(Turned { refused, prompt }))
            }
        }
    }

    fn begin(self, tx: &mut Tx, host: Id<HostRow>) -> Result<Opened> {
        let Self { mut reporter, plan, admissions, embedded, place } = self;
        let Some(OpeningPlace { thread, new, denials, .. }) = place else {
            let (run_holds, call_holds) = admit(tx, &admissions, &planned(&reporter, &plan, 0))?;
            return Ok(Opened { reporter, run_holds, call_holds, stored: None });
        };
        deny::store(tx, thread, &denials)?;
        let Begun { run, inputs, .. } = runs::begin(tx, thread, new)?;
        if reporter.root == reporter.run {
            reporter.root = run.id;
        }
        reporter.run = run.id;
        reporter.user.clone_from(&run.user);
        let (run_holds, call_holds) = admit(tx, &admissions, &planned(&reporter, &plan, 0))?;
        let lost = RunError::Lost { run: run.id, status: run.status, error: None };
        let hold = runs::take(tx, host, run.id)?.ok_or(lost)?;
        let stream = streams::begin(tx, NewStream { hold: Some(hold), ..NewStream::of(run.first) })?;
        let first = Attempt::new(plan, 0, 1, None, Holds::default());
        let row = step_row(tx, &reporter, &first, thread, host).embedding(&embedded);
        let step = (tx.insert(row)?.id, host);
        let run = tx.require(run.id)?;
        let joined = joined_ids(tx, &run)?;
        let inputs = inputs.iter().map(|row| row.id).collect();
        let stored = Some(OpenedRun { run, inputs, hold, stream, step, joined });
        Ok(Opened { reporter, run_holds, call_holds, stored })
    }
}

impl OpeningPlace {
    /// Saves the prompt of a run that was refused, so that it can be answered later.
    fn keep_prompt(self, tx: &mut Tx) -> Result<Option<MessageId>> {
        match self.new.prompt {
            Prompt::Message(prompt) => Ok(Some(prompt)),
            Prompt::New(_) if !self.keep_refused => Ok(None),
            Prompt::New(messages) => {
                let user = self.new.user;
                let named = messages
                    .into_iter()
                    .map(|new| NewMessage { user: new.user.or_else(|| user.clone()), ..new });
                let rows = save(tx, self.thread, Save::all(named))?;
                Ok(rows.last().map(|row| row.id))
            }
        }
    }
}

/// Asks who lets a run and its next call begin.
pub(super) fn admit(tx: &mut Tx, admissions: &[Admission], planned: &PlannedCall) -> Result<(Holds, Holds)> {
    let (calls, runs): (Vec<_>, Vec<_>) = admissions.iter().partition(|admission| admission.is_of_calls());
    Ok((Holds::admit(tx, runs, planned)?, Holds::admit(tx, calls, planned)?))
}

pub(crate) fn planned(reporter: &Reporter, plan: &Plan, step: u32) -> PlannedCall {
    PlannedCall {
        run: reporter.run,
        root: reporter.root,
        step,
        thread: reporter.thread,
        user: reporter.user.clone(),
        agent: reporter.agent.to_string(),
        values: reporter.values.clone(),
        provider: plan.model.provider.clone(),
        model: plan.model.model.clone(),
        input_tokens: plan.sent,
        max_output_tokens: plan.max_output,
    }
}

/// Returns the row of an attempt that begins.
pub(crate) fn step_row(
    tx: &Tx,
    reporter: &Reporter,
    attempt: &Attempt,
    thread: ThreadId,
    host: Id<HostRow>,
) -> StepRow {
    StepRow {
        run: reporter.run,
        step: attempt.step,
        attempt: attempt.attempt,
        root: reporter.root,
        thread,
        user: reporter.user.clone(),
        agent: reporter.agent.to_string(),
        host,
        kind: attempt.plan.kind,
        provider: attempt.plan.model.provider.clone(),
        model: attempt.plan.model.model.clone(),
        sent: attempt.plan.sent,
        asked: tx.now(),
        first: None,
        answered: None,
        ended: None,
        end: None,
        finish_reason: None,
        usage: None,
        embedded: Vec::new(),
        reply: None,
        on_usage: reporter.on_usage.as_ref().map(|on_usage| Handler::from(on_usage.clone()).name()),
    }
}
