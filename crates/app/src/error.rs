//! The one error that a client gets, whichever component failed.

use std::fmt;

use loomwork_agent::AgentError;
use loomwork_core::Kind;
use loomwork_rate_limiter::RateLimited;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What functions of an app return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a client is told when something cannot be done.
///
/// `?` makes one of every [`Fault`](loomwork_core::Fault) and of the store's error, and keeps what the component
/// says in [`data`](Self::data): the `name` and `retryAfter` of a limit, say.
pub struct Error(Box<Told>);

#[derive(Debug)]
struct Told {
    kind: Kind,
    message: String,
    field: Option<String>,
    data: Map<String, Value>,
    status: Option<u16>,
}

impl Error {
    /// Returns an error of a kind, which names the thing, what was wrong, and what would be right.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Told { kind, message, field: None, data: Map::new(), status: None }))
    }

    /// Names the argument that is wrong: `messages[0].role`.
    #[must_use]
    pub fn about(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Adds something that a program can read.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.data.insert(name.to_owned(), value.into());
        self
    }

    /// Says the HTTP status, where the kind does not say enough: 401, 405, 413.
    #[cfg(feature = "http")]
    pub(crate) fn status(mut self, status: axum::http::StatusCode) -> Self {
        self.0.status = Some(status.as_u16());
        self
    }

    /// Returns what the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the argument that is wrong, if one is.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns what a program can read.
    pub fn data(&self) -> &Map<String, Value> {
        &self.0.data
    }

    /// Returns the HTTP status that goes with it.
    pub fn status_code(&self) -> u16 {
        self.0.status.unwrap_or(match self.0.kind {
            Kind::Invalid => 400,
            Kind::Denied => 403,
            Kind::NotFound => 404,
            Kind::Conflict | Kind::Cancelled => 409,
            Kind::Limited { .. } => 429,
            Kind::Unavailable => 503,
            Kind::Corrupt | Kind::Internal => 500,
        })
    }

    /// Whether it is our fault: then the log has the message, and the client is told where to find it.
    pub fn is_ours(&self) -> bool {
        matches!(self.0.kind, Kind::Corrupt | Kind::Internal)
    }

    /// Returns what a client is told, in the one shape that all errors have.
    pub fn told(&self, request: &str) -> ErrorBody {
        let Told { kind, message, field, data, .. } = &*self.0;
        let message = if self.is_ours() {
            format!("the server failed; its log has more under the request id {request}")
        } else {
            message.clone()
        };
        let data = if self.is_ours() { Map::new() } else { data.clone() };
        ErrorBody {
            kind: kind.as_str().to_owned(),
            message,
            field: field.clone(),
            request_id: request.to_owned(),
            data,
        }
    }
}

/// An error as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// What can be done about it: `invalid`, `denied`, `not_found`, `conflict`, `limited`, `unavailable`,
    /// `cancelled`, `corrupt` or `internal`.
    pub kind: String,
    /// The thing, what was wrong with it, and what would be right; for people.
    pub message: String,
    /// The argument that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Names the request in the server's log.
    pub request_id: String,
    /// What a program can read: `name` and `retryAfter` (milliseconds) of a limit, say.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

impl<E: Into<loomwork_store::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        told_of(&error.into())
    }
}

/// Keeps what a program can read of an error that came from a component.
fn told_of(error: &loomwork_store::Error) -> Error {
    if let Some(AgentError::Refused { admission, source, prompt, .. }) = error.downcast_ref() {
        let told = told_of(source).with("admission", *admission);
        return match prompt {
            Some(prompt) => told.with("promptId", prompt.to_string()),
            None => told,
        };
    }
    if let Some(refused) = refused_by_provider(error) {
        return refused;
    }
    let kind = error.kind();
    let mut told = Error::new(kind, with_sources(error));
    if let Kind::Limited { wait } = kind {
        told = told.with("retryAfter", u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }
    if let Some(limited) = RateLimited::of(error) {
        told = told.with("name", limited.limit()).with(
            "retryAfter",
            limited.retry_after().map_or(Value::Null, |wait| json!(wait.as_millis() as u64)),
        );
    }
    #[cfg(feature = "usage")]
    if let Some(exceeded) = loomwork_usage::BudgetExceeded::of(error) {
        told = told.with("name", exceeded.budget.as_str());
        told = told.with("budget", serde_json::to_value(exceeded).unwrap_or_default());
    }
    if let Some(AgentError::Model { source, .. }) = error.downcast_ref() {
        told = told.with("provider", source.provider()).with("model", source.model());
        if let Some(code) = source.code() {
            told = told.with("code", code);
        }
    }
    told
}

/// What a provider has against the server itself, its key or its account: nothing that a client did wrong, and
/// nothing that it should read, since providers repeat parts of keys.
fn refused_by_provider(error: &loomwork_store::Error) -> Option<Error> {
    use loomwork_models::{Error as ModelError, ErrorKind};
    let model_error = |cause: &(dyn std::error::Error + 'static)| {
        let boxed = cause.downcast_ref::<Box<ModelError>>().map(|boxed| (**boxed).clone());
        boxed.or_else(|| cause.downcast_ref::<ModelError>().cloned())
    };
    let direct = error.downcast_ref::<ModelError>().cloned();
    let mut cause = std::error::Error::source(error);
    let mut found = direct;
    while let (None, Some(next)) = (&found, cause) {
        found = model_error(next);
        cause = next.source();
    }
    let failed = found.filter(|failed| matches!(failed.kind(), ErrorKind::Auth | ErrorKind::Quota))?;
    tracing::error!(error = %failed, "a provider does not answer this server");
    let message = format!(
        "the provider {} does not answer this server; whoever runs it finds more in its log",
        failed.provider()
    );
    let told = Error::new(Kind::Unavailable, message);
    Some(told.with("provider", failed.provider()).with("model", failed.model()))
}

/// An error with its causes, unless it names them itself.
fn with_sources(error: &loomwork_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `fn main() -> Result<()>` shows to people.
        write!(f, "{} ({})", self.0.message, self.0.kind)
    }
}

/// As the store's error it does not implement [`std::error::Error`], so that `?` can make one of everything.
impl From<Error> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: Error) -> Self {
        error.to_string().into()
    }
}
