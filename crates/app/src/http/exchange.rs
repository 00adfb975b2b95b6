//! Trading the code of a printed address for a key.

use axum::Extension;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use loomwork_core::{Kind, Secret, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::RequestId;
use super::{answer, respond};
use crate::app::App;
use crate::auth::keys::{self, Drawn, NewKey};
use crate::auth::{Caller, PAGE_KEY_TERM, Scope, may_guess};
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

/// Describes the route: it is how a page gets its key, and takes none.
pub(super) fn described() -> Value {
    json!({ "/api/exchange": { "post": {
        "operationId": "keys.exchange",
        "tags": ["keys"],
        "summary": "Trades the code in the address that the server has printed for a key, once.",
        "security": [],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object",
            "properties": { "code": { "type": "string", "description": "The code." } },
            "required": ["code"],
            "additionalProperties": false,
        } } } },
        "responses": {
            "200": { "description": "The key.", "content": { "application/json": { "schema": {
                "type": "object",
                "properties": {
                    "key": { "type": "string", "description": "The key, which may do everything." },
                    "expires": {
                        "type": ["integer", "null"],
                        "description": "When it ends by itself, in milliseconds since 1970.",
                    },
                },
                "required": ["key", "expires"],
            } } } },
            "default": { "$ref": "#/components/responses/Error" },
        },
    } } })
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
    let guessed = may_guess(app, &parts)?;
    let Exchange { code } = answer::of_body(app, &parts.headers, body).await?.read()?;
    let _place = app.inner().http.places.take()?;
    let Some(taken) = app.gate().codes.take(&code, app.clock().now()) else {
        guessed()?;
        let message = "the code is not known: it was used, or is too old; start the server again for another";
        return Err(Error::new(Kind::Denied, message).status(StatusCode::UNAUTHORIZED));
    };
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
    taken.used();
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
