//! The API over HTTP: operations as routes, live queries as server-sent events.

pub(crate) mod answer;
mod connections;
mod exchange;
mod files;
mod follow;
mod host;
pub(crate) mod live;
mod metrics;
mod openapi;
mod own;
mod page;
pub(crate) mod peer;
mod places;
mod request;
pub(crate) mod respond;
mod serve;
mod status;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method as HttpMethod, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, any, get, on, post};
use axum::{Extension, Router};
use ipnet::IpNet;
use loomwork_rate_limiter::{Limit, SECOND};
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use answer::BODY_PATIENCE;
pub(crate) use answer::whole;
pub use live::KEEP_ALIVE;
use metrics::Metrics;
use places::Places;
pub(crate) use request::RequestId;
pub use serve::{DRAIN, ServeError};

use crate::api::Method;
use crate::app::App;
use crate::builder::BuildError;
use crate::hook;
use crate::idempotency::Working;
pub use crate::protocols::AiSdk;

/// The header that names a request, in the answer and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How often one caller may ask, unless [`Options::requests`] says so: 200 a second, 1,000 at once.
pub const REQUESTS: Limit<'static> = Limit::token_bucket("http-requests", 200, SECOND).capacity(1_000);

/// How often one address may come with what is no key, unless [`Options::refusals`] says so: once a second, 60 at
/// once. Beyond that nothing it comes with is looked at, but for what it has come in with before.
pub const REFUSALS: Limit<'static> = Limit::token_bucket("http-refusals", 1, SECOND).capacity(60);

/// Limits and manners of the API. New fields may come, so end a literal with `..Options::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most bytes of a body, but for files. Default: 1 MiB.
    pub body_bytes: usize,
    /// How many requests are worked on at once; those beyond are told to come again. A program may have half of
    /// them. Default: 512.
    pub at_once: usize,
    /// How many of them one user may have. Default: 64.
    pub at_once_of_user: usize,
    /// How many live queries and streams are open at once. A program may have half of them. Default: 20,000.
    pub subscribers: usize,
    /// How many of them one user may have. Default: 200.
    pub subscribers_of_user: usize,
    /// How many connections are open at once; those beyond wait. One address has a quarter of them at most, unless it
    /// is this machine's or a trusted proxy's. Default: 30,000.
    pub connections: usize,
    /// How long a connection may take to send the headers of a request, or say nothing between two. Default: 30
    /// seconds.
    pub header_patience: Duration,
    /// Which proxies stand before this server, as addresses or networks: `10.0.0.0/8`. What they write in
    /// `X-Forwarded-For` is where a request comes from. Default: none.
    pub trusted_proxies: Vec<String>,
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
            at_once_of_user: 64,
            subscribers: 20_000,
            subscribers_of_user: 200,
            connections: 30_000,
            header_patience: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
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
    origins: Vec<HeaderValue>,
    proxies: Vec<IpNet>,
    routes: Router,
    /// A place for each request that is worked on.
    pub(crate) places: Places,
    /// A place for each live query.
    pub(crate) seats: Places,
    /// The requests under keys that are worked on.
    pub(crate) working: Working,
    pub(crate) metrics: Metrics,
    openapi: OnceLock<openapi::Written>,
    ending: CancellationToken,
}

impl Http {
    /// # Errors
    /// [`BuildError::Option`] for names, origins and addresses that are none.
    pub(crate) fn new(options: Options, routes: Router) -> Result<Self, BuildError> {
        for host in options.hosts.iter().filter(|host| *host != host::ANY) {
            let is_name = host.parse::<Authority>().is_ok_and(|authority| authority.host() == host);
            let right = "give a name or an address alone: `api.example.com`";
            check(is_name, "hosts", host, right)?;
        }
        let named = options.origins.iter().filter(|origin| *origin != host::ANY);
        let origins = named.map(|origin| {
            let right =
                "give a scheme, a host and maybe a port, as browsers send them: `https://app.example.com`";
            check(is_origin(origin), "origins", origin, right)?;
            HeaderValue::from_str(origin).map_err(|_| wrong("origins", origin, right))
        });
        let origins = origins.collect::<Result<_, _>>()?;
        let proxies = options.trusted_proxies.iter().map(|proxy| {
            let right = "give an address or a network: `10.0.0.0/8`";
            peer::network(proxy).ok_or_else(|| wrong("trusted_proxies", proxy, right))
        });
        let proxies = proxies.collect::<Result<_, _>>()?;
        Ok(Self {
            places: Places::new("requests", options.at_once, options.at_once_of_user),
            seats: Places::new("live queries", options.subscribers, options.subscribers_of_user),
            options,
            origins,
            proxies,
            routes,
            working: Working::default(),
            metrics: Metrics::default(),
            openapi: OnceLock::new(),
            ending: CancellationToken::new(),
        })
    }

