//! Errors in Anthropic's form.

use serde_json::Value;

use crate::http::Said;
use crate::{Error, ErrorKind, ModelName};

/// Words of a message about a conversation that is too long, which has no type of its own.
const TOO_LONG: [&str; 4] =
    ["prompt is too long", "exceed context limit", "context window", "maximum context length"];

/// Words of a message about an account without credit.
const NO_CREDIT: &str = "credit balance";

/// Words of a message about content that the provider's rules forbid.
const FORBIDDEN: [&str; 2] = ["content filtering policy", "usage policy"];

/// What a limit may be on, as messages say it and as the headers name it.
const SCOPES: [(&str, &str); 4] = [
    ("input token", "input_tokens"),
    ("output token", "output_tokens"),
    ("token", "tokens"),
    ("request", "requests"),
];

/// Reads the body of an error.
pub(super) fn read(_status: u16, body: &Value) -> Said {
    let error = body.get("error").unwrap_or(body);
    let code = error["type"].as_str().filter(|kind| *kind != "error");
    let message = error["message"].as_str().or(error.as_str()).filter(|text| !text.is_empty());
    let kind = code.and_then(|code| kind(code, message.unwrap_or_default()));
    Said { kind, message: message.map(str::to_owned), code: code.map(str::to_owned) }
}

/// Returns the error that an event of a stream tells of.
pub(super) fn in_stream(name: &ModelName, body: &Value) -> Error {
    let said = read(0, body);
    let message = said.message.unwrap_or_else(|| format!("the provider sent an error: {body}"));
    let mut error =
        Error::new(said.kind.unwrap_or(ErrorKind::Interrupted), &name.provider, &name.model, message);
    if let Some(code) = said.code {
        error = error.with_code(code);
    }
    match body["request_id"].as_str() {
        Some(id) => error.with_request_id(id),
        None => error,
    }
}

fn kind(code: &str, message: &str) -> Option<ErrorKind> {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    Some(match code {
        "invalid_request_error" if says(&TOO_LONG) => ErrorKind::ContextTooLong,
        "invalid_request_error" if says(&[NO_CREDIT]) => ErrorKind::Quota,
        "invalid_request_error" if says(&FORBIDDEN) => ErrorKind::ContentPolicy,
        "invalid_request_error" => ErrorKind::BadRequest,
        // A shorter conversation has a smaller body.
        "request_too_large" => ErrorKind::ContextTooLong,
        "authentication_error" | "permission_error" => ErrorKind::Auth,
        "billing_error" => ErrorKind::Quota,
        "not_found_error" => ErrorKind::NotFound,
        "rate_limit_error" => {
            let scope = SCOPES.iter().find(|(words, _)| message.contains(words));
            let scope = scope.map(|(_, scope)| (*scope).to_owned());
            ErrorKind::RateLimited { retry_after: None, scope }
        }
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" | "api_error" => ErrorKind::Overloaded,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind_of(code: &str, message: &str) -> Option<ErrorKind> {
        read(400, &json!({ "type": "error", "error": { "type": code, "message": message } })).kind
    }

    #[test]
    fn each_type_of_error_has_its_kind() {
        for (code, kind) in [
            ("invalid_request_error", ErrorKind::BadRequest),
            ("authentication_error", ErrorKind::Auth),
            ("billing_error", ErrorKind::Quota),
            ("permission_error", ErrorKind::Auth),
            ("not_found_error", ErrorKind::NotFound),
            ("request_too_large", ErrorKind::ContextTooLong),
            ("api_error", ErrorKind::Overloaded),
            ("timeout_error", ErrorKind::Timeout),
            ("overloaded_error", ErrorKind::Overloaded),
        ] {
            assert_eq!(kind_of(code, "no"), Some(kind), "{code}");
        }
        assert_eq!(kind_of("later_error", "no"), None);
    }

    #[test]
    fn messages_tell_what_a_type_leaves_open() {
        for (message, kind) in [
            ("prompt is too long: 212043 tokens > 200000 maximum", ErrorKind::ContextTooLong),
            ("input length and `max_tokens` exceed context limit: 1", ErrorKind::ContextTooLong),
            ("Your credit balance is too low to access the API", ErrorKind::Quota),
            ("Output blocked by content filtering policy", ErrorKind::ContentPolicy),
        ] {
            assert_eq!(kind_of("invalid_request_error", message), Some(kind), "{message}");
        }
        let limit = "This request would exceed your rate limit of 40,000 input tokens per minute";
        let scope = Some("input_tokens".to_owned());
        assert_eq!(
            kind_of("rate_limit_error", limit),
            Some(ErrorKind::RateLimited { retry_after: None, scope })
        );
    }
}
