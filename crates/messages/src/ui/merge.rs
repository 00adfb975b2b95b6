//! What a client shows that holds saved messages and streams of the same thread.

use std::collections::HashMap;

use loomwork_models::Role;

use super::message::text;
use super::{UiMessage, UiPart, UiStatus};

impl UiMessage {
    /// Returns what to show of saved messages, page by page, and of streams, in the order of the thread.
    ///
    /// A stream stands in the place of a saved message while that is being made; as soon as it has ended,
    /// the saved one is shown. Pieces of one message, which a page's border has cut apart, become one again,
    /// and so do the parts of one call.
    pub fn merge(saved: Vec<Self>, streamed: Vec<Self>) -> Vec<Self> {
        let mut messages = once_each(saved);
        prefer_streams(&mut messages, once_each(streamed));
        join_pieces(messages)
    }

    fn place(&self) -> (u64, u64) {
        (self.order, self.step)
    }
}

/// Sorts messages by place and keeps one for each: the first, unless it is open and a later one is not
/// pending.
fn once_each(mut messages: Vec<UiMessage>) -> Vec<UiMessage> {
    messages.sort_by_key(UiMessage::place);
    let mut kept: Vec<UiMessage> = Vec::with_capacity(messages.len());
    for message in messages {
        match kept.last_mut().filter(|known| known.place() == message.place()) {
            Some(known) if is_replaced(known, &message) => *known = message,
            Some(_) => {}
            None => kept.push(message),
        }
    }
    kept
}

fn is_replaced(known: &UiMessage, by: &UiMessage) -> bool {
    known.status.is_open() && by.status != UiStatus::Pending
}

/// Puts streams in the place of saved messages that are open, and drops the streams of those that are not.
///
/// A stream shows all that its run answers, so it stands for all pieces of that answer, of which the first
/// may be on a page that is not loaded.
fn prefer_streams(messages: &mut Vec<UiMessage>, streamed: Vec<UiMessage>) {
    let mut by_place = HashMap::new();
    let mut by_run: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, message) in messages.iter().enumerate() {
        by_place.insert(message.place(), index);
        if let Some(run) = message.run {
            by_run.entry((message.order, run)).or_default().push(index);
        }
    }
    let mut shown: Vec<_> = std::mem::take(messages).into_iter().map(Some).collect();
    for stream in streamed {
        let pieces = stream.run.and_then(|run| by_run.get(&(stream.order, run)).cloned());
        let same_place = || by_place.get(&stream.place()).map(|index| vec![*index]);
        let pieces = pieces.or_else(same_place).unwrap_or_default();
        let last = pieces.last().and_then(|index| shown.get(*index)?.as_ref());
        if last.is_some_and(|last| !is_replaced(last, &stream)) {
            continue;
        }
        for index in pieces {
            shown[index] = None;
        }
        shown.push(Some(stream));
    }
    messages.extend(shown.into_iter().flatten());
    messages.sort_by_key(UiMessage::place);
}

/// Joins neighbours that are pieces of one answer.
fn join_pieces(messages: Vec<UiMessage>) -> Vec<UiMessage> {
    let mut joined: Vec<UiMessage> = Vec::with_capacity(messages.len());
    // Where the calls stand among the parts of the last message.
    let mut calls = HashMap::new();
    for message in messages {
        match joined.last_mut().filter(|before| are_pieces(before, &message)) {
            Some(before) => {
                if is_results(before) {
                    before.agent = message.agent;
                    before.user = message.user;
                }
                add_parts(&mut before.parts, &mut calls, message.parts);
                before.status = message.status;
                before.metadata.extend(message.metadata);
                before.run = message.run.or(before.run.take());
                before.model = message.model.or(before.model.take());
                before.provider = message.provider.or(before.provider.take());
                before.finish_reason = message.finish_reason.or(before.finish_reason.take());
                before.error = message.error.or(before.error.take());
                if let Some(usage) = &message.usage {
                    *before.usage.get_or_insert_default() += usage;
                }
            }
            None => {
                calls.clear();
                let mut message = message;
                let parts = std::mem::take(&mut message.parts);
                add_parts(&mut message.parts, &mut calls, parts);
                joined.push(message);
            }
        }
    }
    for message in &mut joined {
        message.text = text(&message.parts);
    }
    joined
}

/// Adds parts; what a part says of a call that is there is added to that call, where it stands.
fn add_parts(parts: &mut Vec<UiPart>, calls: &mut HashMap<String, usize>, more: Vec<UiPart>) {
    for part in more {
        let UiPart::Tool(tool) = part else {
            parts.push(part);
            continue;
        };
        match calls.get(&tool.call).and_then(|index| parts.get_mut(*index)) {
            Some(UiPart::Tool(known)) => known.absorb(*tool),
            _ => {
                calls.insert(tool.call.clone(), parts.len());
                parts.push(UiPart::Tool(tool));
            }
        }
    }
}

fn are_pieces(before: &UiMessage, message: &UiMessage) -> bool {
    let both_answer = before.role == Role::Assistant && message.role == Role::Assistant;
    let other_run = before.run.is_some() && message.run.is_some() && before.run != message.run;
    let same_author = before.agent == message.agent && before.user == message.user;
    // Results are the program's, whoever called.
    let has_author = !is_results(before) && !is_results(message);
    both_answer && before.order == message.order && !other_run && (same_author || !has_author)
}

/// Returns whether a message is results without the step that called for them, which a page's border does.
fn is_results(message: &UiMessage) -> bool {
    !message.parts.is_empty() && message.parts.iter().all(|part| part.as_tool().is_some())
}
