//! What a page has lost: the messages of its chat, and the answer that grows there.

use loomwork_messages::{
    List, MessageRow, MessageStatus, Position, Run, RunStatus, ThreadId, UiMessage, UiPart, runs, view,
};
use loomwork_models::Role;
use loomwork_store::{Row, Tx};

use super::super::conversation::Conversation;
use super::ask::Answer;
use super::{go_on, parts};
use crate::auth::{Caller, Need, allow};
use crate::error::Result;

/// How many messages a page gets when it opens a chat; those before them are read by thread.
const HISTORY: usize = 200;

/// Returns the messages of a chat. An answer that grows is left out: it is resumed.
pub(super) fn messages(tx: &Tx, caller: &Caller, chat: &Conversation) -> Result<Vec<UiMessage>> {
    let Some(thread) = readable(tx, caller, chat)? else { return Ok(Vec::new()) };
    let shown = view(tx, thread, &List::newest(HISTORY))?;
    let mut messages: Vec<UiMessage> = Vec::new();
    for message in shown.messages {
        match messages.last_mut().filter(|last| is_continued(last, &message)) {
            Some(last) => absorb(last, message),
            None => messages.push(message),
        }
    }
    messages.retain(|message| !message.status.is_open());
    Ok(messages)
}

/// Whether a page shows both as one message: behind calls that it has answered, an answer goes on in a run of its own.
fn is_continued(last: &UiMessage, next: &UiMessage) -> bool {
    let is_of_run = |message: &UiMessage| message.role == Role::Assistant && message.run.is_some();
    is_of_run(last) && is_of_run(next) && last.order == next.order && last.agent == next.agent
}

fn absorb(last: &mut UiMessage, next: UiMessage) {
    last.parts.extend(next.parts);
    last.status = next.status;
    last.metadata.extend(next.metadata);
    last.model = next.model.or(last.model.take());
    last.error = next.error;
    if let Some(usage) = &next.usage {
        *last.usage.get_or_insert_default() += usage;
    }
}

/// Returns the answer that grows in a chat: all that its message has, and what comes.
pub(super) fn growing(tx: &Tx, caller: &Caller, chat: &Conversation) -> Result<Option<Answer>> {
    let Some(thread) = readable(tx, caller, chat)? else { return Ok(None) };
    let is_made = |run: &Row<Run>| matches!(run.status, RunStatus::Queued | RunStatus::Running);
    let Some(run) = runs::live(tx, thread)?.into_iter().find(is_made) else { return Ok(None) };
    let turn = MessageRow::by_position.eq(thread).ge(Position::start_of(run.order));
    let turn: Vec<Row<MessageRow>> = tx.scan(turn.le(Position::end_of(run.order)))?;
    let begins = turn.iter().find_map(|row| Some((row.id, row.run?)));
    let first = begins.map_or(run.first, |(first, _)| first);
    let chain = go_on::chain(tx, thread, run.order, first)?;
    let complete = turn.into_iter().filter(|row| row.status != MessageStatus::Pending);
    let complete: Vec<Row<MessageRow>> = complete.filter(|row| row.role() != Role::User).collect();
    let mut before = Vec::new();
    let mut steps = 0;
    for message in UiMessage::group(&complete) {
        if message.run == Some(run.id) {
            steps = message.parts.iter().filter(|part| **part == UiPart::StepStart).count();
        }
        before.extend(parts::chunks(message.parts));
    }
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    let message = chain.first().map_or(run.first, |run| run.first);
    Ok(Some(Answer { thread, run: Some(run.id), message: Some(message.to_string()), steps, before }))
}

fn readable(tx: &Tx, caller: &Caller, chat: &Conversation) -> Result<Option<ThreadId>> {
    let found = chat.find(tx, caller)?;
    if let Some(thread) = found {
        allow(tx, caller, Need::ReadThread(thread))?;
    }
    Ok(found)
}