    /// Takes no further connection, and ends what is live.
    pub(crate) fn end(&self) {
        self.ending.cancel();
    }

    pub(crate) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    pub(crate) fn proxies(&self) -> &[IpNet] {
        &self.proxies
    }
}

fn check(is_right: bool, option: &'static str, value: &str, right: &'static str) -> Result<(), BuildError> {
    if is_right { Ok(()) } else { Err(wrong(option, value, right)) }
}

fn wrong(option: &'static str, value: &str, right: &'static str) -> BuildError {
    BuildError::Option { option, value: value.to_owned(), right }
}

/// Whether a text is an origin as browsers send it: they write neither a path nor capitals.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let has_both = uri.scheme().is_some() && uri.authority().is_some();
    has_both
        && uri.path() == "/"
        && !text.ends_with('/')
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

impl App {
    /// Returns the API as a router, to merge it into another service, or nest it there. It answers its own paths
    /// alone. Whoever serves it ends the app by [`shutdown`](Self::shutdown), and serves it with the addresses of
    /// connections (`into_make_service_with_connect_info`): without them, guessing is not slowed.
    pub fn router(&self) -> Router {
        self.routed(false)
    }

    /// Returns the API as it is served alone: it says so of paths that there are not.
    fn whole_router(&self) -> Router {
        self.routed(true)
    }

    fn routed(&self, is_whole: bool) -> Router {
        let layers = (
            from_fn_with_state(self.clone(), request::entered),
            from_fn_with_state(self.clone(), host::known),
            self.cors(),
            CompressionLayer::new(),
        );
        let mut router = Router::new();
        for (path, methods) in self.methods() {
            router = router.route(&path, methods.fallback(respond::no_method).layer(layers.clone()));
        }
        router = router.merge(crate::protocols::routes(self).route_layer(layers.clone()));
        let own = &self.inner().http.routes;
        if own.has_routes() {
            router = router.merge(own.clone().route_layer(layers.clone()));
        }
        if is_whole { router.fallback_service(any(respond::no_route).layer(layers)) } else { router }
    }

    /// Returns what each path answers.
    fn methods(&self) -> BTreeMap<String, MethodRouter> {
        let mut routes: BTreeMap<String, MethodRouter> = BTreeMap::new();
        let mut add = |path: &str, method: MethodRouter| {
            let before = routes.remove(path).unwrap_or_default();
            routes.insert(path.to_owned(), before.merge(method));
        };
        for (at, operation) in self.inner().operations.iter().enumerate() {
            let filter = match operation.method {
                Method::Get => MethodFilter::GET,
                Method::Post => MethodFilter::POST,
                Method::Patch => MethodFilter::PATCH,
                Method::Delete => MethodFilter::DELETE,
            };
            let app = self.clone();
            let handler = move |path, request| answer::answer(app.clone(), at, path, request);
            add(&operation.path, on(filter, handler));
        }
        for (at, of) in self.inner().hooks.iter().enumerate() {
            let app = self.clone();
            let handler = move |Extension(id), request| hook::receive(app.clone(), at, id, request);
            add(&format!("/hooks/{}", of.name), post(handler));
        }
        let app = || self.clone();
        let (openapi, ready, metrics, page) = (app(), app(), app(), app());
        let (upload, download, follow, trading) = (app(), app(), app(), app());
        add("/", get(move || page::serve(page.clone())));
        add("/metrics", get(move |id, parts| metrics::serve(metrics.clone(), id, parts)));
        add("/api/files", post(move |id, request| files::upload(upload.clone(), id, request)));
        add(
            "/api/files/{file}/content",
            get(move |id, file, parts| files::download(download.clone(), id, file, parts)),
        );
        add(
            "/api/threads/{thread}/live",
            get(move |id, thread, parts| follow::follow(follow.clone(), id, thread, parts)),
        );
        add("/api/openapi.json", get(move |headers| openapi::serve(openapi.clone(), headers)));
        add("/api/exchange", post(move |id, request| exchange::exchange(trading.clone(), id, request)));
        add("/healthz", get(status::alive));
        add("/readyz", get(move || status::ready(ready.clone())));
        routes
    }

    fn cors(&self) -> CorsLayer {
        let Http { options, origins, .. } = &self.inner().http;
        let is_any = options.origins.iter().any(|origin| origin == host::ANY);
        // No cookie carries authority, so any page is as good as any program.
        let origins = if is_any { AllowOrigin::any() } else { AllowOrigin::list(origins.iter().cloned()) };
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
