//! Answering: from a request to an operation and back.

use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use loomwork_core::Kind;

use super::places::{Place, Share};
use super::request::RequestId;
use super::{live, respond};
use crate::api::operation::{Call, Prepared, Reading};
use crate::api::{Args, Method, Operation, Run};
use crate::app::App;
use crate::auth::access::require_scope;
use crate::auth::{Caller, Scope, identify};
use crate::error::{Error, Result};
use crate::idempotency::{self, Claimed, claim};

/// How long a body may take to come; of a file, each piece of it.
pub const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// Answers a request for an operation.
pub(super) async fn answer(app: App, at: usize, path: RawPathParams, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // The layer that names requests is around every route.
    let id = Extension::<RequestId>::from_request_parts(&mut parts, &()).await;
    let id = id.map_or_else(|_| RequestId(String::new()), |Extension(id)| id);
    let answered = try_answer(&app, at, &path, &parts, body, &id).await;
    answered.unwrap_or_else(|error| respond::error(&error, &id))
}

/// Lets a request in: there is room for it, and its caller has the scope and no more at work than it may. It counts as
/// one of the caller's from then on; a place is taken for it when it is there as a whole.
pub(crate) async fn admitted(app: &App, parts: &Parts, scope: Scope) -> Result<(Share, Caller)> {
    let places = &app.inner().http.places;
    places.require_free()?;
    let caller = identify(app, parts).await?;
    require_scope(&caller, scope)?;
    Ok((places.share(&caller)?, caller))
}

async fn try_answer(
    app: &App,
    at: usize,
    path: &RawPathParams,
    parts: &Parts,
    body: Body,
    id: &RequestId,
) -> Result<Response> {
    let (query, headers) = (parts.uri.query(), &parts.headers);
    let operation = &app.inner().operations[at];
    let (share, caller) = admitted(app, parts, operation.scope).await?;
    let args = arguments(app, operation, path, (query, headers), body).await?;
    let place = share.place()?;
    match &operation.run {
        Run::Query(prepare) if live::is_asked_for(headers) => {
            let asked = live::Asked { query: prepare(args)?, scope: operation.scope, caller };
            within(app, operation, live::follow(app, asked, place, headers, id.clone())).await
        }
        Run::Query(prepare) => {
            let read = read(app, operation.scope, caller, prepare(args)?, place);
            let answered = within(app, operation, read).await?;
            Ok(if operation.method == Method::Get {
                respond::tagged(headers, answered)
            } else {
                respond::json(answered)
            })
        }
        Run::Action(act) => {
            let _place = place;
            let Some(key) = key_of(operation, headers)? else {
                let call = Call { app: app.clone(), caller, claim: None };
                return within(app, operation, act(call, args)).await.map(respond::json);
            };
            let mut asked = operation.id.clone().into_bytes();
            asked.extend(args.to_bytes());
            let working = &app.inner().http.working;
            let claimed =
                claim(app.store(), working, caller.name(), key, respond::fingerprint(&asked)).await?;
            let claim = match claimed {
                Claimed::Answered(answer) => return Ok(respond::json(answer)),
                Claimed::Mine(claim) => claim,
            };
            let id = claim.id;
            let call = Call { app: app.clone(), caller, claim: Some(claim) };
            let acted = within(app, operation, act(call, args)).await;
            let answer = acted.as_ref().ok().cloned();
            let settled = app.store().mutate(move |tx| match answer {
                Some(answer) => idempotency::keep(tx, id, &answer),
                None => idempotency::forget(tx, id),
            });
            settled.await?;
            acted.map(respond::json)
        }
    }
}

/// Returns the key that a client gave its request.
fn key_of<'a>(operation: &Operation, headers: &'a HeaderMap) -> Result<Option<&'a str>> {
    if operation.method != Method::Post || operation.is_secret {
        return Ok(None);
    }
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().map_err(|_| Error::new(Kind::Invalid, "the idempotency key is no text"));
    key.map(Some)
}

/// Reads. The place is the read's, which may go on when nobody waits for it any more.
async fn read(app: &App, scope: Scope, caller: Caller, query: Prepared, place: Place) -> Result<String> {
    let of_query = app.clone();
    let read = move |tx: &_| {
        let _held = &place;
        query(&Reading::new(tx, &caller, &of_query, scope)?)
    };
    app.store().try_query(read).await
}

/// Gives an operation as long as it may take.
async fn within<T>(app: &App, operation: &Operation, work: impl Future<Output = Result<T>>) -> Result<T> {
    let patience = operation.patience;
    tokio::select! {
        done = work => done,
        () = app.clock().sleep(patience) => {
            let message = format!("{} took longer than {} s and was given up", operation.id, patience.as_secs());
            Err(Error::new(Kind::Unavailable, message))
        }
    }
}

async fn arguments(
    app: &App,
    operation: &Operation,
    path: &RawPathParams,
    (query, headers): (Option<&str>, &HeaderMap),
    body: Body,
) -> Result<Args> {
    let mut args = match operation.method {
        Method::Get | Method::Delete => Args::default(),
        Method::Post | Method::Patch => of_body(app, headers, body).await?,
    };
    for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        args.add_text(&name, &text, &operation.types)?;
    }
    for (name, text) in path {
        args.add_text(name, text, &operation.types)?;
    }
    operation.types.check(&args)?;
    Ok(args)
}

/// Reads a body of JSON.
pub(crate) async fn of_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Args> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = media.is_none_or(|media| {
        let essence = media.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
    });
    let bytes = whole(app, body).await?;
    if !is_json && !bytes.is_empty() {
        let message = format!("the body is {}; send `application/json`", media.unwrap_or_default());
        return Err(Error::new(Kind::Invalid, message).status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    Args::of_json(&bytes)
}

/// Reads a body that has to be small, and has to come.
pub(crate) async fn whole(app: &App, body: Body) -> Result<Bytes> {
    let most = app.inner().http.options.body_bytes;
    let read = tokio::select! {
        read = to_bytes(body, most) => read,
        () = app.clock().sleep(BODY_PATIENCE) => return Err(too_slow()),
    };
    read.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.to_string().contains("length limit")) {
            let message = format!("the body has more than {most} bytes; send large contents as files");
            return Error::new(Kind::Invalid, message).status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Error::new(Kind::Invalid, format!("the body ended too soon: {error}"))
    })
}

/// The error for a body that does not come.
pub(super) fn too_slow() -> Error {
    let message = format!("the body did not come within {} s; send it again", BODY_PATIENCE.as_secs());
    Error::new(Kind::Invalid, message).status(StatusCode::REQUEST_TIMEOUT)
}
