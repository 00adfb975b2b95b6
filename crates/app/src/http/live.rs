//! Live queries: the answer of a read now, and again whenever it is another one, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use loomwork_core::Kind;

use super::request::RequestId;
use super::respond::fingerprint;
use crate::api::operation::{Prepared, Reading};
use crate::app::App;
use crate::auth::Caller;
use crate::error::{Error, Result};

/// How often a stream on which nothing happens says that it is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Whether a request wants to follow what it asks for.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| {
        accepted.split(',').any(|media| media.trim().starts_with("text/event-stream"))
    })
}

/// Returns the id of the last event that a client has.
pub(super) fn last_event(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|value| value.to_str().ok())
}

/// Follows a query. The id of an event tells its content, so whoever comes back and has the latest gets the next one.
///
/// The query asks whether the caller may read whenever it runs: it ends when they may not any more.
pub(super) fn follow(
    app: &App,
    caller: Caller,
    query: Prepared,
    headers: &HeaderMap,
    id: RequestId,
) -> Result<Response> {
    let of_query = app.clone();
    let over = ends(app, &caller);
    let read = move |tx: &_| query(&Reading::new(tx, &caller, &of_query)?);
    let known = last_event(headers).map(str::to_owned);
    let start = Some((app.store().try_watch(read), known));
    let events = unfold(start, move |state| {
        let id = id.clone();
        async move {
            let (mut results, known) = state?;
            loop {
                match results.next().await? {
                    Ok(json) => {
                        let tag = fingerprint(json.as_bytes())[..16].to_owned();
                        if known.as_ref() != Some(&tag) {
                            let event = Event::default().event("result").id(&tag).data(json);
                            return Some((event, Some((results, Some(tag)))));
                        }
                    }
                    Err(error) => return Some((error_event(&error, &id), None)),
                }
            }
        }
    });
    stream(app, events.take_until(over))
}

/// Ends when a caller does: a key or a token that is over writes nothing that a query would hear of.
pub(crate) fn ends(app: &App, caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
    let (clock, end) = (app.clock().clone(), caller.ends());
    async move {
        match end {
            Some(end) => clock.sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns the event that ends a stream.
pub(super) fn error_event(error: &Error, id: &RequestId) -> Event {
    if error.is_ours() {
        tracing::error!(request = id.0, %error, "a live query failed");
    }
    let told = serde_json::to_string(&error.told(&id.0)).unwrap_or_default();
    Event::default().event("error").data(told)
}

/// Serves events until they end, the client goes, or the app ends.
pub(crate) fn stream(app: &App, events: impl Stream<Item = Event> + Send + 'static) -> Result<Response> {
    let http = &app.inner().http;
    let seat = http.seats.clone().try_acquire_owned().map_err(|_| {
        Error::new(Kind::Unavailable, "the server has as many live queries as it may; come again")
    })?;
    let ended = http.ending().clone().cancelled_owned();
    let events = events.take_until(ended).map(move |event| {
        let _held = &seat;
        Ok::<_, Infallible>(event)
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that collect answers would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
