//! Calls over HTTP: one client per provider, its errors, its retries, and its event streams.

mod answer;
mod events;
mod failure;
mod moment;
mod options;
mod reply;
mod retry;
mod shown;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::multipart::Form;
use reqwest::{Client, Method, RequestBuilder, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use answer::Answer;
pub(crate) use events::SseEvent;
pub(crate) use failure::{ReadError, Said};
pub use options::{HttpOptions, Proxy};
pub(crate) use reply::ReadEvents;
#[cfg(any(test, feature = "bench"))]
pub(crate) use reply::read_at_hand;
pub(crate) use shown::{Names, address};

use crate::term::Term;
use crate::{ErrorKind, ModelName, Result, Settings};
use failure::Failure;
use retry::{Attempts, DEFAULT_RETRIES};
use watch::Watch;

/// How much of an error's body is read: what explains a failure is short.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// How long the body of a failed answer is waited for: its status and its headers tell the most.
const ERROR_BODY_TIME: Duration = Duration::from_secs(2);

/// A provider over HTTP. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    provider: String,
    options: HttpOptions,
    /// What a wrong address or proxy makes impossible is said by each call, so that making one cannot fail.
    reach: Result<Reach, String>,
}

#[derive(Clone)]
struct Reach {
    client: Client,
    base: Url,
}

/// Who calls, and on what terms.
pub(crate) struct Call<'a> {
    /// How long it may take, and whether anybody still wants it. Calls for one end share a term.
    pub(crate) term: &'a Term,
    pub(crate) settings: &'a Settings,
    /// Reads the provider's own errors.
    pub(crate) read_error: ReadError,
}

impl Call<'_> {
    fn retries(&self) -> u32 {
        self.settings.max_retries.unwrap_or(DEFAULT_RETRIES)
    }
}

/// What is sent, and where to.
pub(crate) struct Ask<'a> {
    /// The path behind the base URL, which may have a query: `chat/completions`.
    pub(crate) path: &'a str,
    /// The provider's headers; those of the call's settings go before them.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: Body<'a>,
}

/// The body of a request.
pub(crate) enum Body<'a> {
    /// None: a `GET`.
    None,
    Json(&'a Value),
    /// A form with files, made anew for each attempt.
    Form(&'a (dyn Fn() -> Form + Send + Sync)),
}

impl<'a> Body<'a> {
    fn encode(&self, watch: &Watch) -> Result<Encoded<'a>> {
        Ok(match self {
            Self::None => Encoded::None,
            Self::Form(form) => Encoded::Form(*form),
            Self::Json(value) => match serde_json::to_vec(value) {
                Ok(bytes) => Encoded::Json(bytes.into()),
                Err(error) => {
                    let text = format!("the request cannot be written as JSON: {error}");
                    return Err(watch.error(ErrorKind::BadRequest, text));
                }
            },
        })
    }
}

/// A body that is sent as often as there are attempts.
enum Encoded<'a> {
    None,
    Json(Bytes),
    Form(&'a (dyn Fn() -> Form + Send + Sync)),
}

impl Http {
    /// Returns a provider at this address; a query in it goes with each request.
    pub(crate) fn new(provider: &str, base_url: &str, options: HttpOptions) -> Self {
        let reach = Reach::new(base_url, &options);
        Self { provider: provider.to_owned(), options, reach }
    }

