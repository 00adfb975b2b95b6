//! An answer that goes on: its page has answered approvals, or calls of tools that run there.

use loomwork_agent::approvals::{self, ApprovalId, ApprovalState, Approve, Deny};
use loomwork_core::Kind;
use loomwork_messages::{
    MessageId, MessageRow, Position, Run, RunStatus, ThreadId, ToolState, UiApproval, UiPart, UiTool,
};
use loomwork_models::ToolOutput;
use loomwork_store::{Row, Tx};

use super::super::conversation::Conversation;
use super::ask::{Answer, PageMessage};
use crate::api::approvals::may_answer;
use crate::app::App;
use crate::auth::{Caller, Need, allow};
use crate::error::{Error, Result};
use crate::reached::reason;

/// Takes what a page says of the calls of a message, and has its answer go on. What was said before is passed over, so a
/// page may say it twice.
pub(super) async fn go_on(
    app: &App,
    caller: &Caller,
    chat: Conversation,
    message: PageMessage,
    field: &str,
) -> Result<Answer> {
    let (app, caller, field) = (app.clone(), caller.clone(), field.to_owned());
    let store = app.store().clone();
    let going_on = store.try_mutate(move |tx| {
        let going_on = GoingOn::of(tx, &caller, &chat, &message)?;
        let GoingOn { thread, order, first } = going_on.ok_or_else(|| {
            let text = "the last message is an answer that the chat does not have; send what is said to it";
            Error::new(Kind::Invalid, text).about(format!("{field}.id"))
        })?;
        allow(tx, &caller, Need::WriteThread(thread))?;
        for (at, part) in message.parts.iter().enumerate() {
            let Some(tool) = part.as_tool() else { continue };
            let taken = take(tx, &app, &caller, thread, order, tool);
            taken.map_err(|error| error.about(format!("{field}.parts[{at}]")))?;
        }
        let has = message.parts.iter().filter(|part| **part == UiPart::StepStart).count();
        let mut steps = u32::try_from(has).unwrap_or(u32::MAX);
        let runs = chain(tx, thread, order, first)?;
        let last = runs.last().map(|run| run.id);
        // A call that the page has answered goes on in a run of its own, behind the steps of those before.
        for run in runs.iter().filter(|run| Some(run.id) != last) {
            steps = steps.saturating_sub(run.steps);
        }
        let steps = steps.min(runs.last().map_or(0, |run| run.steps));
        let id = message.id.clone();
        Ok::<_, Error>(Answer { thread, run: last, message: id, steps, before: Vec::new() })
    });
    going_on.await
}

/// The answer that goes on.
struct GoingOn {
    thread: ThreadId,
    order: u64,
    first: MessageId,
}

impl GoingOn {
    fn of(tx: &Tx, caller: &Caller, chat: &Conversation, message: &PageMessage) -> Result<Option<Self>> {
        let Some(thread) = chat.find(tx, caller)? else { return Ok(None) };
        let Some(first) = message.id.as_deref().and_then(|id| id.parse::<MessageId>().ok()) else {
            return Ok(None);
        };
        let row = tx.get(first)?.filter(|row| row.thread == thread);
        Ok(row.map(|row| Self { thread, order: row.order, first }))
    }
}

/// Returns the runs of a turn that make one message of a page, from that which began it: others of the turn were wound
/// back.
pub(super) fn chain(tx: &Tx, thread: ThreadId, order: u64, first: MessageId) -> Result<Vec<Row<Run>>> {
    let mut runs: Vec<Row<Run>> = tx.scan(Run::by_thread.eq(thread).eq(order))?;
    runs.sort_by_key(|run| run.id);
    let begins = runs.iter().position(|run| run.first == first).unwrap_or(0);
    let mut chain = Vec::new();
    for run in runs.into_iter().skip(begins) {
        if tx.get(run.first)?.is_some() {
            chain.push(run);
        }
    }
    Ok(chain)
}

/// Takes what a page says of one call.
fn take(tx: &mut Tx, app: &App, caller: &Caller, thread: ThreadId, order: u64, tool: &UiTool) -> Result<()> {
    match (tool.state, &tool.approval) {
        (ToolState::ApprovalResponded, Some(approval)) => answer(tx, app, caller, thread, tool, approval),
        (ToolState::OutputAvailable, _) if !tool.preliminary => {
            let output = ToolOutput::from_value(tool.output.clone().unwrap_or_default());
            result(tx, app, caller, (thread, order), tool, output)
        }
        (ToolState::OutputError, _) => {
            let text = tool.error_text.clone().unwrap_or_else(|| "the tool failed".to_owned());
            result(tx, app, caller, (thread, order), tool, ToolOutput::error(text))
        }
        _ => Ok(()),
    }
}

/// Answers an approval, once. What the page says of the call is not believed: it has to be what is stored.
fn answer(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    thread: ThreadId,
    tool: &UiTool,
    said: &UiApproval,
) -> Result<()> {
    let Some(approved) = said.approved else { return Ok(()) };
    let unknown = || Error::new(Kind::NotFound, format!("there is no approval {:?} of this call", said.id));
    let id: ApprovalId = said.id.parse().map_err(|_| unknown())?;
    let row = approvals::get(tx, id)?.ok_or_else(unknown)?;
    if row.site.thread != thread || row.site.call != tool.call {
        return Err(unknown());
    }
    if row.state != ApprovalState::Open {
        return Ok(());
    }
    may_answer(tx, app, caller, id)?;
    if tool.input.as_ref().is_some_and(|input| row.input.as_ref() != Some(input)) {
        let message = format!("the arguments of {:?} are not those that {id} is about", tool.call);
        return Err(Error::new(Kind::Conflict, message));
    }
    let by = caller.as_user().unwrap_or_else(|| caller.name());
    let why = reason(said.reason.clone())?;
    if approved {
        let approve = Approve::by(by);
        approvals::approve(tx, id, why.into_iter().fold(approve, Approve::because))?;
    } else {
        approvals::deny(tx, id, why.into_iter().fold(Deny::by(by), Deny::because))?;
    }
    Ok(())
}

/// Answers a call that a page has run, once. Results of tools that run here come back too, and are passed over.
fn result(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    (thread, order): (ThreadId, u64),
    tool: &UiTool,
    output: ToolOutput,
) -> Result<()> {
    let turn = MessageRow::by_position.eq(thread).ge(Position::start_of(order));
    let turn: Vec<Row<MessageRow>> = tx.scan(turn.le(Position::end_of(order)))?;
    let made = turn.iter().rposition(|row| row.message.tool_calls().any(|call| call.id == tool.call));
    let Some(made) = made else { return Ok(()) };
    let behind = turn[made..].iter().flat_map(|row| row.message.tool_results());
    let is_provider =
        turn[made].message.tool_calls().any(|call| call.id == tool.call && call.provider_executed);
    if is_provider || behind.into_iter().any(|result| result.call == tool.call) {
        return Ok(());
    }
    let Some(run) = turn[made].run else { return Ok(()) };
    // Calls of runs that were cut, or that wait for a person, are not the page's to answer.
    if tx.get(run)?.is_none_or(|run| run.status != RunStatus::Success) {
        return Ok(());
    }
    app.answer_call(tx, caller, run, &tool.call, output).map(drop)
}
