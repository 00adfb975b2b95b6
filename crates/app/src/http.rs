//! The API over HTTP: operations as routes, live queries as server-sent events.

mod answer;
mod live;
mod openapi;
mod request;
mod respond;
mod serve;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method as HttpMethod, header};
use axum::middleware;
use axum::routing::{MethodFilter, get, on};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use live::KEEP_ALIVE;
pub use serve::{DRAIN, ServeError};

use crate::api::Method;
use crate::app::App;

/// The header that names a request, in the answer and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Limits and manners of the API. New fields may come, so end a literal with `..Options::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most bytes of a body, but for files. Default: 1 MiB.
    pub body_bytes: usize,
    /// How many requests are worked on at once; those beyond are told to come again. Default: 512.
    pub at_once: usize,
    /// How many live queries and streams are open at once. Default: 20,000.
    pub subscribers: usize,
    /// Which pages of other origins may call the API: `https://app.example.com`. Default: none.
    pub origins: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_bytes: 1 << 20, at_once: 512, subscribers: 20_000, origins: Vec::new() }
    }
}

/// What serves an app.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) options: Options,
    routes: Router,
    /// A place for each request that is worked on.
    pub(crate) places: Arc<Semaphore>,
    /// A place for each live query.
    pub(crate) seats: Arc<Semaphore>,
    ending: CancellationToken,
}

impl Http {
    pub(crate) fn new(options: Options, routes: Router) -> Self {
        let places = Arc::new(Semaphore::new(options.at_once.min(Semaphore::MAX_PERMITS)));
        let seats = Arc::new(Semaphore::new(options.subscribers.min(Semaphore::MAX_PERMITS)));
        Self { options, routes, places, seats, ending: CancellationToken::new() }
    }

    /// Takes no further connection, and ends what is live.
    pub(crate) fn end(&self) {
        self.ending.cancel();
    }

    pub(crate) fn ending(&self) -> &CancellationToken {
        &self.ending
    }
}

impl App {
    /// Returns the API as a router, to serve it within another service. Whoever serves it ends the app by
    /// [`shutdown`](Self::shutdown).
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for (at, operation) in self.inner().operations.iter().enumerate() {
            let filter = match operation.method {
                Method::Get => MethodFilter::GET,
                Method::Post => MethodFilter::POST,
                Method::Patch => MethodFilter::PATCH,
                Method::Delete => MethodFilter::DELETE,
            };
            let app = self.clone();
            let handler = move |path, request| answer::answer(app.clone(), at, path, request);
            router = router.route(&operation.path, on(filter, handler));
        }
        let (app, ready) = (self.clone(), self.clone());
        let router = router
            .route("/api/openapi.json", get(move || openapi::serve(app.clone())))
            .route("/healthz", get(status::alive))
            .route("/readyz", get(move || status::ready(ready.clone())))
            .merge(self.inner().http.routes.clone())
            .fallback(respond::no_route)
            .method_not_allowed_fallback(respond::no_method);
        router
            .layer(CompressionLayer::new())
            .layer(self.cors())
            .layer(middleware::from_fn_with_state(self.clone(), request::entered))
    }

    fn cors(&self) -> CorsLayer {
        let origins = self.inner().http.options.origins.iter();
        let origins = origins.filter_map(|origin| HeaderValue::from_str(origin).ok());
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([HttpMethod::GET, HttpMethod::POST, HttpMethod::PATCH, HttpMethod::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_NONE_MATCH,
                header::RANGE,
                HeaderName::from_static("idempotency-key"),
                HeaderName::from_static("last-event-id"),
            ])
            .expose_headers([REQUEST_ID, header::ETAG, header::RETRY_AFTER])
    }
}
