//! Callers in routes of the application's own.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use loomwork_core::Kind;

use super::request::RequestId;
use super::respond;
use crate::app::App;
use crate::auth::{Caller, identify};
use crate::error::{Error, Result};

impl App {
    /// Says who a request is from, as the API does: by the application's own way, by an API key or by a token. For
    /// services that the API is nested in; routes that are given to [`Builder::routes`](crate::Builder::routes) take a
    /// [`Caller`] as an argument.
    ///
    /// # Errors
    /// `denied` with status 401 for a request without a key or with one that is not known; `limited`.
    pub async fn identify(&self, parts: &Parts) -> Result<Caller> {
        identify(self, parts).await
    }
}

/// In routes that are given to [`Builder::routes`](crate::Builder::routes): whoever is nobody is refused.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let id = parts.extensions.get::<RequestId>().cloned().unwrap_or(RequestId(String::new()));
        let Some(app) = parts.extensions.get::<App>().cloned() else {
            let message =
                "a route asks who its caller is and is not one of the app's; give it to `Builder::routes`";
            return Err(respond::error(&Error::new(Kind::Internal, message), &id));
        };
        identify(&app, parts).await.map_err(|error| respond::error(&error, &id))
    }
}
