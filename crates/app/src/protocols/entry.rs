//! What the protocols share at the door: who comes, and what they send.

use axum::body::Body;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::error::Result;
use crate::http::answer::{admitted, of_body};

/// Lets a request in that sends JSON.
pub(super) async fn enter<T: DeserializeOwned>(
    app: &App,
    parts: &Parts,
    body: Body,
    scope: Scope,
) -> Result<(Caller, T)> {
    let (_place, caller) = admitted(app, parts, scope).await?;
    Ok((caller, of_body(app, &parts.headers, body).await?.read()?))
}
