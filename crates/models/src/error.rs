//! What goes wrong between us and a provider, and what can be done about it.

use std::fmt;
use std::time::Duration;

use loomwork_core::{Fault, Kind};

use crate::{Reply, Usage};

/// The error of a call to a model: it names provider, model and cause, and says what can help.
///
/// ```
/// use loomwork_models::{Advice, Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Overloaded, "anthropic", "claude-sonnet-5", "the model is overloaded");
/// assert_eq!(error.to_string(), "anthropic/claude-sonnet-5: overloaded: the model is overloaded");
/// assert_eq!(error.advice(), Advice::Retry);
/// ```
#[derive(Clone, Debug)]
pub struct Error(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    kind: ErrorKind,
    provider: String,
    model: String,
    message: String,
    status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
    retryable: Option<bool>,
    retry_after: Option<Duration>,
    usage: Option<Usage>,
    partial: Option<Reply>,
}

/// What went wrong in a call to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The key is missing, wrong or may not do this.
    Auth,
    /// The model or the address does not exist.
    NotFound,
    /// The request is wrong, and will be next time.
    BadRequest,
    /// The conversation is longer than the model reads.
    ContextTooLong,
    /// The provider's rules forbid the request or the answer.
    ContentPolicy,
    /// Too many requests or tokens at once.
    RateLimited {
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
        /// What is limited: `requests`, `tokens`.
        scope: Option<String>,
    },
    /// The account has no credit left.
    Quota,
    /// The provider has no room now.
    Overloaded,
    /// The answer took too long.
    Timeout,
    /// The provider could not be reached.
    Network,
    /// The answer broke off; what came is in [`Error::partial`].
    Interrupted,
    /// The provider said what its protocol does not allow.
    Protocol,
    /// The model did not give an answer of the form that was asked for.
    InvalidOutput,
    /// The caller called the request off.
    Cancelled,
}

/// What can help after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The same call may succeed later; another model may answer now.
    Retry,
    /// The same call will fail again; another model or provider may answer it.
    Fallback,
    /// No model will answer this call.
    Stop,
}

impl ErrorKind {
    /// Returns the name of the kind: `rate_limited`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::ContextTooLong => "context_too_long",
            Self::ContentPolicy => "content_policy",
            Self::RateLimited { .. } => "rate_limited",
            Self::Quota => "quota",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Interrupted => "interrupted",
            Self::Protocol => "protocol",
            Self::InvalidOutput => "invalid_output",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns what can help.
    pub const fn advice(&self) -> Advice {
        match self {
            Self::RateLimited { .. }
            | Self::Overloaded
            | Self::Timeout
            | Self::Network
            | Self::Interrupted => Advice::Retry,
            Self::Auth | Self::NotFound | Self::ContextTooLong | Self::ContentPolicy => Advice::Fallback,
            Self::Quota | Self::Protocol | Self::InvalidOutput => Advice::Fallback,
            Self::BadRequest | Self::Cancelled => Advice::Stop,
        }
    }
}

impl Error {
    /// Returns an error.
    pub fn new(
        kind: ErrorKind,
        provider: impl Into<String>,
        model: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let (provider, model, message) = (provider.into(), model.into(), message.into());
        let (status, code, request_id, retryable) = (None, None, None, None);
        let (retry_after, usage, partial) = (None, None, None);
        Self(Box::new(Details {
            kind,
            provider,
            model,
            message,
            status,
            code,
            request_id,
            retryable,
            retry_after,
            usage,
            partial,
        }))
    }

