//! Thinking: what it may be asked for with, and that it comes back as it was.

use serde_json::Value;

use super::history::blocks;
use super::{Check, Field, Memory};

/// The least that may be spent on it.
const LEAST: u64 = 1024;

pub(super) fn check(body: &Field<'_>, messages: &[Field<'_>], memory: &Memory) -> Check {
    let thinking = body.get("thinking");
    let is_on = check_asked(body, &thinking)?;
    let is_assistant = |message: &&Field<'_>| message.get("role").as_str() == Some("assistant");
    match messages.iter().rev().find(is_assistant) {
        Some(last) => check_kept(last, is_on, memory),
        None => Ok(()),
    }
}

/// Returns whether the model thinks.
fn check_asked(body: &Field<'_>, thinking: &Field<'_>) -> Check<bool> {
    if !thinking.is_given() {
        return Ok(false);
    }
    thinking.required_object()?;
    thinking.get("type").required_text()?;
    thinking.get("type").one_of(&["enabled", "adaptive", "between_tools", "disabled"])?;
    thinking.get("display").one_of(&["summarized", "omitted"])?;
    match thinking.get("type").as_str() {
        Some("disabled") => return Ok(false),
        Some("enabled") => check_budget(body, &thinking.get("budget_tokens"))?,
        _ => {}
    }
    let (temperature, top_k) = (body.get("temperature"), body.get("top_k"));
    if temperature.is_given() && temperature.value.as_f64() != Some(1.0) {
        return Err(temperature.refusal("`temperature` may only be set to 1 when thinking is enabled"));
    }
    if top_k.is_given() {
        return Err(top_k.refusal("`top_k` must be unset when thinking is enabled"));
    }
    let choice = body.get("tool_choice");
    if matches!(choice.get("type").as_str(), Some("any" | "tool")) {
        return Err(choice.refusal("Thinking may not be enabled when tool_choice forces tool use"));
    }
    Ok(true)
}

fn check_budget(body: &Field<'_>, budget: &Field<'_>) -> Check {
    if !budget.is_given() {
        return Err(budget.missing());
    }
    budget.at_least(LEAST)?;
    if budget.value.as_u64() >= body.get("max_tokens").value.as_u64() {
        return Err(budget.refusal("`max_tokens` must be greater than `thinking.budget_tokens`"));
    }
    Ok(())
}

/// The thinking of the last assistant turn comes back byte for byte before the calls that it led to.
fn check_kept(message: &Field<'_>, is_on: bool, memory: &Memory) -> Check {
    let mut came_back: Vec<&Value> = Vec::new();
    for block in blocks(message) {
        match block.get("type").as_str() {
            Some("thinking" | "redacted_thinking") => came_back.push(block.value),
            Some("tool_use") => {
                let call = block.get("id").as_str().unwrap_or_default();
                let due = memory.reasoning_of(call);
                if came_back.is_empty() && !due.is_empty() && is_on {
                    return Err(block.get("type").refusal(
                        "Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is \
                         enabled, a final `assistant` message must start with a thinking block.",
                    ));
                }
                let is_due = !due.is_empty() && !came_back.is_empty();
                if is_due && !came_back.iter().copied().eq(due) {
                    return Err(message.get("content").refusal(
                        "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be \
                         modified. These blocks must remain as they were in the original response.",
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
