//! What a run waits for: approvals, and answers of people. The last of them lets it go on.

use loomwork_messages::runs::{self, RunError};
use loomwork_messages::{Failure, MessageId, MessagePatch, MessageStatus, Run, RunId, ThreadId, update};
use loomwork_models::{Part, ToolCall};
use loomwork_store::{Result, Row, Store, Tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::durable::{self, STARTED};
use crate::{approvals, humans};

/// The call of a tool that somebody is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallSite {
    /// Its run.
    pub run: RunId,
    /// The number of the step within the run, from 0.
    pub step: u32,
    /// The id of the call.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// The thread.
    pub thread: ThreadId,
    /// The number of the turn.
    pub order: u64,
    /// The message that has the call, as soon as its step is complete.
    pub message: MessageId,
    /// The agent.
    pub agent: String,
    /// Whose the run is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl CallSite {
    /// Whether the run has ended without an answer.
    pub(crate) fn is_over(&self, tx: &Tx) -> Result<bool> {
        Ok(tx.get(self.run)?.is_none_or(|run| run.status.has_ended()))
    }

    /// Returns the call as its message has it; nothing while the step is being made.
    pub(crate) fn said(&self, tx: &Tx) -> Result<Said> {
        let Some(row) = tx.get(self.message)? else { return Ok(Said::Gone) };
        if row.status == MessageStatus::Pending {
            return Ok(Said::NotYet);
        }
        let calls = row.record.message.parts.into_iter().filter_map(|part| match part {
            Part::ToolCall(call) if call.id == self.call => Some(call),
            _ => None,
        });
        Ok(calls.last().map_or(Said::Gone, |call| Said::Call(Box::new(call))))
    }

    /// Gives the call other arguments, where its message has it.
    pub(crate) fn rewrite(&self, tx: &mut Tx, input: &Value) -> Result<()> {
        let Some(row) = tx.get(self.message)?.filter(|row| row.status == MessageStatus::Success) else {
            return Ok(());
        };
        let mut message = row.record.message;
        for part in &mut message.parts {
            if let Part::ToolCall(call) = part
                && call.id == self.call
            {
                call.input = input.clone();
            }
        }
        let patch = MessagePatch { message: Some(message), ..MessagePatch::default() };
        update(tx, self.message, patch).map(drop)
    }
}

/// What a message has of a call.
pub(crate) enum Said {
    Call(Box<ToolCall>),
    NotYet,
    Gone,
}

/// Returns whether a run waits for somebody to answer.
pub(crate) fn is_open(tx: &Tx, run: RunId) -> Result<bool> {
    Ok(approvals::has_open(tx, run)? || humans::has_open(tx, run)?)
}

/// In the commit of a step that waits: what was answered while it was made holds.
pub(crate) fn begin(tx: &mut Tx, run: RunId, step: u32) -> Result<()> {
    approvals::apply_changes(tx, run, step)?;
    go_on(tx, run).map(drop)
}

/// Lets a run go on if nobody has to answer any more, and says whether that is so. One that was started is taken up
/// by a process that has its agent, any other durable one by whoever takes up runs, and the rest by their callers.
pub(crate) fn go_on(tx: &mut Tx, run: RunId) -> Result<bool> {
    if is_open(tx, run)? {
        return Ok(false);
    }
    let row = tx.require(run)?;
    if row.values.contains_key(STARTED) {
        durable::wake(tx, run)?;
    } else if row.durable {
        runs::requeue(tx, run)?;
    }
    Ok(true)
}

/// Calls a run off that nobody waits for any more, since something newer has begun in its thread.
pub(crate) fn supersede(tx: &mut Tx, run: &Row<Run>) -> Result<()> {
    approvals::cancel(tx, run.id)?;
    humans::cancel(tx, run.id)?;
    let failure = Failure::new("superseded", "something newer began in its place");
    runs::abort(tx, run.id, failure).map(drop)
}

/// Waits until nobody has to answer any more before a run goes on.
///
/// # Cancel safety
/// It only looks.
pub(crate) async fn answered(store: &Store, run: RunId) -> Result<()> {
    let mut open = store.watch(move |tx| {
        let row = tx.get(run)?.ok_or(RunError::NoRun { run })?;
        if row.status.has_ended() {
            return Err(RunError::Lost { run, status: row.status, error: row.record.error }.into());
        }
        is_open(tx, run)
    });
    while let Some(seen) = open.next().await {
        if !seen? {
            return Ok(());
        }
    }
    Err(RunError::NoRun { run }.into())
}