    /// Asks, and returns the answer's JSON and the headers that say more than transport does. An answer
    /// that breaks off is asked for again.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        ask: &Ask<'_>,
    ) -> Result<(T, BTreeMap<String, String>)> {
        let watch = self.watch(call);
        let body = ask.body.encode(&watch)?;
        let mut attempts = Attempts::new(&watch, &self.options.random, call.retries());
        loop {
            let failed = match self.send(&watch, call, ask, &body).await {
                Ok(answer) => {
                    let headers = answer.telling_headers();
                    match answer.json().await {
                        Ok(json) => return Ok((json, headers)),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            attempts.after(failed).await?;
        }
    }

    /// Begins the term of a model's call; its time runs from here.
    pub(crate) fn term(&self, model: &str, settings: &Settings, cancel: &CancellationToken) -> Term {
        Term::new(&ModelName::new(&self.provider, model), &self.options.clock, settings, cancel)
    }

    fn watch(&self, call: &Call<'_>) -> Watch {
        Watch::new(&self.options, call)
    }

    /// Makes one attempt.
    async fn send(
        &self,
        watch: &Watch,
        call: &Call<'_>,
        ask: &Ask<'_>,
        body: &Encoded<'_>,
    ) -> Result<Answer> {
        let reach = self.reach.as_ref().map_err(|why| watch.error(ErrorKind::BadRequest, why))?;
        let url = reach.url(ask.path);
        let shown = shown::url(&url);
        let headers = headers(watch, ask, call.settings)?;
        let request = match body {
            Encoded::None => reach.client.request(Method::GET, url),
            Encoded::Json(bytes) => {
                let request = reach.client.request(Method::POST, url);
                request.header(CONTENT_TYPE, "application/json").body(bytes.clone())
            }
            Encoded::Form(form) => reach.client.request(Method::POST, url).multipart(form()),
        };
        let response = match watch.provider(RequestBuilder::send(request.headers(headers))).await? {
            Ok(response) => response,
            Err(error) => {
                let text = format!("{shown} cannot be reached: {}", cause(&error));
                return Err(watch.error(ErrorKind::Network, text));
            }
        };
        let status = response.status();
        let (max_event_bytes, max_body_bytes) = (self.options.max_event_bytes, self.options.max_body_bytes);
        let watch = watch.clone();
        let mut answer = Answer { watch, url: shown, response, max_event_bytes, max_body_bytes };
        if status.is_success() {
            return Ok(answer);
        }
        let mut body = Vec::new();
        let reading = async {
            while body.len() < MAX_ERROR_BYTES
                && let Some(Ok(bytes)) = answer.chunk().await
            {
                body.extend_from_slice(&bytes);
            }
        };
        select(pin!(reading), self.options.clock.sleep(ERROR_BODY_TIME)).await;
        let (watch, url, headers) = (&answer.watch, answer.url.as_str(), answer.headers());
        let failure = Failure { watch, url, status: status.as_u16(), headers, body: &body };
        Err(failure.into_error(call.read_error))
    }
}

/// Shows the address alone: the client knows a proxy's password.
impl fmt::Debug for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reach").field("base", &shown::url(&self.base)).finish_non_exhaustive()
    }
}

impl Reach {
    fn new(base_url: &str, options: &HttpOptions) -> Result<Self, String> {
        let example = "write it like https://api.example.com/v1";
        let base = Url::parse(base_url).map_err(|error| {
            format!("the base URL {:?} is no URL ({error}); {example}", address(base_url))
        })?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(format!("the base URL {:?} is none of a web server; {example}", address(base_url)));
        }
        let builder = Client::builder()
            .user_agent(concat!("loomwork/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            // A redirect would carry the key to wherever it leads.
            .redirect(redirect::Policy::none())
            .tcp_nodelay(true);
        let builder = match &options.proxy {
            Proxy::Environment => builder,
            Proxy::None => builder.no_proxy(),
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url);
                builder.proxy(proxy.map_err(|error| format!("the proxy is no URL: {}", cause(&error)))?)
            }
        };
        let client = builder.build();
        let client = client.map_err(|error| format!("no HTTP client can be made: {}", cause(&error)))?;
        Ok(Self { client, base })
    }

    fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            let own = self.base.query().map(|own| format!("{own}&")).unwrap_or_default();
            url.set_query(Some(&format!("{own}{query}")));
        }
        url
    }
}

/// Returns the headers of a request. Any of them may hold a key, so none is ever printed.
fn headers(watch: &Watch, ask: &Ask<'_>, settings: &Settings) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let own = ask.headers.iter().map(|(name, value)| (name, value));
    for (name, value) in own.chain(&settings.headers) {
        let wrong = |what: &str| {
            let text = format!("the header {name:?} has a {what} that no header may have");
            watch.error(ErrorKind::BadRequest, text)
        };
        let key = HeaderName::try_from(name).map_err(|_| wrong("name"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong("value"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Returns the innermost cause of an error: `Connection refused`.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
