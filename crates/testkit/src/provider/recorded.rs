//! What clients asked for.

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde_json::Value;

use super::endpoint::{Endpoint, Family};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which request it is, from 1.
    pub number: usize,
    /// Which connection brought it, from 1.
    pub connection: usize,
    /// What it is for; absent where the fake knows nothing of the kind.
    pub endpoint: Option<Endpoint>,
    /// The method, such as `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without its question mark; empty if there is none.
    pub query: String,
    /// The headers; see also [`header`](Self::header).
    pub headers: HeaderMap,
    /// The body as JSON; null where it is none.
    pub body: Value,
    /// The body as it came.
    pub bytes: Bytes,
    /// The parts of a multipart form; empty for other bodies.
    pub form: Vec<FormPart>,
}

/// One part of a multipart form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormPart {
    /// The field's name.
    pub name: String,
    /// The file's name, for files.
    pub file_name: Option<String>,
    /// The type that the client gave it.
    pub content_type: Option<String>,
    /// What is in it.
    pub bytes: Bytes,
}

impl FormPart {
    /// Returns the content as text; empty where it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }
}

impl Recorded {
    pub(super) async fn read(parts: Parts, bytes: Bytes, connection: usize) -> Self {
        let method = parts.method.as_str().to_owned();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let (endpoint, headers) = (Endpoint::of(&method, &path), parts.headers.clone());
        let form = form(parts, bytes.clone()).await;
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { number: 0, connection, endpoint, method, path, query, headers, body, bytes, form }
    }

    /// Returns a header's value; absent if there is none, or none that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the first part of the form with this name.
    pub fn form_part(&self, name: &str) -> Option<&FormPart> {
        self.form.iter().find(|part| part.name == name)
    }

    pub(super) fn family(&self) -> Family {
        if self.endpoint == Some(Endpoint::Messages) || self.headers.contains_key("anthropic-version") {
            Family::Anthropic
        } else {
            Family::OpenAi
        }
    }

    /// Whether the answer is to be a stream.
    pub(super) fn wants_stream(&self) -> bool {
        self.endpoint.is_some_and(Endpoint::is_language) && self.body["stream"] == true
    }

    /// The key that came along, in either of the headers that carry one.
    pub(super) fn key(&self) -> Option<&str> {
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| (self.family() == Family::Anthropic).then(|| self.header("x-api-key"))?)
    }
}

/// Reads a multipart form. What cannot be read is missing, and whoever needs it will say so.
async fn form(parts: Parts, bytes: Bytes) -> Vec<FormPart> {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("multipart/form-data")) {
        return Vec::new();
    }
    let request = Request::from_parts(parts, bytes.into());
    let Ok(mut multipart) = Multipart::from_request(request, &()).await else { return Vec::new() };
    let mut form = Vec::new();
    while let Ok(Some(field)) = multipart.next_field().await {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(str::to_owned);
        let Ok(bytes) = field.bytes().await else { break };
        form.push(FormPart { name, file_name, content_type, bytes });
    }
    form
}
