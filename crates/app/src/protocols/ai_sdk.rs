//! The UI message stream of the AI SDK: what `useChat` and its default transport speak.
//!
//! A chat is a thread, by the id that its page gives it. A connection that drops ends nothing: whoever comes back gets
//! all of the answer, and what is new of it.

mod ask;
mod frames;
mod go_on;
mod history;
mod parts;
mod stream;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use loomwork_messages::runs;
use loomwork_messages::{Failure, RunStatus};
use serde::Deserialize;
use serde_json::json;

use super::conversation::Conversation;
use super::entry::enter;
use crate::app::App;
use crate::auth::{Need, Scope, allow};
use crate::error::{Error, Result};
use crate::http::answer::admitted;
use crate::http::{RequestId, respond};

/// Which version of the AI SDK the pages use: older ones do not know all that newer ones are told, and fail on what they
/// do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AiSdk {
    /// `ai` 5, which knows no approvals.
    Five,
    /// `ai` 6.
    #[default]
    Six,
    /// `ai` 7.
    Seven,
}

/// Returns the routes of a chat.
pub(super) fn routes(app: &App) -> Router {
    Router::new()
        .route("/api/chat", post(chat))
        .route("/api/chat/{id}", get(history))
        .route("/api/chat/{id}/stream", get(resume))
        .route("/api/chat/{id}/stop", post(stop))
        .with_state(app.clone())
}

async fn chat(State(app): State<App>, Extension(id): Extension<RequestId>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    answered(try_chat(&app, &parts, body, &id).await, &id)
}

async fn try_chat(app: &App, parts: &Parts, body: Body, id: &RequestId) -> Result<Response> {
    let (caller, asked) = enter::<ask::Asked>(app, parts, body, Scope::Chat).await?;
    let answer = ask::begin(app, &caller, asked).await?;
    stream::serve(app, caller, answer, id).await
}

/// Whose chat it is, for programs to say.
#[derive(Clone, Debug, Default, Deserialize)]
struct Whose {
    user: Option<String>,
}

impl Whose {
    /// Reads it of a query string.
    fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let mut named = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "user");
        Self { user: named.next().map(|(_, user)| user.into_owned()) }
    }
}

async fn resume(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    Path(chat): Path<String>,
    parts: Parts,
) -> Response {
    answered(try_resume(&app, chat, &parts, &id).await, &id)
}

async fn try_resume(app: &App, chat: String, parts: &Parts, id: &RequestId) -> Result<Response> {
    let (_place, caller) = admitted(app, parts, Scope::Read).await?;
    let chat = Conversation { name: chat, user: Whose::of(parts).user };
    let asking = caller.clone();
    let found = app.store().try_query(move |tx| history::growing(tx, &asking, &chat)).await?;
    match found {
        Some(answer) => stream::serve(app, caller, answer, id).await,
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn history(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    Path(chat): Path<String>,
    parts: Parts,
) -> Response {
    answered(try_history(&app, chat, &parts).await, &id)
}

async fn try_history(app: &App, chat: String, parts: &Parts) -> Result<Response> {
    let (_place, caller) = admitted(app, parts, Scope::Read).await?;
    let chat = Conversation { name: chat, user: Whose::of(parts).user };
    let version = app.inner().http.options.ai_sdk;
    let messages = app.store().try_query(move |tx| history::messages(tx, &caller, &chat)).await?;
    let messages: Vec<_> = messages.iter().map(|message| parts::shown(message, version)).collect();
    Ok(respond::tagged(&parts.headers, json!(messages).to_string()))
}

async fn stop(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    Path(chat): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    answered(try_stop(&app, chat, &parts, body).await, &id)
}

async fn try_stop(app: &App, chat: String, parts: &Parts, body: Body) -> Result<Response> {
    let (caller, Whose { user }) = enter(app, parts, body, Scope::Chat).await?;
    let chat = Conversation { name: chat, user: user.or(Whose::of(parts).user) };
    let stopped = app.store().try_mutate(move |tx| {
        let Some(thread) = chat.find(tx, &caller)? else { return Ok::<_, Error>(0) };
        allow(tx, &caller, Need::WriteThread(thread))?;
        let mut stopped = 0;
        for run in runs::live(tx, thread)? {
            // One that waits for somebody is left to them: nothing of it is being made.
            if run.status != RunStatus::Waiting {
                let why = Failure::new("aborted", "it was stopped");
                stopped += u32::from(runs::abort(tx, run.id, why)?);
            }
        }
        Ok(stopped)
    });
    Ok(respond::json(json!({ "stopped": stopped.await? }).to_string()))
}

/// Pages show the body of an error to their users: it is the message alone.
fn answered(answer: Result<Response>, id: &RequestId) -> Response {
    answer.unwrap_or_else(|error| {
        let mut response = respond::error(&error, id);
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        *response.body_mut() = Body::from(error.told(&id.0).message);
        response
    })
}
