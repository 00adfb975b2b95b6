//! The file of a cassette.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use loomwork_core::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::asked::{Asked, mask};
use crate::{Chunk, Error, ErrorKind, ModelName, SchemaSupport, Usage};

/// The version of the file's layout.
const VERSION: u64 = 1;

/// A cassette's file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CassetteError {
    /// The file system says no.
    #[error("the cassette `{}` could not be {what}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A line is not what a cassette has there.
    #[error("line {line} of the cassette `{}` is wrong: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The first line: whose exchanges these are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    cassette: u64,
    provider: String,
    model: String,
    schema_support: String,
}

impl Head {
    pub(super) fn new(name: &ModelName, support: SchemaSupport) -> Self {
        let schema_support = match support {
            SchemaSupport::Native => "native",
            SchemaSupport::Tool => "tool",
            SchemaSupport::Prompt => "prompt",
        };
        let (provider, model) = (name.provider.clone(), name.model.clone());
        Self { cassette: VERSION, provider, model, schema_support: schema_support.to_owned() }
    }

    pub(super) fn name(&self) -> ModelName {
        ModelName::new(&self.provider, &self.model)
    }

    pub(super) fn schema_support(&self) -> SchemaSupport {
        match self.schema_support.as_str() {
            "native" => SchemaSupport::Native,
            "prompt" => SchemaSupport::Prompt,
            _ => SchemaSupport::Tool,
        }
    }
}

/// A request, and what came of it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) asked: Asked,
    /// What came, and how long after the request.
    pub(super) events: Vec<(Duration, Event)>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all events are chunks")]
pub(super) enum Event {
    Chunk(Chunk),
    Error(Error),
}

/// A file that exchanges are added to.
#[derive(Debug)]
pub(super) struct Tape {
    path: PathBuf,
    file: Mutex<File>,
}

impl Tape {
    pub(super) fn create(path: &Path, head: &Head) -> Result<Self, CassetteError> {
        let open = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
            writeln!(file, "{}", json!(head)).map(|()| file)
        };
        let file = open().map_err(|source| failed(path, "written", source))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Adds an exchange in one piece, so that those of concurrent calls do not mix.
    pub(super) fn append(&self, exchange: &Exchange, secrets: &[Secret]) -> Result<(), CassetteError> {
        let mut lines =
            vec![json!({ "exchange": exchange.asked.fingerprint(), "request": exchange.asked.0 })];
        for (at, event) in &exchange.events {
            let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            lines.push(match event {
                Event::Chunk(chunk) => json!({ "at": at, "chunk": chunk }),
                Event::Error(error) => {
                    let mut error = write_error(error);
                    mask(&mut error, secrets);
                    json!({ "at": at, "error": error })
                }
            });
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(|source| failed(&self.path, "written", source))
    }
}

fn failed(path: &Path, what: &'static str, source: io::Error) -> CassetteError {
    CassetteError::Io { path: path.to_owned(), what, source }
}

/// Reads a whole cassette.
pub(super) fn read(path: &Path) -> Result<(Head, Vec<Exchange>), CassetteError> {
    let text = fs::read_to_string(path).map_err(|source| failed(path, "read", source))?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let malformed =
        |line: usize, why: String| CassetteError::Malformed { path: path.to_owned(), line: line + 1, why };
    let (at, first) = lines.next().ok_or_else(|| malformed(0, "the file is empty".to_owned()))?;
    let head: Head = serde_json::from_str(first)
        .map_err(|error| malformed(at, format!("it is no head of a cassette: {error}")))?;
    if head.cassette != VERSION {
        return Err(malformed(
            at,
            format!("its version is {}, and this program reads {VERSION}", head.cassette),
        ));
    }
    let mut exchanges: Vec<Exchange> = Vec::new();
    for (at, line) in lines {
        let fields: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| malformed(at, error.to_string()))?;
        if let Some(request) = fields.get("request") {
            exchanges.push(Exchange { asked: Asked(request.clone()), events: Vec::new() });
            continue;
        }
        let event = read_event(fields).map_err(|why| malformed(at, why))?;
        let exchange =
            exchanges.last_mut().ok_or_else(|| malformed(at, "no request comes before it".to_owned()))?;
        exchange.events.push(event);
    }
    Ok((head, exchanges))
}

fn read_event(mut fields: Map<String, Value>) -> Result<(Duration, Event), String> {
    let at = Duration::from_millis(fields.get("at").and_then(Value::as_u64).unwrap_or(0));
    let event = match (fields.remove("chunk"), fields.remove("error")) {
        (Some(chunk), _) => Event::Chunk(
            serde_json::from_value(chunk).map_err(|error| format!("its chunk is none: {error}"))?,
        ),
        (None, Some(error)) => Event::Error(read_error(&error)?),
        (None, None) => return Err("it has neither a request nor a chunk nor an error".to_owned()),
    };
    Ok((at, event))
}

fn write_error(error: &Error) -> Value {
    let mut fields = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    add("kind", Some(error.kind().as_str().into()));
    add("message", Some(error.message().into()));
    add("status", error.status().map(Value::from));
    add("code", error.code().map(Value::from));
    add("requestId", error.request_id().map(Value::from));
    add("retryable", error.said_retryable().map(Value::from));
    let millis = error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    add("retryAfterMs", millis.map(Value::from));
    if let ErrorKind::RateLimited { scope, .. } = error.kind() {
        add("scope", scope.clone().map(Value::from));
    }
    add("usage", error.usage().map(|usage| json!(usage)));
    add("provider", Some(error.provider().into()));
    add("model", Some(error.model().into()));
    Value::Object(fields)
}

fn read_error(value: &Value) -> Result<Error, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let kind = text("kind").ok_or("its error lacks a `kind`")?;
    let retry_after = value.get("retryAfterMs").and_then(Value::as_u64).map(Duration::from_millis);
    let kind = match kind {
        "rate_limited" => ErrorKind::RateLimited { retry_after, scope: text("scope").map(str::to_owned) },
        "auth" => ErrorKind::Auth,
        "not_found" => ErrorKind::NotFound,
        "bad_request" => ErrorKind::BadRequest,
        "context_too_long" => ErrorKind::ContextTooLong,
        "content_policy" => ErrorKind::ContentPolicy,
        "quota" => ErrorKind::Quota,
        "overloaded" => ErrorKind::Overloaded,
        "timeout" => ErrorKind::Timeout,
        "network" => ErrorKind::Network,
        "interrupted" => ErrorKind::Interrupted,
        "protocol" => ErrorKind::Protocol,
        "invalid_output" => ErrorKind::InvalidOutput,
        "cancelled" => ErrorKind::Cancelled,
        other => return Err(format!("its error is of kind `{other}`, which is none")),
    };
    let said = |name: &str| text(name).unwrap_or_default();
    let mut error = Error::new(kind, said("provider"), said("model"), said("message"));
    if let Some(wait) = retry_after {
        error = error.with_retry_after(wait);
    }
    if let Some(id) = text("requestId") {
        error = error.with_request_id(id);
    }
    if let Some(usage) = value.get("usage") {
        let usage =
            Usage::deserialize(usage).map_err(|error| format!("the usage of its error is none: {error}"))?;
        error = error.with_usage(usage);
    }
    if let Some(status) =
        value.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok())
    {
        error = error.with_status(status);
    }
    if let Some(code) = text("code") {
        error = error.with_code(code);
    }
    if let Some(retryable) = value.get("retryable").and_then(Value::as_bool) {
        error = error.with_retryable(retryable);
    }
    Ok(error)
}
