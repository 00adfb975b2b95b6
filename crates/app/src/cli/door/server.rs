//! The door by a server: the same operations over HTTP.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Kind, Secret};
use reqwest::{Client, Method as HttpMethod, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use tokio_util::io::ReaderStream;

use super::file::no_read;
use super::{Args, Followed, Happened, events, operations};
use crate::api::Method;
use crate::cli::of_io;
use crate::error::{Error, ErrorBody, Result};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a server may be silent in the middle of an answer: longer than an operation takes, and than a stream rests.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a server may take to say that it can work.
const READY: Duration = Duration::from_secs(5);

/// What somebody without a key reads.
const NO_KEY: &str =
    "the server wants a key; set LOOMWORK_KEY, or name a file that holds one by `--key-file PATH`";

/// An app that is reached by its server.
#[derive(Clone)]
pub(crate) struct ServerDoor {
    client: Client,
    base: Url,
    key: Option<Secret>,
}

impl fmt::Debug for ServerDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerDoor").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// Where an operation is asked for.
struct Route {
    method: Method,
    path: String,
}

impl ServerDoor {
    pub(crate) fn new(address: &str, key: Option<Secret>) -> Result<Self> {
        let wrong = |why: &str| {
            let message =
                format!("{address:?} is no address of a server: {why}; write `http://127.0.0.1:3210`");
            Error::new(Kind::Invalid, message).about("server")
        };
        let base = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("it has no `http://` or no host"));
        }
        let client = Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).build();
        let client = client.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        Ok(Self { client, base, key })
    }

    pub(crate) fn address(&self) -> &Url {
        &self.base
    }

    /// Whether a key goes over a network without encryption.
    pub(crate) fn tells_its_key(&self) -> bool {
        let is_here = self.base.host_str().is_some_and(|host| {
            let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        self.key.is_some() && self.base.scheme() == "http" && !is_here
    }

    pub(crate) async fn ask(&self, id: &str, args: &Args) -> Result<Value> {
        let answer = self.checked(self.request(&route(id)?, args)?.send().await).await?;
        self.json(answer).await
    }

    pub(crate) fn follow(&self, id: &str, args: &Args) -> Result<Followed<Value>> {
        let mut route = route(id)?;
        // A query of the application's own is asked by POST, and followed by GET.
        if id.starts_with("query.") {
            route.method = Method::Get;
        }
        if route.method != Method::Get {
            return Err(no_read(id));
        }
        let events = events::follow(self.clone(), self.request(&route, args)?);
        let values = events.filter_map(|event| async move {
            match event {
                Ok((name, value)) => (name == "result").then_some(Ok(value)),
                Err(error) => Some(Err(error)),
            }
        });
        Ok(values.boxed_local())
    }

    pub(crate) fn live(&self, thread: &str) -> Result<Followed<Happened>> {
        let route = Route { method: Method::Get, path: "/api/threads/{thread}/live".to_owned() };
        let mut args = Args::new();
        args.insert("thread".to_owned(), thread.into());
        let events = events::follow(self.clone(), self.request(&route, &args)?);
        let happening = events.filter_map(|event| async move {
            match event {
                Ok((name, value)) => match name.as_str() {
                    "view" => Some(Ok(Happened::View(value))),
                    "chunks" => Some(Ok(Happened::Chunks(value))),
                    _ => None,
                },
                Err(error) => Some(Err(error)),
            }
        });
        Ok(happening.boxed_local())
    }

    pub(crate) async fn upload(&self, path: &Path, name: &str) -> Result<Value> {
        let file = tokio::fs::File::open(path).await.map_err(|error| of_io(path, &error))?;
        let mut url = self.url(["api", "files"])?;
        url.query_pairs_mut().append_pair("name", name);
        let body = reqwest::Body::wrap_stream(ReaderStream::new(file));
        let answer = self.checked(self.authorized(self.client.post(url)).body(body).send().await).await?;
        self.json(answer).await
    }

    /// Returns the functions that the server's description names.
    pub(crate) async fn functions(&self) -> Result<Vec<String>> {
        let url = self.url(["api", "openapi.json"])?;
        let answer = self.checked(self.authorized(self.client.get(url)).send().await).await?;
        let described = self.json(answer).await?;
        let paths = described["paths"].as_object().into_iter().flatten();
        let names = paths.filter_map(|(path, _)| {
            let (kind, name) = path.strip_prefix("/api/")?.split_once('/')?;
            matches!(kind, "query" | "mutation" | "action").then(|| format!("{kind}.{name}"))
        });
        Ok(names.collect())
    }

    /// Says whether the server can work.
    pub(crate) async fn is_ready(&self) -> Result<bool> {
        let answer = self.client.get(self.url(["readyz"])?).timeout(READY).send().await;
        Ok(answer.map_err(|error| self.unreachable(&error))?.status().is_success())
    }

    pub(super) async fn checked(&self, sent: reqwest::Result<Response>) -> Result<Response> {
        let answer = sent.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let Ok(body) = serde_json::from_str::<ErrorBody>(&text) else {
            let message = format!("{} answers {status}, and not as an app of ours", self.base);
            return Err(Error::new(Kind::Unavailable, message));
        };
        let has_no_key = status == StatusCode::UNAUTHORIZED && self.key.is_none();
        Err(if has_no_key { Error::new(Kind::Denied, NO_KEY) } else { told(body) })
    }
}

impl ServerDoor {
    fn url<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Result<Url> {
        let mut url = self.base.clone();
        {
            let Ok(mut segments) = url.path_segments_mut() else {
                let message = format!("{} is no address of a server", self.base);
                return Err(Error::new(Kind::Invalid, message).about("server"));
            };
            segments.pop_if_empty().extend(parts);
        }
        Ok(url)
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    fn request(&self, route: &Route, args: &Args) -> Result<RequestBuilder> {
        let mut args = args.clone();
        let mut parts = Vec::new();
        for part in route.path.split('/').filter(|part| !part.is_empty()) {
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            parts.push(match name {
                Some(name) => {
                    let missing = || Error::new(Kind::Invalid, format!("{name} is missing")).about(name);
                    text_of(&args.shift_remove(name).ok_or_else(missing)?)
                }
                None => part.to_owned(),
            });
        }
        let mut url = self.url(parts.iter().map(String::as_str))?;
        let (method, has_body) = match route.method {
            Method::Get => (HttpMethod::GET, false),
            Method::Delete => (HttpMethod::DELETE, false),
            Method::Post => (HttpMethod::POST, true),
            Method::Patch => (HttpMethod::PATCH, true),
        };
        if !has_body && !args.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in &args {
                pairs.append_pair(name, &text_of(value));
            }
        }
        let request = self.authorized(self.client.request(method, url));
        Ok(if has_body { request.json(&args) } else { request })
    }

    async fn json(&self, answer: Response) -> Result<Value> {
        answer.json().await.map_err(|error| {
            let message = format!("the answer of {} is cut, or is no JSON: {error}", self.base);
            Error::new(Kind::Unavailable, message)
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            why = cause.to_string();
            source = cause.source();
        }
        let message = format!(
            "no server answers at {}: {why}; start one by `loomwork serve`, or name another by `--server URL`",
            self.base
        );
        Error::new(Kind::Unavailable, message)
    }
}

/// Returns where an operation is asked for: one of ours, or a function of the application's own.
fn route(id: &str) -> Result<Route> {
    if let Some(operation) = operations().iter().find(|operation| operation.id == id) {
        return Ok(Route { method: operation.method, path: operation.path.clone() });
    }
    let function = id.split_once('.').filter(|(kind, _)| matches!(*kind, "query" | "mutation" | "action"));
    let (kind, name) = function.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no {id}")))?;
    Ok(Route { method: Method::Post, path: format!("/api/{kind}/{name}") })
}

/// Returns a value as a query string or a path carries it.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the error that a server told.
pub(super) fn told(body: ErrorBody) -> Error {
    let wait = body.data.get("retryAfter").and_then(Value::as_u64).unwrap_or_default();
    let kind = match body.kind.as_str() {
        "invalid" => Kind::Invalid,
        "denied" => Kind::Denied,
        "not_found" => Kind::NotFound,
        "conflict" => Kind::Conflict,
        "limited" => Kind::Limited { wait: Duration::from_millis(wait) },
        "unavailable" => Kind::Unavailable,
        "cancelled" => Kind::Cancelled,
        "corrupt" => Kind::Corrupt,
        _ => Kind::Internal,
    };
    let error = Error::new(kind, body.message).with("requestId", body.request_id);
    let error = body.data.into_iter().fold(error, |error, (name, value)| error.with(&name, value));
    match body.field {
        Some(field) => error.about(field),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use loomwork_core::Secret;

    use super::ServerDoor;

    #[test]
    fn a_key_is_told_to_nobody_between_here_and_a_far_server() {
        let tells =
            |address: &str| ServerDoor::new(address, Some(Secret::from("lw_key"))).unwrap().tells_its_key();
        assert!(tells("http://api.example.com") && tells("http://10.0.0.7:3210"));
        for address in
            ["https://api.example.com", "http://127.0.0.1:3210", "http://[::1]:3210", "http://localhost"]
        {
            assert!(!tells(address), "{address}");
        }
        assert!(!ServerDoor::new("http://api.example.com", None).unwrap().tells_its_key(), "there is none");
    }
}