    /// Returns an error about something that the protocol does not allow.
    pub fn protocol(provider: &str, model: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, provider, model, message)
    }

    /// Replaces the cause in words.
    pub(crate) fn with_message(mut self, message: String) -> Self {
        self.0.message = message;
        self
    }

    /// Adds the HTTP status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds the provider's own code.
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Adds the provider's id of the request.
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// Adds the provider's own word on whether the same call may succeed later.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = Some(retryable);
        self
    }

    /// Adds how long the provider asks to wait; in an error of kind `rate_limited` it stands in the kind.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        match &mut self.0.kind {
            ErrorKind::RateLimited { retry_after, .. } => *retry_after = Some(wait),
            _ => self.0.retry_after = Some(wait),
        }
        self
    }

    /// Adds what the call had used when it failed.
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.0.usage = Some(usage);
        self
    }

    /// Sets what was used by all calls for the same end, its own included.
    pub(crate) fn with_all_usage(self, all: &Usage) -> Self {
        if all.is_empty() { self } else { self.with_usage(all.clone()) }
    }

    /// Adds what was used besides: by attempts before, or by other calls for the same end.
    pub(crate) fn with_more_usage(mut self, more: &Usage) -> Self {
        if !more.is_empty() {
            self.0.usage.get_or_insert_default().join(more);
        }
        self
    }

    /// Adds what came of the answer.
    pub fn with_partial(mut self, partial: Reply) -> Self {
        self.0.partial = Some(partial);
        self
    }

    /// Returns what went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Returns the provider.
    pub fn provider(&self) -> &str {
        &self.0.provider
    }

    /// Returns the model.
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// Returns the cause in words.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the HTTP status, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the provider's own code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Returns the provider's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Returns what came of the answer before it broke off.
    pub fn partial(&self) -> Option<&Reply> {
        self.0.partial.as_ref()
    }

    /// Takes what came of the answer before it broke off.
    pub fn take_partial(&mut self) -> Option<Reply> {
        self.0.partial.take()
    }

    /// Returns how long the provider asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0.kind {
            ErrorKind::RateLimited { retry_after, .. } => *retry_after,
            _ => self.0.retry_after,
        }
    }

    /// Returns what the call had used when it failed, as far as the provider said.
    pub fn usage(&self) -> Option<&Usage> {
        self.0.usage.as_ref()
    }

    /// Returns the provider's own word on whether the same call may succeed later.
    pub(crate) fn said_retryable(&self) -> Option<bool> {
        self.0.retryable
    }

    /// Returns what can help: the provider's own word on retrying decides before the kind.
    pub fn advice(&self) -> Advice {
        match (self.0.retryable, self.0.kind.advice()) {
            (Some(true), Advice::Fallback | Advice::Stop) => Advice::Retry,
            (Some(false), Advice::Retry) => Advice::Fallback,
            (_, advice) => advice,
        }
    }

    /// Returns whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.advice() == Advice::Retry
    }
}

/// Writes `provider/model: kind: message`, and status, code and request id where they are known.
impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { kind, provider, model, message, status, code, request_id, .. } = &*self.0;
        write!(formatter, "{provider}/{model}: {}: {message}", kind.as_str())?;
        let status = status.map(|status| format!("status {status}"));
        let code = code.as_ref().map(|code| format!("code {code}"));
        let request_id = request_id.as_ref().map(|id| format!("request {id}"));
        let known: Vec<_> = [status, code, request_id].into_iter().flatten().collect();
        if known.is_empty() { Ok(()) } else { write!(formatter, " ({})", known.join(", ")) }
    }
}

impl std::error::Error for Error {}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match &self.0.kind {
            ErrorKind::Auth | ErrorKind::ContentPolicy => Kind::Denied,
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::BadRequest | ErrorKind::ContextTooLong | ErrorKind::InvalidOutput => Kind::Invalid,
            ErrorKind::RateLimited { retry_after, .. } => {
                Kind::Limited { wait: retry_after.unwrap_or_default() }
            }
            ErrorKind::Quota => Kind::Denied,
            ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Network => Kind::Unavailable,
            ErrorKind::Interrupted | ErrorKind::Protocol => Kind::Unavailable,
            ErrorKind::Cancelled => Kind::Cancelled,
        }
    }
}

/// The result of a call to a model.
pub type Result<T, E = Error> = std::result::Result<T, E>;
