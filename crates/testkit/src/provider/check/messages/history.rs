//! The order of messages, and of calls and their results.

use std::collections::HashSet;

use super::{Check, Field};

pub(super) fn check(messages: &[Field<'_>]) -> Check {
    let talk: Vec<&Field<'_>> =
        messages.iter().filter(|message| message.get("role").as_str() != Some("system")).collect();
    if let Some(first) = talk.first().filter(|first| first.get("role").as_str() != Some("user")) {
        return Err(first.get("role").refusal("first message must use the \"user\" role"));
    }
    let (mut open, mut known) = (Vec::new(), HashSet::new());
    for message in talk {
        check_results(message, &open)?;
        open = calls(message, &mut known)?;
    }
    match open.first() {
        Some(id) => {
            let text = format!(
                "`tool_use` ids were found without `tool_result` blocks immediately after: {id}. Each \
                 `tool_use` block must have a corresponding `tool_result` block in the next message."
            );
            Err(messages
                .last()
                .map_or_else(|| super::Refusal::of_request(text.clone()), |last| last.refusal(&text)))
        }
        None => Ok(()),
    }
}

/// The ids of the tools that a message calls.
fn calls<'a>(message: &Field<'a>, known: &mut HashSet<&'a str>) -> Check<Vec<&'a str>> {
    let mut calls = Vec::new();
    for block in blocks_of(message, "tool_use") {
        let id = block.get("id").required_text()?;
        if !known.insert(id) {
            return Err(block.get("id").refusal("`tool_use` ids must be unique"));
        }
        calls.push(id);
    }
    Ok(calls)
}

/// A message has the results of exactly the calls before it, and has them first.
fn check_results(message: &Field<'_>, open: &[&str]) -> Check {
    let mut results = HashSet::new();
    for result in blocks_of(message, "tool_result") {
        let id = result.get("tool_use_id").required_text()?;
        if !open.contains(&id) {
            return Err(result.refusal(format!(
                "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must \
                 have a corresponding `tool_use` block in the previous message."
            )));
        }
        if !results.insert(id) {
            return Err(result.refusal(format!("each tool_use must have a single result, {id} has more")));
        }
    }
    if let Some(id) = open.iter().find(|id| !results.contains(*id)) {
        return Err(message.refusal(format!(
            "`tool_use` ids were found without `tool_result` blocks immediately after: {id}. Each `tool_use` \
             block must have a corresponding `tool_result` block in the next message."
        )));
    }
    let kinds = blocks(message).map(|block| block.get("type").as_str() == Some("tool_result"));
    if kinds.skip_while(|is_result| *is_result).any(|is_result| is_result) {
        return Err(message.refusal("`tool_result` blocks come first in a message, other blocks after them"));
    }
    Ok(())
}

pub(super) fn blocks<'a>(message: &Field<'a>) -> impl Iterator<Item = Field<'a>> {
    // A content that is no list is a text.
    message.get("content").items().unwrap_or_default().into_iter()
}

fn blocks_of<'a>(message: &Field<'a>, kind: &'static str) -> impl Iterator<Item = Field<'a>> {
    blocks(message).filter(move |block| block.get("type").as_str() == Some(kind))
}
