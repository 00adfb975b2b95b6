//! An answer of a provider whose status says that it is good.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use reqwest::Response;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;

use super::failure::{cut, is_html, text, title};
use super::watch::Watch;
use super::{SseEvent, events};
use crate::{Error, ErrorKind, Result};

/// Headers that say more than transport does: ids of requests, limits, how long the provider worked.
const TELLING: [&str; 7] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-generation-id",
    "openai-processing-ms",
    "retry-after",
    "retry-after-ms",
];

/// The beginnings of the names of such headers.
const TELLING_FAMILIES: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// An answer of a provider: the head, and the body that is yet to come. Dropping it closes the connection.
pub(crate) struct Answer {
    pub(super) watch: Watch,
    /// Where it came from, to be shown.
    pub(super) url: String,
    pub(super) response: Response,
    pub(super) max_event_bytes: usize,
    pub(super) max_body_bytes: usize,
}

impl Answer {
    /// Returns the headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the headers that say more than transport does.
    pub(crate) fn telling_headers(&self) -> BTreeMap<String, String> {
        let is_telling = |name: &str| {
            TELLING.contains(&name) || TELLING_FAMILIES.iter().any(|family| name.starts_with(family))
        };
        let headers = self.headers().iter().filter(|(name, _)| is_telling(name.as_str()));
        let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
        headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect()
    }

    /// Whether the body is said to be of this media type.
    pub(super) fn is(&self, media_type: &str) -> bool {
        text(self.headers(), "content-type").is_some_and(|is| is.trim_start().starts_with(media_type))
    }

    /// Reads the whole body.
    pub(crate) async fn bytes(mut self) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await {
            whole.extend_from_slice(&bytes?);
            if whole.len() > self.max_body_bytes {
                let limit = self.max_body_bytes;
                let text = format!("the answer is longer than {limit} bytes, the limit `max_body_bytes`");
                return Err(self.watch.error(ErrorKind::Protocol, text));
            }
        }
        Ok(whole.freeze())
    }

    /// Reads the whole body as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let (watch, url) = (self.watch.clone(), self.url.clone());
        let body = self.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| no_json(&watch, &url, &body, &error))
    }

    /// Reads the body as events.
    pub(crate) fn events(self) -> impl Stream<Item = Result<SseEvent>> + Send {
        let (watch, max_event_bytes) = (self.watch.clone(), self.max_event_bytes);
        let bytes = futures_util::stream::unfold(self, |mut answer| async move {
            let bytes = answer.chunk().await?;
            Some((bytes, answer))
        });
        events::decode(Box::pin(bytes), watch, max_event_bytes)
    }

    /// Returns the next bytes of the body.
    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes>> {
        match self.watch.provider(self.response.chunk()).await {
            Ok(Ok(bytes)) => bytes.map(Ok),
            Ok(Err(error)) => {
                let text = format!("the answer broke off: {}", super::cause(&error));
                Some(Err(self.watch.error(ErrorKind::Interrupted, text)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Returns the error for a body that should be JSON and is not.
pub(super) fn no_json(watch: &Watch, url: &str, body: &[u8], error: &serde_json::Error) -> Error {
    let body = String::from_utf8_lossy(body);
    let text = match body.trim() {
        "" => format!("{url} answered with nothing, where JSON was due"),
        page if is_html(page) => {
            let title = title(page).map(|title| format!(" titled {title:?}")).unwrap_or_default();
            format!("{url} answered with a web page{title}, as a proxy or a wrong base URL does")
        }
        text => format!("{url} answered with what is not the JSON that was due ({error}): {}", cut(text)),
    };
    watch.error(ErrorKind::Protocol, text)
}
