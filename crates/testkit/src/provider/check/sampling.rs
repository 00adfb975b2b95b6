//! How OpenAI's models may be told to choose their words.

use super::{Check, Field};

/// What reasoning models refuse.
const NOT_FOR_REASONING: [&str; 7] = [
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
];

const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
const TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];

pub(super) fn check(body: &Field<'_>) -> Check {
    if is_reasoning(body.get("model").as_str().unwrap_or_default()) {
        for name in NOT_FOR_REASONING {
            body.get(name).absent("is not supported with this model.")?;
        }
    }
    body.get("temperature").within(0.0, 2.0)?;
    body.get("top_p").within(0.0, 1.0)?;
    body.get("presence_penalty").within(-2.0, 2.0)?;
    body.get("frequency_penalty").within(-2.0, 2.0)?;
    body.get("top_logprobs").within(0.0, 20.0)?;
    body.get("service_tier").one_of(&TIERS)
}

pub(super) fn check_effort(effort: &Field<'_>) -> Check {
    effort.one_of(&EFFORTS)
}

pub(super) fn is_reasoning(model: &str) -> bool {
    ["o1", "o3", "o4", "gpt-5"].iter().any(|start| model.starts_with(start))
}
