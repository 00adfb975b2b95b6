//! The API over HTTP: operations as routes, live queries as server-sent events.

pub(crate) mod answer;
mod exchange;
mod files;
mod follow;
mod host;
pub(crate) mod live;
mod metrics;
mod openapi;
mod page;
mod request;
pub(crate) mod respond;
mod serve;
mod status;

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, Method as HttpMethod, header};
use axum::middleware;
use axum::routing::{MethodFilter, get, on, post};
use axum::{Extension, Router};
use loomwork_rate_limiter::{Limit, SECOND};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use live::KEEP_ALIVE;
use metrics::Metrics;
pub(crate) use request::RequestId;
pub use serve::{DRAIN, ServeError};

use crate::api::Method;
use crate::app::App;
use crate::hook;
use crate::idempotency::Working;
pub use crate::protocols::AiSdk;

/// The header that names a request, in the answer and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How often one caller may ask, unless [`Options::requests`] says so: 200 a second, 1,000 at once.
pub const REQUESTS: Limit<'static> = Limit::token_bucket("http-requests", 200, SECOND).capacity(1_000);

/// How often one address may come with what is no key, unless [`Options::refusals`] says so: once a second, 60 at
/// once.
pub const REFUSALS: Limit<'static> = Limit::token_bucket("http-refusals", 1, SECOND).capacity(60);

/// Limits and manners of the API. New fields may come, so end a literal with `..Options::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most bytes of a body, but for files. Default: 1 MiB.
    pub body_bytes: usize,
    /// How many requests are worked on at once; those beyond are told to come again. Default: 512.
    pub at_once: usize,
    /// How many live queries and streams are open at once. Default: 20,000.
    pub subscribers: usize,
    /// Which names this server is reached by, beside those of its own machine: `api.example.com`; `*` is any, and
    /// gives up that a name pointed here by somebody else is refused. Default: none.
    pub hosts: Vec<String>,
    /// Which pages of other origins may call the API: `https://app.example.com`. Default: none.
    pub origins: Vec<String>,
    /// Which version of the AI SDK pages use. Default: 6.
    pub ai_sdk: AiSdk,
    /// How often one caller may ask, in this process; `None` is as often as it likes. Default: [`REQUESTS`].
    pub requests: Option<Limit<'static>>,
    /// How often one address may come with what is no key; `None` is as often as it likes. Default: [`REFUSALS`].
    pub refusals: Option<Limit<'static>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            at_once: 512,
            subscribers: 20_000,
            hosts: Vec::new(),
            origins: Vec::new(),
            ai_sdk: AiSdk::default(),
            requests: Some(REQUESTS),
            refusals: Some(REFUSALS),
        }
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
    /// The requests under keys that are worked on.
    pub(crate) working: Working,
    pub(crate) metrics: Metrics,
    ending: CancellationToken,
}

impl Http {
    pub(crate) fn new(options: Options, routes: Router) -> Self {
        let places = Arc::new(Semaphore::new(options.at_once.min(Semaphore::MAX_PERMITS)));
        let seats = Arc::new(Semaphore::new(options.subscribers.min(Semaphore::MAX_PERMITS)));
        Self {
            options,
            routes,
            places,
            seats,
            working: Working::default(),
            metrics: Metrics::default(),
            ending: CancellationToken::new(),
        }
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
        for (at, of) in self.inner().hooks.iter().enumerate() {
            let app = self.clone();
            let handler = move |Extension(id), request| hook::receive(app.clone(), at, id, request);
            router = router.route(&format!("/hooks/{}", of.name), post(handler));
        }
        let app = || self.clone();
        let (openapi, ready, metrics, page) = (app(), app(), app(), app());
        let (upload, download, follow, trading) = (app(), app(), app(), app());
        let router = router
            .route("/", get(move || page::serve(page.clone())))
            .route("/metrics", get(move |id, parts| metrics::serve(metrics.clone(), id, parts)))
            .route("/api/files", post(move |id, request| files::upload(upload.clone(), id, request)))
            .route(
                "/api/files/{file}/content",
                get(move |id, file, parts| files::download(download.clone(), id, file, parts)),
            )
            .route(
                "/api/threads/{thread}/live",
                get(move |id, thread, parts| follow::follow(follow.clone(), id, thread, parts)),
            )
            .route("/api/openapi.json", get(move || openapi::serve(openapi.clone())))
            .route("/api/exchange", post(move |id, request| exchange::exchange(trading.clone(), id, request)))
            .route("/healthz", get(status::alive))
            .route("/readyz", get(move || status::ready(ready.clone())))
            .merge(crate::protocols::routes(self))
            .merge(self.inner().http.routes.clone())
            .fallback(respond::no_route)
            .method_not_allowed_fallback(respond::no_method);
        router
            .layer(CompressionLayer::new())
            .layer(self.cors())
            .layer(middleware::from_fn_with_state(self.clone(), host::known))
            .layer(middleware::from_fn_with_state(self.clone(), request::entered))
    }

    fn cors(&self) -> CorsLayer {
        let origins = self.inner().http.options.origins.iter();
        let origins = origins.filter_map(|origin| HeaderValue::from_str(origin).ok());
        let is_any = self.inner().http.options.origins.iter().any(|origin| origin == "*");
        // No cookie carries authority, so any page is as good as any program.
        let origins = if is_any { AllowOrigin::any() } else { AllowOrigin::list(origins) };
        CorsLayer::new()
            .allow_origin(origins)
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
