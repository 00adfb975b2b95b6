//! Answers: JSON, and errors in their one shape.

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use loomwork_core::Kind;
use sha2::{Digest, Sha256};

use super::request::RequestId;
use crate::error::Error;

/// How long a client waits at least where nothing says how long.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Returns JSON as an answer.
pub(crate) fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// Returns JSON, or says that the client has it: its tag is that of its content.
pub(crate) fn tagged(headers: &HeaderMap, body: String) -> Response {
    let tag = tag(body.as_bytes());
    let has_it = has_it(headers, &tag);
    let mut response = if has_it { StatusCode::NOT_MODIFIED.into_response() } else { json(body) };
    response.headers_mut().insert(header::ETAG, tag);
    // Whoever asks again asks us; what lies between must not answer for another caller.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// Returns the tag of a content.
pub(super) fn tag(content: &[u8]) -> HeaderValue {
    let tag = format!("W/\"{}\"", &fingerprint(content)[..32]);
    HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether a client has what a tag is of.
pub(super) fn has_it(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    asked.is_some_and(|tags| tags.split(',').map(str::trim).any(|given| *tag == given || given == "*"))
}

/// Returns what tells a content from others.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Returns an error as an answer; what is our fault is told to the log.
pub(crate) fn error(error: &Error, request: &RequestId) -> Response {
    if error.is_ours() {
        tracing::error!(request = request.0, error = %error, "a request failed");
    }
    let body = serde_json::to_string(&error.told(&request.0)).unwrap_or_default();
    let mut response = json(body);
    *response.status_mut() =
        StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let wait = match error.kind() {
        Kind::Limited { wait } => Some(wait.as_millis().div_ceil(1000).max(1) as u64),
        Kind::Unavailable => Some(RETRY_AFTER_SECONDS),
        _ => None,
    };
    if let Some(seconds) = wait {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.status_code() == StatusCode::UNAUTHORIZED.as_u16() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Answers a path that there is not.
pub(super) async fn no_route(Extension(id): Extension<RequestId>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let message = format!("there is nothing at {path}; /api/openapi.json lists what there is");
    error(&Error::new(Kind::NotFound, message), &id)
}

/// Answers a method that a path does not take.
pub(super) async fn no_method(Extension(id): Extension<RequestId>, request: Request<Body>) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{path} does not take {method}; /api/openapi.json lists what it takes");
    error(&Error::new(Kind::Invalid, message).status(StatusCode::METHOD_NOT_ALLOWED), &id)
}
