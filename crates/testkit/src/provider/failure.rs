//! Errors as providers send them.

use serde_json::{Value, json};

use super::endpoint::Family;

/// An error in the form of whichever provider is asked: as a reply of its own with a status, or inside
/// a stream with [`Reply::fails`](super::Reply::fails).
///
/// ```
/// use loomwork_testkit::provider::Failure;
///
/// let busy = Failure::status(429).retry_after("2");
/// let broke = Failure::status(429).code("insufficient_quota").message("you have no credit left");
/// ```
#[derive(Clone, Debug)]
pub struct Failure {
    pub(super) status: u16,
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
    message: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    is_context_too_long: bool,
}

impl Failure {
    /// Returns the error that belongs to a status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            kind: None,
            code: None,
            param: None,
            message: None,
            headers: Vec::new(),
            is_context_too_long: false,
        }
    }

    /// Returns the error about a prompt that does not fit into the model's context.
    pub fn context_too_long() -> Self {
        Self { is_context_too_long: true, ..Self::status(400) }
    }

    /// Sets the text.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Sets the `type`.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Sets OpenAI's `code`.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets OpenAI's `param`: the field that is wrong.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says how long to wait, in the header `retry-after`: seconds, or a date.
    #[must_use]
    pub fn retry_after(self, wait: impl Into<String>) -> Self {
        self.header("retry-after", wait)
    }

    /// Adds a header to the answer; inside a stream it is too late for one.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn text(&self, family: Family) -> String {
        let usual = match (self.is_context_too_long, family, self.status) {
            (true, Family::OpenAi, _) => {
                "This model's maximum context length is 128000 tokens. \
                However, your messages resulted in 130512 tokens. Please reduce the length of the messages."
            }
            (true, Family::Anthropic, _) => "prompt is too long: 212043 tokens > 200000 maximum",
            (_, Family::OpenAi, 401) => "Incorrect API key provided.",
            (_, Family::Anthropic, 401) => "invalid x-api-key",
            (_, _, 429) => "Rate limit reached, please try again later.",
            (_, Family::Anthropic, 529) => "Overloaded",
            (_, _, 500..) => "The server had an error while processing your request.",
            _ => "The request was refused.",
        };
        self.message.clone().unwrap_or_else(|| usual.to_owned())
    }

    pub(super) fn openai_code(&self) -> Option<&str> {
        let usual = match self.status {
            _ if self.is_context_too_long => Some("context_length_exceeded"),
            401 => Some("invalid_api_key"),
            404 => Some("model_not_found"),
            429 => Some("rate_limit_exceeded"),
            _ => None,
        };
        self.code.as_deref().or(usual)
    }

    /// The object under `error` in OpenAI's form.
    pub(super) fn openai(&self) -> Value {
        let usual = match (self.status, self.code.as_deref()) {
            (429, Some("insufficient_quota")) => "insufficient_quota",
            (429, _) => "requests",
            (500.., _) => "server_error",
            _ => "invalid_request_error",
        };
        let kind = self.kind.as_deref().unwrap_or(usual);
        let (message, code) = (self.text(Family::OpenAi), self.openai_code());
        json!({"message": message, "type": kind, "param": self.param, "code": code})
    }

    /// The object under `error` in Anthropic's form.
    pub(super) fn anthropic(&self) -> Value {
        let usual = match self.status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        json!({"type": self.kind.as_deref().unwrap_or(usual), "message": self.text(Family::Anthropic)})
    }
}
