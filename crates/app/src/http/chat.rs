//! Answers as responses of chat routes: the stream that `useChat` reads, and plain text.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use loomwork_messages::{RunStatus, UiChunk};
use serde_json::json;
use serde_json::value::RawValue;

use super::request::RequestId;
use super::respond;
use crate::error::Error;
use crate::runs::RunFollower;

/// The header that says which protocol a stream of UI messages speaks.
pub const UI_STREAM_HEADER: HeaderName = HeaderName::from_static("x-vercel-ai-ui-message-stream");

/// Serves an answer as it comes, as the UI message stream that the AI SDK's `useChat` reads: for a chat route of one's
/// own. The ids of its events are [`RunCursor`](crate::RunCursor)s.
///
/// ```
/// use axum::extract::{Path, State};
/// use axum::response::{IntoResponse, Response};
/// use loomwork::messages::ThreadId;
/// use loomwork::{App, Caller, RunAsk, http};
///
/// async fn chat(State(app): State<App>, Path(thread): Path<ThreadId>, text: String) -> loomwork::Result<Response> {
///     let (starting, ask) = (app.clone(), RunAsk::new(thread, text));
///     let caller = Caller::operator(); // or whoever asks: `app.identify(&parts).await?`
///     let started = app.store().try_mutate(move |tx| starting.start_run(tx, &caller, ask)).await?;
///     let Some(run) = started.run() else { return Ok("A person will answer.".into_response()) };
///     Ok(http::ui_stream(app.follow_run(run, None).await?).into_response())
/// }
/// ```
///
/// It ends with the answer, or when that waits for somebody to approve or to answer. What goes wrong is told as the
/// protocol tells it; a text that begins anew, because its process has died, is preceded by the chunk
/// [`RESTART_STEP`](loomwork_messages::RESTART_STEP).
pub fn ui_stream(run: RunFollower) -> impl IntoResponse {
    let start = line(None, &json!({ "type": "start", "messageId": run.message() }).to_string());
    let events = unfold(State::new(run, start), |mut state| async move {
        loop {
            if let Some(event) = state.ready.take() {
                return Some((Ok::<_, Infallible>(event), state));
            }
            if state.is_over {
                return None;
            }
            state.ready = Some(match state.run.next().await {
                Some(Ok(slice)) => {
                    let place = state.run.cursor().map(|cursor| cursor.to_string());
                    lines(place.as_deref(), slice.chunks.get())
                }
                Some(Err(error)) => {
                    state.is_over = true;
                    tracing::warn!(run = %state.run.run(), %error, "an answer cannot be followed any more");
                    ending(&json!({ "type": "error", "errorText": "the answer cannot be followed any more" }))
                }
                None => {
                    state.is_over = true;
                    ending(&last_word(&state.run))
                }
            });
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (UI_STREAM_HEADER, HeaderValue::from_static("v1")),
    ];
    (headers, streamed(events))
}

/// Serves the text of an answer as it comes, and nothing else of it.
pub fn text_stream(run: RunFollower) -> impl IntoResponse {
    let texts = unfold(run, |mut run| async move {
        loop {
            let slice = match run.next().await? {
                Ok(slice) => slice,
                Err(error) => {
                    tracing::warn!(run = %run.run(), %error, "an answer cannot be followed any more");
                    return None;
                }
            };
            let chunks: Vec<UiChunk> = serde_json::from_str(slice.chunks.get()).unwrap_or_default();
            let text: String = chunks.iter().filter_map(text_of).collect();
            if !text.is_empty() {
                return Some((Ok::<_, Infallible>(Bytes::from(text)), run));
            }
        }
    });
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], streamed(texts))
}

/// So that routes of one's own may fail by `?`, in the shape that all errors of the API have.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        respond::error(&self, &RequestId(String::new()))
    }
}

struct State {
    run: RunFollower,
    ready: Option<Bytes>,
    is_over: bool,
}

impl State {
    fn new(run: RunFollower, ready: Bytes) -> Self {
        Self { run, ready: Some(ready), is_over: false }
    }
}

/// Returns a body that nobody on the way collects or keeps.
fn streamed(pieces: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn text_of(chunk: &UiChunk) -> Option<&str> {
    match chunk {
        UiChunk::TextDelta { delta, .. } => Some(delta),
        _ => None,
    }
}

/// Returns an event for each chunk of a slice; the last one says up to where the answer was read.
fn lines(place: Option<&str>, chunks: &str) -> Bytes {
    let chunks: Vec<&RawValue> = serde_json::from_str(chunks).unwrap_or_default();
    let mut out = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let place = place.filter(|_| at + 1 == chunks.len());
        out.extend_from_slice(&line(place, chunk.get()));
    }
    out.into()
}

fn line(place: Option<&str>, json: &str) -> Bytes {
    let id = place.map(|place| format!("id: {place}\n")).unwrap_or_default();
    format!("{id}data: {json}\n\n").into()
}

fn ending(last: &serde_json::Value) -> Bytes {
    format!("data: {last}\n\ndata: [DONE]\n\n").into()
}

/// Returns the chunk that ends an answer: how it has ended, or that it waits.
fn last_word(run: &RunFollower) -> serde_json::Value {
    let ended = run.ended().map(|run| (run.status, run.error.as_ref().map(|error| error.message.clone())));
    match ended {
        Some((RunStatus::Failed, why)) => {
            json!({ "type": "error", "errorText": why.unwrap_or_else(|| "the answer failed".to_owned()) })
        }
        Some((RunStatus::Aborted, why)) => match why {
            Some(why) => json!({ "type": "abort", "reason": why }),
            None => json!({ "type": "abort" }),
        },
        _ => json!({ "type": "finish" }),
    }
}
