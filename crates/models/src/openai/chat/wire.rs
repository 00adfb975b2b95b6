//! The JSON of answers. Rare and varying fields are kept as they came and read when they are needed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// One event of a stream, or a whole answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Event<'a> {
    pub(super) id: Option<&'a RawValue>,
    pub(super) model: Option<&'a RawValue>,
    pub(super) created: Option<&'a RawValue>,
    pub(super) object: Option<&'a RawValue>,
    pub(super) choices: Option<Vec<Choice<'a>>>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) x_groq: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
    pub(super) service_tier: Option<&'a RawValue>,
    pub(super) system_fingerprint: Option<&'a RawValue>,
    pub(super) prompt_filter_results: Option<&'a RawValue>,
    pub(super) timings: Option<&'a RawValue>,
    pub(super) citations: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Choice<'a> {
    pub(super) index: Option<u64>,
    pub(super) delta: Option<Delta<'a>>,
    /// What a whole answer has instead of a delta.
    pub(super) message: Option<Delta<'a>>,
    pub(super) finish_reason: Option<&'a RawValue>,
    pub(super) native_finish_reason: Option<&'a RawValue>,
    pub(super) stop_reason: Option<&'a RawValue>,
    pub(super) content_filter_results: Option<&'a RawValue>,
    pub(super) logprobs: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Delta<'a> {
    pub(super) content: Option<&'a RawValue>,
    pub(super) refusal: Option<&'a RawValue>,
    pub(super) reasoning_content: Option<&'a RawValue>,
    pub(super) reasoning: Option<&'a RawValue>,
    pub(super) reasoning_details: Option<&'a RawValue>,
    pub(super) tool_calls: Option<Vec<CallDelta<'a>>>,
    pub(super) function_call: Option<Function<'a>>,
    pub(super) annotations: Option<&'a RawValue>,
    pub(super) images: Option<&'a RawValue>,
    pub(super) audio: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct CallDelta<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) function: Option<Function<'a>>,
    pub(super) custom: Option<Function<'a>>,
    pub(super) extra_content: Option<&'a RawValue>,
}

/// What is called: a function with JSON arguments, or a custom tool with a text.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Function<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) arguments: Option<&'a RawValue>,
    pub(super) input: Option<&'a RawValue>,
}

/// Returns a text, or the texts of a list of parts; `None` if there is nothing to say.
pub(super) fn text(raw: Option<&RawValue>) -> Option<String> {
    let json = raw?.get();
    let text = if json.starts_with('"') { serde_json::from_str(json).ok()? } else { texts(&value(raw)?) };
    Some(text).filter(|text| !text.is_empty())
}

/// Returns the texts in a value that should have been one.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(texts).collect(),
        Value::Object(part) => part.get("text").map(texts).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Returns a text or a number as text.
pub(super) fn word(raw: Option<&RawValue>) -> Option<String> {
    match value(raw)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns JSON as a value; `None` if there is none, or null.
pub(super) fn value(raw: Option<&RawValue>) -> Option<Value> {
    serde_json::from_str(raw?.get()).ok().filter(|value: &Value| !value.is_null())
}

/// Returns the items of a list.
pub(super) fn list(raw: Option<&RawValue>) -> Vec<Value> {
    match value(raw) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}
