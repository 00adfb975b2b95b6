//! Trading the code of a printed address for a key.

use axum::Extension;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use loomwork_core::{Kind, Secret, Time};
use serde::{Deserialize, Serialize};

use super::request::RequestId;
use super::{answer, respond};
use crate::app::App;
use crate::auth::keys::{self, Drawn, NewKey};
use crate::auth::{Caller, PAGE_KEY_TERM, Scope};
use crate::error::{Error, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    code: String,
}

#[derive(Serialize)]
struct Exchanged {
    key: String,
    expires: Option<Time>,
}

/// Answers a page that has a code.
pub(super) async fn exchange(app: App, Extension(id): Extension<RequestId>, request: Request) -> Response {
    match try_exchange(&app, request).await {
        Ok(answer) => respond::json(answer),
        Err(error) => respond::error(&error, &id),
    }
}

async fn try_exchange(app: &App, request: Request) -> Result<String> {
    let (parts, body) = request.into_parts();
    let Exchange { code } = answer::of_body(app, &parts.headers, body).await?.read()?;
    if !app.gate().codes.take(&code, app.clock().now()) {
        let message = "the code is not known: it was used, or is too old; start the server again for another";
        return Err(Error::new(Kind::Denied, message).status(StatusCode::UNAUTHORIZED));
    }
    let drawn = Drawn::new(&app.inner().random);
    let kept = drawn.clone();
    let row = app
        .store()
        .mutate(move |tx| {
            let new = NewKey {
                name: "page".to_owned(),
                user: None,
                scope: Scope::Manage,
                term: Some(PAGE_KEY_TERM),
            };
            keys::create(tx, &Caller::operator(), new, &kept)
        })
        .await?;
    let key = drawn.into_key().expose().to_owned();
    let answer = serde_json::to_string(&Exchanged { key, expires: row.expires });
    answer.map_err(|error| Error::new(Kind::Internal, error.to_string()))
}

impl App {
    /// Returns a code that a page can trade once for a key that may do everything, within
    /// [`CODE_TERM`](crate::CODE_TERM): for the fragment of an address that is shown to whoever started the app.
    pub fn page_code(&self) -> Secret {
        self.gate().codes.make(&self.inner().random, self.clock().now())
    }
}
