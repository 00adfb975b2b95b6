//! Errors in OpenAI's form, and in the forms that compatible servers make of it.

use serde_json::Value;

use crate::http::Said;
use crate::{Error, ErrorKind, ModelName};

/// Words of a message about a conversation that is too long; there is no code that all servers use.
const TOO_LONG: [&str; 7] = [
    "maximum context length",
    "context length exceeded",
    "context window",
    "context size",
    "maximum prompt length",
    "prompt is too long",
    "reduce the length of the messages",
];

/// Reads the body of an error.
pub(crate) fn read(status: u16, body: &Value) -> Said {
    let error = find(body);
    let Some(fields) = error.as_object() else {
        return Said { message: error.as_str().map(str::to_owned), ..Said::default() };
    };
    let code = ["code", "type", "status"].into_iter().find_map(|name| word(fields.get(name)?));
    Said { kind: kind(status, error), message: message(error), code }
}

/// Returns the error that an event of a stream tells of; its body is nested under `error` or flat.
pub(crate) fn in_stream(name: &ModelName, body: &Value) -> Error {
    let status = find(body)["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    let said = read(status, body);
    let kind = said.kind.unwrap_or(match status {
        429 => ErrorKind::RateLimited { retry_after: None, scope: None },
        500.. => ErrorKind::Overloaded,
        _ => ErrorKind::Interrupted,
    });
    let message = said.message.unwrap_or_else(|| format!("the provider sent an error: {body}"));
    let error = Error::new(kind, &name.provider, &name.model, message);
    match said.code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// Returns what holds the error's fields, or its text.
fn find(body: &Value) -> &Value {
    let body = body.as_array().and_then(|list| list.first()).unwrap_or(body);
    match body.get("error") {
        Some(error) if !error.is_null() => error,
        _ => body,
    }
}

fn message(error: &Value) -> Option<String> {
    let detail = || match error.get("detail")? {
        Value::String(text) => Some(text.clone()),
        detail => Some(detail.to_string()),
    };
    let mut message = word(&error["message"]).or_else(detail)?;
    let field = error["param"].as_str().filter(|field| !message.contains(field));
    if let Some(field) = field {
        message = format!("{message} (field `{field}`)");
    }
    // A router's own message says nothing; that of whom it asked does.
    if let Some(raw) = word(&error["metadata"]["raw"]) {
        message = format!("{message}: {raw}");
    }
    if let Some(failed) = word(&error["failed_generation"]) {
        message = format!("{message}; the model had written: {failed}");
    }
    Some(message)
}

fn kind(status: u16, error: &Value) -> Option<ErrorKind> {
    let words = ["code", "type", "status"].map(|name| error[name].as_str().unwrap_or_default());
    let is = |known: &[&str]| words.iter().any(|word| known.contains(word));
    let inner = error["innererror"]["code"].as_str().unwrap_or_default();
    let message = error["message"].as_str().unwrap_or_default().to_ascii_lowercase();
    let is_limited = status == 429 || is(&["rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"]);
    let is_blamed = matches!(status, 0 | 400 | 413 | 422);
    if is(&["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"]) {
        return Some(ErrorKind::Quota);
    }
    if is(&["context_length_exceeded", "exceed_context_size_error", "string_above_max_length"])
        || is_blamed && TOO_LONG.iter().any(|words| message.contains(words))
    {
        return Some(ErrorKind::ContextTooLong);
    }
    if is(&["content_filter", "content_policy_violation", "moderation_blocked"])
        || inner == "ResponsibleAIPolicyViolation"
        || !error["metadata"]["flagged_input"].is_null()
    {
        return Some(ErrorKind::ContentPolicy);
    }
    if is(&["tool_use_failed"]) {
        return Some(ErrorKind::InvalidOutput);
    }
    if is_limited {
        let scope = words.into_iter().find(|word| matches!(*word, "requests" | "tokens"));
        return Some(ErrorKind::RateLimited { retry_after: None, scope: scope.map(str::to_owned) });
    }
    // The status says the same, but inside a stream there is none.
    let known = [
        (&["invalid_api_key", "authentication_error", "permission_error"][..], ErrorKind::Auth),
        (&["model_not_found", "not_found_error"], ErrorKind::NotFound),
        (&["server_error", "overloaded_error", "api_error", "unavailable_error"], ErrorKind::Overloaded),
    ];
    let known = known.into_iter().find(|(words, _)| is(words)).map(|(_, kind)| kind);
    match status {
        0 => known.or_else(|| is(&["invalid_request_error"]).then_some(ErrorKind::BadRequest)),
        _ => known.filter(|kind| *kind == ErrorKind::NotFound),
    }
}

/// Returns a text or a number as text; `None` for anything else, and for nothing.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
