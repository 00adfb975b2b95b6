//! Embeddings.

use serde_json::Value;

use super::{Check, Field};
use crate::provider::render::inputs;

const MOST_INPUTS: usize = 2048;
const MOST_TOKENS_OF_ONE: usize = 8192;
const MOST_TOKENS: usize = 300_000;

pub(super) fn check(body: &Field<'_>) -> Check {
    let model = body.get("model").required_text()?;
    let input = body.get("input");
    match input.value {
        Value::Null => return Err(input.missing()),
        Value::String(_) => {}
        _ => drop(input.required_items()?),
    }
    let inputs = inputs(input.value);
    if inputs.len() > MOST_INPUTS {
        return Err(input.refusal(format!("expected at most {MOST_INPUTS} entries, not {}", inputs.len())));
    }
    for (index, one) in inputs.iter().enumerate() {
        let is_known = match one {
            Value::String(text) => !text.is_empty(),
            Value::Array(tokens) => !tokens.is_empty() && tokens.iter().all(Value::is_u64),
            _ => false,
        };
        if !is_known {
            return Err(input.refusal(format!("entry {index} is no text and no list of tokens, or is empty")));
        }
        if tokens(one) > MOST_TOKENS_OF_ONE {
            return Err(input.refusal(format!(
                "maximum context length is {MOST_TOKENS_OF_ONE} tokens, however entry {index} has {}",
                tokens(one)
            )));
        }
    }
    let sum: usize = inputs.iter().map(tokens).sum();
    if sum > MOST_TOKENS {
        let text = format!("maximum request size is {MOST_TOKENS} tokens per request, not {sum}");
        return Err(input.refusal(text).code("max_tokens_per_request"));
    }
    body.get("encoding_format").one_of(&["float", "base64"])?;
    body.get("dimensions").at_least(1)?;
    if model == "text-embedding-ada-002" {
        body.get("dimensions").absent("is not supported with this model.")?;
    }
    Ok(())
}

/// Estimates the tokens of an input: those of a list are counted, a text has one in four bytes.
pub(in crate::provider) fn tokens(input: &Value) -> usize {
    const BYTES_OF_A_TOKEN: usize = 4;
    match input {
        Value::Array(tokens) => tokens.len(),
        Value::String(text) => text.len().div_ceil(BYTES_OF_A_TOKEN),
        _ => 0,
    }
}
