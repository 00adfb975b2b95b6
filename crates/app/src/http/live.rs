//! Live queries: the answer of a read now, and again whenever it is another one, as server-sent events.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use loomwork_core::Kind;

use super::places::Place;
use super::request::RequestId;
use super::respond::fingerprint;
use crate::api::operation::{Prepared, Reading};
use crate::app::App;
use crate::auth::{Caller, Refused, Scope};
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

/// A query that is to be followed.
pub(super) struct Asked {
    pub(super) query: Prepared,
    pub(super) scope: Scope,
    pub(super) caller: Caller,
}

/// An answer. What tells it from others stays with whoever follows; its text is there until it is sent.
#[derive(Clone)]
struct Told {
    tag: String,
    json: Arc<Mutex<Option<String>>>,
}

impl Told {
    fn new(json: String) -> Self {
        let tag = fingerprint(json.as_bytes())[..16].to_owned();
        Self { tag, json: Arc::new(Mutex::new(Some(json))) }
    }

    /// Returns the event that tells it, unless the client knows it.
    fn event(self, known: &mut Option<String>) -> Option<Event> {
        let json = self.json.lock().unwrap_or_else(PoisonError::into_inner).take();
        if known.as_ref() == Some(&self.tag) {
            return None;
        }
        let event = Event::default().event("result").id(&self.tag).data(json?);
        *known = Some(self.tag);
        Some(event)
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

/// Follows a query. The id of an event tells its content, so whoever comes back and has the latest gets the next one.
///
/// The query asks whether the caller may read whenever it runs: it ends when they may not any more.
///
/// # Errors
/// That of the first answer: a client hears of it before anything is streamed.
pub(super) async fn follow(
    app: &App,
    Asked { query, scope, caller }: Asked,
    place: Place,
    headers: &HeaderMap,
    id: RequestId,
) -> Result<Response> {
    let seat = seat(app, &caller)?;
    let (of_query, asking) = (app.clone(), caller.clone());
    // The first read is a request as any other, and has its place until it is through.
    let place = Mutex::new(Some(place));
    let mut results = app.store().try_watch(move |tx: &_| {
        let _first = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Told::new(query(&Reading::new(tx, &asking, &of_query, scope)?)?))
    });
    let first = results.next().await.unwrap_or_else(|| Err(ending()))?;
    let mut known = last_event(headers).map(str::to_owned);
    let first = first.event(&mut known);
    let start = Some((results, first, known));
    let of_error = id.clone();
    let events = unfold(start, move |state| {
        let id = of_error.clone();
        async move {
            let (mut results, first, mut known) = state?;
            if let Some(event) = first {
                return Some((event, Some((results, None, known))));
            }
            loop {
                match results.next().await? {
                    Ok(told) => {
                        if let Some(event) = told.event(&mut known) {
                            return Some((event, Some((results, None, known))));
                        }
                    }
                    Err(error) => return Some((error_event(&error, &id), None)),
                }
            }
        }
    });
    Ok(stream(app, seat, &caller, id, events))
}

/// Takes a place for what a caller follows.
pub(crate) fn seat(app: &App, caller: &Caller) -> Result<Place> {
    app.inner().http.seats.share(caller)?.place()
}

/// The error of what cannot begin any more.
fn ending() -> Error {
    Error::new(Kind::Unavailable, "the server ends; come again")
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

/// Serves events until they end, the caller is nobody any more, the client goes, or the app ends.
pub(super) fn stream(
    app: &App,
    seat: Place,
    caller: &Caller,
    id: RequestId,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Response {
    let start = Some((Box::pin(events), Box::pin(ends(app, caller))));
    let events = unfold(start, move |state| {
        let id = id.clone();
        async move {
            let (mut events, mut over) = state?;
            tokio::select! {
                biased;
                () = &mut over => Some((error_event(&Error::from(Refused::Over), &id), None)),
                event = events.next() => event.map(|event| (event, Some((events, over)))),
            }
        }
    });
    sent(app, seat, events)
}

/// Serves events until they end, the client goes, or the app ends.
pub(crate) fn sent(app: &App, seat: Place, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let ended = app.inner().http.ending().clone().cancelled_owned();
    let events = events.take_until(ended).map(move |event| {
        let _held = &seat;
        Ok::<_, Infallible>(event)
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that collect answers would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
