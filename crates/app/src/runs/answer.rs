//! Answers of clients to the calls of tools that they run.

use loomwork_agent::durable::{Busy, StartOptions, Started, start, started_with};
use loomwork_core::Kind;
use loomwork_messages::runs::Prompt;
use loomwork_messages::{MessageRow, NewMessage, Place, Position, Run, RunId, RunStatus, Save, save};
use loomwork_models::{Message, ToolCall, ToolOutput, ToolResult};
use loomwork_store::{Row, Tx};

use crate::app::App;
use crate::auth::{Caller, Need};
use crate::error::{Error, Result};
use crate::reached::reached;

impl App {
    /// Answers a call of a tool that [the client runs](loomwork_agent::Tool::declared), in the turn that called. When all
    /// calls of that step are answered, its agent goes on in a run of its own, which is returned.
    ///
    /// # Errors
    /// When the caller may not write in the thread; for a run that has not ended, or not well; for a call that it did not
    /// make, or that is answered already.
    pub fn answer_call(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        run: RunId,
        call: &str,
        output: ToolOutput,
    ) -> Result<Option<Started>> {
        let row = reached(tx, caller, run, |run| Need::WriteThread(run.thread))?;
        if row.status != RunStatus::Success {
            let message = format!("{run} has no calls to be answered, since it has not ended well");
            return Err(Error::new(Kind::Conflict, message));
        }
        let turn = turn_of(tx, &row)?;
        let Some((at, made)) = last_call(&turn, run, call) else {
            let message = format!("{run} has made no call {call:?}");
            return Err(Error::new(Kind::NotFound, message).about("call"));
        };
        let (asked, behind) = (&turn[at], &turn[at + 1..]);
        let is_answered = |call: &ToolCall| {
            let mut results = behind.iter().flat_map(|row| row.message.tool_results());
            call.provider_executed || results.any(|result| result.call == call.id)
        };
        if is_answered(made) {
            let message = format!("the call {call:?} of {run} is answered already");
            return Err(Error::new(Kind::Conflict, message).about("call"));
        }
        let is_last = asked.message.tool_calls().all(|other| other.id == made.id || is_answered(other));
        let result = ToolResult::new(made, output);
        let new = NewMessage {
            agent: row.agent.clone(),
            user: row.user.clone(),
            ..NewMessage::new(Message::tool([result]))
        };
        save(tx, row.thread, Save::from(new).at(Place::Turn(row.order)))?;
        let (true, Some(agent), Some(prompt)) = (is_last, &row.agent, row.prompt) else { return Ok(None) };
        let options = StartOptions { key: None, busy: Busy::Queue, ..started_with(&row)? };
        let options = StartOptions { user: row.user.clone(), ..options };
        Ok(Some(start(tx, agent, row.thread, Prompt::Message(prompt), options)?))
    }
}

/// Returns the messages of a run's turn.
fn turn_of(tx: &Tx, run: &Run) -> Result<Vec<Row<MessageRow>>> {
    let turn = MessageRow::by_position.eq(run.thread).ge(Position::start_of(run.order));
    Ok(tx.scan(turn.le(Position::end_of(run.order)))?)
}

/// Returns the last message of a run that makes this call, by its place in the turn: some servers give calls of
/// different steps one id.
fn last_call<'a>(turn: &'a [Row<MessageRow>], run: RunId, call: &str) -> Option<(usize, &'a ToolCall)> {
    let mut of_run = turn.iter().enumerate().rev().filter(|(_, row)| row.run == Some(run));
    of_run.find_map(|(at, row)| Some((at, row.message.tool_calls().find(|made| made.id == call)?)))
}
