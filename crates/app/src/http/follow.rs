//! A thread before its reader's eyes: what a page shows of it whenever that changes, and each chunk of a growing answer
//! once.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::Path;
use axum::http::request::Parts;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::unfold;
use loomwork_messages::{StreamId, ThreadId, ViewEvent, ViewFollower};
use loomwork_store::Watch;
use serde_json::{Value, json};

use super::answer::admitted;
use super::request::RequestId;
use super::{live, openapi, respond};
use crate::api::messages::{ListMessages, MessagePage};
use crate::api::operation::json_of;
use crate::api::{ArgTypes, Args};
use crate::app::App;
use crate::auth::{Caller, Need, Scope, allow};
use crate::error::{Error, Result};

/// Follows a thread.
pub(super) async fn follow(
    app: App,
    Extension(id): Extension<RequestId>,
    Path(thread): Path<String>,
    parts: Parts,
) -> Response {
    let followed = try_follow(&app, &thread, &parts, id.clone()).await;
    followed.unwrap_or_else(|error| respond::error(&error, &id))
}

async fn try_follow(app: &App, thread: &str, parts: &Parts, id: RequestId) -> Result<Response> {
    let (share, caller) = admitted(app, parts, Scope::Read).await?;
    let place = share.place()?;
    let (query, headers) = (parts.uri.query(), &parts.headers);
    let types = ArgTypes::of::<ListMessages>();
    let mut args = Args::default();
    for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        args.add_text(&name, &text, &types)?;
    }
    args.add_text("thread", thread, &types)?;
    let asked: ListMessages = args.read()?;
    let list = asked.list()?;
    let thread = asked.thread;
    let asking = caller.clone();
    app.store().query(move |tx| allow(tx, &asking, Need::ReadThread(thread))).await?;
    drop(place);
    let seat = live::seat(app, &caller)?;

    let known = live::last_event(headers).map(Cursors::parse).unwrap_or_default();
    let following = Following {
        right: right_to_read(app, caller.clone(), thread),
        follower: app.runtime().live().follow(thread, list, known.streams.clone()),
        cursors: known,
        id: id.clone(),
    };
    let events = unfold(Some(following), |following| async move {
        let mut following = following?;
        match following.next().await? {
            Ok(event) => Some((event, Some(following))),
            Err(error) => Some((live::error_event(&error, &following.id), None)),
        }
    });
    Ok(live::stream(app, seat, &caller, id, events))
}

/// Watches whether the caller may read the thread: its end ends what they follow.
fn right_to_read(app: &App, caller: Caller, thread: ThreadId) -> Watch<(), Error> {
    app.store().try_watch(move |tx| Ok(allow(tx, &caller, Need::ReadThread(thread))?))
}

struct Following {
    right: Watch<(), Error>,
    follower: ViewFollower,
    cursors: Cursors,
    id: RequestId,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Event>> {
        loop {
            let happened = tokio::select! {
                biased;
                right = self.right.next() => match right? {
                    Ok(()) => continue,
                    Err(error) => return Some(Err(error)),
                },
                happened = self.follower.next() => happened?,
            };
            match happened {
                Err(error) => return Some(Err(error.into())),
                Ok(ViewEvent::View(view)) => {
                    let growing: Vec<StreamId> = view.streams.iter().map(|stream| stream.id).collect();
                    let json = match json_of(&MessagePage::from(view)) {
                        Ok(json) => json,
                        Err(error) => return Some(Err(error)),
                    };
                    let tag = respond::fingerprint(json.as_bytes())[..16].to_owned();
                    self.cursors.streams.retain(|stream, _| growing.contains(stream));
                    if self.cursors.view.as_ref() == Some(&tag) {
                        continue;
                    }
                    self.cursors.view = Some(tag);
                    let event = Event::default().event("view").id(self.cursors.to_string());
                    return Some(Ok(event.data(json)));
                }
                Ok(ViewEvent::Slice { stream, slice }) => {
                    self.cursors.streams.insert(stream, slice.end);
                    let event = Event::default().event("chunks").id(self.cursors.to_string());
                    let data = format!(
                        "{{\"stream\":\"{stream}\",\"start\":{},\"end\":{},\"chunks\":{}}}",
                        slice.start,
                        slice.end,
                        slice.chunks.get()
                    );
                    return Some(Ok(event.data(data)));
                }
            }
        }
    }
}

/// What a client has: the view, and each growing stream up to a chunk. Its text is the id of events.
#[derive(Clone, Debug, Default, PartialEq)]
struct Cursors {
    view: Option<String>,
    streams: HashMap<StreamId, u64>,
}

impl std::fmt::Display for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.view.as_deref().unwrap_or("-"))?;
        for (stream, end) in &self.streams {
            write!(f, " {stream}:{end}")?;
        }
        Ok(())
    }
}

impl Cursors {
    /// Reads an id of ours. What is none is passed over: whoever has nothing gets everything.
    fn parse(text: &str) -> Self {
        let mut parts = text.split(' ');
        let view = parts.next().filter(|view| *view != "-").map(str::to_owned);
        let streams = parts.filter_map(|part| {
            let (stream, end) = part.split_once(':')?;
            Some((stream.parse().ok()?, end.parse().ok()?))
        });
        Self { view, streams: streams.collect() }
    }
}

/// Describes the route.
pub(super) fn described() -> Value {
    let text = |name: &str, place: &str, about: &str| {
        json!({
            "name": name, "in": place, "required": place == "path", "schema": { "type": "string" },
            "description": about,
        })
    };
    json!({ "/api/threads/{thread}/live": { "get": {
        "operationId": "messages.live",
        "tags": ["messages"],
        "summary": "Follows a thread: `view` has what its page shows whenever that changes, `chunks` what a stream has \
            said since. Whoever comes back with `Last-Event-ID` gets what is new, and nothing twice.",
        "x-scope": Scope::Read.as_str(),
        "parameters": [
            text("thread", "path", "The thread's id."),
            text("limit", "query", "How many messages, from 1 to 200; 50 by default."),
            text("after", "query", "The `next` of the page before."),
        ],
        "responses": {
            "200": {
                "description": "Events.",
                "content": { "text/event-stream": { "schema": openapi::event() } },
            },
            "default": { "$ref": "#/components/responses/Error" },
        },
    } } })
}
