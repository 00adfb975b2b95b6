//! From an answer that reports a failure to an error that says what happened and what can help.

use std::time::{Duration, UNIX_EPOCH};

use loomwork_core::Time;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::moment;
use super::shown::address;
use super::watch::Watch;
use crate::{Error, ErrorKind};

/// How much of a body that explains nothing is shown, in characters.
const SHOWN: usize = 300;

/// What a provider's own words say of a failure; what is `None` is left to the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) kind: Option<ErrorKind>,
    pub(crate) message: Option<String>,
    pub(crate) code: Option<String>,
}

/// Reads the body of a provider's error; the status is that of the answer.
pub(crate) type ReadError = fn(status: u16, body: &Value) -> Said;

/// An answer whose status reports a failure.
pub(super) struct Failure<'a> {
    pub(super) watch: &'a Watch,
    /// Where the answer came from, to be shown.
    pub(super) url: &'a str,
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Failure<'_> {
    pub(super) fn into_error(self, read_error: ReadError) -> Error {
        let said = match serde_json::from_slice(self.body) {
            Ok(body) => read_error(self.status, &body),
            Err(_) => Said::default(),
        };
        let message = said.message.unwrap_or_else(|| self.describe());
        let kind = said.kind.unwrap_or_else(|| kind_of(self.status));
        let mut error = self.watch.error(kind, message).with_status(self.status);
        if let Some(code) = said.code {
            error = error.with_code(code);
        }
        if let Some(id) = request_id(self.headers) {
            error = error.with_request_id(id);
        }
        if let Some(wait) = wait(self.headers, self.watch.clock.now()) {
            error = error.with_retry_after(wait);
        }
        match text(self.headers, "x-should-retry") {
            Some("true") => error.with_retryable(true),
            Some("false") => error.with_retryable(false),
            // A conflict at a provider is a lock that was not had in time.
            _ if self.status == 409 => error.with_retryable(true),
            _ => error,
        }
    }

    /// Says what came, where the provider itself explains nothing.
    fn describe(&self) -> String {
        let (status, url) = (self.status, self.url);
        if let Some(target) = text(self.headers, "location").filter(|_| (300..400).contains(&status)) {
            let target = address(target);
            return format!("{url} leads to {target}: use an address that answers itself");
        }
        let hint = if matches!(status, 404 | 405) { ", so the base URL may be wrong" } else { "" };
        let body = String::from_utf8_lossy(self.body);
        match body.trim() {
            "" => format!("{url} answered {status} and nothing else{hint}"),
            page if is_html(page) => {
                let title = title(page).map(|title| format!(" titled {title:?}")).unwrap_or_default();
                format!("{url} answered {status} and a web page{title}, as a proxy or a wrong base URL does")
            }
            text => format!("{url} answered {status}{hint}: {}", cut(text)),
        }
    }
}

/// Returns what a status means where the provider does not say more.
fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Auth,
        402 => ErrorKind::Quota,
        300..=399 | 404 | 405 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        429 => ErrorKind::RateLimited { retry_after: None, scope: None },
        500.. => ErrorKind::Overloaded,
        _ => ErrorKind::BadRequest,
    }
}

pub(super) fn is_html(text: &str) -> bool {
    let head: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    head.starts_with("<!doctype html") || head.starts_with("<html")
}

pub(super) fn title(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<title>")?;
    let (title, _) = rest.split_once("</title>")?;
    Some(title.trim())
}

/// Returns the beginning of a text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the provider's id of the request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let names = ["x-request-id", "request-id", "apim-request-id", "x-generation-id"];
    names.into_iter().find_map(|name| text(headers, name))
}

/// Returns how long the provider asks to wait: as it says it, or until the limit that is used up is
/// filled again.
fn wait(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let millis = || text(headers, "retry-after-ms")?.parse().ok().map(|millis: f64| millis / 1000.0);
    let seconds = || text(headers, "retry-after")?.parse().ok();
    let asked = millis().or_else(seconds).and_then(|wait| Duration::try_from_secs_f64(wait).ok());
    let date = || {
        let date = httpdate::parse_http_date(text(headers, "retry-after")?).ok()?;
        Some((Time::EPOCH + date.duration_since(UNIX_EPOCH).ok()?).since(now))
    };
    let refill = || {
        let used_up = ["requests", "tokens"].into_iter().filter(|unit| {
            text(headers, &format!("x-ratelimit-remaining-{unit}")).is_some_and(|left| left == "0")
        });
        used_up.filter_map(|unit| span(text(headers, &format!("x-ratelimit-reset-{unit}"))?)).max()
    };
    asked.or_else(date).or_else(refill).or_else(|| refill_at(headers, now))
}

/// Returns how long it takes until the limit that is used up is filled again, where the provider says at
/// which moment that is.
fn refill_at(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let limit = |unit: &str, field: &str| text(headers, &format!("anthropic-ratelimit-{unit}-{field}"));
    let units = ["requests", "tokens", "input-tokens", "output-tokens"].into_iter();
    let used_up = units.filter(|unit| limit(unit, "remaining") == Some("0"));
    used_up.filter_map(|unit| Some(moment::read(limit(unit, "reset")?)?.since(now))).max()
}

/// Reads a duration such as `1m2.5s` or `600ms`. No unit, nothing or less is how some say that they
/// don't know.
fn span(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|sign: char| sign.is_ascii_alphabetic())?;
        let (number, tail) = rest.split_at(unit_at);
        let end = tail.find(|sign: char| !sign.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero())
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).try_into().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn reset_spans_are_read_and_unknown_ones_are_not() {
        for (text, millis) in [("6s", 6000), ("1m2.5s", 62_500), ("600ms", 600), ("1h0m1s", 3_601_000)] {
            assert_eq!(span(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["-1", "0", "", "0s", "soon", "12", "-1s", "1e400s", "5 weeks"] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn the_most_exact_word_on_waiting_is_taken() {
        let now = Time::from_millis(1_000_000_000_000);
        let after = |pairs: &[_]| wait(&headers(pairs), now);
        let reset = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "2s")];
        assert_eq!(after(&reset), Some(Duration::from_secs(2)));
        let date = [("retry-after", "Sun, 09 Sep 2001 01:46:50 GMT")];
        assert_eq!(after(&date), Some(Duration::from_secs(10)));
        assert_eq!(after(&[("retry-after", "1.5"), reset[0], reset[1]]), Some(Duration::from_millis(1500)));
        assert_eq!(after(&[("retry-after-ms", "20"), ("retry-after", "1")]), Some(Duration::from_millis(20)));
        let azure = [("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "0")];
        assert_eq!(after(&azure), None);
        assert_eq!(after(&[("retry-after", "later")]), None);
        let moment = [
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2001-09-09T01:46:45Z"),
            ("anthropic-ratelimit-requests-remaining", "3"),
            ("anthropic-ratelimit-requests-reset", "2001-09-09T01:47:40Z"),
        ];
        assert_eq!(after(&moment), Some(Duration::from_secs(5)));
    }
}
